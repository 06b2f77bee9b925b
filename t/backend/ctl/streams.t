# Events that are published after weirctl has read PostgreSQL and before it reads Redis make no
# stream seem ahead.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use File::Basename 'dirname';
use IO::Select;
use IO::Socket::INET;
use JSON::PP ();
use POSIX ();
use Test::More;
use Weir::Base qw(listens);
use Weir::Stack qw(wait_for);

my $s = Weir::Stack->new;

# Redis by another port: for each connection, when it asks for its first stream, an event of
# partition 0 is given a position, and is published, before Redis gets the question.
my $listener = IO::Socket::INET->new(Listen => 16, LocalAddr => '127.0.0.1') or die $!;

sub publish {
    my $position = $s->psql('UPDATE partitions SET position = position + 1 WHERE partition = 0'
            . ' RETURNING position');
    $s->redis('XADD', 'weir:events:0', "$position-0", 'event', '{}');
}

sub forward {
    my ($client) = @_;
    my $redis = listens($s->{redis_port}) or die $!;
    my $both = IO::Select->new($client, $redis);
    my $published = 0;
    while (1) {
        for my $from ($both->can_read) {
            sysread $from, my $data, 65536 or return;
            publish() if $from == $client && $data =~ /XINFO/ && !$published++;
            syswrite $from == $client ? $redis : $client, $data;
        }
    }
}

my $proxy = fork // die $!;
if ($proxy == 0) {
    $SIG{PIPE} = 'IGNORE';
    while (my $client = $listener->accept) { forward($client) }
    POSIX::_exit(0);
}

# When the machine is slow, weirctl does not wait for the answer: exit code 3.
sub ctl {
    my (@arguments) = @_;
    my ($status, $out);
    my $conf = $s->write_conf(user => 'weir-ctl',
        redis => 'redis://127.0.0.1:' . $listener->sockport . '/0');
    wait_for("weirctl @arguments" => sub {
        ($status, $out) =
            $s->run_command(dirname($s->{binary}) . '/weirctl', '-c', $conf, @arguments);
        return $status != 3;
    });
    return ($status, $out);
}

my ($status, $out) = ctl('relay', '--json');
is $status, 0, 'weirctl relay: nothing stands still' or diag $out;
my ($first) = @{ JSON::PP->new->decode($out)->{partitions} };
cmp_ok $first->{stream_last}, '>', 0, 'an event came';
is $first->{unknown}, 0, 'and the database knows it';

my $before = $s->redis('XLEN', 'weir:events:0');
($status, $out) = ctl('relay', 'rebase');
is $out, "No partition is halted.\n", 'weirctl relay rebase has nothing to do';
cmp_ok $s->redis('XLEN', 'weir:events:0'), '>', $before, 'and deletes no stream';

($status, $out) = ctl('outbox', '--json');
($first) = @{ JSON::PP->new->decode($out)->{partitions} };
isnt $first->{state}, 'ahead', 'weirctl outbox: no stream is ahead';

kill 'KILL', $proxy;
waitpid $proxy, 0;
done_testing;
