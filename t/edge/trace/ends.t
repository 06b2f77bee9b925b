# However a request ends, it has exactly one server span, with what is known of it.
use strict;
use warnings;

use FindBin '$Bin';
use lib $Bin, "$Bin/../cache", "$Bin/../../lib";
use Scene;
use Test::More;
use Trace;
use Weir::Http2;
use Weir::Processes;

start_upstream(sub {
    my ($path, $request, $n) = @_;
    my @plain = ('Content-Type: text/plain');
    return answer('200 OK', ['Cache-Control: max-age=600', @plain], 'stored')
        if $path =~ m{^/stored};
    return answer($n == 1 ? '200 OK' : '500 Internal Server Error',
        ['Cache-Control: max-age=1, stale-if-error=600', 'Age: 1', @plain], 'stale')
        if $path =~ m{^/stale};
    return answer('200 OK', ['Cache-Control: max-age=600', 'Cache-Tag: a',
        $path =~ /named/ ? 'Weir-Invalidate: a' : 'X: y'], $request =~ /^GET/ ? 'tagged' : '')
        if $path =~ m{^/tagged};
    return answer('500 Internal Server Error', [], 'no') if $path =~ m{^/(?:fails|breaks)};
    return answer('200 OK', ['X-Accel-Redirect: /static'], '') if $path =~ m{^/accel};
    return "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort" if $path =~ m{^/short};
    return answer('200 OK', ['Content-Type: text/html'], '<!--#include virtual="/included" -->')
        if $path =~ m{^/ssi};
    return answer('403 Forbidden', [], '') if $path =~ m{^/auth};
    return sub {
        my $name = $path =~ s{\W}{}gr;
        until_true("$path may answer", sub { -e "$dir/go-$name" });
        return answer('200 OK', ['Cache-Control: max-age=600'], 'held');
    } if $path =~ m{^/held};
    return answer('200 OK', \@plain, 'body');
});
my $dead = free_port();
my $h2 = free_port();
mkdir "$dir/html";
spit("$dir/html/file.txt", 'a file');

start_traced(<<"HTTP", <<"SERVER");
    weir_cache_zone memory 1m;
    weir_breaker_zone breakers 256k;
    weir_api shop { media_type application/vnd.shop; versions 1 2; default 2; }
    limit_req_zone \$request_method zone=few:64k rate=1r/m;
    client_header_timeout 300ms;
    client_body_timeout 300ms;
    large_client_header_buffers 2 1k;
    client_max_body_size 100;
    weir_problem_pages on;
    weir_trace on;
    weir_trace_context propagate;
    access_log logs/access.log;
    server {
        listen 127.0.0.1:$h2 http2;
        location / { proxy_pass http://UPSTREAM; }
    }
HTTP
    root $dir/html;
    location / { proxy_pass http://UPSTREAM; }
    location = /static { return 200 static; }
    location = /moved { return 301 /static; }
    location = /closed { return 444; }
    location /files { alias $dir/html/; }
    location = /rewritten { rewrite ^ /static last; }
    location = /tried { try_files /nothing /static; }
    location = /named { error_page 404 = \@named; return 404; }
    location \@named { return 200 named; }
    location = /paged { error_page 403 = /static; return 403; }
    location = /dead { proxy_pass http://127.0.0.1:$dead; }
    location = /slow { proxy_read_timeout 200ms; proxy_pass http://UPSTREAM/held-forever; }
    location = /breaks {
        weir_breaker zone=breakers key=b failures=1 open=1h;
        proxy_pass http://UPSTREAM;
    }
    location /versioned { weir_version shop; proxy_pass http://UPSTREAM; }
    location /stored { weir_cache memory; proxy_pass http://UPSTREAM; }
    location /held-shared { weir_cache memory; proxy_pass http://UPSTREAM; }
    location /stale {
        weir_cache memory;
        weir_cache_use_stale http_5xx;
        proxy_pass http://UPSTREAM;
    }
    location /tagged {
        weir_cache memory;
        weir_cache_invalidate on;
        weir_cache_purge on;
        proxy_pass http://UPSTREAM;
    }
    location /ssi { ssi on; proxy_pass http://UPSTREAM; }
    location = /guarded { auth_request /auth; proxy_pass http://UPSTREAM; }
    location = /auth { internal; proxy_pass http://UPSTREAM; }
    location = /mirrored { mirror /copy; proxy_pass http://UPSTREAM; }
    location = /copy { internal; proxy_pass http://UPSTREAM; }
    location = /few { limit_req zone=few; proxy_pass http://UPSTREAM; }
    location = /denied { deny all; }
    location = /connections { weir_trace off; stub_status; }
    location = /untraced { weir_trace off; return 204; }
SERVER

sub raw {
    my ($bytes, %more) = @_;
    my $socket = listens(port_of_edge()) or die $!;
    print $socket $bytes;
    return $socket if $more{open};
    local $/;
    my $answer = <$socket>;
    return $answer // '';
}

sub head { my ($line, @more) = @_; return join("\r\n", $line, 'Host: a.test:81', @more, '', '') }

# A request of a host, which closes the connection.
sub named {
    my ($host, $line) = @_;
    return raw(join "\r\n", $line, "Host: $host", 'Connection: close', '', '');
}

# A client that leaves while its upstream is asked.
sub leave {
    my $path = shift;
    my $socket = raw(head("GET $path HTTP/1.1"), open => 1);
    until_true("the upstream was asked for $path", sub { asked($path) });
    close $socket;
}

# Name; what is done; attributes of the span, undef: absent.
my $method = 'http.request.method';
my $status = 'http.response.status_code';
sub of_host {
    my ($address, $port, %more) = @_;
    return { $method => 'GET', name => 'GET = /static', 'url.scheme' => 'http',
        'http.route' => '= /static', 'server.address' => $address, 'server.port' => $port,
        'network.protocol.version' => '1.1', 'url.path' => '/static', %more };
}
my @ends = (
    ['a response of the upstream', sub { get('/plain?a=1&sig=secret') }, { $method => 'GET',
        $status => 200, 'url.path' => '/plain', 'url.query' => 'a=1&sig=REDACTED',
        'url.scheme' => 'http', 'http.route' => '/', 'client.address' => '127.0.0.1',
        'server.address' => '127.0.0.1', 'network.protocol.version' => '1.1',
        'http.response.body.size' => 4, 'error.type' => undef, name => 'GET /', status => 0 }],
    ['a response of nginx', sub { get('/static') },
        { $status => 200, 'http.route' => '= /static' }],
    ['a credential with a question mark', sub { get('/static?sig=one?two&b=2') },
        { 'url.query' => 'sig=REDACTED&b=2' }],
    ['a redirect', sub { get('/moved') }, { $status => 301 }],
    ['a file', sub { get('/files/file.txt') }, { $status => 200, 'http.response.body.size' => 6 }],
    ['no file', sub { get('/files/other') },
        { $status => 404, status => 0, 'error.type' => undef }],
    ['HEAD', sub { request('HEAD', '/plain') }, { $method => 'HEAD', name => 'HEAD /',
        'http.response.body.size' => 0 }],
    ['POST', sub { request('POST', '/plain', {}, 'x') }, { $method => 'POST', $status => 200 }],
    ['an unknown method', sub { request('BREW', '/static') }, { $method => '_OTHER',
        'http.request.method_original' => 'BREW', name => 'HTTP = /static' }],
    ['a method that nginx refuses', sub { raw(head('TRACE / HTTP/1.1', 'Connection: close')) },
        { $method => 'TRACE', $status => 405 }],
    ['HTTP/0.9', sub { raw("GET /static\r\n") }, { 'network.protocol.version' => '0.9' }],
    ['HTTP/1.0', sub { raw("GET /static HTTP/1.0\r\n\r\n") }, { 'network.protocol.version' => '1.0',
        'server.address' => undef }],
    ['no HTTP', sub { raw("nonsense\r\n\r\n") },
        { $status => 400, $method => '_OTHER', name => 'HTTP', 'url.path' => undef }],
    ['no Host', sub { raw("GET /static HTTP/1.1\r\n\r\n") }, { $status => 400, $method => 'GET' }],
    ['two lengths', sub { raw(head('POST / HTTP/1.1', 'Content-Length: 1', 'Content-Length: 2')) },
        { $status => 400, $method => 'POST' }],
    ['a URI that is too long', sub { raw(head('GET /' . 'x' x 2000 . ' HTTP/1.1')) },
        { $status => 414 }],
    ['a header that is too long', sub { raw(head('GET / HTTP/1.1', 'X: ' . 'x' x 2000)) },
        { $status => 400, 'url.path' => '/' }],
    ['a body that is too long', sub { request('POST', '/plain', {}, 'x' x 101) },
        { $status => 413 }],
    ['a chunk that is none', sub {
        raw(head('POST /plain HTTP/1.1', 'Transfer-Encoding: chunked') . "zz\r\n");
    }, { $status => 400 }],
    ['a header that does not end', sub { raw("GET /static HTTP/1.1\r\nHost: a.test\r\n") },
        { $status => 408 }],
    ['a body that does not end', sub { raw(head('POST /plain HTTP/1.1', 'Content-Length: 10')) },
        { $status => 408, 'http.route' => '/' }],
    ['a client that leaves', sub { leave('/held-left') }, { $status => 499, status => 0 }],
    ['a connection that nginx closes', sub { raw(head('GET /closed HTTP/1.1')) },
        { $status => 444 }],
    ['no access', sub { get('/denied') }, { $status => 403 }],
    ['a server of the upstream that is dead', sub { get('/dead') }, { $status => 502, status => 2,
        'error.type' => '502' }],
    ['a server of the upstream that is slow', sub { get('/slow') },
        { $status => 504, status => 2 }],
    ['a failure of the upstream', sub { get('/fails') }, { $status => 500, status => 2 }],
    ['a body of the upstream that breaks off', sub { raw(head('GET /short HTTP/1.1')) },
        { $status => 200, 'http.response.body.size' => 5 }],
    ['an internal redirect', sub { get('/rewritten') }, { 'url.path' => '/rewritten',
        'http.route' => '= /static' }],
    ['try_files', sub { get('/tried') }, { 'url.path' => '/tried', $status => 200 }],
    ['a named location for errors', sub { get('/named') },
        { $status => 200, 'url.path' => '/named' }],
    ['a page for errors', sub { request('POST', '/paged', {}, 'x') }, { $method => 'POST',
        'url.path' => '/paged', $status => 200 }],
    ['X-Accel-Redirect', sub { get('/accel') }, { 'url.path' => '/accel', $status => 200 }],
    ['a version that is not offered', sub {
        get('/versioned', { Accept => 'application/vnd.shop.v9+json' }) }, { $status => 406 }],
    ['a version', sub { get('/versioned', { Accept => 'application/vnd.shop.v1+json' }) },
        { 'weir.version' => '1' }],
    ['a failure that opens the breaker', sub { get('/breaks') }, { $status => 500,
        events => ['weir.breaker.opened'] }],
    ['a refusal of the breaker', sub { get('/breaks') }, { $status => 503,
        events => ['weir.breaker.refused'] }],
    ['a miss', sub { get('/stored') }, { 'weir.cache.status' => 'MISS' }],
    ['a hit', sub { get('/stored') }, { 'weir.cache.status' => 'HIT', $status => 200 }],
    ['a response that will be stale', sub { get('/stale') }, { 'weir.cache.status' => 'MISS' }],
    ['a stale response', sub { get('/stale') }, { 'weir.cache.status' => 'STALE',
        events => ['weir.cache.stale'] }],
    ['a response with a tag', sub { get('/tagged/a') }, { events => [] }],
    ['... which its own POST invalidates', sub { request('POST', '/tagged/a', {}, 'x') },
        { events => ['weir.cache.invalidated'] }],
    ['... and is not used', sub { get('/tagged/a') }, { 'weir.cache.status' => 'EXPIRED',
        events => ['weir.cache.outdated'] }],
    ['... and is again', sub { get('/tagged/a') }, { 'weir.cache.status' => 'HIT', events => [] }],
    ['... which a response invalidates by its tag, and its target',
        sub { request('POST', '/tagged/named', {}, 'x') },
        { events => ['weir.cache.invalidated'] }],
    ['... and is not used', sub { get('/tagged/a') }, { events => ['weir.cache.outdated'] }],
    ['a PURGE', sub { request('PURGE', '/tagged/a') }, { $method => '_OTHER',
        events => ['weir.cache.invalidated'] }],
    ['... and is not used', sub { get('/tagged/a') }, { events => ['weir.cache.outdated'] }],
    ['SSI', sub { get('/ssi') }, { $status => 200 }],
    ['auth_request', sub { get('/guarded') }, { $status => 403 }],
    ['mirror', sub { get('/mirrored') }, { $status => 200 }],
    ['the limit of a rate', sub { get('/few') }, { $status => 200 }],
    ['... when it is exceeded', sub { get('/few') }, { $status => 503 }],
    ['HTTP/2', sub { Weir::Http2->new($h2)->get('/plain', 'user-agent', 'test') }, {
        'network.protocol.version' => '2', 'user_agent.original' => 'test', $method => 'GET',
        'server.address' => 'a.test', 'url.path' => '/plain' }],
    # The location remembers what is common to its requests.
    ['a host', sub { named('b.test:81', 'GET /static HTTP/1.1') }, of_host('b.test', 81)],
    ['... again', sub { named('b.test:81', 'GET /static HTTP/1.1') }, of_host('b.test', 81)],
    ['... with another port', sub { named('b.test:82', 'GET /static HTTP/1.1') },
        of_host('b.test', 82)],
    ['... without a port', sub { named('b.test', 'GET /static HTTP/1.1') }, of_host('b.test', 80)],
    ['... with a dot', sub { named('b.test.', 'GET /static HTTP/1.1') }, of_host('b.test', 80)],
    ['... of the same length', sub { named('c.test.', 'GET /static HTTP/1.1') },
        of_host('c.test', 80)],
    ['... with another method', sub { named('c.test.', 'HEAD /static HTTP/1.1') },
        of_host('c.test', 80, $method => 'HEAD', name => 'HEAD = /static')],
    ['... with another version', sub { named('c.test.', 'HEAD /static HTTP/1.0') },
        of_host('c.test', 80, $method => 'HEAD', 'network.protocol.version' => '1.0',
            name => 'HEAD = /static')],
    ['... with a longer name', sub { named('c' x 65, 'GET /static HTTP/1.1') },
        of_host('c' x 65, 80)],
    ['... again', sub { named('c' x 65, 'GET /static HTTP/1.1') }, of_host('c' x 65, 80)],
    ['... of the request line', sub { named('c.test:81', 'GET http://d.test/static HTTP/1.1') },
        of_host('d.test', 81)],
    ['... and not of it', sub { named('c.test:81', 'GET /static HTTP/1.1') },
        of_host('c.test', 81)],
    ['... with an unknown method', sub { named('c.test:81', 'BREW /static HTTP/1.1') },
        of_host('c.test', 81, $method => '_OTHER', name => 'HTTP = /static')],
    ['a stream of HTTP/2 that is reset', sub {
        my $client = Weir::Http2->new($h2);
        my $stream = $client->open('GET', '/held-reset', 1);
        until_true('the upstream was asked', sub { asked('/held-reset') });
        $client->put(Weir::Http2::frame(3, 0, $stream, pack 'N', 8));
        return $client;
    }, { $status => 499, 'url.path' => '/held-reset' }],
);

my ($trace, $parent) = (id('a', 16), id('b', 8));
for my $end (@ends) {
    my ($what, $request, $expected) = @$end;
    my ($response, @spans) = traced($what, $request);
    my $span = server_span(@spans);
    my $attributes = $span->{attributes};
    for my $key (sort keys %$expected) {
        my $got = $key eq 'events' ? [map { $_->{name} } @{ $span->{events} }]
            : $key =~ /\./ ? $attributes->{$key} : $span->{$key};
        is_deeply $got, $expected->{$key}, "$what: $key";
    }
    is scalar(grep { $_->{start} < $span->{start} || $_->{end} > $span->{end}
            || $_->{start} > $_->{end} } @spans), 0, '... all spans are within its time'
       ;
    is scalar(grep { $_->{time} < $span->{start} || $_->{time} > $span->{end} }
            @{ $span->{events} }), 0, '... and all events';
}

# --- several requests at once ---

my $pipelined = raw(head('GET /static HTTP/1.1') . head('GET /plain HTTP/1.1')
        . head('GET /moved HTTP/1.1', 'Connection: close'));
my @spans = spans_until('a pipeline', sub { ($_->{attributes}{'url.path'} // '') eq '/moved' });
is_deeply [map { $_->{attributes}{'url.path'} } grep { $_->{kind} == 2 } @spans],
    ['/static', '/plain', '/moved'], 'requests of a pipeline have one each';

for my $client (1, 2) {
    spawn("client $client", sub { get('/held-shared'); POSIX::_exit(0) });
    until_true('the first is at the upstream', sub { asked('/held-shared') }) if $client == 1;
}
my $host = '127.0.0.1:' . port_of_edge();
my $left = raw("GET /held-shared HTTP/1.1\r\nHost: $host\r\n\r\n", open => 1);
until_true('all wait', sub { get('/connections')->{content} =~ /Writing: 4/ });
close $left;
@spans = spans_until('a client that waited and left', sub { $_->{kind} == 2 });
is server_span(@spans)->{attributes}{$status}, 499,
    'a client that leaves while it waits for a turn';
is_deeply [map { $_->{name} } grep { $_->{kind} == 1 } @spans], ['wait for turn'],
    '... has waited for it';
spit("$dir/go-heldshared", '');
@spans = ();
until_true('both clients are answered', sub {
    push @spans, spans_until('collapsed', sub { $_->{kind} == 2 });
    2 == grep { $_->{kind} == 2 } @spans;
});
is scalar(grep { $_->{kind} == 3 } @spans), 1, 'one of two requests at once has asked the upstream';
ok scalar(grep { $_->{name} eq 'wait for turn' } @spans), '... the other one has waited for it';

my $response = get('/untraced', { traceparent => "00-$trace-$parent-01" });
is scalar(grep { $_->{kind} == 2 } spans_until('off', undef)), 0, 'weir_trace off: no span';

# --- problem documents ---

$response = get('/breaks', { traceparent => "00-$trace-$parent-01" });
like $response->{content}, qr/"trace_id":"$trace"/, 'a problem document has the trace';
$response = get('/denied', { traceparent => "00-$trace-$parent-01" });
like $response->{content}, qr/"trace_id":"$trace"/, '... also that of a page of nginx';

is scalar(logged(qr/\[(?:alert|crit|emerg)\]/)), 0, 'no alarm';
done_testing;
