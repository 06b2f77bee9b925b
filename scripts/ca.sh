#!/bin/bash
# ca.sh FOLDER [DAYS]: a private authority for development, and certificates below it, valid for
# DAYS (1). A second run renews what has less than half of its time left, and leaves the rest. Every
# file is replaced by rename, so that servers that look for changes never see a half of one.
#
#   ca.crt, ca.key               the authority, for 30 times as long
#   NAME.crt, NAME.key           for each NAME below: a SPIFFE ID and DNS names
#
# The certificates are for clients and servers. Not for production: the authority's key lies beside
# them.
set -euo pipefail

if [ $# -lt 1 ] || [ $# -gt 2 ] || ! [[ ${2:-1} =~ ^[1-9][0-9]*$ ]]; then
    echo "usage: ca.sh FOLDER [DAYS]" >&2
    exit 2
fi
days=${2:-1}
names=(edge backend redis postgres client)
mkdir -p "$1"
cd "$1"
umask 077

# lasts FILE SECONDS: whether the certificate is there, and valid for that long.
lasts() {
    [ -s "$1" ] && openssl x509 -noout -checkend "$2" -in "$1" >/dev/null 2>&1
}

# quietly COMMAND…: shows its output only if it fails.
quietly() {
    local said
    said=$("$@" 2>&1) || {
        echo "ca: $* failed: $said" >&2
        exit 1
    }
}

# make_key FILE
make_key() {
    quietly openssl ecparam -genkey -noout -name prime256v1 -out "$1"
}

if ! lasts ca.crt $((days * 15 * 86400)); then
    make_key ca.key.new
    quietly openssl req -x509 -new -key ca.key.new -subj "/CN=Weir development" \
        -days $((days * 30)) -out ca.crt.new \
        -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign,cRLSign"
    # Certificates of the old authority count until they end.
    if [ -s ca.crt ]; then
        openssl x509 -in ca.crt >>ca.crt.new
    fi
    mv ca.key.new ca.key
    chmod 644 ca.crt.new
    mv ca.crt.new ca.crt
fi

for name in "${names[@]}"; do
    if lasts "$name.crt" $((days * 43200)); then
        continue
    fi
    make_key "$name.key.new"
    quietly openssl req -new -key "$name.key.new" -subj "/CN=$name" -out "$name.csr"
    quietly openssl x509 -req -in "$name.csr" -CA ca.crt -CAkey ca.key -days "$days" \
        -set_serial "0x$(openssl rand -hex 16)" -out "$name.crt.new" -extfile <(
            cat <<END
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = clientAuth,serverAuth
subjectAltName = URI:spiffe://weir.internal/$name,DNS:$name.weir.internal,DNS:localhost,IP:127.0.0.1
END
        )
    rm "$name.csr"
    chmod 644 "$name.crt.new"
    # Whoever was given the right to read the earlier key needs it for this one.
    if [ -e "$name.key" ]; then
        chown --reference="$name.key" "$name.key.new"
        chmod --reference="$name.key" "$name.key.new"
    fi
    mv "$name.key.new" "$name.key"
    mv "$name.crt.new" "$name.crt"
done
