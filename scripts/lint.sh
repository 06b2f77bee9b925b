#!/bin/bash
# lint.sh: shellcheck for every script, cppcheck for all C; any finding fails.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/packages.sh lint

shellcheck weir .ci/run scripts/*.sh bench/*.sh bench/lib/*.sh
cppcheck --quiet --error-exitcode=1 --inline-suppr --enable=warning,portability \
    --suppress=missingIncludeSystem --suppress=unknownMacro \
    -I. -Ingx_module -Ibackend common ngx_module backend bench t/unit
echo "lint: clean"
