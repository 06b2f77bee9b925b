# An upstream's response leads to another location: the second upstream gets the client's own
# header, its response is not stored for other requests, and a background refresh ends.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Scene;
use Test::More;

start_upstream(sub {
    my ($path, $request, $n) = @_;
    my ($user) = $request =~ /^Cookie: sid=(\w+)/mi;
    if ($path =~ m{^/app/}) {
        return answer('403 Forbidden', [], 'no') if !$user;
        (my $file = $path) =~ s{^/app}{/protected};
        return answer('200 OK',
            ["X-Accel-Redirect: $file", "Content-Disposition: attachment; filename=$user",
                "X-User: $user",
            $path =~ /private/ ? 'Cache-Control: private' : (),
            $path =~ /own/ ? 'My-Control: private' : ()], '');
    }
    return answer('200 OK', ['Cache-Control: max-age=600'], "$n of $path")
        if $path =~ m{^/protected/};
    return answer('200 OK', ['X-Accel-Redirect: /weak/a'], '') if $path eq '/leads';
    return answer('200 OK', ['X-Accel-Redirect: /gif'], '') if $path eq '/leads-to-gif';
    return answer('502 Bad Gateway', [], 'bad') if $path eq '/weak/a' && $n > 1;
    return answer('304 Not Modified', [], '')
        if $path =~ m{^/second} && $request =~ /^If-(None-Match|Modified-Since)/mi;
    return answer('200 OK', [], join ' ',
        sort map { lc } $request =~ /^(Range|If-[\w-]+|X-Seen: \S*)/mig)
        if $path =~ m{^/second};
    if ($n == 1) {
        return answer('200 OK',
            ['Cache-Control: max-age=0'
                . ($path =~ /refresh/ ? ', stale-while-revalidate=600' : ''),
            'ETag: "v1"', 'Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT'], "first of $path");
    }
    return answer('404 Not Found', [], 'none') if $path =~ m{^/error};
    return answer('200 OK', ["X-Accel-Redirect: /second$path"], '');
});

start_edge(<<'HTTP', <<'SERVER');
    weir_cache_zone z 2m redis=main;
    weir_breaker_zone breakers 1m;
HTTP
    weir_cache z;
    weir_cache_control_headers My-Control;
    location /           { proxy_pass http://UPSTREAM; }
    location /error {
        proxy_pass http://UPSTREAM;
        proxy_intercept_errors on;
        error_page 404 = @second;
    }
    location /weak/ {
        internal;
        weir_cache_use_stale breaker;
        weir_breaker zone=breakers failures=1 open=1h;
        proxy_pass http://UPSTREAM;
    }
    location /protected/ { internal; proxy_pass http://UPSTREAM; }
    location /second/ {
        internal;
        weir_cache off;
        proxy_set_header X-Seen $http_if_none_match;
        proxy_pass http://UPSTREAM;
    }
    location = /gif      { internal; empty_gif; }
    location = /status   { weir_cache off; weir_status; }
    location @second {
        rewrite ^ /second break;
        proxy_set_header X-Seen $http_if_none_match;
        proxy_pass http://UPSTREAM;
    }
SERVER

# --- conditions ---

for my $path ('/error/a', '/redirect/a') {
    get($path);
    is get($path, { Range => 'bytes=0-90' })->{content}, 'range',
        "$path: the second upstream gets the client's Range and no condition";
}

# --- who gets what is behind a check ---

my $alice = { Cookie => 'sid=alice' };
is get('/app/a', $alice)->{content}, '1 of /protected/a', 'alice gets her file';
is get('/app/a')->{status}, 403, 'a client without a cookie does not get it';
my $bob = get('/app/a', { Cookie => 'sid=bob' });
is $bob->{content}, '1 of /protected/a',
    'bob, whom the application has led there, gets what is stored';
is $bob->{headers}{'content-disposition'}, 'attachment; filename=bob',
    'with the header of his own answer';
get('/app/private', $alice);
is get('/app/private', $alice)->{content}, '2 of /protected/private',
    'an answer that is private holds for what it leads to';

get('/app/own', $alice);
is get('/app/own', $alice)->{content}, '2 of /protected/own',
    '... also by a field that weir_cache_control_headers names';

# --- a location that asks no upstream ---

my $misses = sub { get('/status')->{content} =~ /"uri-miss": *(\d+)/ ? $1 : die 'no uri-miss' };
my $before = $misses->();
my $gif = get('/leads-to-gif');
is "$gif->{status} $gif->{headers}{'content-type'}", '200 image/gif',
    'an answer leads to a location that asks no upstream';
ok !exists $gif->{headers}{'cache-status'}, '... of which Cache-Status says nothing';
is $misses->(), $before, '... and which is no miss';

# --- a breaker behind a redirect: the upstream that led there says nothing of the one that is not
# asked ---

is get('/leads')->{content}, 'first of /weak/a', 'an answer behind a redirect';
is get('/leads')->{status}, 502, '... whose upstream fails, and opens the breaker';
is get('/leads')->{content}, 'first of /weak/a',
    'weir_cache_use_stale breaker: served while it is open';

# --- a refresh in the background that is led away ---

get('/refresh/a');
is get('/refresh/a')->{content}, 'first of /refresh/a', 'a stale response while it is refreshed';
until_true('the refresh was asked for', sub { asked('/refresh/a') >= 2 });
stop('edge', 'QUIT');    # waits until every connection is closed
is scalar(logged(qr/open socket #|\[alert\]|exited on signal/)), 0,
    'the refresh leaves no connection behind';
is asked('/second/refresh/a'), 0, 'and asks for nothing behind the redirect';

done_testing;
