#!/bin/bash
# asan.sh: builds nginx itself with the module and the probes, from the sources of the
# distribution's nginx package (or NGX_SRC), into build-asan/: with --with-debug, AddressSanitizer,
# and NGX_DEBUG_PALLOC, which makes every pool allocation a call of malloc, so that AddressSanitizer
# checks its bounds.  For shared memory, files in t/worlds/asan/ replace nginx' own.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
src=${NGX_SRC:-$root/build-asan/nginx-source}
work=$root/build-asan/work

# The release's source lists, from apt's configuration, in a folder of their own: the machine's apt
# is not changed.
fetch_source() {
    local apt=$root/build-asan/apt version options
    version=$(dpkg-query -W -f '${source:Upstream-Version}' nginx)
    [ ! -f "$src/version" ] || [ "$(cat "$src/version")" != "$version" ] || return 0
    rm -rf "$src" "$apt"
    mkdir -p "$src" "$apt/lists/partial"
    chmod 755 "$apt" "$apt/lists" "$apt/lists/partial"
    # shellcheck disable=SC2016  # these are apt's
    apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(ORIGIN)' | sort -u |
        awk -v here="$(cat /etc/debian_version)" '
            $3 == "Debian" && ($2 != "sid" || here ~ /sid/) {
                signed = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
                print "deb-src", signed, $1, $2, "main"
            }' | sort -u >"$apt/sources.list"
    options=(-q -o "Dir::Etc::SourceList=$apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State::Lists=$apt/lists" -o APT::Sandbox::User=root
        -o "Dir::Cache::pkgcache=$apt/pkgcache" -o "Dir::Cache::srcpkgcache=$apt/srcpkgcache")
    echo "build-asan: fetching the source of nginx $version"
    if ! (cd "$apt" && apt-get "${options[@]}" update &&
        apt-get "${options[@]}" --download-only --tar-only source nginx) >"$apt/log" 2>&1; then
        tail -20 "$apt/log" >&2
        echo "build-asan: no source of nginx $version by apt; NGX_SRC=FOLDER names another" >&2
        exit 1
    fi
    tar -xf "$apt"/nginx_*.orig.tar.gz -C "$src" --strip-components=1
    echo "$version" >"$src/version"
}
[ -n "${NGX_SRC:-}" ] || fetch_source

want="$src $(cat scripts/build/asan.sh t/worlds/asan/allocations.c | cksum)"
want+=" $(find config common ngx_module t/edge/*/probe | sort | tr '\n' ' ')"
if [ ! -f "$work/configured" ] || [ "$(cat "$work/configured")" != "$want" ]; then
    rm -rf "$work"
    mkdir -p "$work"
    cp -rL "$src" "$work/src"
    mv "$work/src/src/core/ngx_slab.c" "$work/src/src/core/ngx_slab_of_nginx.c"
    configure=./configure
    [ -f "$work/src/configure" ] || configure=./auto/configure
    echo "build-asan: configuring nginx with AddressSanitizer"
    # No -Werror: with -fsanitize, gcc warns of variables in nginx' own sources.
    cc_opt="-O1 -g -fsanitize=address -fno-omit-frame-pointer -DNGX_DEBUG_PALLOC=1"
    cc_opt+=" -DNGX_HTTP_WEIR_ASSERT=1 -Wno-error"
    options=(--with-compat --with-debug --with-threads --with-poll_module --with-select_module)
    for module in ssl v2 slice stub_status realip sub gunzip auth_request addition; do
        options+=("--with-http_${module}_module")
    done
    for folder in "$root" "$root"/t/edge/{redis,cache,export}/probe; do
        options+=("--add-dynamic-module=$folder")
    done
    (cd "$work/src" && $configure "${options[@]}" --prefix=/usr/share/nginx \
        --with-cc-opt="$cc_opt" --with-ld-opt="-fsanitize=address" \
        --builddir="$work/objs") >"$work/configure.log" 2>&1 || {
        tail -20 "$work/configure.log" >&2
        exit 1
    }
    {
        echo "$work/objs/src/core/ngx_slab.o: CFLAGS += -fno-sanitize=address"
        wrap=$(sed -nE 's/^FAILS\([^,]+, (\w+),.*/-Wl,--wrap=\1/p' \
            t/worlds/asan/allocations.c | tr '\n' ' ')
        echo "$work/objs/ngx_http_weir_module.so: LINK += $work/objs/allocations.o $wrap"
        echo "$work/objs/ngx_http_weir_module.so: $work/objs/allocations.o"
        echo "$work/objs/allocations.o: $root/t/worlds/asan/allocations.c"
        # shellcheck disable=SC2016  # these are make's
        printf '\t$(CC) -c -fPIC $(CFLAGS) $(ALL_INCS) -o $@ $<\n'
    } >>"$work/objs/Makefile"
    echo "$want" >"$work/configured"
fi
for file in core/ngx_slab.c os/unix/ngx_shmem.c; do
    cmp -s "t/worlds/asan/${file##*/}" "$work/src/src/$file" ||
        cp "t/worlds/asan/${file##*/}" "$work/src/src/$file"
done
make -s -j2 -C "$work/src" -f "$work/objs/Makefile" binary modules >"$work/make.log" 2>&1 || {
    grep -E 'error' -A6 "$work/make.log" >&2 || tail -40 "$work/make.log" >&2
    exit 1
}
for file in nginx ngx_http_weir{,_redis_probe,_cache_probe,_export_probe}_module.so; do
    install -m 755 "$work/objs/$file" "build-asan/$file.new"
    mv "build-asan/$file.new" "build-asan/$file"
done
