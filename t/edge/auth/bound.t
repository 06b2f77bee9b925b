# bound= of weir_jwt: tokens that are bound to the certificate of their holder (RFC 8705), or to a
# key of another kind; and names of claims with dots.
use strict;
use warnings;

use FindBin '$Bin';
use lib $Bin, "$Bin/../cache", "$Bin/../../lib";
use Digest::SHA 'sha256';
use MIME::Base64 qw(decode_base64 encode_base64url);
use Scene;
use Test::More;
use Token;
use Weir::Processes;

plan skip_all => 'has a TLS server of its own' if in_world('tls', 'http2');

new_key('main', $dir);
spit("$dir/main.jwks", jwks('main'));
start_upstream(sub { answer('200 OK', [], 'fresh') });

# A certificate that nobody has signed; its digest.
sub certificate {
    my ($name) = @_;
    system('openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', "/CN=$name",
        '-keyout', "$dir/$name.key", '-out', "$dir/$name.crt", '-days', 2) == 0 or die 'openssl';
    my ($der) = slurp("$dir/$name.crt") =~ /-----BEGIN CERTIFICATE-----(.*?)-----END/s;
    return encode_base64url(sha256(decode_base64($der)));
}
open my $stderr, '>&', \*STDERR;
open STDERR, '>', "$dir/openssl.log";
my %digest = map { $_ => certificate($_) } qw(server alice bob);
open STDERR, '>&', $stderr;

my $tls = free_port();
start_edge(<<"HTTP", <<'SERVER');
    weir_jwt_issuer main { issuer https://issuer.example; audience api; jwks main.jwks; }
    server {
        listen 127.0.0.1:$tls ssl;
        ssl_certificate $dir/server.crt;
        ssl_certificate_key $dir/server.key;
        ssl_verify_client optional_no_ca;
        location / { weir_jwt main bound=certificate; proxy_pass http://UPSTREAM; }
    }
HTTP
    location /ignore { weir_jwt main; proxy_pass http://UPSTREAM; }
    location /refuse { weir_jwt main bound=refuse; proxy_pass http://UPSTREAM; }
    location /plain { weir_jwt main bound=certificate; proxy_pass http://UPSTREAM; }
    location /nested {
        weir_jwt main;
        weir_jwt_require claim=realm_access.roles=admin|owner claim=https://a.example/team=blue;
        proxy_pass http://UPSTREAM;
    }
    location /present { weir_jwt main; weir_jwt_require claim=a.b; proxy_pass http://UPSTREAM; }
SERVER

# The status for a token by TLS, with the certificate of that name if there is one.
sub by_tls {
    my ($token, $name) = @_;
    my @certificate = $name ? ('--cert', "$dir/$name.crt", '--key', "$dir/$name.key") : ();
    open my $curl, '-|', 'curl', '-sk', '-o', "$dir/out", '-w', '%{http_code}', @certificate, '-H',
        "Authorization: Bearer $token", "https://127.0.0.1:$tls/" or die $!;
    return scalar <$curl>;
}

my $alice = token(cnf => { 'x5t#S256' => $digest{alice} });
my $dpop  = token(cnf => { jkt => $digest{alice} });
my $free  = token(sub => 'free');

is by_tls($alice, 'alice'), 200, 'bound=certificate: the certificate of the token';
is by_tls($alice, 'alice'), 200, '... again';
is by_tls($alice, 'bob'), 401, '... another one';
is by_tls($alice), 401, '... none';
is by_tls($free, 'alice'), 401, '... a token that is not bound';
is by_tls($dpop, 'alice'), 401, '... one that is bound otherwise';
is by_tls($alice, 'alice'), 200, '... the good one is good as before';
is get('/plain', bearer($alice))->{status}, 401, '... without TLS';

is get('/refuse', bearer($_))->{status}, 401, 'bound=refuse: a token that is bound'
    for $alice, $dpop;
is get('/refuse', bearer($free))->{status}, 200, '... one that is not';
is get('/ignore', bearer($alice))->{status}, 200, 'without bound= nothing is asked';
ok scalar(logged(qr/the token is bound to another key, or to none/)), 'the log says why';

my %team = ('https://a.example/team' => 'blue');
is get('/nested', bearer(token(%team, realm_access => { roles => ['user', 'owner'] })))->{status},
    200, 'a dot leads to a member of an object; a name may be a URL';
is get('/nested', bearer(token(%team, 'realm_access.roles' => 'admin')))->{status}, 200,
    '... or is part of the name';
is get('/nested', bearer(token(%team, realm_access => { roles => ['user'] })))->{status}, 403,
    '... another value';
is get('/nested', bearer(token(%team, realm_access => 'admin')))->{status}, 403, '... no object';
is get('/nested', bearer(token(realm_access => { roles => 'admin' })))->{status}, 403,
    '... without the other one';
is get('/present', bearer(token(a => { b => 0 })))->{status}, 200, 'a member that is there';
is get('/present', bearer(token(a => { b => undef })))->{status}, 403, '... that is null';

done_testing;
