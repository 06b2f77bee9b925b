use Test::Nginx::Socket 'no_plan';

no_shuffle();

our $api = <<'_EOC_';
    weir_api shop {
        media_type application/vnd.shop;
        header     API-Version;
        versions   1 2 3;
        default    2;
        deprecated 1 since=2026-01-01 sunset=2999-01-01 link=https://api.example.com/v1;
    }
_EOC_

our $server = <<'_EOC_';
    weir_version shop;
    location /json {
        proxy_set_header X-Version $weir_version;
        proxy_set_header X-Type    $weir_media_type;
        proxy_set_header X-Status  $weir_version_status;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/echo;
    }
    location /echo {
        weir_version off;
        default_type application/json;
        return 200 "$http_x_version $http_x_type $http_x_status\n";
    }
    location /problem {
        default_type application/problem+json;
        return 200 "{}\n";
    }
    location /varies {
        default_type application/json;
        add_header Vary "Origin";
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/upstream;
    }
    location /upstream {
        weir_version off;
        default_type application/json;
        add_header Vary "Origin, accept";
        return 200 "{}\n";
    }
    location /pages {
        error_page 406 = @page;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/upstream;
    }
    location @page {
        return 200 "the operator's page\n";
    }
    location /off {
        weir_version off;
        default_type application/json;
        return 200 "[$weir_version]\n";
    }
    location /early {
        set $seen $weir_version;
        default_type application/json;
        return 200 "$seen\n";
    }
_EOC_

run_tests();

__DATA__

=== TEST 1: without Accept the default version answers
--- http_config eval: $::api
--- config eval: $::server
--- request
GET /json
--- response_body
2 application/vnd.shop.v2+json current
--- response_headers
Content-Type: application/vnd.shop.v2+json
Vary: Accept, API-Version
! Deprecation



=== TEST 2: a deprecated version says so
--- http_config eval: $::api
--- config eval: $::server
--- request
GET /json
--- more_headers
Accept: application/vnd.shop.v1+json
--- response_body
1 application/vnd.shop.v1+json deprecated
--- response_headers
Deprecation: @1767225600
Sunset: Tue, 01 Jan 2999 00:00:00 GMT
Link: <https://api.example.com/v1>; rel="deprecation", <https://api.example.com/v1>; rel="sunset"



=== TEST 3: application/json is answered as application/json
--- http_config eval: $::api
--- config eval: $::server
--- request
GET /json
--- more_headers
Accept: application/json
API-Version: 3
--- response_body
3 application/json current
--- response_headers
Content-Type: application/json



=== TEST 4: several Accept lines are one list
--- http_config eval: $::api
--- config eval: $::server
--- request
GET /json
--- more_headers
Accept: text/html
Accept: application/vnd.shop.v3+json
--- response_body
3 application/vnd.shop.v3+json current



=== TEST 5: what is not offered is refused with the list of what is
--- http_config eval: $::api
--- config eval: $::server
--- request
GET /json
--- more_headers
Accept: application/vnd.shop.v9+json
--- error_code: 406
--- response_headers
Content-Type: application/problem+json
Vary: Accept, API-Version
--- response_body_like eval
'"status":406,.*"offered":\["application/vnd.shop.v1\+json",'
. '"application/vnd.shop.v2\+json","application/vnd.shop.v3\+json"\]'



=== TEST 6: an unknown version in the header is refused
--- http_config eval: $::api
--- config eval: $::server
--- request
GET /json
--- more_headers
API-Version: 9
--- error_code: 406
--- response_body_like: The API-Version header names a version that is not offered



=== TEST 7: two headers that disagree are a conflict
--- http_config eval: $::api
--- config eval: $::server
--- request
GET /json
--- more_headers
Accept: application/vnd.shop.v1+json
API-Version: 2
--- error_code: 400
--- response_body_like: "title":"Conflicting versions"



=== TEST 8: a malformed Accept is refused
--- http_config eval: $::api
--- config eval: $::server
--- request
GET /json
--- more_headers eval
"Accept: \xff\xfe garbage"
--- error_code: 400
--- response_body_like: "title":"Malformed Accept"



=== TEST 9: an Accept of almost 8 KiB is read
--- http_config eval: $::api
--- config eval: $::server
--- request
GET /json
--- more_headers eval
"Accept: application/vnd.shop.v3+json;x=" . ("a" x 8000)
--- response_body
3 application/vnd.shop.v3+json current



=== TEST 10: a body of an unknown version is refused
--- http_config eval: $::api
--- config eval: $::server
--- request
POST /json
{}
--- more_headers
Content-Type: application/vnd.shop.v9+json
--- error_code: 415
--- response_body_like: "status":415



=== TEST 11: a body's version is the request's
--- http_config eval: $::api
--- config eval: $::server
--- request
POST /json
{}
--- more_headers
Content-Type: application/vnd.shop.v3+json
--- response_body
3 application/vnd.shop.v3+json current



=== TEST 12: other types keep their name
--- http_config eval: $::api
--- config eval: $::server
--- request
GET /problem
--- response_headers
Content-Type: application/problem+json



=== TEST 13: Vary of the upstream is completed, not doubled
--- http_config eval: $::api
--- config eval: $::server
--- request
GET /varies
--- response_headers
Content-Type: application/vnd.shop.v2+json
--- raw_response_headers_like eval
qr/Vary: Origin, accept, API-Version\r\n/



=== TEST 14: the operator's error page wins
--- http_config eval: $::api
--- config eval: $::server
--- request
GET /pages
--- more_headers
Accept: text/html
--- response_body
the operator's page



=== TEST 15: off is off
--- http_config eval: $::api
--- config eval: $::server
--- request
GET /off
--- more_headers
Accept: application/vnd.shop.v9+json
--- response_body
[]
--- response_headers
Content-Type: application/json
! Vary



=== TEST 16: the version is known in the rewrite phase
--- http_config eval: $::api
--- config eval: $::server
--- request
GET /early
--- more_headers
API-Version: v3
--- response_body
3



=== TEST 17: a refused HEAD has the headers only
--- http_config eval: $::api
--- config eval: $::server
--- request
HEAD /varies
--- more_headers
Accept: text/html
--- error_code: 406
--- response_body



=== TEST 18: after the sunset a version can be gone
--- http_config
    weir_api shop {
        media_type application/vnd.shop;
        versions   1 2;
        deprecated 1 since=2020-01-01 sunset=2021-01-01 sunset_action=gone;
    }
--- config
    location /api {
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/upstream;
        weir_version shop;
    }
    location /upstream {
        return 200 "served\n";
    }
--- request
GET /api
--- more_headers
Accept: application/vnd.shop.v1+json
--- error_code: 410
--- response_body_like: Version 1 was retired on Fri, 01 Jan 2021 00:00:00 GMT



=== TEST 19: a version that is gone is not offered
--- http_config
    weir_api shop {
        media_type application/vnd.shop;
        versions   1 2;
        deprecated 1 since=2020-01-01 sunset=2021-01-01 sunset_action=gone;
    }
--- config
    location /api {
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/upstream;
        weir_version shop;
    }
    location /upstream {
        return 200 "served\n";
    }
--- request
GET /api
--- more_headers
Accept: application/vnd.shop.v9+json
--- error_code: 406
--- response_body_like: "offered":\["application/vnd.shop.v2\+json"\]



=== TEST 20: what is sent is labelled with what the client accepts
--- http_config eval: $::api
--- config eval: $::server
--- request eval
[ map { "GET /json" } 1 .. 4 ]
--- more_headers eval
[
    map { "Accept: $_" }
    'text/html, image/gif, *; q=.2, */*; q=.2',
    'application/vnd.shop.v2+json;q=0, */*',
    'application/vnd.shop+json',
    'application/vnd.shop.v2+json;q=0, application/vnd.shop+json;q=0, application/json',
]
--- response_headers eval
[
    map { "Content-Type: application/$_" }
    'vnd.shop.v2+json', 'vnd.shop+json', 'vnd.shop+json', 'json',
]



=== TEST 21: weir_status is in no version
--- http_config eval: $::api
--- config
    weir_version shop;
    location = /status { weir_status; }
--- request
GET /status
--- more_headers
Accept: application/vnd.shop.v1+json
API-Version: 9
--- response_headers
Content-Type: application/json
! Vary
! Deprecation



=== TEST 22: nor is a file
--- http_config eval: $::api
--- config
    weir_version shop;
    location /files/ { default_type application/json; }
--- user_files
>>> files/a.unknown
{}
--- request
GET /files/a.unknown
--- more_headers
Accept: text/html
--- response_headers
Content-Type: application/json
! Vary



=== TEST 23: a location that an error_page leads to refuses, too
--- http_config eval: $::api
--- config
    location /switch { error_page 418 = @api; return 418; }
    location @api {
        weir_version shop;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT;
    }
--- request
GET /switch
--- more_headers
API-Version: 9
--- error_code: 406



=== TEST 24: but not the page for its own refusal
--- http_config eval: $::api
--- config
    weir_version shop;
    error_page 406 = @page;
    location /api { proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/upstream; }
    location @page { rewrite ^ /page break; proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT; }
    location /upstream { weir_version off; return 200 "served\n"; }
    location /page { weir_version off; return 200 "the page\n"; }
--- request
GET /api
--- more_headers
API-Version: 9
--- response_body
the page



=== TEST 25: nor with recursive_error_pages
--- http_config eval: $::api
--- config
    weir_version shop;
    recursive_error_pages on;
    error_page 406 = @page;
    location /api { proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/upstream; }
    location @page { rewrite ^ /page break; proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT; }
    location /upstream { weir_version off; return 200 "served\n"; }
    location /page { weir_version off; return 200 "the page\n"; }
--- request
GET /api
--- more_headers
API-Version: 9
--- response_body
the page
