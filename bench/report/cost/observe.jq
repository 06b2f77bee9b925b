# The loads of all rounds: for each contestant and path the medians, and those of the ratios to the
# contestant without metrics and traces in the same round.

def median: sort | if length % 2 == 1 then .[length / 2 | floor]
    else (.[length / 2 - 1] + .[length / 2]) / 2 end;

. as $all
| def base($load): $all[]
    | select(.name == "none" and .path == $load.path and .round == $load.round);
$facts + {
    rounds: (map(.round) | max),
    failed: (map(.failed) | add),
    results: [
        (reduce $all[].name as $n ([]; if index($n) then . else . + [$n] end))[] as $name
        | ("/hit/1", "/1") as $path
        | [$all[] | select(.name == $name and .path == $path)]
        | {
            name: $name, path: $path,
            per_second: (map(.per_second) | median | round),
            p99_us: (map(.p99_us) | median | round),
            per_second_ratio: (map(.per_second / base(.).per_second) | median),
            p99_ratio: (map(.p99_us / base(.).p99_us) | median),
            p99_ratio_least: (map(.p99_us / base(.).p99_us) | min),
            p99_ratio_most: (map(.p99_us / base(.).p99_us) | max)
        }
    ]
}
