#!/bin/bash
# observe.sh: what metrics and traces cost, in requests per second and P99, whatever the collector
# does. docs/internals/benchmarks.md tells more.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'END'
usage: ./weir bench observe [--rounds N] [--seconds N]

Loads an edge with hits of 1 KiB, and with proxied requests of 1 KiB: without metrics and traces,
with metrics, with a tenth of all traces, with all; and with a tenth while the collector is gone,
accepts and never answers, or answers 503 with Retry-After. All in turn in each round; the result is
the median of the ratios within the rounds.

  --rounds N      rounds (7)
  --seconds N     of a load (3)

Writes build/bench-observe.json.
END
}

# shellcheck source=bench/lib/processes.sh
. bench/lib/processes.sh
# shellcheck source=bench/lib/collectors.sh
. bench/lib/collectors.sh

rounds=7
seconds=3

bench_options "rounds seconds" "$@"
bench_number --rounds "$rounds" 1 100
bench_number --seconds "$seconds" 1 600

scripts/packages.sh bench
make -s module

declare -A http location collector
contestants=(none metrics traces-10 traces-100 both gone hung busy)
export_to='weir_exporter otlp http://127.0.0.1:@collector@; weir_trace'
http=([none]='' [metrics]='' [traces-100]="$export_to on;")
location=([metrics]='weir_metrics;' [both]='weir_metrics;')
collector=([gone]=gone-collector [hung]=hung-collector)
for name in traces-10 both gone hung busy; do
    http[$name]="$export_to ratio=0.1;"
done
http[busy]=${http[busy]/@collector@/@collector@/busy/v1/traces}

# start NAME: its edge, with its collector.
start() {
    sed -e "s|@http@|${http[$1]}|" -e "s|@location@|${location[$1]:-}|" \
        -e "s|@collector@|${bench_port[${collector[$1]:-collector}]}|" \
        bench/conf/instructions.conf >"$bench_dir/conf/$1.conf"
    bench_start_nginx "$1"
    bench_wait "a hit of $1" is_hit "$1"
}

is_hit() {
    bench_get "$1" hit/1 && bench_head '^Cache-Status: .*; hit'
}

# load NAME PATH ROUND: a line of JSON.
load() {
    wrk -t 1 -c 16 -d "$seconds" -s bench/load/done.lua "http://127.0.0.1:${bench_port[$1]}$2" |
        grep '^{' | jq -c --arg name "$1" --arg path "$2" --argjson round "$3" \
        '{name: $name, path: $path, round: $round, per_second: (.requests / .duration_us * 1e6),
            p99_us, failed: (.socket_errors + .bad_statuses)}'
}

bench_begin
bench_body 1
bench_start_nginx upstream
bench_start_collectors
mkdir "$bench_dir/conf"
cp "$bench_conf/nginx.conf" "$bench_dir/conf/"
bench_conf=$bench_dir/conf
for name in "${contestants[@]}"; do
    start "$name"
done

for path in /hit/1 /1; do
    for ((round = 1; round <= rounds; round++)); do
        echo "bench: $path, round $round of $rounds" >&2
        for name in "${contestants[@]}"; do
            load "$name" "$path" "$round"
        done
    done
done >"$bench_dir/loaded"

mkdir -p build
jq -s --argjson facts "$(bench_machine)" -f bench/report/cost/observe.jq "$bench_dir/loaded" \
    >build/bench-observe.json
bench_print observe cost/observe
