#!/usr/bin/env python3
"""generate.py [FOLDER]: writes the Grafana dashboards into the folder (the one of this file).

They have what the tables of docs/reference/metrics.md and backend-metrics.md have: a row for each
section, a panel for each metric. Which labels a panel shows is said here; above all is a row with
what one looks at first. t/docs/dashboards.t fails if the files are not those that this writes.
"""

import json
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
REFERENCE = os.path.join(HERE, "../../docs/reference")

# The labels of a metric, by its beginning; the first that fits.
LABELS = [
    ("http_server_active_requests", ["http_request_method"]),
    ("http_server_", ["http_route"]),
    ("http_client_", ["server_address"]),
    ("weir_http_server_slow_requests", ["http_route", "phase", "dependency"]),
    ("weir_http_server_request_duration_percentile", ["http_route", "window", "percentile"]),
    ("weir_http_client_request_duration_percentile", ["server_address", "window", "percentile"]),
    ("weir_http_server_", ["http_route"]),
    ("weir_http_client_", ["server_address"]),
    ("weir_request_phase_", ["http_route", "phase"]),
    ("weir_exporter_spans_total", ["result"]),
    ("weir_exporter_points", ["result"]),
    ("weir_trace_ids", ["result"]),
    ("weir_jwt_audit", ["result"]),
    ("weir_jwt_tokens", ["issuer", "result"]),
    ("weir_jwt_fetches", ["issuer", "result"]),
    ("weir_jwt_", ["issuer"]),
    ("weir_upstream_requests_saved", ["http_route", "by"]),
    ("weir_cache_hits", ["zone", "level"]),
    ("weir_cache_forwarded", ["zone", "reason"]),
    ("weir_cache_", ["zone"]),
    ("weir_invalidation", ["zone"]),
    ("weir_client_invalidation", ["zone"]),
    ("weir_breaker_state", ["zone", "key", "state"]),
    ("weir_breaker_calls_uncounted", ["zone"]),
    ("weir_breakers", ["zone"]),
    ("weir_breaker_", ["zone", "key"]),
    ("weir_limit_refused", ["zone", "key", "reason"]),
    ("weir_limit_keys", ["zone"]),
    ("weir_limit_uncounted", ["zone"]),
    ("weir_limit_reclaimed", ["zone"]),
    ("weir_limit_", ["zone", "key"]),
    ("weir_build_info", ["instance", "version"]),
    ("process_", ["instance"]),
    ("db_client_", ["db_query_summary"]),
    ("weir_db_sessions", ["instance", "session"]),
    ("weir_batch_", ["db_query_summary"]),
    ("weir_db_commit", ["db_query_summary"]),
    ("weir_db_", ["db_query_summary", "group", "event_type"]),
    ("weir_wal_", ["db_query_summary", "group", "event_type"]),
    ("weir_cost_per_thousand", ["currency", "http_route", "db_query_summary", "group",
                                "event_type"]),
    ("weir_cost_saved", ["currency", "by"]),
    ("weir_cost_", ["currency", "resource"]),
    ("weir_route_", ["http_route"]),
    ("weir_tls_certificate_", ["instance", "use", "kind"]),
    ("weir_audit_refused_total", ["result"]),
    ("weir_tls_", ["use", "result"]),
    ("weir_late_ids_total", ["result"]),
    ("weir_late_spans_total", ["result"]),
    ("weir_relay_partitions", ["state"]),
    ("weir_group_", ["group"]),
    ("messaging_process_", ["messaging_consumer_group_name"]),
    ("weir_dependency_breaker_", ["dependency", "state"]),
    ("weir_dependency_", ["dependency", "result"]),
    ("weir_spans_dropped", ["reason"]),
    ("weir_span_exports", ["result"]),
]

# What each process of many says of the same thing: they are not to be added up.
SAME_FOR_ALL = re.compile(r"weir_(outbox_|group_(lag|oldest|retries|dead|paused))")

# What one looks at first: title, unit, and expressions with their legends.
FIRST = {
    "edge": [
        ("Requests by route", "reqps",
         [("sum by (http_route) (rate(http_server_request_duration_seconds_count{SELECT}[RATE]))",
           "{{http_route}}")]),
        ("P99 by route", "s",
         [("histogram_quantile(0.99, sum by (http_route, le) "
           "(rate(http_server_request_duration_seconds_bucket{SELECT}[RATE])))",
           "{{http_route}}")]),
        ("Share of errors by route", "percentunit",
         [("sum by (http_route) (rate(http_server_request_duration_seconds_count"
           "{SELECT,http_response_status_code=~\"5..\"}[RATE])) / sum by (http_route) "
           "(rate(http_server_request_duration_seconds_count{SELECT}[RATE]))",
           "{{http_route}}")]),
        ("Hit ratio by zone", "percentunit",
         [("sum by (zone) (rate(weir_cache_hits_total{SELECT}[RATE])) / (sum by (zone) "
           "(rate(weir_cache_hits_total{SELECT}[RATE])) + sum by (zone) "
           "(rate(weir_cache_forwarded_total{SELECT,reason!~\"method|bypass\"}[RATE])))",
           "{{zone}}")]),
    ],
    "backend": [
        ("Requests by route", "reqps",
         [("sum by (http_route) (rate(http_server_request_duration_seconds_count{SELECT}[RATE]))",
           "{{http_route}}")]),
        ("Events without a position", "short",
         [("max(weir_outbox_waiting_events{SELECT})", "events")]),
        ("Lag of groups", "short",
         [("max by (group) (weir_group_lag_events{SELECT})", "{{group}}")]),
        ("Dead letters", "short",
         [("max by (group) (weir_group_dead_letters{SELECT})", "{{group}}")]),
    ],
}


def rows_of(page):
    """(section, [(metric, type, meaning)]) of a page's tables of metrics."""
    with open(os.path.join(REFERENCE, page), encoding="utf-8") as source:
        text = source.read()
    for part in re.split(r"^## ", text, flags=re.M)[1:]:
        rows = re.findall(r"^\| `([a-z_]+)` \| (counter|gauge|histogram) \| (.*?) \|$", part, re.M)
        if rows:
            yield part.split("\n", 1)[0], rows


def labels_of(metric):
    for beginning, labels in LABELS:
        if metric.startswith(beginning):
            return labels
    return ["instance"]


def unit_of(metric):
    name = metric.removesuffix("_total")
    if metric == "process_start_time_seconds":
        return "dateTimeFromNow"
    if name.endswith("_seconds"):
        return "s"
    return "bytes" if name.endswith("_bytes") else "short"


def targets_of(metric, kind):
    labels = labels_of(metric)
    by = ", ".join(labels)
    legend = " ".join("{{%s}}" % label for label in labels)
    if kind == "histogram":
        return [(f"histogram_quantile({q}, sum by ({by}, le) (rate({metric}_bucket{{SELECT}}"
                 f"[RATE])))", f"P{q * 100:g} {legend}") for q in (0.5, 0.99)]
    if kind == "counter":
        return [(f"sum by ({by}) (rate({metric}{{SELECT}}[RATE]))", legend)]
    add = "max" if SAME_FOR_ALL.match(metric) else "sum"
    if metric == "process_start_time_seconds":
        return [(f"max by ({by}) ({metric}{{SELECT}}) * 1000", legend)]
    if "percentile" in metric or "per_thousand" in metric or unit_of(metric) == "s":
        add = "max"  # of each process: these cannot be added up
    if "saved" in metric:
        add = "sum"
    return [(f"{add} by ({by}) ({metric}{{SELECT}})", legend)]


def plain(markdown):
    """Text of a table without links and code."""
    return re.sub(r"`", "", re.sub(r"\[([^\]]*)\](\[[^\]]*\]|\([^)]*\))?", r"\1", markdown))


class Dashboard:
    """Panels from left to right, two in a line."""

    def __init__(self, name, title):
        self.name, self.title, self.panels, self.at = name, title, [], [0, 0]

    def row(self, title):
        if self.at[0] > 0:
            self.at = [0, self.at[1] + 8]
        self.panels.append({"id": len(self.panels) + 1, "type": "row", "title": title,
                            "collapsed": False, "panels": [],
                            "gridPos": {"h": 1, "w": 24, "x": 0, "y": self.at[1]}})
        self.at[1] += 1

    def panel(self, title, description, unit, targets):
        x, y = self.at
        source = {"type": "prometheus", "uid": "${datasource}"}
        self.panels.append({
            "id": len(self.panels) + 1, "type": "timeseries", "title": title,
            "description": description, "datasource": source,
            "gridPos": {"h": 8, "w": 12, "x": x, "y": y},
            "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
            "options": {"legend": {"displayMode": "list", "placement": "bottom"},
                        "tooltip": {"mode": "multi", "sort": "desc"}},
            "targets": [{"refId": chr(ord("A") + i), "datasource": source, "editorMode": "code",
                         "exemplar": "_bucket" in expression, "legendFormat": legend,
                         "expr": expression.replace("SELECT", 'job="$job",instance=~"$instance"')
                                           .replace("RATE", "$__rate_interval")}
                        for i, (expression, legend) in enumerate(targets)]})
        self.at = [12, y] if x == 0 else [0, y + 8]

    def document(self):
        source = {"type": "prometheus", "uid": "${datasource}"}

        def values(name, label, selector, multi):
            return {"name": name, "type": "query", "datasource": source, "refresh": 2,
                    "query": {"query": f"label_values(weir_build_info{selector}, {label})",
                              "refId": name},
                    "multi": multi, "includeAll": multi, "sort": 1}
        return {
            "uid": f"weir-{self.name}", "title": self.title, "tags": ["weir"], "editable": True,
            "schemaVersion": 38, "timezone": "browser", "refresh": "30s", "links": [],
            "time": {"from": "now-1h", "to": "now"}, "annotations": {"list": []},
            "templating": {"list": [
                {"name": "datasource", "type": "datasource", "query": "prometheus"},
                values("job", "job", "", False),
                values("instance", "instance", '{job="$job"}', True)]},
            "panels": self.panels}


def dashboard(name, title, page):
    board = Dashboard(name, title)
    board.row("First")
    for first in FIRST[name]:
        board.panel(first[0], "", *first[1:])
    for section, rows in rows_of(page):
        board.row(section)
        for metric, kind, meaning in rows:
            board.panel(metric, plain(meaning), unit_of(metric), targets_of(metric, kind))
    return board.document()


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else HERE
    for name, title, page in (("edge", "Weir: edges", "metrics.md"),
                              ("backend", "Weir: backend", "backend-metrics.md")):
        path = os.path.join(folder, f"weir-{name}.json")
        with open(path, "w", encoding="utf-8") as out:
            json.dump(dashboard(name, title, page), out, indent=1, ensure_ascii=False)
            out.write("\n")


if __name__ == "__main__":
    main()
