# Requests per second and P99 as a table in Markdown.

def left($n): . + (" " * ($n - length) // "");
def right($n): tostring | (" " * ($n - length) // "") + .;
def fixed: . * 1000 | round | tostring | (("0" * (4 - length)) // "") + .
    | .[:-3] + "." + .[-3:];

"Requests of 1 KiB, medians of \(.rounds) rounds, \(.weir); \(.failed) failed:",
"",
"| with       |      | req/s   | req/s × | P99, µs | P99 ×                 |",
"|------------|------|--------:|--------:|--------:|----------------------:|",
(.results[]
    | "| \(.name | left(10)) | \(if .path == "/1" then "prox" else "hit " end) "
    + "| \(.per_second | right(7)) | \(.per_second_ratio | fixed | right(7)) "
    + "| \(.p99_us | right(7)) "
    + "| \(.p99_ratio | fixed) (\(.p99_ratio_least | fixed) to \(.p99_ratio_most | fixed)) |")
