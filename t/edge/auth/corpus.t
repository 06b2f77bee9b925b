# Tokens that another implementation made: good ones of ten types of keys, and hostile ones. No
# hostile one passes, and none stops a worker.
use strict;
use warnings;

use FindBin '$Bin';
use lib $Bin, "$Bin/../cache", "$Bin/../../lib";
use JSON::PP 'decode_json';
use Scene;
use Test::More;
use Token;
use Weir::Processes;

my $folder = `$Bin/../../../scripts/test/jose.sh 2>$dir/jose.log`;
plan skip_all => 'no jose: ' . ((split /\n/, slurp("$dir/jose.log"))[-1] // '') if $? != 0;
chomp $folder;

open my $made, '-|', 'node', "$Bin/corpus.js", $folder or die "node: $!\n";
my ($set, @tokens) = <$made>;
close $made or die "corpus.js failed\n";
@tokens = map { decode_json($_) } @tokens;
my @hostile = grep { !$_->{good} } @tokens;
my @good    = grep { $_->{good} } @tokens;
cmp_ok scalar @hostile, '>=', 280, 'there are hostile tokens';
cmp_ok scalar @good, '>=', 28, 'there are good ones';
spit("$dir/all.jwks", $set);

start_upstream(sub { answer('200 OK', [], 'in') });
start_edge(<<'HTTP', <<'SERVER');
    large_client_header_buffers 4 32k;
    weir_jwt_issuer all { issuer https://issuer.example; audience api; jwks all.jwks; }
    weir_jwt_issuer at { issuer https://issuer.example; audience api; jwks all.jwks; type at+jwt; }
    weir_jwt_issuer one {
        issuer https://issuer.example;
        audience api;
        jwks all.jwks;
        algorithms ES256;
    }
HTTP
    location /all { weir_jwt all; proxy_pass http://UPSTREAM; }
    location /at { weir_jwt at; proxy_pass http://UPSTREAM; }
    location /one { weir_jwt one; proxy_pass http://UPSTREAM; }
    location /optional { weir_jwt all optional; proxy_pass http://UPSTREAM; }
    location /any { satisfy any; deny all; weir_jwt all; proxy_pass http://UPSTREAM; }
SERVER

sub status {
    my ($path, $token) = @_;
    utf8::encode($token);
    return get($path, bearer($token))->{status};
}

# Twice: the second time a good one is remembered, and a hostile one must not be.
for my $round (1, 2) {
    for my $token (@good) {
        is status('/all', $token->{token}), 200, "$token->{name}, time $round";
    }
    for my $token (@hostile) {
        is status('/all', $token->{token}), 401, "$token->{name}, time $round";
    }
}
for my $token (@hostile) {
    is status('/optional', $token->{token}), 401, "$token->{name}: not where it is optional";
}
isnt status('/any', $_->{token}), 200, "$_->{name}: not with satisfy any" for @hostile;
for my $token (@good) {
    my ($alg) = $token->{name} =~ /good: (\w+)/;
    is status('/at', $token->{token}), $token->{name} =~ /typ/ ? 200 : 401,
        "$token->{name}, where a type is required";
    is status('/one', $token->{token}), $alg eq 'ES256' || $alg eq 'signed' ? 200 : 401,
        "$token->{name}, where ES256 is the only algorithm";
}
is get('/all')->{status}, 401, 'no token';

is_deeply [logged('exited on signal|\[(?:alert|crit|emerg)\]')], [], 'the workers live';

done_testing();
