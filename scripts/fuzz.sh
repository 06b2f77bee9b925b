#!/bin/bash
# fuzz.sh [SECONDS [TARGET...]]: runs each fuzz target (t/fuzz/FOLDER/NAME_fuzz.c, and those of
# domains, backend/shop/t/NAME_fuzz.c) with libFuzzer, AddressSanitizer and UBSan for SECONDS (60),
# starting from the corpus in NAME beside it. Fails on the first finding and leaves the input that
# causes it in build/fuzz. The last line of each log is the used part of the target's budget; with
# WEIR_FUZZ_MEASURE=1 exceeding it is no finding. WEIR_FUZZ_SEED=N generates the same inputs in the
# same order each time, 10,000 for each second at most, so that the inputs do not depend on the
# machine's speed.
#
# New inputs are kept in build/fuzz/NAME.  With WEIR_FUZZ_MERGE=1 the corpus is
# minimized: it keeps the inputs with a name, and a small set of others with the
# same coverage.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-60}
[ $# -eq 0 ] || shift
[[ $seconds =~ ^[1-9][0-9]*$ ]] || {
    echo "fuzz: \"$seconds\" is not a number of seconds" >&2
    exit 2
}

shopt -s nullglob
all=(t/fuzz/*/*_fuzz.c backend/*/t/*_fuzz.c)
# folder_of TARGET: its folder; nothing if there is no such target.
folder_of() {
    local file
    for file in "${all[@]}"; do
        [ "$(basename "$file")" != "$1_fuzz.c" ] || dirname "$file"
    done
}

if [ $# -eq 0 ]; then
    for file in "${all[@]}"; do
        set -- "$@" "$(basename "$file" _fuzz.c)"
    done
fi
for target in "$@"; do
    [ -n "$(folder_of "$target")" ] || {
        echo "fuzz: no target \"$target\"; there are:" >&2
        basename -a -s _fuzz.c "${all[@]}" >&2
        exit 2
    }
done

# words: each word of the input on a line of its own.
words() {
    tr ' ' '\n' | grep . || true
}

# A target lists in its first lines the sources it needs, "// needs: a.c b.c", and the packages,
# "// uses: libcurl". "// uses: nginx" adds the nginx headers with which the module is built;
# t/fuzz/nginx.c has the few functions of its core.
compile() {
    local needs uses use dir nginx flags=() libs=() source objects=() object main
    main=$(folder_of "$1")/$1_fuzz.c
    mapfile -t needs < <(sed 12q "$main" | sed -n 's,^// needs: ,,p' | words)
    mapfile -t uses < <(sed 12q "$main" | sed -n 's,^// uses: ,,p' | words)
    for use in "${uses[@]}"; do
        if [ "$use" = nginx ]; then
            make -s module
            nginx=build/nginx
            for dir in src/src/{core,event,event/modules,os/unix,http,http/modules,http/v2} \
                src/objs objs; do
                flags+=(-isystem "$nginx/$dir")
            done
        else
            mapfile -t -O "${#flags[@]}" flags < <(pkg-config --cflags-only-I "$use" | words)
            mapfile -t -O "${#libs[@]}" libs < <(pkg-config --libs "$use" | words)
        fi
    done
    for source in "$main" "${needs[@]}"; do
        object=build/fuzz/$1.${source//\//_}.o
        clang -g -O1 -fsanitize=fuzzer-no-link,address,undefined -fsanitize-coverage=trace-pc \
            -fno-sanitize-recover=undefined -ffunction-sections -D_GNU_SOURCE \
            -I. -Ingx_module -Ibackend -It/fuzz "${flags[@]}" -c "$source" -o "$object"
        objects+=("$object")
    done
    local link=(clang "-fsanitize=fuzzer,address,undefined" "${wrapped[@]/#/-Wl,--wrap=}"
        "${objects[@]}" build/fuzz/budget.o "${libs[@]}" -o "build/fuzz/$1_fuzz")
    # Functions that the target does not reach are not linked; a call of one ends the process.
    "${link[@]}" 2>&1 |
        sed -nE "s/.*undefined reference to \`((ngx|weir)_[a-z0-9_]+)'.*/\1/p" | sort -u |
        sed 's/.*/void &(void); void &(void) { __builtin_trap(); }/' \
            >"build/fuzz/$1.missing.c" || true
    clang -c "build/fuzz/$1.missing.c" -o "build/fuzz/$1.missing.o"
    "${link[@]}" "build/fuzz/$1.missing.o"
}

merge() {
    local new corpus
    corpus=$(folder_of "$1")/$1
    new=$(mktemp -d)
    "build/fuzz/$1_fuzz" -set_cover_merge=1 -max_len=512 "$new" "$corpus" "build/fuzz/$1" \
        >/dev/null 2>&1
    find "$corpus" -regextype egrep -regex '.*/[0-9a-f]{40}' -delete
    cp "$new"/* "$corpus"
    rm -r "$new"
}

# Functions that t/fuzz/budget.c counts, in addition to the edges of instrumented code.
wrapped=(__sanitizer_cov_trace_pc __asan_memcpy __asan_memmove __asan_memset)
mapfile -t -O 4 wrapped < <(sed -nE 's/^WRAP\([^,]*, ([a-z]+),.*/\1/p' t/fuzz/budget.c)

runs=-1
[ -z "${WEIR_FUZZ_SEED:-}" ] || runs=$((10000 * seconds))

scripts/packages.sh fuzz
mkdir -p build/fuzz
clang -g -O2 -Wall -Wextra -Werror -fno-builtin -c t/fuzz/budget.c -o build/fuzz/budget.o

for target in "$@"; do
    compile "$target"

    corpus=$(folder_of "$target")/$target
    mkdir -p "build/fuzz/$target" "$corpus"
    echo "fuzz: $target for $seconds s"
    "build/fuzz/${target}_fuzz" -seed="${WEIR_FUZZ_SEED:-0}" -max_total_time="$seconds" \
        -runs="$runs" -timeout=300 -rss_limit_mb=1024 -max_len=4096 \
        -artifact_prefix="build/fuzz/$target-" "build/fuzz/$target" "$corpus" \
        >"build/fuzz/$target.log" 2>&1 || {
        tail -50 "build/fuzz/$target.log" >&2
        echo "fuzz: $target has a finding, see build/fuzz/$target.log" >&2
        exit 1
    }
    tail -1 "build/fuzz/$target.log"

    [ -z "${WEIR_FUZZ_MERGE:-}" ] || merge "$target"
done
