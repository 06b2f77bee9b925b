# slow=: an upstream whose header comes too late counts as failed, whatever it answers. The upstream
# is slow because it takes one request in two seconds (limit_req) and lets the others wait.
use Test::Nginx::Socket 'no_plan';

no_shuffle();
repeat_each(1);
timeout(10);

our $http = <<'_EOC_';
    weir_breaker_zone upstreams 1m;
    limit_req_zone $arg_queue zone=queues:1m rate=30r/m;
_EOC_

our $config = <<'_EOC_';
    location /api {
        weir_breaker zone=upstreams key=$arg_key failures=2 window=1h open=1h slow=1s;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/upstream;
    }
    location /patient {
        weir_breaker zone=upstreams key=patient-$arg_key failures=1 window=1h open=1h slow=1h;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/upstream;
    }
    location /share {
        weir_breaker zone=upstreams key=share-$arg_key failures=1 counting=window ratio=50%
            window=1h open=1h slow=1s;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/upstream;
    }
    location /trickle {
        weir_breaker zone=upstreams key=trickle-$arg_key failures=1 window=1h open=1h slow=1500ms;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/body;
    }
    location /upstream {
        limit_req zone=queues burst=100;
        try_files /nothing @answer; # a return of its own would not wait
    }
    location @answer {
        if ($arg_answer = 404) { return 404; }
        return 200 "fine\n";
    }
    location /body {
        limit_rate_after 300; # the header and the beginning of the body
        limit_rate 100;
        try_files /slow-body =404;
    }
_EOC_

our $body = '>>> slow-body' . "\n" . ('x' x 400);

run_tests();

__DATA__

=== TEST 1: headers that come too late open it
--- http_config eval: $::http
--- config eval: $::config
--- request eval
[ map { "GET /api?key=a&queue=a" } 1 .. 4 ]
--- error_code eval
[ 200, 200, 200, 503 ]



=== TEST 2: an upstream that is quick enough does not
--- http_config eval: $::http
--- config eval: $::config
--- request eval
[ map { "GET /api?key=b" } 1 .. 10 ]
--- error_code eval
[ (200) x 10 ]



=== TEST 3: nor one that may take its time
--- http_config eval: $::http
--- config eval: $::config
--- request eval
[ map { "GET /patient?key=c&queue=c" } 1 .. 3 ]
--- error_code eval
[ (200) x 3 ]



=== TEST 4: an answer about the client's error is slow, too
--- http_config eval: $::http
--- config eval: $::config
--- request eval
[ map { "GET /api?key=d&queue=d&answer=404" } 1 .. 4 ]
--- error_code eval
[ 404, 404, 404, 503 ]



=== TEST 5: slow answers are failures for the ratio
--- http_config eval: $::http
--- config eval: $::config
--- request eval
[
    map({ "GET /share?key=e" } 1 .. 2),
    map({ "GET /share?key=e&queue=e" } 1 .. 4),
    "GET /share?key=e",
]
--- error_code eval
[ (200) x 6, 503 ]



=== TEST 6: a body that comes slowly after its header does not count
--- http_config eval: $::http
--- config eval: $::config
--- user_files eval: $::body
--- request eval
[ map { "GET /trickle?key=f" } 1 .. 2 ]
--- error_code eval
[ 200, 200 ]
