#!/bin/bash
# bench-conformance.sh: how much of HTTP's rules a cache keeps, by a suite that
# is not ours.  docs/benchmarks.md tells more.
set -euo pipefail
cd "$(dirname "$0")/.."

suite=http-cache-tests@0.4.5    # the npm package of cache-tests.fyi
contestants=(proxy-cache weir weir-redis)

usage() {
    cat <<END
usage: ./weir bench conformance

Fetches the suite $suite with npm, runs it against ${contestants[*]},
and prints how many cases each passes and which Weir does not.
Writes build/bench-conformance.json.
END
}

# shellcheck source=scripts/bench-lib.sh
. scripts/bench-lib.sh

case ${1:-} in
'') ;;
--help | -h)
    usage
    exit 0
    ;;
*)
    echo "bench: unknown option \"$1\"" >&2
    usage >&2
    exit 2
    ;;
esac

scripts/packages.sh bench
if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    scripts/packages.sh conformance
fi
make -s module

# The suite's client needs one library; the rest that its package names is for its pages.
fetched=$PWD/build/conformance
if [ ! -e "$fetched/package/cli.mjs" ] || [ ! -d "$fetched/node_modules/node-fetch" ]; then
    rm -rf "$fetched"
    mkdir -p "$fetched"
    (cd "$fetched" && npm pack --silent "$suite" >/dev/null && tar xzf ./*.tgz &&
        npm install --silent --no-save --no-audit --no-fund --ignore-scripts --prefix "$fetched" node-fetch@2) ||
        die "npm could not fetch $suite"
fi

# run NAME: the suite's client, which reads its settings as npm would hand them over.
run() {
    local name=$1
    (cd "$fetched/package" && npm_config_base="http://127.0.0.1:${bench_port[$name]}" npm_package_config_id='' \
        timeout 300 node --no-warnings cli.mjs >"$bench_dir/$name.json" 2>"$bench_dir/$name.log") ||
        die "the suite failed against $name: $(cat "$bench_dir/$name.log")"
}

bench_begin
bench_take_port upstream
(cd "$fetched/package" && exec env npm_config_protocol=http npm_config_port="${bench_port[upstream]}" \
    npm_config_pidfile="$bench_dir/suite.pid" node server/server.mjs >"$bench_dir/suite.log" 2>&1) &
bench_pids+=($!)
bench_wait "the suite's server" curl -s "127.0.0.1:${bench_port[upstream]}/"

results=()
for name in "${contestants[@]}"; do
    bench_start_nginx "$name" "conformance-$name"
    results+=("$name=$bench_dir/$name.json")
done
for name in "${contestants[@]}"; do
    echo "bench: the suite against $name, about 20 seconds" >&2
    run "$name"
done

mkdir -p build
node scripts/bench/conformance.mjs "$fetched/package" "${results[@]}" >build/bench-conformance.json
jq -r '"| cache | required | optional |", "|---|--:|--:|",
    (.[] | "| \(.name) | \(.required_passed) of \(.required) | \(.optional_passed) of \(.optional) |"),
    "", (.[] | select(.name == "weir") | .failed[] | "weir: \(.kind) \(.suite) \(.id): \(.why)")' build/bench-conformance.json
echo "bench: wrote build/bench-conformance.json" >&2
