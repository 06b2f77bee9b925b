# A server that is no Redis, or one that somebody else speaks for: whatever it
# says costs the edge a connection, and memory in proportion to what it sent.
# This test is the Redis server itself.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";
use IO::Select;
use IO::Socket::INET;
use Socket qw(IPPROTO_TCP TCP_NODELAY);
use Test::More;
use Time::HiRes 'sleep';
use Weir::Processes;

my $server = IO::Socket::INET->new(Listen => 8, LocalAddr => '127.0.0.1:0') or die $!;
my ($edge, $port) = (free_port(), $server->sockport);
mkdir "$dir/logs";
my $modules = join "\n", map { "load_module $_;" } split ' ', $ENV{TEST_NGINX_LOAD_MODULES};
my $temp = temp_paths($dir);
spit("$dir/nginx.conf", <<"EOF");
daemon off;
pid $dir/pid;
error_log $dir/logs/error.log notice;
worker_processes 1;
$modules
events {}
http {
    $temp
    access_log off;
    weir_redis main redis://127.0.0.1:$port timeout=1s connect_timeout=1s;
    server {
        listen 127.0.0.1:$edge;
        location / { weir_redis_probe main; }
    }
}
EOF
spawn_nginx('edge', $dir);

sub connect_edge { listens($edge) }
until_true('the edge listens', \&connect_edge);

sub ask {
    my $client = until_true('the edge accepts', \&connect_edge);
    print {$client} 'GET /?' . join('&', @_) . " HTTP/1.0\r\n\r\n";
    $client->flush;
    return $client;
}

# Reads from a socket until the text matches, at most 20 seconds; '' at the end.
sub read_until {
    my ($socket, $pattern) = @_;
    my ($text, $select) = ('', IO::Select->new($socket));
    while ($text !~ $pattern) {
        $select->can_read(20) or BAIL_OUT("nothing comes; so far: $text");
        sysread($socket, $text, 65536, length $text) or last;
    }
    return $text;
}

sub body { (split /\r\n\r\n/, read_until($_[0], qr/(?!)/), 2)[1] }

my $redis;

sub meet {
    IO::Select->new($server)->can_read(20) or BAIL_OUT('the edge does not connect');
    $redis = $server->accept;
    setsockopt $redis, IPPROTO_TCP, TCP_NODELAY, 1;
    read_until($redis, qr/PING\r\n/);
    syswrite $redis, "+PONG\r\n";
}

# As the socket takes it in; the edge may have given the connection up.
sub send_all {
    my ($text) = @_;
    local $SIG{PIPE} = 'IGNORE';
    while (length $text) {
        my $n = syswrite($redis, $text) or last;
        substr($text, 0, $n, '');
    }
}

# The resident memory of the worker, and its most so far, KiB.
my ($master) = slurp("$dir/pid") =~ /(\d+)/;
chomp(my $worker = `pgrep -P $master`);
sub most_memory { (slurp("/proc/$worker/status") =~ /VmHWM:\s*(\d+)/)[0] }

# Asks with one command, answers with the text.
sub answered_with {
    my ($text) = @_;
    my $client = ask('ECHO+1');
    meet() if !$redis;
    read_until($redis, qr/\r\n1\r\n/);
    send_all($text);
    return $client;
}

# The edge connects again, and its commands are answered.
sub in_step_again {
    meet();
    until_true('the edge is in step again', sub {
        my $again = ask('PING');
        for (IO::Select->new($redis, $again)->can_read(20)) {
            return body($again) eq "declined\n" ? 0 : BAIL_OUT('neither') if $_ == $again;
        }
        read_until($redis, qr/PING\r\n/);
        syswrite $redis, "+PONG\r\n";
        return body($again) eq "+PONG\n";
    });
}

is body(answered_with("+OK\r\n")), "+OK\n", 'the edge asks this server';
my $before = most_memory();

# --- what only RESP3 has -------------------------------------------------------

my @resp3 = (",1.5\r\n", "#t\r\n", "(12345678901234567890\r\n", "%1\r\n+a\r\n+b\r\n", "~1\r\n+a\r\n",
    ">1\r\n+a\r\n", "=5\r\ntxt:a\r\n", "!3\r\nERR\r\n", "|1\r\n+a\r\n+b\r\n");
for my $reply (@resp3, map { "*1\r\n$_" } @resp3) {
    (my $shown = $reply) =~ s/\r\n/ /g;
    is body(answered_with($reply)), "lost\n", "\"$shown\" ends the connection";
    in_step_again();
}

# --- more than is believed ----------------------------------------------------

is body(answered_with($$_[0])), "lost\n", "$$_[1] end the connection" and in_step_again()
    for ["*50000000\r\n", 'fifty million elements'], ["*1\r\n" x 7 . ":1\r\n", 'seven levels'],
    ["*1000000\r\n*1000000\r\n", 'two million elements in all'];

# --- what is announced and does not come ---------------------------------------

# Each waits for what was announced, until its deadline.
for my $announced ("\$400000000\r\n", "*1000000\r\n", "*1\r\n\$400000000\r\n", '*2' . "\r\n*400000" x 4 . "\r\n") {
    (my $shown = $announced) =~ s/\r\n/ /g;
    my $client = answered_with($announced);
    like body($client), qr/^(?:timeout|lost)$/, "\"$shown\" alone is no reply";
    in_step_again();
}

cmp_ok most_memory() - $before, '<', 8192, 'none of it made the worker take the memory that was announced';

# --- texts ----------------------------------------------------------------------

is body(answered_with("-ERR a\tb\x1b[2J\n\r\n")), "-ERR a b [2J \n", 'control characters of an error become blanks';

chomp(my $still = `pgrep -P $master`);
is $still, $worker, 'it is the same worker all the time';

done_testing;
