# POST /webhooks/payment: which messages are accepted, and what each does, whenever and how often it
# comes.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../../lib";

use Test::More;
use Weir::Base qw(spew);
use Weir::Payments;
use Weir::Stack qw(wait_for);

my $OLD = 'an older key of the gateway, 36 bytes';

my $s =
    Weir::Stack->new(conf => { retry_base => '20ms', retry_max => '300ms', groups => 'payments' });
my $p = Weir::Payments->new($s);
$p->start;
$s->start_backend('api');
$s->start_backend('relay');

sub verdict { my ($r) = @_; return "$r->{status} " . ($r->{json}{verdict} // '') }

sub said_in {
    my ($name, $msg) = @_;
    return $s->logged($name, $msg);
}

# A charge's order that is paid or failed, with all webhooks delivered.
sub settled {
    my ($status) = @_;
    $p->switch(declines => $status eq 'FAILED' ? 1 : 0);
    my $order = $p->checkout;
    $p->wait_status($order, $status eq 'FAILED' ? 'FAILED FAILED' : 'PAID SUCCEEDED');
    $p->wait_delivered;
    $p->wait_handled;
    return ($order, $p->charge_of($order));
}

subtest 'a message without a right signature is refused' => sub {
    my $charge = { id => 'ch_x', idempotency_key => 'nobody', amount => 1, currency => 'EUR' };
    my $m = $p->message($charge, 'failed');
    my $refused = sub {
        my ($pattern, $name, %option) = @_;
        my $r = $p->webhook($m, %option);
        is($r->{status}, 401, $name);
        is($r->{headers}{'content-type'}, 'application/problem+json', 'a problem');
        like($r->{json}{detail}, $pattern, 'says why');
    };
    $refused->(qr/is not signed/, "without $_", headers => { $_ => undef })
        for qw(webhook-id webhook-timestamp webhook-signature);
    $refused->(qr/No signature/, 'forged', signature => 'v1,' . 'A' x 43 . '=');
    $refused->(qr/No signature/, 'with another key', key => 'x' x 36);
    $refused->(qr/No signature/, 'of another body', send => '{"type":"charge.succeeded"}');
    $refused->(qr/No signature/, 'of another id', headers => { 'webhook-id' => 'other' });
    $refused->(qr/No signature/, 'of another time', headers => { 'webhook-timestamp' => time - 1 });
    $refused->(qr/No signature/, "signature \"$_\"", signature => $_)
        for 'v1,', 'v1', 'x', 'v1a,' . 'A' x 44, 'v1,' . 'A' x 44 . ' ' x 100;
    $refused->(qr/more than 5 minutes/, "signed, but $_ seconds away", time => time + $_)
        for -400, 400, -86400;
    $refused->(qr/must be a number of seconds/, "time $_", time => $_)
        for 'x', '-1', '1e9', '9' x 13;
    $refused->(qr/webhook-id must have/, 'a long id', id => 'x' x 257);
    is($s->psql('SELECT count(*) FROM payment_webhooks'), 0, 'nothing of it was taken');
    is(scalar said_in('api', qr/^a webhook is refused/), 21, 'each is logged')
        or diag scalar said_in('api', qr/^a webhook is refused/);

    is(verdict($p->webhook($m, time => time - 200)), '202 unknown',
        'two hundred seconds are within the tolerance');
};

subtest 'while the key is changed, both keys are accepted' => sub {
    my $m =
        $p->message({ id => 'ch_y', idempotency_key => 'nobody', amount => 1, currency => 'EUR' },
        'failed');
    is($p->webhook($m, key => $OLD)->{status}, 401, 'the old one is unknown');
    $s->stop_backend('api');
    $s->start_backend('api', conf => { webhook_secret_old => $p->secret($OLD) });
    is($p->webhook($m, key => $OLD)->{status}, 202, 'both are taken: the old one');
    is($p->webhook($m)->{status}, 202, 'and the new one');
    is($p->webhook($m, key => 'x' x 36)->{status}, 401, 'no other');
    $s->stop_backend('api');
    $s->start_backend('api', conf => { webhook_secret => '' });
    is($p->webhook($m)->{status}, 401, 'without a key all are refused');
    $s->stop_backend('api');
    $s->start_backend('api');
};

subtest 'keys of a file are changed without a restart' => sub {
    my $file = $s->dir . '/secrets';
    my $m =
        $p->message({ id => 'ch_f', idempotency_key => 'nobody', amount => 1, currency => 'EUR' },
        'failed');
    my ($first, $second) = ('a' x 36, 'b' x 36);
    my $takes = sub { $p->webhook($m, key => $_[0])->{status} };
    my $put = sub { spew($file, join '', map { "$_\n" } @_) };
    $put->($p->secret($first));
    $s->stop_backend('api');
    $s->start_backend('api', conf => { webhook_secrets => $file });
    is($takes->($first), 202, 'the file\'s key is accepted');
    is($p->webhook($m)->{status}, 202, 'beside that of the configuration');
    is($takes->($second), 401, 'no other');
    $put->($p->secret($second), '', $p->secret($first));
    wait_for('the new key' => sub { $takes->($second) == 202 });
    is($takes->($first), 202, 'both are accepted');
    my $wrong = sub {
        my ($what, @lines) = @_;
        my $n = said_in('api', qr/^changed webhook secrets cannot be used/);
        $put->(@lines);
        wait_for("$what to be seen" =>
            sub { said_in('api', qr/^changed webhook secrets cannot be used/) > $n });
        is($takes->($second), 202, "$what changes nothing");
        $put->($p->secret($second), $p->secret($first));
        wait_for('the file to be good again' => sub { $takes->($second) == 202 });
    };
    $wrong->('a line that is no key', $p->secret($second), 'whsec_hush');
    unlink $file;
    wait_for('the missing file' => sub { $takes->($second) == 202 });
    $put->($p->secret($second));
    wait_for('the old key to end' => sub { $takes->($first) == 401 });
    is($takes->($second), 202, 'the new one stays');
    $put->(map { $p->secret($_ x 36) } 'c' .. 'j');
    wait_for('eight keys' => sub { $takes->('j' x 36) == 202 });
    $s->stop_backend('api');
    $s->start_backend('api');
};

subtest 'a signed message of another kind has no effect' => sub {
    is($p->webhook('')->{status}, 400, 'nothing');
    is($p->webhook('{"type"')->{status}, 400, 'no JSON');
    is($p->webhook('[]')->{status}, 400, 'no object');
    is($p->webhook('{}')->{status}, 422, 'no type');
    is($p->webhook('{"type":"charge.succeeded"}')->{status}, 422, 'no charge');
    is($p->webhook(
            {   type => 'charge.succeeded',
                data => { id => 'x', idempotency_key => 'y', amount => 1.5, currency => 'EUR' } }
        )->{status},
        422,
        'no amount');
    is(verdict($p->webhook({ type => 'customer.created', data => {} })), '202 ignored',
        'another type');
};

$s->start_backend('worker');

subtest 'a repeated message has its effect once' => sub {
    $p->switch(duplicates => 3);
    my ($order, $charge) = settled('PAID');
    is($p->events($order), 'OrderCreated PaymentRequested PaymentSucceeded OrderPaid',
        'sent four times: paid once');
    is($s->psql('SELECT count(*) FROM payment_webhooks WHERE payment_id IS NOT NULL'), 1,
        'and kept once');
    $p->switch(duplicates => 0);
    is(verdict($p->webhook($p->message($charge, 'succeeded'))), '202 repeated',
        'the same word under a new id');
    is($p->events($order), 'OrderCreated PaymentRequested PaymentSucceeded OrderPaid',
        'changes nothing');
};

subtest "a message that comes before the gateway's answer settles the payment" => sub {
    $p->switch(webhook_first => 1);
    my ($order) = settled('PAID');
    is($p->events($order), 'OrderCreated PaymentRequested PaymentSucceeded OrderPaid', 'paid once');
    my ($failed) = settled('FAILED');
    is($p->events($failed), 'OrderCreated PaymentRequested PaymentFailed', 'failed once');
    $p->switch(webhook_first => 0);

    # The answer hangs for good: the message alone is enough, and the worker's question later finds
    # it done.
    $p->switch(latency => 50000, declines => 0);
    $order = $p->checkout;
    $p->wait_status($order, 'PAID SUCCEEDED');
    $p->switch(latency => 0);
    $s->kill_backend('worker');
    $s->start_backend('worker');
    $p->wait_handled;
    is($p->events($order), 'OrderCreated PaymentRequested PaymentSucceeded OrderPaid',
        'without an answer: paid once');
    is($p->charge_of($order)->{requests}, 1, 'and not asked for again');
};

subtest 'messages in the wrong order end in the right state' => sub {
    # failed, then succeeded after all: held back and sent the other way round.
    $p->switch(hold => 1, declines => 1);
    my $order = $p->checkout;
    $p->wait_status($order, 'FAILED FAILED');
    my $charge = $p->charge_of($order);
    $p->ask('POST', "/admin/charges/$charge->{id}", { status => 'succeeded' });
    $p->switch(hold => 0, reverse => 1);
    $p->wait_status($order, 'FAILED REFUNDED');
    $p->wait_delivered;
    $p->wait_handled;
    is($p->charge_of($order)->{status}, 'refunded', 'the money went back');

    # An old "failed" after the success.
    my ($paid, $its) = settled('PAID');
    is(verdict($p->webhook($p->message($its, 'failed'))), '202 unsure',
        'it contradicts: the gateway is asked');
    $p->wait_handled;
    is($p->status($paid), 'PAID SUCCEEDED', 'and says that it has succeeded');
    is($p->events($paid),
        'OrderCreated PaymentRequested PaymentSucceeded OrderPaid PaymentReported',
        'nothing else happened');
    $p->switch(reverse => 0);
};

subtest 'a success after a failure is refunded' => sub {
    my ($order, $charge) = settled('FAILED');
    $p->ask('POST', "/admin/charges/$charge->{id}", { status => 'succeeded' });
    $p->wait_status($order, 'FAILED REFUNDED');
    $p->wait_delivered;
    $p->wait_handled;
    is($p->charge_of($order)->{status}, 'refunded', 'the money went back');
    is($p->events($order),
              'OrderCreated PaymentRequested PaymentFailed PaymentReported RefundRequested'
            . ' PaymentRefunded', 'the events');
    is(verdict($p->webhook($p->message($charge, 'succeeded'))), '202 unsure', 'said once more');
    $p->wait_handled;
    is($p->status($order), 'FAILED REFUNDED', 'it stays so');

    # The refund's answer is lost, its webhook, too.
    ($order, $charge) = settled('FAILED');
    $p->switch(hold => 1, lost_answers => 1);
    $p->ask('POST', "/admin/charges/$charge->{id}", { status => 'succeeded' });
    is(verdict($p->webhook($p->message($charge, 'succeeded'))), '202 unsure', 'late success');
    $p->wait_status($order, 'FAILED REFUNDED');
    is($p->left('lost_answers'), 0, 'an answer was lost on the way');
    $p->switch(hold => 0);
    $p->wait_delivered;
    $p->wait_handled;

    ($order, $charge) = settled('FAILED');
    is(verdict($p->webhook($p->message($charge, 'succeeded'))), '202 unsure',
        'a success that the gateway denies');
    $p->wait_handled;
    is($p->status($order), 'FAILED FAILED', 'changes nothing');
};

subtest 'a message that does not fit its payment has no effect' => sub {
    $s->stop_backend('worker');
    my $order = $p->checkout;
    my $payment = $p->payment_of($order);
    my $charge =
        { id => 'ch_false', idempotency_key => $payment, amount => $p->price, currency => 'EUR' };
    is(verdict($p->webhook($p->message({ %$charge, amount => 1 }, 'succeeded'))), '202 unsure',
        'another amount');
    is(verdict($p->webhook($p->message({ %$charge, currency => 'USD' }, 'succeeded'))),
        '202 unsure', 'another currency');
    is(verdict($p->webhook($p->message($charge, 'refunded'))), '202 unsure',
        'a refund of what is not paid');
    is($p->status($order), 'PENDING REQUESTED', 'nothing is believed');
    $s->start_backend('worker');
    $p->wait_status($order, 'PAID SUCCEEDED');
    $p->wait_delivered;
    $p->wait_handled;
    isnt($p->charge_of($order)->{id}, 'ch_false', 'paid by its own charge');
    is(verdict($p->webhook($p->message($charge, 'succeeded'))), '202 unsure',
        'another charge of the same payment');
    $p->wait_handled;
    is($p->status($order), 'PAID SUCCEEDED', 'the gateway knows of one only');
};

subtest 'an unknown charge is recorded, and refunded when proven' => sub {
    my $stray = $p->charge('01900000-0000-7000-8000-00000000dead', amount => 700);
    wait_for('its refund' => sub {
        $s->psql("SELECT status FROM stray_charges WHERE charge = '$stray->{id}'") eq 'REFUNDED';
    });
    $p->wait_delivered;
    $p->wait_handled;
    is((grep { $_->{id} eq $stray->{id} } @{ $p->ledger->{charges} })[0]{status}, 'refunded',
        'money for nothing goes back');

    my $odd = $p->charge('no UUID & odd?', amount => 700);
    wait_for('its refund' => sub {
        $s->psql("SELECT status FROM stray_charges WHERE charge = '$odd->{id}'") eq 'REFUNDED';
    });
    pass('whatever its key looks like');

    is( verdict(
            $p->webhook($p->message(
                { id => 'ch_none', idempotency_key => 'none', amount => 1, currency => 'EUR' },
                'succeeded'))),
        '202 unknown',
        'one that the gateway does not know either');
    wait_for('the question' => sub {
        $s->psql("SELECT status FROM stray_charges WHERE charge = 'ch_none'") eq 'UNKNOWN';
    });
    my $failed = $p->charge('failed', amount => 700, status => 'failed');
    wait_for('its record' =>
            sub { $s->psql("SELECT count(*) FROM stray_charges WHERE charge = '$failed->{id}'") });
    ok(said_in('worker', qr/^a charge belongs to no payment/), 'an operator reads of it');
};

# The payment's id is the charge's key; the gateway, or what lies between, may write it otherwise.
my %form = (
    'in upper case' => sub { uc $_[0] },
    'in braces' => sub { "{$_[0]}" },
    'without hyphens' => sub { $_[0] =~ tr/-//dr },
    'as a URN' => sub { 'urn:uuid:' . uc $_[0] },
    'that is no UUID' => sub { "key of $_[0]" },
);
for my $form (sort keys %form) {
    subtest "a payment's own charge under a key $form" => sub {
        my $said = sub {
            my ($charge, $status) = @_;
            my $r = $p->webhook(
                $p->message(
                    { %$charge, idempotency_key => $form{$form}->($charge->{idempotency_key}) },
                    $status));
            is $r->{status}, 202, "$status is taken";
        };
        for my $fold (0, 1) {
            # It comes before anybody else knows of the charge.
            $p->switch(hold => 1, fold_keys => $fold);
            $s->stop_backend('worker');
            my $order = $p->checkout;
            my $payment = $p->payment_of($order);
            my $charge = $p->charge($payment);
            $said->($charge, 'succeeded');
            $s->start_backend('worker');
            $p->wait_status($order, 'PAID SUCCEEDED');
            $p->wait_handled;

            # And when the order is paid.
            $said->($charge, $_) for qw(succeeded failed);
            $p->wait_handled;
            is $p->status($order), 'PAID SUCCEEDED', 'it stays paid';
            is $p->charge_of($order)->{status}, 'succeeded', 'no money goes back';
            is $s->psql(
                "SELECT count(*) FROM stray_charges WHERE charge = '$charge->{id}' AND (proven"
                    . " OR status NOT IN ('REPORTED', 'UNKNOWN'))"), 0,
                'it is no stray charge';
            is join(' ', $p->endless), '', 'no order is left open';
        }
        $p->switch(hold => 0, fold_keys => 0);
        $p->wait_delivered;
    };
}

subtest 'another charge under another form of the key is a stray one' => sub {
    my ($order, $charge) = settled('PAID');
    my $second = $p->charge(uc $charge->{idempotency_key});
    wait_for('its refund' => sub {
        $s->psql("SELECT status FROM stray_charges WHERE charge = '$second->{id}'") eq
            'REFUNDED';
    });
    is $p->status($order), 'PAID SUCCEEDED', 'the order stays paid';
    is $p->charge_of($order)->{status}, 'succeeded', 'by its own charge';
};

subtest 'a currency in lower case is the same' => sub {
    $p->switch(hold => 1);
    $s->stop_backend('worker');
    my $order = $p->checkout;
    my $payment = $p->payment_of($order);
    my $charge = $p->charge($payment);
    is(verdict($p->webhook($p->message({ %$charge, currency => 'eur' }, 'succeeded'))),
        '202 applied', 'is the same one');
    $s->start_backend('worker');
    $p->switch(hold => 0);
    $p->wait_delivered;
};

subtest 'messages arrive when the api is back' => sub {
    $s->stop_backend('worker');
    my $order = $p->checkout;
    $s->stop_backend('api');
    $s->start_backend('worker');
    $p->wait_status($order, 'PAID SUCCEEDED');
    cmp_ok($p->ledger->{webhooks}{waiting}, '>', 0, 'webhooks wait');
    $s->start_backend('api');
    $p->wait_delivered;
    is(verdict($p->webhook($p->message($p->charge_of($order), 'succeeded'))), '202 repeated',
        'and come, to no harm');
};

$p->wait_delivered;
$p->wait_handled;
is($p->ledger->{webhooks}{refused}, 0, 'no webhook was given up');
is($p->complaints, '', 'ledger and database say the same');
is($s->stop_backend($_), 0, "$_ stops") for qw(worker relay api);

subtest 'the simulator refuses a switch that it could not obey' => sub {
    for my $status (0, 99, 600) {
        ok !eval { $p->switch(error_status => $status); 1 }, "error_status $status";
        like $@, qr/: 422 .*from 200 to 599/, '... with the allowed ones';
    }
};

done_testing;
