# The figures as a table in Markdown.

"\(.invalidations) invalidations, \(.per_second) a second, of \(.keys) keys; \(.edges) edges, "
    + "\(.connections) connections each"
    + (if .wrk_connections > 0 then " and \(.wrk_connections) of wrk" else "" end)
    + ": \(.answers) answers read, \(.hits / .answers * 1000 | round / 10)% of them hits.",
"",
"| from XADD to the last stale answer | 50% | 90% | 99% | 99.9% | max |",
"|------------------------------------|----:|----:|----:|------:|----:|",
"| ms                                 | \(.p50_ms) | \(.p90_ms) | \(.p99_ms) | \(.p999_ms) "
    + "| \(.max_ms) |",
"",
"Answers stale for longer than the \(.staleness_ms) ms of weir_cache_staleness: \(.late_answers).",
"Keys of which an edge had an old version at the end: \(.old_at_the_end).",
"Others on this machine used \(.others_busy * 100 | round)% of it before the run."
