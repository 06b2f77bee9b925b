use Test::Nginx::Socket 'no_plan';

no_shuffle();

our $zone = "weir_limit_zone slots 1m;";

run_tests();

__DATA__

=== TEST 1: a zone that is too small
--- http_config
weir_limit_zone small 64k;
--- config
--- must_die
--- error_log
invalid size "64k" in "weir_limit_zone"; it must be like 1m or 512k, and at least



=== TEST 2: a zone twice
--- http_config eval: $::zone . $::zone
--- config
--- must_die
--- error_log
duplicate "weir_limit_zone" "slots"



=== TEST 3: no such zone
--- http_config
--- config
location /x {
    weir_limit zone=missing concurrent=2;
    proxy_pass http://127.0.0.1:1;
}
--- must_die
--- error_log
unknown zone "missing" in "weir_limit": no "weir_limit_zone" of that name in



=== TEST 4: no number
--- http_config eval: $::zone
--- config
weir_limit zone=slots;
--- must_die
--- error_log
"weir_limit" directive must have zone=name and concurrent=number or auto, or be "off" in



=== TEST 5: concurrent=0
--- http_config eval: $::zone
--- config
weir_limit zone=slots concurrent=0;
--- must_die
--- error_log
invalid parameter "concurrent=0" in "weir_limit"; concurrent must be auto or a number



=== TEST 6: queue=1001
--- http_config eval: $::zone
--- config
weir_limit zone=slots concurrent=1 queue=1001;
--- must_die
--- error_log
invalid parameter "queue=1001" in "weir_limit"; queue must be a number from 0 to 1000



=== TEST 7: wait=0
--- http_config eval: $::zone
--- config
weir_limit zone=slots concurrent=1 wait=0;
--- must_die
--- error_log
invalid parameter "wait=0" in "weir_limit"; wait must be a time from 1ms to 1m



=== TEST 8: reserve without a number
--- http_config eval: $::zone
--- config
weir_limit zone=slots concurrent=10 reserve=checkout;
--- must_die
--- error_log
invalid parameter "reserve=checkout" in "weir_limit"; reserve must be the name of a route



=== TEST 9: the same route twice
--- http_config eval: $::zone
--- config
weir_limit zone=slots concurrent=10 reserve=checkout:1 reserve=checkout:2;
--- must_die
--- error_log
invalid parameter "reserve=checkout:2" in "weir_limit"



=== TEST 10: all slots reserved
--- http_config eval: $::zone
--- config
weir_limit zone=slots concurrent=10 reserve=a:5 reserve=b:5;
--- must_die
--- error_log
"weir_limit" reserves 10 slots of 10; at least one must be left for other requests



=== TEST 11: a route that no location has
--- http_config eval: $::zone
--- config
weir_limit zone=slots concurrent=10 reserve=chekout:5;
location /checkout {
    weir_route checkout;
    proxy_pass http://127.0.0.1:1;
}
--- must_die
--- error_log
"weir_limit" reserves slots for "chekout", but no location with a "weir_limit" of zone "slots"



=== TEST 12: another number for the same key
--- http_config eval: $::zone
--- config
location /a {
    weir_limit zone=slots concurrent=10;
    proxy_pass http://127.0.0.1:1;
}
location /b {
    weir_limit zone=slots concurrent=11;
    proxy_pass http://127.0.0.1:1;
}
--- must_die
--- error_log
"weir_limit" gives the key "127.0.0.1:1" of zone "slots" other numbers than in



=== TEST 13: an upstream with variables needs a key
--- http_config eval: $::zone
--- config
location / {
    weir_limit zone=slots concurrent=10;
    proxy_pass http://127.0.0.1:$arg_port;
}
--- must_die
--- error_log
"weir_limit" must have key=string for location "/", whose upstream has variables



=== TEST 14: a variable without a value
--- http_config eval: $::zone
--- config
weir_limit zone=slots concurrent=10 key=$upstream_addr;
--- must_die
--- error_log
invalid parameter "key=$upstream_addr" in "weir_limit": "$upstream_addr" has no value before the



=== TEST 15: ... nor as a priority
--- http_config eval: $::zone
--- config
weir_priority $upstream_addr;
--- must_die
--- error_log
invalid value "$upstream_addr" in "weir_priority": "$upstream_addr" has no value before the



=== TEST 16: an unknown parameter
--- http_config eval: $::zone
--- config
weir_limit zone=slots concurrent=10 burst=3;
--- must_die
--- error_log
invalid parameter "burst=3" in "weir_limit"; it takes zone=name, concurrent=number|auto, min=number



=== TEST 17: a zone without room for the numbers
--- http_config
weir_limit_zone slots 128k;
--- config
location /x {
    weir_limit zone=slots concurrent=5000;
    proxy_pass http://127.0.0.1:1;
}
--- must_die
--- error_log
requests, but 5000 slots and queue=50 of "weir_limit" need more: make it larger



=== TEST 18: twice
--- http_config eval: $::zone
--- config
weir_limit zone=slots concurrent=10;
weir_limit zone=slots concurrent=10;
--- must_die
--- error_log
"weir_limit" directive is duplicate



=== TEST 19: without a *_pass it has no effect, and says so
--- http_config eval: $::zone
--- config
location /files {
    weir_limit zone=slots concurrent=10;
}
--- request
GET /files
--- error_code: 404
--- error_log
"weir_limit" has no effect in location "/files", which has no *_pass



=== TEST 20: off where an enclosing block has one
--- http_config eval: $::zone
--- config
weir_limit zone=slots concurrent=1 queue=0;
location /off {
    weir_limit off;
    add_header X-Limit "<$weir_limit_status>";
    proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/upstream;
}
location /upstream { return 200 "fine\n"; }
--- request
GET /off
--- response_headers
X-Limit: <>
--- no_error_log
[error]



=== TEST 21: bounds of a fixed number
--- http_config eval: $::zone
--- config
weir_limit zone=slots concurrent=10 max=20;
--- must_die
--- error_log
min= and max= of "weir_limit" are for concurrent=auto



=== TEST 22: bounds that exclude each other
--- http_config eval: $::zone
--- config
weir_limit zone=slots concurrent=auto min=20 max=10;
--- must_die
--- error_log
min=20 of "weir_limit" is more than max=10



=== TEST 23: a zone without room for the bounds
--- http_config
weir_limit_zone slots 128k;
--- config
location /x {
    weir_limit zone=slots concurrent=auto max=5000;
    proxy_pass http://127.0.0.1:1;
}
--- must_die
--- error_log
requests, but 5000 slots and queue=50 of "weir_limit" need more
