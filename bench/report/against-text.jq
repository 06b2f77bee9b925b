# The report of --against as a table in Markdown.

def left($n): . + (" " * ($n - length) // "");
def right($n): if . == null then "-" else tostring end | (" " * ($n - length) // "") + .;

([.results[].what | length] + [20] | max) as $width
| "This build is \(.facts.weir), the other \(.facts.other);",
"\(.facts.rounds) rounds of \(.facts.seconds) s. CPU time per request:",
"",
"| \("" | left($width)) | this, µs | other, µs | ratio | lowest | highest | rounds |",
"|-\("-" * $width)-|---------:|----------:|------:|-------:|--------:|-------:|",
(.results[]
    | "| \(.what | left($width)) | \(.this_us | right(8)) | \(.other_us | right(9)) "
    + "| \(.ratio | right(5)) | \(.lowest | right(6)) | \(.highest | right(7)) "
    + "| \(.good_rounds | right(6)) |"),
"",
"Others on this machine used \(.facts.others_busy_median * 100 | round)% of it between the rounds."
