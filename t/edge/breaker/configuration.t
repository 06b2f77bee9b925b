use Test::Nginx::Socket 'no_plan';

no_shuffle();

our $zone = "weir_breaker_zone upstreams 1m;";

run_tests();

__DATA__

=== TEST 1: a zone that is too small
--- http_config
weir_breaker_zone small 4k;
--- config
--- must_die
--- error_log
invalid size "4k" in "weir_breaker_zone"; it must be at least



=== TEST 2: a size that is none
--- http_config
weir_breaker_zone small much;
--- config
--- must_die
--- error_log
invalid size "much" in "weir_breaker_zone"



=== TEST 3: a zone twice
--- http_config eval: $::zone . $::zone
--- config
--- must_die
--- error_log
duplicate "weir_breaker_zone" "upstreams"



=== TEST 4: weir_breaker zone=upstreams failures=0
--- http_config eval: $::zone
--- config
weir_breaker zone=upstreams failures=0;
--- must_die
--- error_log
invalid parameter "failures=0" in "weir_breaker"



=== TEST 5: weir_breaker zone=upstreams failures=x
--- http_config eval: $::zone
--- config
weir_breaker zone=upstreams failures=x;
--- must_die
--- error_log
invalid parameter "failures=x" in "weir_breaker"



=== TEST 6: weir_breaker zone=upstreams window=1ms
--- http_config eval: $::zone
--- config
weir_breaker zone=upstreams window=1ms;
--- must_die
--- error_log
invalid parameter "window=1ms" in "weir_breaker"



=== TEST 7: weir_breaker zone=upstreams open=soon
--- http_config eval: $::zone
--- config
weir_breaker zone=upstreams open=soon;
--- must_die
--- error_log
invalid parameter "open=soon" in "weir_breaker"



=== TEST 8: weir_breaker zone=upstreams probes=0
--- http_config eval: $::zone
--- config
weir_breaker zone=upstreams probes=0;
--- must_die
--- error_log
invalid parameter "probes=0" in "weir_breaker"



=== TEST 9: weir_breaker zone=upstreams ratio=0.5
--- http_config eval: $::zone
--- config
weir_breaker zone=upstreams ratio=0.5;
--- must_die
--- error_log
invalid parameter "ratio=0.5" in "weir_breaker"



=== TEST 10: weir_breaker zone=upstreams ratio=101%
--- http_config eval: $::zone
--- config
weir_breaker zone=upstreams ratio=101%;
--- must_die
--- error_log
invalid parameter "ratio=101%" in "weir_breaker"



=== TEST 11: weir_breaker zone=upstreams slow=
--- http_config eval: $::zone
--- config
weir_breaker zone=upstreams slow=;
--- must_die
--- error_log
invalid parameter "slow=" in "weir_breaker"



=== TEST 12: weir_breaker zone=upstreams on=http_418
--- http_config eval: $::zone
--- config
weir_breaker zone=upstreams on=http_418;
--- must_die
--- error_log
invalid parameter "on=http_418" in "weir_breaker"



=== TEST 13: weir_breaker zone=upstreams on=error,
--- http_config eval: $::zone
--- config
weir_breaker zone=upstreams on=error,;
--- must_die
--- error_log
invalid parameter "on=error," in "weir_breaker"



=== TEST 14: weir_breaker zone=upstreams colour=red
--- http_config eval: $::zone
--- config
weir_breaker zone=upstreams colour=red;
--- must_die
--- error_log
invalid parameter "colour=red" in "weir_breaker"



=== TEST 15: weir_breaker zone=upstreams nonsense
--- http_config eval: $::zone
--- config
weir_breaker zone=upstreams nonsense;
--- must_die
--- error_log
invalid parameter "nonsense" in "weir_breaker"



=== TEST 16: weir_breaker failures=5
--- http_config eval: $::zone
--- config
weir_breaker failures=5;
--- must_die
--- error_log
"weir_breaker" directive must have zone=name



=== TEST 17: weir_breaker off
--- http_config eval: $::zone
--- config
weir_breaker off; weir_breaker off;
--- must_die
--- error_log
"weir_breaker" directive is duplicate



=== TEST 18: weir_breaker zone=elsewhere
--- http_config eval: $::zone
--- config
weir_breaker zone=elsewhere;
--- must_die
--- error_log
zero size shared memory zone "elsewhere"
