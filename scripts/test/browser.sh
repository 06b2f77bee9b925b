#!/bin/bash
# browser.sh: prints the folder of what tests need to drive a browser, which it installs: Chromium
# and node from Debian, and two packages of npm, in build/browser. Tests skip with the message that
# it prints when it fails.
set -euo pipefail
cd "$(dirname "$0")/../.."

# The last ones that node of Debian 12 runs.
modules=(playwright-core@1.56.1 axe-core@4.11.0)
folder=$PWD/build/browser

scripts/packages.sh browser >&2
if [ "$(cat "$folder/installed" 2>/dev/null)" != "${modules[*]}" ]; then
    rm -rf "$folder"
    mkdir -p "$folder"
    npm install --silent --no-save --no-audit --no-fund --ignore-scripts --prefix "$folder" \
        "${modules[@]}" >&2 || {
        echo "browser: npm could not install ${modules[*]}" >&2
        exit 1
    }
    echo "${modules[*]}" >"$folder/installed"
fi
echo "$folder"
