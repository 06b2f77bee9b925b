# Events while Redis dies, loses its data, or has other data than PostgreSQL.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use Test::More;
use Weir::Events;
use Weir::Stack qw(wait_for);

my %CONF = (retry_base => '20ms', retry_max => '500ms');

# A new stack with its events.
sub stack { return Weir::Events->with_stack(%CONF, @_) }

subtest 'a Redis that dies, stalls or loses its data costs no event' => sub {
    my ($s, $e) = stack();
    $s->start_smtp;
    $s->start_backend('all');

    $e->create(300);
    $e->wait_some_handled(50);
    is($s->redis('FLUSHALL'), 'OK', 'FLUSHALL in the middle');
    $e->create(100);
    $e->is_all_well('every effect once after it');
    is($e->repeated_mails, 0, 'no mail twice');

    is($s->redis('FLUSHALL'), 'OK', 'FLUSHALL while all is quiet');
    $e->create(100);
    $e->is_all_well('every effect once after it');

    $e->create(300);
    $e->wait_some_handled(550);
    $s->kill_redis;
    $e->create(100);
    ok($s->post('/signup', { email => 'meanwhile@example.org', displayName => 'M' })->{status} ==
            201, 'signups go on');
    $e->{users}++;
    $s->start_redis;
    $e->is_all_well('killed, and empty when it comes back: every effect once');

    $s->stop_redis;
    $e->create(200);
    wait_for('the relay to see it' => sub { $s->logged('all', qr/Redis connection lost/) });
    $s->start_redis;
    $e->is_all_well('away while events were committed: every effect once');
    is($e->repeated_mails, 0, 'no mail twice in all this');

    # It does not answer, and later runs the commands of a connection that was given up.
    $e->create(200);
    $s->freeze('redis');
    $e->create(100);
    wait_for('the relay to give up' => sub {
        grep { $_->{connection} eq 'relay' && $_->{error} eq 'no reply within 5 s' }
            $s->logged('all', qr/Redis connection lost/);
    });
    $s->thaw('redis');
    $e->is_all_well('frozen and thawed: every effect once');
    is($e->repeated_mails, 0, 'no mail twice');

    # The stream of one partition is lost, and of another one the group.
    $s->redis('DEL', 'weir:events:0');
    $s->redis('XGROUP', 'DESTROY', 'weir:events:1', 'billing');
    # Another reader takes an event away.
    $s->redis('XREADGROUP', 'GROUP', 'flags', 'weir', 'COUNT', '10', 'BLOCK', '1', 'STREAMS',
        'weir:events:2', '>');
    $e->create(100);
    $e->is_all_well('a stream and a group deleted: every effect once');

    is($s->stop_backend('all'), 0, 'stops gracefully');
};

subtest 'an event that another reader took from the stream is read from the outbox' => sub {
    my ($s, $e) = stack(groups => 'analytics');
    $s->start_backend('relay');
    $s->start_backend('worker');
    $e->create(50);
    $e->wait_handled('analytics');

    # A worker that reads nothing for a while, and another reader that does.
    $s->freeze('worker');
    wait_for(
        'the end of its read' => sub { $s->redis('INFO', 'clients') =~ /^blocked_clients:0/m });
    $e->create(200);
    my $published = sub {
        return $s->psql('SELECT count(*) FROM outbox WHERE position IS NULL') == 0
            && $s->redis('XLEN', 'weir:events:0') + $s->redis('XLEN', 'weir:events:1') > 20;
    };
    wait_for('the events in Redis', $published);
    like(
        $s->redis(
            'XREADGROUP', 'GROUP', 'analytics', 'weir', 'COUNT', '5', 'STREAMS', "weir:events:0",
            '>'),
        qr/UserCreated/,
        'five are taken before others of their stream');
    like(
        $s->redis('XREADGROUP', 'GROUP', 'analytics', 'weir', 'STREAMS', "weir:events:1", '>'),
        qr/UserCreated/, 'and all of another stream');
    $s->thaw('worker');
    $e->wait_handled('analytics');
    is($s->psql('SELECT count(*) FROM analytics_events'), $e->{users}, 'all are handled');
    is($s->psql('SELECT count(*) FROM effects'), $e->{users}, 'once');
    is($s->stop_backend('worker'), 0, 'stops gracefully');
};

subtest 'a database that was restored from a backup stops relay and worker' => sub {
    my ($s, $e) = stack(groups => 'analytics,email');
    $s->start_smtp;
    # A group that handles nothing keeps the streams from being trimmed.
    $s->psql("INSERT INTO consumer_partitions SELECT 'observer', partition, 0 FROM partitions");
    $s->start_backend('relay worker');
    $e->create(400);
    $e->wait_handled(qw(analytics email));
    $s->stop_backend('relay worker');
    # As it was before most of these events.
    $s->psql(<<'SQL');
DELETE FROM outbox WHERE position > 10;
UPDATE partitions SET position = 10;
UPDATE consumer_partitions SET handled = 8;
DELETE FROM analytics_events a WHERE NOT EXISTS (
    SELECT FROM outbox o WHERE o.event_id = a.event_id AND o.position <= 8);
SQL
    $s->start_backend('relay worker');
    wait_for('the relay to refuse' =>
            sub { $s->psql('SELECT count(*) FROM partitions WHERE halted IS NOT NULL') == 8 });
    $e->create(100);
    wait_for('what both have to be handled' => sub {
        $s->psql("SELECT count(*) FROM consumer_partitions WHERE handled = 10") == 16;
    });
    wait_for('the worker to complain' => sub { $s->logged('relay worker', qr/does not have/) });
    is(scalar($s->logged('relay worker', qr/run: weirctl relay rebase/)), 2,
        'it and the relay have said it in a line each');
    is($s->psql('SELECT count(*) FROM outbox WHERE position IS NULL'), 100, 'new events wait');
    is($s->psql('SELECT max(handled) FROM consumer_partitions'), 10,
        'nothing of the lost time is marked');
    is($e->repeated_mails, 16, 'nor mailed again');
    $s->psql("DELETE FROM consumer_partitions WHERE group_name = 'observer'");
    $s->redis('DEL', map { "weir:events:$_" } 0 .. 7);
    $e->wait_handled(qw(analytics email));
    is($s->psql('SELECT count(*) FROM analytics_events'), 180,
        'after DEL all that the database has is handled');
    is($e->repeated_mails, 16, 'and no other mail was sent twice');
    is($s->stop_backend('relay worker'), 0, 'stops gracefully');
};

subtest 'a stream that no group reads is full at a hundred thousand entries' => sub {
    my ($s, $e) = stack(groups => 'analytics');
    $s->psql(<<'SQL');
INSERT INTO outbox (event_id, partition, type, aggregate, data)
SELECT gen_random_uuid(), 3, 'UserCreated', 'user:' || g, '{}' FROM generate_series(1, 101000) g
SQL
    $s->start_backend('relay');
    wait_for('the relay to pause' => sub { $s->logged('relay', qr/^stream is full/) });
    cmp_ok($s->redis('XLEN', 'weir:events:3'), '<', 101000, 'the rest waits in the outbox');
    $e->create(100);
    wait_for('the other streams to flow' => sub {
        $s->psql('SELECT count(*) FROM outbox WHERE position IS NULL AND partition <> 3') == 0;
    });
    $s->start_backend('worker');
    $e->wait_handled('analytics');
    is($s->psql('SELECT count(*) FROM analytics_events'), 101100, 'when a group comes, all flows');
    is($s->stop_backend('worker'), 0, 'stops gracefully');
    is($s->stop_backend('relay'), 0, 'stops gracefully');
};

done_testing;
