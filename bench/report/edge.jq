# From the measured rounds (slurped input) and $contestants, $facts: medians and
# ratios.  A ratio is the median of the ratios within each round, so that
# a machine that gets slower from one round to the next doesn't show in it.
# Rounds with errors are left out, and counted as bad_rounds.

def median: sort | length as $n
    | if $n == 0 then null
      elif $n % 2 == 1 then .[($n - 1) / 2]
      else (.[$n / 2 - 1] + .[$n / 2]) / 2 end;
def digits($n): if . == null then null else . * pow(10; $n) | round / pow(10; $n) end;

def clean: .socket_errors + .bad_statuses == 0 and .requests > 0;
def rate: .requests * 1000000 / .duration_us;
def cpu: .cpu_us / .requests;

. as $rounds
| {
    facts: $facts,
    results: [
        ($rounds | map(.size_kib) | unique[]) as $size
        | $contestants[] as $c
        | ($rounds | map(select(.size_kib == $size and .name == $c.name))) as $own
        | select($own | length > 0)
        | ($own | map(select(clean))) as $good
        | [ $good[] | . as $r
            | ($rounds[] | select(.size_kib == $size and .name == $c.base
                and .round == $r.round and clean))
            | {
                rate: (($r | rate) / rate),
                cpu: (if .cpu_us > 0 then ($r | cpu) / cpu else empty end)
            } ] as $ratios
        | {
            size_kib: $size,
            name: $c.name,
            base: $c.base,
            about: $c.about,
            requests_per_second: ($good | map(rate) | median | digits(0)),
            cpu_us_per_request: ($good | map(cpu) | median | digits(2)),
            redis_cpu_us_per_request: ($good | map(.redis_cpu_us / .requests) | median | digits(2)),
            busy: ($good | map(.cpu_us / .duration_us) | median | digits(2)),
            p50_us: ($good | map(.p50_us) | median),
            p99_us: ($good | map(.p99_us) | median),
            ratio_rate: ($ratios | map(.rate) | median | digits(3)),
            ratio_cpu: ($ratios | map(.cpu) | median | digits(3)),
            stored_share: (if $c.kind == "miss"
                then $good | map(.stored / .requests) | median | digits(3) else null end),
            bad_rounds: ($own | length - ($good | length)),
            rounds: $own
        }
    ]
}
