# Requests that a worker handles in the same turn of its event loop, or that wait after it: each is
# counted once, with its own time in its own phases.
use strict;
use warnings;

use FindBin '$Bin';
use lib $Bin, "$Bin/../cache", "$Bin/../../lib";
use Families;
use IO::Socket::INET;
use Scene;
use Test::More;
use Time::HiRes 'sleep';
use Weir::Processes;

plan skip_all => 'needs the processes of a plain nginx' if $ENV{WEIR_NGINX};

my $wait = 0.4;
start_upstream(sub {
    my ($path) = @_;
    my @fields = ('Cache-Control: max-age=' . ($path =~ /stored/ ? 600 : 0), 'ETag: "1"');
    return answer('200 OK', \@fields, 'body') if $path !~ /slow/;
    return sub { sleep $wait; return answer('200 OK', \@fields, 'body') };
});

start_edge('weir_metrics_zone 1m; weir_cache_zone memory 1m;', <<'SERVER');
    location /slow { proxy_pass http://UPSTREAM; }
    location /stored { weir_cache memory; proxy_pass http://UPSTREAM; }
    location /led { error_page 404 = @there; return 404; }
    location @there { weir_route there; rewrite ^ /slow-there break; proxy_pass http://UPSTREAM; }
    location /guarded { auth_request /slow-guard; proxy_pass http://UPSTREAM; }
    location = /pid { return 200 "$pid"; }
    location = /metrics { weir_metrics; }
SERVER

my %family;
sub read_metrics { %family = %{ families(text => get('/metrics')->{content}) } }

sub counted {
    return total(\%family, 'http_server_request_duration_seconds_count', http_route => $_[0]);
}

sub spent {
    my ($route, $phase) = @_;
    return total(\%family, 'weir_request_phase_seconds_total', http_route => $route,
        phase => $phase);
}

sub took {
    return total(\%family, 'http_server_request_duration_seconds_sum', http_route => $_[0]);
}

my %read;    # what was read of each connection and not used yet

# A connection that the worker has accepted, and whose first request was answered.
sub connected {
    my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => port_of_edge()) or die $!;
    $read{$s} = '';
    ask($s, '/pid');
    heard($s);
    return $s;
}

sub ask { $_[0]->print("GET $_[1] HTTP/1.1\r\nHost: a\r\n\r\n"); $_[0]->flush }

# The status of the next answer; all answers here have a length, or no body.
sub heard {
    my $s = shift;
    while (1) {
        if ($read{$s} =~ s{^HTTP/1.1 (\d+) (.*?)\r\n\r\n}{}s) {
            my ($status, $fields) = ($1, $2);
            my $length = $fields =~ /^Content-Length: (\d+)/mi ? $1 : 0;
            while (length $read{$s} < $length) { read_more($s) or return 'a part' }
            substr $read{$s}, 0, $length, '';
            return $status;
        }
        read_more($s) or return 'nothing';
    }
}

sub read_more { sysread $_[0], $read{ $_[0] }, 4096, length $read{ $_[0] } }

get('/stored/1');
my ($worker) = get('/pid')->{content};

# --- two requests of one turn ------------------------------------------------------------------

my ($first, $second) = (connected(), connected());
kill 'STOP', $worker;
ask($first, '/slow');
ask($second, '/stored/1');
kill 'CONT', $worker;
is heard($second), 200, 'the second request of a turn is answered';
is heard($first), 200, '... and the first, which waits for its upstream';

read_metrics();
is counted('/slow'), 1, 'the one that waited is counted once';
cmp_ok spent('/slow', 'upstream'), '>=', $wait, '... with the time of its upstream';
cmp_ok took('/slow'), '>=', $wait, '... and its own';
is counted('/stored'), 2, 'the other one is counted with its route';
cmp_ok spent('/stored', 'turn') + spent('/stored', 'redis'), '==', 0, '... and waited for nothing';

# --- a response that a filter replaces ----------------------------------------------------------

# nginx clears the contexts of modules then.
is get('/stored/1', { 'If-Match' => '"2"' })->{status}, 412, 'a condition fails';
is get('/pid')->{content}, $worker, '... and the worker lives';
read_metrics();
is total(\%family, 'http_server_request_duration_seconds_count', http_route => '/stored',
    http_response_status_code => 412), 1, '... and has counted it';

# --- a request that ends in its turn, behind one on the same connection --------------------------

ask($first, '/pid');
ask($first, '/stored/1');
is heard($first), 200, 'pipelined requests are answered' for 1 .. 2;
$first->print("GET /stored HTTP/1.1\r\nHost: a\r\n\r\nnonsense\r\n\r\n");
$first->flush;
is heard($first), 200, 'a request before a bad one is answered';
is heard($first), 400, '... and the bad one refused';
close $first;    # nginx waits for what else the client may send
until_true('the bad one is counted', sub {
    read_metrics();
    total(\%family, 'http_server_request_duration_seconds_count',
        http_response_status_code => 400) == 1;
});

# --- waits of other modules, and redirects --------------------------------------------------------

is get('/led')->{status}, 200, 'a request that an error page leads elsewhere is answered';
is get('/guarded')->{status}, 200, '... and one that auth_request admits';
read_metrics();
is counted('there'), 1, 'the redirected one is counted with the route it came to';
cmp_ok spent('there', 'upstream'), '>=', $wait, '... and has waited for the upstream';
is counted('/guarded'), 1, 'the guarded one is counted once';
cmp_ok spent('/guarded', 'nginx'), '>=', $wait, '... and has waited in a phase of nginx';

for my $route ('/slow', '/stored', 'there', '/guarded') {
    my $sum = total(\%family, 'weir_request_phase_seconds_total', http_route => $route);
    cmp_ok abs($sum - took($route)), '<', 1e-5, "the phases of $route add up to its time";
}

done_testing;
