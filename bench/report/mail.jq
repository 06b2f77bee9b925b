# The report: from one line per measurement (slurped). Medians over the rounds; ratios are of
# medians.

def median: if length == 0 then null else sort | .[length / 2 | floor] end;
def ratio($a; $b): if $b == 0 then null else $a / $b * 1000 | round / 1000 end;
def medians: {
    per_second: (map(.per_second) | median),
    p50_ms: (map(.p50_ms) | median),
    p99_ms: (map(.p99_ms) | median)
};

. as $all
| {
    facts: $facts,
    away: [
        {refused: "connections refused", deaf: "connections taken, no word said"}
        | to_entries[] as $away
        | ($all | map(select(.who == $away.key)) | medians) as $without
        | ($all | map(select(.who == "with" and .against == $away.key)) | medians) as $with
        | {away: $away.value} + $without + {
            with: $with,
            ratio_p99: ratio($without.p99_ms; $with.p99_ms),
            ratio_p50: ratio($without.p50_ms; $with.p50_ms)
        }
    ],
    breaker_opened: $opened,
    users: $users,
    mails: $mails,
    different_mails: $different,
    dead_letters: $dead,
    rounds_measured: $all
}
