#!/bin/bash
# nginx under Valgrind, for "./weir test --sanitize": each process with an error
# leaves a non-empty log.  Leaks are not checked: nginx frees its pools at the end
# of the process only.
exec valgrind -q --leak-check=no --child-silent-after-fork=no \
    --log-file="$WEIR_VALGRIND_LOGS/%p" --suppressions="$WEIR_VALGRIND_SUPPRESSIONS" \
    "$WEIR_NGINX" "$@"
