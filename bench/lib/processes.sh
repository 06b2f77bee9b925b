# shellcheck shell=bash
# processes.sh: the processes of a benchmark, and how they are measured.
#
# To be sourced.  Everything lives below $bench_dir, a fresh folder in memory,
# and is stopped and removed when the script ends.  What a contestant is known
# by is its NAME; its folder is $bench_dir/NAME.

# shellcheck disable=SC2034  # the script that sources this reads some of these

# shellcheck source=bench/lib/options.sh
. bench/lib/options.sh
# shellcheck source=bench/lib/machine.sh
. bench/lib/machine.sh

PATH=$PATH:/usr/sbin
bench_accept='*/*'             # the Accept header of every request
bench_conf=$PWD/bench/conf
declare -A bench_port bench_cpu_pid bench_redis_pid
declare -A bench_redis_of      # NAME → another NAME, whose Redis it uses too
declare -A bench_module_of     # NAME → Weir's module, if it is not this build's
bench_pids=()
bench_next_port=18400

# --- the folder -------------------------------------------------------------

bench_begin() {
    [ "$(stat -f -c %T /dev/shm 2>/dev/null)" = tmpfs ] ||
        die "/dev/shm is no tmpfs; bodies and caches must be in memory"
    bench_dir=$(mktemp -d /dev/shm/weir-bench.XXXXXX)
    chmod 755 "$bench_dir"
    mkdir "$bench_dir/files"
    trap bench_end EXIT
    trap 'exit 130' INT TERM
}

# bench_body KIB: the file of that size, in text, which every upstream serves as /KIB.
bench_body() {
    head -c $(($1 * 512)) /dev/urandom | od -An -tx1 -v | tr -d ' \n' >"$bench_dir/files/$1"
}

bench_end() {
    local pid
    for pid in "${bench_pids[@]}"; do
        kill "$pid" 2>/dev/null || true
    done
    for pid in "${bench_pids[@]}"; do
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$bench_dir"
}

# bench_wait WHAT COMMAND...: until the command succeeds, at most 10 s.
bench_wait() {
    local what=$1 i
    shift
    for ((i = 0; i < 200; i++)); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.05
    done
    die "waited 10 s in vain for $what"
}

# --- processes --------------------------------------------------------------

# bench_take_port NAME: a port of 127.0.0.1 that nobody listens on.
bench_take_port() {
    while (: <"/dev/tcp/127.0.0.1/$bench_next_port") 2>/dev/null; do
        bench_next_port=$((bench_next_port + 1))
    done
    bench_port[$1]=$bench_next_port
    bench_next_port=$((bench_next_port + 1))
}

# bench_start_redis NAME: its own Redis, on the socket $bench_dir/NAME/redis.sock.
bench_start_redis() {
    local dir=$bench_dir/$1
    redis-server --port 0 --unixsocket "$dir/redis.sock" --unixsocketperm 777 --dir "$dir" \
        --save '' --appendonly no --maxmemory 512mb --maxmemory-policy allkeys-lru \
        --logfile "$dir/redis.log" &
    bench_pids+=($!)
    bench_redis_pid[$1]=$!
    bench_wait "Redis of $1, see $dir/redis.log" redis-cli -s "$dir/redis.sock" ping
}

# bench_modules NAME CONF: the load_module lines that the contestant's configuration needs; the Lua
# module wants the development kit before it.
bench_modules() {
    local modules=/usr/lib/nginx/modules
    if grep -q '^ *weir_' "$2"; then
        echo "load_module ${bench_module_of[$1]:-$PWD/build/ngx_http_weir_module.so};"
    fi
    if grep -q '_by_lua' "$2"; then
        echo "load_module $modules/ndk_http_module.so;"
        echo "load_module $modules/ngx_http_lua_module.so;"
    fi
    if grep -q '^ *srcache_' "$2"; then
        echo "load_module $modules/ngx_http_srcache_filter_module.so;"
    fi
}

# bench_fill NAME: the placeholders of a configuration, from stdin to stdout.
bench_fill() {
    local user='' text='' redis=$bench_dir/${bench_redis_of[$1]:-$1}/redis.sock
    [ "$(id -u)" != 0 ] || user='user root;'
    [ ! -e "$bench_dir/files/1" ] || text=$(cat "$bench_dir/files/1")
    sed -e "s|@user@|$user|" -e "s|@dir@|$bench_dir/$1|g" -e "s|@files@|$bench_dir/files|g" \
        -e "s|@port@|${bench_port[$1]}|g" -e "s|@upstream@|${bench_port[upstream]}|g" \
        -e "s|@contestant@|$bench_dir/$1/contestant.conf|g" -e "s|@redis@|$redis|g" \
        -e "s|@text@|$text|g"
}

# bench_start_nginx NAME [CONF]: nginx with one worker and bench/conf/CONF.conf.
bench_start_nginx() {
    local name=$1 conf=$bench_conf/${2:-$1}.conf dir=$bench_dir/$1 master
    mkdir -p "$dir/temp"
    bench_take_port "$name"
    if grep -q '@redis@' "$conf" && [ -z "${bench_redis_of[$name]:-}" ]; then
        bench_start_redis "$name"
    fi
    bench_fill "$name" <"$conf" >"$dir/contestant.conf"
    bench_modules "$name" "$conf" >"$dir/modules.conf"
    sed "s|@modules@|include $dir/modules.conf;|" "$bench_conf/nginx.conf" |
        bench_fill "$name" >"$dir/nginx.conf"

    nginx -t -q -p "$dir" -c "$dir/nginx.conf" || die "nginx refuses the configuration of $name"
    nginx -p "$dir" -c "$dir/nginx.conf" &
    master=$!
    bench_pids+=("$master")
    bench_wait "the worker of $name" bench_worker "$name" "$master"
    bench_wait "port ${bench_port[$name]} of $name" curl -s "127.0.0.1:${bench_port[$name]}/1"
}

# bench_start_varnish NAME: one pool of threads, memory as storage, no log.
bench_start_varnish() {
    local name=$1 dir=$bench_dir/$1 manager quiet
    # what it would write of a hit
    quiet=-Begin,-ReqStart,-Timestamp,-ReqMethod,-ReqURL,-ReqProtocol,-ReqHeader,-ReqUnset
    quiet+=,-VCL_call,-VCL_return,-VCL_use,-Hit,-RespProtocol,-RespStatus,-RespReason,-RespHeader
    quiet+=,-RespUnset,-Filters,-ReqAcct,-Link,-End
    mkdir -p "$dir"
    bench_take_port "$name"
    bench_fill "$name" <"$bench_conf/varnish.vcl" >"$dir/varnish.vcl"
    varnishd -F -j none -n "$dir/work" -a "127.0.0.1:${bench_port[$name]}" -T none -S none \
        -f "$dir/varnish.vcl" -s malloc,512m -p thread_pools=1 -p thread_pool_min=100 \
        -p "vsl_mask=$quiet" >"$dir/varnish.log" 2>&1 &
    manager=$!
    bench_pids+=("$manager")
    bench_wait "the child of $name, see $dir/varnish.log" bench_child "$name" "$manager"
    bench_wait "port ${bench_port[$name]} of $name" curl -s "127.0.0.1:${bench_port[$name]}/1"
}

# Finds the one that serves among the manager's children (another compiles the VCL).
bench_child() {
    local pid
    pid=$(awk -v parent="$2" '$2 == "(cache-main)" && $4 == parent { print $1 }' \
        /proc/[0-9]*/stat 2>/dev/null)
    [[ $pid =~ ^[0-9]+$ ]] && bench_cpu_pid[$1]=$pid
}

# Finds the worker among the children of the master (the cache has others).
bench_worker() {
    local pid
    while read -r pid; do
        if grep -aq '^nginx: worker process' "/proc/$pid/cmdline" 2>/dev/null; then
            bench_cpu_pid[$1]=$pid
            return
        fi
    done < <(awk -v master="$2" '$4 == master { print $1 }' /proc/[0-9]*/stat 2>/dev/null)
    return 1
}

# --- measuring --------------------------------------------------------------

# Sets upstream_requests: how many the upstream has had, without those that ask for this.
bench_asked=0
bench_upstream_requests() {
    local counted
    bench_asked=$((bench_asked + 1))
    counted=$(curl -sS --unix-socket "$bench_dir/upstream/status.sock" http://upstream/ |
        awk 'NR == 3 { print $3 }')
    [[ $counted =~ ^[0-9]+$ ]] || die "the upstream's request counter can't be read"
    upstream_requests=$((counted - bench_asked))
}

# bench_status NAME FIELD: a number of the only zone that weir_status shows.
bench_status() {
    curl -sS "127.0.0.1:${bench_port[$1]}/weir-status" | jq ".caches[] | $2"
}

# Whether a contestant follows the stream of invalidations and is in step with it.
bench_follows() {
    [ "$(bench_status "$1" '.invalidations | .follower > 0 and .lag_ms >= 0')" = true ]
}

# bench_get NAME PATH: the response, head in $bench_dir/head.lines, body in
# $bench_dir/body; fails without one.
bench_get() {
    curl -s -m 5 -H "Accept: $bench_accept" -D "$bench_dir/head" -o "$bench_dir/body" \
        "127.0.0.1:${bench_port[$1]}/$2" || return
    tr -d '\r' <"$bench_dir/head" >"$bench_dir/head.lines"
}

# bench_head REGEX: whether a line of the last head matches.
bench_head() {
    grep -Eiq "$1" "$bench_dir/head.lines"
}

# bench_expect NAME PATH REGEX WHAT: the response is a 200 with the right body
# and a header line like REGEX, or the benchmark ends.
bench_expect() {
    bench_get "$1" "$2" || die "$1 doesn't answer /$2"
    bench_head '^HTTP/1.1 200 ' || die "$1 answers /$2 with $(head -1 "$bench_dir/head.lines")"
    cmp -s "$bench_dir/body" "$bench_dir/files/${2%%\?*}" || die "$1 answers /$2 with a wrong body"
    bench_head "$3" || {
        cat "$bench_dir/head.lines" >&2
        die "$1 is no $4: its answer to /$2, above, has no header like $3"
    }
}
