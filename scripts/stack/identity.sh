# identity.sh: what edge and backend are told of the keys of identities (keys.sh), unless
# WEIR_IDENTITY=0, and tokens for clients of the stack. Sourced by lib.sh.
#
# shellcheck shell=bash
# lib.sh sets these:
# shellcheck disable=SC2154

identity_issuer=https://issuer.weir.example
identity_audience=weir-demo

base64url() {
    openssl base64 -A | tr '+/' '-_' | tr -d '='
}

# For http {} and server {} of the edge, each in a line; empty without identities.
identity_http() {
    [ "$identity" = 1 ] || return 0
    echo "weir_jwt_issuer demo { issuer $identity_issuer; audience $identity_audience;" \
        "jwks $keys/issuer/jwks.json refresh=1s; }"
}

identity_server() {
    [ "$identity" = 1 ] || return 0
    echo "weir_jwt demo optional;" \
        "weir_identity key=$keys/identity/key.pem next_key=$keys/identity/next.pem" \
        "old_key=$keys/identity/old.pem audience=$(basename "$domain");" \
        "location = /.well-known/jwks.json { weir_identity_keys; }"
}

# For a location whose responses are the same for all operators, and for them alone.
identity_operators() {
    [ "$identity" = 1 ] || return 0
    echo "weir_jwt_require scope=$(operators_scope); weir_cache_authorized shared;" \
        "weir_cache_control_headers Weir-Cache-Control;"
}

# The edge's server for operators: programs send a token of an operator, browsers a cookie, which
# they get from an address that "./weir dashboard" prints. Cookies are not told apart by port.
operators_scope() {
    local scope
    scope=$(sed -n 's/.*operator_scope = "\(.*\)".*/\1/p' "$domain"/*.c | head -1)
    echo "${scope:-$(basename "$domain"):admin}"
}

operators_server() {
    [ "$identity" = 1 ] || return 0
    echo "weir_jwt demo; weir_jwt_require scope=$(operators_scope);" \
        "location = /enter { weir_jwt off; weir_jwt_require off; weir_route operators;" \
        "if (\$arg_token !~ \"^[A-Za-z0-9._-]+\$\") { return 400; }" \
        "add_header Cache-Control no-store; add_header Referrer-Policy no-referrer;" \
        "add_header Set-Cookie" \
        "\"weir_operator_$operators_port=\$arg_token; Path=/; HttpOnly; SameSite=Strict\";" \
        "return 303 http://\$host:$operators_port/; }"
}

operators_page() {
    [ "$identity" = 1 ] || return 0
    echo "weir_jwt demo cookie=weir_operator_$operators_port;"
}

# Lines of the backend's configuration.
identity_backend() {
    [ "$identity" = 1 ] || return 0
    echo "identity_jwks = $keys/identity/jwks.json"
    echo "identity_audience = $(basename "$domain")"
}

# client_token SUBJECT SCOPES SECONDS: a token for a client of this stack.
client_token() {
    local now text signed
    [ "$identity" = 1 ] || die "this stack asks for no tokens" "WEIR_IDENTITY=1 ./weir up"
    [ -s "$keys/issuer/key.pem" ] || die "this stack has no keys yet" "./weir up makes them"
    [[ "$1$2" != *[\"\\]* ]] || die "subject and scopes must have no \" and no \\"
    now=$(date +%s)
    text=$(printf '{"alg":"EdDSA","kid":"%s","typ":"at+jwt"}' "$(cat "$keys/issuer/kid")" |
        base64url).$(
        printf '{"iss":"%s","aud":"%s","sub":"%s","scope":"%s","iat":%d,"exp":%d,"jti":"%s"}' \
            "$identity_issuer" "$identity_audience" "$1" "$2" "$now" $((now + $3)) \
            "$(openssl rand -hex 8)" | base64url
    )
    signed=$(mktemp)
    printf %s "$text" >"$signed"
    printf '%s.%s\n' "$text" "$(openssl pkeyutl -sign -rawin -inkey "$keys/issuer/key.pem" \
        -in "$signed" | base64url)"
    rm -f "$signed"
}

# operator_token SECONDS: a token of an operator.
operator_token() {
    client_token operator "$(operators_scope)" "$1"
}
