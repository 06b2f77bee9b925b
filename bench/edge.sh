#!/bin/bash
# edge.sh: what the edge costs, beside what a user would take instead.
# docs/internals/benchmarks.md tells what is measured and how to read it.
set -euo pipefail
cd "$(dirname "$0")/.."

# --- contestants ------------------------------------------------------------
#
# name | kind | compared with | what an answer must show | about
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
socket               |floor |proxy-cache  |                          |no server: a loop that hands ready bytes to the kernel
floor                |floor |proxy-cache  |                          |nginx alone: return for 1 KiB, else a file in memory
proxy                |pass  |             |                          |plain proxy_pass, connections to the upstream kept
weir-api             |pass  |proxy        |^Content-Type: application/vnd\.shop\.v2\+json$|version and breaker on top of proxy
proxy-cache          |hit   |proxy        |^X-Cache: HIT$            |proxy_cache in memory
srcache-redis        |hit   |proxy        |^X-Cache: HIT$            |srcache with Redis through Lua
varnish              |hit   |proxy-cache  |^X-Varnish: [0-9]+ [0-9]+$|Varnish in memory
weir-memory          |hit   |proxy-cache  |^Cache-Status: Weir; hit;.*detail=memory|weir_cache from shared memory, Redis behind it
weir-alone           |hit   |proxy-cache  |^Cache-Status: Weir; hit;.*detail=memory|the same without Redis
weir-redis           |hit   |srcache-redis|^Cache-Status: Weir; hit;.*detail=redis|weir_cache from Redis, its first level off
srcache-keys@srcache-redis|keys|         |^X-Cache: HIT$            |srcache-redis, 1,000 URIs in turn
weir-keys@weir-redis |keys  |srcache-keys |^Cache-Status: Weir; hit;.*detail=redis|weir-redis, 1,000 URIs in turn
proxy-unique@proxy   |unique|             |                          |proxy, no URI twice
weir-miss@weir-memory|miss  |proxy-unique |^Cache-Status: Weir; fwd=uri-miss;.* stored|weir_cache: look-up and store in both levels, no URI twice
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
  --list             names the contestants

Writes build/bench-edge.json.
END
}

fail_usage() {
    echo "bench: $*" >&2
    usage >&2
    exit 2
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
    local id k b s a name
    while IFS='|' read -r id k b s a; do
        [ -n "$id" ] || continue
        id=$(trim "$id")
        name=${id%@*}
        names+=("$name")
        conf[$name]=${id#*@}
        kind[$name]=$(trim "$k")
        base[$name]=$(trim "$b")
        shows[$name]=$(trim "$s")
        about[$name]=$a
    done <<<"$table"
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
    floor | hit | keys) [ "$after" = "$before" ] || die "$name asked the upstream for $size KiB, as a ${kind[$name]} must not" ;;
    *) [ "$after" = $((before + 1)) ] || die "$name asked the upstream $((after - before)) times for one request" ;;
    esac
    if [ "${kind[$name]}" = miss ]; then
        bench_wait "an entry in the Redis of $name" has_entry "$name"
    fi
    if [ "$(type -t "verify_$name")" = function ]; then
        "verify_$name"
    fi
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
verify_weir-api() {
    local i
    for i in 1 2 3 4 5 6; do
        bench_get weir-api broken || die "weir-api doesn't answer /broken"
    done
    bench_head '^HTTP/1.1 503 ' || die "weir-api has no breaker: after $i failures it answers $(head -1 "$bench_dir/head.lines")"
}

# --- one measurement --------------------------------------------------------

# measure NAME SIZE ROUND: appends a line to $bench_dir/rounds.
measure() {
    local name=$1 size=$2 round=$3 unique='' wrk_keys='' line
    local upstream_before stored cpu redis_cpu requests asked
    prime "$name" "$size"
    case ${kind[$name]} in
    unique | miss) unique=$name-$round ;;
    keys) wrk_keys=$keys ;;
    esac

    stored=$(stored_by "$name")
    bench_upstream_requests
    upstream_before=$upstream_requests
    redis_cpu=$(bench_cpu "${bench_redis_pid[$name]:-}")
    cpu=$(bench_cpu "${bench_cpu_pid[$name]}")

    ${unique:+env "UNIQUE=$unique"} ${wrk_keys:+env "KEYS=$wrk_keys"} wrk -t "$threads" -c "$connections" -d "$seconds" \
        -s "bench/load/wrk.lua" -H "Accept: $bench_accept" \
        "http://127.0.0.1:${bench_port[$name]}/$size" >"$bench_dir/wrk.out" ||
        die "wrk failed: $(cat "$bench_dir/wrk.out")"

    cpu=$(($(bench_cpu "${bench_cpu_pid[$name]}") - cpu))
    redis_cpu=$(($(bench_cpu "${bench_redis_pid[$name]:-}") - redis_cpu))
    bench_upstream_requests
    asked=$((upstream_requests - upstream_before))
    stored=$(($(stored_by "$name") - stored))

    line=$(grep '^{' "$bench_dir/wrk.out") || die "wrk printed no result: $(cat "$bench_dir/wrk.out")"
    line=$(jq -c ". + {name: \"$name\", size_kib: $size, round: $round, cpu_us: $cpu, redis_cpu_us: $redis_cpu,
        upstream_requests: $asked, stored: $stored}" <<<"$line")
    echo "$line" >>"$bench_dir/rounds"

    requests=$(jq .requests <<<"$line")
    [ "$(jq '.socket_errors + .bad_statuses' <<<"$line")" = 0 ] ||
        echo "bench: $size KiB, round $round, $name: errors, the round does not count: $line" >&2
    case ${kind[$name]} in
    floor | hit | keys)
        [ "$asked" = 0 ] || die "$name asked the upstream $asked times in a round of $requests hits of $size KiB"
        ;;
    *)
        [ "$asked" -ge "$requests" ] || die "$name asked the upstream $asked times for $requests requests of $size KiB"
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

# --- the machine ------------------------------------------------------------

facts() {
    local others
    others=$(jq -s 'sort | {median: .[length / 2 | floor], max: max}' "$bench_dir/others")
    jq -n --arg date "$(date -u +%Y-%m-%dT%H:%M:%SZ)" --arg load "$(cut -d' ' -f1-3 /proc/loadavg)" \
        --arg cpu "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)" --argjson cores "$(nproc)" \
        --arg kernel "$(uname -sr)" --arg os "$(sed -n 's/^PRETTY_NAME="\(.*\)"/\1/p' /etc/os-release)" \
        --arg nginx "$(nginx -v 2>&1 | sed 's/.*nginx\///')" \
        --arg redis "$(redis-server --version | sed 's/.* v=\([^ ]*\).*/\1/')" \
        --arg wrk "$(wrk -v 2>&1 | sed -n '1s/^wrk \([^ ]*\).*/\1/p')" \
        --arg lua "$(dpkg-query -W -f '${Version}' libnginx-mod-http-lua)" \
        --arg srcache "$(dpkg-query -W -f '${Version}' libnginx-mod-http-srcache-filter)" \
        --arg varnish "$(dpkg-query -W -f '${Version}' varnish)" \
        --arg commit "$(git describe --always --dirty 2>/dev/null || echo unknown)" \
        --argjson rounds "$rounds" --argjson seconds "$seconds" \
        --argjson threads "$threads" --argjson connections "$connections" --argjson others "$others" \
        '{date: $date, cpu: $cpu, cores: $cores, kernel: $kernel, os: $os, nginx: $nginx, redis: $redis, wrk: $wrk,
          lua_module: $lua, srcache_module: $srcache, varnish: $varnish, weir: $commit, rounds: $rounds, seconds: $seconds,
          wrk_threads: $threads, wrk_connections: $connections, load_average: $load,
          others_busy_median: $others.median, others_busy_max: $others.max}'
}

contestants_json() {
    local name
    for name in "${names[@]}"; do
        jq -n --arg name "$name" --arg base "${base[$name]}" --arg kind "${kind[$name]}" --arg about "${about[$name]}" \
            '{name: $name, kind: $kind, base: (if $base == "" then null else $base end), about: $about}'
    done | jq -s .
}

# --- main -------------------------------------------------------------------

read_table
keys=1000
rounds=5 seconds=3 sizes='1 16 100' only='' connections=64 threads=1
while [ $# -gt 0 ]; do
    case $1 in
    --list)
        for name in "${names[@]}"; do
            printf '%-14s %s\n' "$name" "${about[$name]}"
        done
        exit 0
        ;;
    --help | -h)
        usage
        exit 0
        ;;
    --rounds | --seconds | --sizes | --only | --connections | --threads)
        [ $# -ge 2 ] || fail_usage "$1 needs a value"
        printf -v "${1#--}" %s "$2"
        shift 2
        ;;
    *) fail_usage "unknown option \"$1\"" ;;
    esac
done

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
        [ -n "${kind[$name]:-}" ] || fail_usage "--only names \"$name\"; the contestants are: ${names[*]}"
    done
    no_doubles --only "${only[@]}"
    names=("${only[@]}")
fi

scripts/packages.sh bench
make -s module bench

# One kind of request for all.
bench_accept=application/vnd.shop.v2+json

bench_begin
for size in 1 "${sizes[@]}"; do
    head -c $((size * 512)) /dev/urandom | od -An -tx1 -v | tr -d ' \n' >"$bench_dir/files/$size"
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
        for ((i = 0; i < ${#names[@]}; i++)); do
            measure "${names[(i + round - 1) % ${#names[@]}]}" "$size" "$round"
        done
    done
done

mkdir -p build
jq -s --argjson contestants "$(contestants_json)" --argjson facts "$(facts)" -f bench/report/report.jq \
    "$bench_dir/rounds" >build/bench-edge.json
jq -r -f bench/report/table.jq build/bench-edge.json
echo "bench: wrote build/bench-edge.json" >&2
