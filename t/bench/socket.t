# bench-socket hands out the files of a folder, to many at once, and says what it can't.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use File::Temp 'tempdir';
use Test::More;
use Weir::Base qw(free_port listens slurp spew wait_for);

my $dir = tempdir('/tmp/weir-bench.XXXXXX', CLEANUP => 1);
my $body = join '', map { chr(65 + $_ % 26) } 1 .. 300_000;
spew("$dir/small", 'hello');
spew("$dir/large", $body);

my $port = free_port();
my $pid = fork // die $!;
exec 'build/bench-socket', $port, $dir or die $! if !$pid;

sub connection { return wait_for('bench-socket to listen' => sub { listens($port) }) }

sub answer {
    my ($socket, $path) = @_;
    print $socket "GET $path HTTP/1.1\r\nHost: x\r\n\r\n";
    my ($head, $length, $text) = ('', 0, '');
    while (my $line = <$socket>) {
        last if $line eq "\r\n";
        $head .= $line;
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
is system("build/bench-socket $port $dir/none 2>$dir/said") >> 8, 1,
    'so is a folder that is not there';
is slurp("$dir/said"), "bench-socket: $dir/none: No such file or directory\n", 'with its name';

done_testing;
