#!/bin/bash
# conformance.sh: how much of HTTP's rules a cache keeps, by a suite that
# is not ours.  docs/internals/benchmarks.md tells more.
set -euo pipefail
cd "$(dirname "$0")/.."

package=http-cache-tests@0.4.5    # the npm package of cache-tests.fyi
contestants=(proxy-cache weir weir-redis)

usage() {
    cat <<END
usage: ./weir bench conformance [--suite FOLDER]

Fetches the suite $package with npm, or takes a checkout of its source
in which "npm install" was run, runs it against ${contestants[*]},
and prints how many cases each passes and which Weir does not.
Writes build/bench-conformance.json.
END
}

# shellcheck source=bench/lib/processes.sh
. bench/lib/processes.sh

suite=
bench_options "suite" "$@"
if [ -n "$suite" ]; then
    [ -e "$suite/tests/index.mjs" ] ||
        fail_usage "--suite names \"$suite\", where there is no tests/index.mjs"
    suite=$(cd "$suite" && pwd)
fi

scripts/packages.sh bench
if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    scripts/packages.sh conformance
fi
make -s module

# The suite's client needs one library; the rest that its package names is for its pages.
fetched=$PWD/build/conformance
fetch_suite() {
    rm -rf "$fetched"
    mkdir -p "$fetched"
    cd "$fetched"
    [ -n "$suite" ] || { npm pack --silent "$package" >/dev/null && tar xzf ./*.tgz; }
    npm install --silent --no-save --no-audit --no-fund --ignore-scripts --prefix "$fetched" \
        node-fetch@2
}
if [ ! -d "$fetched/node_modules/node-fetch" ] ||
    [ -z "$suite" ] && [ ! -e "$fetched/package/cli.mjs" ]; then
    (fetch_suite) || die "npm could not fetch $package"
fi

# Client and server are beside the tests in the package, in a folder of their own in newer source.
tests=${suite:-$fetched/package}
engine=$tests
[ ! -d "$tests/test-engine" ] || engine=$tests/test-engine

# run NAME: the suite's client, which reads its settings as npm would hand them over.
run() {
    local name=$1
    (cd "$engine" &&
        npm_config_base="http://127.0.0.1:${bench_port[$name]}" npm_package_config_id='' \
            timeout 300 node --no-warnings cli.mjs >"$bench_dir/$name.json" \
            2>"$bench_dir/$name.log") ||
        die "the suite failed against $name: $(cat "$bench_dir/$name.log")"
}

bench_begin
bench_take_port upstream
(cd "$engine" && exec env npm_config_protocol=http npm_config_port="${bench_port[upstream]}" \
    npm_config_pidfile="$bench_dir/suite.pid" node server/server.mjs >"$bench_dir/suite.log" 2>&1) &
bench_pids+=($!)
bench_wait "the suite's server" curl -s "127.0.0.1:${bench_port[upstream]}/"

results=()
for name in "${contestants[@]}"; do
    bench_start_nginx "$name" "conformance/$name"
    results+=("$name=$bench_dir/$name.json")
done
for name in "${contestants[@]}"; do
    echo "bench: the suite against $name, about 20 seconds" >&2
    run "$name"
done

mkdir -p build
node bench/tools/conformance.mjs "$tests" "${results[@]}" >build/bench-conformance.json
bench_print conformance
