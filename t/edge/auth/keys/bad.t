# Issuers that lie, hang, are down, or are not who they say: a good set stays, and without one
# tokens are answered with 503.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..", $Bin, "$Bin/../../cache", "$Bin/../../../lib";
use IO::Socket::INET;
use Issuer;
use JSON::PP qw(decode_json encode_json);
use Scene;
use Test::More;
use Token;
use Weir::Processes;

certificates();
new_key($_, $dir) for qw(main next);
publish($_, 'main') for qw(lying late secure kept);
start_issuer('lying');
start_issuer('secure', tls => 1);
start_issuer('kept');
my $silent = IO::Socket::INET->new(Listen => 8, LocalAddr => '127.0.0.1:0') or die $!;

# The name of the issuer, and the arguments of its line jwks.
my %jwks = (
    lying => "http://127.0.0.1:@{[issuer_port('lying')]}/ refresh=24h timeout=1s",
    late  => "http://127.0.0.1:@{[issuer_port('late')]}/ timeout=1s",
    kept  => "http://127.0.0.1:@{[issuer_port('kept')]}/ refresh=1s keep=2s timeout=1s",
    silent => "http://127.0.0.1:@{[$silent->sockport]}/ timeout=500ms",
);
my $secure = 'https://127.0.0.1:' . issuer_port('secure') . '/ timeout=5s';
my %wrong = (
    name     => "$secure ssl_trusted_certificate=authority.crt ssl_name=other.example",
    stranger => "$secure ssl_trusted_certificate=stranger.crt",
    system   => $secure,
    plain    => 'https://127.0.0.1:' . issuer_port('lying')
        . '/ ssl_trusted_certificate=authority.crt',
);
$jwks{"wrong_$_"} = $wrong{$_} for keys %wrong;
$jwks{named} = "$secure ssl_trusted_certificate=authority.crt ssl_name=issuer.example";
my $issuers = join '', map {
    "weir_jwt_issuer $_ { issuer https://issuer.example; audience api; jwks $jwks{$_}; }\n"
} sort keys %jwks;
my $locations = join '', map {
    "location /$_ { weir_jwt $_; proxy_pass http://UPSTREAM; }\n"
} sort keys %jwks;

start_upstream(sub { answer('200 OK', [], 'in') });
start_edge($issuers, <<"SERVER");
    $locations
    location /any { satisfy any; deny all; weir_jwt late; proxy_pass http://UPSTREAM; }
    location /optional { weir_jwt late optional; proxy_pass http://UPSTREAM; }
SERVER

my $main = token_of('main');
sub status { my ($path, $token) = @_; return get($path, bearer($token))->{status} }

# --- the issuer is down when nginx starts ---

my $r = get('/late', bearer($main));
is $r->{status}, 503, 'without a set a token is answered with 503';
like $r->{headers}{'retry-after'}, qr/^[1-9]\d*$/, '... and Retry-After';
is $r->{headers}{'content-type'}, 'application/problem+json', '... by a problem document';
is decode_json($r->{content})->{title}, 'Token cannot be verified', '... that says why';
ok !exists $r->{headers}{'www-authenticate'}, '... and no challenge: the token may be good';
is get('/late')->{status}, 401, 'a request without a token is refused as always';
is status('/late', 'a'), 401, '... so is one that is no token';
is status('/late', token_of('main', exp => 1)), 401, '... and one that has expired';
is status('/optional', $main), 503, 'an optional token is not ignored';
is get('/optional')->{status}, 200, '... while none is needed';
is status('/any', $main), 401, 'with "satisfy any" other modules are asked';
is status('/silent', $main), 503, 'an issuer that never answers is as one that is down';
until_true('it is logged', sub {
    logged(qr/"late" has no keys yet, and cannot use those at http:/);
});
is scalar(logged(qr/"late" has no keys yet/)), 1, 'that is logged once';
start_issuer('late');
until_true('the set is there', sub { status('/late', $main) == 200 });
pass 'tokens are admitted as soon as the issuer is there';

# --- who answers is not the issuer ---

my %reason = (
    name     => qr/its certificate is refused: hostname mismatch/i,
    stranger => qr/its certificate is refused: (?:unable to|self.signed)/i,
    system   => qr/its certificate is refused: (?:unable to|self.signed)/i,
    plain    => qr/the TLS handshake failed/,
);
for my $case (sort keys %wrong) {
    is status("/wrong_$case", $main), 503, "no set of a server that is not the issuer: $case";
    until_true("$case is logged", sub {
        logged(qr/"wrong_$case" has no keys yet.*$reason{$case}/);
    });
}
is status('/named', $main), 200, 'a server with the expected name is the issuer';

# --- the issuer lies ---

is status('/lying', $main), 200, 'a good set';
my $good = jwks('main');
my $head = "HTTP/1.1 200 OK\r\n";
my $private = $good =~ s/"e":/"d":"AQAB","e":/r;
my $weak = encode_json({ keys => [{ kty => 'RSA', kid => 'main', n => 'AQAB', e => 'AQAB' }] });
my $symmetric = encode_json({ keys => [{ kty => 'oct', kid => 'main', k => 'AQAB' }] });
my $encryption = $good =~ s/"use":"sig"/"use":"enc"/r;
my @lies = (
    [{ status => 500, body => $good }, qr/its status is 500/],
    [{ status => 404, body => 'no' }, qr/its status is 404/],
    [{ status => 206, body => $good }, qr/its status is 206/],
    [{ status => 302, headers => ["Location: http://127.0.0.1:@{[issuer_port('late')]}/"] },
        qr/its status is 302, and redirects are not followed: use the URL that it leads to/],
    [{ body => '' }, qr/it is empty/],
    [{ body => '{"keys":[]}' }, qr/it has no key for signatures that is supported/],
    [{ body => '<!doctype html><title>Log in</title>', headers => ['Content-Type: text/html'] },
        qr/it is HTML or XML, not JSON/],
    [{ body => "-----BEGIN PUBLIC KEY-----\n" }, qr/it is a key or a certificate in PEM/],
    [{ body => '{"issuer":"https://a","jwks_uri":"https://a/keys"}' },
        qr/it is the configuration of an OpenID provider, whose "jwks_uri" is meant/],
    [{ body => substr $good, 0, -3 }, qr/it is no JSON object without duplicate members/],
    [{ body => "$good $good" }, qr/it is no JSON object/],
    [{ body => $private }, qr/it has a secret part/],
    [{ body => $symmetric }, qr/it has a secret part/],
    [{ body => $weak }, qr/its modulus has fewer than 2048 bits/],
    [{ body => $encryption }, qr/it has no key for signatures/],
    [{ body => $good . ' ' x (256 * 1024) }, qr/it has more than 262144 bytes/],
    [{ body => $good . ' ' x (1024 * 1024) }, qr/the answer too long/],
    [{ raw => "$head\r\n" . ' ' x (1024 * 1024) }, qr/the answer is too long/],
    [{ raw => "${head}Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}" },
        qr/it has a Content-Encoding that was not asked for/],
    [{ raw => "${head}Transfer-Encoding: chunked\r\n\r\nzz\r\n" }, qr/an invalid chunk/],
    [{ raw => "${head}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" },
        qr/Content-Length beside Transfer-Encoding/],
    [{ raw => "${head}Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n" },
        qr/the connection ended before the answer|closed the connection/],
    [{ raw => "${head}Content-Length: 9\r\n\r\n{}" },
        qr/the connection ended before the answer|closed the connection/],
    [{ raw => "${head}\r\n" . substr $good, 0, 40 }, qr/it is no JSON object/],
    [{ raw => 'SSH-2.0-OpenSSH' . "\r\n" }, qr/no HTTP\/1.1 answer/],
    [{ drop => 1 }, qr/closed the connection without an answer/],
    [{ drip => 1, body => $good }, qr/timeout passed/],
    [{ hang => 1 }, qr/timeout passed/],
);
my $n = 0;
for my $lie (@lies) {
    my ($how, $reason) = @$lie;
    my $log = "$dir/logs/error.log";
    my $from = length slurp($log);
    behave('lying', %$how);
    is status('/lying', unknown()), 401, "lie $n: an unknown key";
    until_true("lie $n is logged", sub {
        log_lines($log, qr/"lying" keeps its keys for \d+ s at most, .*$reason/, $from);
    });
    is status('/lying', $main), 200, "... does not replace the good set: $reason";

    # the answers that are good again
    $from = length slurp($log);
    publish('lying', 'main');
    until_true('it is good again', sub {
        status('/lying', unknown());
        log_lines($log, qr/"lying" can read its keys .* again, which are the same/, $from);
    });
    $n++;
}

# Odd, but right.
my $both = jwks('main', 'next');
my $chunks = join '', map { sprintf "%x;a=b\r\n%s\r\n", length, $_ } $both =~ /(.{1,7})/sg;
my $early = "HTTP/1.1 103 Early\r\n\r\n";
behave('lying',
    raw => "$early${head}Transfer-Encoding: chunked\r\n\r\n${chunks}0\r\nX: y\r\n\r\n");
is status('/lying', token_of('next')), 200, 'chunks, an interim answer and trailers are read';
behave('lying', raw => "${head}\r\n$good");
status('/lying', unknown());
until_true('the set without length', sub { logged(qr/"lying" uses the set of 1 keys/) >= 2 });
pass 'a body that the end of the connection ends is read';

# --- the issuer is away for longer than keep= ---

is status('/kept', $main), 200, 'a set that is kept for two seconds';
stop('kept', 'KILL');
until_true('the set is too old', sub { status('/kept', $main) == 503 });
pass 'after keep= a set is not believed any more, nor a token that was verified before';
start_issuer('kept');
until_true('the set is there again', sub { status('/kept', $main) == 200 });
pass '... until the issuer is there again';

is_deeply [logged(qr/\[(?:alert|emerg)\]/)], [], 'nginx logs nothing else';

done_testing();
