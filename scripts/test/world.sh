# world.sh: the worlds in which the edge's tests run unchanged: t/worlds/README.md.
# Sourced by test.sh and worlds.sh.
#
# shellcheck shell=bash
# shellcheck disable=SC2154  # $run and $root are test.sh's

worlds=(tls http2 pipelined slow tiny lua error_page accel asan)

# enter_world NAME: sets the environment of its tests.
enter_world() {
    [[ " ${worlds[*]} " == *" $1 "* ]] || {
        echo "test: no world \"$1\"; there are ${worlds[*]}" >&2
        exit 2
    }
    WEIR_WORLD=$1 WEIR_WORLD_NGINX=$TEST_NGINX_BINARY
    if [ "$1" = asan ]; then
        scripts/build/asan.sh
        WEIR_WORLD_NGINX=$root/build-asan/nginx
        TEST_NGINX_LOAD_MODULES=${TEST_NGINX_LOAD_MODULES//$root\/build\//$root/build-asan/}
        mkdir -m 777 "$run/asan"
        # Each nginx module has its own list of modules, under the same name.
        export ASAN_OPTIONS="detect_leaks=0:detect_odr_violation=0:log_path=$run/asan/report"
    fi
    TEST_NGINX_BINARY=$root/t/worlds/nginx
    # Several processes are between test and nginx.
    TEST_NGINX_TIMEOUT=${TEST_NGINX_TIMEOUT:-20}
    export WEIR_WORLD WEIR_WORLD_NGINX TEST_NGINX_TIMEOUT
}

# tests_of NAME: its test files, one per line, without those in t/worlds/except.
tests_of() {
    local except
    except=$(awk -v world="$1" '
        !/^#/ && NF && ($1 == world || $1 == "*") { print "^" $2 "$" }' t/worlds/except)
    find t/edge t/worlds -name '*.t' | grep -vE -f <(echo "$except") | sort
}

# asan_is_silent: false, with the reports, if AddressSanitizer has findings.
asan_is_silent() {
    local reports
    reports=$(find "$run/asan" -type f)
    [ -z "$reports" ] || {
        xargs cat <<<"$reports" | head -100
        echo "test: AddressSanitizer has findings"
        return 1
    }
}
