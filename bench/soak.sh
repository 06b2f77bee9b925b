#!/bin/bash
# soak.sh: does the memory of Weir's processes stay what it is while the whole stack works?
# docs/internals/benchmarks.md tells what is measured and how to read it.
#
# shellcheck disable=SC2154  # lib.sh and stack.sh set them
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'END_OF_USAGE'
usage: ./weir bench soak [OPTION...]

  --minutes N   how long, from 3 to 1440 (10)
  --rate N      requests a second (300)

Metrics, traces (a tenth of them, and those that fail or are slow), their publication, costs and the
page are on; a page is open, and all metrics are scraped every five seconds.

Writes build/bench-soak.json. Exit code 1 when a process has grown by more than 5% between minute 2
and the end or is not there any more, when all together have 5% more descriptors then, when a
request was not answered, when an event is a dead letter, or when spans are lost or there twice.
END_OF_USAGE
}

# shellcheck source=bench/lib/stack.sh
. bench/lib/stack.sh

minutes=10 rate=300
bench_options "minutes rate" "$@"
bench_number --minutes "$minutes" 3 1440
bench_number --rate "$rate" 1 10000

scripts/packages.sh run
scripts/packages.sh bench
# shellcheck disable=SC2034  # stack.sh reads it
bench_trace=on
bench_begin

# --- everything on ----------------------------------------------------------------------

sed -i -e 's/^ *weir_exporter/weir_trace_publish main; weir_server_timing on; &/' \
    -e 's/^ *weir_trace  *on;/weir_trace ratio=0.1 slow=p99 errors=on;/' "$run/edge.conf"
grep -q 'ratio=0.1' "$run/edge.conf" || die "$run/edge.conf has no \"weir_trace on\""
stop_service nginx
start_nginx
wait_until 20 answers_nginx || die "the edge does not answer" "$(tail -n 5 "$run/logs/nginx.log")"
operators=http://127.0.0.1:$operators_port

# --- the backend's roles, each a process ---------------------------------------------

stop_service backend
# worker-2 has no listener: a benchmark has two ports beside the stack's.
declare -A metrics_of=([api]=$metrics_port [relay]=$((operators_port + 1))
    [worker-1]=$((operators_port + 2)))
declare -A pid_of_process # name in the report → pid

# start_role NAME ROLE: shellcheck cannot see that bench_end reads bench_pids.
start_role() {
    local listen=off
    [ -z "${metrics_of[$1]:-}" ] || listen=127.0.0.1:${metrics_of[$1]}
    # So little is full after a minute; what is held by default grows for a quarter of an hour.
    WEIR_METRICS_LISTEN=$listen WEIR_TRACES_LATE_BUFFER=1m \
        build/weir-backend -c "$conf" "$2" >"$bench_run/$1.log" 2>&1 &
    bench_pids+=($!)
    pid_of_process[$1]=$!
}
start_role api api
start_role relay relay
start_role worker-1 worker
start_role worker-2 worker
wait_until 20 answers_backend || die "the api does not answer" "$(tail -n 5 "$bench_run/api.log")"

master=$(pid_of nginx)
pid_of_process[nginx-master]=$master
# Also what else nginx may start as a worker: all its children.
n=0
for child in $(pgrep -P "$master"); do
    n=$((n + 1))
    pid_of_process[nginx-worker-$n]=$child
done
[ "$n" -gt 0 ] || die "nginx has no workers"

# Not Weir's: shown, not judged.
for name in redis payments; do pid_of_process["($name)"]=$(pid_of "$name"); done

# --- sampling --------------------------------------------------------------------------

# A page that is open: its event stream.
watch() {
    curl -sS -N -H 'Accept: text/event-stream' "$operators/?events" >"$bench_run/page" \
        2>"$bench_run/page.error" &
    page=$!
    bench_pids+=("$page")
}

# What Prometheus, the page and weirctl ask for; the result of the last time is kept.
scrape() {
    local name
    curl -sSf -H 'Accept: application/openmetrics-text' -o "$bench_run/edge.metrics" \
        "$operators/metrics"
    curl -sSf -o "$bench_run/edge.status" "$operators/status"
    for name in "${!metrics_of[@]}"; do
        curl -sSf -o "$bench_run/$name.metrics" "http://127.0.0.1:${metrics_of[$name]}/metrics"
    done
    curl -sSf -o "$bench_run/traces" "$operators/traces"
}

# One line of JSON per process: its memory in kB and its descriptors. rss is without shared memory,
# which is the zones' in nginx: it fills up to the size that the configuration gives it.
sample() {
    local name descriptors
    for name in "${!pid_of_process[@]}"; do
        descriptors=$(find "/proc/${pid_of_process[$name]}/fd" -type l 2>/dev/null | wc -l)
        awk -v descriptors="$descriptors" -v name="$name" -v second="$1" '
            /^RssAnon:/ { anon = $2 }
            /^RssFile:/ { file = $2 }
            /^RssShmem:/ { shared = $2 }
            END {
                printf "{\"process\":\"%s\",\"second\":%d,", name, second
                printf "\"descriptors\":%d,", descriptors
                printf "\"rss_kb\":%d,\"anon_kb\":%d,\"shared_kb\":%d}\n", anon + file, anon, shared
            }' "/proc/${pid_of_process[$name]}/status" 2>/dev/null ||
            die "$name has ended" "$(tail -n 5 "$bench_run/$name.log" 2>/dev/null)"
    done >>"$bench_run/samples"
}

: >"$bench_run/samples"
connections=16
bench_machine_busy >"$bench_run/others"
# A turn of a connection is its pause and an answer's time, some milliseconds.
(
    # shellcheck disable=SC2034  # bench_run_wrk reads it
    bench_lua=bench/load/soak.lua
    bench_run_wrk $connections $((minutes * 60)) "http://127.0.0.1:$edge_port/" \
        PAUSE_MS=$((connections * 1000 / rate))
    echo "$loaded" >"$bench_run/loaded"
) &
wrk_shell=$!

watch
begin=$SECONDS
for ((second = 10; second <= minutes * 60 - 5; second += 5)); do
    while [ $((SECONDS - begin)) -lt $second ]; do sleep 0.2; done
    sample $second
    scrape || die "an answer to a scrape is missing"
done
wait "$wrk_shell" || exit 1

# All that was begun must come through: queues that only grow are a leak, too.
wait_until 120 is_through ||
    die "events wait still 120 s after the load's end" "$(ctl groups)"

# --- spans -------------------------------------------------------------------------------

# Values of the metrics $2 (a regular expression) of a role, added.
sum_of() {
    awk -v name="^$2[{ ]" '$0 ~ name { sum += $NF } END { printf "%d\n", sum }' \
        "$bench_run/$1.metrics"
}

# A line of JSON for each exporter.
spans() {
    local name
    jq -c '.exporter
        | {process: "edge", ended, sent, dropped: (.dropped | add), waiting: .queued}' \
        "$bench_run/edge.status"
    for name in "${!metrics_of[@]}"; do
        jq -nc --arg process "$name" --argjson ended "$(sum_of "$name" weir_spans_ended_total)" \
            --argjson sent "$(sum_of "$name" weir_spans_sent_total)" \
            --argjson dropped "$(sum_of "$name" weir_spans_dropped_total)" \
            --argjson waiting "$(sum_of "$name" weir_spans_waiting)" '$ARGS.named'
    done
}

# Nothing waits any more, but for what the scrapes themselves have begun.
are_sent() {
    scrape && spans >"$bench_run/spans" &&
        jq -se 'all(.[]; .ended == .sent + .dropped)' "$bench_run/spans" >/dev/null
}

wait_until 60 are_sent || true
# The receiver's file has the newest spans.
jq -r '.resourceSpans[].scopeSpans[].spans[] | .traceId + .spanId' "$home"/traces/spans.jsonl* |
    sort | uniq -d | wc -l >"$bench_run/twice"
kill -0 "$page" || die "the page's event stream has ended" "$(cat "$bench_run/page.error")"
grep -c '^data:' "$bench_run/page" >"$bench_run/page.events"

# --- the report --------------------------------------------------------------------------

mkdir -p build
facts() {
    bench_facts | jq --argjson minutes "$minutes" \
        --argjson others_busy "$(cat "$bench_run/others")" '. + $ARGS.named'
}
jq -s --argjson facts "$(facts)" --argjson loaded "$(cat "$bench_run/loaded")" \
    --argjson dead "$(sql 'SELECT count(*) FROM dead_letters')" \
    --slurpfile spans "$bench_run/spans" --argjson twice "$(cat "$bench_run/twice")" \
    --argjson page_events "$(cat "$bench_run/page.events")" \
    --argjson events "$(sql 'SELECT sum(position) FROM partitions')" -f bench/report/soak.jq \
    "$bench_run/samples" >build/bench-soak.json
bench_print soak
jq -e '(.processes | map(select(.grown)) == []) and .dead_letters == 0
        and .load.socket_errors == 0 and .descriptors.end <= .descriptors.minute_2 * 1.05
        and .spans_twice == 0
        and all(.spans[]; .ended == .sent and .sent > 0)' build/bench-soak.json >/dev/null ||
    die "the table above has what must not be"
