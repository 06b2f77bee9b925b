#!/bin/bash
# test.sh [--sanitize | --domain FOLDER | --world NAME | --worlds [NAME,...]] [FILE...]: installs
# packages, builds and runs the tests (without FILE all, including those of the domains in
# examples/).  --domain builds the domain of that folder and runs its tests, t/*_test.c and t/*.t.
# With --sanitize the plain C and the backend's programs run with AddressSanitizer and UBSan, nginx
# with the module runs under Valgrind, and any report is a failure.
# --world runs the edge's tests in another world
# (t/worlds/README.md), --worlds in each of the given worlds, or in all.
#
# Two files run at once (WEIR_TEST_JOBS), because most of them wait most of the time.  The edge's
# files share a folder and a port and run one after the other, and so do all files with sanitizers
# and in worlds.
#
# WEIR_TEST_AGAIN=1 repeats up to six failed files, alone.
#
# Starts its own Redis on a unix socket and a free port, and stops it at the end.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
# shellcheck source=scripts/stack/redis.sh
. scripts/stack/redis.sh
choose_redis /dev/null

build=build
sanitize=
world=
domain=
case ${1:-} in
-h | --help)
    sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "scripts/test.sh"
    exit 0
    ;;
--sanitize)
    sanitize=1
    build="build-sanitize"
    shift
    ;;
--domain)
    domain=${2:?test: --domain needs a folder}
    [ -f "$domain/domain.c" ] || {
        echo "test: --domain \"$domain\" must be a folder with a domain.c" >&2
        exit 2
    }
    shift 2
    ;;
--world)
    world=${2:?test: --world needs a name}
    shift 2
    ;;
--worlds)
    shift
    exec scripts/test/worlds.sh "$@"
    ;;
-*)
    echo "test: there is no option \"$1\"; there are --sanitize, --domain FOLDER," \
        "--world NAME and --worlds [NAME,...]" >&2
    exit 2
    ;;
esac

if [ -n "$sanitize" ]; then scripts/packages.sh sanitize; else scripts/packages.sh test; fi
echo "test: building"
make -s module backend unit bench
for example in ${domain:-examples/*}; do
    make -s backend unit DOMAIN="$example"
    [ -z "$sanitize" ] || make -s SANITIZE=1 backend unit DOMAIN="$example"
done
[ -z "$sanitize" ] || make -s SANITIZE=1 backend unit

# nginx's workers do not run as root: they must be able to read the files that they serve.
run=$(mktemp -d /tmp/weir-test.XXXXXX)
chmod 755 "$run"
redis=
# shellcheck disable=SC2317  # called by the trap
stop() {
    [ -z "$redis" ] || kill "$redis" 2>/dev/null || true
    rm -rf "$run"
}
trap stop EXIT

free_port() {
    perl -MIO::Socket::INET -e 'print IO::Socket::INET->new(Listen => 1,
        LocalAddr => "127.0.0.1:0")->sockport'
}

# as_tests COMMAND...: to the Redis that the edge's tests share, as their user
# (t/lib/Weir/Redis.pm).
as_tests() {
    REDISCLI_AUTH=secret-of-tests "$redis_cli" --user tests --no-auth-warning \
        -s "$TEST_NGINX_REDIS_SOCK" "$@"
}

TEST_NGINX_REDIS_PORT=$(free_port)
TEST_NGINX_REDIS_SOCK=$run/redis.sock
mapfile -t users < <(perl -It/lib -MWeir::Redis=redis_users -le \
    'print for redis_users($ARGV[0])' "$run")
"$redis_server" "${users[@]}" --port "$TEST_NGINX_REDIS_PORT" --bind 127.0.0.1 \
    --unixsocket "$TEST_NGINX_REDIS_SOCK" --unixsocketperm 777 \
    --dir "$run" --save "" --appendonly no >"$run/redis.log" 2>&1 &
redis=$!
for _ in $(seq 100); do
    as_tests PING >/dev/null 2>&1 && break
    kill -0 "$redis" 2>/dev/null || {
        cat "$run/redis.log" >&2
        echo "test: $redis_server did not start" >&2
        exit 1
    }
    sleep 0.1
done

TEST_NGINX_BINARY=$(PATH=$PATH:/usr/sbin command -v nginx)
TEST_NGINX_LOAD_MODULES=
for module in ngx_http_weir{,_redis_probe,_cache_probe,_export_probe}_module; do
    TEST_NGINX_LOAD_MODULES+="${TEST_NGINX_LOAD_MODULES:+ }$root/build/$module.so"
done
TEST_NGINX_SERVROOT=$run/servroot
TEST_NGINX_PORT=$(free_port)
if [ -n "$sanitize" ]; then
    WEIR_NGINX=$TEST_NGINX_BINARY
    WEIR_VALGRIND_LOGS=$run/valgrind
    WEIR_VALGRIND_SUPPRESSIONS=$root/t/valgrind.supp
    TEST_NGINX_BINARY=$root/scripts/test/nginx-valgrind.sh
    TEST_NGINX_TIMEOUT=20
    WEIR_BUILD=$root/$build
    reports=$run/sanitizers
    mkdir -m 777 "$WEIR_VALGRIND_LOGS" "$reports"
    export WEIR_NGINX WEIR_VALGRIND_LOGS WEIR_VALGRIND_SUPPRESSIONS TEST_NGINX_TIMEOUT WEIR_BUILD
    export ASAN_OPTIONS="log_path=$reports/asan${ASAN_OPTIONS:+:$ASAN_OPTIONS}"
    export LSAN_OPTIONS="suppressions=$root/t/lsan.supp:print_suppressions=0"
    UBSAN_OPTIONS="log_path=$reports/ubsan:print_stacktrace=1${UBSAN_OPTIONS:+:$UBSAN_OPTIONS}"
    export UBSAN_OPTIONS
fi
if [ -n "$world" ]; then
    # shellcheck source=scripts/test/world.sh
    . scripts/test/world.sh
    enter_world "$world"
    [ $# -gt 0 ] || mapfile -t files < <(tests_of "$world")
    [ $# -gt 0 ] || set -- "${files[@]}"
fi
export TEST_NGINX_REDIS_PORT TEST_NGINX_REDIS_SOCK TEST_NGINX_BINARY TEST_NGINX_LOAD_MODULES \
    TEST_NGINX_SERVROOT TEST_NGINX_PORT

if [ -n "$domain" ] && [ $# -eq 0 ]; then
    # A domain may have no unit tests.
    programs=build/domains/$(basename "$domain")
    mapfile -t files < <(find "$programs" -path '*/unit/*_test' -perm -u+x | sort
        find "$domain/t" -name '*.t' | sort)
    set -- "${files[@]}"
elif [ $# -eq 0 ]; then
    mapfile -t files < <(find $build/unit -name '*_test' -perm -u+x | sort
        find $build/domains -path '*/unit/*_test' -perm -u+x | sort
        find t examples -name '*.t' -not -path 't/servroot*' | sort)
    set -- "${files[@]}"
fi
status=0
jobs=${WEIR_TEST_JOBS:-2}
[ -z "$sanitize$world" ] || jobs=1
rules=(--rules 'seq=t/edge/**' --rules 'seq=t/e2e/**' --rules 'par=**')
prove -j "$jobs" "${rules[@]}" --exec scripts/test/prove-exec.sh "$@" 2>&1 |
    tee "$run/prove.log" || status=$?

# WEIR_TEST_AGAIN=1: failed files run again, alone. The first failure remains in the output.
if [ $status != 0 ] && [ "${WEIR_TEST_AGAIN:-}" = 1 ]; then
    mapfile -t failed < <(sed -nE 's/^(\S+) +\(Wstat: .*/\1/p' "$run/prove.log")
    if [ ${#failed[@]} -gt 0 ] && [ ${#failed[@]} -le 6 ]; then
        echo "test: once more: ${failed[*]}"
        status=0
        prove --exec scripts/test/prove-exec.sh "${failed[@]}" || status=$?
    fi
fi

# The edge has all rights that it needs, in all files that use the shared Redis.
refused=$(as_tests ACL LOG | grep -A 12 -E '^(command|key|channel)$' || true)
if [ -n "$refused" ]; then
    printf '%s\n' "$refused" "test: Redis refused what a process of Weir wanted; its right is" \
        "missing in backend/ctl/redis/users.c" >&2
    status=1
fi

if [ -n "$sanitize" ] && [ -n "$(find "$WEIR_VALGRIND_LOGS" -type f -size +0)" ]; then
    find "$WEIR_VALGRIND_LOGS" -type f -size +0 -exec cat {} + | head -200
    echo "test: Valgrind has findings"
    status=1
fi
if [ -n "$sanitize" ] && [ -n "$(find "$reports" -type f -size +0)" ]; then
    find "$reports" -type f -size +0 -exec cat {} + | head -200
    echo "test: the sanitizers have findings"
    status=1
fi
[ "$world" != asan ] || asan_is_silent || status=1
exit $status
