#!/bin/bash
# storm.sh: how often a cache asks the upstream when many clients want the
# same thing that it doesn't have.  docs/internals/benchmarks.md tells more.
set -euo pipefail
cd "$(dirname "$0")/.."

# name | what the upstream may be asked for one key at most | about
#
# A contestant of two boxes is NAME and NAME-2, each asked by half of the clients.
table='
proxy-cache     | -|proxy_cache
proxy-cache-lock| -|proxy_cache with proxy_cache_lock
srcache-redis   | -|srcache with Redis through Lua
varnish         | -|Varnish
weir-alone      | 1|weir_cache without Redis
weir-memory     | 1|weir_cache with Redis
weir-two-boxes  | 1|two nginx with weir_cache and the same Redis
'

usage() {
    cat <<'END'
usage: ./weir bench storm [OPTION...]

  --rounds N       storms of each contestant, each on a key of its own (5)
  --clients N      of wrk, all at once (500)

Fails when the upstream was asked more than once for a key by Weir.
Writes build/bench-storm.json.
END
}

# shellcheck source=bench/lib/processes.sh
. bench/lib/processes.sh

rounds=5 clients=500
bench_options "rounds clients" "$@"
bench_number --rounds "$rounds" 1 1000
bench_number --clients "$clients" 2 1000

scripts/packages.sh bench
make -s module

bench_begin
bench_body 1
bench_start_nginx upstream upstream-slow

# wrk_storm NAME PATH CLIENTS: one thread; each client asks for two seconds.
wrk_storm() {
    wrk -t 1 -c "$3" -d 2 --timeout 10 -s "bench/load/wrk.lua" \
        "http://127.0.0.1:${bench_port[$1]}/$2" >"$bench_dir/wrk.$1" ||
        die "wrk failed: $(cat "$bench_dir/wrk.$1")"
}

# storm NAME ROUND: sets asked, and slowest to the longest that an answer took, in µs.
storm() {
    local name=$1 path="1?storm=$1-$2" before boxes box errors longest pids=()
    slowest=0
    boxes=("$name")
    [ -z "${bench_port[$name-2]:-}" ] || boxes+=("$name-2")

    bench_upstream_requests
    before=$upstream_requests
    for box in "${boxes[@]}"; do
        wrk_storm "$box" "$path" $((clients / ${#boxes[@]})) &
        pids+=($!)
    done
    wait "${pids[@]}"
    bench_upstream_requests
    asked=$((upstream_requests - before))

    for box in "${boxes[@]}"; do
        errors=$(grep '^{' "$bench_dir/wrk.$box" | jq '.socket_errors + .bad_statuses')
        [ "$errors" = 0 ] || die "$box answered $errors requests of a storm badly"
        longest=$(grep '^{' "$bench_dir/wrk.$box" | jq .max_us)
        slowest=$((longest > slowest ? longest : slowest))
    done
    [ "$asked" -ge 1 ] || die "$name never asked the upstream for /$path"
}

failed=''
while IFS='|' read -r name most about; do
    name=${name// /} most=${most// /}
    [ -n "$name" ] || continue
    case $name in
    varnish) bench_start_varnish varnish ;;
    weir-two-boxes)
        bench_start_nginx "$name" weir-memory
        bench_redis_of[$name-2]=$name
        bench_start_nginx "$name-2" weir-memory
        ;;
    *) bench_start_nginx "$name" ;;
    esac

    for ((round = 1; round <= rounds; round++)); do
        storm "$name" "$round"
        echo "bench: $name, storm $round of $rounds: the upstream was asked $asked times" >&2
        jq -nc --arg name "$name" --arg about "$about" --argjson asked "$asked" \
            --argjson slowest_us "$slowest" '$ARGS.named' >>"$bench_dir/storms"
        if [ "$most" != - ] && [ "$asked" -gt "$most" ]; then
            failed="$failed $name"
        fi
    done
done <<<"$table"

mkdir -p build
jq -s --argjson facts "$(bench_machine)" --argjson clients "$clients" \
    '$facts + {clients: $clients, storms: .}' "$bench_dir/storms" >build/bench-storm.json
bench_print storm
[ -z "$failed" ] || die "the upstream was asked more than once for a key by:$failed"
