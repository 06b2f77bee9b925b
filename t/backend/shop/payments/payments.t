# The group payments when the gateway, its answers, workers or PostgreSQL get lost: each order has
# one charge.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../../lib";

use Test::More;
use Weir::Payments;
use Weir::Stack qw(wait_for);

my %CONF = (retry_base => '20ms', retry_max => '300ms', groups => 'payments', retry_attempts => 20);

sub stack { return Weir::Payments->with_stack(%CONF, @_) }

sub requests { my ($p, $order) = @_; my $c = $p->charge_of($order); return $c ? $c->{requests} : 0 }

# Webhooks would tell what the answers do not; here they are held back, so that it is the group's
# work alone.
subtest 'an answer that got lost is asked for again, and charged once' => sub {
    my ($s, $p) = stack();
    $s->start_backend('relay worker');
    $p->switch(hold => 1, lost_answers => 3);
    my $order = $p->checkout;
    $p->wait_status($order, 'PAID SUCCEEDED');
    is($p->left('lost_answers'), 0, 'three answers were lost');
    is(requests($p, $order), 4, 'and asked for again');
    is($s->psql('SELECT count(*) FROM retries'), 0, 'no retry is left');

    $p->switch(errors => 2);
    $order = $p->checkout;
    $p->wait_status($order, 'PAID SUCCEEDED');
    is($p->left('errors'), 0, 'two errors of the gateway');
    is(requests($p, $order), 1, 'charged at the third attempt');

    $s->stop_backend('relay worker');
    $s->start_backend('relay worker', conf => { payments_timeout => '1s' });
    $p->switch(latency => 3000);
    $order = $p->checkout;
    wait_for('the charge to be made' => sub { requests($p, $order) > 0 });
    wait_for('the answer to be late' => sub { $s->psql('SELECT count(*) FROM retries') > 0 });
    is($p->status($order), 'PENDING REQUESTED', 'a timeout says nothing');
    $p->switch(latency => 0);
    $p->wait_status($order, 'PAID SUCCEEDED');
    cmp_ok(requests($p, $order), '>=', 2, 'asked for again');
    $s->stop_backend('relay worker');
    $s->start_backend('relay worker');

    $p->switch(lost_answers => 1, declines => 1);
    $order = $p->checkout;
    $p->wait_status($order, 'FAILED FAILED');
    is(requests($p, $order), 2, 'a refusal whose answer was lost is no success later');
    $p->switch(hold => 0);
    $p->is_all_well('ledger and database say the same, also after all webhooks');

    is($s->stop_backend('relay worker'), 0, 'worker stops');
    is($s->stop_backend('api'), 0, 'api stops');
};

subtest 'a gateway that is away delays the payment' => sub {
    my ($s, $p) = stack(retry_attempts => 6);
    $p->stop;
    $s->start_backend('relay worker');
    my @orders = map { $p->checkout } 1 .. 20;
    wait_for('the breaker to open' => sub { $s->logged('relay worker', qr/its breaker opens/) });
    is($s->psql("SELECT count(*) FROM orders WHERE status = 'PENDING'"), 20, 'orders wait');
    $p->start;
    $p->wait_status($_, 'PAID SUCCEEDED') for @orders;
    ok($s->logged('relay worker', qr/its breaker closes/), 'the breaker has closed');
    is(scalar(grep { $_->{requests} == 1 } @{ $p->ledger->{charges} }), 20,
        'each was charged at the first request that arrived');
    $p->is_all_well('ledger and database say the same');

    # Killed in the middle: its ledger is what it has promised.
    @orders = map { $p->checkout } 1 .. 20;
    wait_for('a charge' => sub { @{ $p->ledger->{charges} } > 22 });
    $p->kill;
    $p->start;
    $p->wait_status($_, 'PAID SUCCEEDED') for @orders;
    $p->is_all_well('a gateway that was killed: the same');
    is($s->stop_backend('relay worker'), 0, 'worker stops');
    is($s->stop_backend('api'), 0, 'api stops');
};

subtest 'a worker that is killed around the charge charges once' => sub {
    my ($s, $p) = stack();
    $s->start_backend('relay');
    $p->switch(hold => 1);

    # The charge is made; the answer has not arrived, or not been written down.
    $p->switch(latency => 50000);
    my $order = $p->checkout;
    $s->start_backend('worker');
    wait_for('the charge' => sub { requests($p, $order) > 0 });
    is($s->kill_backend('worker'), 256 + 9, 'killed before the answer');
    is($p->status($order), 'PENDING REQUESTED', 'the result is unknown');
    $p->switch(latency => 0);
    $s->start_backend('worker');
    $p->wait_status($order, 'PAID SUCCEEDED');
    cmp_ok(requests($p, $order), '>=', 2, 'asked for again');

    # The answer has arrived, but cannot be written: the order's row is locked.
    $s->stop_backend('worker');
    $order = $p->checkout;
    my $session = $s->session("BEGIN; SELECT FROM payments WHERE order_id = '$order' FOR UPDATE;");
    $s->start_backend('worker');
    $s->wait_locked(q{query LIKE '%payments_settle%'}); # to write the answer down
    $s->kill_backend('worker');
    close $session;
    $s->start_backend('worker');
    $p->wait_status($order, 'PAID SUCCEEDED');
    is($p->events($order), 'OrderCreated PaymentRequested PaymentSucceeded OrderPaid',
        'the events come once');

    # At random moments, with answers getting lost.
    my $seed = $ENV{WEIR_TEST_SEED} // int(rand(2**31));
    srand $seed;
    diag "seed $seed";
    my @orders;
    for my $round (1 .. 8) {
        $p->switch(latency => int(rand(40)), lost_answers => int(rand(3)));
        push @orders, map { $p->checkout } 1 .. 6;
        my $enough = @orders - int(rand(6));
        wait_for('some charges' => sub { @{ $p->ledger->{charges} } >= $enough });
        $s->kill_backend('worker');
        $s->start_backend('worker');
    }
    $p->switch(latency => 0, lost_answers => 0);
    $p->wait_status($_, 'PAID SUCCEEDED') for @orders;
    is(scalar @{ $p->ledger->{charges} }, @orders + 2, 'one charge for each order');
    is($s->psql("SELECT count(*) FROM outbox WHERE type = 'OrderPaid'"), @orders + 2,
        'each was paid once');
    $p->switch(hold => 0);
    $p->is_all_well('ledger and database say the same, also after all webhooks');
    is($s->psql("SELECT count(*) FROM outbox WHERE type = 'OrderPaid'"), @orders + 2,
        'paid once all the same');
    is($s->stop_backend('worker'), 0, 'worker stops');
    is($s->stop_backend('relay'), 0, 'relay stops');
    is($s->stop_backend('api'), 0, 'api stops');
};

subtest 'PostgreSQL and Redis that die cost no payment' => sub {
    my ($s, $p) = stack();
    $s->start_backend('relay worker');
    my @orders = map { $p->checkout } 1 .. 30;
    wait_for('some charges' => sub { @{ $p->ledger->{charges} } >= 5 });
    $s->kill_redis;
    $s->stop_postgres('immediate');
    $s->start_postgres;
    $s->start_redis;
    $p->wait_status($_, 'PAID SUCCEEDED') for @orders;
    $p->is_all_well('a crash of both in the middle: ledger and database say the same');
    is(scalar @{ $p->ledger->{charges} }, 30, 'one charge each');
    is($s->stop_backend('relay worker'), 0, 'worker stops');
    is($s->stop_backend('api'), 0, 'api stops');
};

done_testing;
