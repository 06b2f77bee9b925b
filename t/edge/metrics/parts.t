# Documents of any length are sent in parts, while other requests are served.
use strict;
use warnings;

use FindBin '$Bin';
use lib $Bin, "$Bin/../cache", "$Bin/../../lib";
use Families;
use IO::Socket::INET;
use IO::Uncompress::Gunzip 'gunzip';
use JSON::PP;
use Scene;
use Socket qw(SOL_SOCKET SO_RCVBUF);
use Test::More;
use Weir::Processes;

my $routes = 800;
my $locations = join '', map { "    location = /many/$_ { return 204; }\n" } 1 .. $routes;

mkdir "$dir/html";
spit("$dir/html/page.html",
    '<!--#include virtual="/metrics" -->|<!--#include virtual="/status" -->');

start_edge('weir_metrics_zone 32m;', <<"SERVER");
    location = /page.html { root $dir/html; ssi on; }
    location / { return 204; }
    location = /metrics { weir_metrics; }
    location = /status { weir_status; }
    location = /packed {
        gzip on; gzip_proxied any; gzip_types text/plain;
        weir_metrics;
    }
    location = /limited { limit_rate 3m; weir_metrics; }
$locations
SERVER

get("/many/$_") for 1 .. $routes;

sub is_whole {
    my ($document, $what) = @_;
    my $m = families(text => $document);
    is total($m, 'http_server_request_duration_seconds_count'), $routes, "$what has all requests";
    is scalar(matching($m, 'http_server_request_duration_seconds_bucket', le => '+Inf')), $routes,
        '... in all series';
    return $m;
}

# Whatever the client sends is read up to the end of the connection.
sub raw {
    my ($request, $while) = @_;
    my $socket = IO::Socket::INET->new(Proto => 'tcp') or die $!;
    $socket->setsockopt(SOL_SOCKET, SO_RCVBUF, 16384);
    $socket->connect(port_of_edge(), Socket::inet_aton('127.0.0.1')) or die $!;
    print $socket $request;
    $while->($socket) if $while;
    local $/;
    my $response = <$socket>;
    return split /\r\n\r\n/, $response, 2;
}

my $document = get('/metrics')->{content};
cmp_ok length $document, '>', 1e6, 'a long document';
is_whole($document, 'it');
unlike $document, qr/# EOF/, '... in the text format';

my ($first, $second) = split /\|/, get('/page.html')->{content};
is scalar(grep { $_->[0]{http_route} =~ m{^= /many/} }
        matching(families(text => $first), 'http_server_request_duration_seconds_count')), $routes,
    'the first of two documents in a page has all series';
is scalar(grep { /^= \/many/ } keys %{ decode_json($second // '{}')->{routes} }), $routes,
    'the second one has all routes';

my $open = get('/metrics', { Accept => 'application/openmetrics-text' })->{content};
like $open, qr/\n# EOF\n\z/, 'OpenMetrics ends with its end';
is scalar(() = $open =~ /# EOF/g), 1, '... once';
families(openmetrics => $open);

my ($head, $body) = raw("GET /metrics HTTP/1.0\r\n\r\n", sub {
    is get('/')->{status}, 204, 'a client that does not read holds up nobody' for 1 .. 5;
});
unlike $head, qr/chunked/i, 'HTTP/1.0 gets no chunks';
is total(families(text => $body), 'http_server_request_duration_seconds_count',
    http_route => '= /many/7'), 1, '... but all';

# A client that leaves in the middle.
for (1 .. 3) {
    my $socket = listens(port_of_edge()) or die;
    print $socket "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    sysread $socket, my ($some), 1000;
    close $socket;
}

gunzip(\get('/packed', { 'Accept-Encoding' => 'gzip' })->{content}, \my $unpacked) or die;
cmp_ok length $unpacked, '>', 1e6, 'it can be packed';
like $unpacked, qr/^weir_metrics_series_dropped_total 0\n\z/m, '... with its end';

like get('/limited')->{content}, qr/^weir_metrics_series_dropped_total 0\n\z/m,
    'limit_rate slows it down';

for my $path ('/metrics', '/status') {
    is request('HEAD', $path)->{content}, '', "HEAD $path has no content";
    is request('POST', $path)->{status}, 405, "POST $path is refused";
}

my $status = decode_json(get('/status')->{content});
is scalar(grep { m{^= /many/} } keys %{ $status->{routes} }), $routes,
    'weir_status has all routes, too';
is $status->{routes}{'= /many/800'}{'1h'}{requests}, 1, '... with their windows';
is scalar(grep { m{^= /many/} && $status->{routes}{$_}{usage}{requests} == 1 }
        keys %{ $status->{routes} }), $routes, '... and each with what it has used';

# Each part is a chunk: of at most 16 members, of which a route has two, its begin and its end.
my (undef, $chunks) = raw("GET /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
my $turns = 0;
while ($chunks =~ s/\A([0-9a-f]+)\r\n//i && hex $1) {
    substr $chunks, 0, 2 + hex $1, '';
    $turns++;
}
is $chunks, "\r\n", 'all chunks of a document were read';
cmp_ok $turns, '>=', 2 * $routes / 16, '... of which no turn of the loop has made many routes';

# Two over one connection.
my @two = split /HTTP\/1\.1 200 OK/,
    join '', raw("GET /status HTTP/1.1\r\nHost: x\r\n\r\n"
        . "GET /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
is scalar(@two), 3, 'two documents follow each other on a connection';

is scalar(logged(qr/\[(?:emerg|crit|alert)\]/)), 0, 'no alarm';
done_testing;
