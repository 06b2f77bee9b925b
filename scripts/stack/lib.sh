# lib.sh: shared by the operator's scripts: the stack's folders and ports,
# messages, waiting, and identifying processes.  Sourced, never run.
#
# A stack is one folder (WEIR_RUN, by default .run) and ten ports from WEIR_PORT (8080) on: edge,
# backend, Redis, SMTP sink, payment gateway, the backend's metrics, the receiver of spans, the
# edge's server for operators, Prometheus (with WEIR_PROMETHEUS=1), and PostgreSQL (unless
# WEIR_TLS=0). Several stacks can run side by side. PostgreSQL and Redis also have unix sockets.
#
# shellcheck shell=bash
# shellcheck disable=SC2034  # the variables are used by the scripts that source this

# shellcheck source=scripts/stack/redis.sh
. "$(dirname "${BASH_SOURCE[0]}")/redis.sh"
# shellcheck source=scripts/stack/keys.sh
. "$(dirname "${BASH_SOURCE[0]}")/keys.sh"
# shellcheck source=scripts/stack/identity.sh
. "$(dirname "${BASH_SOURCE[0]}")/identity.sh"

weir_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$weir_root" || exit
umask 022
PATH=$PATH:/usr/sbin:/sbin
# The caller's own database settings must not redirect psql.
unset "${!PG@}"

run=${WEIR_RUN:-$weir_root/.run}
[[ $run = /* ]] || run=$weir_root/$run

# The passwords of PostgreSQL's superuser and of the user weir, for psql.
admin_passwords=$run/postgres-passwords
export PGPASSFILE=$admin_passwords

# choose_domain FOLDER: the backend's domain, the folder of its programs, and the services that it
# needs: an SMTP sink and a payment gateway only if its backend.conf.in names them.
choose_domain() {
    domain=$1
    domain_build=build
    [ "$domain" = backend/shop ] || domain_build=build/domains/$(basename "$domain")
    services=(postgres redis)
    ! grep -qs '^[^#]*@SMTP\(_PORT\)\?@' "$domain/backend.conf.in" || services+=(smtp)
    ! grep -qs '^[^#]*@PAYMENTS\(_PORT\)\?@' "$domain/backend.conf.in" || services+=(payments)
    services+=(traces backend nginx)
    [ "$prometheus" = 0 ] || services+=(prometheus)
}

# --- messages ----------------------------------------------------------------

# A wrong argument: exit code 2, as in weirctl.
wrong() {
    printf 'weir: %s\n' "$1" >&2
    exit 2
}

die() {
    printf 'weir: %s\n' "$1" >&2
    shift
    [ $# -eq 0 ] || printf '      %s\n' "$@" >&2
    exit 1
}

# no_arguments NAME TEXT [ARGUMENT…]: for a command without arguments: --help prints the text,
# others are refused.
no_arguments() {
    local name=$1 text=$2
    shift 2
    [ $# -gt 0 ] || return 0
    case $1 in
    -h | --help)
        printf 'usage: ./weir %s\n\n%s\n' "$name" "$text"
        exit 0
        ;;
    esac
    printf 'weir: %s takes no argument; got "%s"\n' "$name" "$1" >&2
    exit 2
}

# step NAME TEXT: prints a line of progress.
step() {
    printf '  %-10s %s\n' "$1" "$2"
}

# --- ports ---------------------------------------------------------------------

# set_ports PORT: the edge's port and the nine after it.
set_ports() {
    if [[ ! $1 =~ ^[1-9][0-9]{0,4}$ ]] || [ "$1" -gt 65526 ]; then
        die "WEIR_PORT is \"$1\"; it must be from 1 to 65526 (nine more follow it)"
    fi
    edge_port=$1 backend_port=$(($1 + 1)) redis_port=$(($1 + 2)) smtp_port=$(($1 + 3))
    payments_port=$(($1 + 4)) metrics_port=$(($1 + 5))
    traces_port=$(($1 + 6)) operators_port=$(($1 + 7)) prometheus_port=$(($1 + 8))
    postgres_port=$(($1 + 9))
    # Names the unix socket, too.
    [ "$tls" = 1 ] && pg_port=$postgres_port || pg_port=5432
}

# ports_of SERVICE: its TCP ports.
ports_of() {
    case $1 in
    nginx) echo "$edge_port $operators_port" ;;
    backend) echo "$backend_port $metrics_port" ;;
    traces) echo "$traces_port" ;;
    postgres) [ "$tls" = 0 ] || echo "$postgres_port" ;;
    redis) echo "$redis_port" ;;
    smtp) echo "$smtp_port" ;;
    payments) echo "$payments_port" ;;
    prometheus) echo "$prometheus_port" ;;
    esac
}

# listener_inodes PORT: the sockets that listen on that port, on 127.0.0.1 or on all addresses.
listener_inodes() {
    awk -v port="$(printf ':%04X' "$1")" \
        '$4 == "0A" && $2 ~ "^(0+|(0000000000000000FFFF0000)?0100007F)" port "$" { print $10 }' \
        /proc/net/tcp /proc/net/tcp6 2>/dev/null || true
}

port_free() {
    [ -z "$(listener_inodes "$1")" ]
}

# port_of_service SERVICE PORT: whether it listens there.
port_of_service() {
    local inode pid
    pid=$(pid_of "$1") || return 1
    for inode in $(listener_inodes "$2"); do
        [ -z "$(find "/proc/$pid/fd" -lname "socket:\[$inode\]" -print -quit 2>/dev/null)" ] ||
            return 0
    done
    return 1
}

# port_holder PORT: "name (pid N)" of the process that listens there, as far as /proc shows it.
port_holder() {
    local inode link pid
    for inode in $(listener_inodes "$1"); do
        link=$(find /proc/[0-9]*/fd -lname "socket:\[$inode\]" -print -quit 2>/dev/null || true)
        [ -n "$link" ] || continue
        pid=${link#/proc/}
        pid=${pid%%/*}
        echo "$(cat "/proc/$pid/comm" 2>/dev/null) (pid $pid)"
        return
    done
    echo "a process of another user"
}

# free_ports: the first of ten consecutive free ports, from 8180 on.
free_ports() {
    local base i
    for ((base = 8180; base < 30000; base += 100)); do
        for i in 0 1 2 3 4 5 6 7 8 9; do
            port_free $((base + i)) || continue 2
        done
        echo $base
        return
    done
}

# --- places --------------------------------------------------------------------

# Folders of data and sockets ($home, $sockets): in $run, unless root runs the stack and the
# services' users cannot enter it (a clone in /root), or the path is too long for a unix socket (107
# bytes).
#
# Also the users: $service_user runs PostgreSQL, which refuses root, with $as_service_user.
# $stack_user runs Redis, the backend, the SMTP sink, the gateway and the receiver of spans, which
# do not need root, with $as_stack_user. $edge_user is that of nginx's workers.
choose_places() {
    local name
    service_user=$(id -un) as_service_user=() stack_user=$(id -un) as_stack_user=()
    edge_user=$(id -un)
    if [ "$(id -u)" = 0 ]; then
        service_user=postgres
        id postgres >/dev/null 2>&1 || service_user=nobody
        # exec, so that the pid is that of the command.
        as_service_user=(setpriv "--reuid=$service_user" "--regid=$(id -g $service_user)"
            --init-groups)
        edge_user=www-data
        stack_user=weir
        id weir >/dev/null 2>&1 || stack_user=nobody
        as_stack_user=(setpriv "--reuid=$stack_user" "--regid=$(id -g $stack_user)" --init-groups)
    fi
    name=weir-$(printf %s "$run" | cksum | cut -d ' ' -f 1)
    home=$run sockets=$run
    if ! "${as_service_user[@]}" test -x "$run"; then
        home=/var/lib/$name sockets=$home
    elif [ ${#run} -gt 80 ]; then
        sockets=/tmp/$name
    fi
    pg_socket=$sockets/pg keys=$home/keys
}

own_run_folder() {
    local path
    for path in "$run" "$weir_root"; do
        [[ $path =~ ^[A-Za-z0-9._/+@-]+$ ]] ||
            die "the path \"$path\" cannot be written in configuration files" \
                "letters, digits and . _ / + @ - may be in it"
    done
    [ -d "$run" ] || mkdir -p "$run" ||
        die "cannot create the folder $run" "choose another one with WEIR_RUN=/folder"
    [ -O "$run" ] || die "$run belongs to $(stat -c %U "$run")" \
        "run this as that user, or choose another folder with WEIR_RUN=/folder"
    mkdir -p "$run/logs" "$run/pids"
    chmod 700 "$run/logs"
    # One up or down at a time; services do not inherit the descriptor.
    # Who can read it, can hold it.
    (umask 077 && : >>"$run/lock") && chmod 600 "$run/lock"
    exec 9>"$run/lock"
    flock -w 120 9 || die "another ./weir up or down has used $run for two minutes"
}

# --- processes -----------------------------------------------------------------
#
# A pid file contains "PID STARTTIME BOOT" (proc(5), stat's field 22), which no
# later process can have.  Each service leads a session, so the session's number
# identifies the processes that remain after it was killed.

stat_fields() {
    local line=
    # The name may contain line feeds; read fails at the end of the file.
    { read -r -d '' line <"/proc/$1/stat" || true; } 2>/dev/null
    [ -n "$line" ] || return 1
    # The second field is a name in parentheses that may contain any character.
    echo "${line##*) }"
}

record_process() {
    local fields
    fields=$(stat_fields "$2") || return 0
    echo "$2 $(cut -d ' ' -f 20 <<<"$fields") $(cat /proc/sys/kernel/random/boot_id)" \
        >"$run/pids/$1"
}

# pid_of SERVICE: its pid while the process that was started is alive.
pid_of() {
    local pid start boot now fields
    { read -r pid start boot <"$run/pids/$1"; } 2>/dev/null || return 1
    read -r now </proc/sys/kernel/random/boot_id
    [ "$boot" = "$now" ] || return 1
    read -r -a fields <<<"$(stat_fields "$pid" || true)"
    [ "${fields[0]:-Z}" != Z ] && [ "${fields[19]}" = "$start" ] || return 1
    echo "$pid"
}

# leftovers_of SERVICE: pids of processes that remain after it was killed, such as
# nginx' workers, which would keep the port.  They are in its session; those of
# PostgreSQL each have a session of their own, but their folder is the data folder.
leftovers_of() {
    local pid start boot fields
    read -r pid start boot 2>/dev/null <"$run/pids/$1" || return 0
    [ "$boot" = "$(cat /proc/sys/kernel/random/boot_id)" ] && [ -z "$(pid_of "$1")" ] || return 0
    if [ "$1" = postgres ]; then
        find /proc/[0-9]*/cwd -lname "$home/postgres" 2>/dev/null | cut -d / -f 3 || true
        return
    fi
    # The number of a session is not reused while the session exists.
    fields=$(stat_fields "$pid" || true)
    [ -z "$fields" ] || [ "${fields%% *}" = Z ] || return 0
    # pid (name) state parent group session …, the 20th after the name is the start time; the name
    # may contain any character.
    cat /proc/[0-9]*/stat 2>/dev/null | awk -v session="$pid" -v start="$start" '
        { pid = $1; sub(/.*\) /, "") }
        pid ~ /^[0-9]+$/ && $4 == session && $1 != "Z" && $20 >= start { print pid }' || true
}

# mark_log NAME: lines of its log from here on belong to this start.
mark_log() {
    log_start=$(stat -c %s "$run/logs/$1.log" 2>/dev/null || echo 0)
}

# launch SERVICE COMMAND…: starts it in the background, in a session of its own.
launch() {
    local name=$1
    shift
    mark_log "$name"
    setsid "$@" </dev/null >>"$run/logs/$name.log" 2>&1 9>&- &
    record_process "$name" $!
}

# wait_until SECONDS COMMAND…: polls; false after that time.
wait_until() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.05
    done
}

# --- clients of the stack -------------------------------------------------------

# pg_bin: the folder of PostgreSQL's programs of the data's version, or of the newest.
pg_bin() {
    local version
    if [ -f "$home/postgres/PG_VERSION" ]; then
        version=$(cat "$home/postgres/PG_VERSION")
    else
        version=$(find /usr/lib/postgresql -mindepth 1 -maxdepth 1 -printf '%f\n' 2>/dev/null |
            sort -n | tail -1)
    fi
    echo "/usr/lib/postgresql/$version/bin"
}

# stack_psql [ARGUMENT…]
stack_psql() {
    "$(pg_bin)/psql" -h "$pg_socket" -p "$pg_port" -U weir -d weir "$@"
}

# Redis by its socket, which has no TLS; PostgreSQL with the operator's own certificate.
stack_ctl() {
    local token='' folder=''
    [ "$tls" = 0 ] || folder=$keys/ctl
    [ "$identity${1:-}" != 1top ] || token=$(operator_token 600)
    WEIR_CTL_TLS=$folder WEIR_CTL_TOKEN=$token \
        WEIR_REDIS=unix:$sockets/redis-socket/redis.sock \
        WEIR_REDIS_USER=weir-ctl WEIR_REDIS_PASSWORD_FILE=$home/redis-users/weir-ctl \
        WEIR_TRACES_FILE=$home/traces/spans.jsonl \
        WEIR_STATUS_URL=http://127.0.0.1:$operators_port/status \
        WEIR_METRICS_URL=$(tls_scheme)://127.0.0.1:$metrics_port/metrics \
        "$weir_root/$domain_build/weirctl" -c "$home/weir-backend.conf" "$@"
}

# That of the user admin; created once for this stack, readable by its user only.
redis_password() {
    local file=$run/redis-password
    [ -s "$file" ] || (umask 077 && head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$file")
    cat "$file"
}

stack_redis_cli() {
    REDISCLI_AUTH=$(redis_password) "$redis_cli" --user admin \
        -s "$sockets/redis-socket/redis.sock" "$@"
}

# What is traced: weir_trace of the edge, on or off.
trace=${WEIR_TRACE:-on}
[[ $trace =~ ^(on|off)$ ]] || die "WEIR_TRACE is \"$trace\"; it must be on or off"

# An existing stack keeps its domain, port, Redis, Prometheus, TLS and identities until up gets
# others.
prometheus=${WEIR_PROMETHEUS:-$(cat "$run/with-prometheus" 2>/dev/null || echo 0)}
[[ $prometheus =~ ^[01]$ ]] || die "WEIR_PROMETHEUS is \"$prometheus\"; it must be 1 or 0"
identity=${WEIR_IDENTITY:-$(cat "$run/with-identity" 2>/dev/null || echo 1)}
[[ $identity =~ ^[01]$ ]] || die "WEIR_IDENTITY is \"$identity\"; it must be 1 or 0"
tls=${WEIR_TLS:-$(cat "$run/with-tls" 2>/dev/null || echo 1)}
[[ $tls =~ ^[01]$ ]] || die "WEIR_TLS is \"$tls\"; it must be 1 or 0"
choose_domain "$(cat "$run/domain" 2>/dev/null || echo backend/shop)"
set_ports "$(cat "$run/port" 2>/dev/null || echo "${WEIR_PORT:-8080}")"
choose_redis "$run/redis-server"
