use Test::Nginx::Socket 'no_plan';

use File::Temp 'tempdir';

no_shuffle();
no_root_location();

# Each block is a configuration that nginx must refuse, and the reason it must give; KEYS is the
# folder with keys.
my $keys = tempdir(CLEANUP => 1);

sub make {
    my ($name, @options) = @_;
    system('openssl', 'genpkey', '-quiet', '-out', "$keys/$name.pem", @options) == 0
        or die "openssl: $?";
    chmod 0600, "$keys/$name.pem";
}

my @curve = ('-algorithm', 'EC', '-pkeyopt');
make('ec', @curve, 'ec_paramgen_curve:P-256');
make('p384', @curve, 'ec_paramgen_curve:P-384');
make('open', '-algorithm', 'ed25519');
make('rsa', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048');
make('secret', '-algorithm', 'ed25519', '-aes256', '-pass', 'pass:x');
chmod 0604, "$keys/open.pem";
system("openssl pkey -in $keys/ec.pem -pubout -out $keys/public.pem") == 0 or die;

add_block_preprocessor(sub {
    my ($block) = @_;
    $block->set_value(config => $block->config =~ s/KEYS/$keys/gr);
});

run_tests();

__DATA__

=== TEST 1: no key
--- config
location / { weir_identity audience=a; }
--- must_die
--- error_log
"weir_identity" directive needs key=FILE



=== TEST 2: no audience
--- config
location / { weir_identity key=KEYS/ec.pem; }
--- must_die
--- error_log
"weir_identity" directive needs audience=NAME



=== TEST 3: an unknown parameter
--- config
location / { weir_identity key=KEYS/ec.pem audience=a realm=b; }
--- must_die
--- error_log
invalid parameter "realm=b" in "weir_identity"; it takes off, or key=, audience=, issuer=



=== TEST 4: a parameter twice
--- config
location / { weir_identity key=KEYS/ec.pem key=KEYS/ec.pem audience=a; }
--- must_die
--- error_log
"weir_identity" has "key=" twice



=== TEST 5: an empty parameter
--- config
location / { weir_identity key=KEYS/ec.pem audience=; }
--- must_die
--- error_log
"audience=" in "weir_identity" has no value



=== TEST 6: twice
--- config
location / { weir_identity off; weir_identity off; }
--- must_die
--- error_log
"weir_identity" directive is duplicate



=== TEST 7: a time that is too long
--- config
location / { weir_identity key=KEYS/ec.pem audience=a ttl=2h; }
--- must_die
--- error_log
invalid value "2h" of "ttl=" in "weir_identity"; it must be a time from 1s to 1h



=== TEST 8: no time
--- config
location / { weir_identity key=KEYS/ec.pem audience=a ttl=0; }
--- must_die
--- error_log
invalid value "0" of "ttl="



=== TEST 9: a variable where a name is needed
--- config
location / { weir_identity key=KEYS/ec.pem audience=$host; }
--- must_die
--- error_log
invalid value "$host" of "audience=" in "weir_identity"; it must be 1 to 255 visible ASCII



=== TEST 10: an issuer with a space
--- config
location / { weir_identity key=KEYS/ec.pem audience=a "issuer=a b"; }
--- must_die
--- error_log
invalid value "a b" of "issuer="



=== TEST 11: an unknown bind
--- config
location / { weir_identity key=KEYS/ec.pem audience=a bind=method; }
--- must_die
--- error_log
invalid value "method" of "bind=" in "weir_identity"; it must be path, location or request



=== TEST 12: a path that is none
--- config
location / { weir_identity key=KEYS/ec.pem audience=a path=a; }
--- must_die
--- error_log
invalid value "a" of "path=" in "weir_identity"; it must be a path that begins with "/"



=== TEST 13: a header that is none
--- config
location / { weir_identity key=KEYS/ec.pem audience=a header=A:; }
--- must_die
--- error_log
invalid value "A:" of "header=" in "weir_identity"; it must be the name of a header field



=== TEST 14: a header with a long name
--- config
location / {
    weir_identity key=KEYS/ec.pem audience=a
        header=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa;
}
--- must_die
--- error_log
invalid value "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" of "header="



=== TEST 15: proxy_pass with variables in its path
--- config
location /a { weir_identity key=KEYS/ec.pem audience=a; proxy_pass http://127.0.0.1:1/$uri; }
--- must_die
--- error_log
"weir_identity" needs path=... in location "/a": the path of "proxy_pass" has variables



=== TEST 16: proxy_pass of a variable
--- config
set $up http://127.0.0.1:1;
location /a { weir_identity key=KEYS/ec.pem audience=a; proxy_pass $up; }
--- must_die
--- error_log
"weir_identity" needs path=... in location "/a"



=== TEST 17: a key that is no file
--- config
location / { weir_identity key=KEYS/none.pem audience=a; }
--- must_die
--- error_log
none.pem" in "weir_identity" can't be opened



=== TEST 18: a key that is a folder
--- config
location / { weir_identity key=/tmp audience=a; }
--- must_die
--- error_log
key "/tmp" in "weir_identity" is not a regular file



=== TEST 19: a key of another type
--- config
location / { weir_identity key=KEYS/rsa.pem audience=a; }
--- must_die
--- error_log
rsa.pem" in "weir_identity": its type is another than EC on P-256 (ES256) and Ed25519 (EdDSA)



=== TEST 20: a key of another curve
--- config
location / { weir_identity key=KEYS/ec.pem next_key=KEYS/p384.pem audience=a; }
--- must_die
--- error_log
p384.pem" in "weir_identity": its type is another than EC on P-256 (ES256) and Ed25519 (EdDSA)



=== TEST 21: a key with a password
--- config
location / { weir_identity key=KEYS/secret.pem audience=a; }
--- must_die
--- error_log
secret.pem" in "weir_identity": it is encrypted with a password



=== TEST 22: a key that is none
--- config
location / { weir_identity key=/etc/hostname audience=a; }
--- must_die
--- error_log
invalid key "/etc/hostname" in "weir_identity": it is no key in PEM



=== TEST 23: a public key that should sign
--- config
location / { weir_identity key=KEYS/public.pem audience=a; }
--- must_die
--- error_log
public.pem" in "weir_identity" is a public key, which cannot sign



=== TEST 24: a key that others can read
--- config
location / { weir_identity key=KEYS/open.pem audience=a; }
--- must_die
--- error_log
open.pem" in "weir_identity" is a private key that all users of this machine can read or write



=== TEST 25: keys without weir_identity
--- config
location / { weir_identity_keys; }
--- must_die
--- error_log
"weir_identity_keys" has no keys to show, since there is no "weir_identity", in



=== TEST 26: keys twice
--- config
location / { weir_identity_keys; weir_identity_keys; }
--- must_die
--- error_log
"weir_identity_keys" directive is duplicate
