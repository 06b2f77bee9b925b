use Test::Nginx::Socket 'no_plan';

no_shuffle();

run_tests();

__DATA__

=== TEST 1: redis://
--- http_config
weir_redis main redis://;
--- config
--- must_die
--- error_log
invalid URL of "weir_redis" "main": it has no host



=== TEST 2: http://127.0.0.1
--- http_config
weir_redis main http://127.0.0.1;
--- config
--- must_die
--- error_log
invalid URL of "weir_redis" "main": it must start with redis://, rediss:// or unix:



=== TEST 3: rediss:// with half of a certificate
--- http_config
weir_redis main rediss://127.0.0.1 ssl_certificate=our.crt;
--- config
--- must_die
--- error_log
invalid URL of "weir_redis" "main": ssl_certificate and ssl_certificate_key must be used together



=== TEST 4: redis://127.0.0.1/x
--- http_config
weir_redis main redis://127.0.0.1/x;
--- config
--- must_die
--- error_log
invalid URL of "weir_redis" "main": the database must be a number



=== TEST 5: redis://user@127.0.0.1
--- http_config
weir_redis main redis://user@127.0.0.1;
--- config
--- must_die
--- error_log
invalid URL of "weir_redis" "main": it names a user without a password



=== TEST 6: redis://127.0.0.1:99999
--- http_config
weir_redis main redis://127.0.0.1:99999;
--- config
--- must_die
--- error_log
invalid URL of "weir_redis" "main": invalid port



=== TEST 7: a time that is none
--- http_config
weir_redis main redis://127.0.0.1 timeout=soon;
--- config
--- must_die
--- error_log
invalid time "timeout=soon" in "weir_redis"



=== TEST 8: no time at all
--- http_config
weir_redis main redis://127.0.0.1 connect_timeout=0;
--- config
--- must_die
--- error_log
invalid time "connect_timeout=0" in "weir_redis"



=== TEST 9: an unknown parameter
--- http_config
weir_redis main redis://127.0.0.1 colour=red;
--- config
--- must_die
--- error_log
invalid parameter "colour=red" in "weir_redis"



=== TEST 10: a name twice
--- http_config
weir_redis main redis://127.0.0.1; weir_redis main redis://127.0.0.1;
--- config
--- must_die
--- error_log
duplicate "weir_redis" "main"



=== TEST 11: a server that is not defined
--- config
location /probe { weir_redis_probe absent; }
--- must_die
--- error_log
no "weir_redis" defines the server "absent"



=== TEST 12: a password with an at sign and a slash
--- http_config
weir_redis main redis://:p@ss/w@127.0.0.1;
--- config

--- must_die
--- error_log eval
'invalid URL of "weir_redis" "main": "@" and "/" in a user or password '
. 'must be percent-encoded, as %40 and %2F in'



=== TEST 13: TLS parameters without TLS
--- http_config
weir_redis main redis://127.0.0.1 ssl_verify=off;
--- config

--- must_die
--- error_log
invalid parameter "ssl_verify=off" in "weir_redis": ssl_ parameters need a URL with rediss:// in



=== TEST 14: a file of certificates that is not there
--- http_config
weir_redis main rediss://127.0.0.1 ssl_trusted_certificate=/nowhere.pem;
--- config

--- must_die
--- error_log
"weir_redis" "main" cannot use TLS with these parameters in



=== TEST 15: a user without a password
--- http_config
weir_redis main redis://127.0.0.1 user=weir-edge;
--- config

--- must_die
--- error_log
"weir_redis" "main" has a user without a password: give password_file= or password_env= in



=== TEST 16: a password in two places
--- http_config
weir_redis main redis://u:p@127.0.0.1 password_env=HOME;
--- config

--- must_die
--- error_log
"weir_redis" "main" has more than one password: in its URL, by password_file= or by password_env= in



=== TEST 17: a file of a password that is not there
--- http_config
weir_redis main redis://127.0.0.1 user=u password_file=/nowhere/secret;
--- config

--- must_die
--- error_log
"weir_redis" "main" cannot use the password_file "/nowhere/secret": No such file or directory in



=== TEST 18: a file of a password that is a device
--- http_config
weir_redis main unix:/tmp/none.sock user=u password_file=/dev/zero;
--- config

--- must_die
--- error_log
"weir_redis" "main" cannot use the password_file "/dev/zero": it is not a regular file in



=== TEST 19: a variable of the environment that is not there
--- http_config
weir_redis main redis://127.0.0.1 user=u password_env=WEIR_NO_SUCH_VARIABLE;
--- config

--- must_die
--- error_log
"weir_redis" "main": the environment has no "WEIR_NO_SUCH_VARIABLE", or it is empty in
