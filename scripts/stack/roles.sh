# roles.sh: PostgreSQL's users of a stack. Each part of the backend logs in as a user of its own, a
# member of the part's role (docs/guides/access/database-roles.md), with a password from a file that
# the services' user alone can read. The passwords of the superuser and of the user weir, who may do
# what the owner of the schema may, are in $admin_passwords, for who runs this. Sourced by
# services.sh.
#
# shellcheck shell=bash
# lib.sh, which is sourced before, sets these:
# shellcheck disable=SC2154

roles_parts=(api relay worker operator)

# roles_new_password: prints one.
roles_new_password() {
    head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n'
}

# roles_passfile PART: the file with the password of that part's user; made once for this stack.
roles_passfile() {
    local file=$home/database/$1
    own_folder "$home/database"
    [ -s "$file" ] ||
        write_secret "$file" "$stack_user" <<<"*:*:*:stack_$1:$(roles_new_password)"
    echo "$file"
}

# Who reaches PostgreSQL's socket may try passwords: the services' group alone.
roles_make_socket_folder() {
    mkdir -p "$pg_socket"
    chmod 700 "$pg_socket"
    if [ "$(id -u)" = 0 ]; then
        chown "$service_user:$(id -g "$stack_user")" "$pg_socket"
        chmod 750 "$pg_socket"
    fi
}

roles_make_admin() {
    [ -s "$admin_passwords" ] || write_secret "$admin_passwords" <<END
*:*:*:postgres:$(roles_new_password)
*:*:*:weir:$(roles_new_password)
END
}

# roles_certificate PART: whose certificate that part has.
roles_certificate() { if [ "$1" = operator ]; then echo ctl; else echo "$1"; fi; }

# roles_login PART: its connection string. With TLS its certificate says who it is, and no password.
roles_login() {
    if [ "$tls" = 1 ]; then
        echo "$(database_as "$(roles_certificate "$1")") user=stack_$1"
    else
        echo "host=$pg_socket port=$pg_port dbname=weir user=stack_$1" \
            "passfile=$(roles_passfile "$1")"
    fi
}

# roles_map: lines of pg_ident.conf: whose certificate may be whom.
roles_map() {
    local part
    for part in "${roles_parts[@]}"; do
        echo "certificates $(roles_certificate "$part") stack_$part"
    done
}

# Lines of the backend's configuration.
roles_backend() {
    echo "database = $(roles_login api)"
    echo "database_relay = $(roles_login relay)"
    echo "database_worker = $(roles_login worker)"
    echo "database_ctl = $(roles_login operator)"
    echo "database_migrate = host=$pg_socket port=$pg_port dbname=weir user=weir" \
        "passfile=$admin_passwords"
}

# Whether all users need a password. Before they have one, and after $admin_passwords was lost,
# users of the machine who can read the data anyway may connect; the kernel identifies them (peer).
roles_are_closed() {
    [ -s "$admin_passwords" ] && grep -qs '^local all all scram' "$home/postgres/pg_hba.conf"
}

# roles_close: asks for passwords from now on.
roles_close() {
    {
        echo "local all all scram-sha-256"
        tls_postgres_hba
    } | write_file "$home/postgres/pg_hba.conf"
    roles_map | write_file "$home/postgres/pg_ident.conf"
}

# roles_open: identifies by the kernel, until roles_close.
roles_open() {
    local user map="weir $service_user postgres"
    for user in root "$(id -un)"; do
        map+=$'\n'"weir $user postgres"
    done
    echo "local all postgres peer map=weir" | write_file "$home/postgres/pg_hba.conf"
    sort -u <<<"$map" | write_file "$home/postgres/pg_ident.conf"
}

roles_configure() {
    if roles_are_closed; then roles_close; else roles_open; fi
    roles_make_admin
}

# roles_set_passwords: prints SQL that gives each user the password of its file. It goes to psql's
# standard input, and not to PostgreSQL's log.
roles_set_passwords() {
    local part line
    echo "SET log_statement = none; SET log_min_error_statement = panic;"
    {
        cat "$admin_passwords"
        for part in "${roles_parts[@]}"; do cat "$(roles_passfile "$part")"; done
    } | while IFS=: read -r _ _ _ user line; do
        echo "ALTER ROLE $user PASSWORD '$line';"
    done
}

# Makes the roles and users. A stack of an earlier version has one user, weir, who owns all.
roles_prepare() {
    as_superuser <<SQL
DO \$\$
DECLARE
    part text;
BEGIN
    FOREACH part IN ARRAY ARRAY['api', 'relay', 'worker', 'ctl', 'operator', 'migrate'] LOOP
        IF to_regrole('weir_' || part) IS NULL THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', 'weir_' || part);
        END IF;
    END LOOP;
    FOREACH part IN ARRAY string_to_array('${roles_parts[*]}', ' ') LOOP
        IF to_regrole('stack_' || part) IS NULL THEN
            EXECUTE format('CREATE ROLE %I LOGIN IN ROLE %I', 'stack_' || part, 'weir_' || part);
        END IF;
    END LOOP;
    IF to_regrole('weir') IS NULL THEN
        CREATE ROLE weir LOGIN IN ROLE weir_migrate;
    ELSIF NOT pg_has_role('weir', 'weir_migrate', 'MEMBER') THEN
        GRANT weir_migrate TO weir;
    END IF;
END
\$\$;
$(roles_set_passwords)
SELECT 'CREATE DATABASE weir OWNER weir_migrate'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'weir') \\gexec
ALTER DATABASE weir OWNER TO weir_migrate;
REVOKE ALL ON DATABASE weir FROM PUBLIC;
GRANT CONNECT ON DATABASE weir TO weir_api, weir_relay, weir_worker, weir_ctl, weir_operator;
\\connect weir
REASSIGN OWNED BY weir TO weir_migrate;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
SQL
    roles_are_closed || {
        roles_close
        if [ "$(id -u)" = 0 ]; then chown "$service_user:" "$home/postgres"/pg_*.conf; fi
        as_superuser -c "SELECT pg_reload_conf()" >/dev/null
        fingerprint_of postgres >"$run/pids/postgres.from"
    }
}
