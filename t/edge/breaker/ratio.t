# counting=window ratio=: so many failures open it only when they are that share of the window's
# requests, too.
use Test::Nginx::Socket 'no_plan';

no_shuffle();
repeat_each(1);

our $http = "weir_breaker_zone upstreams 1m;";

our $config = <<'_EOC_';
    location /half {
        weir_breaker zone=upstreams key=half-$arg_key failures=3 counting=window ratio=50%
            window=1h open=1h;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/upstream;
    }
    location /all {
        weir_breaker zone=upstreams key=all-$arg_key failures=3 counting=window ratio=100%
            window=1h open=1h;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/upstream;
    }
    location /third {
        weir_breaker zone=upstreams key=third-$arg_key failures=1 counting=window ratio=34%
            window=1h open=1h;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/upstream;
    }
    location /upstream {
        if ($arg_answer = 500) { return 500; }
        if ($arg_answer = 404) { return 404; }
        return 200 "fine\n";
    }
_EOC_

# A request for each of the answers that the upstream is to give.
sub requests {
    my ($path, @answers) = @_;
    return [ map { "GET $path&answer=$_" } @answers ];
}

run_tests();

__DATA__

=== TEST 1: failures below the ratio don't open it, the one that reaches it does
--- http_config eval: $::http
--- config eval: $::config
--- request eval
::requests('/half?key=a', (200) x 4, (500) x 4, (200) x 2)
--- error_code eval
[ (200) x 4, (500) x 4, (503) x 2 ]



=== TEST 2: the ratio alone opens nothing, the number of failures must be there, too
--- http_config eval: $::http
--- config eval: $::config
--- request eval
::requests('/half?key=b', 500, 500, 500, 200)
--- error_code eval
[ 500, 500, 500, 503 ]



=== TEST 3: successes after failures count as much as those before
--- http_config eval: $::http
--- config eval: $::config
--- request eval
::requests('/half?key=c', 500, 500, (200) x 4, (500) x 2, 200)
--- error_code eval
[ 500, 500, (200) x 4, (500) x 2, 503 ]



=== TEST 4: an answer that is no failure counts as a request
--- http_config eval: $::http
--- config eval: $::config
--- request eval
::requests('/half?key=d', (404) x 4, (500) x 3, 404)
--- error_code eval
[ (404) x 4, (500) x 3, 404 ]



=== TEST 5: with 100% one success keeps it closed for the rest of the window
--- http_config eval: $::http
--- config eval: $::config
--- request eval
::requests('/all?key=e', 200, (500) x 12)
--- error_code eval
[ 200, (500) x 12 ]



=== TEST 6: with 100% failures alone open it
--- http_config eval: $::http
--- config eval: $::config
--- request eval
::requests('/all?key=f', (500) x 3, 200)
--- error_code eval
[ (500) x 3, 503 ]



=== TEST 7: keys have their own ratio
--- http_config eval: $::http
--- config eval: $::config
--- request eval
[ @{ ::requests('/half?key=g', (200) x 4) }, @{ ::requests('/half?key=h', (500) x 3, 200) } ]
--- error_code eval
[ (200) x 4, (500) x 3, 503 ]



=== TEST 8: just below the ratio, and just above it
--- http_config eval: $::http
--- config eval: $::config
--- request eval
::requests('/third?key=i', 200, 200, 500, 500, 200)
--- error_code eval
[ 200, 200, 500, 500, 503 ]
