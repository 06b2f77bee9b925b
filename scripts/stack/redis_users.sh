# redis_users.sh: the users of a stack's Redis, each with the rights that its process needs and a
# password in a file of its own.  Sourced by services.sh.
#
# shellcheck shell=bash
# lib.sh, which is sourced before, sets these:
# shellcheck disable=SC2154

# redis_password_file USER: its name; only the user's process can read it.
redis_password_file() { echo "$home/redis-users/$1"; }

# make_redis_password USER OWNER: once for this stack.
make_redis_password() {
    local file
    file=$(redis_password_file "$1")
    [ -s "$file" ] || head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n' | write_secret "$file"
    if [ "$(id -u)" = 0 ]; then chown "$2:" "$file"; fi
}

# Redis keeps digests of passwords.  The default user is off; admin is for ./weir redis-cli.
configure_redis_users() {
    local digest
    mkdir -p "$home/redis-users"
    chmod 711 "$home/redis-users"
    make_redis_password weir-edge "$edge_user"
    make_redis_password weir-backend "$stack_user"
    make_redis_password weir-ctl "$(id -un)"
    digest=$(redis_password | tr -d '\n' | sha256sum | cut -d ' ' -f 1)
    {
        "$weir_root/$domain_build/weirctl" redis users --passwords "$home/redis-users"
        echo "user admin on #$digest ~* &* +@all"
    } | write_secret "$home/redis-users.acl" "$stack_user"
}

redis_scheme() { if [ "$tls" = 1 ]; then echo rediss; else echo redis; fi; }

# The argument of weir_redis behind the name.
redis_of_edge() {
    echo "$(redis_scheme)://127.0.0.1:$redis_port user=weir-edge" \
        "password_file=$(redis_password_file weir-edge)"
}

# Lines of the backend's configuration.
redis_of_backend() {
    echo "redis = $(redis_scheme)://127.0.0.1:$redis_port/0"
    echo "redis_user = weir-backend"
    echo "redis_password_file = $(redis_password_file weir-backend)"
}
