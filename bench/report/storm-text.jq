# The storms as a table in Markdown.

def left($n): . + (" " * ($n - length) // "");
def right($n): tostring | (" " * ($n - length) // "") + .;

"\(.clients) clients, one cold key each storm, an upstream that takes 200 ms.",
"",
"| contestant       | upstream asked, median | most | slowest answer, ms | storms | about |",
"|------------------|-----------------------:|-----:|-------------------:|-------:|-------|",
(.storms as $all
    | reduce $all[].name as $n ([]; if index($n) then . else . + [$n] end)
    | .[] as $name
    | ($all | map(select(.name == $name))) as $own
    | ($own | map(.asked) | sort) as $asked
    | ($own | map(.slowest_us) | sort | .[length / 2 | floor] / 1000 | round) as $slowest
    | "| \($name | left(16)) "
    + "| \($asked | .[length / 2 | floor] | right(22)) | \($asked[-1] | right(4)) "
    + "| \($slowest | right(18)) "
    + "| \($own | length | right(6)) | \($own[0].about) |")
