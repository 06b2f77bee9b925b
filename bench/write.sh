#!/bin/bash
# write.sh: what durable writes through the edge cost, beside PostgreSQL alone.
# docs/internals/benchmarks.md tells what is measured and how to read it.
#
# Runs a stack of its own, as ./weir up makes it: PostgreSQL on the disk with
# synchronous_commit, Redis, the backend (api, relay and worker in one process),
# nginx.  A second api with batch_max = 1 stands behind a second nginx.
#
# shellcheck disable=SC2154  # lib.sh sets them
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin

usage() {
    cat <<'END'
usage: ./weir bench write [OPTION...]

  --rounds N       rounds, each contestant once in each (5)
  --seconds S      how long a contestant runs in a round (3)
  --events N       events of one measurement of relay and consumers (50000)
  --connections N  of wrk (64)
  --clients "N..." of pgbench ("8 16 32 64")
  --only latency   from commit to commit only, in seconds instead of minutes
  --against FOLDER another checkout of Weir: only signups and orders through the edge, of its build
                   and of this one in turn, and the ratio of their CPU time per request

Writes build/bench-write.json, with --against build/bench-write-against.json.
END
}

# shellcheck source=bench/lib/stack.sh
. bench/lib/stack.sh
# shellcheck source=bench/lib/latency.sh
. bench/lib/latency.sh

rounds=5 seconds=3 events=50000 connections=64 clients="8 16 32 64" only='' against=''
bench_options "rounds seconds events connections clients only against" "$@"
bench_number --rounds "$rounds" 1 1000
bench_number --seconds "$seconds" 1 3600
bench_number --events "$events" 1000 5000000
bench_number --connections "$connections" 1 1000
[ -z "$only" ] || [ "$only" = latency ] || fail_usage "--only is \"$only\"; it must be \"latency\""
read -ra clients <<<"$clients"
[ ${#clients[@]} -gt 0 ] || fail_usage "--clients is empty"
for n in "${clients[@]}"; do bench_number --clients "$n" 1 64; done
[ -z "$against" ] || bench_other_build

scripts/packages.sh run
scripts/packages.sh bench

# --- the stack ----------------------------------------------------------------

# The slowest group, which is paused, must not stop the relay.
export WEIR_STREAM_LIMIT=10000000
if [ -n "$against" ]; then
    # shellcheck source=bench/lib/two-builds.sh
    . bench/lib/two-builds.sh
    compare_builds
    exit
fi
bench_begin
# pgbench has more clients than the stack allows; the latency's stages need the times of commits.
as_superuser "ALTER SYSTEM SET max_connections = 120"
as_superuser "ALTER SYSTEM SET track_commit_timestamp = on"
scripts/down.sh >/dev/null 2>&1
bench_up
one_api=$((WEIR_PORT + 8)) one_edge=$((WEIR_PORT + 9))

start_one() {
    local dir=$bench_run/one
    mkdir -p "$dir/nginx"
    WEIR_BATCH_MAX=1 WEIR_LISTEN=127.0.0.1:$one_api WEIR_METRICS_LISTEN=off \
        build/weir-backend -c "$conf" api >"$dir/api.log" 2>&1 &
    bench_pids+=($!)
    sed -e "s|127.0.0.1:$backend_port|127.0.0.1:$one_api|" \
        -e "s|listen 127.0.0.1:$edge_port|listen 127.0.0.1:$one_edge|" \
        -e "s|$home/nginx|$dir/nginx|g; s|$run/logs|$dir|g" "$run/edge.conf" >"$dir/nginx.conf"
    nginx -e "$dir/nginx.log" -p "$dir/nginx" -c "$dir/nginx.conf" &
    bench_pids+=($!)
    wait_until 20 curl -sf -m 2 -o /dev/null "http://127.0.0.1:$one_edge/health" ||
        die "the second api does not answer" "$(tail -n 5 "$dir/api.log" "$dir/nginx.log")"
}

# --- contestants ----------------------------------------------------------------------

record() { jq -c . <<<"$1" >>"$bench_run/measured"; }

# measure_pgbench KIND CLIENTS ROUND
measure_pgbench() {
    local out rate
    out=$(pgbench -n -M prepared -c "$2" -j 1 -T "$seconds" -f "bench/load/pgbench-$1.sql" \
        -D user_id="$user_id" -h "$pg_socket" -p "$pg_port" -U weir weir 2>&1) ||
        die "pgbench failed" "$out"
    rate=$(sed -n 's/^tps = \([0-9.]*\).*/\1/p' <<<"$out")
    # It prints none when the machine let not one transaction end.
    if [ -z "$rate" ] && grep -q 'actually processed: 0$' <<<"$out"; then rate=0; fi
    [ -n "$rate" ] || die "pgbench printed no rate" "$out"
    record "{\"kind\":\"$1\",\"who\":\"pgbench\",\"clients\":$2,\"round\":$3,\"per_second\":$rate}"
}

# measure_api WHO PORT KIND ROUND
measure_api() {
    local before after
    before=$(sql "SELECT (SELECT count(*) FROM users) + (SELECT count(*) FROM orders)")
    load "$3" "$2" "$seconds" 0
    after=$(sql "SELECT (SELECT count(*) FROM users) + (SELECT count(*) FROM orders)")
    # Answers that wrk did not wait for may be in the tables, never the other way round.
    awk -v rows=$((after - before)) -v rate="$(jq .per_second <<<"$loaded")" -v s="$seconds" \
        'BEGIN { exit !(rows >= rate * s * 0.98) }' ||
        die "$1: $((after - before)) rows for $loaded in $seconds s"
    record "$(jq -c ". + {kind: \"$3\", who: \"$1\", round: $4}" <<<"$loaded")"
}

# --- relay and consumers ------------------------------------------------------------------

# put_events N: commits N signups with their events at once.
put_events() {
    bench_unique=$((bench_unique + 1))
    sql "SELECT count(*) FROM signup(
        (SELECT array_agg(gen_random_uuid()) FROM generate_series(1, $1)),
        (SELECT array_agg('put-$bench_unique-' || g || '@example.com')
            FROM generate_series(1, $1) g),
        (SELECT array_agg('Put'::text) FROM generate_series(1, $1)),
        (SELECT array_agg(gen_random_uuid()) FROM generate_series(1, $1)),
        (SELECT array_agg('00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'::text)
            FROM generate_series(1, $1)))" >/dev/null
}

now_ms() { date +%s%3N; }

analytics_is_through() {
    backlog_is_empty && [ "$(sql "SELECT bool_and(c.handled = p.position) FROM consumer_partitions c
        JOIN partitions p USING (partition) WHERE c.group_name = 'analytics'")" = t ]
}

# measure_events KIND ROUND: how long the relay (and, for "consume", the group analytics) takes for
# $events.
measure_events() {
    local start took through=backlog_is_empty
    if [ "$1" = consume ]; then
        through=analytics_is_through
        ctl groups resume analytics >/dev/null
    fi
    put_events "$events"
    start=$(now_ms)
    wait_until 300 "$through" || die "$events events were not handled within 300 s"
    took=$(($(now_ms) - start + 1))
    record "{\"kind\":\"$1\",\"round\":$2,\"per_second\":$((events * 1000 / took))}"
    ctl groups pause --all >/dev/null
}

# measure_half ROUND: the p99 at half of the rate that signups have reached.
measure_half() {
    local rate wanted
    rate=$(jq -s 'map(select(.kind == "signup" and .who == "api").per_second)
        | sort | .[length / 2 | floor]' "$bench_run/measured")
    wanted=$((${rate%.*} / 2))
    pace signup "$edge_port" "$wanted"
    load signup "$edge_port" "$seconds" "$pause_ms"
    record "$(jq -c ". + {kind: \"half\", round: $1, wanted: $wanted}" <<<"$loaded")"
}

# --- main -----------------------------------------------------------------------------------------

facts() {
    bench_facts | jq --argjson rounds "$rounds" --argjson seconds "$seconds" \
        --argjson wrk_connections "$connections" --argjson events "$events" \
        --argjson others_busy_median "$(bench_others)" '. + $ARGS.named'
}

start_one
make_user_id "$edge_port"
latency_prepare
pause_groups
: >"$bench_run/measured"

for ((round = 1; round <= rounds; round++)); do
    echo "bench: round $round of $rounds" >&2
    settle
    bench_machine_busy >>"$bench_run/others"
    if [ -n "$only" ]; then
        measure_latency "$round"
        continue
    fi
    for kind in signup orders; do
        # Turns: who comes first changes from round to round.
        turns=(api one "${clients[@]}")
        for ((i = 0; i < ${#turns[@]}; i++)); do
            turn=${turns[(i + round - 1) % ${#turns[@]}]}
            settle
            case $turn in
            api) measure_api api "$edge_port" "$kind" "$round" ;;
            one) measure_api api-batch-1 "$one_edge" "$kind" "$round" ;;
            *) measure_pgbench "$kind" "$turn" "$round" ;;
            esac
        done
    done
    settle
    measure_half "$round"
    for kind in relay consume; do
        settle
        measure_events "$kind" "$round"
    done
    settle
    measure_latency "$round"
done

mkdir -p build
jq -s --argjson facts "$(facts)" -f bench/report/write.jq "$bench_run/measured" \
    >build/bench-write.json
bench_print write
