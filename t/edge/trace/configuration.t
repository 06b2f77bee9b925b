# Every directive of traces with wrong arguments: a clear error, with file and line.
use strict;
use warnings;

use Test::Nginx::Socket;

no_long_string();
plan tests => repeat_each() * 2 * blocks();
run_tests();

__DATA__

=== weir_trace needs a value that it knows
--- config
    weir_trace yes;
--- must_die
--- error_log
invalid value "yes" in "weir_trace"; it must be "on", "off", "parent", "ratio=" and a number, or
=== weir_trace: a number is no value
--- config
    weir_trace 0.5;
--- must_die
--- error_log
invalid value "0.5" in "weir_trace"
=== weir_trace: a ratio above 1
--- config
    weir_trace ratio=1.5;
--- must_die
--- error_log
invalid ratio "1.5" in "weir_trace"; it must be from 0 to 1, as "0.1"
=== weir_trace: a negative ratio
--- config
    weir_trace ratio=-0.1;
--- must_die
--- error_log
invalid ratio "-0.1" in "weir_trace"
=== weir_trace: a ratio that is no number
--- config
    weir_trace ratio=10%;
--- must_die
--- error_log
invalid ratio "10%" in "weir_trace"
=== weir_trace: no ratio
--- config
    weir_trace ratio=;
--- must_die
--- error_log
invalid value "ratio=" in "weir_trace"
=== weir_trace: a ratio with too many digits
--- config
    weir_trace ratio=0.1234567890;
--- must_die
--- error_log
invalid ratio "0.1234567890" in "weir_trace"
=== weir_trace: off with a parameter
--- config
    weir_trace off errors=on;
--- must_die
--- error_log
"weir_trace off" must have no parameters; to keep only some requests, use "ratio=0"
=== weir_trace: slow without a time
--- config
    weir_trace on slow=fast;
--- must_die
--- error_log
invalid value "fast" in "weir_trace"; "slow=" must be a time of at least 1ms, or one of "p50",
=== weir_trace: slow of 0
--- config
    weir_trace on slow=0;
--- must_die
--- error_log
invalid value "0" in "weir_trace"
=== weir_trace: two times that are slow
--- config
    weir_trace on slow=1s slow=2s;
--- must_die
--- error_log
"weir_trace" directive has two times in "slow="
=== weir_trace: two percentiles
--- config
    weir_trace on slow=p99 slow=p95;
--- must_die
--- error_log
"weir_trace" directive has two percentiles in "slow="
=== weir_trace: a percentile that is not computed
--- config
    weir_trace on slow=p98;
--- must_die
--- error_log
invalid value "p98" in "weir_trace"; "slow=" must be
=== weir_trace: a percentile without the counts of metrics
--- http_config
    weir_metrics_zone off;
--- config
    weir_trace ratio=0 slow=1s
        slow=p99;
--- must_die
--- error_log eval
qr{percentile of "slow=" needs the counts of metrics, and .* "weir_metrics_zone off" in \S+:\d}
=== weir_trace: errors twice
--- config
    weir_trace on errors=on errors=off;
--- must_die
--- error_log
"weir_trace" directive has two parameters "errors="
=== weir_trace: errors with another value
--- config
    weir_trace on errors=yes;
--- must_die
--- error_log
invalid parameter "errors=yes" in "weir_trace"; it must be "slow=" and a time or a percentile
=== weir_trace: an unknown parameter
--- config
    weir_trace on fast;
--- must_die
--- error_log
invalid parameter "fast" in "weir_trace"
=== weir_trace: too many parameters
--- config
    weir_trace on slow=1s slow=p99 errors=on more=1;
--- must_die
--- error_log
invalid number of arguments in "weir_trace" directive
=== weir_trace: no value
--- config
    weir_trace;
--- must_die
--- error_log
invalid number of arguments in "weir_trace" directive
=== weir_trace twice in a block
--- config
    weir_trace on;
    weir_trace off;
--- must_die
--- error_log
"weir_trace" directive is duplicate
=== weir_trace: a variable that has no value yet
--- config
    weir_trace $upstream_status;
--- must_die
--- error_log
"$upstream_status" in "weir_trace" has no value yet when the trace begins
=== weir_trace: an unknown variable
--- config
    weir_trace $no_such_variable;
--- must_die
--- error_log
unknown "no_such_variable" variable
=== weir_trace_publish: a server that nothing defines
--- http_config
    weir_trace_publish none;
--- config
    weir_trace on;
--- must_die
--- error_log
no "weir_redis" defines the server "none" that is used in
=== weir_trace_publish twice
--- http_config
    weir_trace_publish a;
    weir_trace_publish b;
--- config
--- must_die
--- error_log
"weir_trace_publish" directive is duplicate
=== weir_trace_publish in a server
--- config
    weir_trace_publish a;
--- must_die
--- error_log
"weir_trace_publish" directive is not allowed here
=== weir_trace_publish without a name
--- http_config
    weir_trace_publish;
--- config
--- must_die
--- error_log
invalid number of arguments in "weir_trace_publish" directive
=== weir_trace_context needs a value that it knows
--- config
    weir_trace_context both;
--- must_die
--- error_log
invalid value "both" in "weir_trace_context"; it must be "ignore", "extract", "inject" or
=== weir_trace_context: an unknown parameter
--- config
    weir_trace_context inject jaeger;
--- must_die
--- error_log
invalid parameter "jaeger" in "weir_trace_context"; "b3" and "b3multi" may follow once, but for
=== weir_trace_context: b3 twice
--- config
    weir_trace_context inject b3 b3;
--- must_die
--- error_log
invalid parameter "b3" in "weir_trace_context"
=== weir_trace_context: nothing to be done by B3
--- config
    weir_trace_context ignore b3;
--- must_die
--- error_log
invalid parameter "b3" in "weir_trace_context"
=== weir_trace_context twice in a block
--- config
    weir_trace_context inject;
    weir_trace_context extract;
--- must_die
--- error_log
"weir_trace_context" directive is duplicate
