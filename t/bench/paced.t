# bench-paced sends as many requests as its rate says, counts from when each was due, and says what
# it cannot measure.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use File::Temp 'tempdir';
use IO::Select;
use IO::Socket::INET;
use JSON::PP 'decode_json';
use List::Util 'sum';
use Test::More;
use Weir::Base 'slurp';

my $dir = tempdir('/tmp/weir-bench.XXXXXX', CLEANUP => 1);
my @servers;

# Answers each request of all connections with that text; the first one after a delay in seconds.
sub server {
    my ($answer, $delay) = @_;
    my $listener = IO::Socket::INET->new(Listen => 64, LocalAddr => '127.0.0.1:0') or die $!;
    my $pid = fork // die $!;
    if (!$pid) {
        my $all = IO::Select->new($listener);
        while (my @ready = $all->can_read) {
            for my $socket (@ready) {
                if ($socket == $listener) { $all->add($listener->accept); next }
                if (!sysread $socket, my $request, 4096) { $all->remove($socket); next }
                select undef, undef, undef, $delay if $delay;
                $delay = 0;
                syswrite $socket, $answer;
            }
        }
    }
    push @servers, $pid;
    return $listener->sockport;
}
END { kill 'KILL', @servers }

sub paced {
    my @arguments = @_;
    my $out = `build/bench-paced @arguments 2>$dir/said`;
    return ($? >> 8, $out ? decode_json($out) : undef, slurp("$dir/said"));
}

my $ok = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
my $port = server($ok);
my ($status, $got) = paced($port, '/x', 2000, 1, 4);
is $status, 0, 'it measures';
cmp_ok $got->{requests}, '>', 1900, 'as many requests as the rate says';
cmp_ok $got->{requests}, '<', 2100, '... and no more';
is $got->{failed}, 0, '... all with 200';
is sum(map { $_->[1] } @{ $got->{times} }), $got->{requests}, 'each has a time';
is((paced($port, '/x', 2000, 1, 4))[1]{requests}, $got->{requests},
    'another run sends as many');

# While the only connection waits for 0.5 s, some 100 more requests are due and wait as well.
($status, $got) = paced(server($ok, 0.5), '/x', 200, 1, 1);
my $waited = sum 0, map { $_->[1] } grep { $_->[0] > 100_000_000 } @{ $got->{times} };
cmp_ok $waited, '>', 50, 'requests that could not be sent have waited for the server, too';

($status, $got) = paced(server("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"), '/x',
    100, 0.2, 1);
is $got->{failed}, $got->{requests}, 'other statuses are counted as failed';

is_deeply [paced(server("HTTP/1.1 200 OK\r\n\r\n"), '/x', 100, 0.2, 1)], [1, undef,
    "bench-paced: an answer without Content-Length, or too long: Bad message\n"],
    'an answer whose end is not known is refused';
for my $wrong ([0, '/x', 1, 1, 1], [$port, 'x', 1, 1, 1], [$port, '/x', 0, 1, 1],
        [$port, '/x', 1, 0, 1], [$port, '/x', 1, 1, 257], [$port]) {
    is((paced(@$wrong))[0], 2, "wrong: @$wrong");
}

done_testing;
