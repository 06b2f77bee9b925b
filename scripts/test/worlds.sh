#!/bin/bash
# worlds.sh [NAME,...] [FILE...]: runs the edge's tests (those of each world, or the
# FILEs) in the given worlds, one after the other; without NAME in all.  "ci" is the
# subset for continuous integration.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=scripts/test/world.sh
. scripts/test/world.sh

names=("${worlds[@]}")
if [ $# -gt 0 ] && [ ! -e "$1" ]; then
    IFS=, read -r -a names <<<"$1"
    shift
fi
chosen=.
if [ "${names[*]}" = ci ]; then
    names=(tls http2 asan)
    chosen='/(sending|problem_pages|bounds|allocations|exporter|bodies|failures|hits|instead'
    chosen+='|late_end|refused|stale)\.t$'
    # of allocations.t the paths that have most of the others' allocations
    paths='a hit|in both|second variant|refresh|a revalidation|stale-if|POST that|not offered'
    paths+='|refuses|problem|status|PURGE of|Redis connection$'
    export WEIR_ALLOCATIONS=${WEIR_ALLOCATIONS:-$paths}
fi
for name in "${names[@]}"; do
    [[ " ${worlds[*]} " == *" $name "* ]] || {
        echo "worlds: no world \"$name\"; there are ${worlds[*]}" >&2
        exit 2
    }
done

failed=()
for name in "${names[@]}"; do
    printf '\n=== world %s\n' "$name"
    files=("$@")
    [ $# -gt 0 ] || mapfile -t files < <(tests_of "$name" | grep -E "$chosen")
    scripts/test.sh --world "$name" "${files[@]}" || failed+=("$name")
done
[ ${#failed[@]} -eq 0 ] || {
    echo "worlds: failed in ${failed[*]}" >&2
    exit 1
}
echo "worlds: green in ${names[*]}"
