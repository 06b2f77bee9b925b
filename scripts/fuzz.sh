#!/bin/bash
# fuzz.sh [SECONDS [TARGET...]]: runs each fuzz target (t/fuzz/NAME_fuzz.c) with
# libFuzzer, AddressSanitizer and UBSan for so many seconds (60), starting from
# the corpus in t/fuzz/NAME.  Fails on the first finding and leaves the input
# that provokes it in build/fuzz.
#
# New inputs are kept in build/fuzz/NAME; with WEIR_FUZZ_MERGE=1 t/fuzz/NAME
# becomes, beside the inputs that have a name, a small set of those that reach
# all that is reached.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-60}
[ $# -eq 0 ] || shift
[[ $seconds =~ ^[1-9][0-9]*$ ]] || {
    echo "fuzz: \"$seconds\" is no number of seconds" >&2
    exit 2
}

if [ $# -eq 0 ]; then
    for file in t/fuzz/*_fuzz.c; do
        set -- "$@" "$(basename "$file" _fuzz.c)"
    done
fi
for target in "$@"; do
    [ -f "t/fuzz/${target}_fuzz.c" ] || {
        echo "fuzz: no target \"$target\"; there are:" >&2
        basename -a -s _fuzz.c t/fuzz/*_fuzz.c >&2
        exit 2
    }
done

merge() {
    local new
    new=$(mktemp -d)
    "build/fuzz/$1_fuzz" -set_cover_merge=1 -max_len=512 "$new" "t/fuzz/$1" "build/fuzz/$1" >/dev/null 2>&1
    find "t/fuzz/$1" -regextype egrep -regex '.*/[0-9a-f]{40}' -delete
    cp "$new"/* "t/fuzz/$1"
    rm -r "$new"
}

scripts/packages.sh fuzz
mkdir -p build/fuzz

for target in "$@"; do
    # A target names the sources it needs in its first lines: "// needs: a.c b.c".
    mapfile -t needs < <(sed 12q "t/fuzz/${target}_fuzz.c" | grep -oE '(ngx_module|common|backend)/[a-z0-9_/]*\.c')
    clang -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -D_GNU_SOURCE -DWEIR_COUNT_WORK \
        -I. -Ingx_module -Ibackend "t/fuzz/${target}_fuzz.c" "${needs[@]}" -o "build/fuzz/${target}_fuzz"

    mkdir -p "build/fuzz/$target" "t/fuzz/$target"
    echo "fuzz: $target for $seconds s"
    "build/fuzz/${target}_fuzz" -max_total_time="$seconds" -timeout=300 -rss_limit_mb=1024 \
        -max_len=4096 -artifact_prefix="build/fuzz/$target-" "build/fuzz/$target" "t/fuzz/$target" \
        >"build/fuzz/$target.log" 2>&1 || {
        tail -50 "build/fuzz/$target.log" >&2
        echo "fuzz: $target has a finding, see build/fuzz/$target.log" >&2
        exit 1
    }
    tail -1 "build/fuzz/$target.log"

    [ -z "${WEIR_FUZZ_MERGE:-}" ] || merge "$target"
done
