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

Writes build/bench-soak.json. Exit code 1 when a process has grown by more than 5% between minute
2 and the end, or is not there any more.
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
bench_begin

# --- the backend's roles, each a process ---------------------------------------------

stop_service backend
declare -A pid_of_process # name in the report → pid

# start_role NAME ROLE: shellcheck cannot see that bench_end reads bench_pids.
start_role() {
    WEIR_METRICS_LISTEN=off build/weir-backend -c "$conf" "$2" >"$bench_run/$1.log" 2>&1 &
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

# One line of JSON per process: its memory in kB. rss is without shared memory, which is the zones'
# in nginx: it fills up to the size that the configuration gives it.
sample() {
    local name
    for name in "${!pid_of_process[@]}"; do
        awk -v name="$name" -v second="$1" '
            /^RssAnon:/ { anon = $2 }
            /^RssFile:/ { file = $2 }
            /^RssShmem:/ { shared = $2 }
            END {
                printf "{\"process\":\"%s\",\"second\":%d,", name, second
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

begin=$SECONDS
for ((second = 10; second <= minutes * 60 - 5; second += 5)); do
    while [ $((SECONDS - begin)) -lt $second ]; do sleep 0.2; done
    sample $second
done
wait "$wrk_shell" || exit 1

# All that was begun must come through: queues that only grow are a leak, too.
wait_until 120 is_through ||
    die "events wait still 120 s after the load's end" "$(ctl groups)"

# --- the report --------------------------------------------------------------------------

mkdir -p build
facts() {
    bench_facts | jq --argjson minutes "$minutes" \
        --argjson others_busy "$(cat "$bench_run/others")" '. + $ARGS.named'
}
jq -s --argjson facts "$(facts)" --argjson loaded "$(cat "$bench_run/loaded")" \
    --argjson dead "$(sql 'SELECT count(*) FROM dead_letters')" \
    --argjson events "$(sql 'SELECT sum(position) FROM partitions')" -f bench/report/soak.jq \
    "$bench_run/samples" >build/bench-soak.json
bench_print soak
jq -e '(.processes | map(select(.grown)) == []) and .dead_letters == 0' \
    build/bench-soak.json >/dev/null ||
    die "memory has grown, or events have become dead letters"
