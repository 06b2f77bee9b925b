#!/bin/bash
# module.sh NGX_SRC BUILD CFLAGS LDFLAGS
#
# Builds the module against an nginx source tree (or Debian's nginx-dev, which
# ships the configured flags beside it) without writing into that tree.  CFLAGS and
# LDFLAGS are the Makefile's additional flags: hardening, sanitizers.
set -euo pipefail

src=$1 build=$2 cflags=$3 ldflags=$4
root=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$root/$build"
work=$root/$build/nginx

[ -f "$src/configure" ] || [ -f "$src/auto/configure" ] || {
    echo "build-module: $src is not an nginx source tree; install nginx-dev or set NGX_SRC=dir" >&2
    exit 1
}

conf=(--with-compat)
if [ -f "$src/conf_flags" ]; then
    NGX_CONF_FLAGS=()
    # shellcheck source=/dev/null
    . "$src/conf_flags"
    conf=("${NGX_CONF_FLAGS[@]}")
fi

cc_opt="-O2 -g -fPIC -Wall -Wextra -Wno-unused-parameter -Werror $cflags"

# -Bsymbolic: nginx loads modules into one global name space.  Without it, a reload with another
# build of the module binds the new build's symbols to the old one, and neither runs as it was
# compiled. nginx's configure lists the source files, so it must run again after a file was added,
# or config was changed.
stamp=$work/configured
want="$src $cc_opt $ldflags symbolic "
want+=$(cd "$root" && find config common ngx_module t/edge/*/probe | sort | tr '\n' ' ')
want+=$(cat "$root/config" "$root/config.make" | cksum)
if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$want" ]; then
    rm -rf "$work"
    mkdir -p "$work"
    cp -rL "$src" "$work/src"
    configure=./configure
    [ -f "$work/src/configure" ] || configure=./auto/configure
    for folder in "$root" "$root"/t/edge/{redis,cache,export}/probe; do
        conf+=("--add-dynamic-module=$folder")
    done
    (cd "$work/src" && $configure "${conf[@]}" --with-cc-opt="$cc_opt" \
        --with-ld-opt="$ldflags -Wl,-Bsymbolic" \
        --builddir="$work/objs") >"$work/configure.log" 2>&1 || {
        grep -A3 'error:' "$work/configure.log" >&2 || tail -20 "$work/configure.log" >&2
        echo "build-module: configuring nginx failed, see $work/configure.log" >&2
        exit 1
    }
    echo "$want" >"$stamp"
fi

make -s -C "$work/src" -f "$work/objs/Makefile" modules >"$work/make.log" 2>&1 || {
    grep -E 'error|warning' -A6 "$work/make.log" >&2 || tail -40 "$work/make.log" >&2
    echo "build-module: see $work/make.log" >&2
    exit 1
}
# The probes are for tests only; they are separate modules.
for module in ngx_http_weir{,_redis_probe,_cache_probe,_export_probe}_module; do
    install -m 755 "$work/objs/$module.so" "$root/$build/$module.so.new"
    mv "$root/$build/$module.so.new" "$root/$build/$module.so"
done
