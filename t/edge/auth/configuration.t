use Test::Nginx::Socket 'no_plan';

use File::Path 'make_path';

no_shuffle();
no_root_location();

# Each block is a configuration that nginx must refuse, and the reason it must give.
our $key = '{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}';
our %issuer = (issuer => 'i', audience => 'a', jwks => 'keys.jwks');

# A weir_jwt_issuer with these lines in addition, or instead.
sub issuer {
    my (%more) = @_;
    my %lines = (%issuer, %more);
    return 'weir_jwt_issuer x {'
        . join(' ', map { defined $lines{$_} ? "$_ $lines{$_};" : () } sort keys %lines) . '}';
}

# nginx starts in conf/, which it makes with the first block.
add_block_preprocessor(sub {
    my ($block) = @_;
    my $keys = $block->keys // "{\"keys\":[$main::key]}";
    $block->set_value('user_files', ">>> ../conf/keys.jwks\n$keys\n") if $keys ne 'none';
});

run_tests();

__DATA__

=== TEST 1: an issuer without keys
--- http_config eval
main::issuer(jwks => undef)
--- config
--- must_die
--- error_log
"weir_jwt_issuer" "x" has no "jwks"



=== TEST 2: an issuer without an issuer
--- http_config eval
main::issuer(issuer => undef)
--- config
--- must_die
--- error_log
"weir_jwt_issuer" "x" has no "issuer"



=== TEST 3: an issuer without an audience
--- http_config eval
main::issuer(audience => undef)
--- config
--- must_die
--- error_log
"weir_jwt_issuer" "x" has no "audience"



=== TEST 4: an unknown line
--- http_config eval
main::issuer(colour => 'red')
--- config
--- must_die
--- error_log
unknown directive "colour" in "weir_jwt_issuer"; it takes issuer, audience, jwks, algorithms,



=== TEST 5: a line twice
--- http_config eval
main::issuer(issuer => 'i; issuer j')
--- config
--- must_die
--- error_log
"issuer" of "weir_jwt_issuer" "x" is duplicate



=== TEST 6: two issuers in a line
--- http_config eval
main::issuer(issuer => 'i j')
--- config
--- must_die
--- error_log
"issuer" of "weir_jwt_issuer" "x" has an invalid number of arguments



=== TEST 7: a URL
--- http_config eval
main::issuer(jwks => 'https://issuer.invalid/keys')
--- config
--- must_die
--- error_log
in "https://issuer.invalid/keys": host not found; with a "resolver" in "http" nginx starts



=== TEST 8: an algorithm with a shared secret
--- http_config eval
main::issuer(algorithms => 'ES256 HS256')
--- config
--- must_die
--- error_log
invalid algorithm "HS256" of "weir_jwt_issuer" "x"; there are RS256, RS384



=== TEST 9: no algorithm
--- http_config eval
main::issuer(algorithms => 'none')
--- config
--- must_die
--- error_log
invalid algorithm "none"



=== TEST 10: no key for the algorithms
--- http_config eval
main::issuer(algorithms => 'ES256')
--- config
--- must_die
--- error_log
of "weir_jwt_issuer" "x": no key is for one of its algorithms



=== TEST 11: a leeway of an hour
--- http_config eval
main::issuer(leeway => '1h')
--- config
--- must_die
--- error_log
"leeway" of "weir_jwt_issuer" "x" must be a time of at most 10m



=== TEST 12: a leeway that is no time
--- http_config eval
main::issuer(leeway => 'long')
--- config
--- must_die
--- error_log
"leeway" of "weir_jwt_issuer" "x" must be a time of at most 10m



=== TEST 13: no age at all
--- http_config eval
main::issuer(max_age => '0')
--- config
--- must_die
--- error_log
"max_age" of "weir_jwt_issuer" "x" must be a time of at least 1s



=== TEST 14: a type with application/
--- http_config eval
main::issuer(type => 'application/at+jwt')
--- config
--- must_die
--- error_log
"type" of "weir_jwt_issuer" "x" is written without "application/"



=== TEST 15: audience off beside another
--- http_config eval
main::issuer(audience => 'a off')
--- config
--- must_die
--- error_log
"audience" of "weir_jwt_issuer" "x" has "off" beside other values



=== TEST 16: an empty audience
--- http_config eval
main::issuer(audience => '""')
--- config
--- must_die
--- error_log
"audience" of "weir_jwt_issuer" "x" is empty



=== TEST 17: a name that cannot be quoted
--- http_config
weir_jwt_issuer "a\"b" { }
--- config
--- must_die
--- error_log
in "weir_jwt_issuer"; it has letters, digits, "-" and "_"



=== TEST 18: a name that means something else
--- http_config
weir_jwt_issuer optional { }
--- config
--- must_die
--- error_log
invalid name "optional" in "weir_jwt_issuer"



=== TEST 19: two of a name
--- http_config eval
main::issuer() . main::issuer()
--- config
--- must_die
--- error_log
duplicate "weir_jwt_issuer" "x"



=== TEST 20: no such file
--- http_config eval
main::issuer(jwks => 'absent.jwks')
--- config
--- must_die
--- error_log
absent.jwks" of "weir_jwt_issuer" "x" can't be opened



=== TEST 21: a folder
--- http_config eval
main::issuer(jwks => '/')
--- config
--- must_die
--- error_log
jwks "/" of "weir_jwt_issuer" "x" is not a file



=== TEST 22: no JSON; the message does not quote the file
--- http_config eval
main::issuer()
--- keys
-----BEGIN PRIVATE KEY-----
--- config
--- must_die
--- error_log
keys.jwks" of "weir_jwt_issuer" "x": it is a key or a certificate in PEM or for SSH, not JSON
--- no_error_log
PRIVATE



=== TEST 23: a private key
--- http_config eval
main::issuer()
--- keys eval
(my $private = $::key) =~ s/}/,"d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}/;
"{\"keys\":[$private]}"
--- config
--- must_die
--- error_log
of "weir_jwt_issuer" "x": key 1: it has a secret part: only public keys belong here
--- no_error_log
nWGxne



=== TEST 24: a document that is too large
--- http_config eval
main::issuer()
--- keys eval
' ' x 300000
--- config
--- must_die
--- error_log
of "weir_jwt_issuer" "x": it has more than 262144 bytes



=== TEST 25: an unknown issuer
--- config
location / { weir_jwt y; }
--- must_die
--- error_log
unknown issuer "y" in "weir_jwt": no "weir_jwt_issuer" of that name comes before it



=== TEST 26: no issuer
--- http_config eval
main::issuer()
--- config
location / { weir_jwt optional; }
--- must_die
--- error_log
"weir_jwt" directive names no issuer



=== TEST 27: two issuers that are one
--- http_config eval
my $one = main::issuer();
(my $two = $one) =~ s/ x / y /;
$one . $two
--- config
location / { weir_jwt x y; }
--- must_die
--- error_log
"x" and "y" in "weir_jwt" have the same issuer



=== TEST 28: two places for the token
--- http_config eval
main::issuer()
--- config
location / { weir_jwt x cookie=a header=b; }
--- must_die
--- error_log
"weir_jwt" directive has more than one of "cookie=" and "header="



=== TEST 29: a cookie without a name
--- http_config eval
main::issuer()
--- config
location / { weir_jwt x cookie=; }
--- must_die
--- error_log
invalid name "cookie=" in "weir_jwt"



=== TEST 30: weir_jwt twice
--- http_config eval
main::issuer()
--- config
location / { weir_jwt x; weir_jwt off; }
--- must_die
--- error_log
"weir_jwt" directive is duplicate



=== TEST 31: a requirement without a token
--- http_config eval
main::issuer()
--- config
location /a { weir_jwt_require scope=read; }
--- must_die
--- error_log
has no "weir_jwt" in location "/a", which may say "weir_jwt off" where nothing is required



=== TEST 32: a requirement with weir_jwt off
--- http_config eval
main::issuer()
--- config
location /a { weir_jwt off; weir_jwt_require scope=read; }
--- must_die
--- error_log
"weir_jwt_require" has no "weir_jwt" in location "/a"



=== TEST 33: an inherited requirement without a token
--- http_config eval
main::issuer()
--- config
weir_jwt_require scope=read;
location /a { weir_jwt x; }
location /b { }
--- must_die
--- error_log
"weir_jwt_require" has no "weir_jwt" in location ""



=== TEST 34: conditions that are none
--- http_config eval
main::issuer()
--- config
location /a { weir_jwt x; weir_jwt_require scope=; }
--- must_die
--- error_log
invalid value "scope=" in "weir_jwt_require"; it takes scope=ONE, claim=NAME, claim=NAME=VALUE|...



=== TEST 35: a scope with a space
--- http_config eval
main::issuer()
--- config
location /a { weir_jwt x; weir_jwt_require "scope=a b"; }
--- must_die
--- error_log
invalid value "scope=a b" in "weir_jwt_require"



=== TEST 36: a claim without a name
--- http_config eval
main::issuer()
--- config
location /a { weir_jwt x; weir_jwt_require claim==x; }
--- must_die
--- error_log
invalid value "claim==x" in "weir_jwt_require"



=== TEST 37: a word
--- http_config eval
main::issuer()
--- config
location /a { weir_jwt x; weir_jwt_require read; }
--- must_die
--- error_log
invalid value "read" in "weir_jwt_require"



=== TEST 38: off beside conditions
--- http_config eval
main::issuer()
--- config
location /a { weir_jwt x; weir_jwt_require scope=a; weir_jwt_require off; }
--- must_die
--- error_log
"weir_jwt_require" directive has "off" beside other values



=== TEST 39: weir_jwt_require: one of several scopes
--- http_config eval
main::issuer()
--- config
location / { weir_jwt x; weir_jwt_require "scope=a|b"; }
--- must_die
--- error_log
invalid value "scope=a|b" in "weir_jwt_require"; it takes scope=ONE,



=== TEST 40: weir_jwt: a variable where a cookie is named
--- http_config eval
main::issuer()
--- config
location / { weir_jwt x cookie=$arg_token; }
--- must_die
--- error_log
invalid name "cookie=$arg_token" in "weir_jwt"; it must be that of a cookie or header



=== TEST 41: a URL that has a user
--- http_config eval
main::issuer(jwks => 'http://a:b@127.0.0.1/keys')
--- config
--- must_die
--- error_log
invalid jwks "http://a:b@127.0.0.1/keys" of "weir_jwt_issuer" "x": it must have no user



=== TEST 42: a URL without a path
--- http_config eval
main::issuer(jwks => 'http://127.0.0.1')
--- config
--- must_die
--- error_log
invalid jwks "http://127.0.0.1" of "weir_jwt_issuer" "x": its path must start with a slash



=== TEST 43: a URL with a fragment
--- http_config eval
main::issuer(jwks => 'http://127.0.0.1/keys#1')
--- config
--- must_die
--- error_log
its path has a character that must be percent-encoded



=== TEST 44: a URL in capitals
--- http_config eval
main::issuer(jwks => 'HTTPS://127.0.0.1/keys')
--- config
--- must_die
--- error_log
of "weir_jwt_issuer" "x": it must start with http:// or https://



=== TEST 45: a parameter of TLS without TLS
--- http_config eval
main::issuer(jwks => 'http://127.0.0.1/keys ssl_verify=off')
--- config
--- must_die
--- error_log
"ssl_verify=off" in jwks of "weir_jwt_issuer" "x"; it takes refresh=, keep=, timeout=



=== TEST 46: a parameter of a URL for a file
--- http_config eval
main::issuer(jwks => 'keys.jwks keep=1h')
--- config
--- must_die
--- error_log
invalid parameter "keep=1h" in jwks of "weir_jwt_issuer" "x"; it takes refresh=



=== TEST 47: an unknown parameter
--- http_config eval
main::issuer(jwks => 'https://127.0.0.1/keys colour=red')
--- config
--- must_die
--- error_log
"colour=red" in jwks of "weir_jwt_issuer" "x"; it takes refresh=, keep=, timeout=, ssl_trusted



=== TEST 48: a refresh that is too short
--- http_config eval
main::issuer(jwks => 'http://127.0.0.1/keys refresh=500ms')
--- config
--- must_die
--- error_log
invalid value "500ms" of "refresh=" in jwks of "weir_jwt_issuer" "x"; it must be a time of 1s to 24h



=== TEST 49: a keep that is too long
--- http_config eval
main::issuer(jwks => 'http://127.0.0.1/keys keep=31d')
--- config
--- must_die
--- error_log
invalid value "31d" of "keep=" in jwks of "weir_jwt_issuer" "x"; it must be a time of 1s to 30d



=== TEST 50: a timeout that is no time
--- http_config eval
main::issuer(jwks => 'http://127.0.0.1/keys timeout=soon')
--- config
--- must_die
--- error_log
invalid value "soon" of "timeout=" in jwks of "weir_jwt_issuer" "x"; it must be a time of 1ms to 60s



=== TEST 51: a file of certificates that is not there
--- http_config eval
main::issuer(jwks => 'https://127.0.0.1/keys ssl_trusted_certificate=/absent')
--- config
--- must_die
--- error_log
jwks "https://127.0.0.1/keys" of "weir_jwt_issuer" "x" cannot use TLS with these parameters



=== TEST 52: a URL without TLS on another machine is warned of
--- http_config eval
main::issuer(jwks => 'http://192.0.2.1/keys')
--- config
location /t { return 204; }
--- request
GET /t
--- error_code: 204
--- error_log
jwks "http://192.0.2.1/keys" of "weir_jwt_issuer" "x" is fetched without TLS: whoever is on



=== TEST 53: a server that is not verified is warned of
--- http_config eval
main::issuer(jwks => 'https://127.0.0.1/keys ssl_verify=off')
--- config
location /t { return 204; }
--- request
GET /t
--- error_code: 204
--- error_log
with ssl_verify=off the issuer is not verified



=== TEST 54: a URL without TLS on this machine is not
--- http_config eval
main::issuer(jwks => 'http://127.0.0.1:1/keys')
--- config
location /t { return 204; }
--- request
GET /t
--- error_code: 204
--- no_error_log
without TLS



=== TEST 55: nor is one at a socket
--- http_config eval
main::issuer(jwks => 'http://unix:/absent:/keys')
--- config
location /t { return 204; }
--- request
GET /t
--- error_code: 204
--- no_error_log
without TLS



=== TEST 56: bound= has five values
--- http_config eval
main::issuer()
--- config
location /t { weir_jwt x bound=key; }
--- must_die
--- error_log
invalid value "bound=key" in "weir_jwt"; there are bound=certificate, bound=dpop,



=== TEST 57: the zone is too small
--- http_config
weir_jwt_zone 4k;
--- config
--- must_die
--- error_log
invalid size "4k" in "weir_jwt_zone"; it is at least 64k



=== TEST 58: revocation without Redis
--- http_config
weir_jwt_revocation keep=1h;
--- config
--- must_die
--- error_log
"weir_jwt_revocation" directive has no "redis="



=== TEST 59: keep is too short
--- http_config
weir_redis main redis://127.0.0.1:1;
weir_jwt_revocation redis=main keep=1s;
--- config
--- must_die
--- error_log
invalid parameter "keep=1s" of "weir_jwt_revocation": it is a time of 1m to 366d



=== TEST 60: staleness is too short
--- http_config
weir_redis main redis://127.0.0.1:1;
weir_jwt_revocation redis=main staleness=100ms;
--- config
--- must_die
--- error_log
invalid parameter "staleness=100ms" of "weir_jwt_revocation": it is a time of 2s to 1d



=== TEST 61: an unknown parameter
--- http_config
weir_redis main redis://127.0.0.1:1;
weir_jwt_revocation redis=main off;
--- config
--- must_die
--- error_log
invalid parameter "off" of "weir_jwt_revocation": there are redis=, keep=, staleness= and size=



=== TEST 62: the memory of revocations is too small
--- http_config
weir_redis main redis://127.0.0.1:1;
weir_jwt_revocation redis=main size=4k;
--- config
--- must_die
--- error_log
invalid parameter "size=4k" of "weir_jwt_revocation": it is a size of at least 64k



=== TEST 63: weir_cache_authorized: an unknown word
--- http_config eval
main::issuer()
--- config
location / { weir_jwt x; weir_cache_authorized all; }
--- must_die
--- error_log
invalid value "all" in "weir_cache_authorized"; it takes off, shared, subject, or one or more of



=== TEST 64: weir_cache_authorized: a variable that a client sends
--- http_config eval
main::issuer()
--- config
location / { weir_jwt x; weir_cache_authorized partition=$http_x_tenant; }
--- must_die
--- error_log
invalid value "partition=$http_x_tenant" in "weir_cache_authorized"



=== TEST 65: weir_cache_authorized: a claim and more
--- http_config eval
main::issuer()
--- config
location / { weir_jwt x; weir_cache_authorized partition=$weir_jwt_claim_a-$arg_b; }
--- must_die
--- error_log
invalid value "partition=$weir_jwt_claim_a-$arg_b" in "weir_cache_authorized"



=== TEST 66: weir_cache_authorized: a claim without a name
--- http_config eval
main::issuer()
--- config
location / { weir_jwt x; weir_cache_authorized partition=$weir_jwt_claim_; }
--- must_die
--- error_log
invalid value "partition=$weir_jwt_claim_" in "weir_cache_authorized"



=== TEST 67: weir_cache_authorized: off beside a partition
--- http_config eval
main::issuer()
--- config
location / { weir_jwt x; weir_cache_authorized off partition=$weir_jwt_subject; }
--- must_die
--- error_log
invalid value "off" in "weir_cache_authorized"



=== TEST 68: weir_cache_authorized: twice
--- http_config eval
main::issuer()
--- config
location / { weir_jwt x; weir_cache_authorized off; weir_cache_authorized shared; }
--- must_die
--- error_log
"weir_cache_authorized" directive is duplicate



=== TEST 69: proofs beside a cookie
--- http_config eval
main::issuer()
--- config
location /t { weir_jwt x bound=dpop cookie=a; }
--- must_die
--- error_log
"weir_jwt" directive has "bound=dpop" beside "cookie=" or "header=": tokens with



=== TEST 70: proofs for a server without a name
--- http_config eval
main::issuer() . 'server { server_name _ ""; location /t { weir_jwt x bound=dpop; } }'
--- config
--- must_die
--- error_log
in location "/t" does not know the URLs that proofs are for: the server needs a "server_name"



=== TEST 71: an origin with a path
--- http_config eval
main::issuer()
--- config
weir_jwt_dpop origin=https://a.example/api;
--- must_die
--- error_log
invalid value "origin=https://a.example/api" in "weir_jwt_dpop"; an origin has a scheme, a host



=== TEST 72: an origin without a scheme
--- http_config eval
main::issuer()
--- config
weir_jwt_dpop origin=a.example;
--- must_die
--- error_log
invalid value "origin=a.example" in "weir_jwt_dpop"; an origin has a scheme, a host and no path



=== TEST 73: an unknown argument of weir_jwt_dpop
--- http_config eval
main::issuer()
--- config
weir_jwt_dpop jti=1;
--- must_die
--- error_log
invalid value "jti=1" in "weir_jwt_dpop"; it takes window=, nonce=, origin=, algorithms=



=== TEST 74: an algorithm of proofs that there is not
--- http_config eval
main::issuer()
--- config
weir_jwt_dpop algorithms=ES256,HS256;
--- must_die
--- error_log
invalid value "algorithms=ES256,HS256" in "weir_jwt_dpop"; the algorithms are RS256,



=== TEST 75: a window that is too long
--- http_config eval
main::issuer()
--- config
weir_jwt_dpop window=11m;
--- must_die
--- error_log
"weir_jwt_dpop" directive has a "window=" that is no time from 1s to 10m



=== TEST 76: a nonce that lives for no time
--- http_config eval
main::issuer()
--- config
weir_jwt_dpop nonce=0;
--- must_die
--- error_log
"weir_jwt_dpop" directive has a "nonce=" that is no time from 1s to 1h



=== TEST 77: weir_jwt_dpop twice
--- http_config eval
main::issuer()
--- config
weir_jwt_dpop window=1m;
weir_jwt_dpop nonce=1m;
--- must_die
--- error_log
"weir_jwt_dpop" directive is duplicate



=== TEST 78: a zone for proofs that is too small
--- http_config eval
"weir_jwt_dpop_zone 63k;"
--- config

--- must_die
--- error_log
invalid size "63k" in "weir_jwt_dpop_zone"; it is at least 64k
