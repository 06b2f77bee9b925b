#!/bin/bash
# screenshots.sh [SECONDS]: takes the screenshots of docs/guides/dashboard.md again, of a stack of
# its own that has been under load for that time (600): customers look, sign up and buy; the
# database stands still for a moment now and then; at the end the backend is killed.
set -euo pipefail
seconds=${1:-600}
target=$(cd "$(dirname "$0")" && pwd)
cd "$target/../.."

scripts/packages.sh screenshots
folder=$(scripts/test/browser.sh)
WEIR_RUN=$(mktemp -d /tmp/weir-screenshots.XXXXXX)
export WEIR_RUN
chmod 755 "$WEIR_RUN"
# shellcheck source=scripts/stack/lib.sh
WEIR_PORT=$(. scripts/stack/lib.sh && free_ports)
export WEIR_PORT
# shellcheck disable=SC2317  # called by the trap
stop() {
    ./weir down
    rm -rf "$WEIR_RUN"
}
trap stop EXIT
# The page's address stays without a token.
WEIR_IDENTITY=0 ./weir up

lock="./weir psql -qc 'BEGIN; LOCK TABLE users; SELECT pg_sleep(0.25)' >/dev/null"
backend=$(cut -d ' ' -f 1 "$WEIR_RUN/pids/backend")
node docs/images/screenshots.js "$folder" "http://127.0.0.1:$WEIR_PORT" \
    "http://127.0.0.1:$((WEIR_PORT + 7))" "$WEIR_RUN" "$seconds" "$lock" \
    "kill -KILL $backend"
for image in "$WEIR_RUN"/dashboard*.png; do
    pngquant --force --speed 1 --strip 128 --output "$target/${image##*/}" "$image"
done
