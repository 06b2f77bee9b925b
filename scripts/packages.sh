#!/bin/bash
# packages.sh: installs missing packages with apt, without starting a service.
#
#   packages.sh build     to build module, backend and unit tests
#   packages.sh run       to build and run the stack
#   packages.sh test      to run the tests, which run the stack
#   packages.sh sanitize  to run them under sanitizers and Valgrind
#   packages.sh bench     to run the benchmarks
#   packages.sh fuzz      to run the fuzz targets
#   packages.sh prometheus  to run the stack's Prometheus
#   packages.sh lint      to check the sources
#   packages.sh conformance  to run the suite of `bench conformance`
#   packages.sh browser   to run the tests of the dashboard in Chromium
#   packages.sh screenshots  to take those of docs/images
#
# If nothing is missing, a call needs neither network nor root.
set -euo pipefail

build=(gcc make pkg-config nginx nginx-dev libhiredis-dev libxxhash-dev libjansson-dev libpq-dev
    libevent-dev libcurl4-openssl-dev libssl-dev libseccomp-dev libcmocka-dev
    zlib1g-dev)
run=(postgresql python3-aiosmtpd curl jq)
test=(perl libtest-nginx-perl libnginx-mod-http-lua libnginx-mod-http-headers-more-filter
    python3-h2 prometheus python3-prometheus-client python3-protobuf protobuf-compiler
    libopentelemetry-proto-dev openssl curl libfaketime git python3 binutils)
sanitize=(valgrind)
fuzz=(clang libclang-rt-dev)
bench=(wrk curl jq redis-server varnish libnginx-mod-http-lua libnginx-mod-http-srcache-filter
    lua-nginx-redis)
conformance=(nodejs npm)
prometheus=(prometheus)
browser=(chromium fonts-dejavu-core)
# Another node than Debian's brings its npm along.
if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    browser+=(nodejs npm)
fi
lint=(git python3 binutils shellcheck cppcheck clang-format clang-tidy)

# The caller must install a server other than redis-server.
server=${WEIR_REDIS_SERVER:-redis-server}
if [ "$server" = redis-server ]; then
    run+=(redis-server)
elif [[ ${1:-} =~ ^(run|test|sanitize)$ ]]; then
    for program in "$server" "${server%-server}-cli"; do
        command -v "$program" >/dev/null || {
            echo "packages: there is no $program: install it, or unset WEIR_REDIS_SERVER" >&2
            exit 1
        }
    done
fi

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "packages: missing: ${missing[*]}" >&2
        echo "packages: installing needs root; run this as root once, or install sudo" >&2
        exit 1
    fi
}

installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Test::Nginx is in Debian's unstable only.  Its priority of 1 keeps every other
# package on the machine's own release; the mirror is the one that apt already uses.
add_unstable() {
    local mirror
    # shellcheck disable=SC2016
    mirror=$(apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(LABEL)' |
        awk '$2 == "Debian" && $3 == "Debian" { print $1; exit }')
    [ -n "$mirror" ] || {
        echo "packages: no Debian mirror in apt's sources, cannot find libtest-nginx-perl" >&2
        exit 1
    }
    as_root tee /etc/apt/sources.list.d/weir-unstable.list >/dev/null <<EOF
# The Release file of a mirror or snapshot of sid may have expired; its signature is still verified.
deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg check-valid-until=no] $mirror sid main
EOF
    as_root tee /etc/apt/preferences.d/weir-unstable >/dev/null <<'EOF'
Package: *
Pin: release n=sid
Pin-Priority: 1
EOF
    as_root apt-get -q update
}

case ${1:-} in
build) wanted=("${build[@]}") ;;
run) wanted=("${build[@]}" "${run[@]}") ;;
test) wanted=("${build[@]}" "${run[@]}" "${test[@]}") ;;
sanitize) wanted=("${build[@]}" "${run[@]}" "${test[@]}" "${sanitize[@]}") ;;
bench) wanted=("${build[@]}" "${bench[@]}") ;;
fuzz) wanted=("${build[@]}" "${fuzz[@]}") ;;
conformance) wanted=("${conformance[@]}") ;;
prometheus) wanted=("${prometheus[@]}") ;;
browser) wanted=("${browser[@]}") ;;
screenshots) wanted=("${browser[@]}" pngquant) ;;
lint) wanted=("${build[@]}" "${lint[@]}") ;;
*)
    echo "usage: packages.sh build|run|test|sanitize|bench|fuzz|conformance|prometheus|lint" >&2
    echo "                   |browser|screenshots" >&2
    exit 2
    ;;
esac

missing=()
for p in "${wanted[@]}"; do
    installed "$p" || missing+=("$p")
done
[ ${#missing[@]} -gt 0 ] || exit 0

echo "packages: installing ${missing[*]}"

# Changes for the time of the installation are reverted at its end.
policy=/usr/sbin/policy-rc.d own_policy=
cluster=/etc/postgresql-common/createcluster.conf own_cluster=
# shellcheck disable=SC2317  # called by the trap
clean_up() {
    local status=$?
    [ $status = 0 ] ||
        echo "packages: apt could not install ${missing[*]}: see its message above;" \
            "when apt reaches its mirror again, the same command goes on" >&2
    [ -z "$own_policy" ] || as_root rm -f $policy
    [ -z "$own_cluster" ] ||
        as_root cp /usr/share/postgresql-common/createcluster.conf $cluster 2>/dev/null ||
        as_root rm -f $cluster
}
trap clean_up EXIT

# Servers of the distribution must not start: policy-rc.d returns 101, "not allowed".
if [ ! -e $policy ]; then
    own_policy=1
    printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
    as_root chmod 755 $policy
fi

# PostgreSQL's package creates a database cluster, which the stack does not need.
if [ ! -e $cluster ] && [[ " ${missing[*]} " == *" postgresql "* ]]; then
    own_cluster=1
    as_root mkdir -p "$(dirname $cluster)"
    echo "create_main_cluster = false" | as_root tee $cluster >/dev/null
fi

as_root apt-get -q update
own=() unstable=()
for p in "${missing[@]}"; do
    if apt-cache show --no-all-versions "$p" >/dev/null 2>&1; then
        own+=("$p")
    else
        unstable+=("$p")
    fi
done
# UCF: keeps the setting above during the installation.
install=(env DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1
    apt-get -q -y install --no-install-recommends)
[ ${#own[@]} -eq 0 ] || as_root "${install[@]}" "${own[@]}"
if [ ${#unstable[@]} -gt 0 ]; then
    add_unstable
    as_root "${install[@]}" "${unstable[@]/%//sid}"
fi
