# A cached location with weir_jwt: what one caller gets, no other gets from the cache.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..", $Bin, "$Bin/../../cache", "$Bin/../../../lib";
use Scene;
use Test::More;
use Token;
use Weir::Processes;

new_key('main', $dir);
spit("$dir/main.jwks", jwks('main'));

# The response says whose it is, and that anyone may store it.
start_upstream(sub {
    my ($path, $request, $n) = @_;
    my ($who) = $request =~ /^X-Who: (\w+)\r$/mi;
    my @all = ('Cache-Control: public, s-maxage=3600', 'ETag: "v1"');
    return answer('200 OK', ['X-Accel-Redirect: /inside/' . substr($path, 9)], '')
        if $path =~ m{^/leading/};
    return answer('304 Not Modified', \@all, '') if $request =~ /^If-None-Match: "v1"/mi;
    return answer('500 Internal Server Error', [], 'failed') if $path =~ /fails/ && $n > 1;
    return answer('200 OK', [@all, "Content-Location: $path"], 'for ' . ($who // 'anyone') . " $n");
});

my $edge = sub { 'http://127.0.0.1:' . port_of_edge() };
start_edge(<<'HTTP', <<'SERVER');
    weir_cache_zone z 2m redis=main;
    weir_jwt_issuer main { issuer https://issuer.example; audience api; jwks main.jwks; }
    proxy_set_header X-Who $weir_jwt_subject;
HTTP
    weir_cache z;
    weir_cache_use_stale error timeout updating http_5xx;
    location /token     { weir_jwt main; proxy_pass http://UPSTREAM; }
    location /cookie    { weir_jwt main cookie=s; proxy_pass http://UPSTREAM; }
    location /optional  { weir_jwt main optional cookie=s; proxy_pass http://UPSTREAM; }
    location /key       {
        weir_jwt main cookie=s;
        weir_cache_key $uri$weir_jwt_subject;
        proxy_pass http://UPSTREAM;
    }
    location /same      { weir_cache_key /same; proxy_pass http://UPSTREAM; }
    location /protected {
        weir_cache_key /same;
        weir_jwt main cookie=s;
        proxy_pass http://UPSTREAM;
    }
    location /any       {
        satisfy any;
        allow 127.0.0.1;
        deny all;
        weir_jwt main cookie=s;
        proxy_pass http://UPSTREAM;
    }
    location /tried     { weir_jwt main cookie=s; try_files /none @app; }
    location @app       { proxy_pass http://UPSTREAM; }
    location /led       {
        weir_jwt main cookie=s;
        error_page 418 = @app;
        if ($weir_jwt_subject) { return 418; }
        proxy_pass http://UPSTREAM;
    }
    location /leading/  { weir_jwt main cookie=s; proxy_pass http://UPSTREAM; }
    location /inside/   { internal; proxy_pass http://UPSTREAM; }
    location /seen      {
        weir_jwt main cookie=s;
        weir_cache_invalidate on;
        proxy_pass http://UPSTREAM;
    }
SERVER

my %token = map { $_ => token(sub => $_) } qw(alice bob);
sub cookie { { Cookie => "s=$token{$_[0]}" } }

sub is_not_cached {
    my ($response, $content, $what) = @_;
    is $response->{content}, $content, $what;
    my $status = $response->{headers}{'cache-status'} // 'none';
    unlike $status, qr/hit|stored/, '... neither stored nor from the cache';
}

for my $path ('/token/a', '/token/a?query') {
    is_not_cached(get($path, bearer($token{alice})), 'for alice 1', "$path, with a token");
    is_not_cached(get($path, bearer($token{bob})), 'for bob 2', '... another caller');
    is_not_cached(get($path, bearer($token{alice})), 'for alice 3', '... the same again');
    is get($path)->{status}, 401, '... nobody';
}
like get('/token/b', bearer($token{alice}))->{headers}{'cache-status'}, qr/^Weir; fwd=bypass/,
    'Cache-Status says so';

for my $path (qw(/cookie /key /any /tried /led /seen)) {
    # where a location leads to one without weir_jwt, the claims are not known any longer
    my ($alice, $bob) = $path =~ /tried|led/ ? ('anyone') x 2 : qw(alice bob);
    is_not_cached(get("$path/a", cookie('alice')), "for $alice 1", "$path, a token in a cookie");
    is_not_cached(get("$path/a", cookie('bob')), "for $bob 2", '... another caller');
    is_not_cached(get("$path/a", cookie('alice')), "for $alice 3", '... the same again');
}
is_not_cached(get('/any/b'), 'for anyone 1', 'who is let in by another module');
is_not_cached(get('/any/b'), 'for anyone 2', '... has no share either');
is_not_cached(get('/any/b', { Cookie => "s=$token{bob}x" }), 'for anyone 3',
    '... nor with a bad token');

is_not_cached(get('/leading/x', cookie('alice')), 'for anyone 1', 'behind X-Accel-Redirect');
is_not_cached(get('/leading/x', cookie('bob')), 'for anyone 2', '... another caller');

# --- anonymous responses where a token is optional ---

get('/optional/a');
is get('/optional/a')->{content}, 'for anyone 1', 'without a token the response is shared';
is_not_cached(get('/optional/a', cookie('alice')), 'for alice 2', '... with one it is not');
is get('/optional/a')->{content}, 'for anyone 1', '... and does not replace what is';
is_not_cached(get('/optional/b', cookie('alice')), 'for alice 1', 'a token first');
is get('/optional/b')->{content}, 'for anyone 2', '... then none';
is get('/optional/b', { Cookie => 's=bad' })->{status}, 401, 'a bad token gets nothing';
is get('/optional/c', { Cookie => "s=; s=$token{bob}" })->{status}, 400, 'nor do two cookies';

# --- one key, two locations ---

get('/same');
is get('/same')->{content}, 'for anyone 1', 'a public response';
is_not_cached(get('/protected', cookie('alice')), 'for alice 1',
    'a protected location does not answer by it');
is get('/protected')->{status}, 401, '... and lets nobody in';
is get('/same')->{content}, 'for anyone 1', '... nor does it replace it';

# --- methods, conditions, errors ---

request('HEAD', '/cookie/head', cookie('alice'));
is_not_cached(get('/cookie/head', cookie('bob')), 'for bob 2', 'after a HEAD');
request('POST', '/cookie/post', cookie('alice'), 'x');
is_not_cached(get('/cookie/post', cookie('bob')), 'for bob 2', 'after a POST that could be stored');
is get('/cookie/a', { %{ cookie('bob') }, 'If-None-Match' => '"v1"' })->{status}, 304,
    "the client's conditions reach the upstream";
get('/cookie/fails', cookie('alice'));
is get('/cookie/fails', cookie('alice'))->{status}, 500, 'no stale response instead of an error';
my %only = ('Cache-Control' => 'only-if-cached');
is get('/cookie/only', { %{ cookie('alice') }, %only })->{status}, 504,
    'only-if-cached: nothing is';

my @kept = map { redis('GET', $_) =~ m{(/\w+/\w+)} ? $1 : () } keys_of('z');
is_deeply [grep { !/same|optional/ } @kept], [], 'Redis has nothing of a protected location';

done_testing();
