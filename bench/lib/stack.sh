# stack.sh: what the benchmarks of the backend share: a stack of their own, as ./weir up makes it,
# the load on it, and what else the machine does.
#
# To be sourced, from the project's folder.  The stack lives in $bench_run, below /var/tmp and not
# in memory: commits must reach a disk.  Processes in bench_pids and the stack end with the script.
#
# shellcheck shell=bash
# shellcheck disable=SC2154  # lib.sh sets them
# shellcheck disable=SC2034  # the script that sources this reads some of these

# shellcheck source=bench/lib/options.sh
. bench/lib/options.sh
# shellcheck source=bench/lib/machine.sh
. bench/lib/machine.sh

bench_pids=()
bench_unique=0

# shellcheck disable=SC2317  # called by the trap
bench_end() {
    local pid stack
    for pid in "${bench_pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${bench_pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    for stack in "$bench_run"/*/pids; do
        [ ! -d "$stack" ] || WEIR_RUN=${stack%/pids} scripts/down.sh >/dev/null 2>&1 || true
    done
    rm -rf "$bench_run"
}

# bench_folder: makes $bench_run, which is removed at the end.
bench_folder() {
    bench_run=$(mktemp -d /var/tmp/weir-bench.XXXXXX)
    # Where the services' users may go, too.
    chmod 755 "$bench_run"
    export WEIR_RUN=$bench_run/run
    # Spans of all requests would be measured, too, and their receiver.
    export WEIR_TRACE=${bench_trace:-off}
    # Their figures are those of the parts, without what proves who calls.
    export WEIR_TLS=${bench_tls:-0} WEIR_IDENTITY=${bench_identity:-0}
    trap bench_end EXIT
    trap 'exit 130' INT TERM
}

# Ten free ports in a row: eight of the stack without Prometheus and TLS, two for what a benchmark
# adds.
# Two benchmarks that start at the same time begin to look at different places.
bench_free_ports() {
    local base i
    for ((base = 18600 + $$ % 100 * 10; base < 30000; base += 10)); do
        for i in 0 1 2 3 4 5 6 7 8 9; do
            if (: <"/dev/tcp/127.0.0.1/$((base + i))") 2>/dev/null; then continue 2; fi
        done
        echo "$base"
        return
    done
}

bench_up() {
    scripts/up.sh >"$bench_run/up.log" 2>&1 || {
        cat "$bench_run/up.log" >&2
        echo "bench: the stack does not start" >&2
        exit 1
    }
}

# Starts the stack; afterwards all of services.sh and $conf are there.
bench_begin() {
    bench_folder
    WEIR_PORT=$(bench_free_ports)
    export WEIR_PORT
    bench_up
    # shellcheck source=scripts/stack/services.sh disable=SC1091
    . scripts/stack/services.sh
    choose_places
    conf=$run/weir-backend.conf
}

ctl() { build/weirctl -c "$conf" "$@"; }
sql() { stack_psql -qAtX -v ON_ERROR_STOP=1 -c "$1"; }
as_superuser() {
    "$(pg_bin)/psql" -qAtX -h "$pg_socket" -p "$pg_port" -U postgres -d postgres -c "$1"
}

# bench_run_wrk CONNECTIONS SECONDS URL [NAME=VALUE...]: sets loaded to what wrk's script prints.
# What it writes is unlike what any other run writes.
bench_run_wrk() {
    local connections=$1 seconds=$2 url=$3 out
    shift 3
    bench_unique=$((bench_unique + 1))
    out=$(env UNIQUE=wrk-$bench_unique "$@" wrk -t 1 -c "$connections" -d "$seconds" \
        -s "${bench_lua:-bench/load/write.lua}" "$url") || die "wrk failed" "$out"
    loaded=$(grep '^{' <<<"$out")
    [ -n "$loaded" ] || die "wrk printed no result" "$out"
}

# load KIND PORT SECONDS PAUSE_MS: writes of $connections connections; sets loaded to their number,
# rate, times and errors.
load() {
    bench_run_wrk "$connections" "$3" "http://127.0.0.1:$2/" \
        KIND="$1" USER_ID="${user_id:-}" PAUSE_MS="$4"
    loaded=$(jq -c '{
        requests,
        per_second: (.requests / .duration_us * 1e6 | round),
        errors: (.socket_errors + .bad_statuses),
        p50_ms: (.p50_us / 1000),
        p99_ms: (.p99_us / 1000)
    }' <<<"$loaded")
}

# pace KIND PORT RATE: sets pause_ms for a load of that rate. A connection's turn is its pause and
# the answer's time, which a second of the same load tells.
pace() {
    local had
    pause_ms=$((connections * 1000 / $3))
    [ "$pause_ms" -ge 1 ] || pause_ms=1
    load "$1" "$2" 1 "$pause_ms"
    had=$(jq .per_second <<<"$loaded")
    pause_ms=$((pause_ms + connections * 1000 / $3 - connections * 1000 / (had > 0 ? had : 1)))
    [ "$pause_ms" -ge 1 ] || pause_ms=1
}

# The facts that every report begins with; the script adds its own.
bench_facts() {
    bench_machine | jq --arg postgresql "$(sql 'SHOW server_version')" \
        --arg synchronous_commit "$(sql 'SHOW synchronous_commit')" \
        --arg fsync "$(sql 'SHOW fsync')" '. + $ARGS.named'
}

# The median of $bench_run/others, to which bench_machine_busy was written between the rounds.
bench_others() {
    jq -s 'sort | .[length / 2 | floor]' "$bench_run/others"
}

# --- events ---------------------------------------------------------------------

backlog_is_empty() {
    [ "$(sql 'SELECT NOT EXISTS (SELECT FROM outbox WHERE position IS NULL)')" = t ]
}

# All events go from the outbox to the streams, and all groups (they are paused) past them: what a
# contestant has left behind does not work on while the next one is measured.
settle() {
    wait_until 120 backlog_is_empty || die "the relay does not get through within 120 s"
    sql "UPDATE consumer_partitions c SET handled = p.position, owner = NULL, epoch = epoch + 1
         FROM partitions p WHERE p.partition = c.partition" >/dev/null
}

# Whether all events have been handled by all groups.
is_through() {
    backlog_is_empty && [ "$(sql "SELECT NOT EXISTS (SELECT FROM consumer_partitions c
        JOIN partitions p USING (partition) WHERE c.handled < p.position)")" = t ]
}

ctl_groups_are_there() {
    [ "$(ctl groups --interval 0 --json | jq length)" -ge 4 ]
}

pause_groups() {
    wait_until 20 ctl_groups_are_there || die "no consumer group has come up"
    ctl groups pause --all >/dev/null
}

# Signs up a user, who orders; sets user_id.
make_user_id() {
    user_id=$(curl -sf "http://127.0.0.1:$1/signup" -H 'Content-Type: application/json' \
        -d '{"email":"bench@example.com","displayName":"Bench"}' | jq -r .id)
}
