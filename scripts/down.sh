#!/bin/bash
# down.sh: stops the stack, the edge first; its data stays.
set -euo pipefail
# shellcheck source=scripts/stack/services.sh
. "$(dirname "$0")/stack/services.sh"

no_arguments down "stops the stack; its data stays in the folder" "$@"
[ -d "$run" ] || {
    echo "nothing runs: there is no $run"
    exit 0
}
own_run_folder
choose_places

stopped=
for name in prometheus nginx backend payments smtp traces redis postgres; do
    if stop_service "$name"; then
        step "$name" "stopped"
        stopped=1
    fi
done
if [ -n "$stopped" ]; then
    echo "Weir is down; its data stays in $home (./weir up uses it again)"
else
    echo "nothing was running"
fi
