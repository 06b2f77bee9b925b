# Each try of an upstream is a client span, whose id is the one that this server received.
use strict;
use warnings;

use FindBin '$Bin';
use lib $Bin, "$Bin/../cache", "$Bin/../../lib";
use Scene;
use Test::More;
use Trace;
use Weir::Processes;

# Keeps each request that it receives; the name of the path says how the first one is answered.
start_upstream(sub {
    my ($path, $request, $n) = @_;
    my ($kind) = $path =~ m{^/([a-z]+)};
    spit("$dir/received-$kind-$n", $request);
    return answer('302 Found', ['X-Accel-Redirect: /second/'], '') if $kind eq 'accel';
    return echo($request) if $n > 1 || $kind =~ /^(?:dead|second|sub|mirrored|main)$/;
    return answer('503 Service Unavailable', [], 'busy')
        if $kind =~ /^(?:busy|body|all|bthree|leaves)$/;
    return '' if $kind eq 'closes';
    return sub { until_true('the edge has given up', sub { -e "$dir/received-hangs-2" }); '' };
});
my ($dead, $grpc) = (free_port(), free_port());
mkdir "$dir/received";

start_traced(<<"HTTP", <<"SERVER");
    upstream twice { server UPSTREAM max_fails=0; server UPSTREAM max_fails=0; }
    upstream dead  { server 127.0.0.1:$dead; server UPSTREAM backup; }
    upstream grpc {
        server 127.0.0.1:$grpc max_fails=0;
        server 127.0.0.1:$grpc max_fails=0;
        server 127.0.0.1:$grpc max_fails=0;
    }
    log_format received '\$uri \$http_traceparent \$http_b3 \$http_x_b3_spanid';
    weir_trace on;
    proxy_next_upstream error timeout http_503 non_idempotent;
    proxy_read_timeout 300ms;
    proxy_buffers 16 64k;
    server {
        listen 127.0.0.1:$grpc http2;
        weir_trace off;
        access_log logs/grpc.log received;
        location / { return 503; }
    }
HTTP
    client_body_buffer_size 1k;
    location / { proxy_pass http://twice; }
    location /dead { proxy_pass http://dead; }
    location /bthree { weir_trace_context inject b3 b3multi; proxy_pass http://twice; }
    location /ignored { weir_trace_context ignore; proxy_pass http://twice/busy; }
    location /longest/ { weir_trace_context propagate; return 204; }
    location /second/ { internal; proxy_pass http://UPSTREAM; }
    location /grpc { grpc_pass grpc://grpc; grpc_next_upstream http_503; }
    location /grpc-b3 {
        weir_trace_context inject b3 b3multi;
        grpc_pass grpc://grpc;
        grpc_next_upstream http_503;
    }
    location /left {
        error_page 503 = /untraced;
        proxy_intercept_errors on;
        proxy_pass http://UPSTREAM/leaves;
    }
    location = /untraced { weir_trace off; proxy_pass http://UPSTREAM/second/; }
    location /main { mirror /mirrored; auth_request /sub; proxy_pass http://UPSTREAM; }
    location /mirrored { internal; proxy_pass http://UPSTREAM; }
    location /sub { internal; proxy_pass_request_body off; proxy_set_header Content-Length "";
        proxy_pass http://UPSTREAM; }
SERVER

# The client spans of a request in the order of their start, after checks that all have in common.
sub clients {
    my ($what, $number, $spans) = @_;
    my $server = server_span(@$spans);
    my @clients = sort { $a->{start} <=> $b->{start} or
        ($a->{attributes}{'http.request.resend_count'} // 0)
            <=> ($b->{attributes}{'http.request.resend_count'} // 0) }
        grep { $_->{kind} == 3 } @$spans;
    is scalar(@clients), $number, "$what: client spans";
    is scalar(grep { "$_->{trace} $_->{parent}" ne "$server->{trace} $server->{id}" } @clients), 0,
        '... within the server span';
    is scalar(grep { $_->{start} < $server->{start} || $_->{end} > $server->{end}
            || $_->{start} > $_->{end} } @clients), 0, '... and its time';
    my %id = map { $_->{id} => 1 } @clients;
    is scalar(keys %id), $number, '... with ids of their own';
    return ($server, @clients);
}

sub received { my ($kind, $n) = @_; return slurp("$dir/received-$kind-$n") }
sub received_id {
    my ($parent) = lines_of('traceparent', received(@_));
    return fields($parent)->{id};
}

# --- retries ---

for (['busy', 503, '503'], ['closes', undef, 'response_error'], ['hangs', undef, 'timeout']) {
    my ($kind, $status, $error) = @$_;
    my ($response, @spans) = traced($kind, sub { get("/$kind") });
    is $response->{status}, 200, "$kind: the second server answers";
    my ($server, @clients) = clients($kind, 2, \@spans);
    is $server->{status}, 0, '... the request has not failed';
    is received_id($kind, 1), $clients[0]{id}, '... the first server got the id of the first span';
    is received_id($kind, 2), $clients[1]{id}, '... and the second one that of the second';
    my ($one, $two) = map { $_->{attributes} } @clients;
    is $one->{'http.response.status_code'}, $status, '... the first has its status';
    is $one->{'error.type'}, $error, '... and error';
    is $clients[0]{status}, 2, '... is an error';
    is $one->{'http.request.resend_count'}, undef, '... and was no repetition';
    is $two->{'http.response.status_code'}, 200, '... the second has its status';
    is $two->{'error.type'}, undef, '... and no error';
    is $two->{'http.request.resend_count'}, 1, '... and was the first repetition';
    is $two->{'server.address'}, '127.0.0.1', '... has the address of its server';
    like $two->{'url.full'}, qr{^http://127\.0\.0\.1:\d+/$kind$}, '... and the URL';
}

my ($response, @spans) = traced('dead', sub { get('/dead') });
my ($server, @clients) = clients('a server that refuses connections', 2, \@spans);
is $clients[0]{attributes}{'error.type'}, 'connect_error', '... has its error';
is $clients[0]{attributes}{'server.port'}, $dead, '... and port';
is received_id('dead', 1), $clients[1]{id}, '... the other one got the id of its span';

my $body = join '', map { "$_ " } 1 .. 20_000;
($response, @spans) = traced('body', sub { request('POST', '/body', {}, $body) });
($server, @clients) = clients('a request with a body', 2, \@spans);
is received_id('body', $_), $clients[$_ - 1]{id}, "... server $_ got its id" for 1, 2;
is $clients[1]{attributes}{'http.request.method'}, 'POST', '... and the method is there';

($response, @spans) = traced('B3', sub { get('/bthree') });
($server, @clients) = clients('with B3', 2, \@spans);
for my $n (1, 2) {
    my $id = $clients[$n - 1]{id};
    is received_id('bthree', $n), $id, "... server $n got its id in traceparent";
    is +(lines_of('b3', received('bthree', $n)))[0], "$server->{trace}-$id-1", '... in b3';
    is +(lines_of('X-B3-SpanId', received('bthree', $n)))[0], $id, '... in X-B3-SpanId';
}

($response, @spans) = traced('no context is sent', sub { get('/ignored') });
($server, @clients) = clients('no context is sent', 1, \@spans);

($response, @spans) = traced('all fail', sub { get('/gone') });
is server_span(@spans)->{attributes}{'http.response.status_code'}, 200, 'a server that hangs once';

# --- gRPC: the header is compressed ---

for my $kind ('grpc', 'grpc-b3') {
    ($response, @spans) = traced($kind, sub { get("/$kind") });
    ($server, @clients) = clients($kind, 3, \@spans);
    my @logged;
    until_true('all tries are logged', sub {
        3 == (@logged = log_lines("$dir/logs/grpc.log", qr{^/\Q$kind\E }));
    });
    for my $n (0 .. 2) {
        my (undef, @sent) = split / /, $logged[$n];
        is fields($sent[0])->{id}, $clients[$n]{id}, "$kind: try $n sent its own id";
        next if $kind ne 'grpc-b3';
        is $sent[1], "$server->{trace}-$clients[$n]{id}-1", '... in b3, too';
        is $sent[2], $clients[$n]{id}, '... and in X-B3-SpanId';
    }
}

# --- other locations, subrequests ---

($response, @spans) = traced('X-Accel-Redirect', sub { get('/accel') });
($server, @clients) = clients('X-Accel-Redirect', 2, \@spans);
is received_id('accel', 1), $clients[0]{id}, '... the first location has sent its id';
is received_id('second', 1), $clients[1]{id}, '... and the second one, too';
is $clients[1]{attributes}{'http.request.resend_count'}, undef, '... which is no repetition';

($response, @spans) = traced('a location that is not traced', sub { get('/left') });
is $response->{status}, 200, 'a location that is not traced answers';
($server, @clients) = clients('... and only the first location is traced', 1, \@spans);
is received_id('leaves', 1), $clients[0]{id}, '... which has sent the id of its span';
is $clients[0]{attributes}{'http.response.status_code'}, 503, '... and has its status';

($response, @spans) = traced('subrequests', sub { get('/main') });
($server, @clients) = clients('subrequests', 3, \@spans);
my %sent = map { received_id($_, 1) => $_ } qw(main sub mirrored);
is_deeply [sort map { $sent{ $_->{id} } // 'none' } @clients], [qw(main mirrored sub)],
    '... each upstream got the id of its span';

# --- the longest span: what is no UTF-8 takes three times its room ---

my $socket = listens(port_of_edge()) or die $!;
my $bytes = "\xff" x 3000;
my $cut = substr $bytes, 0, 600;
my $members = join ',', map { "a$_=" . '!' x 100 } 1 .. 4;
my $method = 'BREW_' . 'X' x 500;
print $socket join "\r\n", "$method /longest/$bytes?$bytes HTTP/1.1", "Host: $cut",
    "User-Agent: $cut", 'traceparent: 00-' . id('a', 16) . '-' . id('b', 8) . '-01',
    "tracestate: $members", 'Connection: close', '', '';
my $raw = do { local $/; <$socket> };
@spans = spans_until('a long span', sub { $_->{kind} == 2 });
is server_span(@spans)->{attributes}{'http.request.method'}, '_OTHER',
    'no client can send what makes its span too long';

is scalar(logged(qr/\[(?:alert|crit|emerg)\]/)), 0, 'no alarm';
done_testing;
