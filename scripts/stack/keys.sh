# keys.sh: the keys and certificates of a stack (weirctl keys), and who reads them. Sourced by
# services.sh; sources nothing.
#
# shellcheck shell=bash
# lib.sh, which is sourced before, sets these:
# shellcheck disable=SC2154

# stack_keys COMMAND [ARGUMENT…]: weirctl keys on this stack; servers that do not look for changed
# files themselves are told.
stack_keys() {
    WEIR_KEYS=$keys WEIR_KEYS_RELOAD="$weir_root/scripts/keys.sh --reload" stack_ctl keys "$@"
}

# reader_of NAME: the user who reads those private keys.
reader_of() {
    case $1 in
    edge) echo "$edge_user" ;;
    postgres) echo "$service_user" ;;
    ctl) id -un ;;
    *) echo "$stack_user" ;;
    esac
}

# A later rotation leaves each file to the owner that it has.
give_keys() {
    local name
    [ "$(id -u)" = 0 ] || return 0
    for name in edge api relay worker postgres redis smtp payments traces metrics; do
        chown "$(reader_of $name):" "$keys/$name/tls.key"
    done
    chown "$stack_user:" "$keys"/webhook/secret{,s}
}

# Makes what is missing and renews what ends soon.
configure_keys() {
    mark_log keys
    stack_keys init >>"$run/logs/keys.log" 2>&1 || failed keys "keys cannot be made"
    give_keys
}

# The servers' part of a change; $WEIR_KEYS_CHANGED has the names.
reload_keys() {
    local name pid redis='' postgres='' nginx='' tokens=''
    for name in $WEIR_KEYS_CHANGED; do
        case $name in
        redis) redis=1 ;;
        postgres) postgres=1 ;;
        ca | identity) nginx=1 ;;
        issuer) tokens=1 ;;
        esac
    done
    # One that was started without, by an earlier version or WEIR_TLS=0, is restarted by up.
    if [ -n "$redis" ] && [ "$tls" = 1 ] && pid_of redis >/dev/null &&
        grep -q '^tls-cert-file' "$home/redis.conf"; then
        reload_redis_tls
    fi
    if [ -n "$postgres" ] && pid=$(pid_of postgres); then kill -HUP "$pid"; fi
    if [ -n "$nginx" ] && pid=$(pid_of nginx); then kill -HUP "$pid"; fi
    if [ -n "$tokens" ] && pid_of prometheus >/dev/null; then prometheus_token; fi
}

# The same names: the files are read again.
reload_redis_tls() {
    local said
    said=$(stack_redis_cli CONFIG SET tls-cert-file "$keys/redis/tls.crt" \
        tls-key-file "$keys/redis/tls.key" tls-ca-cert-file "$keys/redis/ca.crt")
    [ "$said" = OK ] || die "Redis does not take its certificate: $said"
}

# --- what the parts are told of it; empty without TLS ----------------------------

tls_scheme() { if [ "$tls" = 1 ]; then echo https; else echo http; fi; }

# nginx_files NAME: parameters of the edge's own clients, for the server with that certificate.
nginx_files() {
    [ "$tls" = 1 ] || return 0
    echo "ssl_trusted_certificate=$keys/edge/ca.crt ssl_name=$1.weir.internal" \
        "ssl_certificate=$keys/edge/tls.crt ssl_certificate_key=$keys/edge/tls.key"
}

# For http {} and server {} of the edge, each in a line. Certificate and key are those of one
# folder, which $realpath_root finds for each connection: "map" asks it when a value is needed, and
# once. A new authority needs a reload.
nginx_http() {
    [ "$tls" = 1 ] || return 0
    echo "map '' \$edge_pair { default \$realpath_root; }" \
        "proxy_ssl_certificate \$edge_pair/tls.crt;" \
        "proxy_ssl_certificate_key \$edge_pair/tls.key;" \
        "proxy_ssl_trusted_certificate $keys/edge/ca.crt; proxy_ssl_verify on;" \
        "proxy_ssl_name api.weir.internal; proxy_ssl_server_name on;" \
        "proxy_ssl_protocols TLSv1.3; proxy_ssl_session_reuse off;"
}

nginx_server() {
    [ "$tls" = 1 ] || return 0
    echo "root $keys/edge;"
}

# Lines of the backend's configuration.
tls_backend() {
    local ids=spiffe://weir.internal
    [ "$tls" = 1 ] || return 0
    cat <<END
tls_certificate = $keys/api/tls.crt
tls_key = $keys/api/tls.key
tls_client_ca = $keys/api/ca.crt
tls_allowed_names = $ids/edge
tls_metrics_names = $ids/edge, $ids/metrics, $ids/ctl
redis_ca = $keys/api/ca.crt
redis_certificate = $keys/api/tls.crt
redis_key = $keys/api/tls.key
traces_certificate = $keys/api/ca.crt
traces_client_certificate = $keys/api/tls.crt
traces_client_key = $keys/api/tls.key
END
}

# The same for a service that a domain's backend.conf.in names: tls_domain NAME.
tls_domain() {
    [ "$tls" = 1 ] || return 0
    cat <<END
$1_ca = $keys/api/ca.crt
$1_certificate = $keys/api/tls.crt
$1_key = $keys/api/tls.key
END
}

# database_as NAME: libpq's parameters for whoever has that certificate; its user follows.
database_as() {
    echo "host=postgres.weir.internal hostaddr=127.0.0.1 port=$postgres_port dbname=weir" \
        "sslmode=verify-full sslrootcert=$keys/$1/ca.crt" \
        "sslcert=$keys/$1/tls.crt sslkey=$keys/$1/tls.key"
}

# Lines of postgresql.conf and pg_hba.conf; pg_ident.conf is of roles.sh.
tls_postgres() {
    if [ "$tls" = 0 ]; then
        echo "listen_addresses = ''"
        echo "port = $pg_port"
        return
    fi
    cat <<END
listen_addresses = '127.0.0.1'
port = $pg_port
ssl = on
ssl_min_protocol_version = 'TLSv1.3'
ssl_cert_file = '$keys/postgres/tls.crt'
ssl_key_file = '$keys/postgres/tls.key'
ssl_ca_file = '$keys/postgres/ca.crt'
END
}
tls_postgres_hba() {
    [ "$tls" = 0 ] || echo "hostssl weir all 127.0.0.1/32 cert map=certificates"
}

# Lines of redis.conf.
tls_redis() {
    if [ "$tls" = 0 ]; then
        echo "port $redis_port"
        return
    fi
    cat <<END
port 0
tls-port $redis_port
tls-cert-file $keys/redis/tls.crt
tls-key-file $keys/redis/tls.key
tls-ca-cert-file $keys/redis/ca.crt
tls-auth-clients yes
tls-protocols "TLSv1.3"
END
}

# curl_as NAME ARGUMENT…: curl with that certificate, if the stack has TLS.
curl_as() {
    local name=$1 files=()
    shift
    [ "$tls" = 0 ] || files=(--cacert "$keys/$name/ca.crt" --cert "$keys/$name/tls.crt"
        --key "$keys/$name/tls.key")
    curl "${files[@]}" "$@"
}
