#!/bin/bash
# mail.sh: do signups notice that the mail server is away, and do all mails arrive afterwards?
# docs/internals/benchmarks.md tells what is measured and how to read it.
#
# shellcheck disable=SC2154  # lib.sh and stack.sh set them
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'END_OF_USAGE'
usage: ./weir bench mail [OPTION...]

  --rounds N       rounds; each has signups with the mail server, without it, with it again, and
                   with one that takes connections and says nothing (3)
  --seconds S      how long each of these four lasts, at least 12 (20)
  --rate N         signups a second (100)
  --connections N  of wrk (16)

Writes build/bench-mail.json. Exit code 1 when the breaker of the mail server did not open and close
again, an event became a dead letter, or a mail came never or twice.
END_OF_USAGE
}

# shellcheck source=bench/lib/stack.sh
. bench/lib/stack.sh

rounds=3 seconds=20 rate=100 connections=16
bench_options "rounds seconds rate connections" "$@"
bench_number --rounds "$rounds" 1 100
# Within it mails must have failed by time-out (5 s) before the breaker can open.
bench_number --seconds "$seconds" 12 3600
bench_number --rate "$rate" 1 10000
bench_number --connections "$connections" 1 1000

scripts/packages.sh run
scripts/packages.sh bench
bench_begin

# --- the mail server's absence -----------------------------------------------------------

# Takes connections, and never says a word.
deaf=
start_deaf() {
    /usr/bin/python3 -c '
import socket, sys
held = []
server = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=128)
while True:
    held.append(server.accept())' "$smtp_port" &
    deaf=$!
    bench_pids+=("$deaf")
    wait_until 10 deaf_listens || die "nothing listens on port $smtp_port"
}
deaf_listens() { ! port_free "$smtp_port"; }

take_away() {
    stop_service smtp || die "the mail server has not been there"
    [ "$1" != deaf ] || start_deaf
}

bring_back() {
    if [ -n "$deaf" ]; then
        kill "$deaf"
        wait "$deaf" 2>/dev/null || true
        deaf=
    fi
    start_smtp
    wait_until 20 answers_smtp || die "the mail server does not come back"
}

end_of_log() { tail -n 5 "$run/logs/backend.log"; }

# How often the backend's log says so.
said() { grep -c "$1" "$run/logs/backend.log" || true; }
has_said() { [ "$(said "$1")" -gt "$2" ]; }

# --- measuring ------------------------------------------------------------------------------

: >"$bench_run/measured"
: >"$bench_run/others"

# measure ROUND WHO AGAINST: signups at the rate.
measure() {
    load signup "$edge_port" "$seconds" "$pause_ms"
    jq -c ". + {round: $1, who: \"$2\", against: \"$3\"}" <<<"$loaded" >>"$bench_run/measured"
}

pace signup "$edge_port" "$rate"
for ((round = 1; round <= rounds; round++)); do
    echo "bench: round $round of $rounds" >&2
    for away in refused deaf; do
        wait_until 300 is_through || die "events wait still after 300 s" "$(ctl groups)"
        bench_machine_busy >>"$bench_run/others"
        measure "$round" with "$away"
        opened=$(said 'its breaker opens') closed=$(said 'its breaker closes')
        take_away "$away"
        measure "$round" "$away" "$away"
        has_said 'its breaker opens' "$opened" || die "the breaker did not open in $seconds s" \
            "without a mail server ($away)" "$(end_of_log)"
        bring_back
        wait_until 60 has_said 'its breaker closes' "$closed" ||
            die "the breaker did not close" "$(end_of_log)"
    done
done
wait_until 300 is_through || die "events wait still after 300 s" "$(ctl groups)"

# --- what has arrived --------------------------------------------------------------------------

# Every user has one mail; its Message-ID is of the event.
grep -rhm1 '^Message-ID:' "$run/mail/new" >"$bench_run/ids"
users=$(sql 'SELECT count(*) FROM users')
mails=$(wc -l <"$bench_run/ids")
different=$(sort -u "$bench_run/ids" | wc -l)
dead=$(sql 'SELECT count(*) FROM dead_letters')

mkdir -p build
facts() {
    bench_facts | jq --argjson rounds "$rounds" --argjson seconds "$seconds" \
        --argjson rate "$rate" --argjson others_busy_median "$(bench_others)" '. + $ARGS.named'
}
jq -s --argjson facts "$(facts)" --argjson users "$users" --argjson mails "$mails" \
    --argjson different "$different" --argjson dead "$dead" \
    --argjson opened "$(said 'its breaker opens')" -f bench/report/mail.jq \
    "$bench_run/measured" >build/bench-mail.json
bench_print mail

[ "$dead" = 0 ] || die "$dead events are dead letters"
[ "$users" = "$different" ] || die "$users users, but $different of them have a mail"
[ "$mails" = "$different" ] || die "$((mails - different)) mails came twice"
