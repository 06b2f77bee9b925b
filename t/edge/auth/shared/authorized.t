# weir_cache_authorized: with whom a request with a verified token shares the responses that are
# stored, and with whom not.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..", $Bin, "$Bin/../../cache", "$Bin/../../../lib";
use Scene;
use Test::More;
use Token;
use Weir::Processes;

new_key('main', $dir);
new_key('other', $dir);
spit("$dir/main.jwks", jwks('main'));
spit("$dir/other.jwks", jwks('other'));

# The response says for whom it was made, and that it may be stored for an hour.
start_upstream(sub {
    my ($path, $request, $n) = @_;
    my ($who) = $request =~ /^X-Who: (.+?)\r$/mi;
    my @all = ('Cache-Control: max-age=3600', 'ETag: "v1"', 'Cache-Tag: all');
    return answer('200 OK', ['X-Accel-Redirect: /inside' . $path], '') if $path =~ m{^/leads};
    return answer('403 Forbidden', ['Cache-Control: max-age=3600'], "no $n") if $path =~ /refuses/;
    return answer('401 Unauthorized', ['Cache-Control: max-age=3600'], "no $n") if $path =~ /asks/;
    return answer('404 Not Found', ['Cache-Control: max-age=3600'], "none $n") if $path =~ /lacks/;
    return answer('500 Internal Server Error', [], 'failed') if $path =~ /fails/ && $n > 1;
    return answer('304 Not Modified', \@all, '') if $request =~ /^If-None-Match: "v1"/mi;
    $all[0] = 'Cache-Control: private, max-age=3600' if $path =~ /private/;
    $all[0] = 'Cache-Control: max-age=1' if $path =~ /soon/;
    push @all, 'Set-Cookie: a=b' if $path =~ /cookie-set/;
    push @all, 'Vary: Authorization' if $path =~ /varies/;
    return answer('200 OK', \@all, 'for ' . ($who // 'anyone') . " $n");
});

my ($http, $server) = (<<'HTTP', <<'SERVER');
    weir_cache_zone shares 2m redis=main;
    weir_jwt_issuer main  { issuer https://issuer.example; audience api; jwks main.jwks; }
    weir_jwt_issuer other { issuer https://other.example; audience api; jwks other.jwks; }
    proxy_set_header X-Who $weir_jwt_subject;
HTTP
    weir_cache shares;
    weir_cache_key $arg_key$uri;
    weir_cache_valid any 1h;
    weir_cache_use_stale error timeout http_5xx;
    weir_jwt main other;
    location /off     { proxy_pass http://UPSTREAM; }
    location /shared  { weir_cache_authorized shared; proxy_pass http://UPSTREAM; }
    location /subject { weir_cache_authorized subject; proxy_pass http://UPSTREAM; }
    location /tenant  {
        weir_cache_authorized partition=$weir_jwt_claim_tenant;
        proxy_pass http://UPSTREAM;
    }
    location /two     {
        weir_cache_authorized partition=$weir_jwt_claim_a partition=$weir_jwt_claim_b;
        proxy_pass http://UPSTREAM;
    }
    location /cookie  {
        weir_jwt main cookie=s;
        weir_cache_authorized shared;
        proxy_pass http://UPSTREAM;
    }
    location /optional {
        weir_jwt main optional;
        weir_cache_authorized shared;
        proxy_pass http://UPSTREAM;
    }
    location /any     {
        satisfy any;
        allow 127.0.0.1;
        deny all;
        weir_jwt_require scope=read;
        weir_cache_authorized shared;
        proxy_pass http://UPSTREAM;
    }
    location /same/open   { weir_jwt off; weir_cache_key same; proxy_pass http://UPSTREAM; }
    location /same/shared {
        weir_cache_authorized shared;
        weir_cache_key same;
        proxy_pass http://UPSTREAM;
    }
    location /same/scope  {
        weir_cache_authorized shared;
        weir_jwt_require scope=read;
        weir_cache_key same;
        proxy_pass http://UPSTREAM;
    }
    location /same/one    {
        weir_jwt main;
        weir_cache_authorized shared;
        weir_cache_key same;
        proxy_pass http://UPSTREAM;
    }
    location /same/subject {
        weir_cache_authorized subject;
        weir_cache_key same;
        proxy_pass http://UPSTREAM;
    }
    location /tried   { weir_cache_authorized subject; try_files /none @app; }
    location @app     { proxy_pass http://UPSTREAM; }
    location /leads   { proxy_pass http://UPSTREAM; }
    location /inside  { internal; weir_cache_authorized subject; proxy_pass http://UPSTREAM; }
    location /first   { weir_jwt main cookie=s; try_files /none @second; }
    location @second  { weir_cache_authorized shared; proxy_pass http://UPSTREAM; }
    location /led     { weir_cache_authorized shared; try_files /none @open; }
    location @open    { weir_jwt off; proxy_pass http://UPSTREAM; }
SERVER
start_edge($http, $server);

my %token = map { $_ => token(sub => $_) } qw(alice bob);
my %of = map { $_ => bearer($token{$_}) } keys %token;

sub gets {
    my ($path, $headers, $content, $what) = @_;
    my $response = get($path, $headers);
    is $response->{content}, $content, $what;
    return $response;
}

sub is_not_stored {
    my ($path, @rest) = @_;
    unlike gets($path, @rest)->{headers}{'cache-status'} // '', qr/hit|stored/,
        '... neither stored nor from the cache';
}

# --- with whom ---

is_not_stored('/off', $of{alice}, 'for alice 1', 'off is the default');
is_not_stored('/off', $of{alice}, 'for alice 2', '... also for the same caller');

like gets('/shared', $of{alice}, 'for alice 1', 'shared: the first caller')
    ->{headers}{'cache-status'}, qr/stored/, '... without "public" in the response';
gets('/shared', $of{bob}, 'for alice 1', '... another one');
is get('/shared')->{status}, 401, '... nobody';
is get('/shared', bearer("$token{bob}x"))->{status}, 401, '... a bad token';
is get('/shared', bearer(token(sub => 'bob', exp => time - 600)))->{status}, 401,
    '... an expired one';
gets('/shared', bearer(sign('other', '{"alg":"RS256"}',
    '{"iss":"https://other.example","aud":"api","exp":' . (time + 600) . ',"sub":"eve"}')),
    'for alice 1', '... one of the other issuer that the location accepts');
like request('HEAD', '/shared', $of{bob})->{headers}{'cache-status'}, qr/^Weir; hit/, '... HEAD';

gets('/subject', $of{alice}, 'for alice 1', 'subject: the first caller');
gets('/subject', $of{bob}, 'for bob 2', '... another one');
gets('/subject', $of{alice}, 'for alice 1', '... the first one again');
gets('/subject', bearer(token(sub => 'alice', jti => 'x')), 'for alice 1',
    '... with another token');
gets('/subject', bearer(sign('other', '{"alg":"RS256"}',
    '{"iss":"https://other.example","aud":"api","exp":' . (time + 600) . ',"sub":"alice"}')),
    'for alice 3', '... the same subject of another issuer');
is_not_stored('/subject', bearer(token()), 'for anyone 4', '... a token without a subject');
is_not_stored('/subject', bearer(token(sub => '')), 'for anyone 5', '... with an empty one');
is get('/subject', { %{ $of{bob} }, 'If-None-Match' => '"v1"' })->{status}, 304,
    '... a condition is answered from the own entry';
is asked('/subject'), 5, '... and asks nobody';

# --- claims: a value and its type ---

my @tenants = ('5', 5, ['5'], [5], '[5]', { a => 1 }, JSON::PP::true(), 'true', "5:s1:5");
my $n = 0;
for my $tenant (@tenants) {
    $n++;
    my $shown = JSON::PP->new->allow_nonref->canonical->encode($tenant);
    my $token = bearer(token(sub => 'x', tenant => $tenant));
    gets('/tenant', $token, "for x $n", "the tenant $shown has a share of its own");
    gets('/tenant', $token, "for x $n", '... which it gets again');
}
is_not_stored('/tenant', bearer(token(sub => 'x')), 'for x ' . ++$n, 'no tenant');
is_not_stored('/tenant', bearer(token(sub => 'x', tenant => undef)), 'for x ' . ++$n, 'null');
is_not_stored('/tenant', bearer(token(sub => 'x', tenant => 'x' x 2000)), 'for x ' . ++$n,
    'a tenant that is too long');

gets('/two', bearer(token(sub => 'x', a => 'a', b => 'bc')), 'for x 1', 'two claims');
gets('/two', bearer(token(sub => 'x', a => 'ab', b => 'c')), 'for x 2', '... are kept apart');
gets('/two', bearer(token(sub => 'x', a => 'a', b => 'bc')), 'for x 1', '... and found again');
is_not_stored('/two', bearer(token(sub => 'x', a => 'a')), 'for x 3', '... both are needed');

# --- one key, several requirements ---

my $reader = bearer(token(sub => 'reader', scope => 'read'));
gets('/same/open', {}, 'for anyone 1', 'the response of an open location');
gets('/same/shared', $reader, 'for reader 1', '... is not that of one with a token');
gets('/same/scope', $reader, 'for reader 1', '... nor that of one with a requirement');
gets('/same/one', $reader, 'for reader 1', '... nor that of one with fewer issuers');
gets('/same/subject', $reader, 'for reader 1', '... nor that of a subject');
gets('/same/shared', $of{bob}, 'for reader 1', 'who has no scope shares what needs none');
is get('/same/scope', $of{bob})->{status}, 403, '... and gets nothing else';
gets('/same/open', {}, 'for anyone 1', 'the open one is what it was');

# --- where the token is, and who else admits ---

gets('/cookie', { Cookie => "s=$token{alice}" }, 'for alice 1', 'a token in a cookie');
gets('/cookie', { Cookie => "s=$token{bob}" }, 'for alice 1', '... is shared');
my %basic = (Authorization => 'Basic eDp5');
is_not_stored('/cookie/basic', { Cookie => "s=$token{bob}", %basic }, 'for bob 1',
    '... but not with an Authorization of another kind');
is_not_stored('/cookie/basic', { Cookie => "s=$token{bob}", %basic }, 'for bob 2',
    '... which the partition does not account for');

gets('/optional', {}, 'for anyone 1', 'optional: without a token');
gets('/optional', $of{alice}, 'for alice 2', '... with one');
gets('/optional', $of{bob}, 'for alice 2', '... another one');
gets('/optional', {}, 'for anyone 1', '... without one again');

is_not_stored('/any', {}, 'for anyone 1', 'satisfy any: without a token');
is_not_stored('/any', $of{bob}, 'for bob 2', '... without the scope');
gets('/any', $reader, 'for reader 3', '... with it');
is_not_stored('/any', $of{bob}, 'for bob 4', '... without it after that');
gets('/any', bearer(token(sub => 'x', scope => 'read')), 'for reader 3', '... who has it shares');

# --- redirects ---

gets('/tried', $of{alice}, 'for alice 1', 'a named location without a share');
gets('/tried', $of{alice}, 'for alice 2', '... shares nothing');
gets('/leads/a', $of{alice}, 'for alice 1', 'X-Accel-Redirect');
gets('/leads/a', $of{bob}, 'for bob 2', '... another caller');
gets('/leads/a', $of{alice}, 'for alice 1', '... the first one again');
is_not_stored('/first', { Cookie => "s=$token{alice}", %{ $of{bob} } }, 'for bob 1',
    'a token that led away from a location, and another one');
is_not_stored('/first', { Cookie => "s=$token{alice}", %{ $of{bob} } }, 'for bob 2',
    '... have no share');
gets('/first', { Cookie => "s=$token{alice}", %{ $of{alice} } }, 'for alice 3', 'the same twice');
gets('/first', { Cookie => "s=$token{bob}", %{ $of{bob} } }, 'for alice 3', '... has one');
is_not_stored('/led', $of{alice}, 'for anyone 1', 'led to an open location');
is_not_stored('/led', $of{bob}, 'for anyone 2', '... nothing is stored');

# --- what the upstream says ---

for my $path (qw(/shared/private /shared/cookie-set /subject/private)) {
    is_not_stored($path, $of{alice}, 'for alice 1', $path);
    is_not_stored($path, $of{bob}, 'for bob 2', '... another caller');
}
gets('/shared/varies', $of{alice}, 'for alice 1', 'Vary: Authorization');
gets('/shared/varies', $of{bob}, 'for bob 2', '... is obeyed');
for my $path (qw(/shared/refuses /shared/asks /subject/refuses)) {
    is_not_stored($path, $of{alice}, 'no 1', "$path, although weir_cache_valid names it");
    is_not_stored($path, $of{bob}, 'no 2', '... another caller');
}
gets('/shared/lacks', $of{alice}, 'none 1', 'a 404');
gets('/shared/lacks', $of{bob}, 'none 1', '... is shared');

# --- stale, invalidated, in Redis ---

gets('/subject/fails-soon', $of{alice}, 'for alice 1', 'a response that expires soon');
until_true('it has expired', sub {
    get('/subject/fails-soon', $of{alice})->{headers}{'cache-status'} =~ /fwd|ttl=-/
});
gets('/subject/fails-soon', $of{alice}, 'for alice 1', '... is served stale to its caller');
is get('/subject/fails-soon', $of{bob})->{status}, 500, '... and to no other';

gets('/subject/read', $of{alice}, 'for alice 1', 'stored');
entries_of('shares', qr{/subject/read}, 1);
gets('/subject/swap', $of{alice}, 'for alice 1', 'two callers');
gets('/subject/swap', $of{bob}, 'for bob 2', '... store');
my ($hers, $his) =
    map { (entries_of('shares', qr{$_ .*/subject/swap}s, 1))[0] } qw(s5:alice s3:bob);
redis('SET', $his, redis('GET', $hers));
stop('edge', 'QUIT');
start_edge($http, $server);
gets('/subject/read', $of{bob}, 'for bob 2', 'after a restart, another caller');
gets('/subject/read', $of{alice}, 'for alice 1', '... and the first one, from Redis');
gets('/subject/swap', $of{bob}, 'for bob 3', 'an entry under the name of another partition');
gets('/subject/swap', $of{alice}, 'for alice 1', '... is found under its own');
stop('edge', 'QUIT');
start_edge($http =~ s/jwks main.jwks;/jwks main.jwks; leeway 9s;/r, $server);
gets('/subject/read', $of{alice}, 'for alice 3', 'an edge that requires something else');
redis('XADD', 'weir:invalidate', '*', 'tags', 'all');
until_true('alice asks the upstream again', sub {
    get('/subject/read', $of{alice})->{content} !~ /alice [13]/
});
unlike get('/subject/read', $of{bob})->{content}, qr/bob 2/, 'an invalidation is for all shares';

done_testing();
