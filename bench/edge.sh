#!/bin/bash
# edge.sh: what the edge costs, beside what a user would take instead.
# docs/internals/benchmarks.md tells what is measured and how to read it.
set -euo pipefail
cd "$(dirname "$0")/.."

# --- contestants ------------------------------------------------------------
#
# name | kind | compared with | about
#
# and in the line below it what a header of an answer must be like, if there is anything to show.
#
# A contestant is bench/conf/NAME.conf, or that of another name after a "@"
# (weir-miss@weir-redis).  Something else than nginx has a function start_NAME
# that sets bench_port and bench_cpu_pid.  Kinds:
#   floor  answers without the upstream
#   pass   asks the upstream each time
#   hit    answers from its cache: the upstream must not notice
#   keys   the same for 1,000 URIs in turn
#   unique, miss   like pass, but no URI comes twice; a miss stores each answer
table='
socket              |floor |proxy-cache  |no server: a loop that hands ready bytes to the kernel
floor               |floor |proxy-cache  |nginx alone: return for 1 KiB, else a file in memory
proxy               |pass  |             |plain proxy_pass, connections to the upstream kept
weir-api            |pass  |proxy        |version and breaker on top of proxy
    ^Content-Type: application/vnd\.shop\.v2\+json$
proxy-cache         |hit   |proxy        |proxy_cache in memory
    ^X-Cache: HIT$
srcache-redis       |hit   |proxy        |srcache with Redis through Lua
    ^X-Cache: HIT$
varnish             |hit   |proxy-cache  |Varnish in memory
    ^X-Varnish: [0-9]+ [0-9]+$
weir-memory         |hit   |proxy-cache  |weir_cache from shared memory, Redis behind it
    ^Cache-Status: Weir; hit;.*detail=memory
weir-alone          |hit   |proxy-cache  |the same without Redis
    ^Cache-Status: Weir; hit;.*detail=memory
weir-redis          |hit   |srcache-redis|weir_cache from Redis, its first level off
    ^Cache-Status: Weir; hit;.*detail=redis
srcache-keys@srcache-redis|keys||srcache-redis, 1,000 URIs in turn
    ^X-Cache: HIT$
weir-keys@weir-redis|keys  |srcache-keys |weir-redis, 1,000 URIs in turn
    ^Cache-Status: Weir; hit;.*detail=redis
proxy-unique@proxy  |unique|             |proxy, no URI twice
weir-miss@weir-memory|miss |proxy-unique |weir_cache: look-up, store in both levels, no URI twice
    ^Cache-Status: Weir; fwd=uri-miss;.* stored
'

usage() {
    cat <<'END'
usage: ./weir bench edge [OPTION...]

  --rounds N         rounds for each size, each contestant once in each (5)
  --seconds S        how long a contestant runs in a round (3)
  --sizes "K..."     sizes of the body in KiB ("1 16 100")
  --only "NAME..."   these contestants only
  --connections N    of wrk (64)
  --threads N        of wrk (1)
  --against FOLDER   another checkout of Weir: Weir's contestants with its module and with this
                     one in turn, and the ratio of their CPU time per request
  --list             names the contestants

Writes build/bench-edge.json, with --against build/bench-edge-against.json.
END
}

# no_doubles OPTION WORD...
no_doubles() {
    local option=$1 double
    shift
    double=$(printf '%s\n' "$@" | sort | uniq -d | head -1)
    [ -z "$double" ] || fail_usage "$option names \"$double\" twice"
}

# shellcheck source=bench/lib/processes.sh
. bench/lib/processes.sh

# --- the table --------------------------------------------------------------

declare -A kind base shows about conf
names=()

trim() {
    local s=$1
    s=${s#"${s%%[! ]*}"}
    echo "${s%"${s##*[! ]}"}"
}

read_table() {
    local id k b a name
    while IFS='|' read -r id k b a; do
        [ -n "$id" ] || continue
        if [ -z "$k" ]; then # the line below a contestant
            shows[$name]=$(trim "$id")
            continue
        fi
        id=$(trim "$id")
        name=${id%@*}
        names+=("$name")
        conf[$name]=${id#*@}
        kind[$name]=$(trim "$k")
        base[$name]=$(trim "$b")
        shows[$name]=
        about[$name]=$a
    done <<<"$table"
}

# --against: a contestant of Weir has a twin NAME@other with the other build's module; the other
# contestants have nothing to compare.
add_twins() {
    local name chosen=("${names[@]}")
    names=()
    for name in "${chosen[@]}"; do
        [[ $name = weir-* ]] || continue
        names+=("$name" "$name@other")
        kind[$name@other]=${kind[$name]}
        conf[$name@other]=${conf[$name]}
        shows[$name@other]=${shows[$name]}
        bench_module_of[$name@other]=$against/build/ngx_http_weir_module.so
    done
    [ ${#names[@]} -gt 0 ] || fail_usage "--only names no contestant of Weir to compare"
}

# --- is a contestant what it claims to be? ----------------------------------

path_of() {
    local name=$1 size=$2 word=$3
    case ${kind[$name]} in
    unique | miss) echo "$size?u=$word" ;;
    keys) echo "$size?k=1" ;;
    *) echo "$size" ;;
    esac
}

is_hit() {
    bench_get "$1" "$2" && bench_head "${shows[$1]}"
}

# A store may still be under way when its response has been sent.
prime() {
    case ${kind[$1]} in
    hit) bench_wait "a hit of $1 for $2 KiB" is_hit "$1" "$2" ;;
    keys) [ -n "${primed[$1-$2]:-}" ] || prime_keys "$1" "$2" ;;
    esac
}

declare -A primed
prime_keys() {
    bench_wait "hits of $1 for all URIs of $2 KiB" keys_are_hits "$1" "$2"
    primed[$1-$2]=1
}

# Whether the upstream is left alone while all of them are asked for.
keys_are_hits() {
    local before
    bench_upstream_requests
    before=$upstream_requests
    KEYS=$keys wrk -t 1 -c 16 -d 1 -s "bench/load/wrk.lua" "http://127.0.0.1:${bench_port[$1]}/$2"
    bench_upstream_requests
    [ "$upstream_requests" = "$before" ]
}

# verify NAME SIZE
verify() {
    local name=$1 size=$2 before after
    # Between sizes only: within one, Redis fills up and evicts, as it does in production.
    if [ "${kind[$name]}" = miss ]; then
        redis-cli -s "$bench_dir/$name/redis.sock" flushall sync >/dev/null
    fi
    prime "$name" "$size"
    bench_upstream_requests
    before=$upstream_requests
    bench_expect "$name" "$(path_of "$name" "$size" verify)" "${shows[$name]}" "${kind[$name]}"
    bench_upstream_requests
    after=$upstream_requests

    case ${kind[$name]} in
    floor | hit | keys)
        [ "$after" = "$before" ] ||
            die "$name asked the upstream for $size KiB, as a ${kind[$name]} must not"
        ;;
    *)
        [ "$after" = $((before + 1)) ] ||
            die "$name asked the upstream $((after - before)) times for one request"
        ;;
    esac
    if [ "${kind[$name]}" = miss ]; then
        bench_wait "an entry in the Redis of $name" has_entry "$name"
    fi
    [ "${conf[$name]}" != weir-api ] || verify_breaker "$name"
}

has_entry() {
    redis-cli -s "$bench_dir/$1/redis.sock" --scan --pattern 'weir:cache:*' | grep -q .
}

# How many responses a contestant has stored; 0 if that isn't the question.
stored_by() {
    if [ "${kind[$1]}" = miss ]; then
        bench_status "$1" .stored
    else
        echo 0
    fi
}

# The breaker of weir-api: five failures open it.
verify_breaker() {
    local i
    for i in 1 2 3 4 5 6; do
        bench_get "$1" broken || die "$1 doesn't answer /broken"
    done
    bench_head '^HTTP/1.1 503 ' ||
        die "$1 has no breaker: after $i failures it answers $(head -1 "$bench_dir/head.lines")"
}

# --- one measurement --------------------------------------------------------

# measure NAME SIZE ROUND: appends a line to $bench_dir/rounds.
measure() {
    local name=$1 size=$2 round=$3 line what
    local upstream_before stored cpu redis_cpu requests asked environment=()
    prime "$name" "$size"
    case ${kind[$name]} in
    unique | miss) environment=(env "UNIQUE=$name-$round") ;;
    keys) environment=(env "KEYS=$keys") ;;
    esac

    stored=$(stored_by "$name")
    bench_upstream_requests
    upstream_before=$upstream_requests
    redis_cpu=$(bench_cpu "${bench_redis_pid[$name]:-}")
    cpu=$(bench_cpu "${bench_cpu_pid[$name]}")

    "${environment[@]}" wrk -t "$threads" -c "$connections" -d "$seconds" \
        -s "bench/load/wrk.lua" -H "Accept: $bench_accept" \
        "http://127.0.0.1:${bench_port[$name]}/$size" >"$bench_dir/wrk.out" ||
        die "wrk failed: $(cat "$bench_dir/wrk.out")"

    cpu=$(($(bench_cpu "${bench_cpu_pid[$name]}") - cpu))
    redis_cpu=$(($(bench_cpu "${bench_redis_pid[$name]:-}") - redis_cpu))
    bench_upstream_requests
    asked=$((upstream_requests - upstream_before))
    stored=$(($(stored_by "$name") - stored))

    line=$(grep '^{' "$bench_dir/wrk.out") ||
        die "wrk printed no result: $(cat "$bench_dir/wrk.out")"
    line=$(jq -c ". + {name: \"$name\", size_kib: $size, round: $round, cpu_us: $cpu,
        redis_cpu_us: $redis_cpu, upstream_requests: $asked, stored: $stored}" <<<"$line")
    echo "$line" >>"$bench_dir/rounds"

    what="$size KiB, round $round, $name"
    requests=$(jq .requests <<<"$line")
    [ "$(jq '.socket_errors + .bad_statuses' <<<"$line")" = 0 ] ||
        echo "bench: $what: errors, the round does not count: $line" >&2
    case ${kind[$name]} in
    floor | hit | keys)
        [ "$asked" = 0 ] || die "$what: the upstream had $asked requests in $requests hits"
        ;;
    *)
        [ "$asked" -ge "$requests" ] ||
            die "$what: the upstream had only $asked of $requests requests"
        ;;
    esac
}

start_varnish() {
    bench_start_varnish varnish
}

start_socket() {
    bench_take_port socket
    build/bench-socket "${bench_port[socket]}" "$bench_dir/files" &
    bench_pids+=($!)
    bench_cpu_pid[socket]=$!
    bench_wait "port ${bench_port[socket]} of socket" curl -s "127.0.0.1:${bench_port[socket]}/1"
}

# turns ROUND: the contestants, each first in a round; every second round goes backwards, so that of
# two builds neither is always the first.
turns() {
    local i n=${#names[@]} step=1
    [ $(($1 % 2)) = 1 ] || step=$((n - 1))
    for ((i = 0; i < n; i++)); do
        echo "${names[($1 - 1 + i * step) % n]}"
    done
}

# --- the machine ------------------------------------------------------------

version_of() {
    dpkg-query -W -f '${Version}' "$1"
}

facts() {
    local others
    others=$(jq -s 'sort | {median: .[length / 2 | floor], max: max}' "$bench_dir/others")
    bench_machine | jq --arg load_average "$(cut -d' ' -f1-3 /proc/loadavg)" \
        --arg os "$(sed -n 's/^PRETTY_NAME="\(.*\)"/\1/p' /etc/os-release)" \
        --arg nginx "$(nginx -v 2>&1 | sed 's/.*nginx\///')" \
        --arg redis "$(redis-server --version | sed 's/.* v=\([^ ]*\).*/\1/')" \
        --arg wrk "$(wrk -v 2>&1 | sed -n '1s/^wrk \([^ ]*\).*/\1/p')" \
        --arg lua_module "$(version_of libnginx-mod-http-lua)" \
        --arg srcache_module "$(version_of libnginx-mod-http-srcache-filter)" \
        --arg varnish "$(version_of varnish)" \
        --argjson rounds "$rounds" --argjson seconds "$seconds" --argjson wrk_threads "$threads" \
        --argjson wrk_connections "$connections" --argjson others "$others" \
        '. + $ARGS.named + {others_busy_median: $others.median, others_busy_max: $others.max}
            | del(.others)'
}

contestants_json() {
    local name
    for name in "${names[@]}"; do
        jq -n --arg name "$name" --arg base "${base[$name]}" --arg kind "${kind[$name]}" \
            --arg about "${about[$name]}" '$ARGS.named | .base |= (if . == "" then null else . end)'
    done | jq -s .
}

# The rounds as bench/report/against.jq reads them: each process that is measured is a row, Redis
# only if it has something to do.
report_against() {
    jq -c '(.name | split("@")) as [$name, $other]
        | {round, requests, build: ($other // "this"), errors: (.socket_errors + .bad_statuses)}
            + ({what: "\(.size_kib) KiB, \($name)", cpu_us},
               (select(.redis_cpu_us * 20 > .cpu_us)
                   | {what: "\(.size_kib) KiB, \($name), Redis", cpu_us: .redis_cpu_us}))' \
        "$bench_dir/rounds" |
        jq -s --argjson facts "$(facts | jq --arg other "$(bench_commit "$against")" \
            '. + {other: $other}')" -f bench/report/against.jq >build/bench-edge-against.json
    bench_print edge-against against
}

# --- main -------------------------------------------------------------------

read_table
keys=1000
rounds=5 seconds=3 sizes='1 16 100' only='' connections=64 threads=1 against=''
if [ "$*" = --list ]; then
    for name in "${names[@]}"; do
        printf '%-14s %s\n' "$name" "${about[$name]}"
    done
    exit 0
fi
bench_options "rounds seconds sizes only connections threads against" "$@"
bench_number --rounds "$rounds" 1 1000
bench_number --seconds "$seconds" 1 3600
bench_number --threads "$threads" 1 64
bench_number --connections "$connections" "$threads" 1000
read -ra sizes <<<"$sizes"
[ ${#sizes[@]} -gt 0 ] || fail_usage "--sizes is empty; it takes sizes in KiB, such as \"1 16\""
for size in "${sizes[@]}"; do
    bench_number --sizes "$size" 1 1000
done
no_doubles --sizes "${sizes[@]}"
if [ -n "$only" ]; then
    read -ra only <<<"$only"
    for name in "${only[@]}"; do
        [ -n "${kind[$name]:-}" ] ||
            fail_usage "--only names \"$name\"; the contestants are: ${names[*]}"
    done
    no_doubles --only "${only[@]}"
    names=("${only[@]}")
fi
if [ -n "$against" ]; then
    bench_other_build
    add_twins
fi

scripts/packages.sh bench
make -s module bench
[ -z "$against" ] || make -s -C "$against" module

# One kind of request for all.
bench_accept=application/vnd.shop.v2+json

bench_begin
for size in 1 "${sizes[@]}"; do
    bench_body "$size"
done

bench_start_nginx upstream
for name in "${names[@]}"; do
    if [ "$(type -t "start_$name")" = function ]; then
        "start_$name"
    else
        bench_start_nginx "$name" "${conf[$name]}"
    fi
done

for size in "${sizes[@]}"; do
    for name in "${names[@]}"; do
        verify "$name" "$size"
    done
    for ((round = 1; round <= rounds; round++)); do
        echo "bench: $size KiB, round $round of $rounds" >&2
        bench_machine_busy >>"$bench_dir/others"
        for name in $(turns "$round"); do
            measure "$name" "$size" "$round"
        done
    done
done

mkdir -p build
if [ -n "$against" ]; then
    report_against
    exit
fi
jq -s --argjson contestants "$(contestants_json)" --argjson facts "$(facts)" \
    -f bench/report/edge.jq "$bench_dir/rounds" >build/bench-edge.json
bench_print edge
