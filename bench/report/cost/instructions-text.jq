# The instructions as a table in Markdown.

def left($n): . + (" " * ($n - length) // "");
def right($n): tostring | (" " * ($n - length) // "") + .;
def percent($base): (. / $base - 1) * 1000 | round / 10 | if . > 0 then "+\(.) %" else "\(.) %" end;

def change: (. - 1) * 1000 | round / 10 | if . > 0 then "+\(.) %" else "\(.) %" end;

.results as $all
| def of($name; $path): $all[] | select(.name == $name and .path == $path) | .instructions;
"Instructions for a request of 1 KiB, mean of \(.requests), \(.weir):",
"",
"| with              |  a hit |          |  proxied |          |",
"|-------------------|-------:|---------:|---------:|---------:|",
(reduce ($all[] | select(.path == "/hit/1") | .name) as $n
        ([]; if index($n) then . else . + [$n] end)
    | .[] as $name
    | of($name; "/hit/1") as $hit
    | of($name; "/1") as $proxied
    | "| \($name | left(17)) | \($hit | right(6)) "
    + "| \($hit | percent(of("none"; "/hit/1")) | right(8)) "
    + "| \($proxied | right(8)) | \($proxied | percent(of("none"; "/1")) | right(8)) |"),
"",
"The same with a token of 0.6 KiB, proxied:",
"",
"| with              | proxied |          |",
"|-------------------|--------:|---------:|",
("bearer", "jwt", "jwt-require"
    | of(.; "/1") as $proxied
    | "| \(. | left(17)) | \($proxied | right(7)) "
    + "| \($proxied | percent(of("bearer"; "/1")) | right(8)) |"),
"",
"Loads, medians of \(.rounds) rounds, \(.failed) requests failed:",
"",
"| with              |      |  req/s |          | CPU, µs |          |",
"|-------------------|------|-------:|---------:|--------:|---------:|",
(.loads[]
    | "| \(.name | left(17)) | \(if .path == "/1" then "prox" else "hit " end) "
    + "| \(.per_second | right(6)) | \(.per_second_ratio | change | right(8)) "
    + "| \(.cpu_ns / 100 | round / 10 | right(7)) | \(.cpu_ratio | change | right(8)) |"),
"",
"Not in the table: what keeps the percentiles takes up to "
    + "\([.results[].keeper_per_second] | max) instructions a second."
