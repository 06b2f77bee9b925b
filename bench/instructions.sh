#!/bin/bash
# instructions.sh: what metrics, traces, tokens, breakers, limits and flags cost: instructions of
# the edge for a request, and requests per second.
# docs/internals/benchmarks.md tells more.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'END'
usage: ./weir bench instructions [--requests N] [--rounds N] [--seconds N]

Counts the instructions that nginx takes for a hit of 1 KiB, and for a proxied request of 1 KiB:
without metrics and traces, with metrics, with traces of which none, a tenth or all are kept, and
with a signed identity for the upstream, once a second or for each request; with a breaker, a limit,
a flag in a header line to the upstream (header: a line of the same length without one), and with
these three together (protected).
callgrind counts, so other load on the machine does not matter. What one worker of a machine does
once a second, whatever the load, is told apart: the percentiles of the last minute, 15 minutes and
hour.

Also counted is a proxied request with a token of 0.6 KiB, which is the same in all requests: passed
on by nginx (bearer), verified (jwt), and verified and compared with two requirements (jwt-require).

Behind that, each of the first ones is loaded in turn in each round, with 16 connections. Told are
the requests per second, and the processor's time that the worker takes for a request, which other
load on the machine changes less: medians, and medians of the ratios within the rounds.

  --requests N    requests of a counted run (3000)
  --rounds N      rounds of loads (7)
  --seconds N     of a load (2)

Writes build/bench-instructions.json.
END
}

# shellcheck source=bench/lib/processes.sh
. bench/lib/processes.sh

requests=3000
rounds=7
seconds=2
warm=500    # requests of the run whose instructions are subtracted: start, end, the first requests

bench_options "requests rounds seconds" "$@"
bench_number --requests "$requests" 100 1000000
bench_number --rounds "$rounds" 1 100
bench_number --seconds "$seconds" 1 600

scripts/packages.sh bench
scripts/packages.sh sanitize # valgrind
make -s module

declare -A http location
contestants=(none metrics traces-0 traces-10 traces-100 metrics-traces-10 bearer jwt
    jwt-require identity identity-request breaker limit header flag protected)
export_to='weir_exporter otlp http://127.0.0.1:@collector@; weir_trace'
http=([none]='' [metrics]='' [traces-0]="$export_to ratio=0;" [traces-10]="$export_to ratio=0.1;"
    [traces-100]="$export_to on;" [metrics-traces-10]="$export_to ratio=0.1;"
    [identity]='weir_identity key=@key@ audience=shop;'
    [identity-request]='weir_identity key=@key@ audience=shop bind=request;')
breaker='weir_breaker_zone breakers 1m; weir_breaker zone=breakers;'
limit='weir_limit_zone limits 1m; weir_limit zone=limits concurrent=100 queue=20 wait=100ms;'
flag='weir_redis flags unix:@redis@; weir_flags redis=flags; weir_flag checkout;'
flag+=" proxy_set_header X-Checkout \$weir_flag_checkout;"
http+=([breaker]=$breaker [limit]=$limit [flag]=$flag [protected]="$breaker $limit $flag"
    [header]='proxy_set_header X-Checkout 1;')
issuer='weir_jwt_issuer main { issuer https://issuer.example; audience api; jwks @jwks@; }'
http+=([jwt]="$issuer weir_jwt main;"
    [jwt-require]="$issuer weir_jwt main; weir_jwt_require scope=read claim=role=admin|user;")
location=([metrics]='weir_metrics;' [metrics-traces-10]='weir_metrics;')

# Those that are loaded.
loaded=(none metrics traces-0 traces-10 traces-100 metrics-traces-10)

# configuration NAME
configuration() {
    sed -e "s#@http@#${http[$1]:-}#" -e "s|@location@|${location[$1]:-}|" \
        -e "s|@jwks@|$bench_dir/jwks|" -e "s|@key@|$bench_dir/key.pem|" \
        -e "s|@collector@|${bench_port[collector]}|" bench/conf/instructions.conf
}

# configure NAME: its folder, as bench_start_nginx makes it.
configure() {
    local dir=$bench_dir/$1
    mkdir -p "$dir/temp"
    bench_take_port "$1"
    configuration "$1" | bench_fill "$1" >"$dir/contestant.conf"
    bench_modules "$1" bench/conf/instructions.conf >"$dir/modules.conf"
    sed "s|@modules@|include $dir/modules.conf;|" "$bench_conf/nginx.conf" |
        bench_fill "$1" >"$dir/nginx.conf"
}

base64url() { base64 -w0 | tr '+/' '-_' | tr -d =; }

# make_token: a key, its JWK Set, and a token in the form of a header line.
make_token() {
    local dir=$bench_dir now text
    now=$(date +%s)
    openssl genrsa -out "$dir/key" 2048 2>"$dir/openssl.log"
    jq -nc --arg n "$(openssl rsa -in "$dir/key" -noout -modulus | cut -d= -f2 | xxd -r -p |
        base64url)" '{keys: [{kty: "RSA", kid: "1", use: "sig", e: "AQAB", $n}]}' >"$dir/jwks"
    text=$(printf '{"alg":"RS256","kid":"1","typ":"at+jwt"}' | base64url).$(jq -njc \
        --argjson now "$now" '{iss: "https://issuer.example", aud: "api", sub: "user-1234567",
            client_id: "web", iat: $now, exp: ($now + 86400), jti: "5f1c9d0e-2f0c-4b0e",
            scope: "read write", role: "user"}' | base64url)
    printf 'Authorization: Bearer %s.%s\n' "$text" \
        "$(printf %s "$text" | openssl dgst -sha256 -sign "$dir/key" | base64url)" >"$dir/token"
}

# start_flags: a Redis with a flag that is on for one address or another.
start_flags() {
    local flag name
    mkdir "$bench_dir/flags"
    bench_start_redis flags
    for name in flag protected; do bench_redis_of[$name]=flags; done
    flag='{"state":"ENABLED","variants":{"on":"1","off":"0"},"defaultVariant":"off",'
    flag+='"targeting":{"fractional":[["on",50],["off",50]]}}'
    redis-cli -s "$bench_dir/flags/redis.sock" XADD weir:flags '*' name checkout flag "$flag" \
        >/dev/null
}

# What runs once a second.
keeper=ngx_http_weir_series_windows_keep

# count NAME PATH REQUESTS: the instructions of an nginx from its start to its end, and of these the
# keeper's, with all that it calls.
count() {
    local dir=$bench_dir/$1 url=127.0.0.1:${bench_port[$1]} pid header=()
    case $1 in bearer | jwt*) header=(-H "@$bench_dir/token") ;; esac
    valgrind -q --tool=callgrind --callgrind-out-file="$dir/callgrind" \
        nginx -p "$dir" -c "$dir/nginx.conf" -g 'master_process off;' 2>>"$dir/valgrind.log" &
    pid=$!
    bench_pids+=("$pid")
    bench_wait "port of $1" curl -s "$url/1"
    # One connection, one request after the other.
    for ((n = 0; n < $3; n++)); do printf 'url = %s\noutput = /dev/null\n' "$url$2"; done |
        curl -sSf "${header[@]}" -K - || die "curl failed against $1"
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

# load NAME PATH ROUND: a line of JSON.
load() {
    local cpu rest
    read -r cpu rest <"/proc/${bench_cpu_pid[$1]}/schedstat" # ns, and others
    wrk -t 1 -c 16 -d "$seconds" -s bench/load/done.lua "http://127.0.0.1:${bench_port[$1]}$2" |
        grep '^{' >"$bench_dir/done"
    read -r rest _ <"/proc/${bench_cpu_pid[$1]}/schedstat"
    jq -c --arg name "$1" --arg path "$2" --argjson round "$3" --argjson cpu $((rest - cpu)) \
        '{$name, $path, $round, per_second: (.requests / .duration_us * 1e6),
            cpu_ns: ($cpu / .requests), failed: (.socket_errors + .bad_statuses)}' \
        "$bench_dir/done"
}

bench_begin
bench_body 1
make_token
# The upstream sends header and body at once: in two parts they would take the edge two reads, now
# and then.
mkdir "$bench_dir/conf"
cp "$bench_conf/nginx.conf" "$bench_conf/collector.conf" "$bench_dir/conf/"
sed 's|^    root .*|&\n    tcp_nopush on;|' "$bench_conf/upstream.conf" \
    >"$bench_dir/conf/upstream.conf"
bench_conf=$bench_dir/conf
bench_start_nginx upstream
bench_start_nginx collector
openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$bench_dir/key.pem"
chmod 600 "$bench_dir/key.pem"
start_flags

for name in "${contestants[@]}"; do
    configure "$name"
    paths=(/hit/1 /1)
    case $name in bearer | jwt*) paths=(/1) ;; esac
    for path in "${paths[@]}"; do
        echo "bench: $name, $path" >&2
        read -r before before_keeper < <(count "$name" "$path" "$warm")
        since=$(date +%s%3N)
        read -r after after_keeper < <(count "$name" "$path" $((warm + requests)))
        jq -n --arg name "$name" --arg path "$path" --argjson requests "$requests" \
            --argjson all $((after - before)) --argjson keeper $((after_keeper - before_keeper)) \
            --argjson last "$after_keeper" --argjson ms $(($(date +%s%3N) - since)) \
            '{$name, $path, instructions: (($all - $keeper) / $requests | round),
                keeper_per_second: ($last / $ms * 1000 | round)}'
    done
done >"$bench_dir/counted"

for name in "${loaded[@]}"; do
    configuration "$name" >"$bench_conf/$name.conf"
    bench_start_nginx "$name"
done
for ((round = 1; round <= rounds; round++)); do
    echo "bench: loads, round $round of $rounds" >&2
    for path in /hit/1 /1; do
        for name in "${loaded[@]}"; do load "$name" "$path" "$round"; done
    done
done >"$bench_dir/loaded"

mkdir -p build
jq -n --argjson facts "$(bench_machine)" --argjson requests "$requests" \
    --slurpfile counted "$bench_dir/counted" --slurpfile loads "$bench_dir/loaded" \
    -f bench/report/cost/instructions.jq >build/bench-instructions.json
bench_print instructions cost/instructions
