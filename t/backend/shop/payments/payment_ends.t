# Every order that is checked out ends as PAID or FAILED: when the gateway refuses the charge for
# good, when another charge has its key, and when its event was dropped.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../../lib";

use Test::More;
use Weir::Payments;
use Weir::Stack qw(wait_for);

# Webhooks are held back: what ends a payment here is the group's work alone.
my $s = Weir::Stack->new(conf =>
        { retry_base => '20ms', retry_max => '100ms', groups => 'payments', retry_attempts => 3 });
my $p = Weir::Payments->new($s);
$p->start;
$p->switch(hold => 1);
$s->start_backend('api');
$s->start_backend('relay');
$s->start_backend('worker');

sub reason { return $s->psql("SELECT reason FROM payments WHERE order_id = '$_[0]'") }

sub dead { return $s->psql("SELECT string_agg(type, ' ' ORDER BY dead_at) FROM dead_letters") }

# An order whose worker does not run yet, with a charge that is in the ledger already.
sub charged_before {
    my (%charge) = @_;
    $s->stop_backend('worker');
    my $order = $p->checkout;
    my $payment = $p->payment_of($order);
    my $charge = $p->charge($payment, %charge);
    return ($order, $charge->{id});
}

# An order whose event is a dead letter after three attempts, with its place. The gateway asks for
# patience: that is no failure that would open the breaker.
sub given_up {
    my (%is) = @_;
    $p->switch(errors => $is{errors} // 3, error_status => 429);
    my $order = $is{charged} ? (charged_before(status => 'succeeded'))[0] : $p->checkout;
    $s->start_backend('worker') if $is{charged};
    my $at = wait_for('the dead letter' => sub {
        $s->psql("SELECT partition || '/' || position FROM dead_letters"
                . " WHERE aggregate = 'order:$order'");
    });
    return ($order, $at);
}

# Until the group waits for the lock on a payment, to write down what the gateway has said.
sub settling { $s->wait_locked(q{query LIKE '%payments_settle%'}) }

sub ctl {
    my (@arguments) = @_;
    my ($status, $out, $err) = $s->weirctl('dead', @arguments);
    is $status, 0, "weirctl dead @arguments" or diag $err;
}

subtest 'a charge that the gateway refuses for good ends as FAILED' => sub {
    for my $status (400, 402, 422) {
        $p->switch(errors => 1, error_status => $status);
        my $order = $p->checkout;
        $p->wait_status($order, 'FAILED FAILED');
        like reason($order), qr/^gateway: status $status: .*switched off/,
            "$status: FAILED with the gateway's reason";
        is $p->events($order), 'OrderCreated PaymentRequested PaymentFailed', 'the events';
        is $p->charge_of($order), undef, 'nothing was charged';
    }

    $p->switch(errors => 1, error_status => 422);
    my ($order) = charged_before(status => 'succeeded');
    $s->start_backend('worker');
    $p->wait_status($order, 'PAID SUCCEEDED');
    is $p->left('errors'), 0, 'refused, but it had been charged before: PAID';

    $p->switch(errors => 2, error_status => 422);
    $order = $p->checkout;
    $p->wait_status($order, 'PAID SUCCEEDED');
    is $p->left('errors'), 0,
        'while the gateway does not tell whether it has been, it is asked again';
    is dead(), '', 'no dead letter';
};

subtest 'an error that is not about the charge ends no payment' => sub {
    for my $status (401, 403, 404, 405, 302, 202) {
        $p->switch(errors => 2, error_status => $status);
        my $order = $p->checkout;
        $p->wait_status($order, 'PAID SUCCEEDED');
        is $p->left('errors'), 0, "$status is tried again";
    }
    is dead(), '', 'no dead letter';
};

subtest 'a payment ends as FAILED when another charge has its key' => sub {
    my ($order, $charge) = charged_before(status => 'succeeded', amount => 5);
    $s->start_backend('worker');
    $p->wait_status($order, 'FAILED FAILED');
    like reason($order), qr/is of \d+ EUR; its charge is of 5 EUR/,
        'FAILED: it could never be paid';
    wait_for('the refund' => sub {
        $s->psql("SELECT status FROM stray_charges WHERE charge = '$charge'") eq 'REFUNDED';
    });
    is $p->charge_of($order)->{status}, 'refunded', 'the money goes back';

    ($order, $charge) = charged_before(status => 'failed', amount => 5);
    $s->start_backend('worker');
    $p->wait_status($order, 'FAILED FAILED');

    # All of this is said by webhooks, too.
    $p->switch(hold => 0);
    $p->wait_delivered;
    $p->wait_handled;
    is $p->status($order), 'FAILED FAILED', 'and stays so';
    $p->ask('POST', "/admin/charges/$charge", { status => 'succeeded' });
    wait_for('the refund' => sub {
        $s->psql("SELECT status FROM stray_charges WHERE charge = '$charge'") eq 'REFUNDED';
    });
    is $p->status($order), 'FAILED FAILED',
        'also when that charge succeeds after all, and goes back';
    $p->switch(hold => 1);
    is dead(), '', 'no dead letter';
};

subtest 'a charge that was already refunded ends as FAILED' => sub {
    my ($order) = charged_before(status => 'refunded');
    $s->start_backend('worker');
    $p->wait_status($order, 'FAILED REFUNDED');
    is $p->events($order), 'OrderCreated PaymentRequested PaymentReported PaymentRefunded',
        'the gateway was asked';
};

subtest 'a payment whose event was dropped ends' => sub {
    my ($order, $at) = given_up();
    is $p->status($order), 'PENDING REQUESTED', 'the result is unknown: the order waits';
    is $s->psql('SELECT attempts FROM dead_letters'), 3, 'as a dead letter';
    ok((grep { $_->{msg} eq 'event is a dead letter' } $s->log_lines('worker')),
        'an operator reads of it');
    ctl('replay', 'payments', $at);
    $p->wait_status($order, 'PAID SUCCEEDED');
    is $p->charge_of($order)->{requests}, 1, 'replayed: charged';
    is $p->events($order),
        'OrderCreated PaymentRequested PaymentRequested PaymentSucceeded OrderPaid',
        'and not withdrawn';

    ($order, $at) = given_up();
    ctl('drop', 'payments', $at);
    $p->wait_status($order, 'FAILED FAILED');
    is reason($order), 'given up by an operator', 'dropped: FAILED';
    is $p->charge_of($order), undef, 'nothing was charged';
    is $s->psql("SELECT c.type FROM outbox o JOIN outbox c ON c.event_id = o.causation_id"
            . " WHERE o.aggregate = 'order:$order' AND o.type = 'PaymentWithdrawn'"),
        'PaymentRequested', 'because of the event that was dropped';

    ($order, $at) = given_up(charged => 1);
    ctl('drop', 'payments', $at);
    $p->wait_status($order, 'PAID SUCCEEDED');
    is $p->events($order),
        'OrderCreated PaymentRequested PaymentWithdrawn PaymentSucceeded OrderPaid',
        'dropped, but it was charged: PAID';

    # Dropped while the gateway still fails: dead again, dropped again.
    ($order, $at) = given_up(errors => 6);
    ctl('drop', 'payments', $at);
    my $again = wait_for('the dead letter' => sub {
        $s->psql("SELECT partition || '/' || position FROM dead_letters"
                . " WHERE type = 'PaymentWithdrawn'");
    });
    is $p->status($order), 'PENDING REQUESTED', 'not known yet';
    ctl('drop', 'payments', $again);
    $p->wait_status($order, 'FAILED FAILED');

    # A webhook knows more than we do; the dead letter has nothing left to do.
    ($order, $at) = given_up(charged => 1);
    $p->switch(hold => 0);
    $p->wait_status($order, 'PAID SUCCEEDED');
    $p->wait_delivered;
    ctl('drop', 'payments', $at);
    is $p->events($order), 'OrderCreated PaymentRequested PaymentSucceeded OrderPaid',
        'dropped after the end: nothing happens';
    $p->switch(hold => 1);

    # The group goes over its events again: the letter is an event once more, and nobody has given
    # it up.
    ($order, $at) = given_up();
    is +($s->weirctl(qw(events replay --group payments --from 0 --yes)))[0], 0,
        'weirctl events replay';
    $p->wait_status($order, 'PAID SUCCEEDED');
    $p->wait_handled;
    is $p->events($order), 'OrderCreated PaymentRequested PaymentSucceeded OrderPaid',
        'handled again: charged, not withdrawn';
    is dead(), '', 'and no dead letter any more';

    $s->psql("SELECT outbox_put(gen_random_uuid(), 'PaymentRequested', 'order:x',"
            . " '{\"paymentId\": \"none\"}', NULL)");
    $at = wait_for('the dead letter' => sub {
        $s->psql("SELECT partition || '/' || position FROM dead_letters"
                . " WHERE aggregate = 'order:x'");
    });
    ctl('drop', 'payments', $at);
    is dead(), '', 'one that names no payment can be dropped, too';
};

subtest 'a payment whose last event was dropped ends' => sub {
    # The gateway answers that the charge was given back; when it is asked whether that is so, it is
    # unwell.
    my ($order) = charged_before(status => 'refunded');
    my $lock = $s->session("BEGIN; SELECT FROM payments WHERE order_id = '$order' FOR UPDATE;");
    $s->start_backend('worker');
    settling();
    $p->switch(errors => 3, error_status => 429);
    close $lock;
    my $at = wait_for('the dead letter' => sub {
        $s->psql("SELECT partition || '/' || position FROM dead_letters"
                . " WHERE type = 'PaymentReported'");
    });
    is $p->status($order), 'PENDING REQUESTED', 'the result is unknown';
    ctl('drop', 'payments', $at);
    $p->wait_status($order, 'FAILED REFUNDED');
    is dead(), '', 'dropped: it ends all the same';
};

subtest 'a charge made after its payment was given up is refunded' => sub {
    my $late = sub {
        my ($name, %charge) = @_;
        my ($order, $at) = given_up();
        ctl('drop', 'payments', $at);
        $p->wait_status($order, 'FAILED FAILED');
        my $payment = $p->payment_of($order);
        $p->charge($payment, %charge);
        $p->switch(hold => 0);
        wait_for('the refund' => sub { $p->charge_of($order)->{status} eq 'refunded' });
        $p->wait_delivered;
        $p->wait_handled;
        $p->switch(hold => 1);
        is dead(), '', "$name: no dead letter";
        return $p->status($order);
    };
    is $late->('its amount'), 'FAILED REFUNDED', 'the money goes back';
    is $late->('another amount', amount => 5), 'FAILED FAILED', 'as a stray charge';
    is $late->('and refunded at the gateway', status => 'refunded'), 'FAILED REFUNDED',
        'that is known then';

    # It is charged between the gateway's "there is none" and its being written down.
    my ($order, $at) = given_up();
    $s->stop_backend('worker');
    ctl('drop', 'payments', $at);
    my $lock = $s->session("BEGIN; SELECT FROM payments WHERE order_id = '$order' FOR UPDATE;");
    $s->start_backend('worker');
    settling();
    my $payment = $p->payment_of($order);
    my $charge = $p->charge($payment);
    print $lock "SELECT payment_step('$payment', 'succeeded', '$charge->{id}', amount, currency,"
        . " NULL, false, NULL) FROM payments WHERE id = '$payment'; COMMIT;\n";
    close $lock;
    $p->wait_handled;
    is $p->status($order), 'PAID SUCCEEDED', 'charged in the moment of giving up: PAID';
    is dead(), '', 'and nothing is impossible about it';
};

$p->switch(hold => 0);
$p->wait_delivered;
$p->wait_handled;
is $s->psql("SELECT count(*) FROM orders WHERE status = 'PENDING'"), 0, 'no order is open';
is $p->complaints, '', 'ledger and database say the same';
is $s->stop_backend($_), 0, "$_ stops" for qw(worker relay api);

done_testing;
