use Test::Nginx::Socket 'no_plan';

no_shuffle();
run_tests();

__DATA__

=== TEST 1: weir_dashboard twice
--- config
location = /d { weir_dashboard; weir_dashboard; }
--- must_die
--- error_log
"weir_dashboard" directive is duplicate



=== TEST 2: a parameter that there is not
--- config
location = /d { weir_dashboard fontend=/metrics; }
--- must_die
--- error_log
invalid parameter "fontend=/metrics" in "weir_dashboard"; it takes backend=uri and traces=uri



=== TEST 3: the same parameter twice
--- config
location = /d { weir_dashboard traces=/a traces=/b; }
--- must_die
--- error_log
duplicate parameter "traces=/b" in "weir_dashboard"



=== TEST 4: an address instead of a URI of this server
--- config
location = /d { weir_dashboard backend=http://x/metrics; }
--- must_die
--- error_log
invalid parameter "backend=http://x/metrics" in "weir_dashboard"; it must be a URI of this server



=== TEST 5: another host
--- config
location = /d { weir_dashboard traces=//elsewhere/traces; }
--- must_die
--- error_log
invalid parameter "traces=//elsewhere/traces" in "weir_dashboard"; it must be a URI of this server



=== TEST 6: a variable
--- config
location = /d { weir_dashboard traces=/$arg_t; }
--- must_die
--- error_log
invalid parameter "traces=/$arg_t" in "weir_dashboard"; it must be a URI of this server



=== TEST 7: no value
--- config
location = /d { weir_dashboard backend=; }
--- must_die
--- error_log
invalid parameter "backend=" in "weir_dashboard"; it must be a URI of this server



=== TEST 8: three parameters
--- config
location = /d { weir_dashboard backend=/a traces=/b traces=/c; }
--- must_die
--- error_log
invalid number of arguments in "weir_dashboard" directive



=== TEST 9: outside of a location
--- config
weir_dashboard;
--- must_die
--- error_log
"weir_dashboard" directive is not allowed here
