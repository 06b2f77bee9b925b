# The report as text.

def left($n): tostring | . + " " * ([$n - length, 0] | max);
def right($n): tostring | " " * ([$n - length, 0] | max) + .;

def statuses: to_entries | sort_by(.key) | map("\(.value) × \(.key)") | join(", ");
def verdict: if .judged | not then "no" elif .grown then "grown" else "flat" end;

"\(.load.requests) requests in \(.facts.minutes) minutes (\(.load.per_second)/s; "
    + "\(.load.statuses | statuses)), \(.load.socket_errors) without an answer; "
    + "\(.events) events, \(.dead_letters) dead letters",
("process" | left(16)) + ("minute 2, kB" | right(14)) + ("end, kB" | right(10))
    + ("ratio" | right(8)) + ("shared, kB" | right(13)) + ("descriptors" | right(13)) + "  judged",
(.processes[]
    | (.process | left(16)) + (.minute_2_kb | right(14)) + (.end_kb | right(10))
    + (.ratio | right(8)) + (.shared_kb | right(13))
    + (.descriptors | right(13)) + "  " + verdict),
"\(.descriptors.minute_2) descriptors at minute 2, \(.descriptors.end) at the end",
(.spans[] | "\(.process): \(.ended) spans ended, \(.sent) sent, \(.dropped) dropped, "
    + "\(.waiting) wait"),
"\(.spans_twice) spans were received twice; the page got \(.page_events) events",
"others used \(.facts.others_busy * 100 | round)% of the machine before"
