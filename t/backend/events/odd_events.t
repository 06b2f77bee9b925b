# Events and answers that make no sense: each ends with its reason, and holds up no other event.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use Test::More;
use Weir::Payments;
use Weir::Processes ();
use Weir::Stack qw(wait_for);
use Weir::Upstream;

my $NOBODY = '01900000-0000-7000-8000-0000000000ff';

sub stack {
    my $s = Weir::Stack->new(conf => { retry_base => '20ms', retry_max => '100ms', @_ });
    return ($s, Weir::Payments->new($s));
}

sub put {
    my ($s, $type, $data) = @_;
    my $aggregate = 'odd:' . ++$s->{odd};
    $s->psql("SELECT outbox_put(gen_random_uuid(), '$type', '$aggregate', \$\$$data\$\$, NULL)");
}

subtest 'events without sense are dead letters with a reason' => sub {
    my ($s, $p) = stack(groups => 'email,payments,invalidation');
    $p->start;
    $s->start_smtp;
    my $buyer = $p->user;
    my $unreachable = $s->psql("INSERT INTO users (id, email, display_name, status, steps)"
            . " VALUES (uuid7(), 'no address', 'None', 'ACTIVE', 7) RETURNING id");
    my $receipt = sub {
        my ($user, $total, $currency) = @_;
        put($s, 'OrderPaid',
            qq({"userId":"$user","orderId":"$NOBODY","total":$total,"currency":"$currency"}));
    };

    put($s, 'UserCreated', '{}');
    put($s, 'UserCreated', qq({"userId":"$buyer"}));
    put($s, 'OrderPaid', qq({"userId":"$buyer"}));
    $receipt->($NOBODY, 1, 'CHF');
    $receipt->($unreachable, 1, 'CHF');
    put($s, 'PaymentRequested', '{}');
    put($s, 'PaymentRequested', qq({"paymentId":"$NOBODY"}));
    put($s, 'StrayChargeReported', '{"charge":"ch_1"}');
    put($s, 'ProductChanged', '{}');
    $receipt->($buyer, 1205, $_) for qw(CHF JPY KWD);

    # Of a charge and a payment that the gateway does not know, and while it has other troubles.
    $s->psql("INSERT INTO stray_charges (charge, key) VALUES ('ch_2', 'nobody')");
    put($s, 'StrayChargeReported', '{"charge":"ch_2","key":"nobody"}');
    my $payment = $s->psql("INSERT INTO payments (id, order_id, user_id, amount, currency)"
            . " VALUES (uuid7(), uuid7(), uuid7(), 100, 'CHF') RETURNING id");
    put($s, 'PaymentReported', qq({"paymentId":"$payment"}));
    $p->switch(errors => 2);
    $s->start_backend('relay worker');
    $p->wait_handled(qw(email payments invalidation));

    is $s->psql("SELECT group_name, attempts, error FROM dead_letters ORDER BY 1, 3"), join(
        "\n",
        'email|1|mail cannot be sent to this address',
        'email|1|the event has no e-mail address',
        'email|1|the event has no order, total or currency',
        'email|1|the event names no user',
        'email|1|there is no such user',
        'invalidation|1|the event does not name its product',
        'payments|20|a message is about a charge that the gateway does not have',
        'payments|1|the event names no charge',
        'payments|1|the event names no payment',
        'payments|1|there is no such payment'),
        'are dead letters at once, with their reason';
    is join(' ', sort map { /received ([\d.]+ \w+) for/ } $s->mails),
        '1.205 KWD 12.05 CHF 1205 JPY', 'receipts show money as people write it';
    is $p->left('errors'), 0, 'a gateway with troubles is asked again';
    is $s->psql('SELECT status FROM stray_charges'), 'UNKNOWN',
        'a stray charge that it does not know';
    is $s->psql("SELECT status FROM payments WHERE id = '$payment'"), 'REQUESTED',
        'and an open payment whose charge it does not know change nothing';
    is $s->stop_backend('relay worker'), 0, 'stops';
};

subtest 'data that no C type holds is passed on' => sub {
    my ($s) = stack(groups => 'email,billing,flags,analytics');
    $s->start_smtp;
    my %odd = (
        'a number beyond 2^63' => '9223372036854775808',
        'a number beyond a double' => '1' x 400,
        'many digits' => '0.' . '12345678' x 100,
        'deep nesting' => '[' x 3000 . ']' x 3000,
    );
    my $n = 0;
    for my $name (sort keys %odd) {
        $n++;
        $s->psql(<<"SQL");
WITH u AS (
    INSERT INTO users (id, email, display_name)
    VALUES (uuid7(), 'odd$n\@example.org', 'Odd $n') RETURNING *
)
SELECT outbox_put(uuid7(), 'UserCreated', 'user:' || id,
    jsonb_build_object('userId', id, 'email', email, 'displayName', display_name,
        'x', '$odd{$name}'::jsonb), NULL)
FROM u
SQL
    }
    $s->start_backend('relay worker');
    wait_for('all groups to have handled them' =>
            sub { $s->psql("SELECT count(*) FROM users WHERE status = 'ACTIVE'") == $n });
    is $s->psql('SELECT count(*) FROM dead_letters'), 0, 'no dead letter';
    is scalar(my @mails = $s->mails), $n, 'each has its mail';
    my $shown =
        $s->ctl_json(qw(events show), $s->psql('SELECT event_id FROM outbox ORDER BY id LIMIT 1'));
    is $shown->{type}, 'UserCreated', 'weirctl shows one';
    my ($status, $out) = $s->weirctl(qw(events tail --json));
    is $status, 0, 'and all of them';
    is scalar(my @lines = $out =~ /^\{.*"type": ?"UserCreated".*\}$/mg), $n, 'a line for each';
    is $s->stop_backend('relay worker'), 0, 'stops';
};

subtest 'answers of the gateway without sense are no success' => sub {
    my @answers = (
        answer('200 OK', [], '[]'),
        answer('200 OK', [], '{"id":"ch_1","status":"perhaps","amount":100,"currency":"CHF"}'),
        answer('201 Created', [], '{"x":"' . 'x' x 70_000 . '"}'),
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        answer(
            '201 Created', [], '{"id":"ch_1","status":"succeeded","amount":100,"currency":"CHF"}'),
    );
    start_upstream(sub { my (undef, undef, $n) = @_; $answers[$n - 1] });
    my ($s, $p) = stack(groups => 'payments', log_level => 'debug');
    $s->{conf}{payments_url} = 'http://' . upstream() . '/';
    my $order = $s->psql("INSERT INTO orders (id, user_id, status, currency, total)"
            . " VALUES (uuid7(), uuid7(), 'PENDING', 'CHF', 100) RETURNING id");
    my $payment = $s->psql("INSERT INTO payments (id, order_id, user_id, amount, currency)"
            . " VALUES (uuid7(), '$order', uuid7(), 100, 'CHF') RETURNING id");
    put($s, 'PaymentRequested', qq({"paymentId":"$payment"}));
    $s->start_backend('relay worker');
    wait_for(
        'the charge' => sub { $s->psql("SELECT status FROM orders WHERE id = '$order'") eq 'PAID' }
    );
    is asked('/charges'), 5,
        'what says nothing of the charge is no answer: it is asked again, until one does';
    my @errors = map { $_->{error} }
        grep { $_->{msg} =~ /will be retried/ } $s->log_lines('relay worker');
    like $errors[0], qr/^gateway: the answer is not a charge: \[\]/, 'no object';
    like $errors[1], qr/^gateway: the answer is not a charge: .*perhaps/, 'an unknown status';
    like $errors[2], qr/^gateway: \S/, 'too long';
    like $errors[3], qr/^gateway: \S/, 'broken off';
    is scalar @errors, 4, 'nothing else';
    is join('; ', $p->endless), '', 'no order is PENDING for ever';
    is $s->stop_backend('relay worker'), 0, 'stops';
};

done_testing;
