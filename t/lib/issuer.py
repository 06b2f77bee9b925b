#!/usr/bin/python3
"""issuer.py FOLDER PORT|unix:PATH [CERTIFICATE KEY]: the key server of an issuer, for tests.

It answers GET, over TLS if there is a certificate, and appends a line of JSON for each request to
FOLDER/requests: connection (a number), path, headers, time (s).

FOLDER/behaviour is a JSON object that is read at each request:

    status   200 without it
    headers  of the answer, a list of lines
    body     text
    file     its content is the body
    raw      all bytes of the answer as text, instead of one made of the above
    hang     true: there is no answer, and the connection remains open
    wait     a file: the answer is sent when it exists
    drip     true: the answer comes a byte a second
    drop     true: the connection is closed without an answer
    pieces   true: the answer comes in two writes, and the second only after the first has left
"""

import json
import os
import socket
import ssl
import sys
import threading
import time

FOLDER = sys.argv[1]
LOCK = threading.Lock()
HELD = []


def read_head(connection):
    head = b""
    while b"\r\n\r\n" not in head:
        data = connection.recv(4096)
        if not data or not (head + data)[:1].isalpha():
            return None
        head += data
    return head.decode("latin-1")


def body_of(todo):
    if "file" in todo:
        with open(todo["file"], "rb") as file:
            return file.read()
    return todo.get("body", "").encode()


def answer_of(todo):
    if "raw" in todo:
        return todo["raw"].encode("latin-1")
    body = body_of(todo)
    lines = [f"HTTP/1.1 {todo.get('status', 200)} X", f"Content-Length: {len(body)}",
             *todo.get("headers", ["Content-Type: application/json"])]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def note(number, head):
    lines = head.split("\r\n")
    entry = {"connection": number, "path": lines[0].split(" ")[1],
             "headers": dict(line.split(": ", 1) for line in lines[1:] if line),
             "time": time.monotonic()}
    with LOCK, open(f"{FOLDER}/requests", "a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")


def send(connection, todo):
    answer = answer_of(todo)
    if todo.get("drip"):
        for i in range(len(answer)):
            connection.sendall(answer[i:i + 1])
            time.sleep(1)
    elif todo.get("pieces"):
        connection.sendall(answer[:len(answer) // 2])
        time.sleep(0.05)
        connection.sendall(answer[len(answer) // 2:])
    else:
        connection.sendall(answer)


def serve(number, connection, context):
    try:
        if context:
            connection = context.wrap_socket(connection, server_side=True)
        head = read_head(connection)
        if head is None:
            connection.close()
            return
        with open(f"{FOLDER}/behaviour", encoding="utf-8") as file:
            todo = json.load(file)
        note(number, head)
        if todo.get("hang"):
            HELD.append(connection)
            return
        while "wait" in todo and not os.path.exists(todo["wait"]):
            time.sleep(0.01)
        if not todo.get("drop"):
            send(connection, todo)
        connection.close()
    except OSError:
        connection.close()


def main():
    where = sys.argv[2]
    context = None
    if len(sys.argv) > 4:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[3], sys.argv[4])
    if where.startswith("unix:"):
        server = socket.socket(socket.AF_UNIX)
        server.bind(where[len("unix:"):])
    else:
        server = socket.socket()
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", int(where)))
    server.listen(64)
    number = 0
    while True:
        connection, _ = server.accept()
        number += 1
        threading.Thread(target=serve, args=(number, connection, context), daemon=True).start()


if __name__ == "__main__":
    main()
