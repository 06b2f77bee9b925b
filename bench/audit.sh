#!/bin/bash
# audit.sh: how many records a second "weirctl audit verify" checks.
# docs/internals/benchmarks.md tells what is measured and how to read it.
#
# shellcheck disable=SC2154  # lib.sh and stack.sh set them
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'END_OF_USAGE'
usage: ./weir bench audit [OPTION...]

  --rounds N       how often the log is verified (5)
  --records N      records in the log (200000)

Writes build/bench-audit.json. Exit code 1 when verify finds something in the log as it was
written, or nothing after one record was changed.
END_OF_USAGE
}

# shellcheck source=bench/lib/stack.sh
. bench/lib/stack.sh

rounds=5 records=200000
bench_options "rounds records" "$@"
bench_number --rounds "$rounds" 1 100
bench_number --records "$records" 1000 5000000

scripts/packages.sh run
scripts/packages.sh bench
bench_begin

# What price changes write, in transactions of 1,000.
for ((n = 0; n < records; n += 1000)); do
    echo "SELECT count(audit_put(
            '{\"subject\": \"sub:0190b0c0-0000-7000-8000-000000000001\", \"actor\": \"edge\",
              \"address\": \"192.0.2.1\"}',
            '00-0123456789abcdef0123456789abcdef-0123456789abcdef-01', 'product.put',
            'product:' || n, 'changed', jsonb_build_object('price', n)))
        FROM generate_series($n + 1, least($n + 1000, $records)) n;"
done >"$bench_run/records.sql"
began=$EPOCHREALTIME
stack_psql -qAtX -v ON_ERROR_STOP=1 -f "$bench_run/records.sql" >/dev/null

are_sealed() { [ "$(sql 'SELECT count(*) FROM audit_seals')" = "$records" ]; }
wait_until 600 are_sealed || die "the records have no seals after 600 s"
sealed=$(awk -v from="$began" -v to="$EPOCHREALTIME" -v n="$records" \
    'BEGIN { printf "%d\n", n / (to - from) }')

# Sets verified to what verify says, and took to its seconds.
verify() {
    local from=$EPOCHREALTIME status=0
    verified=$(ctl audit verify --json) || status=$?
    took=$(awk -v from="$from" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.3f\n", to - from }')
    [ "$status" -le 1 ] || die "weirctl audit verify ended with exit code $status"
}
are_signed() {
    [ "$(ctl audit verify --json 2>/dev/null | jq .signed)" = "$records" ]
}
wait_until 120 are_signed || die "no head has signed all records after 120 s"

: >"$bench_run/times"
: >"$bench_run/others"
for ((round = 1; round <= rounds; round++)); do
    bench_machine_busy >>"$bench_run/others"
    verify
    jq -e '.findings == 0' <<<"$verified" >/dev/null || die "verify finds faults" "$verified"
    echo "$took" >>"$bench_run/times"
done

mkdir -p build
jq -s --argjson facts "$(bench_facts)" --argjson records "$records" \
    --argjson sealed_per_second "$sealed" --argjson others_busy_median "$(bench_others)" '
    sort | {
        facts: $facts, records: $records, rounds: length,
        verified_per_second: ($records / .[length / 2 | floor] | floor),
        slowest_per_second: ($records / .[-1] | floor),
        fastest_per_second: ($records / .[0] | floor),
        written_and_sealed_per_second: $sealed_per_second,
        others_busy_median: $others_busy_median
    }' "$bench_run/times" >build/bench-audit.json
bench_print audit

"$(pg_bin)/psql" -qAtX -h "$pg_socket" -p "$pg_port" -U postgres -d weir -v ON_ERROR_STOP=1 -c \
    "SET session_replication_role = replica;
     UPDATE audit_records SET outcome = 'created' WHERE object = 'product:$((records / 2))'"
verify
jq -e '.findings > 0' <<<"$verified" >/dev/null || die "verify does not find a changed record"
