#!/bin/bash
# keys.sh COMMAND [ARGUMENT…]: weirctl keys on the stack: its certificates and keys. keys.sh
# --reload: lets Redis, PostgreSQL and the edge read what $WEIR_KEYS_CHANGED names, for weirctl.
set -euo pipefail
# shellcheck source=scripts/stack/services.sh
. "$(dirname "$0")/stack/services.sh"
choose_places

[ -d "$keys" ] || die "this stack has no keys yet" "./weir up makes them"
if [ "${1:-}" = --reload ]; then
    reload_keys
else
    stack_keys "$@"
fi
