# Groups that an operator pauses: their workers take nothing more, whatever happens meanwhile.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../../lib";

use JSON::PP ();
use Test::More;
use Weir::Events;
use Weir::Stack qw(wait_for);

my $s = Weir::Stack->new(conf => {
    retry_base => '20ms', retry_max => '200ms', stream_limit => 100,
    groups => 'billing,analytics,flags' });
my $e = Weir::Events->new($s, groups => [qw(billing analytics flags)]);
$e->count_effects;
$s->start_backend('relay');
$s->start_backend('worker');
$e->create(20);
$e->wait_handled;

sub said {
    my ($name, $msg) = @_;
    return scalar(my @lines = $s->logged($name, $msg));
}

sub handled {
    return $s->psql("SELECT sum(handled) FROM consumer_partitions WHERE group_name = '$_[0]'");
}

sub state_of {
    my ($group) = @_;
    return (grep { $_->{group} eq $group } @{ $s->ctl_json('groups', '--interval', 0) })[0];
}

# Nothing can be waited for when nothing shall happen: so many heartbeats of a worker, each of
# which would let it take events.
sub heartbeats {
    my ($n) = @_;
    my $last = '';
    while ($n > 0) {
        wait_for('a heartbeat' => sub {
            my $now = $s->psql('SELECT max(expires_at) FROM workers');
            return 0 if $now eq $last;
            $last = $now;
            return 1;
        });
        $n--;
    }
}

subtest 'one group pauses, the others go on' => sub {
    my $paused = $s->ctl_json('groups', 'pause', 'billing');
    is $paused->[0]{group}, 'billing', 'paused';
    wait_for('the worker to know it' => sub { said('worker', 'group is paused') == 1 });
    is state_of('billing')->{state}, 'paused', 'groups shows it';
    my $before = handled('billing');
    $e->create(50);
    $e->wait_handled(qw(analytics flags));
    heartbeats(3);
    is handled('billing'), $before, 'it has handled nothing';
    is state_of('billing')->{lag}, 50, 'its events wait';
    cmp_ok state_of('billing')->{oldest_s}, '>', 0, 'and get older';
};

subtest 'a pause outlives workers, and a Redis that lost its data' => sub {
    my $before = handled('billing');
    $s->kill_backend('worker');
    $s->redis('FLUSHALL');
    $s->start_backend('worker', name => 'second');
    $e->create(20);
    $e->wait_handled(qw(analytics flags));
    heartbeats(3);
    is handled('billing'), $before, 'a new worker takes nothing of it';
    $s->ctl_json('groups', 'pause', 'billing');
    my ($resumed) = @{ $s->ctl_json('groups', 'resume', 'billing') };
    is_deeply [sort keys %$resumed], [qw(group resumed_at was_paused_at)],
        'it says that it is resumed, not that it is paused';
    is $resumed->{group}, 'billing', 'paused twice, resumed once';
    $e->wait_handled;
    is $e->complaints, '', 'then every effect is there, once';
    is +($s->weirctl('groups', 'resume', 'billing'))[1], "Nothing was paused.\n",
        'it is not paused any more';
};

subtest 'with all groups paused signups go on and nothing is lost' => sub {
    is scalar @{ $s->ctl_json('groups', 'pause', '--all') }, 3, 'three groups';
    wait_for('the worker to know it' => sub { said('second', 'group is paused') == 4 });
    # Signups go on; the relay stops at the streams' limit and loses nothing.
    $e->create(3000);
    wait_for('full streams' => sub {
        8 == grep { $_->{msg} =~ /^stream is full, events wait in the outbox/ }
            $s->log_lines('relay');
    });
    my $outbox = $s->ctl_json('outbox');
    cmp_ok $outbox->{waiting}, '>', 0, 'events wait in the outbox';
    is scalar(grep { $_->{stream_length} >= 100 } @{ $outbox->{partitions} }), 8,
        'the streams are full';
    is $s->psql('SELECT count(*) FROM users'), 3090, 'commands go on';
    my ($status, $groups, $warnings) = $s->weirctl('groups', '--interval', 0, '--json');
    is +(grep { $_->{lag} > 0 } @{ JSON::PP::decode_json($groups) }), 3, 'all groups wait';
    like $warnings, qr/streams are full because of group billing/,
        'and it says whom the streams wait for';
    is scalar @{ $s->ctl_json('groups', 'resume', '--all') }, 3, 'resumed';
    $e->wait_handled;
    is $e->complaints, '', 'every effect is there, once';
};

subtest 'an event that was taken before the pause is finished' => sub {
    # A slow effect, in its transaction when the pause comes. (Not one that waits for a lock, of
    # which it loses patience.)
    $s->psql(<<'SQL');
CREATE FUNCTION wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    WHILE NOT pg_try_advisory_xact_lock_shared(1) LOOP PERFORM pg_sleep(0.01); END LOOP;
    RETURN NEW;
END $$;
CREATE TRIGGER a_wait BEFORE INSERT ON billing_profiles
FOR EACH ROW EXECUTE FUNCTION wait_at_gate();
SQL
    my $gate = $s->session('SELECT pg_advisory_lock(1);');
    $e->create(1);
    wait_for('the effect to be under way' => sub {
        $s->psql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
                . " AND application_name LIKE 'weir-worker%'") == 1;
    });
    $s->ctl_json('groups', 'pause', 'billing');
    wait_for('the worker to know it' => sub { said('second', 'group is paused') == 5 });
    close $gate;
    $e->wait_handled;
    is $e->complaints, '', 'it is committed';
    is $s->stop_backend('second'), 0, 'a worker with a paused group stops gracefully';
};

is $s->stop_backend('relay'), 0, 'so does the relay';
done_testing;
