# A Redis that refuses single commands: events wait, the refusal is logged once, and all goes on
# when Redis accepts the command again.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../../lib";

use Test::More;
use Weir::Events;
use Weir::Redis qw(redis_expects_refusals redis_rules);
use Weir::Stack qw(wait_for);

my $s = Weir::Stack->new(conf => { groups => 'analytics' });
my $e = Weir::Events->new($s, groups => ['analytics']);
$e->count_effects;

sub said {
    my ($msg) = @_;
    return $s->logged('relay worker', $msg);
}

redis_expects_refusals();
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
    $s->redis(qw(ACL SETUSER weir-backend), redis_rules($s->dir, 'weir-backend', $command));
    $s->redis('FLUSHALL') if $command eq 'xgroup'; # the group must be made again
    $e->create(50);
    wait_for("the log: $msg" => sub { said($msg) });
    like((said($msg))[0]{error}, qr/permission|can't run/, "$msg: with Redis's word");
    $s->redis(qw(ACL SETUSER weir-backend), redis_rules($s->dir, 'weir-backend'));
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

# A key of another type in the place of one stream: the log is told once, and the other partitions
# go on.
my $events = scalar(said('Redis refuses events, they wait in the outbox'));
my $groups = scalar(said('Redis refuses the consumer group'));
$s->redis('DEL', 'weir:events:3');
$s->redis('SET', 'weir:events:3', 'x');
$e->create(50);
wait_for('the other partitions', sub {
    $s->psql('SELECT bool_and(c.handled = p.position)
        FROM partitions p JOIN consumer_partitions c USING (partition)
        WHERE partition <> 3 AND NOT EXISTS (SELECT FROM outbox o
            WHERE o.partition <> 3 AND o.position IS NULL)') eq 't' });
sleep 4; # that long, the log would be told a few times
is scalar(said('Redis refuses events, they wait in the outbox')), $events + 1,
    'another type: the relay tells it once';
is scalar(said('Redis refuses the consumer group')), $groups + 1, 'and the worker';
$s->redis('DEL', 'weir:events:3');
$e->wait_handled;
is $e->complaints, '', 'when the key is deleted all goes on';

# The worker may have read from the outbox what was refused: then the next event tells.
$e->create(50);
$e->wait_handled;
wait_for('the log that it is over', sub { said('Redis takes events again') == 2 });

# An ID that no relay gives: the partition stands still, as after any entry of somebody else.
($position) = $s->psql('SELECT position FROM partitions WHERE partition = 0') =~ /(\d+)/;
is $s->redis('XADD', 'weir:events:0', "$position-7", 'event', '{}'), "$position-7",
    'an entry between two positions';
$e->create(50);
wait_for('the partition to stand still', sub {
    $s->psql('SELECT halted FROM partitions WHERE partition = 0') eq 'ahead' });
$s->redis('DEL', 'weir:events:0');
$e->wait_handled;
is $e->complaints, '', 'and goes on when its stream is deleted';
is $s->stop_backend('relay worker'), 0, 'stops';

# Redis is full of events that all groups have handled, and a relay begins: what it cannot write is
# its fence.
$s->start_backend('relay');
$e->create(3000);
wait_for('the streams', sub {
    $s->psql('SELECT NOT EXISTS (SELECT FROM outbox WHERE position IS NULL)') eq 't' });
sleep 1; # what has a position gets into its stream
is $s->stop_backend('relay'), 0, 'the relay stops';
$s->start_backend('worker');
$e->wait_handled;
my ($used) = $s->redis('INFO', 'memory') =~ /^used_memory:(\d+)/m;
$s->redis(qw(CONFIG SET maxmemory-policy noeviction));
$s->redis(qw(CONFIG SET maxmemory), $used - 300_000);
like $s->redis('SET', 'a', 'b'), qr/OOM/, 'Redis is full';
$s->start_backend('relay');
$e->create(100);
$e->wait_handled;
is $e->complaints, '', 'a Redis full of handled events: the relay trims them, and goes on';
is $s->stop_backend($_), 0, "$_ stops" for qw(worker relay);

done_testing;
