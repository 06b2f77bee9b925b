# The report: from one line per measurement (slurped) and $facts. Medians over the rounds; rounds
# with errors are left out and counted.

def median: if length == 0 then null else sort | .[length / 2 | floor] end;
def median_of(f): map(f) | median;
def good: map(select((.errors // 0) == 0));
def bad_rounds: length - (good | length);
def of($kind): map(select(.kind == $kind));
def of($kind; $who): map(select(.kind == $kind and .who == $who));
def ratio($a; $b):
    if $a == null or $b == null or $b == 0 then null else $a / $b * 1000 | round / 1000 end;

# Of several percentiles each its median; of the longest times the longest.
def percentiles: {
    p50_ms: median_of(.p50_ms),
    p99_ms: median_of(.p99_ms),
    max_ms: (map(.max_ms) | max)
};

. as $all
| def command($kind):
    ($all | of($kind; "pgbench") | group_by(.clients)
        | map({clients: .[0].clients, per_second: median_of(.per_second)})) as $pgbench
    | ($pgbench | max_by(.per_second)) as $best
    | ($all | of($kind; "api")) as $api
    | ($all | of($kind; "api-batch-1")) as $one
    | {
        pgbench: $pgbench,
        pgbench_best: $best,
        api: {
            per_second: ($api | good | median_of(.per_second)),
            p99_ms: ($api | good | median_of(.p99_ms)),
            bad_rounds: ($api | bad_rounds)
        },
        api_batch_1: {
            per_second: ($one | good | median_of(.per_second)),
            bad_rounds: ($one | bad_rounds)
        }
    }
    | . + {
        ratio_to_pgbench: ratio(.api.per_second; $best.per_second),
        ratio_to_batch_1: ratio(.api.per_second; .api_batch_1.per_second)
    };
{
    facts: $facts,
    commands: {signup: command("signup"), orders: command("orders")},
    half_load: ($all | of("half") | {
        wanted_per_second: median_of(.wanted),
        per_second: median_of(.per_second),
        p50_ms: median_of(.p50_ms),
        p99_ms: median_of(.p99_ms)
    }),
    relay: {events_per_second: ($all | of("relay") | median_of(.per_second))},
    relay_and_one_group: {events_per_second: ($all | of("consume") | median_of(.per_second))},
    latency: ($all | of("latency") | {per_second: median_of(.per_second)}
        + (map(.whole) | percentiles)
        + {
            stages: (map(.stages) | transpose | map({stage: .[0].stage} + percentiles)),
            fsync: (map(.fsync) | percentiles)
        }),
    rounds: $all
}
# With --only latency the others have no figures.
| if any($all[]; .kind == "signup") then . else {facts, latency, rounds} end
