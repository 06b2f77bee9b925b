#!/bin/bash
# p99.sh: is P99 what it is without traces, whatever the collector does, and what it is between two
# scrapes?  docs/internals/benchmarks.md tells more.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'END'
usage: ./weir bench p99 [OPTION...]

Hits and proxied requests of 1 KiB arrive at a constant rate: without traces; without them once
more; with a share of all traces, and a collector that takes them, is killed in each round, accepts
and never answers, answers 503 with Retry-After, or rejects some spans of each request. Besides:
with a page of 10,000 series that is scraped once in each round, and with one that is not. All take
turns in each round.

  --rounds N      rounds (40)
  --seconds N     of a load (1)
  --rate N        requests a second (5000)
  --kept N        traces in a hundred that are kept (10)

Writes build/bench-p99.json. Exit code 1 when a request failed, or when sent and dropped spans are
not those that ended.
END
}

# shellcheck source=bench/lib/processes.sh
. bench/lib/processes.sh
# shellcheck source=bench/lib/collectors.sh
. bench/lib/collectors.sh

rounds=40 seconds=1 rate=5000 kept=10

bench_options "rounds seconds rate kept" "$@"
bench_number --rounds "$rounds" 5 1000
bench_number --seconds "$seconds" 1 600
bench_number --rate "$rate" 100 100000
bench_number --kept "$kept" 1 100

scripts/packages.sh bench
make -s module bench

routes=300 # with which the page has more than 10,000 series

contestants=(none again sent killed hung busy partial series scraped)
declare -A collector=([sent]=collector [killed]=mortal-collector [hung]=hung-collector
    [busy]=collector [partial]=collector)
declare -A before_path=([busy]=/busy [partial]=/partial)

# --- the edges ------------------------------------------------------------------

# The processes that are measured have a core each: the edge the first one, and those around it the
# second one. With a real-time priority they do not wait for other programs.
real_time=false
chrt -f 10 true 2>/dev/null && real_time=true

# run_at CORE PRIORITY PID...
run_at() {
    local core=$1 priority=$2 pid
    for pid in "${@:3}"; do
        taskset -pc "$core" "$pid" >/dev/null
        [ $real_time = false ] || chrt -f -p "$priority" "$pid"
    done
}

http_of() {
    local url=http://127.0.0.1 i
    case $1 in
    none | again) ;;
    series | scraped)
        echo "weir_metrics_zone 64m; server { listen unix:$bench_dir/$1/routes.sock;"
        for ((i = 1; i <= routes; i++)); do echo "location = /$i { return 200; }"; done
        echo "}"
        ;;
    *)
        url+=:${bench_port[${collector[$1]}]}${before_path[$1]:-}/v1/traces
        echo "weir_exporter otlp $url; weir_trace ratio=$(jq -n "$kept / 100");"
        echo "weir_metrics_zone off;"
        ;;
    esac
}

# start NAME: its edge. /metrics of those with traces has the exporter's counts.
start() {
    local location=''
    [[ $1 != series && $1 != scraped ]] || location='weir_metrics;'
    [ -z "${collector[$1]:-}" ] || location='weir_status;'
    http_of "$1" >"$bench_dir/http"
    sed -e "/^@http@/{r $bench_dir/http" -e 'd}' -e "s|@location@|$location|" \
        bench/conf/instructions.conf >"$bench_dir/conf/$1.conf"
    bench_start_nginx "$1"
    bench_wait "a hit of $1" is_hit "$1"
    run_at 0 10 "${bench_cpu_pid[$1]}"
}

is_hit() {
    bench_get "$1" hit/1 && bench_head '^Cache-Status: .*; hit'
}

# Requests all routes, so that the page has their series.
fill_page() {
    seq -f "url = http://edge/%.0f" "$routes" |
        curl -s --unix-socket "$bench_dir/$1/routes.sock" -K -
    series=$(curl -s "127.0.0.1:${bench_port[$1]}/metrics" | grep -vc '^#')
    [ "$series" -ge 10000 ] || die "the page of $1 has $series series"
}

# The collector that is killed while it is in use.
start_mortal() {
    nginx -p "$bench_dir/mortal-collector" -c "$bench_dir/mortal-collector/nginx.conf" \
        -g 'master_process off;' &
    mortal=$!
    bench_pids+=("$mortal")
    disown "$mortal" # bash says nothing of its end
    bench_wait "the collector that will be killed" \
        curl -s "127.0.0.1:${bench_port[mortal-collector]}/"
    run_at_second_core "$mortal"
}

# What is not measured has no priority.
run_at_second_core() { taskset -apc 1 "$1" >/dev/null; }

make_mortal() {
    mkdir "$bench_dir/mortal-collector"
    bench_take_port mortal-collector
    bench_fill mortal-collector <bench/conf/collector.conf \
        >"$bench_dir/mortal-collector/contestant.conf"
    sed "s|@modules@||" bench/conf/nginx.conf | bench_fill mortal-collector \
        >"$bench_dir/mortal-collector/nginx.conf"
}

# --- measuring --------------------------------------------------------------------

# What happens during the load of that contestant.
meanwhile() {
    sleep "$(jq -n "$seconds / 2")"
    case $1 in
    killed) kill -KILL "$mortal" ;;
    scraped) taskset -c 1 curl -s -o "$bench_dir/page" "127.0.0.1:${bench_port[scraped]}/metrics" ;;
    esac
}

# load NAME PATH ROUND: a line of JSON.
load() {
    local real_time_at=() other
    [ $real_time = false ] || real_time_at=(chrt -f 20)
    meanwhile "$1" &
    other=$!
    "${real_time_at[@]}" taskset -c 1 \
        build/bench-paced "${bench_port[$1]}" "$2" "$rate" "$seconds" 64 |
        jq -c --arg name "$1" --arg path "$2" --argjson round "$3" '. + $ARGS.named'
    wait "$other" || die "$1 did not go as it should"
    [ "$1" != killed ] || start_mortal
}

# The resident set of an edge in KiB, without shared memory.
memory() {
    awk '/^Rss(Anon|File):/ { sum += $2 } END { print sum }' "/proc/${bench_cpu_pid[$1]}/status"
}

# A line of JSON for each edge: its memory now, and its exporter's counts.
states() {
    local name counts
    for name in "${contestants[@]}"; do
        counts=null
        [ -z "${collector[$name]:-}" ] ||
            counts=$(curl -sS "127.0.0.1:${bench_port[$name]}/metrics" | jq .exporter)
        jq -nc --arg name "$name" --arg at "$1" --argjson rss_kb "$(memory "$name")" \
            --argjson exporter "$counts" '$ARGS.named'
    done
}

bench_begin
bench_body 1
bench_start_nginx upstream
run_at 1 10 "${bench_cpu_pid[upstream]}"
bench_start_collectors
run_at_second_core "${bench_cpu_pid[collector]}"
make_mortal
start_mortal
mkdir "$bench_dir/conf"
cp "$bench_conf/nginx.conf" "$bench_dir/conf/"
bench_conf=$bench_dir/conf
for name in "${contestants[@]}"; do start "$name"; done
fill_page series
fill_page scraped

bench_machine_busy >"$bench_dir/others"
# Round 0 warms up.
for ((round = 0; round <= rounds; round++)); do
    echo "bench: round $round of $rounds" >&2
    [ "$round" != 1 ] || states begin >"$bench_dir/states"
    for path in /hit/1 /1; do
        for ((i = 0; i < ${#contestants[@]}; i++)); do
            load "${contestants[(i + round) % ${#contestants[@]}]}" "$path" "$round"
        done
    done
done >"$bench_dir/loaded"
states end >>"$bench_dir/states"

mkdir -p build
jq -n --argjson facts "$(bench_machine)" --argjson rate "$rate" --argjson kept "$kept" \
    --argjson seconds "$seconds" --argjson real_time "$real_time" --argjson series "$series" \
    --argjson others_busy "$(cat "$bench_dir/others")" \
    --slurpfile loads "$bench_dir/loaded" --slurpfile states "$bench_dir/states" \
    -f bench/report/cost/p99.jq >build/bench-p99.json
bench_print p99 cost/p99
jq -e '.failed == 0 and all(.edges[]; .lost == 0)' build/bench-p99.json >/dev/null ||
    die "requests have failed, or spans are neither sent nor dropped"
