use Test::Nginx::Socket 'no_plan';

no_shuffle();

our $long = 'x' x 256;
our $longest = 'x' x 255;

run_tests();

__DATA__

=== TEST 1: weir_route without a name
--- config
weir_route "";
--- must_die
--- error_log
invalid name "" in "weir_route"; it must have 1 to 255 bytes



=== TEST 2: weir_route with a long name
--- config eval: "weir_route $::long;"
--- must_die
--- error_log
in "weir_route"; it must have 1 to 255 bytes



=== TEST 3: weir_route with a variable
--- config
weir_route "api-$host";
--- must_die
--- error_log
invalid name "api-$host" in "weir_route"; it must not have variables



=== TEST 4: weir_route twice
--- config
weir_route a;
weir_route b;
--- must_die
--- error_log
"weir_route" directive is duplicate



=== TEST 5: weir_route of two names
--- config
weir_route a b;
--- must_die
--- error_log
invalid number of arguments in "weir_route" directive



=== TEST 6: weir_route in http
--- http_config
weir_route a;
--- config
--- must_die
--- error_log
"weir_route" directive is not allowed here



=== TEST 7: weir_route with the longest name
--- config eval: "location /t { weir_route $::longest; return 204; }"
--- request
GET /t
--- error_code: 204



=== TEST 8: a zone of no size
--- http_config
weir_metrics_zone much;
--- config
--- must_die
--- error_log
invalid size "much" in "weir_metrics_zone"; it must be "off", or like 8m and at least 1m



=== TEST 9: a zone that is too small
--- http_config
weir_metrics_zone 1023k;
--- config
--- must_die
--- error_log
invalid size "1023k" in "weir_metrics_zone"



=== TEST 10: a zone twice
--- http_config
weir_metrics_zone 1m;
weir_metrics_zone off;
--- config
--- must_die
--- error_log
"weir_metrics_zone" directive is duplicate



=== TEST 11: a zone in a location
--- config
location /t { weir_metrics_zone 1m; }
--- must_die
--- error_log
"weir_metrics_zone" directive is not allowed here



=== TEST 12: weir_server_timing that is neither on nor off
--- config
weir_server_timing yes;
--- must_die
--- error_log
invalid value "yes" in "weir_server_timing" directive, it must be "on" or "off"



=== TEST 13: without a zone weir_metrics has no routes
--- http_config
weir_metrics_zone off;
--- config
location /t { weir_metrics; }
--- request
GET /t
--- response_body_unlike: http_server_request_duration
--- response_headers_like
Content-Length: \d+



=== TEST 14: without a zone weir_status has no routes
--- http_config
weir_metrics_zone off;
--- config
location /t { weir_status; }
--- request
GET /t
--- response_body_unlike: routes
--- response_headers_like
Content-Length: \d+
