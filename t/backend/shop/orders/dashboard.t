# From orders to the dashboard: each order is counted once, whatever dies; and edges get an
# invalidation only when the new numbers can be read.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../../lib";

use Test::More;
use Weir::Api qw(
    at_once is_problem make_users order_of product raw_request start_api status_of
);
use Weir::Events;
use Weir::Stack qw(wait_for);

my $s = Weir::Stack->new(conf => {
    groups => 'aggregates,invalidation', retry_base => '20ms', retry_max => '200ms',
});
my $e = Weir::Events->new($s);
start_api($s);
$s->start_backend('relay');

my ($ann) = make_users($s, 1);
my $today = sub { $s->psql("SELECT (now() AT TIME ZONE 'UTC')::date") };

sub order {
    my (@items) = @_;
    my $r = $s->post('/orders', order_of($ann, @items));
    $r->{status} == 201 or die "order: $r->{status} $r->{content}\n";
    return $r->{json};
}

sub wait_handled { $e->wait_handled('aggregates', 'invalidation') }

sub handled {
    return $s->psql(
        "SELECT sum(handled) FROM consumer_partitions WHERE group_name = 'aggregates'");
}

# What the table has, and what it should have. It counts the events of orders, also of orders that
# no api made.
my $STATS = 'SELECT day, currency, orders, items, revenue FROM daily_order_stats ORDER BY 1, 2';
my $COUNTED = <<'SQL';
SELECT (created_at AT TIME ZONE 'UTC')::date, currency, count(*), sum(pieces), sum(total)
FROM orders o, LATERAL (SELECT sum(quantity) AS pieces FROM order_items i WHERE i.order_id = o.id) i
WHERE o.status IN ('PLACED', 'PAID')
GROUP BY 1, 2 ORDER BY 1, 2
SQL
sub is_counted { my ($name) = @_; is $s->psql($STATS), $s->psql($COUNTED), $name }

# The tags of the messages to the edges.
sub messages {
    my @lines = split /\n/, $s->redis('XRANGE', 'weir:invalidate', '-', '+');
    return map { $lines[$_ + 1] } grep { $lines[$_] eq 'tags' } 0 .. $#lines - 1;
}
sub dashboard_messages {
    return scalar grep { /\bdaily-orders\b/ } messages();
}

# Every upsert leaves a row, however many orders are in it.
$s->psql(<<'SQL');
CREATE TABLE upserts (n bigserial);
CREATE FUNCTION note_upsert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO upserts DEFAULT VALUES; RETURN NULL; END $$;
CREATE TRIGGER note AFTER INSERT ON daily_order_stats
FOR EACH STATEMENT EXECUTE FUNCTION note_upsert();
SQL

subtest 'a dashboard without orders is shown' => sub {
    my $r = $s->get('/dashboard/daily-orders');
    is $r->{status}, 200, 'is shown';
    is_deeply $r->{json}, { days => [] }, 'without days';
    is $r->{headers}{'cache-control'}, 'max-age=300', 'five minutes';
    is $r->{headers}{'cache-tag'}, 'daily-orders', 'its tag';
    is $r->{headers}{vary}, 'API-Version', 'varies';
    is $s->get('/dashboard/daily-orders', { 'If-None-Match' => $r->{headers}{etag} })->{status},
        304, 'unchanged';
    is_problem($s->get('/dashboard/daily-orders', { 'API-Version' => 4 }), 400,
        'a version that is none');
    is_problem($s->post('/dashboard/daily-orders', {}), 405, 'POST');
};

subtest 'orders that waited are counted in few upserts' => sub {
    order([1, 1 + $_ % 3], [2, 1]) for 1 .. 60;
    order([7, $_]) for 1 .. 20;
    wait_for('all events in their streams' =>
            sub { $s->psql('SELECT count(*) FROM outbox WHERE position IS NULL') == 0 });
    is $s->psql('SELECT count(*) FROM daily_order_stats'), 0, 'nothing yet';
    my $before = $s->get('/dashboard/daily-orders')->{headers}{etag};
    $s->start_backend('worker');
    wait_handled();
    is_counted('each of them, by currency');
    # a batch for each of the eight partitions, or two where the first took only what had come
    cmp_ok $s->psql('SELECT count(*) FROM upserts'), '<=', 24,
        'one upsert for each batch';
    my $r = $s->get('/dashboard/daily-orders');
    is_deeply $r->{json}{days}, [
        map {
            my ($day, $currency, @n) = split /\|/;
            { day => $day, currency => $currency, orders => $n[0], items => $n[1],
                revenue => $n[2] }
        } split /\n/,
        $s->psql($STATS)],
        'and the dashboard shows them';
    isnt $r->{headers}{etag}, $before, 'with another ETag';
};

subtest 'edges are told of new numbers after their commit' => sub {
    is $s->psql("SELECT count(*) FROM outbox WHERE type = 'DailyOrdersChanged'"),
        $s->psql('SELECT count(*) FROM upserts'), 'an event for each upsert';
    cmp_ok dashboard_messages(), '>=', $s->psql('SELECT count(*) FROM upserts'),
        'a message for each, at least';

    my $messages = dashboard_messages();
    my $lock = $s->session('BEGIN; LOCK TABLE daily_order_stats IN EXCLUSIVE MODE;');
    my $shown = $s->get('/dashboard/daily-orders')->{content};
    order([3, 1]);
    $s->wait_locked(q{query LIKE '%consume%'});
    is dashboard_messages(), $messages, 'no message while the numbers are not committed';
    is $s->get('/dashboard/daily-orders')->{content}, $shown, 'which cannot be read yet';
    print $lock "COMMIT;\n";
    close $lock;
    wait_for('the message' => sub { dashboard_messages() > $messages });
    is_counted('when it is there, so are the numbers');
};

subtest 'a checkout counts when it is paid' => sub {
    my $check_out = sub {
        my $r =
            $s->post('/checkout',
            { userId => $ann, items => [{ productId => product(2), quantity => $_[0] }] },
            { 'Idempotency-Key' => "\"paid-$_[0]\"" });
        $r->{status} == 202 or die "checkout: $r->{status} $r->{content}\n";
        return $r->{json}{id};
    };
    my $ends = sub {
        my ($order, $news) = @_;
        is $s->psql("SELECT payment_step(p.id, '$news', 'ch_' || p.id, p.amount, p.currency, NULL,"
                . " true, NULL) FROM payments p WHERE order_id = '$order'"), 'applied', $news;
    };
    my ($stats, $upserts) = ($s->psql($STATS), $s->psql('SELECT count(*) FROM upserts'));
    my ($paid, $failed) = ($check_out->(3), $check_out->(5));
    wait_handled();
    is $s->psql($STATS), $stats, 'pending ones do not';
    is $s->psql('SELECT count(*) FROM upserts'), $upserts, 'nothing is written, and no event';
    $s->psql("UPDATE orders SET created_at = created_at - interval '2 days' WHERE id = '$paid'");
    my $messages = dashboard_messages();
    $ends->($paid, 'succeeded');
    $ends->($failed, 'failed');
    wait_handled();
    is $s->psql('SELECT orders, items, revenue FROM daily_order_stats ORDER BY day LIMIT 1'),
        $s->psql("SELECT 1, 3, total FROM orders WHERE id = '$paid'"),
        'the paid one does, on the day on which it was made';
    is_counted('and no other');
    cmp_ok dashboard_messages(), '>', $messages, 'and sent to the edges';
    $ends->($failed, 'succeeded'); # late: the money goes back
    wait_handled();
    is_counted('paid too late is not paid');
};

subtest 'the day is that of the order, in UTC' => sub {
    my $put = sub {
        my ($time, $total) = @_;
        $s->psql("SELECT outbox_put(gen_random_uuid(), 'OrderCreated', 'order:' ||"
                . " gen_random_uuid(), order_event_data(gen_random_uuid(),"
                . " gen_random_uuid(), 'CHF', $total, 2, '[]', '$time'), NULL)");
    };
    $put->('2026-01-31T23:59:59.999Z', 100);
    $put->('2026-02-01T00:00:00Z', 1000);
    $put->('2026-02-01T00:30:00+01:00', 10);
    $put->('2026-02-01T23:30:00-01:00', 7);
    wait_handled();
    is $s->psql("SELECT day, orders, items, revenue FROM daily_order_stats WHERE currency = 'CHF'"
            . " ORDER BY day"),
        "2026-01-31|2|4|110\n2026-02-01|1|2|1000\n2026-02-02|1|2|7",
        'whatever zone the event names';
    my @days = map { $_->{day} } @{ $s->get('/dashboard/daily-orders')->{json}{days} };
    is_deeply \@days, [reverse sort @days], 'the newest first';

    $s->psql("INSERT INTO daily_order_stats SELECT date '2020-01-01' + g, 'CHF', 1, 1, 1"
            . " FROM generate_series(1, 100) g;"
            . ' DELETE FROM upserts WHERE n = (SELECT max(n) FROM upserts)'); # this one
    my %days = map { $_->{day} => 1 } @{ $s->get('/dashboard/daily-orders')->{json}{days} };
    is scalar(keys %days), 90, 'and not more than ninety days';
    $s->psql("DELETE FROM daily_order_stats WHERE currency = 'CHF'");
};

subtest 'an event that cannot be counted holds up no other' => sub {
    my $odd = '{"createdAt": "never", "currency": "EUR", "total": 1, "pieces": 1}';
    $s->psql("SELECT outbox_put(gen_random_uuid(), 'OrderCreated', 'order:x', '$odd', NULL)");
    $s->psql("SELECT outbox_put(gen_random_uuid(), 'OrderCreated', 'order:y', '{}', NULL)");
    $s->psql("SELECT outbox_put(gen_random_uuid(), 'ProductChanged', 'product:z', '{}', NULL)");
    order([4, 1]) for 1 .. 10;
    wait_handled();
    is $s->psql('SELECT group_name, aggregate, attempts FROM dead_letters ORDER BY 1, 2'),
        "aggregates|order:x|1\naggregates|order:y|1\ninvalidation|product:z|1",
        'it is a dead letter at once';
    is_counted('its neighbours are counted, once');
    $s->psql('DELETE FROM dead_letters');
};

subtest 'edges are told of a changed product' => sub {
    my $r = $s->request(
        'PUT',
        '/products/' . product(5),
        {   content => '{"name":"Rack","price":1,"currency":"EUR"}',
            headers => { 'Content-Type' => 'application/json' } });
    is $r->{status}, 200, 'changed';
    wait_for('its message' => sub {
        grep { $_ eq 'products product:' . product(5) } messages();
    });
    pass 'with both tags';
};

subtest 'edges are told again after Redis was away' => sub {
    $s->redis('DEL', 'weir:invalidate');
    $s->redis('SET', 'weir:invalidate', 'in the way');
    order([5, 1]);
    wait_for('the event to fail' =>
            sub { $s->psql("SELECT count(*) FROM retries WHERE group_name = 'invalidation'") > 0 });
    is $s->psql("SELECT error FROM retries WHERE group_name = 'invalidation' LIMIT 1") =~
        /WRONGTYPE/, 1, 'with the error of Redis';
    $s->redis('DEL', 'weir:invalidate');
    wait_for('the message' => sub { dashboard_messages() > 0 });
    wait_handled();
    is $s->psql('SELECT count(*) FROM dead_letters'), 0, 'nothing is given up';

    $s->kill_redis;
    order([6, $_]) for 1 .. 20;
    is_problem($s->post('/orders', { userId => $ann, items => [] }), 422,
        'orders are taken as ever, or not');
    $s->start_redis;
    wait_handled();
    is_counted('what was ordered meanwhile is counted');
    cmp_ok dashboard_messages(), '>', 0, 'and sent to the edges';

    for my $round (1 .. 3) {
        order([6, $_]) for 1 .. 10;
        $s->redis('FLUSHALL');
        order([6, $_]) for 1 .. 10;
        wait_handled();
        is_counted("emptied, round $round: each is counted once");
        cmp_ok dashboard_messages(), '>', 0, 'and sent to the edges';
    }
};

subtest 'orders are counted once, also when workers are killed' => sub {
    $s->start_backend('worker', name => 'worker2');
    my @requests = map {
        raw_request('POST', '/orders', order_of($ann, [1 + $_ % 6, 1 + $_ % 5]));
    } 1 .. 200;
    for my $round (1 .. 3) {
        my $handled = handled();
        is_deeply [grep { status_of($_) != 201 } at_once($s, @requests)], [], 'two hundred orders';
        wait_for('some to be counted' => sub { handled() > $handled });
        $s->kill_backend('worker');
        $s->start_backend('worker');
        wait_handled();
        is_counted("killed, round $round: each is counted once");
    }
    # Told at least once: each upsert has its event, and each event was handled by sending its
    # message.
    is $s->psql("SELECT count(*) FROM outbox WHERE type = 'DailyOrdersChanged'"),
        $s->psql('SELECT count(*) FROM upserts'), 'an event for each upsert';
    is $s->psql('SELECT count(*) FROM dead_letters'), 0, 'nothing is given up';
    is $s->stop_backend($_), 0, "$_ stops" for 'worker', 'worker2';
};

subtest 'orders are counted when PostgreSQL is back' => sub {
    $s->start_backend('worker');
    $s->stop_postgres('immediate');
    my $r = $s->get('/dashboard/daily-orders');
    is_problem($r, 503, 'while it is stopped');
    like $r->{headers}{'retry-after'}, qr/^\d+$/, 'Retry-After';
    $s->start_postgres;
    wait_for('the dashboard' => sub { $s->get('/dashboard/daily-orders')->{status} == 200 });
    wait_for('orders' => sub { $s->post('/orders', order_of($ann, [1, 1]))->{status} == 201 });
    wait_handled();
    is_counted('all is counted');
};

is $s->stop_backend($_), 0, "$_ stops" for qw(worker api relay);

done_testing;
