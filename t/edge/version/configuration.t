use Test::Nginx::Socket 'no_plan';

no_shuffle();
no_root_location();

# Each block is a weir_api that nginx must refuse, and the reason it must give.
our $media = "media_type application/vnd.shop;";

run_tests();

__DATA__

=== TEST 1: an unknown directive
--- http_config eval
"weir_api a { $::media versions 1; colour red; }"
--- config
--- must_die
--- error_log
unknown directive "colour" in "weir_api"; it takes media_type, header, versions, default, deprecated



=== TEST 2: a media type with a suffix
--- http_config
weir_api a { media_type application/vnd.shop+json; versions 1; }
--- config
--- must_die
--- error_log
invalid media_type "application/vnd.shop+json" of "weir_api"



=== TEST 3: a media type that is no application type
--- http_config
weir_api a { media_type text/plain; versions 1; }
--- config
--- must_die
--- error_log
invalid media_type "text/plain" of "weir_api"



=== TEST 4: no media type
--- http_config
weir_api a { versions 1; }
--- config
--- must_die
--- error_log
"weir_api" "a" has no "media_type"



=== TEST 5: no versions
--- http_config eval
"weir_api a { $::media }"
--- config
--- must_die
--- error_log
"weir_api" "a" has no "versions"



=== TEST 6: a default that is no version
--- http_config eval
"weir_api a { $::media versions 1 2; default 3; }"
--- config
--- must_die
--- error_log
default "3" of "weir_api" "a" is not among its versions



=== TEST 7: a version twice
--- http_config eval
"weir_api a { $::media versions 1 1; }"
--- config
--- must_die
--- error_log
duplicate version "1" in "versions" of "weir_api"



=== TEST 8: a version that cannot stand in a media type
--- http_config eval
"weir_api a { $::media versions 1/2; }"
--- config
--- must_die
--- error_log
invalid version "1/2" in "versions" of "weir_api"



=== TEST 9: a header that is no field name
--- http_config eval
"weir_api a { $::media versions 1; header 'API Version'; }"
--- config
--- must_die
--- error_log
invalid header "API Version" of "weir_api"



=== TEST 10: a date that is none
--- http_config eval
"weir_api a { $::media versions 1; deprecated 1 since=2026-02-30; }"
--- config
--- must_die
--- error_log
invalid date "since=2026-02-30" in "deprecated" of "weir_api"



=== TEST 11: an unknown parameter
--- http_config eval
"weir_api a { $::media versions 1; deprecated 1 since=2026-01-01 until=2027-01-01; }"
--- config
--- must_die
--- error_log
invalid parameter "until=2027-01-01" in "deprecated" of "weir_api"



=== TEST 12: deprecated without a date
--- http_config eval
"weir_api a { $::media versions 1; deprecated 1 sunset=2027-01-01; }"
--- config
--- must_die
--- error_log
"deprecated" of "weir_api" must have since=date



=== TEST 13: gone without a sunset
--- http_config eval
"weir_api a { $::media versions 1; deprecated 1 since=2026-01-01 sunset_action=gone; }"
--- config
--- must_die
--- error_log
"deprecated" of "weir_api" has sunset_action=gone but no sunset=date



=== TEST 14: a sunset before the deprecation
--- http_config eval
"weir_api a { $::media versions 1; deprecated 1 since=2026-01-01 sunset=2025-01-01; }"
--- config
--- must_die
--- error_log
"deprecated" of "weir_api" has a sunset before its since



=== TEST 15: deprecated names no version
--- http_config eval
"weir_api a { $::media versions 1; deprecated 2 since=2026-01-01; }"
--- config
--- must_die
--- error_log
deprecated "2" of "weir_api" "a" is not among its versions



=== TEST 16: an API twice
--- http_config eval
"weir_api a { $::media versions 1; } weir_api a { $::media versions 1; }"
--- config
--- must_die
--- error_log
duplicate "weir_api" "a"



=== TEST 17: an API that isn't there
--- http_config
--- config
weir_version shop;
--- must_die
--- error_log
unknown API "shop" in "weir_version"



=== TEST 18: an API named off
--- http_config eval
"weir_api off { $::media versions 1; }"
--- config
--- must_die
--- error_log
invalid name "off" in "weir_api"



=== TEST 19: too few arguments
--- http_config eval
"weir_api a { $::media versions; }"
--- config
--- must_die
--- error_log
invalid number of arguments in "versions" of "weir_api"



=== TEST 20: a directive twice
--- http_config eval
"weir_api a { $::media versions 1; versions 2; }"
--- config
--- must_die
--- error_log
"versions" of "weir_api" is duplicate



=== TEST 21: weir_version twice
--- http_config
--- config
weir_version off;
weir_version off;
--- must_die
--- error_log
"weir_version" directive is duplicate



=== TEST 22: a version with the v that the type has anyway
--- http_config eval
"weir_api a { $::media versions 1 v2; }"
--- config
--- must_die
--- error_log
invalid version "v2" in "versions" of "weir_api"; it must be without the "v", as "2" in



=== TEST 23: a media type that is registered for something else
--- http_config
weir_api a { media_type application/json; versions 1; }
--- config
--- must_die
--- error_log eval
'invalid media_type "application/json" of "weir_api"; '
. 'it must be application/ and a name of your own without a suffix, such as application/vnd.shop in'



=== TEST 24: a form's type
--- http_config
weir_api a { media_type application/X-WWW-Form-Urlencoded; versions 1; }
--- config
--- must_die
--- error_log
invalid media_type "application/X-WWW-Form-Urlencoded" of "weir_api"



=== TEST 25: a name of one's own without a tree
--- http_config
weir_api a { media_type application/shop; versions 1; }
--- config
    location /x { weir_version a; proxy_pass http://127.0.0.1:1; }
    location = /t { return 200 ok; }
--- request
GET /t
--- response_body chomp
ok
--- no_error_log
[emerg]



=== TEST 26: a link that clients cannot open
--- http_config eval
"weir_api a { $::media versions 1 2; deprecated 1 since=2026-01-01 link=v1-sunset.html; }"
--- config
--- must_die
--- error_log eval
'invalid link "link=v1-sunset.html" in "deprecated" of "weir_api"; '
. 'it must be like https://api.example.com/v1-sunset or /v1-sunset in'



=== TEST 27: an empty link
--- http_config eval
"weir_api a { $::media versions 1 2; deprecated 1 since=2026-01-01 link=; }"
--- config
--- must_die
--- error_log
invalid link "link=" in "deprecated"



=== TEST 28: a default version that will be gone
--- http_config eval
"weir_api a {
    $::media versions 1 2;
    default 1;
    deprecated 1 since=2026-01-01 sunset=2999-01-01 sunset_action=gone;
}"
--- config
    location = /t { return 200 ok; }
--- request
GET /t
--- error_code: 200
--- error_log eval
'the default version "1" of "weir_api" "a" has sunset_action=gone: '
. 'after its sunset requests that name no version are answered with 410'
