# bench-socket hands out the files of a folder, to many at once, and says what it can't.
use strict;
use warnings;

use File::Temp 'tempdir';
use IO::Socket::INET;
use Test::More;
use Time::HiRes 'sleep';

my $dir  = tempdir('/tmp/weir-bench.XXXXXX', CLEANUP => 1);
my $body = join '', map { chr(65 + $_ % 26) } 1 .. 300_000;
for ([small => 'hello'], [large => $body]) {
    open my $file, '>', "$dir/$_->[0]" or die $!;
    print $file $_->[1];
    close $file;
}

my $port = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1')->sockport;
my $pid  = fork // die $!;
exec 'build/bench-socket', $port, $dir or die $! if !$pid;

sub connection {
    for (1 .. 400) {
        my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port", Timeout => 10);
        return $socket if $socket;
        sleep 0.05;
    }
    die "bench-socket does not listen";
}

sub answer {
    my ($socket, $path) = @_;
    print $socket "GET $path HTTP/1.1\r\nHost: x\r\n\r\n";
    my ($head, $length, $text) = ('', 0, '');
    while (my $line = <$socket>) {
        last if $line eq "\r\n";
        $head  .= $line;
        $length = $1 if $line =~ /^Content-Length: (\d+)/;
    }
    read $socket, $text, $length if $length;
    return ((split ' ', $head)[1], $text);
}

my @clients = map { connection() } 1 .. 3;
for my $client (@clients) {
    is_deeply [answer($client, '/small?k=1')], [200, 'hello'], 'a file, whatever the query';
    my ($status, $text) = answer($client, '/large');
    ok $status == 200 && $text eq $body, 'a file that no socket takes at once';
    is_deeply [answer($client, '/other')], [404, ''], 'what is not there';
}
kill 'TERM', $pid;
waitpid $pid, 0;

is system("build/bench-socket 0 $dir 2>/dev/null") >> 8, 2, 'port 0 is refused';
is system("build/bench-socket $port $dir/none 2>$dir/said") >> 8, 1, 'so is a folder that is not there';
open my $said, '<', "$dir/said" or die $!;
is join('', <$said>), "bench-socket: $dir/none: No such file or directory\n", 'with its name';

done_testing;
