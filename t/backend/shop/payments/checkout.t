# POST /checkout: from the order to the receipt.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../../lib";

use Test::More;
use Weir::Payments;
use Weir::Stack qw(wait_for);

my $s = Weir::Stack->new(conf => { retry_base => '20ms', retry_max => '500ms' });
my $p = Weir::Payments->new($s);
$p->start;
$s->start_smtp;
$s->start_backend('api');

subtest 'a wrong checkout is refused' => sub {
    my $user = $p->user;
    my $n = 0;
    my $refused = sub {
        my ($content, $status, $pattern, $name, %headers) = @_;
        my $r = $s->post('/checkout', $content, { 'Idempotency-Key' => 'wrong-' . ++$n, %headers });
        is($r->{status}, $status, $name);
        is($r->{headers}{'content-type'}, 'application/problem+json', 'a problem');
        like($r->{content}, $pattern, 'says why');
    };
    $refused->('', 400, qr/body is empty/, 'nothing');
    $refused->('[]', 400, qr/must be a JSON object/, 'no object');
    $refused->('{}', 422, qr{"/userId".*"/items"}, 'an empty object');
    $refused->($p->body('x'), 422, qr{/userId.*UUID}, 'a user that is no UUID');
    $refused->($p->body('00000000-0000-7000-8000-000000000000'), 422, qr{/userId},
        'a user that there is not');
    $refused->($p->body($user, 0), 422, qr{/items/0/quantity}, 'none of it');
    $refused->({ userId => $user, items => [] }, 422, qr{/items}, 'no items');
    $refused->({ userId => $user, items => [{ productId => $user, quantity => 1 }] }, 422,
        qr{/items/0/productId}, 'no such product');
    $refused->($p->body($user), 415, qr/application\/json/, 'no JSON',
        'Content-Type' => 'text/plain');
    $refused->($p->body($user), 400, qr/API-Version/, 'no such version', 'API-Version' => 9);
    is($s->psql('SELECT count(*) FROM orders'), 0, 'no order');
    is($s->psql('SELECT count(*) FROM payments'), 0, 'no payment');
    is($s->psql('SELECT count(*) FROM outbox'), 0, 'no event');
};

my ($user, $order);

subtest 'a checkout is accepted, and an event' => sub {
    $user = $p->user;
    my $r = $p->post($p->body($user, 2), 'one');
    is($r->{status}, 202, 'accepted');
    $order = $r->{json}{id};
    is($r->{headers}{location}, "/orders/$order", 'says where');
    is($r->{json}{status}, 'PENDING', 'is pending');
    is($r->{json}{total}, 2 * $p->price, 'the total is the server\'s');
    is($r->{json}{currency}, 'EUR', 'the currency, too');
    is($r->{json}{userId}, $user, 'the user');
    my $shown = $s->get("/orders/$order");
    is($shown->{content}, $r->{content}, 'GET shows the same');
    is($p->events($order), 'OrderCreated PaymentRequested', 'the events');
    is($p->status($order), 'PENDING REQUESTED', 'a payment waits');
    like($p->post($p->body($user), 'v3', { 'API-Version' => 3 })->{content},
        qr/"items":\[\{"productId":"[^"]+","quantity":1,"unitPrice":/, 'version 3');
    is(scalar @{ $p->ledger->{charges} }, 0, 'nothing is charged without a worker');
};

subtest 'a paid order has its receipt' => sub {
    $s->start_backend('relay worker');
    $p->wait_status($order, 'PAID SUCCEEDED');
    is($s->get("/orders/$order")->{json}{status}, 'PAID', 'GET shows it');
    is($p->events($order), 'OrderCreated PaymentRequested PaymentSucceeded OrderPaid',
        'the events');
    my $charge = $p->charge_of($order);
    is($charge->{amount}, 2 * $p->price, 'of the amount');
    is($s->psql("SELECT charge FROM payments WHERE order_id = '$order'"), $charge->{id},
        'the charge is known');
    wait_for('the receipts' => sub { $s->mails == 2 });
    my ($mail) = grep { /2598\.00 EUR/ } $s->mails;
    like($mail, qr/^Subject: Your receipt\r?$/m, 'a receipt');
    like($mail, qr/^To: "Buyer \d+" <buyer\d+\@example\.org>\r?$/m, 'to the user');
    my $untraced = $s->psql("SELECT count(*) FROM outbox WHERE traceparent IS NULL"
            . " AND aggregate = 'order:$order'");
    is($untraced, 0, 'each event has its trace');
    my $traces = $s->psql("SELECT count(DISTINCT split_part(traceparent, '-', 2)) FROM outbox"
            . " WHERE aggregate = 'order:$order' AND type IN ('OrderCreated', 'PaymentRequested')");
    is($traces, 1, 'that of the request');
    my $caused = $s->psql(<<"SQL");
SELECT count(*) FROM outbox e
JOIN outbox c ON c.event_id = e.causation_id AND c.event_id = e.correlation_id
WHERE e.aggregate = 'order:$order' AND e.type IN ('PaymentSucceeded', 'OrderPaid')
  AND c.type = 'PaymentRequested'
SQL
    my $paid = $s->psql("SELECT count(*) FROM outbox WHERE aggregate = 'order:$order'"
            . " AND causation_id IS NOT NULL AND type = 'OrderPaid'");
    is($caused, 2 * $paid, 'and its cause, unless the gateway spoke first');
};

subtest 'a declined charge fails the order' => sub {
    $p->switch(declines => 1);
    my $mails = $s->mails;
    my $failed = $p->checkout;
    $p->wait_status($failed, 'FAILED FAILED');
    is($p->events($failed), 'OrderCreated PaymentRequested PaymentFailed', 'the events');
    is($s->psql("SELECT reason FROM payments WHERE order_id = '$failed'"), 'card_declined',
        'the reason is kept');
    is($s->psql("SELECT data->>'reason' FROM outbox WHERE type = 'PaymentFailed'"),
        'card_declined', 'with the reason');
    $p->wait_handled(qw(payments email));
    is(scalar $s->mails, $mails, 'no receipt');
};

subtest 'the database refuses impossible changes of state' => sub {
    my $payment = $s->psql("SELECT id FROM payments WHERE order_id = '$order'");
    my $fails = sub {
        my ($sql, $name) = @_;
        my $is =
            $s->psql("DO \$\$ BEGIN $sql; RAISE 'was possible'; EXCEPTION WHEN SQLSTATE 'WE002'"
                . " THEN PERFORM set_config('weir.t', SQLERRM, false); END \$\$;"
                . " SELECT current_setting('weir.t')");
        like($is, qr/^payment $payment is SUCCEEDED|cannot begin/, $name);
    };
    $fails->("UPDATE payments SET status = '$_' WHERE id = '$payment'", "SUCCEEDED to $_")
        for qw(REQUESTED FAILED REFUNDING REFUNDED nonsense);
    $fails->(
              "PERFORM payment_step(id, '$_', charge, amount, currency, NULL, true, NULL)"
            . " FROM payments WHERE id = '$payment'",
        "the gateway's confirmed word \"$_\" on the charge") for qw(failed refunded);
    # No charge: a word on nothing
    $s->psql("SELECT payment_step('$payment', 'failed', NULL, NULL, NULL, NULL, true, NULL)");
    $fails->("INSERT INTO payments (id, order_id, user_id, amount, currency, status)"
            . " VALUES (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 1, 'EUR',"
            . " 'SUCCEEDED')", 'to begin at the end');
    is($p->status($order), 'PAID SUCCEEDED', 'nothing has changed');
    # Every state that is left is reached, and no word leads out of what is over.
    is($s->psql("SELECT string_agg(DISTINCT next, ' ' ORDER BY next) FROM payment_transitions"),
        'FAILED REFUNDED REFUNDING SUCCEEDED', 'the states');
    is($s->psql("SELECT count(*) FROM payment_transitions"
                . " WHERE status IN ('SUCCEEDED', 'REFUNDED') AND next <> status"),
        0,
        'two are final');
};

$p->wait_delivered;
$p->wait_handled;
is($p->complaints, '', 'ledger and database say the same');
is($s->stop_backend('relay worker'), 0, 'worker stops');
is($s->stop_backend('api'), 0, 'api stops');

done_testing;
