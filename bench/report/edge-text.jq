# The report as a table in Markdown, which reads well on a terminal too.

def right($n): if . == null then "-" else tostring end | (" " * ($n - length) // "") + .;
def left($n): . + (" " * ($n - length) // "");
def fixed($n): if . == null then null
    else (. * pow(10; $n) | round | tostring) as $t
    | (if ($t | length) <= $n then "0" * ($n + 1 - ($t | length)) + $t else $t end) as $t
    | $t[:-$n] + "." + $t[-$n:] end;

(.facts
    | "\(.cpu), \(.cores) cores, \(.kernel), \(.os); "
    + "nginx \(.nginx), Redis \(.redis), Varnish \(.varnish), wrk \(.wrk);",
      "\(.rounds) rounds of \(.seconds) s, \(.wrk_connections) connections, "
    + "\(.wrk_threads) thread(s)."),
"",
"| KiB | contestant    |   req/s | CPU µs/req | busy | Redis µs/req | p99 ms "
    + "| compared with | req/s × | CPU × |",
"|----:|---------------|--------:|-----------:|-----:|-------------:|-------:"
    + "|---------------|--------:|------:|",
(.results[]
    | "| \(.size_kib | right(3)) | \(.name | left(13)) "
    + "| \(.requests_per_second | right(7)) "
    + "| \(.cpu_us_per_request | fixed(1) | right(10)) "
    + "| \(if .busy then "\(.busy * 100 | round)%" else null end | right(4)) "
    + "| \(.redis_cpu_us_per_request | if . == 0 then null else fixed(1) end | right(12)) "
    + "| \(if .p99_us then .p99_us / 1000 | fixed(1) else null end | right(6)) "
    + "| \(.base // "" | left(13)) "
    + "| \(.ratio_rate | fixed(2) | right(7)) | \(.ratio_cpu | fixed(2) | right(5)) |"),
"",
(.results[] | select(.bad_rounds > 0)
    | "\(.size_kib) KiB, \(.name): \(.bad_rounds) of \(.rounds | length) rounds had errors and "
    + "were left out."),
(.results[] | select(.stored_share != null and .stored_share < 0.99)
    | "\(.size_kib) KiB, \(.name): only \(.stored_share * 100 | round)% of the responses were "
    + "stored."),
(.facts
    | "Others on this machine used \(.others_busy_median * 100 | round)% of it between the rounds "
    + "(at most \(.others_busy_max * 100 | round)%)."
)
