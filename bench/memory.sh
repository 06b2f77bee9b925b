#!/bin/bash
# memory.sh: what an entry of 1 KiB takes in the first level's memory.
# docs/internals/benchmarks.md tells more.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'END'
usage: ./weir bench memory

Fills a zone of 64 MiB with answers of 1 KiB, each under a URI of its own, until it evicts;
prints the zone's size divided by its entries.  Fails above 1536 bytes.
Writes build/bench-memory.json.
END
}

# shellcheck source=bench/lib/processes.sh
. bench/lib/processes.sh

most=1536        # bytes that an entry may take
zone=67108864    # as bench/conf/weir-alone.conf has it

bench_options "" "$@"

scripts/packages.sh bench
make -s module

bench_begin
bench_body 1
bench_start_nginx upstream
bench_start_nginx weir-alone

turn=0
while [ "$(bench_status weir-alone .evicted)" = 0 ]; do
    turn=$((turn + 1))
    [ $turn -le 100 ] || die "the zone has evicted nothing after $turn seconds of different URIs"
    UNIQUE=$turn wrk -t 1 -c 64 -d 1 -s "bench/load/wrk.lua" \
        "http://127.0.0.1:${bench_port[weir-alone]}/1" >"$bench_dir/wrk.out" ||
        die "wrk failed: $(cat "$bench_dir/wrk.out")"
done
[ "$(bench_status weir-alone .refused)" = 0 ] ||
    die "the zone has refused entries; it is not full of them alone"

mkdir -p build
curl -sS "127.0.0.1:${bench_port[weir-alone]}/weir-status" |
    jq --argjson facts "$(bench_machine)" --argjson zone "$zone" -f bench/report/memory.jq \
        >build/bench-memory.json
bench_print memory
[ "$(jq .bytes_per_entry build/bench-memory.json)" -le $most ] ||
    die "an entry takes more than $most bytes"
