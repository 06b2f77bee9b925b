#!/bin/bash
# lint.sh: shellcheck for every script, cppcheck for all C; any finding fails.
set -euo pipefail
cd "$(dirname "$0")/.."

for tool in shellcheck cppcheck; do
    command -v $tool >/dev/null || {
        echo "lint: $tool is missing; install it with: apt-get install $tool" >&2
        exit 1
    }
done

shellcheck weir .ci/run scripts/*.sh scripts/bench/*.sh
cppcheck --quiet --error-exitcode=1 --inline-suppr --enable=warning,portability \
    --suppress=missingIncludeSystem --suppress=unknownMacro \
    -I. -Ingx_module -Ibackend common ngx_module backend t/unit t/bench
echo "lint: clean"
