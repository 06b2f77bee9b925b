#!/bin/bash
# instructions.sh: what metrics and traces cost, in instructions of the edge for a request.
# docs/internals/benchmarks.md tells more.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'END'
usage: ./weir bench instructions [--requests N]

Counts the instructions that nginx takes for a hit of 1 KiB, and for a proxied request of 1 KiB:
without metrics and traces, with metrics, with traces of which none, a tenth or all are kept, and
with a signed identity for the upstream, once a second or for each request.
callgrind counts, so other load on the machine does not matter. What one worker of a machine does
once a second, whatever the load, is told apart: the percentiles of the last minute, 15 minutes and
hour.

  --requests N    requests of a run (3000)

Writes build/bench-instructions.json.
END
}

# shellcheck source=bench/lib/processes.sh
. bench/lib/processes.sh

requests=3000
warm=500    # requests of the run whose instructions are subtracted: start, end, the first requests

bench_options "requests" "$@"
bench_number --requests "$requests" 100 1000000

scripts/packages.sh bench
scripts/packages.sh sanitize # valgrind
make -s module

declare -A http location
contestants=(none metrics traces-0 traces-10 traces-100 metrics-traces-10 identity
    identity-request)
export_to='weir_exporter otlp http://127.0.0.1:@collector@; weir_trace'
http=([none]='' [metrics]='' [traces-0]="$export_to ratio=0;" [traces-10]="$export_to ratio=0.1;"
    [traces-100]="$export_to on;" [metrics-traces-10]="$export_to ratio=0.1;"
    [identity]='weir_identity key=@key@ audience=shop;'
    [identity-request]='weir_identity key=@key@ audience=shop bind=request;')
location=([metrics]='weir_metrics;' [metrics-traces-10]='weir_metrics;')

# configure NAME: its folder, as bench_start_nginx makes it.
configure() {
    local dir=$bench_dir/$1
    mkdir -p "$dir/temp"
    bench_take_port "$1"
    sed -e "s|@http@|${http[$1]}|" -e "s|@location@|${location[$1]:-}|" \
        -e "s|@collector@|${bench_port[collector]}|" -e "s|@key@|$bench_dir/key.pem|" \
        bench/conf/instructions.conf |
        bench_fill "$1" >"$dir/contestant.conf"
    bench_modules "$1" bench/conf/instructions.conf >"$dir/modules.conf"
    sed "s|@modules@|include $dir/modules.conf;|" "$bench_conf/nginx.conf" |
        bench_fill "$1" >"$dir/nginx.conf"
}

# What runs once a second.
keeper=ngx_http_weir_series_windows_timer

# count NAME PATH REQUESTS: the instructions of an nginx from its start to its end, and of these the
# keeper's, with all that it calls.
count() {
    local dir=$bench_dir/$1 url=127.0.0.1:${bench_port[$1]} pid
    valgrind -q --tool=callgrind --callgrind-out-file="$dir/callgrind" \
        nginx -p "$dir" -c "$dir/nginx.conf" -g 'master_process off;' 2>>"$dir/valgrind.log" &
    pid=$!
    bench_pids+=("$pid")
    bench_wait "port of $1" curl -s "$url/1"
    # One connection, one request after the other.
    for ((n = 0; n < $3; n++)); do printf 'url = %s\noutput = /dev/null\n' "$url$2"; done |
        curl -sS -K - || die "curl failed against $1"
    kill -QUIT "$pid"
    wait "$pid" || die "nginx of $1 failed: $(tail -3 "$dir/valgrind.log")"
    # Behind a function's "fn=" come its own costs and, behind "calls=", those of what it calls.
    awk -v keeper=$keeper '
        /^c?fn=/ {
            split($0, part, /[()]/)
            if ($2 == keeper) id = part[2]
        }
        /^fn=/ { inside = (id != "" && part[2] == id) }
        inside && /^[-+*0-9]/ { sum += $2 }
        /^totals: / { total = $2 }
        END { print total, sum + 0 }' "$dir/callgrind"
}

bench_begin
bench_body 1
bench_start_nginx upstream
bench_start_nginx collector
openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$bench_dir/key.pem"
chmod 600 "$bench_dir/key.pem"

for name in "${contestants[@]}"; do
    configure "$name"
    for path in /hit/1 /1; do
        echo "bench: $name, $path" >&2
        read -r before before_keeper < <(count "$name" $path $warm)
        since=$(date +%s%3N)
        read -r after after_keeper < <(count "$name" $path $((warm + requests)))
        jq -n --arg name "$name" --arg path $path --argjson requests "$requests" \
            --argjson all $((after - before)) --argjson keeper $((after_keeper - before_keeper)) \
            --argjson last "$after_keeper" --argjson ms $(($(date +%s%3N) - since)) \
            '{$name, $path, instructions: (($all - $keeper) / $requests | round),
                keeper_per_second: ($last / $ms * 1000 | round)}'
    done
done >"$bench_dir/counted"

mkdir -p build
jq -s --argjson facts "$(bench_machine)" --argjson requests "$requests" \
    '$facts + {requests: $requests, results: .}' "$bench_dir/counted" \
    >build/bench-instructions.json
bench_print instructions cost/instructions
