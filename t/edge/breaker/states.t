use Test::Nginx::Socket 'no_plan';

no_shuffle();
repeat_each(1);

our $http = "weir_breaker_zone upstreams 1m;";

our $config = <<'_EOC_';
    location /api {
        weir_breaker zone=upstreams key=$arg_key open=1h;
        add_header X-State $weir_breaker_state always;
        proxy_read_timeout 100ms;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/upstream;
    }
    location /upstream {
        access_log logs/upstream.log;
        if ($arg_answer = 500) { return 500; }
        if ($arg_answer = 502) { return 502; }
        if ($arg_answer = 404) { return 404; }
        return 200 "fine\n";
    }
    location /refused {
        weir_breaker zone=upstreams open=1h;
        proxy_pass http://127.0.0.1:1;
    }
    location /on {
        weir_breaker zone=upstreams key=on-$arg_key open=1h failures=1 on=http_502;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/upstream;
    }
    location /page {
        weir_breaker zone=upstreams key=page open=1h failures=2;
        proxy_intercept_errors on;
        error_page 500 = @other;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/upstream;
    }
    location @other {
        rewrite ^ /fallback break;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT;
    }
    location /fallback {
        return 200 "fallback\n";
    }
    location /local {
        weir_breaker zone=upstreams key=local open=1h failures=1;
        return 500;
    }
_EOC_

run_tests();

__DATA__

=== TEST 1: five failures, then refused at once
--- http_config eval: $::http
--- config eval: $::config
--- request eval
[ map { "GET /api?key=a&answer=500" } 1 .. 7 ]
--- error_code eval
[ 500, 500, 500, 500, 500, 503, 503 ]
--- response_body_like eval
[ map({ ".*" } 1 .. 5), map { '"detail":"The service has failed repeatedly' } 1 .. 2 ]



=== TEST 2: a refusal says when to come back
--- http_config eval: $::http
--- config eval: $::config
--- request eval
[ map { "GET /api?key=b&answer=500" } 1 .. 6 ]
--- error_code eval
[ 500, 500, 500, 500, 500, 503 ]
--- raw_response_headers_like eval
[
    ("X-State: closed") x 4,
    "X-State: open",
    'Content-Type: application/problem\+json\r\n(.*\r\n)*Retry-After: 3600',
]



=== TEST 3: successes and client errors don't count
--- http_config eval: $::http
--- config eval: $::config
--- request eval
[ map { ("GET /api?key=c", "GET /api?key=c&answer=404") } 1 .. 4 ]
--- error_code eval
[ (200, 404) x 4 ]



=== TEST 4: keys are apart
--- http_config eval: $::http
--- config eval: $::config
--- request eval
[ map({ "GET /api?key=d&answer=500" } 1 .. 5), "GET /api?key=e" ]
--- error_code eval
[ (500) x 5, 200 ]



=== TEST 5: a refused connection counts, and names the upstream by default
--- http_config eval: $::http
--- config eval: $::config
--- request eval
[ map { "GET /refused" } 1 .. 6 ]
--- error_code eval
[ (502) x 5, 503 ]


=== TEST 10: a change of state is logged, with the upstream's name
--- http_config eval: $::http
--- config
    location /logged {
        weir_breaker zone=upstreams open=1h failures=1;
        proxy_pass http://127.0.0.1:2;
    }
--- request
GET /logged
--- error_code: 502
--- error_log
weir_breaker "127.0.0.1:2" of zone "upstreams" is open, was closed



=== TEST 6: only what on= lists counts
--- http_config eval: $::http
--- config eval: $::config
--- request eval
[ "GET /on?key=f&answer=500", "GET /on?key=f&answer=502", "GET /on?key=f" ]
--- error_code eval
[ 500, 502, 503 ]



=== TEST 7: a failure behind an error page counts
--- http_config eval: $::http
--- config eval: $::config
--- request eval
[ "GET /page?answer=500", "GET /page?answer=500", "GET /page?answer=500" ]
--- error_code eval
[ 200, 200, 503 ]



=== TEST 8: what no upstream answered doesn't count
--- http_config eval: $::http
--- config eval: $::config
--- request eval
[ "GET /local", "GET /local" ]
--- error_code eval
[ 500, 500 ]



=== TEST 9: a timeout counts
--- http_config eval: $::http
--- config
    location /api {
        weir_breaker zone=upstreams failures=2 open=1h;
        proxy_read_timeout 50ms;
        proxy_pass http://127.0.0.1:19481;
    }
--- tcp_listen: 19481
--- tcp_no_close
--- tcp_reply_delay: 2s
--- tcp_reply: too late
--- request eval
[ "GET /api", "GET /api", "GET /api" ]
--- error_code eval
[ 504, 504, 503 ]
