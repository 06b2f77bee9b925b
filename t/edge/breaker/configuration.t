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
invalid size "4k" in "weir_breaker_zone"; it must be like 1m or 512k, and at least



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
invalid parameter "failures=0" in "weir_breaker"; failures must be a number from 1 to 1000000 in



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
invalid parameter "window=1ms" in "weir_breaker";
window must be a time of at least 10ms, such as 10s in



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
invalid parameter "ratio=0.5" in "weir_breaker";
ratio must be off or a share from 1% to 100%, such as 50% in



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
invalid parameter "on=http_418" in "weir_breaker"; on must be a list with commas of error,



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
unknown zone "elsewhere" in "weir_breaker": no "weir_breaker_zone" of that name in



=== TEST 19: weir_breaker zone=upstreams counting=rows
--- http_config eval: $::zone
--- config
weir_breaker zone=upstreams counting=rows;
--- must_die
--- error_log
invalid parameter "counting=rows" in "weir_breaker"; counting must be row or window in



=== TEST 20: weir_breaker zone=upstreams min=0
--- http_config eval: $::zone
--- config
weir_breaker zone=upstreams min=0;
--- must_die
--- error_log
invalid parameter "min=0" in "weir_breaker"; min must be a number from 1



=== TEST 21: a parameter twice
--- http_config eval: $::zone
--- config
weir_breaker zone=upstreams failures=1 failures=2;
--- must_die
--- error_log
duplicate parameter "failures=2" in "weir_breaker"



=== TEST 22: an empty key
--- http_config eval: $::zone
--- config
weir_breaker zone=upstreams key=;
--- must_die
--- error_log
invalid parameter "key=" in "weir_breaker"; key must be a string that is not empty



=== TEST 23: proxy_pass with variables has no name
--- http_config eval: $::zone
--- config
location /x { weir_breaker zone=upstreams; proxy_pass http://$host; }
--- must_die
--- error_log
"weir_breaker" must have key=string for location "/x", whose upstream has variables, in



=== TEST 24: fastcgi_pass with variables has no name
--- http_config eval: $::zone
--- config
location /x { weir_breaker zone=upstreams; fastcgi_pass $host; }
--- must_die
--- error_log
"weir_breaker" must have key=string for location "/x", whose upstream has variables, in



=== TEST 25: grpc_pass with variables has no name
--- http_config eval: $::zone
--- config
location /x { weir_breaker zone=upstreams; grpc_pass grpc://$host; }
--- must_die
--- error_log
"weir_breaker" must have key=string for location "/x", whose upstream has variables, in



=== TEST 26: uwsgi_pass with variables has no name
--- http_config eval: $::zone
--- config
location /x { weir_breaker zone=upstreams; uwsgi_pass $host; }
--- must_die
--- error_log
"weir_breaker" must have key=string for location "/x", whose upstream has variables, in



=== TEST 27: scgi_pass with variables has no name
--- http_config eval: $::zone
--- config
location /x { weir_breaker zone=upstreams; scgi_pass $host; }
--- must_die
--- error_log
"weir_breaker" must have key=string for location "/x", whose upstream has variables, in



=== TEST 28: nor has it when weir_breaker is inherited
--- http_config eval: $::zone
--- config
weir_breaker zone=upstreams;
location /x { proxy_pass http://$host; }
--- must_die
--- error_log
"weir_breaker" must have key=string for location "/x", whose upstream has variables, in



=== TEST 29: a location without an upstream needs no key
--- http_config eval: $::zone
--- config
weir_breaker zone=upstreams;
location /x { empty_gif; }
location /y { if ($arg_a) { return 404; } proxy_pass http://127.0.0.1:1; }
--- request
GET /nothing
--- error_code: 404



=== TEST 30: one upstream with two thresholds
--- http_config eval: $::zone
--- config
location /x { weir_breaker zone=upstreams failures=3; proxy_pass http://127.0.0.1:1; }
location /y { weir_breaker zone=upstreams; proxy_pass http://127.0.0.1:1; }
--- must_die
--- error_log
"weir_breaker" gives the breaker "127.0.0.1:1" of zone "upstreams" other thresholds than in



=== TEST 31: one key with two thresholds
--- http_config eval: $::zone
--- config
location /x { weir_breaker zone=upstreams key=a open=3s; proxy_pass http://127.0.0.1:1; }
location /y { weir_breaker zone=upstreams key=a; proxy_pass http://127.0.0.1:2; }
--- must_die
--- error_log
"weir_breaker" gives the breaker "a" of zone "upstreams" other thresholds than in



=== TEST 32: one key with variables and two thresholds
--- http_config eval: $::zone
--- config
location /x { weir_breaker zone=upstreams key=a$host min=3; proxy_pass http://127.0.0.1:1; }
location /y { weir_breaker zone=upstreams key=a$host; proxy_pass http://127.0.0.1:2; }
--- must_die
--- error_log
"weir_breaker" gives the breaker "a$host" of zone "upstreams" other thresholds than in



=== TEST 33: the same thresholds, and other ways to fail
--- http_config eval: $::zone
--- config
location /x { weir_breaker zone=upstreams slow=3s; proxy_pass http://127.0.0.1:1; }
location /y { weir_breaker zone=upstreams on=timeout; proxy_pass http://127.0.0.1:1; }
--- request
GET /nothing
--- error_code: 404



=== TEST 34: a key of a variable that has no value yet
--- http_config eval: $::zone
--- config
weir_breaker zone=upstreams key=$proxy_host;
--- must_die
--- error_log
variable "$proxy_host" in "key=" of "weir_breaker" has no value yet when the breaker is asked
