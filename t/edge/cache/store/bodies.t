# Bodies of every size and framing: a stored body is complete, or nothing is stored.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use IO::Socket::INET;
use Scene;
use Test::More;

my $binary = join '', map { chr($_ % 256) . "\r\n\0" } 1 .. 5000;    # 20000 bytes
my $cc = 'Cache-Control: max-age=600';

sub chunked {
    my ($body, $size) = @_;
    my $out = '';
    for (my $at = 0; $at < length $body; $at += $size) {
        my $part = substr $body, $at, $size;
        $out .= sprintf("%x;ext=1\r\n", length $part) . "$part\r\n";
    }
    return $out;
}

my $chunked_head = "HTTP/1.1 200 OK\r\n$cc\r\nTransfer-Encoding: chunked\r\n\r\n";
my %responses = (
    'binary' => answer('200 OK', [$cc], $binary),
    'empty' => answer('200 OK', [$cc], ''),
    'no-content' => "HTTP/1.1 204 No Content\r\n$cc\r\n\r\n",
    'reset-content' => "HTTP/1.1 205 Reset Content\r\n$cc\r\nContent-Length: 0\r\n\r\n",
    'not-found' => answer('404 Not Found', [$cc], 'nothing here'),
    'chunked' => $chunked_head . chunked($binary, 777) . "0\r\nX-Trailer: 1\r\n\r\n",
    'chunked-empty' => $chunked_head . "0\r\n\r\n",
    'closed' => "HTTP/1.1 200 OK\r\n$cc\r\n\r\n$binary",
    'http-1.0' => "HTTP/1.0 200 OK\r\n$cc\r\nContent-Length: 5\r\n\r\nhello",
    'exact' => answer('200 OK', [$cc], 'x' x 30000),
    'exact-chunked' => $chunked_head . chunked('x' x 30000, 9999) . "0\r\n\r\n",
    'too-large' => answer('200 OK', [$cc], 'x' x 30001),
    'too-large-chunked' => $chunked_head . chunked('x' x 30001, 9999) . "0\r\n\r\n",
    'too-large-closed' => "HTTP/1.1 200 OK\r\n$cc\r\n\r\n" . 'x' x 30001,
    'more-than-said' => "HTTP/1.1 200 OK\r\n$cc\r\nContent-Length: 5\r\n\r\nhello, world",
    'cut' => "HTTP/1.1 200 OK\r\n$cc\r\nContent-Length: 20000\r\n\r\nhello",
    'cut-at-once' => "HTTP/1.1 200 OK\r\n$cc\r\nContent-Length: 20000\r\n\r\n",
    'cut-chunk' => $chunked_head . "100\r\nhello",
    'cut-before-last-chunk' => $chunked_head . chunked($binary, 777),
    'bad-chunk' => $chunked_head . chunked($binary, 777) . "zz\r\nhello\r\n0\r\n\r\n",
    'huge' => answer('200 OK', [$cc], join '', map { "line $_\n" } 1 .. 100_000),    # 1.1 MB
);

start_upstream(sub {
    my ($path, $request, $n) = @_;
    return "HTTP/1.1 200 OK\r\nX-Accel-Redirect: /accel-target/$1\r\n\r\n"
        if $path =~ m{^/accel/(.*)};
    return answer('401 Unauthorized', [$cc], 'no') if $path eq '/auth' && $request !~ /^X-User/mi;
    my ($name) = $path =~ m{([^/]+)$};
    return $responses{$name} // answer('200 OK', [$cc], "answer $n of $path");
});

start_edge('weir_cache_zone bodies 1m redis=main;', <<'SERVER');
    weir_cache bodies l1=off;
    weir_cache_max_size 30000;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    location /          { proxy_pass http://UPSTREAM; }
    location /unbuffered { proxy_buffering off; proxy_pass http://UPSTREAM; }
    location /file      { # slow towards the client, so that nginx needs a temporary file
        weir_cache_max_size 4m;
        proxy_buffer_size 4k;
        proxy_buffers 4 4k;
        limit_rate 800k;
        proxy_pass http://UPSTREAM;
    }
    location /default   { weir_cache_max_size 1m; proxy_pass http://UPSTREAM; }
    location /accel-target/ { internal; proxy_pass http://UPSTREAM/target/; }
    location /protected { auth_request /auth; proxy_pass http://UPSTREAM; }
    location = /auth    { internal; proxy_pass http://UPSTREAM; }
    location /page {
        proxy_intercept_errors on;
        error_page 404 /instead;
        proxy_pass http://UPSTREAM;
    }
    location /named {
        proxy_intercept_errors on;
        error_page 404 = @named;
        proxy_pass http://UPSTREAM;
    }
    location @named     { proxy_pass http://UPSTREAM; }
SERVER

# Sends two requests; returns the number of upstream requests, and whether both responses had the
# status and body of the upstream.
sub twice {
    my $path = shift;
    my @r = map { get($path) } 1, 2;
    my $last = cache_status($r[1]);
    return { stored => $last =~ /^Weir; hit;/ ? 1 : 0, status => $r[1]{status},
        body => $r[1]{content},
        same => $r[0]{content} eq $r[1]{content} && $r[0]{status} == $r[1]{status} ? 1 : 0,
        length => $r[1]{headers}{'content-length'}, asked => asked($path) };
}

for my $place ('', '/unbuffered') {
    for (
        ['binary', 200, $binary],
        ['empty', 200, ''],
        ['no-content', 204, ''],
        ['reset-content', 205, ''],
        ['not-found', 404, 'nothing here'],
        ['chunked', 200, $binary],
        ['chunked-empty', 200, ''],
        ['closed', 200, $binary],
        ['http-1.0', 200, 'hello'],
        ['exact', 200, 'x' x 30000],
        ['exact-chunked', 200, 'x' x 30000],
    ) {
        my ($name, $status, $body) = @$_;
        my $got = twice("$place/$name");
        is_deeply [@$got{qw(stored same status asked)}], [1, 1, $status, 1],
            "$place/$name is stored";
        ok $got->{body} eq $body, '... whole';
        is $got->{length}, $status == 204 ? undef : length $body, '... and has a Content-Length';
    }
    for my $name ('too-large', 'too-large-chunked', 'too-large-closed') {
        my $got = twice("$place/$name");
        is_deeply [@$got{qw(stored same status asked)}], [0, 1, 200, 2],
            "$place/$name is not stored";
        is length $got->{body}, 30001, '... but sent whole';
    }
    unlike cache_status(get("$place/too-large")), qr/stored/,
        'a Content-Length that is too large is known at once';

    my $got = twice("$place/more-than-said");
    is $got->{body}, 'hello', "$place/more-than-said is what its Content-Length says";

    for my $name ('cut', 'cut-at-once', 'cut-chunk', 'cut-before-last-chunk', 'bad-chunk') {
        get("$place/$name");
        my $before = asked("$place/$name");
        unlike cache_status(get("$place/$name")), qr/hit/, "$place/$name is not stored";
        cmp_ok asked("$place/$name"), '>', $before, '... the upstream is asked again';
    }
}
is scalar(grep { redis('GET', $_) =~ /cut|bad-chunk/ } keys_of('bodies')), 0,
    'nothing of what broke off is in Redis';

# --- large ones ---

my ($huge) = $responses{huge} =~ /\r\n\r\n(.*)/s;
my $r = get('/default/huge');
unlike cache_status($r), qr/stored/, 'more than the size is not stored';
ok $r->{content} eq $huge, '... but sent whole';
$r = get('/file/huge');
ok $r->{content} eq $huge, 'a large answer to a slow client is whole';
cmp_ok scalar(logged(qr/is buffered to a temporary file/)), '>', 0,
    '... though it was in a temporary file';
my ($key) = entries_of('bodies', qr/line 100000\n\z/, 1);
ok substr(redis('GET', $key), -length $huge) eq $huge, '... and stored whole, from there';

# --- several on one connection ---

my $port = port_of_edge();
get("/line/$_") for 1 .. 3;
my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") or die $!;
print $socket map { "GET /line/$_ HTTP/1.1\r\nHost: 127.0.0.1:$port\r\n"
    . ($_ == 3 ? "Connection: close\r\n" : '') . "\r\n" } 1 .. 3;
my $all = do { local $/; <$socket> };
is_deeply [$all =~ /(answer \d of \S+?)(?=HTTP|$)/g], [map { "answer 1 of /line/$_" } 1 .. 3],
    'pipelined hits come in order';
is scalar(() = $all =~ /Cache-Status: Weir; hit;/g), 3, '... all from the cache';

# --- what nginx does between request and answer ---

is get('/accel/x')->{content}, 'answer 1 of /target/x', 'X-Accel-Redirect';
is get('/accel/x')->{content}, 'answer 1 of /target/x', '... is stored as what it led to';
is asked('/target/x'), 1, '... once';

is get('/protected', { 'X-User' => 'me' })->{status}, 200, 'auth_request lets pass';
like cache_status(get('/protected', { 'X-User' => 'me' })), qr/; hit;/, '... and a hit';
is get('/protected')->{status}, 401, '... but a hit is for those only whom it lets pass';
is asked('/auth'), 3, '... asked each time: no subrequest is cached';

$r = get('/page/not-found') for 1, 2;
is "$r->{status} $r->{content}", '404 answer 2 of /instead', 'an error page is not stored';
is asked('/page/not-found'), 2, '... nor taken for the answer';
get('/named/not-found') for 1, 2;
is asked('/named/not-found'), 4, 'nor one of a named location';    # by both

is scalar(logged(qr/\[(alert|emerg|crit)\]/)), 0, 'the log has no alert';
done_testing;
