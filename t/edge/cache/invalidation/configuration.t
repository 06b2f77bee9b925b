# Mistakes in the directives of invalidation are named.
use Test::Nginx::Socket 'no_plan';

our $zone = 'weir_cache_zone api 1m;';

no_shuffle();

run_tests();

__DATA__

=== TEST 1: a staleness that is no time
--- http_config eval: $::zone
--- config
weir_cache_staleness soon;
--- must_die
--- error_log
invalid time "soon" in "weir_cache_staleness"; it must be at least 100ms



=== TEST 2: a staleness that is too short
--- http_config eval: $::zone
--- config
weir_cache_staleness 99ms;
--- must_die
--- error_log
invalid time "99ms" in "weir_cache_staleness"; it must be at least 100ms



=== TEST 3: two of them
--- http_config eval: $::zone
--- config
weir_cache_staleness 1s;
weir_cache_staleness 2s;
--- must_die
--- error_log
"weir_cache_staleness" directive is duplicate



=== TEST 4: none
--- http_config eval: $::zone
--- config
weir_cache_staleness;
--- must_die
--- error_log
invalid number of arguments in "weir_cache_staleness" directive



=== TEST 5: tags twice
--- http_config eval: $::zone
--- config
weir_cache_tags $http_a;
weir_cache_tags $http_b;
--- must_die
--- error_log
"weir_cache_tags" directive is duplicate



=== TEST 6: tags of an unknown variable
--- http_config eval: $::zone
--- config
weir_cache_tags $no_such_variable;
--- must_die
--- error_log
unknown "no_such_variable" variable



=== TEST 7: two strings of tags
--- http_config eval: $::zone
--- config
weir_cache_tags a b;
--- must_die
--- error_log
invalid number of arguments in "weir_cache_tags" directive



=== TEST 8: weir_cache_invalidate that is neither on nor off
--- http_config eval: $::zone
--- config
weir_cache_invalidate yes;
--- must_die
--- error_log
invalid value "yes" in "weir_cache_invalidate" directive, it must be "on" or "off"



=== TEST 9: weir_cache_purge that is neither on nor off
--- http_config eval: $::zone
--- config
weir_cache_purge 1;
--- must_die
--- error_log
invalid value "1" in "weir_cache_purge" directive, it must be "on" or "off"



=== TEST 10: weir_cache_purge twice
--- http_config eval: $::zone
--- config
weir_cache_purge on;
weir_cache_purge on;
--- must_die
--- error_log
"weir_cache_purge" directive is duplicate



=== TEST 11: all of them at once
--- http_config eval
$::zone . 'weir_cache_staleness 100ms; weir_cache_tags "a $http_b";'
. 'weir_cache_invalidate off; weir_cache_purge on;'
--- config
location /here { weir_cache api; return 200 fine; }
--- request
GET /here
--- response_body: fine
--- no_error_log
[error]



=== TEST 12: a purge where nothing but nginx answers
--- http_config eval: $::zone
--- config
location /here { weir_cache api; weir_cache_purge on; }
--- request
PURGE /here
--- response_body
{"invalidated":"key","soft":false}
--- response_headers
Content-Type: application/json
--- no_error_log
[error]
