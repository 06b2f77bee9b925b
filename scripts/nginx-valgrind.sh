#!/bin/bash
# nginx under Valgrind, for "./weir test --sanitize": each process that finds an
# error leaves a log that is not empty.  Leaks aren't looked for: nginx leaves
# its pools to the end of the process.
exec valgrind -q --leak-check=no --child-silent-after-fork=no \
    --log-file="$WEIR_VALGRIND_LOGS/%p" --suppressions="$WEIR_VALGRIND_SUPPRESSIONS" \
    "$WEIR_NGINX" "$@"
