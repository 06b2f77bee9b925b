use Test::Nginx::Socket 'no_plan';

no_shuffle();
no_root_location();

# Each block is a configuration that nginx must refuse, and the reason it must give.
run_tests();

__DATA__

=== TEST 1: a flag without weir_flags
--- http_config
    weir_redis main redis://127.0.0.1:1;

--- config
    weir_flag a;
--- must_die
--- error_log
"weir_flag" and "weir_flags_ofrep" need "weir_flags", which says where the flags are


=== TEST 2: an OFREP location without weir_flags
--- http_config
    weir_redis main redis://127.0.0.1:1;

--- config
    location /o { weir_flags_ofrep; }
--- must_die
--- error_log
"weir_flag" and "weir_flags_ofrep" need "weir_flags", which says where the flags are


=== TEST 3: weir_flags without a Redis
--- http_config
    weir_redis main redis://127.0.0.1:1;
    weir_flags size=1m;
--- config

--- must_die
--- error_log
"weir_flags" directive has no "redis="


=== TEST 4: weir_flags of an unknown Redis
--- http_config
    weir_redis main redis://127.0.0.1:1;
    weir_flags redis=other;
--- config

--- must_die
--- error_log
no "weir_redis" defines the server "other" that is used


=== TEST 5: weir_flags twice
--- http_config
    weir_redis main redis://127.0.0.1:1;
    weir_flags redis=main; weir_flags redis=main;
--- config

--- must_die
--- error_log
"weir_flags" directive is duplicate


=== TEST 6: weir_flags with another parameter
--- http_config
    weir_redis main redis://127.0.0.1:1;
    weir_flags redis=main zone=1m;
--- config

--- must_die
--- error_log
invalid parameter "zone=1m" of "weir_flags": there are redis=


=== TEST 7: weir_flags with too little memory
--- http_config
    weir_redis main redis://127.0.0.1:1;
    weir_flags redis=main size=64k;
--- config

--- must_die
--- error_log
invalid parameter "size=64k" of "weir_flags": there are redis=


=== TEST 8: a name with a blank
--- http_config
    weir_redis main redis://127.0.0.1:1;
    weir_flags redis=main;
--- config
    weir_flag "a b";
--- must_die
--- error_log
invalid name "a b" in "weir_flag": it has 1 to 64 letters


=== TEST 9: a name that is too long
--- http_config
    weir_redis main redis://127.0.0.1:1;
    weir_flags redis=main;
--- config
    weir_flag aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa;
--- must_die
--- error_log
in "weir_flag": it has 1 to 64 letters


=== TEST 10: another parameter
--- http_config
    weir_redis main redis://127.0.0.1:1;
    weir_flags redis=main;
--- config
    weir_flag a percent=10;
--- must_die
--- error_log
invalid parameter "percent=10" of "weir_flag": there are key= and default=


=== TEST 11: a key twice
--- http_config
    weir_redis main redis://127.0.0.1:1;
    weir_flags redis=main;
--- config
    weir_flag a key=b key=c;
--- must_die
--- error_log
invalid parameter "key=c" of "weir_flag": there are key= and default=


=== TEST 12: a key of an unknown variable
--- http_config
    weir_redis main redis://127.0.0.1:1;
    weir_flags redis=main;
--- config
    weir_flag a key=$no_such_variable;
--- must_die
--- error_log
unknown "no_such_variable" variable


=== TEST 13: two flags with one variable
--- http_config
    weir_redis main redis://127.0.0.1:1;
    weir_flags redis=main;
--- config
    weir_flag a-b; weir_flag A.b;
--- must_die
--- error_log
"weir_flag" "A.b" has the variable $weir_flag_a_b, which another one of this level has


=== TEST 14: a variable without its flag
--- http_config
    weir_redis main redis://127.0.0.1:1;
    weir_flags redis=main;
--- config
    weir_flag a; location /x { return 200 $weir_flag_b; }
--- must_die
--- error_log
there is no "weir_flag" for the variable "$weir_flag_b"


=== TEST 15: an attribute twice
--- http_config
    weir_redis main redis://127.0.0.1:1;
    weir_flags redis=main;
--- config
    weir_flag_context a b; weir_flag_context a c;
--- must_die
--- error_log
"weir_flag_context" directive is duplicate
