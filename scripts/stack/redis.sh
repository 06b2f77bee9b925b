# redis.sh: selects the programs of Redis' server and client.  Sourced, never run.
#
# shellcheck shell=bash
# shellcheck disable=SC2034  # the variables are used by the scripts that source this

# choose_redis FILE: sets $redis_server and $redis_cli.  The server is that of
# WEIR_REDIS_SERVER, such as valkey-server or /opt/redis/bin/redis-server; without
# it that of FILE, in which a stack records its server; otherwise redis-server.
# The client has the same name with -cli.
choose_redis() {
    redis_server=${WEIR_REDIS_SERVER:-$(cat "$1" 2>/dev/null || true)}
    redis_server=${redis_server:-redis-server}
    if [[ ! $redis_server =~ ^[A-Za-z0-9._/+@-]+-server$ ]]; then
        echo "weir: WEIR_REDIS_SERVER is \"$redis_server\"; it must be a program's name or path" \
            "that ends in \"-server\", such as valkey-server" >&2
        exit 2
    fi
    redis_cli=${redis_server%-server}-cli
    export WEIR_REDIS_SERVER=$redis_server
}
