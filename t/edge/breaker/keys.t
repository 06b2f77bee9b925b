# 100,000 keys made by clients: no open breaker is lost, closed ones give way, and a zone that is
# full of open ones says so once.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";
use HTTP::Tiny;
use IO::Socket::INET;
use JSON::PP;
use Test::More;
use Weir::Processes;

my ($edge, $upstream) = (free_port(), free_port());
mkdir "$dir/edge";
mkdir "$dir/edge/logs";
my ($module) = split ' ', $ENV{TEST_NGINX_LOAD_MODULES};
my $temp = temp_paths("$dir/edge");
spit("$dir/edge/nginx.conf", <<"EOF2");
daemon off;
pid $dir/edge/pid;
error_log $dir/edge/logs/error.log notice;
load_module $module;
worker_processes 2;
events { worker_connections 1024; }
http {
    $temp
    access_log off;
    keepalive_requests 1000000;
    weir_breaker_zone keys 256k;
    weir_breaker_zone full 32k;
    upstream here { server 127.0.0.1:$upstream; keepalive 16; keepalive_requests 1000000; }
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    server { listen 127.0.0.1:$upstream; location / { return 204; } location /bad/ { return 500; } }
    server {
        listen 127.0.0.1:$edge reuseport;
        location = /status { weir_status; }
        location /bad/ {
            weir_breaker zone=keys key=\$uri failures=1 open=1h;
            proxy_pass http://here;
        }
        location /good/ {
            weir_breaker zone=keys key=\$uri failures=1 open=1h;
            proxy_pass http://here;
        }
        location /bad/full/ {
            weir_breaker zone=full key=\$uri failures=1 open=1h;
            proxy_pass http://here;
        }
        location /good/full/ {
            weir_breaker zone=full key=\$uri failures=1 open=1h;
            proxy_pass http://here;
        }
    }
}
EOF2
spawn_nginx('edge', "$dir/edge");
until_true('the edge listens', sub { listens($edge) });

my $http = HTTP::Tiny->new(timeout => 20, keep_alive => 0);
sub get { $http->get("http://127.0.0.1:$edge$_[0]")->{status} }
sub zone {
    return decode_json($http->get("http://127.0.0.1:$edge/status")->{content})->{breakers}{ $_[0] };
}

# The statuses of n pipelined requests, and how often each came.
sub many {
    my ($path, $from, $n) = @_;
    my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$edge") or die $!;
    my %statuses;
    while ($n > 0) {
        my $now = $n < 200 ? $n : 200;
        my @numbers = $from .. $from + $now - 1;
        print $s join '', map { "GET $path$_ HTTP/1.1\r\nHost: x\r\n\r\n" } @numbers;
        my ($seen, $text) = (0, '');
        while ($seen < $now) {
            sysread $s, $text, 1 << 16, length $text or die "closed: $!";
            while ($text =~ s{^.*?HTTP/1.1 (\d+)}{}s) { $statuses{$1}++; $seen++ }
        }
        $from += $now;
        $n -= $now;
    }
    return \%statuses;
}

my $open = 100;
is_deeply many('/bad/', 1, $open), { 500 => $open }, "$open upstreams fail";
my $before = zone('keys');
is $before->{not_closed}, $open, 'their breakers are open';
is_deeply many('/good/', 1, 100_000), { 204 => 100_000 }, '100,000 keys that clients made pass';
my $after = zone('keys');
is $after->{not_closed}, $open, 'no open breaker was lost';
is_deeply many('/bad/', 1, $open), { 503 => $open }, 'all of them refuse';
cmp_ok $after->{forgotten}, '>', 90_000, 'closed ones gave way';

my $statuses = many('/bad/full/', 1, 1000);
is $statuses->{500}, 1000, '1,000 upstreams fail, more than the zone has room for';
my $full = zone('full');
is $full->{not_closed}, $full->{breakers}, 'the zone is full of open breakers';
is $full->{uncounted}, 1000 - $full->{breakers}, 'the calls of the others were not counted';
is_deeply many('/good/full/', 1, 10), { 204 => 10 }, 'and pass';
is_deeply many('/bad/full/', 1, 10), { 503 => 10 }, 'the first ones refuse still';
my @lines = log_lines("$dir/edge/logs/error.log", qr/weir_breaker_zone "full" is full/);
is scalar(@lines), 1, 'the log says so once';

done_testing;
