# A test that acts as the Redis server for an edge with the probe of weir_redis: it can send
# replies that no server sends, end a packet anywhere, and wait for what the edge does.
package Weir::Edge::PlayedRedis;
use strict;
use warnings;

use Exporter 'import';
use IO::Select;
use IO::Socket::INET;
use Socket qw(IPPROTO_TCP TCP_NODELAY);
use Test::More;
use Weir::Edge::Nginx 'start_nginx';
use Weir::Processes;

our @EXPORT = qw(answered_with ask body in_step_again play_redis read_until send_all);

my ($server, $redis, $edge);

# Starts the edge, which gives an answer up after the timeout.
sub play_redis {
    my ($timeout) = @_;
    $server = IO::Socket::INET->new(Listen => 8, LocalAddr => '127.0.0.1:0') or die $!;
    $edge = free_port();
    my $port = $server->sockport;
    start_nginx($dir, $edge, http => <<"HTTP");
    weir_redis main redis://127.0.0.1:$port timeout=$timeout connect_timeout=$timeout;
    server {
        listen 127.0.0.1:$edge;
        location / { weir_redis_probe main; }
    }
HTTP
}

# The client's connection, over which the commands were asked for.
sub ask {
    my $client = until_true('the edge accepts' => sub { listens($edge) });
    print {$client} 'GET /?' . join('&', @_) . " HTTP/1.0\r\n\r\n";
    $client->flush;
    return $client;
}

# Reads from a socket until the text matches, at most 20 seconds; less at its end.
sub read_from {
    my ($socket, $pattern) = @_;
    my ($text, $select) = ('', IO::Select->new($socket));
    while ($text !~ $pattern) {
        $select->can_read(20)                        or die("nothing comes; so far: $text");
        sysread($socket, $text, 65536, length $text) or last;
    }
    return $text;
}

# The edge's response to its client.
sub body { (split /\r\n\r\n/, read_from($_[0], qr/(?!)/), 2)[1] }

sub meet {
    IO::Select->new($server)->can_read(20) or die('the edge does not connect');
    $redis = $server->accept;
    setsockopt $redis, IPPROTO_TCP, TCP_NODELAY, 1;
    pong();
}

sub pong {
    read_from($redis, qr/PING\r\n/);
    send_all("+PONG\r\n");
}

# Reads the edge's commands to Redis until they match.
sub read_until {
    meet() if !$redis;
    return read_from($redis, $_[0]);
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

# Asks with one command, answers with the text; the client's connection.
sub answered_with {
    my ($text) = @_;
    my $client = ask('ECHO+1');
    read_until(qr/\r\n1\r\n/);
    send_all($text);
    return $client;
}

# The edge connects again, and its commands are answered.
sub in_step_again {
    meet();
    until_true('the edge is in step again' => sub {
        my $again = ask('PING');
        for (IO::Select->new($redis, $again)->can_read(20)) {
            return body($again) eq "declined\n" ? 0 : die('neither') if $_ == $again;
        }
        pong();
        return body($again) eq "+PONG\n";
    });
}

1;
