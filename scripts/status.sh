#!/bin/bash
# status.sh [--json]: the services of the stack.  Exit code 0 only if all are up.
set -euo pipefail
# shellcheck source=scripts/stack/services.sh
. "$(dirname "$0")/stack/services.sh"
choose_places

json=
case ${1:-} in
--json) json=1 ;;
'') ;;
*) wrong "status: unknown argument \"$1\"; allowed is --json" ;;
esac

status=0
rows=()
for name in "${services[@]}"; do
    state=$(state_of "$name")
    if [ "$name:$state" = backend:up ]; then
        # 1: some partition is halted; other codes mean something else.
        code=0
        stack_ctl relay >/dev/null 2>&1 || code=$?
        [ $code != 1 ] || state=halted
    fi
    [ "$state" = up ] || status=3
    rows+=("$name" "$(pid_of "$name" || echo -)" "$state" "$(address_of "$name")")
done

if [ -n "$json" ]; then
    # The paths contain no character that JSON would quote (own_run_folder checks this).
    comma='['
    for ((i = 0; i < ${#rows[@]}; i += 4)); do
        pid=${rows[i + 1]}
        printf '%s{"service":"%s","pid":%s,"state":"%s","address":"%s"}' "$comma" "${rows[i]}" \
            "${pid/#-/null}" "${rows[i + 2]}" "${rows[i + 3]}"
        comma=,
    done
    echo ']'
else
    printf '%-10s %8s  %-7s %s\n' service pid state address "${rows[@]}"
    [[ " ${rows[*]} " != *" halted "* ]] ||
        echo "status: some partitions are halted: ./weir ctl relay" >&2
fi
exit $status
