# The report as text.

def left(n): tostring | . + " " * ([n - length, 0] | max);
def right(n): tostring | " " * ([n - length, 0] | max) + .;
def spread(name): "\(.[name]) (\(.[name + "_min"]) to \(.[name + "_max"]))";

{read: "GET of a user", write: "POST of an order"}[.facts.request]
    + " with a token, \(.facts.connections) connections, "
    + "medians of \(.facts.rounds) rounds of \(.facts.seconds) s:",
"",
"contestant  requests/s  edge, µs  api, µs  both, µs  rate beside plain       CPU beside plain",
(.contestants as $c | "plain", "identity", "mtls", "both"
    | . as $name | $c[$name]
    | ($name | left(10)) + (.per_second | right(12)) + (.edge_us | right(10))
        + (.api_us | right(9)) + (.cpu_us | right(10)) + "  "
        + (spread("rate_ratio") | left(24)) + spread("cpu_ratio")),
"",
"\(.failed) requests failed; others used \(.facts.others_busy_median * 100 | round)% of the "
    + "machine between the rounds"
