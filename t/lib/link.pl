# A network between two peers, for Weir::Link: link.pl FROM TO [STRAY], FROM and TO each a port of
# loopback or the path of a socket. Every connection has a process of its own, which can be stopped:
# then nothing passes, and neither side notices. While the file STRAY is there, a client of
# PostgreSQL gets a ReadyForQuery before the answers to its statements (manual, 55.7).
use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;

my ($from, $to, $stray) = @ARGV;

my $listener =
    $from =~ m{^/}
    ? IO::Socket::UNIX->new(Local => $from, Listen => 64)
    : IO::Socket::INET->new(LocalAddr => "127.0.0.1:$from", Listen => 64, ReuseAddr => 1);
die "link: cannot listen on $from: $!\n" if !$listener;

my %children;
$SIG{TERM} = $SIG{INT} = sub { kill 'KILL', keys %children; exit 0 };
$SIG{CHLD} = sub {
    while ((my $pid = waitpid -1, 1) > 0) { delete $children{$pid} }
};

sub connection {
    my ($client) = @_;
    my $server =
        $to =~ m{^/}
        ? IO::Socket::UNIX->new(Peer => $to)
        : IO::Socket::INET->new(PeerAddr => "127.0.0.1:$to");
    return if !$server;
    my $select = IO::Select->new($client, $server);
    while (1) {
        for my $side ($select->can_read) {
            my $other = $side == $client ? $server : $client;
            sysread($side, my $bytes, 65536) or return;
            syswrite $client, "Z\0\0\0\5I"
                if $stray && $side == $client && $bytes =~ /\A[PB]/ && -e $stray;
            while (length $bytes) {
                my $n = syswrite $other, $bytes or return;
                substr $bytes, 0, $n, '';
            }
        }
    }
}

while (1) {
    my $client = $listener->accept or next;
    my $pid = fork;
    if (defined $pid && $pid == 0) {
        $SIG{TERM} = $SIG{INT} = $SIG{CHLD} = 'DEFAULT';
        close $listener;
        connection($client);
        exit 0;
    }
    $children{$pid} = 1 if defined $pid;
    close $client;
}
