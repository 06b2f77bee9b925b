# The Redis client when its server is killed, hangs, comes back, or is reached
# by a worker that is about to leave.
use strict;
use warnings;

use File::Temp 'tempdir';
use HTTP::Tiny;
use IO::Socket::INET;
use Test::More;
use Time::HiRes 'sleep';

my $dir = tempdir(CLEANUP => 1);
chmod 0755, $dir;
my %pid;

sub free_port { IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1:0')->sockport }

sub until_true {
    my ($what, $condition) = @_;
    for (1 .. 400) {
        return 1 if $condition->();
        sleep 0.05;
    }
    BAIL_OUT("waited in vain until $what");
}

sub spawn {
    my ($name, @command) = @_;
    my $child = fork // die $!;
    if (!$child) {
        open STDOUT, '>', '/dev/null';
        exec @command;
    }
    $pid{$name} = $child;
}

sub stop {
    my ($name, $signal) = @_;
    my $child = delete $pid{$name} or return;
    kill $signal, $child;
    waitpid $child, 0;
}

END { my $status = $?; kill('CONT', $pid{redis}) if $pid{redis}; stop($_, 'TERM') for keys %pid; $? = $status }

my ($edge, $port) = (free_port(), free_port());

sub start_redis {
    spawn('redis', 'redis-server', '--port', $port, '--bind', '127.0.0.1', '--dir', $dir,
        '--save', '', '--appendonly', 'no');
    until_true('redis listens', sub { IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") });
}

my $http = HTTP::Tiny->new(timeout => 10, keep_alive => 0);
sub ask { my $r = $http->get("http://127.0.0.1:$edge/?" . join '&', @_); $r->{status} == 200 ? $r->{content} : $r->{status} }
sub logged { open my $in, '<', "$dir/logs/error.log" or return (); my $pattern = shift; grep { $_ =~ $pattern } <$in> }

start_redis();
mkdir "$dir/logs";
open my $conf, '>', "$dir/nginx.conf" or die $!;
my $modules = join "\n", map { "load_module $_;" } split ' ', $ENV{TEST_NGINX_LOAD_MODULES};
my $temp = join '', map { "${_}_temp_path $dir/$_;\n" } qw(client_body proxy fastcgi uwsgi scgi);
print $conf <<"EOF";
daemon off;
pid $dir/pid;
error_log $dir/logs/error.log notice;
worker_processes 1;
$modules
events {}
http {
    $temp
    access_log off;
    weir_redis main redis://127.0.0.1:$port timeout=500ms connect_timeout=500ms;
    server {
        listen 127.0.0.1:$edge;
        location / { weir_redis_probe main; }
    }
}
EOF
close $conf;
spawn('edge', $ENV{TEST_NGINX_BINARY}, '-e', "$dir/logs/error.log", '-p', $dir, '-c', "$dir/nginx.conf");
until_true('the edge listens', sub { IO::Socket::INET->new(PeerAddr => "127.0.0.1:$edge") });
is ask('SET+a+1', 'GET+a'), "+OK\n\$1\n", 'the server answers';

stop('redis', 'KILL');
until_true('commands are declined', sub { ask('PING') eq "declined\n" });
is ask(('PING') x 3), "declined\n" x 3, 'nobody waits for a server that is gone';
is scalar(logged(qr/weir_redis "main" at .* is down/)), 1, 'one line says that it is down';

start_redis();
until_true('the server is found again', sub { ask('PING') eq "+PONG\n" });
is ask('GET+a'), "_\n", 'it came back empty';
is scalar(logged(qr/weir_redis "main" is up again/)), 1, 'one line says that it is up';

# The server's own end of an idle connection is no failure.
ask('SET+b+2');
system "redis-cli -p $port client kill type normal >/dev/null";
is ask('GET+b'), "\$2\n", 'a connection closed while idle is made again at once';
is scalar(logged(qr/is down/)), 1, 'and is not called a failure';

# Half-open: it accepts and says nothing.
kill 'STOP', $pid{redis};
is ask('GET+b', 'GET+b'), "timeout\ntimeout\n", 'a silent server is a timeout';
until_true('it is given up', sub { ask('GET+b') eq "declined\n" });
is scalar(logged(qr/is down: does not answer/)), 1, 'with its reason';
kill 'CONT', $pid{redis};
until_true('the server answers again', sub { ask('GET+b') eq "\$2\n" });

# An answer that comes after its deadline belongs to nobody.
my $late = ask('DEBUG+SLEEP+0.7', 'ECHO+late');
SKIP: {
    skip 'DEBUG is not allowed here', 2 if $late =~ /^-/;
    is $late, "timeout\ntimeout\n", 'both are told at their deadline';
    until_true('the server is free again', sub { ask('PING') eq "+PONG\n" });
    is ask('ECHO+mine'), "\$mine\n", 'a late reply goes to nobody else';
}

# A reload: the old worker leaves, though its connection is open.
kill 'HUP', $pid{edge};
until_true('the old worker is gone', sub { logged(qr/exited with code 0/) });
is ask('GET+b'), "\$2\n", 'the new worker has its own connection';
is scalar(logged(qr/open socket .* left in connection/)), 0, 'no connection was left behind';

done_testing;
