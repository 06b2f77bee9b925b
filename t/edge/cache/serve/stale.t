# Stale responses: validated with the upstream (RFC 9111 section 4.3), served
# while they are refreshed, or instead of an error (RFC 5861).
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use POSIX ();
use Scene;
use Test::More;

# Responses are stale when they come: their Age is past their lifetime.
my @old = ('Cache-Control: max-age=10', 'Age: 20');

start_upstream(sub {
    my ($path, $request, $n) = @_;
    my ($match) = $request =~ /^If-None-Match: (.*)\r/mi;
    my ($since) = $request =~ /^If-Modified-Since: (.*)\r/mi;
    my $conditions = join '|', $match // '-', $since // '-';
    my $validated = sub {
        my ($first, $then) = @_;
        return $n == 1 ? answer('200 OK', $first, "body of $path")
            : answer('304 Not Modified', $then, '') =~ s/Content-Length: 0\r\n//r;
    };

    if ($path eq '/etag') { return $validated->([@old, 'ETag: "e1"', 'X-Kept: 1', 'X-Renewed: 1',
        'Content-Type: text/x'],
            ['Cache-Control: max-age=600', 'ETag: "e1"', 'X-Renewed: 2', 'X-New: 3',
                "X-Conditions: $conditions",
             'Content-Type: text/y', 'Connection: X-Hop', 'X-Hop: 1']) }
    if ($path eq '/modified') { return $validated->([@old,
        'Last-Modified: Mon, 01 Jan 2024 10:00:00 GMT'],
            ['Cache-Control: max-age=600', "X-Conditions: $conditions"]) }
    if ($path eq '/client') {
        return $validated->([@old, 'ETag: "e1"'],
            ['Cache-Control: max-age=600', "X-Conditions: $conditions"]);
    }
    if ($path eq '/no-cache') {
        return $validated->(['Cache-Control: no-cache', 'ETag: "e1"'], ['ETag: "e1"']);
    }
    if ($path eq '/given-up') {
        return $n == 3 ? answer('200 OK', ['Cache-Control: no-store'], 'new')
            : $validated->([@old, 'ETag: "e1"'], ['Cache-Control: no-store']);
    }
    if ($path eq '/changed') { return answer('200 OK', ['Cache-Control: max-age=600', 'ETag: "e2"'],
        "changed from $conditions")
        if $n == 2;
        return answer('200 OK', [@old, 'ETag: "e1"'], 'first') }
    if ($path eq '/vary') {
        return $validated->([@old, 'ETag: "e1"', 'Vary: Accept-Language'],
            ['Cache-Control: max-age=600']);
    }
    if ($path eq '/reload') {
        return $validated->(['Cache-Control: max-age=600', 'ETag: "e1"'],
            ["X-Conditions: $conditions"]);
    }
    if ($path =~ m{^/swr}) {
        return answer('200 OK',
            [($n == 1 ? ('Age: 20', 'ETag: "e1"') : ()),
                'Cache-Control: max-age=10, stale-while-revalidate=600'],
            "answer $n");
    }
    if ($path eq '/swr-304') {
        return $validated->(['Age: 20', 'ETag: "e1"',
            'Cache-Control: max-age=10, stale-while-revalidate=600'],
            ['Cache-Control: max-age=600']);
    }
    if ($path =~ m{^/(error|use)/(\d+)(.*)}) {
        my ($kind, $status, $more) = ($1, $2, $3);
        return '' if $n > 1 && $status == 0;
        return answer("$status Oops", ['Content-Type: text/html'],
            'an error of the upstream' x 1000)
            if $n > 1;
        my $cc = 'max-age=10' . ($kind eq 'error' ? ', stale-if-error=600' : '')
            . ($more eq '/must' ? ', must-revalidate' : '');
        return answer('200 OK',
            ['Age: 20', "Cache-Control: $cc", 'ETag: "e1"',
                ($more eq '/tagged' ? 'Cache-Tag: tagged' : ())],
            "good $path");
    }
    if ($path eq '/error/slow/tagged2') {
        return answer('200 OK',
            ['Age: 20', 'Cache-Control: max-age=10, stale-if-error=600', 'Cache-Tag: tagged2',
                'ETag: "1"'],
            'good')
            if $n == 1;
        open my $out, '>', "$dir/slow";
        select undef, undef, undef, 1;
        return answer('503 Oops', [], 'oops');
    }
    return answer('200 OK', [], 'nothing');
});

start_edge(<<'HTTP', <<'SERVER');
    weir_cache_request_control obey;
    weir_cache_zone stale 1m redis=main;
    weir_cache_zone alone 1m;
    weir_breaker_zone breakers 1m;
HTTP
    weir_cache stale;
    location /             { proxy_pass http://UPSTREAM; }
    location /use          { weir_cache_use_stale error http_5xx; proxy_pass http://UPSTREAM; }
    location /use/503/page {
        weir_cache_use_stale error http_5xx;
        error_page 503 = /page;
        proxy_intercept_errors on;
        proxy_pass http://UPSTREAM;
    }
    location /use/503/recursive {
        recursive_error_pages on;
        weir_cache_use_stale error http_5xx;
        error_page 503 = /page;
        proxy_intercept_errors on;
        proxy_pass http://UPSTREAM;
    }
    location /use/502/open {
        weir_cache_use_stale breaker;
        weir_breaker zone=breakers failures=1 open=1h;
        proxy_pass http://UPSTREAM;
    }
    location = /page       { empty_gif; }
SERVER

# --- section 4.3: validation ---

is get('/etag')->{content}, 'body of /etag',
    'a response that is stale at once is stored, as it has a validator';
my $r = get('/etag');
is "$r->{status} $r->{content}", '200 body of /etag', 'a 304 makes the stored response the answer';
is $r->{headers}{'x-conditions'}, '"e1"|-', 'the upstream was asked by the stored ETag';
is $r->{headers}{'x-kept'}, 1, 'what the 304 does not name is kept';
is $r->{headers}{'x-renewed'}, 2, 'what it names is renewed';
is $r->{headers}{'x-new'}, 3, 'and added';
is $r->{headers}{'content-type'}, 'text/y',
    'what describes the body too, which is stored as it came';
ok !exists $r->{headers}{'x-hop'}, 'but not what is of one connection';
is cache_status($r), 'Weir; fwd=stale; fwd-status=304; stored', 'as Cache-Status says';
$r = get('/etag');
like cache_status($r), qr/^Weir; hit; ttl=(600|599);/, 'it is fresh again';
is "$r->{headers}{'x-renewed'} $r->{content}", '2 body of /etag',
    'with the new fields and the old body';

get('/modified');
is get('/modified')->{headers}{'x-conditions'}, '-|Mon, 01 Jan 2024 10:00:00 GMT',
    'without an ETag Last-Modified is the validator';

get('/client');
$r = get('/client', { 'If-None-Match' => '"other"', Range => 'bytes=0-1' });
is $r->{headers}{'x-conditions'}, '"e1"|-', "the client's own condition makes way";
is "$r->{status} $r->{content}", '206 bo', '... and its range is cut out of the whole';
is get('/client', { 'If-None-Match' => '"e1"' })->{status}, 304,
    'a condition that holds is a 304 of the cache';

is get('/no-cache')->{content}, 'body of /no-cache', 'no-cache with a validator is stored';
is cache_status(get('/no-cache')), 'Weir; fwd=stale; fwd-status=304; stored', '... and validated'
    for 1 .. 2;
is asked('/no-cache'), 3, '... each time';

get('/given-up');
is get('/given-up')->{content}, 'body of /given-up', 'a 304 with no-store is good for one answer';
is get('/given-up')->{content}, 'new', '... and for no other';

get('/changed');
is get('/changed')->{content}, 'changed from "e1"|-',
    'a 200 takes the place of what was to be validated';
is get('/changed')->{content}, 'changed from "e1"|-', '... and is stored';

get('/vary', { 'Accept-Language' => 'de' });
is cache_status(get('/vary', { 'Accept-Language' => 'de' })),
    'Weir; fwd=stale; fwd-status=304; stored', 'a variant is validated';
like cache_status(get('/vary', { 'Accept-Language' => 'de' })), qr/hit/,
    '... and fresh in its place';

get('/reload');
$r = get('/reload', { 'Cache-Control' => 'no-cache' });
is "$r->{status} $r->{content} $r->{headers}{'x-conditions'}", '200 body of /reload "e1"|-',
    'a reload of the client validates what is stored';

# --- RFC 5861 section 3: stale-while-revalidate ---

is get('/swr')->{content}, 'answer 1', 'the first answer is stored';
$r = get('/swr');
is $r->{content}, 'answer 1', 'stale, it is served at once';
like cache_status($r), qr/^Weir; hit; ttl=-1\d;/, '... and Cache-Status says how stale';
until_true('the refresh is there', sub { get('/swr')->{content} eq 'answer 2' });
is asked('/swr'), 2, 'one request has refreshed it';

# nginx reads nothing more from a connection of HTTP/1 as long as the refresh takes
sub connection_of {
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . port_of_edge()) // die $!;
    print $socket "GET $_[0] HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    my $head = '';
    while (my $line = <$socket>) { $head .= $line; last if $line eq "\r\n" }
    return ($head =~ /^Connection: (\S+)/mi)[0];
}
if (!in_world('http2')) {
    is connection_of('/swr/keep'), 'keep-alive', 'a connection is kept after a miss';
    is connection_of('/swr/keep'), 'close', '... but not after an answer that is refreshed in'
        . ' the background: the next request would wait';
    until_true('the refresh is there', sub { connection_of('/swr/keep') eq 'keep-alive' });
}

# --- RFC 5861 section 4: stale-if-error ---

for (['/error/503', 'the upstream answers 503'], ['/error/0', 'the upstream breaks off'],
    ['/use/500', 'weir_cache_use_stale http_5xx'],
     ['/use/0', 'weir_cache_use_stale error']) {
    my ($path, $name) = @$_;
    get($path);
    $r = get($path);
    is "$r->{status} $r->{content}", "200 good $path", "$name: the stale response is served";
    like cache_status($r), qr/^Weir; fwd=stale;.* detail=stale-if-error$/,
        '... and Cache-Status says why';
    is $r->{headers}{etag}, '"e1"', '... with its own fields';
}
get('/error/503/must');
is get('/error/503/must')->{status}, 503, 'must-revalidate forbids it';
get('/use/404');
is get('/use/404')->{status}, 404, 'other errors are answers';
for my $path ('/use/503/page', '/use/503/recursive') {
    get($path);
    is get($path)->{content}, "good $path", "$path: an error_page comes after what is stale";
}
get('/use/502/open');
is get('/use/502/open')->{status}, 502, 'a failure that is not named passes, and opens the breaker';
is get('/use/502/open')->{content}, 'good /use/502/open',
    'weir_cache_use_stale breaker: served while the breaker is open';
is asked('/use/502/open'), 2, '... which keeps the upstream in peace';

# --- what was invalidated is never served, however the upstream fails ---

get('/error/503/tagged');
redis('XADD', 'weir:invalidate', '*', 'tags', 'tagged');
until_true('the invalidation is applied', sub { get('/error/503/tagged')->{status} == 503 });
get('/error/slow/tagged2');
my $pid = open my $late, '-|' or do {
    my $r = get('/error/slow/tagged2');
    print "$r->{status} $r->{content}";
    POSIX::_exit(0);
};
until_true('the upstream is asked', sub { -e "$dir/slow" });
redis('XADD', 'weir:invalidate', '*', 'tags', 'tagged2');
unlike do { local $/; <$late> }, qr/good/, 'nor what is invalidated while the upstream is asked';

is scalar(logged(qr/\[(?:alert|crit|emerg)\]/)), 0, 'nothing alarming was logged';
done_testing;
