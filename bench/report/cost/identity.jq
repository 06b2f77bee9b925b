# From the lines of identity.sh: medians, and medians of the ratios to "plain" of the same round.

def median: sort | if length % 2 == 1 then .[length / 2 | floor]
    else (.[length / 2 - 1] + .[length / 2]) / 2 end;
def places(n): . * pow(10; n) | round / pow(10; n);
def cpu: .edge_us + .api_us;

map(select(.round > 0)) as $all
| {
    facts: ($facts + {$rounds, $seconds, $connections, $request, $others_busy_median}),
    failed: (map(.failed) | add),
    contestants: ($all | group_by(.name) | map({
        key: .[0].name,
        value: (
            map(. as $one
                | ($all[] | select(.name == "plain" and .round == $one.round)) as $plain
                | . + {rate_ratio: (.per_second / $plain.per_second),
                    cpu_ratio: (cpu / ($plain | cpu))})
            | {
                per_second: (map(.per_second) | median | round),
                edge_us: (map(.edge_us) | median | places(2)),
                api_us: (map(.api_us) | median | places(2)),
                cpu_us: (map(cpu) | median | places(2)),
                rate_ratio: (map(.rate_ratio) | median | places(3)),
                rate_ratio_min: (map(.rate_ratio) | min | places(3)),
                rate_ratio_max: (map(.rate_ratio) | max | places(3)),
                cpu_ratio: (map(.cpu_ratio) | median | places(3)),
                cpu_ratio_min: (map(.cpu_ratio) | min | places(3)),
                cpu_ratio_max: (map(.cpu_ratio) | max | places(3))
            })
    }) | from_entries),
    measured: $all
}
