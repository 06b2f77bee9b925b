# The page of weir_dashboard and its events: what they send, to how many, and how they end.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/../cache", "$Bin/../../lib";
use Digest::SHA 'sha256_base64';
use IO::Select;
use IO::Socket::INET;
use JSON::PP;
use Scene;
use Socket qw(SOL_SOCKET SO_RCVBUF);
use Test::More;
use Weir::Processes;

my $routes = 300;
my $narrow = free_port();
my $many = join '', map { "location = /many/$_ { return 204; }\n" } 1 .. $routes;

start_edge(<<"HTTP", <<"SERVER");
    weir_metrics_zone 16m;
    server {
        listen 127.0.0.1:$narrow sndbuf=4k;
        location = / { weir_dashboard; }
    }
HTTP
    location = / { weir_dashboard backend=/backend/metrics traces=/tra"ces; }
    location = /counted { return 204; }
    location = /status { weir_status; }
    location /hostile { weir_route '<script>alert("route")</script>'; return 204; }
    $many
SERVER

# --- the page ---

my $page = get('/');
my %header = %{ $page->{headers} };
is "$page->{status} $header{'content-type'}", '200 text/html; charset=utf-8', 'a page';
is $header{'cache-control'}, 'no-store', 'that nobody stores';
is $header{'x-content-type-options'}, 'nosniff', '... nobody takes for another type';
is $header{'x-frame-options'}, 'DENY', '... and nobody frames';

my $policy = $header{'content-security-policy'};
my %sources = map { /^(\S+) (.*)/ ? ($1, $2) : () } split /; /, $policy;
for my $kind (qw(script style)) {
    my @all = $page->{content} =~ m{<$kind[^>]*>(.*?)</$kind>}gs;
    is scalar(@all), 1, "one $kind";
    is $sources{"$kind-src"}, sprintf(q('sha256-%s='), sha256_base64($all[0])),
        "... which is the one that the policy allows";
}
is $sources{'default-src'}, q('none'), 'nothing else is allowed';
is $sources{'frame-ancestors'}, q('none'), '... no frame';
is $sources{'connect-src'}, q('self'), '... and requests to this origin only';
unlike $page->{content}, qr{<[^>]+\s(?:on\w+|style)=}i, 'no handler and no style is inline';
unlike $page->{content}, qr{(?:src|href)=(?!"?(?:data:|#))}i, 'nothing comes from elsewhere';
unlike $page->{content}, qr{innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b},
    'no text becomes HTML';

my $head = request('HEAD', '/');
is $head->{headers}{'content-length'}, length $page->{content}, 'HEAD has the length';
is $head->{content}, '', '... and no content';
my $post = request('POST', '/', {}, 'x');
is "$post->{status} $post->{headers}{allow}", '405 GET, HEAD', 'POST is refused';
is request('HEAD', '/?events')->{status}, 200, 'HEAD of the events ends';
like get('/?other')->{content}, qr/<!doctype html>/, 'another query is the page';

# --- the events ---

# A listener over HTTP/1.0, which gets no chunks.
sub listener {
    my ($port, %option) = @_;
    my $socket = IO::Socket::INET->new(Proto => 'tcp') or die $!;
    $socket->setsockopt(SOL_SOCKET, SO_RCVBUF, $option{buffer}) if $option{buffer};
    $socket->connect($port, Socket::inet_aton('127.0.0.1')) or die $!;
    $socket->syswrite('GET ' . ($option{path} // '/?events') . " HTTP/1.0\r\nHost: x\r\n\r\n");
    return { socket => $socket, text => '', ready => IO::Select->new($socket) };
}

# Reads until the code, with all that was read in $_, returns something true, or to the end.
sub heard {
    my ($listener, $code) = @_;
    until_true('events', sub {
        if ($listener->{ready}->can_read(0.1)) {
            my $n = sysread $listener->{socket}, $listener->{text}, 65536,
                length $listener->{text};
            $listener->{ended} = 1 if !$n;
        }
        local $_ = $listener->{text};
        return $code->() || $listener->{ended};
    });
    return $listener->{text};
}

# The documents so far.
sub documents { return map { decode_json($_) } $_[0] =~ /^event: status\ndata: (.*)\n\n/mg }

my $first = listener(port_of_edge());
my $text = heard($first, sub { /^event: status\n.*\n\n/m });
like $text, qr{^HTTP/1\.1 200 OK\r$}m, 'events';
like $text, qr{^Content-Type: text/event-stream\r$}m, '... of their type';
like $text, qr{^Cache-Control: no-store\r$}m, '... that nobody stores';
my ($hello) = $text =~ /^event: hello\ndata: (.*)\n\n/m;
is_deeply [@{ decode_json($hello) }{qw(backend traces)}], ['/backend/metrics', '/tra"ces'],
    'the first one has the configuration';
my ($id) = $text =~ /^id: (\d+)\nevent: status/m;
cmp_ok abs($id / 1000 - time), '<', 60, 'each document has its time';

get('/counted') for 1 .. 5;
get('/hostile');
heard($first, sub {
    my ($last) = reverse documents($_);
    ($last->{routes}{'= /counted'}{'1m'}{requests} // 0) == 5;
});
my ($last) = reverse documents($first->{text});
is $last->{routes}{'= /counted'}{'1m'}{requests}, 5, 'a later one has what came since';
ok $last->{routes}{'<script>alert("route")</script>'}, 'names are as they are configured';

my $history = decode_json(get('/?history')->{content});
my @minutes = @{ $history->{routes}{'= /counted'}{history} };
is scalar(@minutes), 15, 'the history has the minutes of a quarter of an hour';
is scalar(grep { !$_->[0] == !defined $_->[1] } @minutes), 15, '... with a P99 where requests were';

# A listener that leaves was no request of that duration.
my $pages = decode_json(get('/status')->{content})->{routes}{'= /'}{'1h'}{requests};
close $first->{socket};
my $second = listener(port_of_edge());
heard($second, sub { /event: status/ });
is decode_json(get('/status')->{content})->{routes}{'= /'}{'1h'}{requests}, $pages,
    'streams of events are not counted';
close $second->{socket};

# --- how many ---

my @all;
until_true('room for all', sub {
    @all = map { listener(port_of_edge()) } 1 .. 32;
    heard($_, sub { /event: status|^HTTP.* 503/ }) for @all;
    return !grep { $_->{text} =~ /^HTTP.* 503/ } @all;
});
pass '32 listeners of a worker';
my $refused = heard(listener(port_of_edge()), sub { 0 });
like $refused, qr{^HTTP/1\.1 503 }, 'one more is refused';
like $refused, qr{^Retry-After: 10\r$}m, '... and told when to come again';
is get('/')->{status}, 200, '... the page is there';
my $n = documents($all[31]{text});
heard($all[31], sub { documents($_) > $n + 1 });
pass 'those that are there get more';
close $_->{socket} for @all;

# --- who does not read ---

get("/many/$_") for 1 .. $routes;
my $reader = listener($narrow);
my $idler = listener($narrow, buffer => 2048);
my $dropped = qr/a listener of weir_dashboard reads too slowly/;
heard($reader, sub { logged($dropped) });
pass 'who does not read is dropped';
is scalar(logged($dropped)), 1, '... who reads is not';
my $read = () = $reader->{text} =~ /^event: status/mg;
cmp_ok $read, '>', 5, '... and gets all';
is scalar(keys %{ (documents($reader->{text}))[0]{routes} }) >= $routes, 1, '... of every route';

# --- the worker ends ---

sub workers { return split ' ', slurp("/proc/$pid{edge}/task/$pid{edge}/children") }

SKIP: {
    skip 'the processes are not those of nginx', 4 if $ENV{WEIR_NGINX} || $ENV{WEIR_WORLD};
    my $chunked = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => port_of_edge());
    print $chunked "GET /?events HTTP/1.1\r\nHost: x\r\n\r\n";
    my $stays = { socket => $chunked, text => '', ready => IO::Select->new($chunked) };
    heard($stays, sub { /event: status/ });
    my $stuck = listener($narrow, buffer => 2048);
    until_true('it is sent something', sub { $stuck->{ready}->can_read(0.1) });

    my ($old) = workers();
    kill 'HUP', $pid{edge};
    until_true('the old worker ends', sub { !kill 0, $old });
    pass 'a reload does not wait for listeners';
    like heard($stays, sub { /\r\n0\r\n\r\n/ }), qr/\n\n\r\n0\r\n\r\n/,
        '... whose stream has an end';
    heard($reader, sub { 0 });
    ok $reader->{ended}, '... all of them';
    my $again = listener(port_of_edge());
    like heard($again, sub { /event: status/ }), qr/event: status/, 'the next one has the events';
}

is scalar(logged(qr/\[(?:emerg|crit|alert)\]/)), 0, 'no alarm';
done_testing;
