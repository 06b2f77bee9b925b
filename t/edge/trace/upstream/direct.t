# The context in the requests of proxy_pass: nginx has made their text when it is inserted.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..", "$Bin/../../cache", "$Bin/../../../lib";
use IO::Socket::INET;
use Scene;
use Test::More;
use Trace;
use Weir::Processes;

start_upstream(sub { my ($path, $request, $n, $body) = @_; echo($request . $body) });
start_traced(<<'HTTP', <<'SERVER');
    upstream shared { server UPSTREAM; keepalive 4; }
    upstream unused { server UPSTREAM; }
    weir_trace on;
    proxy_http_version 1.1;
    proxy_cache_path cache keys_zone=nginx:1m;
HTTP
    location /plain/    { proxy_pass http://shared; }
    location /untraced/ { weir_trace off; proxy_pass http://shared; }
    location /variable/ { set $name shared; proxy_pass http://$name; }
    location /address/  { proxy_pass http://UPSTREAM; }
    location /old/      { proxy_http_version 1.0; proxy_pass http://shared; }
    location /own/ {
        proxy_set_header traceparent "of the operator";
        proxy_pass http://shared;
    }
    location /dropped/  { proxy_set_header TraceParent ""; proxy_pass http://shared; }
    location /headless/ { proxy_pass_request_headers off; proxy_pass http://shared; }
    location /first/    { proxy_set_header A-First one; proxy_pass http://shared; }
    location /cached/   { proxy_cache nginx; proxy_pass http://shared; }
    location /body/     {
        proxy_set_body "a body\n\nGET / HTTP/1.1\r\n\r\n";
        proxy_pass http://shared;
    }
    location /propagate/ { weir_trace_context propagate; proxy_pass http://shared; }
    location /if/ {
        if ($arg_deep) { proxy_pass http://shared; }
        proxy_pass http://unused;
    }
SERVER

my ($trace, $id) = ('0af7651916cd43dd8448eb211c80319c', 'b7ad6b7169203331');
my $received = "00-$trace-$id-01";

# The request that the upstream received, and its parts.
sub sent {
    my ($path, $headers) = @_;
    my $response = request('POST', $path, $headers // {}, 'the body');
    is $response->{status}, 200, "$path is answered";
    my ($head, $body) = split /\r\n\r\n/, $response->{content}, 2;
    return ("$head\r\n", $body);
}

sub client_ids {
    my ($what) = @_;
    return map { $_->{id} } grep { $_->{kind} == 3 } spans_until($what, sub { $_->{kind} == 2 });
}

# --- where it is inserted ---

for my $way (qw(plain variable address old headless first cached if)) {
    my ($head, $body) = sent("/$way/");
    my @context = lines_of('traceparent', $head);
    is scalar(@context), 1, '... with one traceparent';
    is_deeply [client_ids($way)], [fields($context[0])->{id}], '... that is the client span';
    unlike $head, qr/\n\n|\r\n\r\n/, '... within the header';
    like $head, qr{^POST /$way/ HTTP/1\.\d\r\n(?:Host|A-First|Content-Length|Connection): },
        '... behind the first line of the header';
    like $head, qr/\A[^\n]+\n[^\n]+\ntraceparent: /, '... as its second line'
        if $way !~ /^(?:variable|cached)$/;
    is $body, 'the body', '... which the body follows';
}
my ($head, $body) = sent('/if/?deep=1');
is scalar(lines_of('traceparent', $head)), 1, 'a location of an "if" sends it';
($head) = sent('/untraced/', { traceparent => $received });
is_deeply [lines_of('traceparent', $head)], [$received],
    'a location without weir_trace leaves the lines of the client, with the same upstream';
client_ids('if');

($head, $body) = sent('/body/');
is scalar(lines_of('traceparent', $head)), 1, 'a request whose body nginx made has it, too';
is $body, "a body\n\nGET / HTTP/1.1\r\n\r\n", '... and the body is as it was';

# --- lines of others ---

($head) = sent('/own/');
is_deeply [lines_of('traceparent', $head)], ['of the operator'], 'proxy_set_header goes first';
($head) = sent('/dropped/', { traceparent => $received });
is_deeply [lines_of('traceparent', $head)], [], '... also to send none';

for my $way (qw(plain propagate)) {
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . port_of_edge('edge')) or die $!;
    $socket->print("GET /$way/ HTTP/1.1\r\nHost: here\r\nTRACEparent: $received\r\n"
        . "Traces-all: kept\r\ntracestate: a=1\r\nTrace-Name: kept, too\r\nTraceState: b=2\r\n"
        . "TraceParents: third\r\nLast: line\r\nConnection: close\r\n\r\n");
    my ($status, $sent) = split /\r\n\r\n/, join('', readline $socket), 2;
    my @context = lines_of('traceparent', $sent);
    is scalar(@context), 1, "$way: lines of the client's context are replaced";
    is fields($context[0])->{trace} eq $trace, $way eq 'propagate', '... in its trace, or not';
    is_deeply [lines_of('tracestate', $sent)], $way eq 'propagate' ? ['a=1,b=2'] : [],
        '... with its state, or not';
    is_deeply [map { lines_of($_, $sent) } 'Traces-all', 'Trace-Name', 'TraceParents', 'Last'],
        ['kept', 'kept, too', 'third', 'line'], '... and no other line is';
}
client_ids('lines');

# --- nginx's own cache answers without an upstream ---

($head) = sent('/cached/');
is scalar(lines_of('traceparent', $head)), 1, 'what nginx may cache goes upstream with a context';

is scalar(logged(qr/\[(?:alert|crit|emerg)\]/)), 0, 'no alarm';
done_testing;
