# What was counted, and the loads of all rounds: for each contestant and path the medians, and those
# of the ratios to the contestant without metrics and traces in the same round.

def median: sort | if length % 2 == 1 then .[length / 2 | floor]
    else (.[length / 2 - 1] + .[length / 2]) / 2 end;

def base($load): $loads[]
    | select(.name == "none" and .path == $load.path and .round == $load.round);

$facts + {
    requests: $requests,
    results: $counted,
    rounds: ($loads | map(.round) | max),
    failed: ($loads | map(.failed) | add),
    loads: [
        (reduce $loads[].name as $n ([]; if index($n) then . else . + [$n] end))[] as $name
        | ("/hit/1", "/1") as $path
        | [$loads[] | select(.name == $name and .path == $path)]
        | {
            name: $name, path: $path,
            per_second: (map(.per_second) | median | round),
            per_second_ratio: (map(.per_second / base(.).per_second) | median),
            cpu_ns: (map(.cpu_ns) | median | round),
            cpu_ratio: (map(.cpu_ns / base(.).cpu_ns) | median)
        }
    ]
}
