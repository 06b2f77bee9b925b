# Events of the past: their replay for a group, also under failure; chains of events; and when the
# outbox deletes events.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use POSIX ();
use Test::More;
use Weir::Events;
use Weir::Stack qw(wait_for);

my %CONF = (retry_base => '20ms', retry_max => '200ms');
my $OLD = 'billing,flags';

sub stack {
    return Weir::Events->with_stack(%CONF, @_);
}

# Effects of the group analytics, and of how many events.
sub analytics {
    my ($s) = @_;
    return $s->psql("SELECT count(*), count(DISTINCT id) FROM effects"
            . " WHERE what = 'analytics_events'");
}

sub trimmed {
    my ($s) = @_;
    wait_for('trimmed streams' => sub {
        !grep { $s->redis('XLEN', "weir:events:$_") > 0 } 0 .. 7;
    });
}

subtest 'a new group gets the events of the past' => sub {
    my ($s, $e) = stack();
    $s->start_backend('relay');
    $s->start_backend('worker', name => 'old', conf => { groups => $OLD });
    $e->create(400);
    $e->wait_handled(qw(billing flags));
    trimmed($s);

    my $replay = $s->ctl_json('events', 'replay', '--group', 'analytics', '--new', '--from', 0);
    is scalar @$replay, 8, 'each partition';
    my $sum = 0;
    $sum += $_->{events} for @$replay;
    is $sum, 400, 'all events lie before it';
    is join(',', map { $_->{from} } @$replay), join(',', (1) x 8), 'from the first on';
    is +(grep { $_->{group} eq 'analytics' } @{ $s->ctl_json('groups', '--interval', 0) })[0]{lag},
        400, 'groups shows them';

    $s->start_backend('worker', name => 'new', conf => { groups => 'analytics' });
    $e->create(100);
    $e->wait_handled(qw(billing flags analytics));
    is analytics($s), '500|500', 'history and what is new: every effect once';

    # What it has handled it does again only with --yes.
    my ($status, undef, $err) = $s->weirctl(qw(events replay --group analytics --new --from 0));
    is $status, 1, 'a replay for a group that has handled all';
    like $err, qr/group analytics has handled 500 of these events; .* --yes/, 'needs --yes';
    is +(grep { $_->{group} eq 'analytics' } @{ $s->ctl_json('groups', '--interval', 0) })[0]{lag},
        0, 'nothing was changed';
    $s->psql('TRUNCATE analytics_events');
    $s->ctl_json(qw(events replay --group analytics --from 0 --yes));
    $e->wait_handled(qw(billing flags analytics));
    is $s->psql('SELECT count(*) FROM analytics_events'), 500,
        'then the running worker takes all again';
    is analytics($s), '1000|500', 'each once more';

    # From a position, of one partition; from a time.
    my ($p, $last) = split /\|/,
        $s->psql('SELECT partition, position FROM partitions ORDER BY position DESC LIMIT 1');
    $s->psql('TRUNCATE analytics_events');
    $replay = $s->ctl_json(qw(events replay --group analytics --yes --partition), $p, '--from',
        $last - 9);
    is $replay->[0]{events}, 10, 'the last ten of a partition';
    $e->wait_handled(qw(billing flags analytics));
    is $s->psql('SELECT count(*) FROM analytics_events'), 10, 'are handled again';

    $s->psql("UPDATE outbox SET created_at = created_at - interval '1 day' WHERE position <= 20");
    my $time = $s->psql("SELECT rfc3339(now() - interval '12 hours')");
    my $young = $s->psql('SELECT count(*) FROM outbox WHERE position > 20');
    $s->psql('TRUNCATE analytics_events');
    $s->ctl_json(qw(events replay --group analytics --yes --from), $time);
    $e->wait_handled(qw(billing flags analytics));
    is $s->psql('SELECT count(*) FROM analytics_events'), $young, 'all since a time';
    $replay = $s->ctl_json(qw(events replay --group analytics --from), 1_000_000);
    is join(',', map { $_->{events} } @$replay), join(',', (0) x 8),
        'from beyond the end: nothing, and nothing is skipped later';

    for my $wrong (
        [qw(--group analytics)], [qw(--from 0)], [qw(--group Analytics --from 0)],
        [qw(--group a --from yesterday)],
        [qw(--group a --from 2026-01-31)], [qw(--group a --from 0 --partition 64)])
    {
        is +($s->weirctl(qw(events replay), @$wrong))[0], 2, "@$wrong: refused";
    }
    is +($s->weirctl(qw(events replay --group a --new --from 0 --partition 63)))[0], 1,
        'a partition that is not there';
    is $s->psql("SELECT count(*) FROM consumer_partitions WHERE group_name = 'a'"), 0,
        'makes no group';

    # A name that is misspelt.
    for my $wrong (
        [qw(events replay --group anlytics --from 0)],
        [qw(events replay --group anlytics --from 2026-01-31T12:00:00Z --yes)],
        [qw(groups pause anlytics)], [qw(groups resume anlytics)], [qw(groups delete anlytics)],
        [qw(groups delete anlytics --yes)],
        [qw(dead list --group anlytics)], [qw(dead replay anlytics --all)],
        [qw(dead drop anlytics --all)], [qw(dead show anlytics 0/1)])
    {
        ($status, undef, $err) = $s->weirctl(@$wrong);
        is $status, 1, "weirctl @$wrong: refused";
        like $err, qr/there is no group "anlytics"; the groups are analytics, /,
            'with the names there are';
    }
    is $s->psql("SELECT count(*) FROM consumer_partitions"
            . " WHERE group_name NOT IN ('analytics', 'billing', 'flags', 'email')"), 0,
        'nothing was made';
    for my $wrong ([qw(events tail --type UserCraeted)], [qw(events tail --aggregate user:nobody)])
    {
        ($status, undef, $err) = $s->weirctl(@$wrong);
        is $status, 1, "weirctl @$wrong: refused";
        like $err, qr/the outbox has no event .*; there are UserCreated/,
            'with the types there are';
    }
};

subtest 'a group that was removed leaves nothing behind' => sub {
    my $s = Weir::Stack->new(conf => { groups => 'billing', stream_limit => 100 });
    my $e = Weir::Events->new($s, groups => ['billing']);
    $e->create(40);
    $s->ctl_json(qw(events replay --group reports --new --from 0));
    $s->start_backend('relay worker');
    $e->create(2000);
    wait_for('full streams' => sub {
        $s->psql('SELECT count(*) FROM outbox WHERE position IS NULL')
            && grep { $_->{msg} =~ /^stream is full/ } $s->log_lines('relay worker');
    });
    wait_for('the group that runs to have all' => sub {
        $s->psql("SELECT bool_and(c.handled = p.position) FROM consumer_partitions c"
                . " JOIN partitions p USING (partition) WHERE c.group_name = 'billing'") eq 't';
    });
    my ($status, $out, $err) = $s->weirctl('groups', '--interval', 0);
    is $status, 1, 'groups says no';
    like $err, qr/\d+ streams are full because of group reports; .*weirctl groups delete reports/,
        'which group holds streams full';
    like $err, qr/\d+ events wait for the relay, the oldest for \d+ s/, 'and that events wait';
    ($status, undef, $err) = $s->weirctl(qw(groups delete billing --yes));
    is $status, 1, 'a group that runs is not deleted';
    like $err, qr/workers run group billing/, 'and says why';
    ($status, undef, $err) = $s->weirctl(qw(groups delete reports));
    is $status, 1, 'nor one with events, without --yes';
    like $err, qr/group reports has \d+ events that it has not handled and 0 dead letters; --yes/,
        'which it names';
    $s->ctl_json(qw(groups delete reports --yes));
    $e->wait_handled;
    pass 'then all others go on';
    is +($s->weirctl('groups', '--interval', 0))[0], 0, 'and the exit code is 0';
    is $s->stop_backend('relay worker'), 0, 'stops';
};

# The replayed copy of a dead letter is an event of the outbox, too; what is gone over again counts
# once.
subtest 'a replay over dead letters counts each event once' => sub {
    my ($s, $e) = stack(retry_attempts => 1);
    my $refuse = sub {
        $s->psql("CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql"
                . " AS \$\$ BEGIN"
                . " IF NEW.currency IN ($_[0]) THEN RAISE EXCEPTION 'no numbers of %',"
                . " NEW.currency; END IF; RETURN NEW; END \$\$");
    };
    my $dead = sub { $s->psql("SELECT aggregate, attempts FROM dead_letters ORDER BY 1") };
    my $stats = sub { $s->psql('SELECT currency, orders FROM daily_order_stats ORDER BY 1') };
    my $again = sub {
        $s->psql('TRUNCATE daily_order_stats');
        $s->ctl_json(qw(events replay --group aggregates --from 0 --yes));
        $e->wait_handled('aggregates');
    };
    $refuse->("'CHF', 'USD'");
    $s->psql('CREATE TRIGGER refuse BEFORE INSERT ON daily_order_stats FOR EACH ROW'
            . ' EXECUTE FUNCTION refuse()');
    $s->start_backend('relay worker', conf => { groups => 'aggregates' });
    $s->psql("SELECT outbox_put(gen_random_uuid(), 'OrderCreated', 'order:' || c,"
            . " order_event_data(gen_random_uuid(),"
            . " gen_random_uuid(), c, 1, 1, '[]', now()), NULL)"
            . " FROM unnest('{CHF,EUR,USD}'::text[]) c");
    $e->wait_handled('aggregates');
    is $dead->(), "order:CHF|1\norder:USD|1", 'two events cannot be counted';

    $refuse->("'USD'");
    $s->ctl_json(
        'dead', 'replay',
        'aggregates',
        $s->psql("SELECT partition || '/' || position FROM dead_letters"
                . " WHERE aggregate = 'order:CHF'"));
    $e->wait_handled('aggregates');
    is $stats->(), "CHF|1\nEUR|1", 'one is mended and replayed';
    $again->();
    is $stats->(), "CHF|1\nEUR|1", 'all counted again: its copy is not counted beside it';
    is $dead->(), 'order:USD|1', 'the other is a dead letter again, and holds up no event';

    # A removed group starts again; its dead letters are still there.
    $s->stop_backend('relay worker');
    $s->psql('TRUNCATE daily_order_stats; DELETE FROM consumer_partitions');
    $s->start_backend('relay worker', conf => { groups => 'aggregates' });
    $e->wait_handled('aggregates');
    is $dead->(), 'order:USD|1', 'also when the group was removed, and starts again';

    $refuse->('NULL');
    $again->();
    is $stats->(), "CHF|1\nEUR|1\nUSD|1", 'mended, too, and counted again';
    is $dead->(), '', 'it is no dead letter any more, which could be replayed once more';
    is $s->stop_backend('relay worker'), 0, 'stops';
};

# The copy lies in the outbox before the relay has given it a position.
subtest 'a replay over copies without a position counts each event once' => sub {
    my ($s, $e) = stack(retry_attempts => 1);
    my $stats = sub { $s->psql('SELECT currency, orders FROM daily_order_stats ORDER BY 1') };
    my $refuse = sub {
        $s->psql('TRUNCATE daily_order_stats');
        $s->psql("CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql"
                . " AS \$\$ BEGIN"
                . " IF $_[0] THEN RAISE EXCEPTION 'no numbers'; END IF; RETURN NEW; END \$\$");
    };
    my $replay = sub { $s->ctl_json(qw(events replay --group aggregates --from), $_[0], '--yes') };
    $refuse->('true');
    $s->psql('CREATE TRIGGER refuse BEFORE INSERT ON daily_order_stats FOR EACH ROW'
            . ' EXECUTE FUNCTION refuse()');
    $s->start_backend('relay');
    $s->start_backend('worker', conf => { groups => 'aggregates' });
    my $put = sub {
        my ($currencies) = @_;
        my $data = "order_event_data(gen_random_uuid(), gen_random_uuid(), c, 1, 1, '[]', now())";
        $s->psql("SELECT outbox_put(gen_random_uuid(), 'OrderCreated', 'order:' || c, $data, NULL)"
                . " FROM unnest('{$currencies}'::text[]) c");
        $e->wait_handled('aggregates');
    };
    $put->('CHF,EUR,USD');
    is $s->psql('SELECT count(*) FROM dead_letters'), 3, 'three events cannot be counted';
    $refuse->('false');

    $s->stop_backend('relay');
    is scalar @{ $s->ctl_json(qw(dead replay aggregates --all)) }, 3, 'their letters are put again';
    $replay->(0);
    wait_for('the letters to be counted' => sub { $stats->() eq "CHF|1\nEUR|1\nUSD|1" });
    $s->start_backend('relay');
    $put->('GBP');
    is $stats->(), "CHF|1\nEUR|1\nGBP|1\nUSD|1", 'each event once';

    # The relay is about to commit the position.
    $refuse->("NEW.currency = 'SEK'");
    $put->('SEK');
    $refuse->('false');
    $s->stop_backend('relay');
    $s->ctl_json(qw(dead replay aggregates --all));
    my $relay =
        $s->session('BEGIN; SELECT relay_take(10, (SELECT array_agg(partition) FROM partitions));');
    my $child = fork // die "fork: $!\n";
    if (!$child) {
        eval { $replay->(0) };
        POSIX::_exit($@ ? 1 : 0);
    }
    $s->wait_locked(q{query LIKE '%group_replay%'});
    print $relay "COMMIT;\n";
    close $relay;
    waitpid $child, 0;
    is $?, 0, 'a replay waits for the relay';
    $s->start_backend('relay');
    $put->('NOK');
    is $stats->(), "CHF|1\nEUR|1\nGBP|1\nNOK|1\nSEK|1\nUSD|1", 'each event once, also then';

    # A letter whose event lies before what is replayed.
    $refuse->("NEW.currency = 'SEK'");
    $replay->(0);
    $e->wait_handled('aggregates');
    my ($partition, $position) = split m{/},
        $s->psql("SELECT partition || '/' || position FROM dead_letters");
    $refuse->('false');
    $s->stop_backend('relay');
    $s->ctl_json(qw(dead replay aggregates --all));
    $replay->($position + 1);
    $s->start_backend('relay');
    $put->('DKK');
    like $stats->(), qr/^SEK\|1$/m, 'is not taken for replayed';
    is $s->stop_backend($_), 0, "$_ stops" for qw(worker relay);
};

subtest 'a replay while processes die handles every event' => sub {
    my ($s, $e) = stack();
    $s->start_backend('relay');
    $s->start_backend('worker', name => 'old', conf => { groups => $OLD });
    $e->create(6000);
    $e->wait_handled(qw(billing flags));
    trimmed($s);
    my $some = sub {
        my ($n) = @_;
        wait_for("$n handled" => sub {
            $s->psql("SELECT coalesce(sum(handled), 0) FROM consumer_partitions"
                    . " WHERE group_name = 'analytics'") >= $n;
        });
    };
    $s->ctl_json(qw(events replay --group analytics --new --from 0));
    $s->start_backend('worker', name => 'new', conf => { groups => 'analytics' });
    $some->(300);
    $s->kill_backend('new');
    $s->start_backend('worker', name => 'new', conf => { groups => 'analytics' });
    $some->(1200);
    $s->redis('FLUSHALL');
    $some->(2000);
    $s->kill_backend('relay');
    $s->start_backend('relay');
    $e->create(200);
    $some->(3000);
    $s->stop_postgres('immediate');
    $s->start_postgres;
    $e->wait_handled(qw(billing flags analytics));
    is analytics($s), '6200|6200', 'every effect once';
};

subtest 'the outbox deletes what all groups have handled' => sub {
    my ($s, $e) = stack(outbox_keep => '1h');
    my $old = sub {
        $s->psql("UPDATE outbox SET created_at = created_at - interval '2 hours' WHERE " . $_[0]);
    };
    $s->start_backend('relay worker', conf => { groups => $OLD });
    $e->create(300);
    $e->wait_handled(qw(billing flags));
    $s->ctl_json(qw(groups pause billing));
    wait_for('the pause' => sub {
        grep { $_->{msg} eq 'group is paused' } $s->log_lines('relay worker');
    });
    my $handled = $s->psql('SELECT sum(position) FROM partitions');
    $e->create(200);
    $e->wait_handled('flags');
    # One young event lies between the old ones of each partition.
    $old->('position <> 10');
    is $s->psql('SELECT outbox_expire(3600, 4)'), 32, 'at most so many of each partition';
    1 while $s->psql('SELECT outbox_expire(3600, 100)') > 0;
    is $s->psql('SELECT count(*) FROM (SELECT min(position) AS m FROM outbox'
            . ' GROUP BY partition) x WHERE m = 10'), 8,
        'up to the first young one: what is kept has no gap';
    $old->('position = 10');
    1 while $s->psql('SELECT outbox_expire(3600, 100)') > 0;
    is $s->psql('SELECT count(*) FROM outbox'), 200,
        'what the paused group has not handled stays, however old';

    my $replay = $s->ctl_json(qw(events replay --group analytics --new --from 0));
    my $sum = 0;
    $sum += $_->{events} for @$replay;
    is $sum, 200, 'a replay from the beginning starts with the oldest that is kept';
    $s->ctl_json(qw(groups resume billing));
    $s->start_backend('worker', name => 'new', conf => { groups => 'analytics' });
    $e->wait_handled(qw(billing flags analytics));
    is analytics($s), '200|200', 'and gets through';

    # The relay does it by itself.
    $s->stop_backend('relay worker');
    $old->('true');
    $e->create(50);
    $s->start_backend('relay worker', conf => { groups => $OLD, outbox_keep => '2s' });
    wait_for('all to be forgotten' => sub { $s->psql('SELECT count(*) FROM outbox') == 0 });
    $e->create(50);
    $e->wait_handled(qw(billing flags analytics));
    is analytics($s), '300|300', 'events flow on';
};

subtest 'an event knows the event that caused it, and the first of its chain' => sub {
    my ($s, $e) = stack();
    # A consumer that emits: as its apply function would.
    $s->psql(<<'SQL');
CREATE OR REPLACE FUNCTION flags_apply(events outbox[]) RETURNS void LANGUAGE sql AS $$
    SELECT outbox_put_because(e, gen_random_uuid(), 'FlagsSet', e.aggregate, '{}', 3)
    FROM unnest(events) e
$$;
CREATE OR REPLACE FUNCTION analytics_apply(events outbox[]) RETURNS void LANGUAGE sql AS $$ $$;
SQL
    $s->start_backend('relay worker', conf => { groups => 'flags,analytics' });
    $s->psql("SELECT outbox_put('0192d0a1-7c1e-7d3a-9a55-0f6b3a1f2e11', 'UserCreated',"
            . " 'user:1', '{}',"
            . " '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', 2)");
    wait_for('both events' =>
            sub { $s->psql('SELECT count(*) FROM outbox WHERE position IS NOT NULL') == 2 });
    $e->wait_handled(qw(flags analytics));
    my ($first, $second) = map { $s->ctl_json('events', 'show', $_) }
        split /\n/, $s->psql("SELECT partition || '/' || position FROM outbox ORDER BY id");
    is $first->{schema_version}, 2, 'the schema version that was put';
    is $second->{schema_version}, 3, "and the other's";
    is $second->{causation_id}, $first->{id}, 'its cause';
    is $second->{correlation_id}, $first->{id}, 'the first of its chain';
    is $second->{traceparent}, $first->{traceparent}, 'the trace goes on';
    $s->psql("SELECT outbox_put_because(o, gen_random_uuid(), 'Third', o.aggregate, '{}')"
            . " FROM outbox o WHERE type = 'FlagsSet'");
    wait_for('the third' => sub {
        $s->psql("SELECT count(*) FROM outbox WHERE type = 'Third' AND position IS NOT NULL");
    });
    my $third = $s->ctl_json('events', 'show',
        $s->psql("SELECT partition || '/' || position FROM outbox WHERE type = 'Third'"));
    is $third->{causation_id}, $second->{id}, "the third's cause is the second";
    is $third->{correlation_id}, $first->{id}, 'its chain the same';
};

done_testing;
