#!/bin/bash
# invalidate.sh: how long after an invalidation the old answer is still
# given.  docs/internals/benchmarks.md tells what is measured; bench/tools/invalidate.c does it.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'END'
usage: ./weir bench invalidate [OPTION...]

  --seconds S        how long keys are invalidated (60)
  --rate N           invalidations a second (200)
  --keys N           different keys (500)
  --connections N    clients of each of the two edges, asking without a pause (16)
  --wrk N            connections of wrk to each edge besides (0)

Fails when an answer was stale for longer than weir_cache_staleness, or when an edge has
an old version at the end.  Writes build/bench-invalidate.json.
END
}

# shellcheck source=bench/lib/processes.sh
. bench/lib/processes.sh

seconds=60 rate=200 keys=500 connections=16 wrk=0
bench_options "seconds rate keys connections wrk" "$@"
bench_number --seconds "$seconds" 1 3600
bench_number --rate "$rate" 1 10000
bench_number --keys "$keys" 1 100000
bench_number --connections "$connections" 1 256
[ "$wrk" = 0 ] || bench_number --wrk "$wrk" 1 256

scripts/packages.sh bench
make -s module bench

bench_begin
echo 1 >"$bench_dir/files/1"
bench_take_port upstream
bench_start_nginx edge-1 weir-invalidate
bench_redis_of[edge-2]="edge-1"
bench_start_nginx edge-2 weir-invalidate
for edge in edge-1 edge-2; do
    bench_wait "the follower of $edge" bench_follows "$edge"
done

# bench_start_wrk EDGE: asks for the keys in turn until it is stopped.
bench_start_wrk() {
    KEYS=$keys wrk -t 1 -c "$wrk" -d "$((seconds + 30))" -s "bench/load/wrk-keys.lua" \
        "http://127.0.0.1:${bench_port[$1]}/" >/dev/null &
    bench_pids+=($!)
}
others=$(bench_machine_busy)
if [ "$wrk" != 0 ]; then
    bench_start_wrk edge-1
    bench_start_wrk edge-2
fi

mkdir -p build
status=0
build/bench-invalidate --redis "$bench_dir/edge-1/redis.sock" \
    --upstream-port "${bench_port[upstream]}" \
    --edge-port "${bench_port[edge-1]}" --edge-port "${bench_port[edge-2]}" --staleness 2000 \
    --seconds "$seconds" --rate "$rate" --keys "$keys" --connections "$connections" \
    >"$bench_dir/result" || status=$?
[ "$status" -le 1 ] || die "it could not be measured, see above"

jq --argjson facts "$(bench_machine)" --argjson wrk_connections "$wrk" \
    --argjson others_busy "$others" '. + $facts + ($ARGS.named | del(.facts))' \
    "$bench_dir/result" >build/bench-invalidate.json
bench_print invalidate
exit "$status"
