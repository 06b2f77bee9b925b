# services.sh: the services of a stack: configuring, starting, checking and
# stopping each of them.  Sourced; sources lib.sh.
#
# shellcheck shell=bash

# shellcheck source=scripts/stack/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/stack/roles.sh
. "$(dirname "${BASH_SOURCE[0]}")/roles.sh"
# shellcheck source=scripts/stack/redis_users.sh
. "$(dirname "${BASH_SOURCE[0]}")/redis_users.sh"

# address_of SERVICE: its address, for output.
address_of() {
    case $1 in
    postgres) echo "$pg_socket/.s.PGSQL.$pg_port" ;;
    redis) echo "127.0.0.1:$redis_port, $sockets/redis-socket/redis.sock (with users)" ;;
    nginx) echo "http://127.0.0.1:$edge_port" ;;
    backend) echo "$(tls_scheme)://127.0.0.1:$backend_port" ;;
    smtp) echo "127.0.0.1:$smtp_port, mails in $home/mail" ;;
    payments) echo "$(tls_scheme)://127.0.0.1:$payments_port/ledger" ;;
    traces) echo "$(tls_scheme)://127.0.0.1:$traces_port/traces, spans in $home/traces" ;;
    prometheus) echo "http://127.0.0.1:$prometheus_port" ;;
    esac
}

# --- configuration: each up writes it again ------------------------------------

# write_file PATH: writes standard input to it; replaces the old file when the new one is complete.
write_file() {
    cat >"$1.new"
    mv "$1.new" "$1"
}

# write_secret PATH [OWNER]: the same, readable by its owner only; OWNER is used if root runs this.
write_secret() {
    (umask 077 && : >"$1.new")
    cat >"$1.new"
    if [ "$(id -u)" = 0 ]; then chown "${2:-root}:" "$1.new"; fi
    mv "$1.new" "$1"
}

# fill [NAME VALUE]…: standard input, with the VALUE in the place of each @NAME@. sed reads the
# values from a file, because all users of the machine can read arguments.
fill() {
    sed -f <(printf 's|@%s@|%s|\n' "$@")
}

# own_folder PATH: a folder that only the services' user can enter.
own_folder() {
    mkdir -p "$1"
    chmod 700 "$1"
    if [ "$(id -u)" = 0 ]; then chown "$stack_user:" "$1"; fi
}

configure_postgres() {
    local conf=$home/postgres memory=posix
    # A bare chroot has no usable /dev/shm.
    "${as_service_user[@]}" test -w /dev/shm || memory=sysv
    roles_configure
    write_file "$conf/postgresql.conf" <<END
$(tls_postgres)
unix_socket_directories = '$pg_socket'
max_connections = 50
shared_buffers = 128MB
dynamic_shared_memory_type = $memory
# These two stay on, so that an acknowledged write is on the disk.
fsync = on
synchronous_commit = on
wal_compression = on
max_wal_size = 512MB
checkpoint_timeout = 15min
jit = off
random_page_cost = 1.1
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] '
lc_messages = 'C'
END
    if [ "$(id -u)" = 0 ]; then chown "$service_user:" "$conf"/*.conf; fi
}

configure_redis() {
    configure_redis_users
    write_secret "$home/redis.conf" "$stack_user" <<END
aclfile $home/redis-users.acl
bind 127.0.0.1
$(tls_redis)
unixsocket $sockets/redis-socket/redis.sock
unixsocketperm 700
dir $home/redis
daemonize no
appendonly yes
appendfsync everysec
save ""
# Cached responses have a time to live and may be evicted; event streams have none and are not.
maxmemory 256mb
maxmemory-policy volatile-lru
END
}

# The key that signs heads of the audit log: made once for this stack.
audit_key() {
    local file=$home/audit/key.pem
    own_folder "$home/audit"
    [ -s "$file" ] || openssl genpkey -algorithm ed25519 | write_secret "$file" "$stack_user"
    echo "$file"
}

configure_backend() {
    local domain_conf='' endpoint=off smtp=smtp
    [ "$tls" = 0 ] || smtp=smtps
    [ "$trace" = off ] || endpoint=$(tls_scheme)://127.0.0.1:$traces_port/v1/traces
    if [ -f "$domain/backend.conf.in" ]; then
        domain_conf=$(fill SMTP "$smtp://127.0.0.1:$smtp_port" \
            PAYMENTS "$(tls_scheme)://127.0.0.1:$payments_port" \
            SMTP_PORT "$smtp_port" PAYMENTS_PORT "$payments_port" \
            WEBHOOK_SECRETS "$keys/webhook/secrets" <"$domain/backend.conf.in"
            [[ " ${services[*]} " != *" smtp "* ]] || tls_domain smtp
            [[ " ${services[*]} " != *" payments "* ]] || tls_domain payments)
    fi
    write_secret "$home/weir-backend.conf" "$stack_user" <<END
# Written by ./weir up; conf/weir-backend.conf describes every key.
listen = 127.0.0.1:$backend_port
metrics_listen = 127.0.0.1:$metrics_port
cost_currency = EUR
cost_database = 0.20
cost_wal = 0.10
traces_endpoint = $endpoint
$(roles_backend)
$(redis_of_backend)
audit_key = $(audit_key)
audit_heads = $home/audit/heads.jsonl
audit_address = forwarded
$(tls_backend)
$(identity_backend)
$domain_conf
END
}

configure_nginx() {
    local user='' template=$domain/edge.conf.in
    [ "$domain" != backend/shop ] || template=conf/edge.conf.in
    [ -f "$template" ] ||
        die "the domain $domain has no edge.conf.in" "weirctl new-domain lays one down"
    [ "$tls" = 0 ] || grep -q @SCHEME@ "$template" ||
        die "$template is that of an earlier version, which knows no TLS to the backend" \
            "weirctl new-domain lays down one that does, or: WEIR_TLS=0 WEIR_IDENTITY=0 ./weir up"
    [ "$(id -u)" != 0 ] || user="user $edge_user;"
    fill MODULE "$weir_root/build/ngx_http_weir_module.so" RUN "$run" HOME "$home" USER "$user" \
        REDIS "$(redis_of_edge)" PORT "$edge_port" \
        BACKEND "127.0.0.1:$backend_port" TRACES "127.0.0.1:$traces_port" \
        METRICS "127.0.0.1:$metrics_port" \
        SCHEME "$(tls_scheme)" REDIS_TLS "$(nginx_files redis)" \
        TRACES_TLS "$(nginx_files traces)" TLS_HTTP "$(nginx_http)" TLS_SERVER "$(nginx_server)" \
        OPERATORS_SERVER "$(operators_server)" OPERATORS_PAGE "$(operators_page)" \
        IDENTITY_OPERATORS "$(identity_operators)" \
        IDENTITY_HTTP "$(identity_http)" IDENTITY_SERVER "$(identity_server)" \
        TRACE "$trace" OPERATORS_PORT "$operators_port" <"$template" | write_secret "$run/edge.conf"
}

# Read by Prometheus at each scrape; each up makes another one.
prometheus_token() {
    local token=none
    [ "$identity" = 0 ] || token=$(operator_token $((90 * 86400)))
    write_secret "$home/prometheus/token" "$stack_user" <<<"$token"
}

# Its user may not be able to enter the clone, so it has a copy of the rules.
configure_prometheus() {
    own_folder "$home/prometheus"
    mkdir -p "$home/prometheus/rules"
    cp conf/prometheus/*.rules.yml "$home/prometheus/rules"
    prometheus_token
    fill HOME "$home" KEYS "$keys" SCHEME "$(tls_scheme)" OPERATORS_PORT "$operators_port" \
        METRICS_PORT "$metrics_port" \
        <conf/prometheus/prometheus.yml.in | write_file "$home/prometheus/prometheus.yml"
    if [ "$(id -u)" = 0 ]; then chown -R "$stack_user:" "$home/prometheus"; fi
}

# fingerprint_of SERVICE: changes with its program and its configuration.
fingerprint_of() {
    case $1 in
    postgres) cat "$home/postgres"/{postgresql,pg_hba,pg_ident}.conf ;;
    redis) cat "$home/redis.conf" "$home/redis-users.acl" && echo "$redis_server" ;;
    backend) cat "$home/weir-backend.conf" "$domain_build/weir-backend" && echo "$stack_user" ;;
    payments)
        cat build/weir-payments-sim && echo "$payments_port $edge_port $stack_user $tls"
        ;;
    nginx) cat "$run/edge.conf" build/ngx_http_weir_module.so ;;
    smtp) cat scripts/stack/smtp-sink.py && echo "$smtp_port $stack_user $tls" ;;
    traces) cat "$domain_build/weirctl" && echo "$traces_port $stack_user $tls" ;;
    prometheus)
        cat "$home/prometheus"/{prometheus.yml,rules/*} && echo "$prometheus_port $stack_user"
        ;;
    esac | sha256sum | cut -d ' ' -f 1
}

# program FILE: the built program, in a folder that the stack's user can enter (a clone in /root is
# none).
program() {
    local file=$weir_root/$1
    if ! "${as_stack_user[@]}" test -x "$file"; then
        install -D -m 755 "$file" "$home/bin/$(basename "$1")"
        file=$home/bin/$(basename "$1")
    fi
    echo "$file"
}

# --- start -----------------------------------------------------------------------

create_cluster() {
    mark_log postgres
    mkdir -p "$home/postgres"
    chmod 700 "$home/postgres"
    if [ "$(id -u)" = 0 ]; then chown "$service_user:" "$home/postgres"; fi
    (cd / && "${as_service_user[@]}" "$(pg_bin)/initdb" -D "$home/postgres" -U postgres \
        --auth=peer --data-checksums --encoding=UTF8 --locale=C.UTF-8) \
        >>"$run/logs/postgres.log" 2>&1 ||
        failed postgres "initdb failed"
}

# Called when the postmaster and its remaining processes have ended.  Its pid may
# still be in use, by a zombie or, after a reboot, by another program, and
# PostgreSQL would then trust its old lock files.
start_postgres() {
    rm -f "$home/postgres/postmaster.pid" "$pg_socket"/.s.PGSQL.*.lock
    launch postgres "${as_service_user[@]}" "$(pg_bin)/postgres" -D "$home/postgres"
}

start_redis() {
    own_folder "$home/redis"
    if [ "$(id -u)" = 0 ]; then chown -R "$stack_user:" "$home/redis"; fi
    launch redis "${as_stack_user[@]}" "$redis_server" "$home/redis.conf"
}

start_smtp() {
    local certificate=()
    # Debian's own python3 has the package; another one may be first in PATH.
    own_folder "$home/mail"
    mkdir -p "$home/mail/tmp" "$home/mail/new" "$home/mail/cur"
    if [ "$(id -u)" = 0 ]; then chown -R "$stack_user:" "$home/mail"; fi
    [ "$tls" = 0 ] || certificate=("$keys/smtp")
    launch smtp "${as_stack_user[@]}" /usr/bin/python3 "$(program scripts/stack/smtp-sink.py)" \
        "$smtp_port" "$home/mail" "${certificate[@]}"
}

# It sends its webhooks through the edge, as an external gateway would.
start_payments() {
    local ledger=$home/payments-ledger.json certificate=()
    [ "$tls" = 0 ] || certificate=(-T "$keys/payments"
        -n "spiffe://weir.internal/api,spiffe://weir.internal/worker,spiffe://weir.internal/ctl")
    (umask 077 && : >>"$ledger" && chmod 600 "$ledger")
    if [ "$(id -u)" = 0 ]; then chown "$stack_user:" "$ledger"; fi
    launch payments "${as_stack_user[@]}" "$(program build/weir-payments-sim)" \
        -l "127.0.0.1:$payments_port" -S "$keys/webhook/secret" -f "$ledger" \
        -w "http://127.0.0.1:$edge_port/webhooks/payment" "${certificate[@]}"
}

# Keeps the newest spans of edge and backend.
start_traces() {
    local certificate=() names
    names=$(printf 'spiffe://weir.internal/%s,' edge api relay worker ctl)
    [ "$tls" = 0 ] || certificate=(--tls "$keys/traces" --allow "${names%,}")
    own_folder "$home/traces"
    launch traces "${as_stack_user[@]}" "$(program "$domain_build/weirctl")" trace receive \
        --listen "127.0.0.1:$traces_port" --file "$home/traces/spans.jsonl" \
        "${certificate[@]}"
}

# Exemplars lead from a bucket to a trace.
start_prometheus() {
    launch prometheus "${as_stack_user[@]}" prometheus --web.listen-address \
        "127.0.0.1:$prometheus_port" --config.file "$home/prometheus/prometheus.yml" \
        --storage.tsdb.path "$home/prometheus/data" --storage.tsdb.retention.size 512MB \
        --enable-feature exemplar-storage
}

start_backend() {
    launch backend "${as_stack_user[@]}" "$(program "$domain_build/weir-backend")" \
        -c "$home/weir-backend.conf" all
}

start_nginx() {
    mkdir -p "$home/nginx"
    launch nginx nginx -e "$run/logs/nginx.log" -p "$home/nginx" -c "$run/edge.conf"
}

# --- checking ----------------------------------------------------------------------

answers_postgres() {
    "$(pg_bin)/pg_isready" -q -h "$pg_socket" -p "$pg_port" -U postgres -d postgres
}
answers_redis() { [ "$(stack_redis_cli ping 2>/dev/null)" = PONG ]; }
answers_smtp() {
    local scheme=smtp
    [ "$tls" = 0 ] || scheme=smtps
    curl_as ctl -sf -m 2 -o /dev/null -X NOOP "$scheme://127.0.0.1:$smtp_port"
}
# answers_https NAME URL: with that certificate.
answers_https() { curl_as "$1" -sf -m 2 -o /dev/null "$(tls_scheme)://127.0.0.1:$2"; }
answers_payments() { answers_https ctl "$payments_port/ledger"; }
answers_traces() { answers_https ctl "$traces_port/health"; }
answers_prometheus() { curl -sf -m 2 -o /dev/null "http://127.0.0.1:$prometheus_port/-/ready"; }
answers_backend() { answers_https edge "$backend_port/health"; }
answers_nginx() { curl -sf -m 2 -o /dev/null "http://127.0.0.1:$edge_port/.well-known/weir-edge"; }

# state_of SERVICE: up, silent (runs but does not answer) or down.
state_of() {
    if ! pid_of "$1" >/dev/null; then
        echo down
    elif "answers_$1"; then
        echo up
    else
        echo silent
    fi
}

answers_or_died() {
    "answers_$1" || ! pid_of "$1" >/dev/null
}

# failed SERVICE WHAT: ends with the lines of its log since the start, at most 12.
failed() {
    local log=$run/logs/$1.log lines
    lines=$(tail -c "+$((log_start + 1))" "$log" 2>/dev/null | tail -n 12 | cut -c 1-400 |
        sed '2,$s/^/      /') || true
    die "$1: $2; the end of $log:" "$lines" "when that is mended, ./weir up goes on from here"
}

# ensure_service SERVICE: starts it, unless it runs with the current program and configuration.
ensure_service() {
    local name=$1 print verb=started
    print=$(fingerprint_of "$name")
    if pid_of "$name" >/dev/null; then
        if [ "$print" = "$(cat "$run/pids/$name.from" 2>/dev/null)" ] &&
            wait_until 10 "answers_$name"; then
            step "$name" "running, pid $(pid_of "$name")"
            return
        fi
        stop_service "$name" || true
        verb=restarted
    fi
    stop_leftovers "$name"
    "start_$name"
    wait_until 60 answers_or_died "$name" || failed "$name" "does not answer after 60 seconds"
    pid_of "$name" >/dev/null || failed "$name" "did not start"
    echo "$print" >"$run/pids/$name.from"
    step "$name" "$verb, pid $(pid_of "$name")"
}

# --- stop -------------------------------------------------------------------------

# The signals that are tried, in this order; the first ones let the service finish its work.
signals_of() {
    case $1 in
    nginx) echo QUIT TERM KILL ;;
    # Fast shutdown, then immediate: never KILL, which leaves shared memory behind.
    postgres) echo INT QUIT ;;
    *) echo TERM KILL ;;
    esac
}

gone() { ! pid_of "$1" >/dev/null; }

# stop_service SERVICE: false if it was not running.
stop_service() {
    local name=$1 signal pid was_running=1
    if gone "$name"; then was_running=; fi
    for signal in $(signals_of "$name"); do
        pid=$(pid_of "$name") || break
        kill -"$signal" "$pid" 2>/dev/null || true
        wait_until 15 gone "$name" && break
        step "$name" "still there 15 seconds after SIG$signal"
    done
    gone "$name" || die "$name (pid $(pid_of "$name")) does not stop; see $run/logs/$name.log"
    stop_leftovers "$name"
    rm -f "$run/pids/$name" "$run/pids/$name.from"
    [ -n "$was_running" ]
}

no_leftovers() { [ -z "$(leftovers_of "$1")" ]; }

stop_leftovers() {
    local signal pids
    for signal in TERM KILL; do
        mapfile -t pids < <(leftovers_of "$1")
        [ ${#pids[@]} -gt 0 ] || return 0
        kill -$signal "${pids[@]}" 2>/dev/null || true
        wait_until 5 no_leftovers "$1" || true
    done
    no_leftovers "$1" || die "$1 left processes that do not end: $(leftovers_of "$1" | tr '\n' ' ')"
}
