# two-builds.sh: writes through the edge of this build and of another checkout's, in turn, and the
# CPU time that a request takes of each.
#
# To be sourced after stack.sh, by write.sh for --against.  Each build has a stack of its own, made
# by its own ./weir up, so that its SQL and its configuration are its own too.  The stack in use is
# $build, "this" or "other".
#
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034  # options and stack.sh's variables

declare -A build_folder build_port build_user

# in_build COMMAND…: a command of ./weir in the stack in use.
in_build() {
    WEIR_RUN=$bench_run/$build WEIR_PORT=${build_port[$build]} "${build_folder[$build]}/weir" "$@"
}

# What stack.sh needs of the stack in use.
sql() { in_build psql -qAtX -v ON_ERROR_STOP=1 -c "$1"; }
ctl() { in_build ctl "$@"; }

# start_build NAME FOLDER
start_build() {
    build=$1
    build_folder[$build]=$2
    build_port[$build]=$(bench_free_ports)
    echo "bench: starting the stack of $2" >&2
    in_build up >"$bench_run/up.log" 2>&1 || {
        cat "$bench_run/up.log" >&2
        die "the stack of $2 does not start"
    }
    make_user_id "${build_port[$build]}"
    build_user[$build]=$user_id
    pause_groups
}

# µs of each process of the stack in use: "edge backend postgres".
build_cpu() {
    local service pid
    for service in nginx backend postgres; do
        read -r pid _ <"$bench_run/$build/pids/$service"
        bench_cpu_of_all "$pid"
    done | xargs
}

# measure_build KIND ROUND: until the relay is through with the events, which are a part of a
# request.
measure_build() {
    local before after
    user_id=${build_user[$build]}
    read -ra before <<<"$(build_cpu)"
    load "$1" "${build_port[$build]}" "$seconds" 0
    wait_until 120 backlog_is_empty || die "the relay does not get through within 120 s"
    read -ra after <<<"$(build_cpu)"
    settle
    jq -c --arg kind "$1" --arg build "$build" --argjson round "$2" \
        --argjson edge $((after[0] - before[0])) --argjson backend $((after[1] - before[1])) \
        --argjson postgres $((after[2] - before[2])) '
        {build: $build, round: $round, requests, errors}
        + ({what: "\($kind), edge", cpu_us: $edge},
           {what: "\($kind), backend", cpu_us: $backend},
           {what: "\($kind), edge and backend", cpu_us: ($edge + $backend)},
           {what: "\($kind), PostgreSQL", cpu_us: $postgres})' <<<"$loaded" >>"$bench_run/measured"
}

compare_builds() {
    local round kind builds
    bench_folder
    # shellcheck source=scripts/stack/lib.sh disable=SC1091
    . scripts/stack/lib.sh # wait_until
    start_build this "$PWD"
    start_build other "$against"

    # Round 0 warms up.
    for ((round = 0; round <= rounds; round++)); do
        echo "bench: round $round of $rounds" >&2
        bench_machine_busy >>"$bench_run/others"
        builds=(this other)
        [ $((round % 2)) = 1 ] || builds=(other this)
        for kind in signup orders; do
            for build in "${builds[@]}"; do measure_build "$kind" "$round"; done
        done
    done

    mkdir -p build
    jq 'select(.round > 0)' "$bench_run/measured" | jq -s --argjson facts "$(facts_of_builds)" \
        -f bench/report/against.jq >build/bench-write-against.json
    bench_print write-against against
}

facts_of_builds() {
    bench_facts | jq --arg other "$(bench_commit "$against")" --argjson rounds "$rounds" \
        --argjson seconds "$seconds" --argjson wrk_connections "$connections" \
        --argjson others_busy_median "$(bench_others)" '. + $ARGS.named'
}
