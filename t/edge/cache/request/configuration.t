use FindBin '$Bin';
use lib "$Bin/../../../lib";
use File::Basename 'dirname';
use Test::Nginx::Socket 'no_plan';
use Weir::Redis 'redis_parameters';

no_shuffle();

my $socket = $ENV{TEST_NGINX_REDIS_SOCK};
our $redis = "weir_redis main unix:$socket " . redis_parameters(dirname($socket)) . ';';
our $zone = $redis . 'weir_cache_zone api 1m redis=main;';

run_tests();

__DATA__

=== TEST 1: a zone that is too small
--- http_config eval: $::redis . 'weir_cache_zone api 4k redis=main;'
--- config
--- must_die
--- error_log eval
'invalid size "4k" in "weir_cache_zone"; '
. 'it must be like 64m or 512k, and at least 52k with one worker process'



=== TEST 2: a size that is none
--- http_config eval: $::redis . 'weir_cache_zone api much redis=main;'
--- config
--- must_die
--- error_log
invalid size "much" in "weir_cache_zone"



=== TEST 3: a size below zero
--- http_config eval: $::redis . 'weir_cache_zone api -1m redis=main;'
--- config
--- must_die
--- error_log
invalid size "-1m" in "weir_cache_zone"



=== TEST 4: a zone without a size
--- http_config eval: $::redis . 'weir_cache_zone api;'
--- config
--- must_die
--- error_log
invalid number of arguments in "weir_cache_zone" directive



=== TEST 5: a zone of an unknown parameter
--- http_config eval: $::redis . 'weir_cache_zone api 1m colour=red;'
--- config
--- must_die
--- error_log
invalid parameter "colour=red" in "weir_cache_zone"



=== TEST 6: a zone with redis= and no name
--- http_config eval: $::redis . 'weir_cache_zone api 1m redis=;'
--- config
--- must_die
--- error_log
invalid parameter "redis=" in "weir_cache_zone"



=== TEST 7: a zone of a server that is not defined
--- http_config
weir_cache_zone api 1m redis=absent;
--- config
--- must_die
--- error_log
no "weir_redis" defines the server "absent" that is used in
; there are: none



=== TEST 8: a zone twice
--- http_config eval: $::zone . 'weir_cache_zone api 2m redis=main;'
--- config
--- must_die
--- error_log
duplicate "weir_cache_zone" "api"



=== TEST 9: a zone of no name
--- http_config eval: $::redis . 'weir_cache_zone "" 1m redis=main;'
--- config
--- must_die
--- error_log
invalid name "" in "weir_cache_zone"



=== TEST 10: a zone by the name of off
--- http_config eval: $::redis . 'weir_cache_zone off 1m redis=main;'
--- config
--- must_die
--- error_log
invalid name "off" in "weir_cache_zone"



=== TEST 11: a zone in a server
--- http_config eval: $::redis
--- config
weir_cache_zone api 1m redis=main;
--- must_die
--- error_log
"weir_cache_zone" directive is not allowed here



=== TEST 12: a server may be named before it is defined
--- http_config
weir_cache_zone api 1m redis=later;
weir_redis later redis://127.0.0.1:1;
--- config
location /here { weir_cache api; return 200 fine; }
--- request
GET /here
--- response_body: fine
--- no_error_log
[crit]



=== TEST 13: weir_cache of an unknown zone
--- http_config eval: $::zone
--- config
weir_cache elsewhere;
--- must_die
--- error_log
unknown zone "elsewhere" in "weir_cache"



=== TEST 14: weir_cache before its zone
--- http_config
weir_cache api;
weir_cache_zone api 1m redis=main;
weir_redis main redis://127.0.0.1:1;
--- config
--- must_die
--- error_log
unknown zone "api" in "weir_cache": no "weir_cache_zone" of that name comes before it



=== TEST 15: weir_cache without an argument
--- http_config eval: $::zone
--- config
weir_cache;
--- must_die
--- error_log
invalid number of arguments in "weir_cache" directive



=== TEST 16: weir_cache twice
--- http_config eval: $::zone
--- config
weir_cache api; weir_cache off;
--- must_die
--- error_log
"weir_cache" directive is duplicate



=== TEST 17: weir_cache in an "if"
--- http_config eval: $::zone
--- config
location /here { if ($arg_x) { weir_cache api; } }
--- must_die
--- error_log
"weir_cache" directive is not allowed here



=== TEST 18: weir_cache_key with an unknown variable
--- http_config eval: $::zone
--- config
weir_cache api; weir_cache_key $no_such_thing;
--- must_die
--- error_log
unknown "no_such_thing" variable



=== TEST 19: weir_cache_key with two arguments
--- http_config eval: $::zone
--- config
weir_cache api; weir_cache_key $host $uri;
--- must_die
--- error_log
invalid number of arguments in "weir_cache_key" directive



=== TEST 20: weir_cache_key twice
--- http_config eval: $::zone
--- config
weir_cache_key $host; weir_cache_key $uri;
--- must_die
--- error_log
"weir_cache_key" directive is duplicate



=== TEST 21: weir_cache_valid without a time
--- http_config eval: $::zone
--- config
weir_cache_valid;
--- must_die
--- error_log
invalid number of arguments in "weir_cache_valid" directive



=== TEST 22: weir_cache_valid with a time that is none
--- http_config eval: $::zone
--- config
weir_cache_valid 200 soon;
--- must_die
--- error_log
invalid time "soon" in "weir_cache_valid"; it must be like 10s or 1h



=== TEST 23: weir_cache_valid with an empty time
--- http_config eval: $::zone
--- config
weir_cache_valid 200 "";
--- must_die
--- error_log
invalid time "" in "weir_cache_valid"



=== TEST 24: weir_cache_valid with a time that is too long
--- http_config eval: $::zone
--- config
weir_cache_valid 200 100y;
--- must_die
--- error_log
invalid time "100y" in "weir_cache_valid"



=== TEST 25: weir_cache_valid with a time below zero
--- http_config eval: $::zone
--- config
weir_cache_valid -1s;
--- must_die
--- error_log
invalid time "-1s" in "weir_cache_valid"



=== TEST 26: weir_cache_valid with a status that is none
--- http_config eval: $::zone
--- config
weir_cache_valid ok 1m;
--- must_die
--- error_log
invalid status "ok" in "weir_cache_valid"; it must be between 200 and 599, or "any"



=== TEST 27: weir_cache_valid with a status that is too small
--- http_config eval: $::zone
--- config
weir_cache_valid 404 199 1m;
--- must_die
--- error_log
invalid status "199" in "weir_cache_valid"



=== TEST 28: weir_cache_valid with a status that is too large
--- http_config eval: $::zone
--- config
weir_cache_valid 600 1m;
--- must_die
--- error_log
invalid status "600" in "weir_cache_valid"



=== TEST 29: weir_cache_valid any
--- http_config eval: $::zone
--- config
weir_cache_valid any;
--- must_die
--- error_log
invalid time "any" in "weir_cache_valid"



=== TEST 30: weir_cache_bypass without an argument
--- http_config eval: $::zone
--- config
weir_cache_bypass;
--- must_die
--- error_log
invalid number of arguments in "weir_cache_bypass" directive



=== TEST 31: weir_cache_bypass with an unknown variable
--- http_config eval: $::zone
--- config
weir_cache_bypass $no_such_thing;
--- must_die
--- error_log
unknown "no_such_thing" variable



=== TEST 32: weir_cache_no_store without an argument
--- http_config eval: $::zone
--- config
weir_cache_no_store;
--- must_die
--- error_log
invalid number of arguments in "weir_cache_no_store" directive



=== TEST 33: weir_cache_no_store with an unknown variable
--- http_config eval: $::zone
--- config
weir_cache_no_store $no_such_thing;
--- must_die
--- error_log
unknown "no_such_thing" variable



=== TEST 34: weir_cache_max_size with a size that is none
--- http_config eval: $::zone
--- config
weir_cache_max_size much;
--- must_die
--- error_log
"weir_cache_max_size" directive invalid value



=== TEST 35: weir_cache_max_size twice
--- http_config eval: $::zone
--- config
weir_cache_max_size 1k; weir_cache_max_size 2k;
--- must_die
--- error_log
"weir_cache_max_size" directive is duplicate



=== TEST 36: weir_cache_ignore_headers with a header that cannot be ignored
--- http_config eval: $::zone
--- config
weir_cache_ignore_headers Expires Date;
--- must_die
--- error_log
invalid value "Date"



=== TEST 37: weir_cache_ignore_headers without an argument
--- http_config eval: $::zone
--- config
weir_cache_ignore_headers;
--- must_die
--- error_log
invalid number of arguments in "weir_cache_ignore_headers" directive



=== TEST 38: everything at every level
--- http_config eval
$::zone . <<'_EOC_';
    weir_cache api;
    weir_cache_key $scheme$host$request_uri$http_x_tenant;
    weir_cache_valid 10m;
    weir_cache_valid 404 410 1m;
    weir_cache_valid any 0;
    weir_cache_bypass $arg_bypass $http_x_bypass;
    weir_cache_no_store $arg_no_store "";
    weir_cache_max_size 0;
    weir_cache_ignore_headers Cache-Control Expires Set-Cookie Vary;
_EOC_
--- config
    weir_cache off;
    weir_cache_key same;
    weir_cache_valid 1h;
    location /there { weir_cache api; weir_cache_max_size 100m; return 200 there; }
--- request
GET /there
--- response_body: there
--- no_error_log
[error]



=== TEST 39: weir_cache_heuristic 10
--- http_config eval: $::zone
--- config
    weir_cache_heuristic 10;
--- must_die
--- error_log
invalid value "10" in "weir_cache_heuristic"; it must be "off" or between 1% and 100%



=== TEST 40: weir_cache_heuristic 0%
--- http_config eval: $::zone
--- config
    weir_cache_heuristic 0%;
--- must_die
--- error_log
invalid value "0%" in "weir_cache_heuristic"; it must be "off" or between 1% and 100%



=== TEST 41: weir_cache_heuristic 101%
--- http_config eval: $::zone
--- config
    weir_cache_heuristic 101%;
--- must_die
--- error_log
invalid value "101%" in "weir_cache_heuristic"; it must be "off" or between 1% and 100%



=== TEST 42: weir_cache_heuristic x%
--- http_config eval: $::zone
--- config
    weir_cache_heuristic x%;
--- must_die
--- error_log
invalid value "x%" in "weir_cache_heuristic"; it must be "off" or between 1% and 100%



=== TEST 43: weir_cache_heuristic %
--- http_config eval: $::zone
--- config
    weir_cache_heuristic %;
--- must_die
--- error_log
invalid value "%" in "weir_cache_heuristic"; it must be "off" or between 1% and 100%



=== TEST 44: weir_cache_heuristic twice
--- http_config eval: $::zone
--- config
    weir_cache_heuristic off;
    weir_cache_heuristic 10%;
--- must_die
--- error_log
"weir_cache_heuristic" directive is duplicate



=== TEST 60: weir_cache_uncacheable with a time that is too short
--- http_config eval: $::zone
--- config
    weir_cache_uncacheable 1s;
--- must_die
--- error_log
invalid time "1s" in "weir_cache_uncacheable"; it must be at least 2s



=== TEST 61: weir_cache_uncacheable twice
--- http_config eval: $::zone
--- config
    weir_cache_uncacheable 10s;
    weir_cache_uncacheable 1m;
--- must_die
--- error_log
"weir_cache_uncacheable" directive is duplicate



=== TEST 62: weir_cache_get_body of an unknown value
--- http_config eval: $::zone
--- config
    location / { weir_cache api; weir_cache_get_body allow; proxy_pass http://127.0.0.1:1; }
--- must_die
--- error_log eval
qr/invalid value "allow" in .*nginx\.conf:\d+/



=== TEST 63: weir_cache_get_body twice
--- http_config eval: $::zone
--- config
    location / {
        weir_cache api;
        weir_cache_get_body bypass;
        weir_cache_get_body refuse;
        proxy_pass http://127.0.0.1:1;
    }
--- must_die
--- error_log
"weir_cache_get_body" directive is duplicate



=== TEST 64: a size with a unit that is none
--- http_config
weir_cache_zone api 64mb;
--- config

--- must_die
--- error_log eval
'invalid size "64mb" in "weir_cache_zone"; '
. 'it must be like 64m or 512k, and at least 52k with one worker process in'



=== TEST 65: a server by another name
--- http_config
weir_redis main redis://127.0.0.1:1;
weir_cache_zone api 1m redis=mian;
--- config

--- must_die
--- error_log
no "weir_redis" defines the server "mian" that is used in
; there are: main



=== TEST 66: use_stale of a status that it does not take
--- http_config
weir_cache_zone api 1m;
--- config
weir_cache_use_stale http_404;
--- must_die
--- error_log eval
'invalid value "http_404" in "weir_cache_use_stale"; '
. 'it takes off, error, timeout, updating, breaker, http_500, http_502, http_503, http_504, '
. 'http_5xx in'



=== TEST 67: an ignored header that it does not take
--- http_config
weir_cache_zone api 1m;
--- config
weir_cache_ignore_headers Pragma;
--- must_die
--- error_log eval
'invalid value "Pragma" in "weir_cache_ignore_headers"; '
. 'it takes Cache-Control, Expires, Set-Cookie, Vary, X-Accel-Expires in'



=== TEST 68: too many uses
--- http_config
weir_cache_zone api 1m;
--- config
weir_cache_min_uses 1000;
--- must_die
--- error_log
invalid number "1000" in "weir_cache_min_uses"; it must be from 1 to 255 in



=== TEST 69: weir_cache_request_control allow
--- http_config eval: $::zone
--- config
    weir_cache_request_control allow;
--- must_die
--- error_log eval
'invalid value "allow" in "weir_cache_request_control"; '
. 'it must be "obey", "ignore" or refresh=time in'



=== TEST 70: weir_cache_request_control refresh=soon
--- http_config eval: $::zone
--- config
    weir_cache_request_control refresh=soon;
--- must_die
--- error_log
invalid time "soon" in "weir_cache_request_control"; it must be like refresh=5s in



=== TEST 71: weir_cache_request_control refresh=0
--- http_config eval: $::zone
--- config
    weir_cache_request_control refresh=0;
--- must_die
--- error_log
invalid time "0" in "weir_cache_request_control"



=== TEST 72: weir_cache_request_control refresh=
--- http_config eval: $::zone
--- config
    weir_cache_request_control refresh=;
--- must_die
--- error_log
invalid time "" in "weir_cache_request_control"



=== TEST 73: weir_cache_request_control twice
--- http_config eval: $::zone
--- config
    weir_cache_request_control obey;
    weir_cache_request_control ignore;
--- must_die
--- error_log
"weir_cache_request_control" directive is duplicate



=== TEST 74: weir_cache_expose_tags of another value
--- http_config eval: $::zone
--- config
    weir_cache_expose_tags some;
--- must_die
--- error_log
invalid value "some" in "weir_cache_expose_tags" directive, it must be "on" or "off"
