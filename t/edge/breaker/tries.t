# Each try of a request at the servers of an upstream counts where it failed, at once; and what a
# probe does until it has a result.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";
use HTTP::Tiny;
use IO::Socket::INET;
use JSON::PP;
use Test::More;
use Weir::Processes;
use Weir::Upstream;

start_upstream(sub {
    my ($path, $head, $times) = @_;
    return sub { sleep 60; '' } if $path =~ m{/hang};
    return answer('500 Internal Server Error', [], '') if $path =~ m{/fail};
    return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"
        if $path =~ m{/upgrade};
    return sub {
        my $connection = shift;
        print $connection answer('200 OK', [], 'kept');
        $connection->flush;
        sysread $connection, my $next, 1;    # it closes when the next request comes
        '';
    } if $path =~ m{/kept} && $times % 2;
    return answer('200 OK', [], 'ok');
});

my ($edge, $busy, @dead) = map { free_port() } 1 .. 5;
mkdir "$dir/edge";
mkdir "$dir/edge/logs";
my ($module) = split ' ', $ENV{TEST_NGINX_LOAD_MODULES};
my $temp = temp_paths("$dir/edge");
my $here = upstream();
my $dead = join ' ', map { "server 127.0.0.1:$_ max_fails=0;" } @dead;
my @pass = qw(proxy fastcgi uwsgi scgi grpc);
my $all = join '', map {
    my $to = ($_ eq 'proxy' ? 'http://' : $_ eq 'grpc' ? 'grpc://' : '') . 'dead';
    "location /dead/$_ { weir_breaker zone=tries key=$_ open=1h; ${_}_pass $to; }\n";
} @pass;
spit("$dir/edge/nginx.conf", <<"EOF2");
daemon off;
pid $dir/edge/pid;
error_log $dir/edge/logs/error.log info;
load_module $module;
worker_processes 1;
events { worker_connections 1024; }
http {
    $temp
    access_log off;
    weir_breaker_zone tries 1m;
    upstream dead { $dead }
    upstream half { server 127.0.0.1:$dead[0] max_fails=0; server $here backup; }
    upstream hangs { server $here max_fails=0; server $here max_fails=0; }
    upstream busy { server 127.0.0.1:$busy max_fails=0; server $here backup; }
    upstream kept { server $here max_fails=0; keepalive 8; }
    map \$arg_group \$group { default dead; }
    proxy_read_timeout 300ms;
    proxy_http_version 1.1;
    server { listen 127.0.0.1:$busy; return 503; }
    server {
        listen 127.0.0.1:$edge;
        location = /status { weir_status; }
        $all
        location /variable {
            weir_breaker zone=tries key=variable open=1h;
            proxy_pass http://\$group;
        }
        location /half { weir_breaker zone=tries key=half ratio=off; proxy_pass http://half; }
        location /hang { weir_breaker zone=tries key=hang; proxy_pass http://hangs; }
        location /503 {
            weir_breaker zone=tries key=503;
            proxy_next_upstream error http_503;
            proxy_pass http://busy;
        }
        location /kept {
            weir_breaker zone=tries key=kept;
            proxy_set_header Connection "";
            proxy_read_timeout 5s;
            proxy_pass http://kept;
        }
        location /probe/ {
            weir_breaker zone=tries key=probe failures=1 open=1s;
            proxy_read_timeout 60s;
            proxy_next_upstream off;
            proxy_pass http://hangs;
        }
        location /recovers/ {
            weir_breaker zone=tries key=recovers failures=1 open=100ms;
            if (\$arg_to = dead) { proxy_pass http://dead; }
            proxy_pass http://half;
        }
        location /upgrade {
            weir_breaker zone=tries key=upgrade;
            proxy_set_header Upgrade x;
            proxy_set_header Connection upgrade;
            proxy_pass http://hangs;
        }
    }
}
EOF2
spawn_nginx('edge', "$dir/edge");
until_true('the edge listens', sub { listens($edge) });

my $http = HTTP::Tiny->new(timeout => 20, keep_alive => 0);
sub get { $http->get("http://127.0.0.1:$edge$_[0]")->{status} }
sub breaker { decode_json($http->get("http://127.0.0.1:$edge/status")->{content})
    ->{breakers}{tries}{keys}{ $_[0] } }

# --- each try --------------------------------------------------------------------------------
for my $pass (@pass) {
    is_deeply [map { get("/dead/$pass") } 1 .. 3], [502, 502, 503],
        "$pass: two requests at three dead servers are more than five failures";
    like breaker($pass)->{reason}, qr/^5 calls in a row failed; last: an error of the connection/,
        '... the fifth try opened it';
}
is_deeply [map { get('/variable') } 1 .. 3], [502, 502, 503], 'upstream{} in a variable, too';

is_deeply [map { get('/half') } 1 .. 10], [(200) x 10], 'a server of the upstream is well';
my $half = breaker('half');
is_deeply [@$half{qw(calls failed state in_a_row)}], [20, 10, 'closed', 0],
    'failed tries and the results are counted, and a result ends the row';

is get('/503'), 200, 'a server answers 503, another 200';
is_deeply [@{ breaker('503') }{qw(calls failed)}], [2, 1], 'its 503 was a failure';

# --- at once ---------------------------------------------------------------------------------
sub begin {
    my $path = shift;
    my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$edge") or die $!;
    print $s "GET $path HTTP/1.1\r\nHost: x\r\n\r\n";
    return $s;
}
my $waits = begin('/hang');
until_true('the first try timed out, and counts', sub {
    my $b = breaker('hang');
    return $b && $b->{failed} == 1;
});
is breaker('hang')->{timeouts}, 1, '... while the second one goes on';
my $line = <$waits>;
like $line, qr/ 504 /, 'the second one times out, too';
is breaker('hang')->{failed}, 2, '... and counts once';
close $waits;

# --- connections that were kept --------------------------------------------------------------
is_deeply [map { get('/kept') } 1 .. 2], [200, 200], 'a kept connection ends, and another is made';
is breaker('kept')->{failed}, 0, 'which is no failure of the server';

# --- upgraded --------------------------------------------------------------------------------
my $upgraded = begin('/upgrade');
$line = <$upgraded>;
like $line, qr/ 101 /, 'a connection is upgraded';
is_deeply [@{ breaker('upgrade') }{qw(calls failed)}], [1, 0], 'it counts at its header';
close $upgraded;

# --- probes ----------------------------------------------------------------------------------
is get('/recovers/x?to=dead'), 502, 'an upstream is down';
until_true('it is probed', sub { get('/recovers/x') == 200 });
is breaker('recovers')->{state}, 'closed',
    'a probe that succeeds at its second server closes the breaker';

is get('/probe/fail'), 500, 'an upstream fails';
my $probe;
until_true('a probe is under way', sub {
    $probe = begin('/probe/hang');
    my $is = breaker('probe');
    return 1 if $is->{state} eq 'half-open' && $is->{probes} == 1;
    close $probe;
    return 0;
});
is get('/probe/ok'), 503, 'no other request is one';
close $probe;
until_true('its client has left: another one is', sub { get('/probe/ok') == 200 });
is breaker('probe')->{probes}, 2, 'the second';

is get('/probe/fail'), 500, 'it fails again';
until_true('a probe is under way', sub {
    $probe = begin('/probe/hang');
    my $is = breaker('probe');
    return 1 if $is->{state} eq 'half-open' && $is->{probes} == 3;
    close $probe;
    return 0;
});
open my $ps, '-|', 'ps', '-o', 'pid=', '--ppid', $pid{edge} or die $!;
kill 'KILL', map { /(\d+)/ } <$ps>;
until_true('its worker was killed: another one is, after a while', sub { get('/probe/ok') == 200 });
is breaker('probe')->{state}, 'closed', 'and closes the breaker';

done_testing;
