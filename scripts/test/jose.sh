#!/bin/bash
# jose.sh: prints the folder of jose, a library of JSON Web Tokens, which it installs: node from
# Debian, and a package of npm, in build/jose. Tests skip with the message that it prints when it
# fails.
set -euo pipefail
cd "$(dirname "$0")/../.."

# It runs with node of Debian 12, and depends on nothing.
module=jose@5.10.0
folder=$PWD/build/jose

# Another node than Debian's brings its npm along.
if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    scripts/packages.sh conformance >&2
fi
if [ "$(cat "$folder/installed" 2>/dev/null)" != "$module" ]; then
    rm -rf "$folder"
    mkdir -p "$folder"
    npm install --silent --no-save --no-audit --no-fund --ignore-scripts --prefix "$folder" \
        "$module" >&2 || {
        echo "jose: npm could not install $module" >&2
        exit 1
    }
    echo "$module" >"$folder/installed"
fi
echo "$folder"
