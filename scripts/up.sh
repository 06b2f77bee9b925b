#!/bin/bash
# up.sh [--domain FOLDER]: starts the stack: packages, build, services.  A second call starts
# services that died, and restarts those whose program or configuration has changed.
set -euo pipefail
# shellcheck source=scripts/stack/services.sh
. "$(dirname "$0")/stack/services.sh"

wanted_domain=$domain
if [ "${1:-}" = --domain ]; then
    [ -f "$2/domain.c" ] || wrong "up: --domain \"$2\" must be a folder with a domain.c"
    wanted_domain=$2
    shift 2
fi
no_arguments up "installs what is missing, builds, and starts the stack" "$@"

settle_domain() {
    if [ "$wanted_domain" != "$domain" ] && [ -d "$home/postgres" ]; then
        die "this stack has the data of the domain $domain" \
            "a stack for $wanted_domain beside it:" \
            "WEIR_RUN=/tmp/second WEIR_PORT=8180 ./weir up --domain $wanted_domain"
    fi
    choose_domain "$wanted_domain"
    echo "$domain" >"$run/domain"
}

settle_port() {
    local wanted=${WEIR_PORT:-$edge_port} name
    if [ "$wanted" != "$edge_port" ]; then
        for name in "${services[@]}"; do
            gone "$name" || die "this stack runs at port $edge_port, not at $wanted" \
                "to move it: ./weir down, then WEIR_PORT=$wanted ./weir up" \
                "for a second one beside it: give it a folder too, WEIR_RUN=/tmp/second"
        done
        set_ports "$wanted"
    fi
    echo "$edge_port" >"$run/port"
    echo "$redis_server" >"$run/redis-server"
    echo "$prometheus" >"$run/with-prometheus"
    echo "$identity" >"$run/with-identity"
    echo "$tls" >"$run/with-tls"
}

# Before the long work, so that a port in use is reported at once. A service that runs may need
# another port, too, if an earlier version has started it.
check_ports() {
    local name port
    for name in "${services[@]}"; do
        ! gone "$name" || stop_leftovers "$name"
        for port in $(ports_of "$name"); do
            port_free "$port" || port_of_service "$name" "$port" ||
                die "port $port, for $name, is taken by $(port_holder "$port")" \
                    "stop that, or move Weir: WEIR_PORT=$(free_ports) ./weir up" \
                    "(ten ports from there on are free)"
        done
    done
}

# The times of the programs that run.
programs_from() {
    stat -c %Y "$domain_build"/{weir-backend,weirctl} build/weir-payments-sim \
        build/ngx_http_weir_module.so
}

build() {
    local before after
    before=$(programs_from 2>/dev/null || true)
    [ -n "$before" ] || step build "building, a minute or so"
    make -s -j2 module backend DOMAIN="$domain" || die "the build failed, see above"
    after=$(programs_from)
    if [ "$before" = "$after" ]; then step build "nothing has changed"; else step build "done"; fi
}

# If root runs the stack, a system user without a shell runs the services that need no root.
make_user() {
    [ "$(id -u)" = 0 ] || return 0
    id weir >/dev/null 2>&1 ||
        useradd --system --no-create-home --shell /usr/sbin/nologin weir ||
        step account "without the user weir the services run as nobody, as others may, too"
}

make_places() {
    make_user
    choose_places # again: a user may have come with the packages
    mkdir -p "$home" "$sockets"
    [ -O "$sockets" ] ||
        die "$sockets belongs to $(stat -c %U "$sockets")" "choose a shorter WEIR_RUN"
    if [ "$sockets" != "$home" ]; then
        step places "$run is too long for unix sockets; they are in $sockets"
    elif [ "$home" != "$run" ]; then
        step places "the services' users may not enter $run; their data is in $home"
    fi
    roles_make_socket_folder
    own_folder "$sockets/redis-socket"
}

as_superuser() {
    "$(pg_bin)/psql" -qAtX -v ON_ERROR_STOP=1 -h "$pg_socket" -p "$pg_port" -U postgres \
        -d postgres "$@"
}

prepare_database() {
    roles_prepare
    mark_log migrate
    "$domain_build/weir-backend" -c "$home/weir-backend.conf" migrate \
        >>"$run/logs/migrate.log" 2>&1 || failed migrate "the migration failed"
    step migrate "$(stack_psql -qAtX -c \
        "SELECT count(*) || ' migrations are in place' FROM schema_migrations")"
}

show_ways_in() {
    # another folder must be named to every command
    local weir=${WEIR_RUN:+WEIR_RUN=${WEIR_RUN@Q} }./weir
    local see="http://127.0.0.1:$operators_port in a browser" curl=curl
    [ "$identity" = 0 ] || see="in a browser what $weir dashboard prints" curl="$weir curl"
    echo
    if [ "$domain" != backend/shop ]; then
        cat <<END
Weir is up with the domain $domain: http://127.0.0.1:$edge_port

  see        $see: what is slow, and why
  its API    curl -s http://127.0.0.1:$edge_port/openapi.json
END
    else
        cat <<END
Weir is up: http://127.0.0.1:$edge_port

  see        $see: what is slow, and why
  sign up    curl -si http://127.0.0.1:$edge_port/signup -H 'Content-Type: application/json' \\
                  -d '{"email":"ada@example.com","displayName":"Ada"}'
END
        [ "$identity" = 0 ] || cat <<END
  who calls  $weir curl -si /dashboard/daily-orders, as an operator; of a user:
             $weir curl --sub ID --scope 'shop:users shop:orders' -si /users/ID
END
        cat <<END
  why slow   $weir ctl top, $weir ctl trace list, $weir ctl trace show ID
  the story  $weir demo
END
    fi
    cat <<END
  watch      $weir status, $weir logs -f,
             $curl -s $(tls_scheme)://127.0.0.1:$metrics_port/metrics
  look in    $weir psql, $weir redis-cli, $weir ctl, mails in $home/mail/new
END
    [ "$identity$tls" = 00 ] || echo "  keys       $weir keys list, $weir keys rotate all"
    echo "  stop       $weir down"
}

own_run_folder
choose_places
settle_domain
settle_port
check_ports
scripts/packages.sh run 9>&-
[ "$prometheus" = 0 ] || scripts/packages.sh prometheus 9>&-
step packages "all there"
build 9>&-
make_places
[ -x "$(pg_bin)/postgres" ] ||
    die "the data in $home/postgres need PostgreSQL's programs in $(pg_bin)" \
        "install that version, or remove the data to start anew"
[ -f "$home/postgres/PG_VERSION" ] || create_cluster
for name in keys postgres redis backend nginx prometheus; do "configure_$name"; done
[ "$prometheus" = 1 ] || ! stop_service prometheus || step prometheus "stopped"
ensure_service postgres
ensure_service redis
prepare_database
for name in "${services[@]:2}"; do ensure_service "$name"; done
show_ways_in
