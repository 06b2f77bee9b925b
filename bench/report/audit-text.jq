# The report as text.

"\(.records) records of the audit log, \(.rounds) times:",
"verified \(.verified_per_second) a second (median; \(.slowest_per_second) to "
    + "\(.fastest_per_second)); written and sealed \(.written_and_sealed_per_second) a second",
"others used \(.others_busy_median * 100 | round)% of the machine in between"
