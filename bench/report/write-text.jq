# The report as text.

def n: if . == null then "-" else tostring end;
def times: "p50 \(.p50_ms) ms, p99 \(.p99_ms) ms, max \(.max_ms) ms";

(.commands // {} | to_entries[]
    | "\(.key): \(.value.api.per_second | n)/s through the edge (p99 \(.value.api.p99_ms | n) ms); "
    + "pgbench \(.value.pgbench_best.per_second | round)/s at best "
    + "(\(.value.pgbench_best.clients) clients): ratio \(.value.ratio_to_pgbench | n); "
    + "batches of one \(.value.api_batch_1.per_second | n)/s: "
    + "ratio \(.value.ratio_to_batch_1 | n)"),
(if .commands then
    "half load: \(.half_load.per_second)/s of \(.half_load.wanted_per_second), "
        + "p50 \(.half_load.p50_ms) ms, p99 \(.half_load.p99_ms) ms",
    "relay: \(.relay.events_per_second) events/s; "
        + "relay and one group: \(.relay_and_one_group.events_per_second) events/s"
else empty end),
"from commit to commit at \(.latency.per_second)/s: \(.latency | times)",
(.latency.stages[] | "    \(.stage): \(times)"),
"    an fdatasync of the same disk meanwhile: \(.latency.fsync | times)",
"others used \(.facts.others_busy_median * 100 | round)% of the machine between the rounds"
