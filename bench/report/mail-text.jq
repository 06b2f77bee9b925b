# The report as text.

def times: "\(.per_second)/s, p50 \(.p50_ms) ms, p99 \(.p99_ms) ms";

"\(.facts.rate) signups a second wanted, \(.facts.rounds) rounds of \(.facts.seconds) s:",
(.away[]
    | "\(.away): \(times); just before, with the mail server, \(.with | times); "
    + "ratio of the p99 \(.ratio_p99), of the p50 \(.ratio_p50)"),
"the breaker opened \(.breaker_opened) times; \(.users) users, \(.mails) mails, "
    + "\(.different_mails) different ones, \(.dead_letters) dead letters",
"others used \(.facts.others_busy_median * 100 | round)% of the machine in between"
