# Events while the relay, workers, the mail server and PostgreSQL die.
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

subtest 'relay and workers that die or stall are replaced by others' => sub {
    my ($s, $e) = stack();
    $s->start_smtp;
    $s->start_backend('relay', name => 'relay1');
    wait_for('the first relay at work' => sub { $s->logged('relay1', qr/^relay is active/) });
    $s->start_backend('relay', name => 'relay2');
    wait_for('the second to wait' => sub { $s->logged('relay2', qr/another relay/) });
    $s->start_backend('worker', name => 'worker1');
    $e->create(400);
    $e->wait_some_handled(30);
    $s->kill_backend('relay1');
    $e->create(100);
    wait_for('the second relay at work' => sub { $s->logged('relay2', qr/^relay is active/) });
    $e->is_all_well('a relay killed, another takes over: every effect once');

    $s->start_backend('worker', name => 'worker2');
    wait_for('fair shares' => sub {
        $s->psql("SELECT count(*) FROM (SELECT FROM consumer_partitions WHERE owner IS NOT NULL"
                . " GROUP BY group_name, owner HAVING count(*) = 4) x") ==
            2 * $s->psql('SELECT count(DISTINCT group_name) FROM consumer_partitions');
    });
    pass('two workers share each group');
    $e->create(600);
    $e->wait_some_handled(550);
    $s->kill_backend('worker1');
    $e->is_all_well('a worker killed, the other takes over: every effect once');
    cmp_ok($e->repeated_mails, '<=', 8,
        'at most the mails under way were sent twice, with the same ID');
    is($s->psql('SELECT count(DISTINCT owner) FROM consumer_partitions'), 1, 'it owns all');

    $s->start_backend('worker', name => 'worker3');
    wait_for('fair shares' => sub {
        $s->psql("SELECT count(DISTINCT owner) FROM consumer_partitions") == 2;
    });
    $e->create(300);
    is($s->stop_backend('worker2'), 0, 'a worker stops gracefully in the middle');
    my $mails = $e->repeated_mails;
    $e->is_all_well('the other takes over: every effect once');
    is($e->repeated_mails, $mails, 'no mail twice');

    # A worker that was stopped by a signal, and goes on when another has its partitions.
    $s->start_backend('worker', name => 'worker4');
    wait_for('fair shares' => sub {
        $s->psql("SELECT count(*) FROM (SELECT FROM consumer_partitions WHERE owner IS NOT NULL"
                . " GROUP BY group_name, owner HAVING count(*) = 4) x") ==
            2 * $s->psql('SELECT count(DISTINCT group_name) FROM consumer_partitions');
    });
    $s->freeze('worker4');
    $e->create(200);
    $e->is_all_well('a frozen worker: another takes over');
    $s->thaw('worker4');
    wait_for('fair shares again' => sub {
        $s->psql("SELECT count(*) FROM (SELECT FROM consumer_partitions WHERE owner IS NOT NULL"
                . " GROUP BY group_name, owner HAVING count(*) = 4) x") ==
            2 * $s->psql('SELECT count(DISTINCT group_name) FROM consumer_partitions');
    });
    $e->create(100);
    $e->is_all_well('thawed, it does nothing twice and works again');
    is($s->stop_backend('worker3'), 0, 'worker stops');
    is($s->stop_backend('worker4'), 0, 'worker stops');
    is($s->stop_backend('relay2'), 0, 'relay stops');
};

subtest 'a mail server that is away costs no attempt' => sub {
    my ($s, $e) = stack(retry_attempts => 3);
    $s->start_backend('all');
    $e->create(40);
    $e->wait_handled(qw(billing analytics flags));
    wait_for('the breaker to open' => sub { $s->logged('all', qr/its breaker opens/) });
    is($s->psql("SELECT count(*) FROM users WHERE status = 'ACTIVE'"), 0,
        'no user is active without a mail');
    # Transactions that write failures down; more of them than an event has attempts.
    my ($last, $written) = ('', 0);
    wait_for('probes' => sub {
        my $now = $s->psql('SELECT max(xmin::text::bigint) FROM retries');
        $written += $now ne $last;
        $last = $now;
        return $written > 4;
    });
    is($s->psql('SELECT max(attempts) FROM retries'), 0,
        'a server that cannot be reached costs no attempt');
    $s->start_smtp;
    $e->is_all_well('back again: all mails have arrived');
    is($e->repeated_mails, 0, 'each once');
    ok($s->logged('all', qr/its breaker closes/), 'the breaker has closed');
    is($s->stop_backend('all'), 0, 'stops gracefully');
};

subtest 'the reply of the mail server decides about a mail' => sub {
    my ($s, $e) = stack(groups => 'email', retry_attempts => 4);
    $s->start_smtp_with(<<'PYTHON');
class Handler(Mailbox):
    asked = {}
    async def handle_RCPT(self, server, session, envelope, address, options):
        n = self.asked[address] = self.asked.get(address, 0) + 1
        if address.startswith('nobody'):
            return '550 no such user'
        if address.startswith('full') or address.startswith('greylisted') and n < 3:
            return '451 try again'
        envelope.rcpt_tos.append(address)
        return '250 OK'
    async def handle_DATA(self, server, session, envelope):
        if envelope.rcpt_tos[0].startswith('spam'):
            return '554 looks like spam'
        return await super().handle_DATA(server, session, envelope)
PYTHON
    $s->start_backend('relay worker');
    $e->create(1, $_) for qw(nobody greylisted spam full);
    $e->create(20);
    $e->wait_handled('email');
    my @dead = map { [split /\|/] } split /\n/,
        $s->psql("SELECT regexp_replace(data->>'email', '\\d.*', ''), attempts, error"
            . " FROM dead_letters ORDER BY 1");
    is(join(' ', map { "$_->[0]:$_->[1]" } @dead), 'full:4 nobody:1 spam:1',
        'refused ones are dead letters, put off ones are tried again');
    like($dead[1][2], qr/550/, "with the server's word");
    is(scalar $s->mails, 21, 'the others have got theirs');
    ok(!$s->logged('relay worker', qr/breaker/), 'the breaker stays closed: the server answers');
    is($s->stop_backend('relay worker'), 0, 'stops gracefully');
};

subtest 'a crash of PostgreSQL repeats no effect' => sub {
    my ($s, $e) = stack();
    $s->start_smtp;
    $s->start_backend('all');
    $e->create(300);
    $e->wait_some_handled(30);
    $s->stop_postgres('immediate');
    $s->start_postgres;
    $e->is_all_well('a crash in the middle: every effect once');
    is($s->stop_backend('all'), 0, 'stops gracefully');
};

# Groups without a handler do not wait for the disk. Whatever else writes the log of PostgreSQL is
# held up, so that what they have committed behind the relay's last commit is lost in the crash:
# heartbeats by their lock, PostgreSQL's own processes by a signal.
subtest 'a crash of PostgreSQL that takes back commits loses no effect' => sub {
    my ($s, $e) = stack(groups => 'billing, analytics, flags');
    my $effects = sub { $s->psql('SELECT count(*) FROM effects') };
    $e = Weir::Events->new($s, groups => [qw(billing analytics flags)]);
    $s->psql_as('postgres', 'postgres', $_)
        for 'ALTER SYSTEM SET autovacuum = off', 'SELECT pg_reload_conf()';
    $s->start_backend('relay worker');
    $e->create(10);
    $e->wait_handled;
    my $heartbeats = $s->session('BEGIN; SELECT pg_advisory_xact_lock(2003134834, 2);');
    my @writers = split /\n/, $s->psql_as(
        'postgres', 'postgres',
        "SELECT pid FROM pg_stat_activity WHERE backend_type IN ('walwriter',"
            . " 'checkpointer', 'background writer')");
    is(kill('STOP', @writers), 3, 'what writes the log in the background is stopped');
    $e->create(40);
    $e->wait_handled;
    $s->freeze('relay worker');
    my $before = $effects->();
    $s->kill_postgres;
    $s->start_postgres;
    my $lost = $before - $effects->();
    $s->thaw('relay worker');
    close $heartbeats;
    cmp_ok($lost, '>', 0, 'a crash takes effects back');
    $e->create(40);
    my $n = $e->{users};
    $e->wait_handled;
    is($s->psql("SELECT what || ' ' || count(*) || ' ' || count(DISTINCT id) FROM effects"
                . " GROUP BY what ORDER BY what"),
        "analytics_events $n $n\nbilling_profiles $n $n\nfeature_flags @{[ 2 * $n, 2 * $n ]}",
        'the same worker makes them again, every effect once');
    is($s->stop_backend('relay worker'), 0, 'stops gracefully');
};

done_testing;
