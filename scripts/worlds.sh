#!/bin/bash
# worlds.sh [NAME,...] [FILE...]: runs the edge's tests (those of each world, or the
# FILEs) in the named worlds, one after the other; in all without a name.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/world.sh
. scripts/world.sh

names=("${worlds[@]}")
if [ $# -gt 0 ] && [ ! -e "$1" ]; then
    IFS=, read -r -a names <<<"$1"
    shift
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
    scripts/test.sh --world "$name" "$@" || failed+=("$name")
done
[ ${#failed[@]} -eq 0 ] || {
    echo "worlds: failed in ${failed[*]}" >&2
    exit 1
}
echo "worlds: green in ${names[*]}"
