# What FastCGI, uwsgi and SCGI applications get of the trace, also those that are tried again; and
# the upstreams of subrequests.
use strict;
use warnings;

use FindBin '$Bin';
use lib $Bin, "$Bin/../cache", "$Bin/../../lib";
use IO::Socket::INET;
use Scene;
use Test::More;
use Trace;
use Weir::Processes;

start_upstream(sub {
    my ($path, $request, $n) = @_;
    my ($name) = $path =~ m{^/(\w+)};
    spit("$dir/received-$name-$n", $request);
    return answer('200 OK', ['Content-Type: text/html'], '<!--# include virtual="/part" -->')
        if $path eq '/page';
    return echo($request);
});

# --- applications: the first of two does not answer ---

sub record {
    my ($type, $data) = @_;
    return pack('CCnnCC', 1, $type, 1, length $data, 0, 0) . $data;
}
my $fields = "Content-Length: 2\r\n\r\nok";
my %answer = (
    fastcgi => record(6, $fields) . record(6, '') . record(3, "\0" x 8),
    uwsgi => "HTTP/1.1 200 OK\r\n$fields",
    scgi => "Status: 200 OK\r\n$fields",
);
my (%port, %listener);
for my $kind (sort keys %answer) {
    $listener{$kind} = IO::Socket::INET->new(Listen => 8, LocalAddr => '127.0.0.1:0') or die $!;
    $port{$kind} = $listener{$kind}->sockport;
    spawn($kind, sub {
        my $n = 0;
        while (1) {
            my $client = $listener{$kind}->accept or next;
            my $request = '';
            # What is sent last: SCGI's and uwsgi's parameters are one piece, as is a small request.
            while ($request !~ /LAST_OF_ALL/) {
                sysread $client, $request, 65536, length $request or last;
            }
            next if $request eq '';
            spit("$dir/received-$kind-" . ++$n, $request);
            syswrite $client, $answer{$kind} if $n == 2;
            close $client;
        }
    });
    close $listener{$kind};
}

my $locations = join '', map { <<"SERVER" } sort keys %answer;
    location /$_ {
        ${_}_param REQUEST_METHOD \$request_method;
        ${_}_param REQUEST_URI \$request_uri;
        ${_}_param CONTENT_LENGTH "0";
        ${_}_param LAST "LAST_OF_ALL";
        ${_}_next_upstream error;
        ${_}_pass ${_}s;
    }
SERVER
start_traced(join('', "weir_trace on;\n",
    map { "upstream ${_}s { server 127.0.0.1:$port{$_} max_fails=0;"
            . " server 127.0.0.1:$port{$_} max_fails=0; }\n" } sort keys %answer), <<"SERVER");
    $locations
    location = /page { ssi on; proxy_pass http://UPSTREAM; }
    location = /part { internal; proxy_pass http://UPSTREAM; }
    location /guarded {
        auth_request /guard;
        mirror /copy;
        proxy_pass http://UPSTREAM;
    }
    location = /guard {
        internal;
        proxy_pass_request_body off;
        proxy_set_header Content-Length "";
        proxy_pass http://UPSTREAM;
    }
    location = /copy { internal; proxy_pass http://UPSTREAM; }
SERVER

my @client = (traceparent => '00-' . id('a', 16) . '-' . id('b', 8) . '-01', tracestate => 'a=1');

# The client spans, the first one first; each has sent its id with that request.
sub clients {
    my ($what, $expected, @spans) = @_;
    my $server = server_span(@spans);
    my @clients = sort { $a->{start} <=> $b->{start}
        or ($a->{attributes}{'http.request.resend_count'} // 0)
            <=> ($b->{attributes}{'http.request.resend_count'} // 0) }
        grep { $_->{kind} == 3 } @spans;
    is scalar(@clients), $expected, "$what: client spans";
    is scalar(grep { $_->{parent} ne $server->{id} || $_->{trace} ne $server->{trace} } @clients),
        0, '... within the request';
    return ($server, @clients);
}

for my $kind (sort keys %answer) {
    my ($response, @spans) = traced($kind, sub { get("/$kind", {@client}) });
    is $response->{content}, 'ok', "$kind: the second application answers";
    my ($server, @clients) = clients($kind, 2, @spans);
    for my $n (1, 2) {
        my $request = slurp("$dir/received-$kind-$n");
        my @contexts = $request =~ /00-([0-9a-f]{32}-[0-9a-f]{16})-[0-9a-f]{2}/g;
        is_deeply \@contexts, ["$server->{trace}-$clients[$n - 1]{id}"],
            "... application $n got the id of its span, and nothing of the client";
        like $request, qr/HTTP_TRACEPARENT/, '... as the header';
        unlike $request, qr/HTTP_TRACESTATE/, '... without the client\'s state';
    }
    is $clients[0]{attributes}{'error.type'}, 'response_error', '... the first has failed';
    is $clients[1]{attributes}{'http.response.status_code'}, 200, '... the second has not';
}

# --- subrequests ---

sub received_id {
    my ($name) = @_;
    my @parents = lines_of('traceparent', slurp("$dir/received-$name-1"));
    is scalar(@parents), 1, "... /$name got one context";
    return fields($parents[0])->{id};
}

my ($response, @spans) = traced('SSI', sub { get('/page', {@client}) });
like $response->{content}, qr{^GET /part }, 'SSI: the page has its part';
my ($server, @clients) = clients('SSI', 2, @spans);
is_deeply [map { $_->{id} } @clients], [map { received_id($_) } qw(page part)],
    '... each with its context';

($response, @spans) = traced('subrequests of a POST', sub {
    request('POST', '/guarded', {@client}, 'x')
});
($server, @clients) = clients('subrequests of a POST', 3, @spans);
my %id = map { $_ => received_id($_) } qw(guarded guard copy);
for (['guarded', 'POST'], ['guard', 'GET'], ['copy', 'POST']) {
    my ($name, $method) = @$_;
    my ($span) = grep { $_->{id} eq $id{$name} } @clients;
    is $span->{attributes}{'http.request.method'}, $method, "... /$name was asked with $method";
    is $span->{name}, $method, '... which is the name of its span';
    like slurp("$dir/received-$name-1"), qr/^$method /, '... as it arrived';
}

is scalar(logged(qr/\[(?:alert|crit|emerg)\]/)), 0, 'no alarm';
done_testing;
