# A Redis that refuses single commands: events wait, the refusal is logged once, and all goes on
# when Redis accepts the command again.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../../lib";

use Test::More;
use Weir::Events;
use Weir::Stack qw(wait_for);

my $s = Weir::Stack->new(conf => { groups => 'analytics' });
my $e = Weir::Events->new($s, groups => ['analytics']);
$e->count_effects;

sub said {
    my ($msg) = @_;
    return $s->logged('relay worker', $msg);
}

$s->start_backend('relay worker');
$e->create(20);
$e->wait_handled;
for my $case (
    ['xadd', 'Redis refuses events, they wait in the outbox'],
    ['xreadgroup', 'Redis refuses to deliver events'],
    ['xgroup', 'Redis refuses the consumer group'],
    )
{
    my ($command, $msg) = @$case;
    $s->redis(qw(ACL SETUSER default), "-$command");
    $s->redis('FLUSHALL') if $command eq 'xgroup'; # the group must be made again
    $e->create(50);
    wait_for("the log: $msg" => sub { said($msg) });
    like((said($msg))[0]{error}, qr/permission|can't run/, "$msg: with Redis's word");
    $s->redis(qw(ACL SETUSER default), "+$command");
    $e->wait_handled;
    is $e->complaints, '', 'then all events have their effects, once';
    is scalar(said($msg)), 1, 'it is logged once';
}
is scalar(said('Redis takes events again')), 1, 'and that it is over';

# An entry of a stream that is no event is left alone.
my ($partition, $position) = split /\|/,
    $s->psql('SELECT partition, position FROM partitions WHERE partition = 0');
$s->redis('XADD', 'weir:events:0', ($position + 1) . '-0', 'hello', 'world');
wait_for('the log' => sub {
    grep { $_->{msg} =~ /^a stream has events that the database does not have/ }
        $s->log_lines('relay worker');
});
$s->redis('DEL', 'weir:events:0');
$e->create(50);
$e->wait_handled;
is $e->complaints, '', 'an entry that is no event: when the stream is deleted all goes on';
is $s->stop_backend('relay worker'), 0, 'stops';

done_testing;
