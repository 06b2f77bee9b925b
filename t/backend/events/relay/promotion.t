# A standby is promoted, with and without the last transactions of the primary, or a backup is
# restored, while an old relay's events are on their way to Redis.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../../lib";

use JSON::PP ();
use Test::More;
use Weir::Events;
use Weir::Link;
use Weir::Stack qw(wait_for);
use Weir::Standby;

my %CONF = (retry_base => '20ms', retry_max => '500ms', groups => 'email,billing,analytics,flags');

sub waiting { my ($s) = @_; return $s->psql('SELECT count(*) FROM outbox WHERE position IS NULL') }

# Streams' entries that are not the outbox's event at their position.
sub strangers {
    my ($s) = @_;
    my %id = map { split /\|/ } split /\n/,
        $s->psql("SELECT partition || '/' || position, event_id FROM outbox"
            . " WHERE position IS NOT NULL");
    my @strange;
    for my $partition (0 .. 7) {
        my $text = $s->redis('--json', 'XRANGE', "weir:events:$partition", '-', '+');
        for my $entry (@{ JSON::PP->new->decode($text) }) {
            my ($position) = $entry->[0] =~ /^(\d+)/;
            my $event = JSON::PP->new->decode($entry->[1][1]);
            push @strange, "$partition/$position"
                if ($id{"$partition/$position"} // '') ne $event->{id};
        }
    }
    return @strange;
}

sub scripts_run {
    my ($s) = @_;
    my ($n, $stats) = (0, $s->redis('INFO', 'commandstats'));
    $n += $1 while $stats =~ /^cmdstat_eval(?:sha)?:calls=(\d+)/mg;
    return $n;
}

# Each user in the database has one mail, and there is no other mail.
sub mails_are_right {
    my ($s, $name) = @_;
    my %to;
    for my $mail ($s->mails) { $to{$1}++ if $mail =~ /^To: .*?([\w.-]+\@example\.org)/m }
    my @known = split /\n/, $s->psql('SELECT email FROM users');
    is join(' ', grep { !$to{$_} } @known), '', "$name: each user has a mail";
    my %known = map { $_ => 1 } @known;
    is join(' ', grep { !$known{$_} } sort keys %to), '', "$name: nobody else";
}

sub errors {
    my ($s, @names) = @_;
    return grep { $_->{level} eq 'error' } map { $s->log_lines($_) } @names;
}

# A stack with a standby, 80 users whose events are handled, an old relay whose next events hang in
# the network, and their database gone: the standby without them is promoted. Groups that handle
# nothing keep all in the streams.
sub half_sent {
    my $s = Weir::Stack->new(conf => {%CONF});
    my $e = Weir::Events->new($s);
    $e->count_effects;
    $s->psql("INSERT INTO consumer_partitions SELECT 'observer', partition, 0 FROM partitions");
    my $standby = Weir::Standby->new($s, 'standby');
    my $link = Weir::Link->new($s, 'old-link', to => $s->{redis_port});
    $s->start_smtp;
    $s->start_backend('relay', name => 'old-relay',
        conf => { redis => 'redis://127.0.0.1:' . $link->from });
    $s->start_backend('worker', name => 'old-worker');
    $e->create(80);
    $e->wait_handled;
    $s->stop_backend('old-worker');
    $standby->wait_caught_up;
    $standby->cut_off;
    cmp_ok $link->stall, '>', 0, 'the old relay cannot reach Redis';
    $s->psql(<<'SQL');
WITH made AS (
    INSERT INTO users (id, email, display_name)
    SELECT gen_random_uuid(), 'ghost' || g || '@example.org', 'G' FROM generate_series(1, 60) g
    RETURNING *
)
SELECT outbox_put(gen_random_uuid(), 'UserCreated', 'user:' || id,
    jsonb_build_object('userId', id, 'email', email, 'displayName', 'G'), NULL) FROM made
SQL
    wait_for('their positions' => sub { waiting($s) == 0 });
    $s->freeze('old-relay');
    $s->kill_postgres;
    $standby->promote;
    is $s->psql("SELECT count(*) FROM users WHERE email LIKE 'ghost%'"), 0,
        'the standby lacks the last users';
    return ($s, $e, $link);
}

subtest 'events of the old relay arrive while the new one publishes' => sub {
    my ($s, $e, $old) = half_sent();
    my $new = Weir::Link->new($s, 'new-link', to => $s->{redis_port});
    $s->start_backend('relay', name => 'new-relay',
        conf => { redis => 'redis://127.0.0.1:' . $new->from });
    wait_for('it at work' => sub {
        grep { $_->{msg} eq 'relay is active' } $s->log_lines('new-relay');
    });
    my $looks = scripts_run($s);
    wait_for('its looks at all streams' => sub { scripts_run($s) >= $looks + 16 });
    cmp_ok $new->stall, '>', 0, 'the new relay cannot reach Redis';
    $e->create(40);
    wait_for('their positions' => sub { waiting($s) == 0 });
    $old->go_on;
    $s->thaw('old-relay');
    wait_for('the old relay to have no database' => sub {
        return
            grep { $_->{msg} =~ /^database (?:session lost|cannot be reached)/ }
            $s->log_lines('old-relay');
    });
    $new->go_on;
    $s->start_backend('worker');
    $e->wait_handled;
    is $e->complaints, '', 'each effect once, for everybody whom the database knows';
    mails_are_right($s, 'after the late events');
    is join(' ', strangers($s)), '', 'the streams have what the database has';
    is scalar(errors($s, 'new-relay', 'worker')), 0, 'nothing was strange';
    $s->kill_backend('old-relay');
    $s->stop_backend('worker');
    $s->stop_backend('new-relay');
};

subtest 'a relay that finds events of the old one stops until weirctl relay rebase' => sub {
    my ($s, $e, $old) = half_sent();
    my @before = map { $s->redis('XLEN', "weir:events:$_") } 0 .. 7;
    $old->go_on;
    $s->thaw('old-relay');
    wait_for('the late events' => sub {
        my @now = map { $s->redis('XLEN', "weir:events:$_") } 0 .. 7;
        return 8 == grep { $now[$_] > $before[$_] } 0 .. 7;
    });
    $s->kill_backend('old-relay');
    $s->start_backend('worker');
    $s->start_backend('relay', name => 'new-relay');
    wait_for('the relay to say so' => sub { errors($s, 'new-relay') });
    $e->create(50);
    wait_for('the marks' =>
            sub { $s->psql('SELECT count(*) FROM partitions WHERE halted = $$ahead$$') == 8 });

    my ($status, $out, $err) = $s->weirctl('groups', '--interval', '0', '--json');
    is $status, 1, 'weirctl groups has an exit code for it';
    is
        join(' ',
        map  { "$_->{group}:$_->{lag}" }
        grep { $_->{group} eq 'billing' } @{ JSON::PP->new->decode($out) }), 'billing:50',
        'and a lag';
    like $err, qr/partitions 0, 1, 2, 3, 4, 5, 6, 7 are halted, 50 events wait.*relay rebase/,
        'weirctl groups shows it';
    ($status, $out) = $s->weirctl('relay');
    is $status, 1, 'weirctl relay has an exit code for it';
    like $out, qr/ahead/, 'and says why';

    is scalar(errors($s, 'worker')), 1, 'the worker has said it once';
    $s->stop_backend('worker');

    # The state of a partition does not end by itself, not even where the positions agree again.
    $s->stop_backend('new-relay');
    my ($ahead) = $s->redis('XINFO', 'STREAM', 'weir:events:0') =~ /last-generated-id\s+(\d+)/;
    my $position = $s->psql('SELECT position FROM partitions WHERE partition = 0');
    $s->psql("UPDATE partitions SET position = $ahead WHERE partition = 0");
    $s->start_backend('relay', name => 'new-relay');
    wait_for('the relay to look again' => sub { 2 == errors($s, 'new-relay') });
    is waiting($s), 50, 'events wait';
    $s->psql("UPDATE partitions SET position = $position WHERE partition = 0");
    my @said = errors($s, 'new-relay');
    is scalar(@said), 2, 'each relay has said it in one line';
    like $said[0]{msg}, qr/run: weirctl relay rebase/, 'with the command to run';
    is $said[0]{partitions}, '0,1,2,3,4,5,6,7', 'and the partitions';
    $s->start_backend('worker');

    ($status, $out, $err) = $s->weirctl('relay', 'rebase');
    is "$status $err", '0 ', 'weirctl relay rebase';
    $e->wait_handled;
    is $e->complaints, '', 'then each effect once, for everybody whom the database knows';
    mails_are_right($s, 'after the rebase');
    is join(' ', strangers($s)), '', 'the streams have what the database has';
    ($status) = $s->weirctl('relay');
    is $status, 0, 'all flows';
    ($status, $out) = $s->weirctl('relay', 'rebase');
    like $out, qr/No partition is halted/, 'nothing is left to do';
    $s->stop_backend('worker');
    $s->stop_backend('new-relay');
};

# Positions that were given away: an event in the stream is not the outbox's at its position, and
# both are known.
subtest 'an event that is not the one of the outbox has no effect' => sub {
    my $s = Weir::Stack->new(conf => {%CONF});
    my $e = Weir::Events->new($s);
    $e->count_effects;
    $s->start_smtp;
    $e->create(24);
    # As the relay does, but in the streams there are other users.
    my @rows = split /\n/, $s->psql('SELECT partition, position, aggregate'
        . " FROM relay_take(100, '{0,1,2,3,4,5,6,7}')");
    for my $row (@rows) {
        my ($partition, $position) = split /\|/, $row;
        my $id = sprintf '%08x-0000-4000-8000-%012x', $partition, $position;
        $s->redis(
            'XADD',
            "weir:events:$partition",
            "$position-0",
            'event',
            JSON::PP->new->encode({
                specversion => '1.0', id => $id, source => 'weir/shop', type => 'UserCreated',
                subject => "user:$id",
                time => '2026-01-01T00:00:00Z', datacontenttype => 'application/json',
                schemaversion => 1,
                data => {
                    userId => $id, email => "ghost$partition-$position\@example.org",
                    displayName => 'G' } }));
    }
    $s->start_backend('relay worker');
    $e->wait_handled;
    is $e->complaints, '', 'the events of the outbox have had theirs';
    mails_are_right($s, 'with strangers in the streams');
    is
        scalar(grep { $_->{msg} =~ /^a stream has events that the database does not have/ }
            errors($s, 'relay worker')), 1,
        'the log has one line of it';
    $s->stop_backend('relay worker');
};

subtest 'a restored backup of the same timeline is noticed' => sub {
    my $s = Weir::Stack->new(conf => {%CONF});
    my $e = Weir::Events->new($s);
    $e->count_effects;
    $s->psql("INSERT INTO consumer_partitions SELECT 'observer', partition, 0 FROM partitions");
    $s->start_smtp;
    $s->start_backend('relay worker', name => 'before');
    $e->create(40);
    $e->wait_handled;
    my $backup = Weir::Standby->new($s, 'backup', follow => 0);
    $e->create(60, 'ghost');
    $e->wait_handled;
    $s->stop_backend('before');
    $s->stop_postgres;
    $backup->start;
    $e->{users} -= 60;
    $s->start_backend('relay worker', name => 'after');
    wait_for('the marks' =>
            sub { $s->psql('SELECT count(*) FROM partitions WHERE halted IS NOT NULL') == 8 });
    $e->create(30);
    my ($status) = $s->weirctl('relay', 'rebase');
    is $status, 0, 'rebase';
    $e->wait_handled;
    is join(' ', strangers($s)), '', 'the streams have what the database has';
    is $s->psql("SELECT count(*) FROM users WHERE status = 'ACTIVE'"), 70,
        'all whom it knows are served';
    is $s->psql('SELECT count(*) FROM dead_letters'), 0, 'no dead letter';
    is $e->repeated_mails, 0, 'no mail came twice';
    $s->stop_backend('after');
};

done_testing;
