use Test::Nginx::Socket 'no_plan';

no_shuffle();

run_tests();

__DATA__

=== TEST 1: weir_cost without a currency
--- http_config
weir_cost cpu=0.04;
--- config
--- must_die
--- error_log
"weir_cost" must have the parameter "currency", like currency=EUR



=== TEST 2: without a price
--- http_config
weir_cost currency=EUR;
--- config
--- must_die
--- error_log
"weir_cost" must have a price, like cpu=0.04



=== TEST 3: without anything
--- http_config
weir_cost;
--- config
--- must_die
--- error_log
invalid number of arguments in "weir_cost" directive



=== TEST 4: a wrong currency
--- http_config
weir_cost currency=eur cpu=0.04;
--- config
--- must_die
--- error_log
invalid currency "eur" in "weir_cost"; it must be three capital letters, like EUR



=== TEST 5: an empty currency
--- http_config
weir_cost currency= cpu=0.04;
--- config
--- must_die
--- error_log
invalid currency "" in "weir_cost"



=== TEST 6: a negative price
--- http_config
weir_cost currency=EUR cpu=-1;
--- config
--- must_die
--- error_log
invalid price "-1" of "cpu" in "weir_cost"; it must be like 0.04, and at most 1000000000



=== TEST 7: a price with an exponent
--- http_config
weir_cost currency=EUR egress=1e3;
--- config
--- must_die
--- error_log
invalid price "1e3" of "egress" in "weir_cost"



=== TEST 8: an empty price
--- http_config
weir_cost currency=EUR egress=;
--- config
--- must_die
--- error_log
invalid price "" of "egress" in "weir_cost"



=== TEST 9: a price without a value
--- http_config
weir_cost currency=EUR egress;
--- config
--- must_die
--- error_log
invalid price "" of "egress" in "weir_cost"



=== TEST 10: a price beyond the limit
--- http_config
weir_cost currency=EUR redis=1000000001;
--- config
--- must_die
--- error_log
invalid price "1000000001" of "redis" in "weir_cost"



=== TEST 11: an unknown resource
--- http_config
weir_cost currency=EUR memory=1;
--- config
--- must_die
--- error_log
invalid parameter "memory" in "weir_cost"; it must be currency, cpu, egress, redis,



=== TEST 12: a resource twice
--- http_config
weir_cost currency=EUR cpu=1 cpu=2;
--- config
--- must_die
--- error_log
duplicate parameter "cpu" in "weir_cost"



=== TEST 13: the currency twice
--- http_config
weir_cost currency=EUR cpu=1 currency=USD;
--- config
--- must_die
--- error_log
duplicate parameter "currency" in "weir_cost"



=== TEST 14: the directive twice
--- http_config
weir_cost currency=EUR cpu=1;
weir_cost currency=EUR cpu=1;
--- config
--- must_die
--- error_log
"weir_cost" directive is duplicate



=== TEST 15: in a server
--- config
weir_cost currency=EUR cpu=1;
--- must_die
--- error_log
"weir_cost" directive is not allowed here



=== TEST 16: without weir_metrics and weir_status
--- http_config
weir_cost currency=EUR cpu=1;
--- config
location /t { return 200 "fine\n"; }
--- request
GET /t
--- response_body
fine
--- no_error_log
[error]



=== TEST 17: the greatest prices
--- http_config
weir_cost currency=EUR cpu=1000000000 egress=1000000000 redis=1000000000
          redis_traffic=1000000000 upstream=1000000000 upstream_time=1000000000;
--- config
location /t { weir_metrics; }
--- request eval
["GET /t", "GET /t"]
--- response_body_like eval
["^", "weir_cost_per_thousand_requests.http_route=./t.,currency=.EUR.. [0-9.e+]+\n"]
--- no_error_log
[error]



=== TEST 18: without counting
--- http_config
weir_metrics_zone off;
weir_cost currency=EUR cpu=1;
--- config
location /t { weir_metrics; }
--- request
GET /t
--- response_body_unlike
weir_cost
--- no_error_log
[error]
