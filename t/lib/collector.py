#!/usr/bin/python3
"""collector.py FOLDER PORT|unix:PATH [CERTIFICATE KEY]: a collector of spans for tests.

It takes OTLP/HTTP (protobuf and JSON) and Zipkin v2, decodes protobuf with Google's library, and
appends a line of JSON for each request to FOLDER/requests: connection (a number), path, headers,
resource, and spans, or metrics. A request that it cannot decode has "error".

FOLDER/behaviour says how requests are answered, as a JSON list of one object for each request, of
which the last one remains; without it all are accepted. FOLDER/behaviour is read at each request,
and FOLDER/answered counts requests. An object has

    status   200 without it
    headers  of the answer, a list of lines
    partial  a number of spans that are rejected, with a message; the answer has their format
    body     text
    raw      all bytes of the answer as text, instead of one made of the above
    hang     true: there is no answer, and the connection remains open
    drip     true: the answer comes a byte a second
    close    true: the connection is closed behind the answer, which does not say so
    drop     true: the connection is closed without an answer
    metrics  such an object, that is used instead if the request has metrics
"""

import gzip
import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))


def messages():
    """The module of otlp.proto, compiled by protoc."""
    folder = tempfile.mkdtemp()
    subprocess.run(["protoc", f"-I{HERE}", f"--python_out={folder}", f"{HERE}/otlp.proto"],
                   check=True)
    sys.path.insert(0, folder)
    import otlp_pb2  # pylint: disable=import-outside-toplevel
    return otlp_pb2


OTLP = messages()
FOLDER = sys.argv[1]
LOCK = threading.Lock()


def value_of(value):
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [value_of(v) for v in value.array_value.values]
    return getattr(value, kind) if kind else None


def attributes_of(pairs):
    result = {}
    for pair in pairs:
        if pair.key in result:
            raise ValueError(f"attribute {pair.key} twice")
        result[pair.key] = value_of(pair.value)
    return result


def span_of(span):
    return {
        "trace": span.trace_id.hex(), "id": span.span_id.hex(), "parent": span.parent_span_id.hex(),
        "state": span.trace_state, "flags": span.flags, "name": span.name, "kind": span.kind,
        "start": span.start_time_unix_nano, "end": span.end_time_unix_nano,
        "attributes": attributes_of(span.attributes),
        "events": [{"name": e.name, "time": e.time_unix_nano,
                    "attributes": attributes_of(e.attributes)} for e in span.events],
        "links": [{"trace": k.trace_id.hex(), "id": k.span_id.hex(), "flags": k.flags,
                   "attributes": attributes_of(k.attributes)} for k in span.links],
        "status": span.status.code, "message": span.status.message}


def protobuf(body):
    request = OTLP.Request()
    request.ParseFromString(body)
    # An SDK writes fields of value 0, and some that otlp.proto does not have; Weir does not.
    if b"telemetry.sdk.name\x12\x06\n\x04weir" in body and request.ByteSize() != len(body):
        raise ValueError("unknown fields, or another encoding than protobuf's")
    resource, spans = {}, []
    for part in request.resource_spans:
        resource.update(attributes_of(part.resource.attributes))
        for scope in part.scope_spans:
            spans += [span_of(s) for s in scope.spans]
    return resource, spans


def number_of(point):
    return {"attributes": attributes_of(point.attributes), "start": point.start_time_unix_nano,
            "time": point.time_unix_nano, "value": getattr(point, point.WhichOneof("value"))}


def exponential_of(point):
    return {"attributes": attributes_of(point.attributes), "start": point.start_time_unix_nano,
            "time": point.time_unix_nano, "count": point.count, "sum": point.sum,
            "scale": point.scale, "zero": point.zero_count, "offset": point.positive.offset,
            "buckets": list(point.positive.bucket_counts),
            "exemplars": [{"time": e.time_unix_nano, "value": e.as_double,
                           "trace": e.trace_id.hex()} for e in point.exemplars]}


def metrics_of(body):
    """The metrics of a request: name, unit, type and points."""
    request = OTLP.MetricsRequest()
    request.ParseFromString(body)
    if request.ByteSize() != len(body):
        raise ValueError("unknown fields, or another encoding than protobuf's")
    resource, metrics = {}, []
    for part in request.resource_metrics:
        resource.update(attributes_of(part.resource.attributes))
        for metric in [m for scope in part.scope_metrics for m in scope.metrics]:
            kind = metric.WhichOneof("data")
            data = getattr(metric, kind)
            if kind != "gauge" and data.aggregation_temporality != 2:
                raise ValueError(f"{metric.name} is not cumulative")
            point_of = exponential_of if kind == "exponential_histogram" else number_of
            metrics.append({"name": metric.name, "unit": metric.unit, "type": kind,
                            "points": [point_of(p) for p in data.data_points]})
    return resource, metrics


def json_metrics_of(body):
    """The same of JSON, with the points as they are."""
    part, = json.loads(body)["resourceMetrics"]
    resource = {p["key"]: any_of(p["value"]) for p in part["resource"]["attributes"]}
    metrics = []
    for metric in [m for scope in part["scopeMetrics"] for m in scope["metrics"]]:
        kind, = set(metric) - {"name", "description", "unit"}
        metrics.append({"name": metric["name"], "unit": metric.get("unit", ""), "type": kind,
                        "points": metric[kind]["dataPoints"]})
    return resource, metrics


def any_of(value):
    (kind, v), = value.items()
    if kind == "arrayValue":
        return [any_of(x) for x in v["values"]]
    return int(v) if kind == "intValue" else v


def otlp_json(body):
    resource, spans = {}, []
    for part in json.loads(body)["resourceSpans"]:
        for pair in part["resource"]["attributes"]:
            resource[pair["key"]] = any_of(pair["value"])
        for scope in part["scopeSpans"]:
            for s in scope["spans"]:
                spans.append({
                    "trace": s["traceId"], "id": s["spanId"], "parent": s.get("parentSpanId", ""),
                    "name": s["name"], "kind": s["kind"], "start": int(s["startTimeUnixNano"]),
                    "end": int(s["endTimeUnixNano"]),
                    "attributes": {p["key"]: any_of(p["value"]) for p in s.get("attributes", [])}})
    return resource, spans


def zipkin(body):
    spans = json.loads(body)
    return {"service.name": spans[0]["localEndpoint"]["serviceName"]}, [{
        "trace": s["traceId"], "id": s["id"], "parent": s.get("parentId", ""), "name": s["name"],
        "kind": s.get("kind"), "start": s["timestamp"] * 1000,
        "end": (s["timestamp"] + s.get("duration", 0)) * 1000,
        "attributes": s.get("tags", {})} for s in spans]


def has_metrics(path):
    return path.endswith("/v1/metrics")


def decoded(path, headers, body):
    """What the entry of a request has."""
    kind = headers.get("content-type")
    if headers.get("content-encoding") == "gzip":
        body = gzip.decompress(body)
    if has_metrics(path):
        resource, metrics = {"application/x-protobuf": metrics_of,
                             "application/json": json_metrics_of}[kind](body)
        return {"resource": resource, "metrics": metrics}
    resource, spans = spans_of(path, kind, body)
    return {"resource": resource, "spans": spans}


def spans_of(path, kind, body):
    if path.startswith("/api/v2/spans"):
        return zipkin(body)
    return {"application/x-protobuf": protobuf, "application/json": otlp_json}[kind](body)


def read_body(stream, headers):
    """The body by Content-Length, or in chunks, as OpenTelemetry's SDK for Node.js sends it.
    None if the connection ends before its end."""
    if headers.get("transfer-encoding", "").lower() != "chunked":
        length = int(headers["content-length"])
        body = stream.read(length)
        return body if len(body) == length else None
    body = b""
    while size := int(stream.readline() or b"0", 16):
        body += stream.read(size)
        stream.readline()
    stream.readline()
    return body


def read_request(stream):
    """(path, headers, body), or None at the end of the connection."""
    line = stream.readline()
    if not line:
        return None
    method, path, version = line.decode().split()
    if method != "POST" or version != "HTTP/1.1":
        raise ValueError(f"request line {line}")
    headers = {}
    while (line := stream.readline()) != b"\r\n":
        name, value = line.decode().rstrip("\r\n").split(":", 1)
        if name.lower() in headers:
            raise ValueError(f"{name} twice")
        headers[name.lower()] = value.strip()
    body = read_body(stream, headers)
    return None if body is None else (path, headers, body)


def behaviour():
    """What is done with this request."""
    with LOCK:
        try:
            with open(f"{FOLDER}/answered", encoding="utf-8") as file:
                n = int(file.read())
        except FileNotFoundError:
            n = 0
        with open(f"{FOLDER}/answered.new", "w", encoding="utf-8") as file:
            file.write(str(n + 1))
        os.rename(f"{FOLDER}/answered.new", f"{FOLDER}/answered")
        try:
            with open(f"{FOLDER}/behaviour", encoding="utf-8") as file:
                todo = json.load(file)
        except FileNotFoundError:
            return {}
        if len(todo) > 1:
            with open(f"{FOLDER}/behaviour.new", "w", encoding="utf-8") as file:
                json.dump(todo[1:], file)
            os.rename(f"{FOLDER}/behaviour.new", f"{FOLDER}/behaviour")
        return todo[0]


def answer_of(todo, headers, path):
    body = todo.get("body", "").encode()
    status = todo.get("status", 202 if path.startswith("/api/v2/spans") else 200)
    lines = list(todo.get("headers", []))
    if "raw" in todo:
        return todo["raw"].encode("latin-1")
    if status == 200:
        response = OTLP.Response()
        if "partial" in todo:
            response.partial_success.rejected_spans = todo["partial"]
            response.partial_success.error_message = "rejected by the test"
        if headers.get("content-type") == "application/json":
            name = "rejectedDataPoints" if has_metrics(path) else "rejectedSpans"
            partial = {name: str(todo.get("partial", 0)),
                       "errorMessage": "rejected by the test" if "partial" in todo else ""}
            body = json.dumps({"partialSuccess": partial}).encode()
        else:
            body = response.SerializeToString()
        lines.append(f"Content-Type: {headers.get('content-type')}")
    lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([f"HTTP/1.1 {status} Said", *lines, "", ""]).encode() + body


def note(entry):
    with LOCK, open(f"{FOLDER}/requests", "a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")


def serve(connection, number):
    with connection, connection.makefile("rb") as stream:
        while (request := read_request(stream)) is not None:
            path, headers, body = request
            entry = {"connection": number, "path": path, "headers": headers, "bytes": len(body)}
            try:
                entry.update(decoded(path, headers, body))
            except Exception as error:  # pylint: disable=broad-except
                entry["error"] = repr(error)
            todo = behaviour()
            if has_metrics(path):
                todo = todo.get("metrics", todo)
            entry["todo"] = todo
            note(entry)
            if todo.get("hang"):
                stream.read(1)
                return
            if todo.get("drop"):
                return
            answer = answer_of(todo, headers, path)
            if todo.get("drip"):
                for byte in answer:
                    connection.sendall(bytes([byte]))
                    time.sleep(1)
            connection.sendall(answer)
            if todo.get("close"):
                return


def handle(connection, number, context):
    try:
        if context:
            connection = context.wrap_socket(connection, server_side=True)
        serve(connection, number)
    except (OSError, ValueError) as error:
        note({"connection": number, "error": repr(error)})


def main():
    where = sys.argv[2]
    if where.startswith("unix:"):
        server = socket.socket(socket.AF_UNIX)
        server.bind(where[5:])
        os.chmod(where[5:], 0o777)
    else:
        server = socket.socket()
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", int(where)))
    server.listen(64)
    context = None
    if len(sys.argv) > 3:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[3], sys.argv[4])
    number = 0
    while True:
        connection, _ = server.accept()
        number += 1
        threading.Thread(target=handle, args=(connection, number, context), daemon=True).start()


main()
