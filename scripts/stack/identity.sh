# identity.sh: the keys of a stack with WEIR_IDENTITY=1, what edge and backend are told of them, and
# tokens for its clients. Sourced by services.sh and the commands token and curl.
#
# shellcheck shell=bash
# lib.sh, which is sourced before, sets these:
# shellcheck disable=SC2154

identity_issuer=https://issuer.weir.example
identity_audience=weir-demo

base64url() {
    openssl base64 -A | tr '+/' '-_' | tr -d '='
}

# make_key FILE: an Ed25519 key that only its owner can read; once for this stack.
make_key() {
    [ -s "$1" ] || {
        (umask 077 && openssl genpkey -quiet -algorithm ed25519 -out "$1.new")
        mv "$1.new" "$1"
    }
}

# The JWK Set of the key that signs the clients' tokens. The last 32 bytes of the DER are the key.
issuer_jwks() {
    printf '{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"demo","alg":"EdDSA","x":"%s"}]}\n' \
        "$(openssl pkey -in "$run/keys/issuer.pem" -pubout -outform DER | tail -c 32 | base64url)"
}

configure_identity() {
    [ "$identity" = 1 ] || return 0
    mkdir -p "$run/keys"
    make_key "$run/keys/edge.pem"
    make_key "$run/keys/issuer.pem"
    issuer_jwks | write_file "$run/keys/issuer.jwks"
}

# For http {} and server {} of the edge, each in a line; empty without identities.
identity_http() {
    [ "$identity" = 1 ] || return 0
    echo "weir_jwt_issuer demo { issuer $identity_issuer; audience $identity_audience;" \
        "jwks $run/keys/issuer.jwks; }"
}

identity_server() {
    [ "$identity" = 1 ] || return 0
    echo "weir_jwt demo optional;" \
        "weir_identity key=$run/keys/edge.pem audience=$(basename "$domain");" \
        "location = /.well-known/jwks.json { weir_identity_keys; }"
}

# Lines of the backend's configuration.
identity_backend() {
    [ "$identity" = 1 ] || return 0
    echo "identity_jwks = http://127.0.0.1:$edge_port/.well-known/jwks.json"
    echo "identity_audience = $(basename "$domain")"
}

# client_token SUBJECT SCOPES SECONDS: a token for a client of this stack.
client_token() {
    local now text signed
    [ -s "$run/keys/issuer.pem" ] ||
        die "this stack has no keys" "to start it with identities: WEIR_IDENTITY=1 ./weir up"
    [[ "$1$2" != *[\"\\]* ]] || die "subject and scopes must have no \" and no \\"
    now=$(date +%s)
    text=$(printf '{"alg":"EdDSA","kid":"demo","typ":"at+jwt"}' | base64url).$(
        printf '{"iss":"%s","aud":"%s","sub":"%s","scope":"%s","iat":%d,"exp":%d,"jti":"%s"}' \
            "$identity_issuer" "$identity_audience" "$1" "$2" "$now" $((now + $3)) \
            "$(openssl rand -hex 8)" | base64url
    )
    signed=$(mktemp)
    printf %s "$text" >"$signed"
    printf '%s.%s\n' "$text" "$(openssl pkeyutl -sign -rawin -inkey "$run/keys/issuer.pem" \
        -in "$signed" | base64url)"
    rm -f "$signed"
}
