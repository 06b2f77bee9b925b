#!/bin/bash
# identity.sh: what it costs that edge and backend prove who calls: signed identities, mutual TLS,
# and both, beside neither.
# docs/internals/benchmarks.md tells what is measured and how to read it.
#
# shellcheck disable=SC2154  # lib.sh and stack.sh set them
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin

usage() {
    cat <<'END_OF_USAGE'
usage: ./weir bench identity [OPTION...]

  --rounds N       rounds, each contestant once in each (7)
  --seconds N      of a load (3)
  --request KIND   read: GET of a user; write: POST of an order, which is committed (read)
  --connections N  of wrk, at most 32, so that all connections to the backend are kept (32)

Writes build/bench-identity.json.
END_OF_USAGE
}

# shellcheck source=bench/lib/stack.sh
. bench/lib/stack.sh

rounds=7 seconds=3 connections=32 request=read
bench_options "rounds seconds connections request" "$@"
case $request in
read) script=done.lua ;;
write) script=write.lua ;;
*) fail_usage "--request is read or write, not \"$request\"" ;;
esac
bench_number --rounds "$rounds" 1 1000
bench_number --seconds "$seconds" 1 3600
bench_number --connections "$connections" 1 32

scripts/packages.sh run
scripts/packages.sh bench

# --- contestants: an edge with one worker, and an api of its own behind it ------------------------

contestants=(plain identity mtls both)
declare -A api_port edge_at api_pid edge_pid
with_tls=(mtls both) with_identity=(identity both)

has() { [[ " ${*:2} " == *" $1 "* ]]; }

# What ./weir up tells backend and edge, in each of the four ways.
parts_of() {
    tls=0 identity=1
    ! has "$1" "${with_tls[@]}" || tls=1
    signs='' asks=''
    if has "$1" "${with_identity[@]}"; then
        signs=$(identity_server)
        asks=$(identity_backend)
    else
        signs="weir_jwt demo optional;"
    fi
}

api_conf() {
    parts_of "$1"
    cat "$conf"
    tls_backend | grep '^tls_' || true
    echo "$asks"
}

edge_conf() {
    parts_of "$1"
    cat <<END_OF_CONF
load_module $PWD/build/ngx_http_weir_module.so;
$([ "$(id -u)" != 0 ] || echo "user root;")
worker_processes 1;
daemon off;
pid $bench_run/$1/nginx.pid;
error_log $bench_run/$1/nginx.log notice;
events { worker_connections 1024; }
http {
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path $bench_run/$1/temp;
    proxy_temp_path $bench_run/$1/temp;
    fastcgi_temp_path $bench_run/$1/temp;
    uwsgi_temp_path $bench_run/$1/temp;
    scgi_temp_path $bench_run/$1/temp;
    $(nginx_http)
    $(identity_http)
    upstream backend {
        server 127.0.0.1:${api_port[$1]} max_fails=0;
        keepalive 32;
        keepalive_requests 1000000;
    }
    server {
        listen 127.0.0.1:${edge_at[$1]};
        $(nginx_server)
        $signs
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host \$host;
        location / { proxy_pass $(tls_scheme)://backend; }
    }
}
END_OF_CONF
}

get() { curl -sf -m 2 -o /dev/null -H "Authorization: Bearer $token" "$1$path"; }

# The worker of the master $1.
worker_of() {
    cat /proc/[0-9]*/stat 2>/dev/null | awk -v master="$1" '$4 == master { print $1; exit }' || true
}

start() {
    local name=$1 dir=$bench_run/$1
    mkdir -p "$dir/temp"
    (api_conf "$name") >"$dir/api.conf"
    (edge_conf "$name") >"$dir/nginx.conf"
    WEIR_LISTEN=127.0.0.1:${api_port[$name]} WEIR_METRICS_LISTEN=off \
        "${pinned[@]}" build/weir-backend -c "$dir/api.conf" api >"$dir/api.log" 2>&1 &
    api_pid[$name]=$!
    "${pinned[@]}" nginx -e "$dir/nginx.log" -p "$dir" -c "$dir/nginx.conf" &
    edge_pid[$name]=$!
    bench_pids+=("${api_pid[$name]}" "${edge_pid[$name]}")
    wait_until 20 get "http://127.0.0.1:${edge_at[$name]}" ||
        die "$name does not answer" "$(tail -n 5 "$dir/api.log" "$dir/nginx.log")"
    edge_pid[$name]=$(worker_of "${edge_pid[$name]}")
}

# --- measuring ------------------------------------------------------------------------------------

# CPU time of all threads of the process $1, in ns.
cpu_of() { awk '{ sum += $1 } END { printf "%.0f\n", sum }' /proc/"$1"/task/*/schedstat; }

measure() {
    local name=$1 edge api out
    edge=$(cpu_of "${edge_pid[$name]}")
    api=$(cpu_of "${api_pid[$name]}")
    out=$(KIND=orders USER_ID=$user_id TOKEN=$token "${others[@]}" \
        wrk -t 1 -c "$connections" -d "$seconds" -s "bench/load/$script" \
        -H "Authorization: Bearer $token" "http://127.0.0.1:${edge_at[$name]}$path" | grep '^{')
    edge=$(($(cpu_of "${edge_pid[$name]}") - edge))
    api=$(($(cpu_of "${api_pid[$name]}") - api))
    jq -c --arg name "$name" --argjson round "$2" --argjson edge "$edge" --argjson api "$api" '{
        $name, $round, per_second: (.requests / .duration_us * 1e6), p99_us,
        edge_us: ($edge / .requests / 1e3), api_us: ($api / .requests / 1e3),
        failed: (.socket_errors + .bad_statuses)}' <<<"$out"
}

bench_begin
# Four apis have more connections than the stack allows.
as_superuser "ALTER SYSTEM SET max_connections = 120"
scripts/down.sh >/dev/null 2>&1
bench_up
# What is measured has a core for itself; clients and database have the others.
pinned=() others=() cores=$(nproc)
if [ "$cores" -gt 1 ]; then
    pinned=(taskset -c 0) others=(taskset -c "1-$((cores - 1))")
    for name in postgres redis backend nginx; do
        taskset -apc "1-$((cores - 1))" "$(pid_of $name)" >/dev/null
    done
fi
port=$(bench_free_ports)
for name in "${contestants[@]}"; do
    api_port[$name]=$port edge_at[$name]=$((port + 1)) port=$((port + 2))
done
make_user_id "$edge_port"
path=/users/$user_id
token=$(identity=1 && client_token "$user_id" 'shop:users shop:orders' 86400)
for name in "${contestants[@]}"; do start "$name"; done

for ((round = 0; round <= rounds; round++)); do
    [ "$round" = 0 ] || echo "bench: round $round of $rounds" >&2
    [ "$round" = 0 ] || bench_machine_busy >>"$bench_run/others"
    # The first one of a round changes; round 0 warms up.
    for ((i = 0; i < ${#contestants[@]}; i++)); do
        measure "${contestants[(i + round) % ${#contestants[@]}]}" "$round"
    done
done >"$bench_run/measured"

mkdir -p build
jq -s --argjson facts "$(bench_facts)" --argjson rounds "$rounds" --argjson seconds "$seconds" \
    --argjson connections "$connections" --arg request "$request" \
    --argjson others_busy_median "$(bench_others)" \
    -f bench/report/cost/identity.jq "$bench_run/measured" >build/bench-identity.json
bench_print identity cost/identity
jq -e '.failed == 0' build/bench-identity.json >/dev/null || die "requests failed"
