#!/bin/bash
# sdk.sh: prints the folder of OpenTelemetry's SDK for Node.js, which it installs: node from Debian,
# and packages of npm, in build/sdk. Tests skip with the message that it prints when it fails.
set -euo pipefail
cd "$(dirname "$0")/../.."

# They run with node of Debian 12.
modules=(@opentelemetry/api@1.9.0 @opentelemetry/sdk-trace-node@1.30.1
    @opentelemetry/instrumentation@0.57.2 @opentelemetry/instrumentation-http@0.57.2
    @opentelemetry/exporter-trace-otlp-proto@0.57.2)
folder=$PWD/build/sdk

# Another node than Debian's brings its npm along.
if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    scripts/packages.sh conformance >&2
fi
if [ "$(cat "$folder/installed" 2>/dev/null)" != "${modules[*]}" ]; then
    rm -rf "$folder"
    mkdir -p "$folder"
    npm install --silent --no-save --no-audit --no-fund --ignore-scripts --prefix "$folder" \
        "${modules[@]}" >&2 || {
        echo "sdk: npm could not install ${modules[*]}" >&2
        exit 1
    }
    echo "${modules[*]}" >"$folder/installed"
fi
echo "$folder"
