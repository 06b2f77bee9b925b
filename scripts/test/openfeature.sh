#!/bin/bash
# openfeature.sh: prints the folder of OpenFeature's packages, which it installs: node from Debian,
# and packages of npm, in build/openfeature. Tests skip with the message that it prints when it
# fails.
set -euo pipefail
cd "$(dirname "$0")/../.."

# The SDK, its provider for OFREP, and flagd's evaluation. They run with node of Debian 12.
modules="@openfeature/server-sdk@1.23.0 @openfeature/core@1.12.0 @openfeature/flagd-core@4.0.1
    @openfeature/ofrep-provider@0.1.3 @openfeature/ofrep-core@0.1.4"
folder=$PWD/build/openfeature

if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    scripts/packages.sh conformance >&2
fi
if [ "$(cat "$folder/installed" 2>/dev/null)" != "$modules" ]; then
    rm -rf "$folder"
    mkdir -p "$folder"
    # shellcheck disable=SC2086  # several words
    npm install --silent --no-save --no-audit --no-fund --ignore-scripts --prefix "$folder" \
        $modules >&2 || {
        echo "openfeature: npm could not install $modules" >&2
        exit 1
    }
    echo "$modules" >"$folder/installed"
fi
echo "$folder"
