# Rows of the outbox that somebody has deleted before their events were handled: each ends as a
# dead letter, and holds up nothing.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../../lib";

use Test::More;
use Weir::Events;
use Weir::Stack qw(wait_for);

my $s = Weir::Stack->new(conf => { groups => 'email,analytics', retry_max => '1s' });
my $e = Weir::Events->new($s, groups => [qw(email analytics)]);

sub dead {
    return $s->psql('SELECT group_name, count(*), min(error), max(error)'
        . ' FROM dead_letters GROUP BY 1 ORDER BY 1');
}

sub wait_positions {
    wait_for('positions' => sub {
        $s->psql('SELECT NOT EXISTS (SELECT FROM outbox WHERE position IS NULL)') eq 't';
    });
}

subtest 'Redis has forgotten them, too' => sub {
    $s->start_smtp;
    $s->start_backend('relay');
    $e->create(80);
    wait_positions();
    is $s->stop_backend('relay'), 0, 'the relay stops';
    my $rows = () = $s->psql('DELETE FROM outbox o USING partitions p
        WHERE p.partition = o.partition
          AND (o.position = 3 OR (p.partition = 0 AND o.position = p.position))
        RETURNING o.id') =~ /\d+/g;
    $s->redis('FLUSHALL');
    $s->start_backend('relay worker');
    $e->wait_handled;
    is dead(), join("\n", map { "$_|$rows" . '|the outbox has no such event' x 2 }
            qw(analytics email)), "$rows dead letters of each group";
    is scalar(() = $s->mails), 80 - $rows, 'a mail for each of the others';
};

subtest 'they were set aside in memory' => sub {
    $s->psql('DELETE FROM dead_letters');
    my $mails = () = $s->mails;
    $s->stop_smtp;
    $s->psql(<<'SQL');
SELECT outbox_put(gen_random_uuid(), 'UserCreated', 'user:' || a, jsonb_build_object(
    'userId', gen_random_uuid(), 'email', a || '-' || n || '@example.org'), NULL)
FROM unnest('{a,b}'::text[]) a, generate_series(1, 60) n ORDER BY a, n
SQL
    $e->wait_handled('analytics');
    wait_for('the breaker' => sub { $s->log_of('relay worker') =~ /its breaker opens/ });
    # Thirty-two events of an aggregate are kept in memory. Of one the first that was let go is
    # deleted, of the other one in the middle.
    $s->psql(q(DELETE FROM outbox
        WHERE data->>'email' IN ('a-33@example.org', 'b-40@example.org')));
    $s->start_smtp;
    $e->wait_handled;
    is dead(), 'email|2' . '|the outbox has no such event' x 2, 'two dead letters';
    is scalar(() = $s->mails), $mails + 118, 'a mail for each of the others';
};

is $s->stop_backend('relay worker'), 0, 'stops';

done_testing;
