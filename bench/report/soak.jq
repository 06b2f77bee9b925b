# The report: from one line per process and sample (slurped), $facts, $loaded, $dead,
# $events, $page_events, and of spans $spans (a line for each exporter) and $twice.
#
# A process' memory at minute 2 is the median of the samples half a minute around it, at the end
# that of the last minute: a single one may fall on a peak.

def median: sort | .[length / 2 | floor];
def between($from; $to): map(select(.second >= $from and .second <= $to));

($facts.minutes * 60) as $last_second
| {
    facts: $facts,
    load: ($loaded + {per_second: ($loaded.requests / $loaded.duration_us * 1e6 | round)}),
    events: $events,
    dead_letters: $dead,
    page_events: $page_events,
    # Of all together: which worker has a connection is the kernel's choice.
    descriptors: (map(select(.process | startswith("(") | not))
        | group_by(.second) | map({second: .[0].second, n: (map(.descriptors) | add)})
        | {minute_2: (between(105; 135) | map(.n) | max),
            end: (between($last_second - 60; $last_second) | map(.n) | min)}),
    spans: $spans,
    spans_twice: $twice,
    processes: (group_by(.process) | map(
        (between(105; 135) | map(.rss_kb) | median) as $first
        | (between($last_second - 60; $last_second) | map(.rss_kb) | median) as $last
        | {
            process: .[0].process,
            judged: (.[0].process | startswith("(") | not),
            minute_2_kb: $first,
            end_kb: $last,
            ratio: ($last / $first * 1000 | round / 1000),
            shared_kb: .[-1].shared_kb,
            descriptors: .[-1].descriptors,
            samples: map([.second, .rss_kb])
        }
        | . + {grown: (.judged and .end_kb > .minute_2_kb * 1.05)})
        | sort_by([(.judged | not), .process]))
}
