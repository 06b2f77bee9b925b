#!/bin/bash
# lint.sh [CHECK…]: what is checked without running the programs; any finding fails. The module and
# the backend must have been built: `make lint` does that first. Without CHECK all are run.
#
#   shell       shellcheck for every script
#   cpp         cppcheck for all C
#   limits      how long lines and functions are, how full folders
#   style       .clang-format, and nginx's style in the module's glue
#   layers      no call runs up from room to room (lint/layers), no circle of calls between files
#   headers     a header declares one component
#   tidy        clang-tidy, with the checks of .clang-tidy
#
# What is known to be wrong, and may only become less, stands in lint/exceptions.
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONDONTWRITEBYTECODE=1

scripts/packages.sh lint

# shellcheck disable=SC2317  # called by name
shell() {
    shellcheck weir .ci/run scripts/*.sh scripts/*/*.sh bench/*.sh bench/lib/*.sh lint/*.sh
}

# Not uninitvar: cppcheck 2.17 takes loops for empty that never are; the compilers, clang-tidy and
# Valgrind look for uninitialized variables, too.
# shellcheck disable=SC2317  # called by name
cpp() {
    cppcheck --quiet --error-exitcode=1 --inline-suppr --enable=warning,portability -j "$(nproc)" \
        --suppress=missingIncludeSystem --suppress=unknownMacro \
        --suppress=normalCheckLevelMaxBranches --suppress=uninitvar \
        --suppress=nullPointerOutOfMemory --suppress=nullPointerArithmeticOutOfMemory \
        -I. -Ingx_module -Ibackend common ngx_module backend bench t/unit
}

[ $# -gt 0 ] || set -- shell cpp limits style layers headers tidy
status=0
for check in "$@"; do
    begin=$SECONDS
    case $check in
    shell | cpp) "$check" || status=1 ;;
    *) "lint/$check.py" || status=1 ;;
    esac
    [ -z "${WEIR_LINT_TIMES:-}" ] || echo "lint: $check: $((SECONDS - begin)) s"
done
[ $status != 0 ] || echo "lint: clean"
exit $status
