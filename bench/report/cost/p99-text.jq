# P99 and its ratios, memory and spans as tables in Markdown.

def left($n): . + (" " * ($n - length) // "");
def right($n): tostring | (" " * ($n - length) // "") + .;
def fixed: . * 1000 | round | tostring | (("0" * (4 - length)) // "") + .
    | .[:-3] + "." + .[-3:];

"\(.rate) requests of 1 KiB a second, \(.rounds) rounds of \(.seconds) s, \(.weir); \(.failed)"
    + " failed; \(.kept)% of traces kept, \(.series) series; other programs used"
    + " \(.others_busy * 100 | round)% of the machine"
    + (if .real_time then "" else ", and no priority over them" end) + ":",
"",
"| with    |          | P50, µs | P99, µs | P99.9, µs | against | P50 × |            P99 × (95%) |",
"|---------|----------|--------:|--------:|----------:|---------|------:|-----------------------:|",
(.results[]
    | "| \(.name | left(7)) | \(if .path == "/1" then "proxied " else "hits    " end) "
    + "| \(.p50_us | round | right(7)) | \(.p99_us | round | right(7)) "
    + "| \(.p999_us | round | right(9)) | \(.base // "" | left(7)) "
    + "| \(if .p50_ratio then .p50_ratio | fixed else "" end | right(5)) "
    + "| \(if .p99_ratio
        then "\(.p99_ratio | fixed) (\(.least | fixed) to \(.most | fixed))" else "" end
        | right(22)) |"),
"",
"| edge    | begin, KiB | end, KiB | spans ended |    sent | dropped | waiting | lost |",
"|---------|-----------:|---------:|------------:|--------:|--------:|--------:|-----:|",
(.edges[]
    | "| \(.name | left(7)) | \(.begin_kb | right(10)) | \(.end_kb | right(8)) "
    + "| \(.ended // "" | right(11)) | \(.sent // "" | right(7)) | \(.dropped // "" | right(7)) "
    + "| \(.queued // "" | right(7)) | \(if .ended then .lost else "" end | right(4)) |")
