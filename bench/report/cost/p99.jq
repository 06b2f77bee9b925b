# The loads of all rounds but the first: for each contestant and path P99 of all its requests, and
# the median of the ratios of P99 to the other contestant in the same round, with an interval that
# has it with a probability of 95%: of n values in order, from the one at n/2 - 0.98 √n to the one
# at n/2 + 1 + 0.98 √n.

def median: sort | if length % 2 == 1 then .[length / 2 | floor]
    else (.[length / 2 - 1] + .[length / 2]) / 2 end;
def between: sort | length as $n
    | {least: .[[$n / 2 - 0.98 * ($n | sqrt) | round, 1] | max - 1],
       most: .[[$n / 2 + 1 + 0.98 * ($n | sqrt) | round, $n] | min - 1]};
def quantile($share): group_by(.[0]) | map([.[0][0], (map(.[1]) | add)])
    | (map(.[1]) | add) as $all
    | reduce .[] as [$ns, $n] ({below: 0};
        if .is == null and .below + $n >= $share * $all then .is = $ns else . end
        | .below += $n)
    | .is / 1000;
# What a contestant is compared with.
def base: {scraped: "series", series: null, none: null}[.] as $b
    | if $b != null or . == "series" or . == "none" then $b else "none" end;
def dropped: .dropped | add;

($loads | map(select(.round > 0))) as $all
| ([$all[] | {key: "\(.name) \(.path) \(.round)", value: .}] | from_entries) as $of
| (reduce $all[].name as $n ([]; if index($n) then . else . + [$n] end)) as $names
| $facts + {
    $rate, $kept, $seconds, $real_time, $series, $others_busy,
    rounds: ($all | map(.round) | max),
    failed: ($loads | map(.failed) | add),
    results: [
        ("/hit/1", "/1") as $path | $names[] as $name
        | [$all[] | select(.name == $name and .path == $path)] as $its
        | ($name | base) as $base
        | {$name, $path, base: $base, requests: ($its | map(.requests) | add)}
        + ($its | map(.times) | add | {p50_us: quantile(0.5), p99_us: quantile(0.99),
            p999_us: quantile(0.999)})
        + if $base == null then {} else
            [$its[] | [., $of["\($base) \($path) \(.round)"]]]
            | {p50_ratio: (map(.[0].p50_us / .[1].p50_us) | median)}
            + (map(.[0].p99_us / .[1].p99_us) | {p99_ratio: median} + between)
            end
    ],
    edges: [
        $names[] as $name
        | [$states[] | select(.name == $name)] as [$first, $last]
        | {$name, begin_kb: $first.rss_kb, end_kb: $last.rss_kb}
        + if $last.exporter == null then {lost: 0} else $last.exporter
            | {ended, sent, dropped: dropped, queued, failures, by: .dropped,
                lost: (.ended - .sent - dropped - .queued)} end
    ]
}
