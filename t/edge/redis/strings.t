# Replies as the network may cut them.  This test is the Redis server itself, so
# that it can end a packet anywhere, and go on when it knows that the edge has
# given a command up.
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
    weir_redis main redis://127.0.0.1:$port timeout=5s connect_timeout=5s;
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

# --- cut anywhere ------------------------------------------------------------

my $replies = "\$5\r\nhello\r\n+OK\r\n\$-1\r\n\$0\r\n\r\n*2\r\n\$1\r\na\r\n:1\r\n:7\r\n\$12\r\nwith\r\nbreaks\r\n\$4\r\nlast\r\n";
my $answer = "\$hello\n+OK\n_\n\$\n*\$a :1 \n:7\n\$with\r\nbreaks\n\$last\n";
my @wrong;

for my $cut (1 .. length($replies) - 1) {
    my $client = ask(map { "ECHO+$_" } 1 .. 8);
    meet() if !$redis;
    read_until($redis, qr/\$4\r\nECHO\r\n\$1\r\n8\r\n/);
    send_all(substr $replies, 0, $cut);
    sleep 0.003;    # that the edge reads the parts apart; if not the test is only weaker
    send_all(substr $replies, $cut);
    my $got = body($client);
    push @wrong, "after byte $cut: $got" if $got ne $answer;
}
is_deeply \@wrong, [], 'replies cut in two after any byte are read alike';

my $client = ask(map { "ECHO+$_" } 1 .. 8);
read_until($redis, qr/\r\n8\r\n/);
for (split //, $replies) {
    send_all($_);
    sleep 0.001;
}
is body($client), $answer, 'and byte by byte';

# --- larger than any buffer, and followed at once -----------------------------

my $large = join '', map { sprintf '%08d', $_ } 1 .. 60_000;
$client = ask(map { "ECHO+$_" } 1 .. 6);
read_until($redis, qr/\r\n6\r\n/);
send_all(join '', map { '$' . length($_) . "\r\n$_\r\n" } $large, 'a', $large, $large, '', 'z');
ok body($client) eq "\$$large\n\$a\n\$$large\n\$$large\n\$\n\$z\n", 'large and small strings in one go';

$large = join '', map { sprintf '%08d', $_ } 1 .. 700_000;    # is given memory piece by piece
$client = ask(map { "ECHO+$_" } 1 .. 2);
read_until($redis, qr/\r\n2\r\n/);
send_all('$' . length($large) . "\r\n" . substr $large, 0, 3_000_000);
send_all(substr($large, 3_000_000) . "\r\n\$1\r\nz\r\n");
ok body($client) eq "\$$large\n\$z\n", 'a string of several megabytes';

# --- given up in the middle ---------------------------------------------------

$client = ask('ECHO+1', 'ECHO+2');
read_until($redis, qr/\r\n2\r\n/);
send_all('$' . length($large) . "\r\n" . substr $large, 0, 100_000);
is body($client), "timeout\ntimeout\n", 'a string that is not complete in time is a timeout';

$client = ask('ECHO+3');
read_until($redis, qr/\r\n3\r\n/);
send_all(substr($large, 100_000) . "\r\n\$6\r\nsecond\r\n\$5\r\nthird\r\n");
is body($client), "\$third\n", 'the rest of it, when it comes after all, goes to nobody';

# --- not what the protocol says ----------------------------------------------

for my $nonsense ("\$3\r\nabcdef\r\n", "\$3x\r\nabc\r\n", "\$99999999999999999999999\r\n", "\$-3\r\n") {
    $client = ask('ECHO+1');
    read_until($redis, qr/\r\n1\r\n/);
    send_all($nonsense);
    (my $shown = $nonsense) =~ s/\r\n/ /g;
    is body($client), "lost\n", "\"$shown\" ends the connection";
    meet();
    until_true('the edge is in step again', sub {
        my $again = ask('PING');
        my $line = IO::Select->new($redis, $again);
        for ($line->can_read(20)) {
            return body($again) eq "declined\n" ? 0 : BAIL_OUT('neither') if $_ == $again;
        }
        read_until($redis, qr/PING\r\n/);
        syswrite $redis, "+PONG\r\n";
        return body($again) eq "+PONG\n";
    });
}

done_testing;
