use File::Basename 'dirname';
use FindBin;
use lib "$FindBin::Bin/../../lib";
use Test::Nginx::Socket 'no_plan';
use Weir::Redis qw(redis_login redis_parameters);

no_shuffle();
repeat_each(1);

# The probe sends any command.
$ENV{WEIR_TEST_PASSWORD} = 'secret-of-tests';
$ENV{TEST_NGINX_REDIS} = redis_login('tests') . "\@127.0.0.1:$ENV{TEST_NGINX_REDIS_PORT}";

our $http =
    'weir_redis main redis://$TEST_NGINX_REDIS timeout=2s connect_timeout=2s;'
    . ' weir_redis other unix:$TEST_NGINX_REDIS_SOCK timeout=2s connect_timeout=2s '
    . redis_parameters(dirname($ENV{TEST_NGINX_REDIS_SOCK}), 'tests') . ';'
    . ' weir_redis second redis://$TEST_NGINX_REDIS/2 timeout=2s connect_timeout=2s;'
    . ' weir_redis environment redis://127.0.0.1:$TEST_NGINX_REDIS_PORT user=tests'
    . ' password_env=WEIR_TEST_PASSWORD timeout=2s connect_timeout=2s;'
    . ' weir_redis nobody redis://127.0.0.1:1;'
    . ' weir_redis stranger redis://nobody:wrong@127.0.0.1:$TEST_NGINX_REDIS_PORT'
    . ' timeout=2s connect_timeout=2s;';

our $config = <<'_EOC_';
    large_client_header_buffers 4 32k;
    location /main     { weir_redis_probe main; }
    location /other    { weir_redis_probe other; }
    location /env      { weir_redis_probe environment; }
    location /second   { weir_redis_probe second; }
    location /nobody   { weir_redis_probe nobody; }
    location /stranger { weir_redis_probe stranger; }
_EOC_

run_tests();

__DATA__

=== TEST 1: replies of every kind, in order
--- http_config eval: $::http
--- config eval: $::config
--- request eval
'GET /main?DEL+commands-a&GET+commands-a&SET+commands-a+x%20y&GET+commands-a'
. '&INCR+commands-a&STRLEN+commands-a&PING'
--- response_body_like eval
qr/\A:[01]\n_\n\+OK\n\$x y\n-ERR value is not an integer[^\n]*\n:3\n\+PONG\n\z/



=== TEST 2: nested arrays
--- http_config eval: $::http
--- config eval: $::config
--- request
GET /main?EVAL+return%20{1,{'a',{}},false,redis.error_reply('ERR%20no')}+0
--- response_body
*:1 *$a *  _ -ERR no 



=== TEST 3: a thousand commands of one request
--- http_config eval: $::http
--- config eval: $::config
--- request eval
"GET /main?" . CORE::join('&', map { "ECHO+$_" } 1 .. 1000)
--- more_headers
Connection: close
--- response_body eval
CORE::join '', map { "\$$_\n" } 1 .. 1000



=== TEST 4: a reply of a megabyte
--- http_config eval: $::http
--- config eval: $::config
--- request
GET /main?EVAL+return%20string.rep('x',1048576)+0
--- response_body eval
'$' . 'x' x 1048576 . "\n"



=== TEST 5: the reply of a cancelled command goes to no other request
--- http_config eval: $::http
--- config eval: $::config
--- request
GET /main?-ECHO+a&ECHO+b&-EVAL+return%20{1,{2,'x'}}+0&!SET+commands-c+1&ECHO+d
--- response_body
cancelled
$b
cancelled
sent
$d



=== TEST 6: over a unix socket
--- http_config eval: $::http
--- config eval: $::config
--- request
GET /other?ECHO+hello
--- response_body
$hello



=== TEST 7: another database
--- http_config eval: $::http
--- config eval: $::config
--- request eval
[
    "GET /main?SET+commands-db+0&DEL+commands-only",
    "GET /second?GET+commands-db&SET+commands-only+2",
    "GET /main?GET+commands-only",
]
--- response_body eval
[ "+OK\n:0\n", "_\n+OK\n", "_\n" ]



=== TEST 8: a server that is not there: lost once, then declined at once
--- http_config eval: $::http
--- config eval: $::config
--- request
GET /nobody?PING&PING
--- response_body
lost
lost
--- error_log
weir_redis "nobody" at 127.0.0.1:1 is down



=== TEST 9: wrong credentials are a server that is down, with its reason
--- http_config eval: $::http
--- config eval: $::config
--- request
GET /stranger?PING
--- response_body
lost
--- error_log
refused the handshake: WRONGPASS



=== TEST 10: the password is in the environment
--- http_config eval: $::http
--- config eval: $::config
--- request
GET /env?ACL+WHOAMI
--- response_body
$tests
