# Failures after the status line: a response that breaks off, and one whose header arrived too
# late. The upstream is a small server of the test.
use strict;
use warnings;

use File::Temp 'tempdir';
use HTTP::Tiny;
use IO::Socket::INET;
use Test::More;
use Time::HiRes 'sleep';

my $dir = tempdir(CLEANUP => 1);
chmod 0755, $dir;
mkdir "$dir/logs";
my @children;
END { my $status = $?; kill 'TERM', @children; waitpid $_, 0 for @children; $? = $status }

my $listener = IO::Socket::INET->new(Listen => 16, LocalAddr => '127.0.0.1:0') or die $!;
my $upstream = $listener->sockport;
my $server = fork // die $!;
if (!$server) {
    $SIG{TERM} = sub { require POSIX; POSIX::_exit(0) };
    while (my $client = $listener->accept) {
        my $line = <$client> // next;
        while (my $header = <$client>) { last if $header eq "\r\n" }
        sleep 0.3 if $line =~ m{/slow};
        print $client "HTTP/1.1 200 OK\r\nContent-Length: " . ($line =~ m{/short} ? 100 : 5)
            . "\r\nConnection: close\r\n\r\nhello";
        close $client;
    }
    exit;
}
push @children, $server;

my $edge = do { IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1:0')->sockport };
my $temp = join '', map { "${_}_temp_path $dir/$_;\n" } qw(client_body proxy fastcgi uwsgi scgi);
my ($module) = split ' ', $ENV{TEST_NGINX_LOAD_MODULES};
open my $conf, '>', "$dir/nginx.conf" or die $!;
print $conf <<"EOF";
daemon off;
pid $dir/pid;
error_log $dir/logs/error.log notice;
load_module $module;
events {}
http {
    $temp
    access_log off;
    weir_breaker_zone upstreams 1m;
    server {
        listen 127.0.0.1:$edge;
        weir_breaker zone=upstreams key=\$uri failures=2 open=1h slow=200ms;
        proxy_pass_header X;
        location /            { proxy_pass http://127.0.0.1:$upstream; }
        location /unbuffered/ { proxy_buffering off; proxy_pass http://127.0.0.1:$upstream; }
    }
}
EOF
close $conf;
my $nginx = fork // die $!;
if (!$nginx) {
    exec $ENV{TEST_NGINX_BINARY}, '-e', "$dir/logs/error.log", '-p', $dir, '-c', "$dir/nginx.conf";
}
push @children, $nginx;
for (1 .. 400) {
    last if IO::Socket::INET->new(PeerAddr => "127.0.0.1:$edge");
    sleep 0.05;
}

my $http = HTTP::Tiny->new(timeout => 10, keep_alive => 0);
# POST, which this client never repeats; 599: it saw the body break off
sub codes {
    my $path = shift;
    [map { $http->post("http://127.0.0.1:$edge$path")->{status} } 1 .. 4];
}

is_deeply codes('/whole'), [200, 200, 200, 200], 'a whole answer is none';
is_deeply codes('/short'), [599, 599, 503, 503], 'a body that breaks off is a failure';
is_deeply codes('/unbuffered/short'), [599, 599, 503, 503], 'also when it is not buffered';
is_deeply codes('/slow'), [200, 200, 503, 503], 'with slow=, so is a header that comes too late';

# Clients that leave in the middle are not the upstream's fault.
for (1 .. 5) {
    my $client = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$edge") or die $!;
    print $client "GET /unbuffered/slow-client HTTP/1.1\r\nHost: x\r\n\r\n";
    close $client;
}
is $http->post("http://127.0.0.1:$edge/unbuffered/slow-client")->{status}, 200,
    'a client that leaves is no failure';

done_testing;
