# When and how often an event is tried again: a time that the dependency names, limits of each
# group, and what waits for a dependency that is away.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../../lib";

use Test::More;
use Weir::Payments;
use Weir::Stack qw(wait_for);

sub stack {
    my ($s, $p) = Weir::Payments->with_stack(retry_base => '20ms', retry_max => '300ms', @_);
    $s->start_backend('relay');
    $s->start_backend('worker');
    return ($s, $p);
}

sub stop {
    my ($s) = @_;
    is $s->stop_backend($_), 0, "$_ stops" for qw(worker relay api);
}

# The row of an order's event in retries, once it has failed.
sub failed {
    my ($s, $order, $columns) = @_;
    return wait_for("order $order to fail" => sub {
        $s->psql("SELECT $columns FROM retries r JOIN outbox o USING (partition, position)"
                . " WHERE o.aggregate = 'order:$order' AND r.group_name = 'payments'");
    });
}

# Lets an event that waits be tried now. A worker reads that time in the database only once: it is
# started again.
sub try_now {
    my ($s) = @_;
    $s->stop_backend('worker');
    $s->psql('UPDATE retries SET next_at = now()');
    $s->start_backend('worker');
}

subtest 'an attempt waits for the time in Retry-After' => sub {
    my ($s, $p) = stack(groups => 'payments');
    for my $case ([429, 300, 0, 'seconds'], [503, 300, 0, 'seconds'], [429, 300, 1, 'a date']) {
        my ($status, $seconds, $date, $form) = @$case;
        $p->switch(errors => 1, error_status => $status, retry_after => $seconds,
            retry_date => $date);
        my $order = $p->checkout;
        # A date has whole seconds.
        is failed($s, $order,
            "r.next_at BETWEEN o.created_at + interval '298 s' AND now() + interval '301 s'"), 't',
            "$status, $form";
        my ($at, $next) = split / /,
            $s->psql("SELECT partition || '/' || position || ' ' || rfc3339(next_at) FROM retries"
                . " ORDER BY next_at DESC LIMIT 1");
        is $s->ctl_json('events', 'show', $at)->{groups}[0]{next_attempt}, $next,
            'weirctl events show has the time';
        $s->kill_backend('worker');
        $s->start_backend('worker');
        $p->wait_status($p->checkout, 'PAID SUCCEEDED');
        is $p->status($order), 'PENDING REQUESTED',
            'is kept, also by another worker, while others are handled';
        try_now($s);
        $p->wait_status($order, 'PAID SUCCEEDED');
        is $p->charge_of($order)->{requests}, 1, 'and then charged';
    }

    $p->switch(errors => 1, error_status => 429, retry_after => 1_000_000, retry_date => 0);
    my $order = $p->checkout;
    is failed($s, $order,
        "r.next_at BETWEEN o.created_at + interval '899 s' AND now() + interval '901 s'"), 't',
        'is believed up to fifteen minutes';
    try_now($s);
    $p->wait_status($order, 'PAID SUCCEEDED');

    $p->switch(errors => 3, error_status => 429, retry_after => -1);
    $p->wait_status($p->checkout, 'PAID SUCCEEDED');
    is $p->left('errors'), 0, 'what makes no sense is ignored';
    $p->wait_delivered;
    $p->wait_handled;
    is $p->complaints, '', 'ledger and database say the same';
    stop($s);
};

# More of one partition than a worker holds in memory, so that they can only wait outside of it.
subtest 'events that wait hold up no other aggregate' => sub {
    my ($s, $p) = stack(groups => 'payments', payments_timeout => '60s');
    my $n = 2500;
    my $put = sub {
        $s->psql(<<"SQL");
WITH made AS (
    INSERT INTO orders (id, user_id, status, currency, total)
    SELECT uuid7(), uuid7(), 'PENDING', 'CHF', 100 FROM generate_series(1, $_[0]) RETURNING *
), owed AS (
    INSERT INTO payments (id, order_id, user_id, amount, currency)
    SELECT uuid7(), id, user_id, total, currency FROM made RETURNING *
)
INSERT INTO outbox (event_id, partition, type, aggregate, data)
SELECT uuid7(), 0, 'PaymentRequested', 'order:' || order_id, jsonb_build_object('paymentId', id)
FROM owed
SQL
    };
    my $count = sub { $s->psql("SELECT count(*) FROM $_[0]") };
    my $paid = sub {
        my ($k, $what) = @_;
        wait_for("$k paid orders" => sub { $count->("payments WHERE status = 'SUCCEEDED'") == $k },
            300);
        pass $what;
    };
    $p->switch(hold => 1, errors => $n, error_status => 429, retry_after => 600);
    $put->($n + 1);
    $paid->(1, "$n wait for the gateway: one behind them does not");
    wait_for('them to be written down' => sub { $count->('retries') == $n });

    # A worker that finds them waiting.
    $s->kill_backend('worker');
    $s->start_backend('worker');
    $put->(1);
    $paid->(2, 'nor with another worker, which reads that they wait');
    is $count->('retries'), $n, 'they still wait';
    try_now($s);
    $paid->($n + 2, 'when their time has come they are handled');

    $p->switch(errors => $n, retry_after => 2);
    $put->($n + 1);
    $paid->(2 * $n + 3, 'also by the worker that let them wait');
    $p->wait_handled;
    is $count->('retries'), 0, 'nothing is left';
    is scalar(grep { $_->{requests} != 1 } @{ $p->ledger->{charges} }), 0, 'each was charged once';
    stop($s);
};

subtest 'each group has its own limit of attempts' => sub {
    my ($s, $p) = stack(groups => 'payments,aggregates', retry_attempts => '2, payments=4');
    $s->psql(<<'SQL');
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'no numbers';
END $$;
CREATE TRIGGER refuse BEFORE INSERT ON daily_order_stats FOR EACH ROW EXECUTE FUNCTION refuse();
SQL
    $s->psql("SELECT outbox_put(gen_random_uuid(), 'OrderCreated', 'order:x',"
            . " order_event_data(gen_random_uuid(),"
            . " gen_random_uuid(), 'CHF', 1, 1, '[]', now()), NULL)");
    $p->switch(errors => 4, error_status => 429);
    $p->checkout;
    wait_for('two dead letters' => sub {
        $s->psql("SELECT count(*) FROM dead_letters WHERE type = 'PaymentRequested'"
                . " OR aggregate = 'order:x'") == 2;
    });
    is $s->psql("SELECT group_name, attempts FROM dead_letters WHERE type = 'PaymentRequested'"
            . " OR aggregate = 'order:x' ORDER BY 1"),
        "aggregates|2\npayments|4", 'its own, or that of all others';
    stop($s);
};

subtest 'a Redis that refuses invalidations makes no dead letter' => sub {
    my ($s) = stack(groups => 'invalidation', retry_attempts => 1);
    my $put = sub {
        $s->psql("SELECT count(outbox_put(gen_random_uuid(), 'ProductChanged', 'product:' || g,"
                . " jsonb_build_object('productId', g::text), NULL))"
                . " FROM generate_series(1, 20) g");
    };
    my $messages = sub {
        my $n = () = $s->redis('XRANGE', 'weir:invalidate', '-', '+') =~ /^products product:/mg;
        $n;
    };
    my $waits = sub {
        my ($pattern, $name) = @_;
        wait_for('five failures' => sub {
            grep { $_->{msg} =~ /its breaker opens/ && $_->{error} =~ $pattern }
                $s->log_lines('worker');
        });
        wait_for('them to be written down' =>
                sub { $s->psql("SELECT count(*) FROM retries WHERE error ~ '$pattern'") });
        is $s->psql('SELECT max(attempts) FROM retries'), 0, "$name: no attempt is counted";
        is $s->psql('SELECT count(*) FROM dead_letters'), 0, 'and no letter is dead';
    };

    $s->redis('SET', 'weir:invalidate', 'in the way');
    $put->();
    $waits->('WRONGTYPE', 'something in the way');
    $s->redis('DEL', 'weir:invalidate');
    wait_for('the messages' => sub { $messages->() == 20 });

    # Full, but what is in the streams can be read.
    wait_for('all to be handled' => sub { $s->psql('SELECT count(*) FROM retries') == 0 });
    $s->ctl_json('groups', 'pause', 'invalidation');
    wait_for('the worker to know it' => sub {
        grep { $_->{msg} eq 'group is paused' } $s->log_lines('worker');
    });
    $put->();
    wait_for('the events in their streams' =>
            sub { $s->psql('SELECT count(*) FROM outbox WHERE position IS NULL') == 0 });
    $s->redis('CONFIG', 'SET', 'maxmemory', 1);
    $s->ctl_json('groups', 'resume', 'invalidation');
    $waits->('OOM', 'full');
    $s->redis('CONFIG', 'SET', 'maxmemory', 0);
    wait_for('the messages' => sub { $messages->() == 40 });
    stop($s);
};

done_testing;
