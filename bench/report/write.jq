# The report: from one line per measurement (slurped) and $facts. Medians over the rounds; rounds with
# errors are left out and counted.

def median: if length == 0 then null else sort | .[length / 2 | floor] end;
def good: map(select((.errors // 0) == 0));
def of($kind; $who): map(select(.kind == $kind and .who == $who));
def ratio($a; $b): if $a == null or $b == null or $b == 0 then null else $a / $b * 1000 | round / 1000 end;

# Of several percentiles each its median; of the longest times the longest.
def percentiles: {p50_ms: (map(.p50_ms) | median), p99_ms: (map(.p99_ms) | median), max_ms: (map(.max_ms) | max)};

. as $all
| def command($kind):
    ($all | of($kind; "pgbench") | group_by(.clients)
        | map({clients: .[0].clients, per_second: (map(.per_second) | median)})) as $pgbench
    | ($pgbench | max_by(.per_second)) as $best
    | ($all | of($kind; "api")) as $api
    | ($all | of($kind; "api-batch-1")) as $one
    | {pgbench: $pgbench, pgbench_best: $best,
       api: {per_second: ($api | good | map(.per_second) | median), p99_ms: ($api | good | map(.p99_ms) | median),
             bad_rounds: (($api | length) - ($api | good | length))},
       api_batch_1: {per_second: ($one | good | map(.per_second) | median),
                     bad_rounds: (($one | length) - ($one | good | length))}}
    | . + {ratio_to_pgbench: ratio(.api.per_second; $best.per_second),
           ratio_to_batch_1: ratio(.api.per_second; .api_batch_1.per_second)};
({facts: $facts,
 commands: {signup: command("signup"), orders: command("orders")},
 half_load: ($all | map(select(.kind == "half"))
    | {wanted_per_second: (map(.wanted) | median), per_second: (map(.per_second) | median),
       p50_ms: (map(.p50_ms) | median), p99_ms: (map(.p99_ms) | median)}),
 relay: {events_per_second: ($all | map(select(.kind == "relay").per_second) | median)},
 relay_and_one_group: {events_per_second: ($all | map(select(.kind == "consume").per_second) | median)},
 latency: ($all | map(select(.kind == "latency"))
    | {per_second: (map(.per_second) | median)} + (map(.whole) | percentiles)
    + {stages: (map(.stages) | transpose | map({stage: .[0].stage} + percentiles)), fsync: (map(.fsync) | percentiles)}),
 rounds: $all}
 # With --only latency the others have no figures.
 | if any($all[]; .kind == "signup") then . else {facts, latency, rounds} end)
