# The gateway's list of charges against the payments: after a standby was promoted that lacks
# payments whose charges were made, and for everything else that can differ.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../../lib";

use JSON::PP ();
use Test::More;
use Weir::Payments;
use Weir::Stack qw(wait_for);
use Weir::Standby;

my %CONF = (retry_base => '20ms', retry_max => '300ms', groups => 'payments', retry_attempts => 20);
my $ALL = '2100-01-01T00:00:00Z'; # what is younger than five minutes, too

sub stack { return Weir::Payments->with_stack(%CONF, @_) }

# Exit status and the differences, by charge.
sub reconcile {
    my ($s, @arguments) = @_;
    my ($status, $out, $err) =
        $s->weirctl('payments', 'reconcile', '--until', $ALL, '--json', @arguments);
    my $rows = eval { JSON::PP->new->utf8->decode($out) } or diag $err;
    return ($status, { map { $_->{charge} // $_->{key} => $_ } @{ $rows // [] } }, $err);
}

# The differences as text: each with the event that mends it.
sub words {
    my ($found) = @_;
    my @words = map { "$_->{difference}, " . ($_->{mend} || 'by hand') } values %$found;
    return join '; ', sort @words;
}

subtest 'payments that a promoted standby lacks are found' => sub {
    my ($s, $p) = stack();
    my $standby = Weir::Standby->new($s, 'standby');
    $p->switch(hold => 1); # no message tells of the charges
    $s->start_backend('relay worker');
    my @known = map { $p->checkout } 1 .. 5;
    $p->wait_status($_, 'PAID SUCCEEDED') for @known;
    $p->wait_handled;
    $standby->wait_caught_up;
    $standby->cut_off;
    my $user = $s->psql('SELECT id FROM users LIMIT 1');
    my @lost = map { $p->checkout($user) } 1 .. 3;
    $p->wait_status($_, 'PAID SUCCEEDED') for @lost;
    $s->stop_backend('relay worker');
    $s->stop_backend('api');
    $s->kill_postgres;
    $standby->promote;
    is $s->psql('SELECT count(*) FROM payments'), 5, 'the standby lacks three payments';

    my ($status, $found, $err) = reconcile($s);
    is $status, 1, 'weirctl payments reconcile: an exit code for it';
    is words($found), 'no payment, StrayChargeReported; ' x 2 . 'no payment, StrayChargeReported',
        'three charges have no payment';
    like $err, qr/8 charges from .*, 3 differences/, 'of eight';
    is $s->psql("SELECT count(*) FROM outbox WHERE type = 'StrayChargeReported'"), 0,
        'nothing was done';
    is +(reconcile($s, '--since', $ALL))[0], 0, 'of another time there is none';

    ($status, $found) = reconcile($s, '--mend');
    is $status, 0, '--mend';
    is join(' ', map { $_->{mended} } values %$found), '1 1 1', 'says so';
    reconcile($s, '--mend'); # once more before anything was done: no harm
    is +($s->weirctl('relay', 'rebase'))[0], 0, 'relay rebase';
    $s->start_backend('api');
    $s->start_backend('relay worker');
    wait_for('the refunds' => sub {
        3 == grep { $_->{status} eq 'refunded' } @{ $p->ledger->{charges} };
    });
    $p->switch(hold => 0);      # and now the messages come
    $p->wait_delivered;
    $p->wait_handled;
    is $p->complaints, '', 'ledger and database say the same';
    is scalar(grep { $_->{status} eq 'succeeded' } @{ $p->ledger->{charges} }), 5,
        'what is paid stays paid';
    ($status, $found) = reconcile($s);
    is "$status " . words($found), '0 ', 'nothing is left';
    $s->stop_backend('relay worker');
    $s->stop_backend('api');
};

subtest 'every difference is named, with what mends it' => sub {
    my ($s, $p) = stack();
    $p->switch(hold => 1);
    $s->start_backend('relay worker');
    my %order = map { $_ => $p->checkout } qw(agrees open failed chargeback missing amount);
    $p->wait_status($_, 'PAID SUCCEEDED') for values %order;
    $p->wait_handled;
    $s->stop_backend('relay worker');
    my %charge = map { $_ => $p->charge_of($order{$_}) } keys %order;
    # As if the database had lost, or got, other states than the gateway; the guard is not asked.
    my $set = sub {
        $s->psql("BEGIN; ALTER TABLE payments DISABLE TRIGGER payments_guard; UPDATE payments"
                . " SET $_[1] WHERE id = '$charge{$_[0]}{idempotency_key}';"
                . ' ALTER TABLE payments ENABLE TRIGGER payments_guard; COMMIT');
    };
    $set->(open => "status = 'REQUESTED', charge = NULL");
    $s->psql("UPDATE orders SET status = 'PENDING' WHERE id = '$order{open}'");
    $set->(failed => "status = 'FAILED', charge = NULL");
    $s->psql("UPDATE orders SET status = 'FAILED' WHERE id = '$order{failed}'");
    $p->ask('POST', "/admin/charges/$charge{chargeback}{id}", { status => 'refunded' });
    # Which makes its charge one without a payment
    $set->(missing => "id = gen_random_uuid(), charge = 'ch_gone'");
    $set->(amount => 'amount = 1');
    my $ghost = $p->charge('shop-17', amount => 100);
    $p->charge("shop-$_", amount => 100, status => $_)
        for qw(failed refunded);

    my ($status, $found) = reconcile($s);
    my %is = map { my $is = $found->{ $charge{$_}{id} }; ($_ => $is ? $is->{difference} : '') }
        keys %charge;
    is_deeply \%is,
        { agrees => '', open => 'other state', failed => 'other state',
        chargeback => 'other state', missing => 'no payment', amount => 'other amount' },
        'what differs';
    is $found->{ $ghost->{id} }{difference}, 'no payment', 'a charge that is not ours';
    is $found->{ch_gone}{difference}, 'no charge', 'a payment without one';
    is scalar(keys %$found), 7, 'and nothing else: charges without money need no payment';
    is $status, 1, 'exit code';
    ($status, $found) = reconcile($s, '--mend');
    is $status, 1, 'some are left to a person';
    is
        join(' ',
        map { $_->{difference} =~ tr/ /-/r . ':' . ($_->{paid} // '') =~ s/ .*//r }
            grep { !$_->{mended} } sort { $a->{difference} cmp $b->{difference} } values %$found),
        'no-charge:SUCCEEDED other-amount:SUCCEEDED other-state:SUCCEEDED',
        'those where the database says paid';
    $s->start_backend('relay worker');
    $p->wait_status($order{open}, 'PAID SUCCEEDED');
    $p->wait_status($order{failed}, 'FAILED REFUNDED');
    wait_for('the refunds' => sub {
        5 == grep { $_->{status} eq 'refunded' } @{ $p->ledger->{charges} };
    });
    $p->wait_handled;
    ($status, $found) = reconcile($s);
    is words($found), 'no charge, by hand; other amount, by hand; other state, by hand',
        'these are left';
    is $s->psql('SELECT count(*) FROM dead_letters'), 0, 'no dead letter';
    $s->stop_backend('relay worker');
    $s->stop_backend('api');
};

my ($s, $p) = stack();

subtest 'a charge that is older or younger than its payment is found' => sub {
    $s->start_backend('relay worker');
    my $order = $p->checkout;
    $p->wait_status($order, 'PAID SUCCEEDED');
    $s->psql("UPDATE payments SET created_at = now() - interval '2 hours', updated_at = now()"
            . " - interval '1 hour'");
    my ($status, undef, $err) = $s->weirctl('payments', 'reconcile');
    is $status, 0, 'the gateway is asked for it by its key';
    like $err, qr/0 charges/, 'as the list does not have it';
    $s->stop_backend('relay worker');
    $p->wait_delivered;
};

subtest 'all pages are read, and many charges without a payment are not touched' => sub {
    $p->switch(hold => 1);
    my $events = $s->psql('SELECT count(*) FROM outbox');
    $p->charge("other-$_", amount => 100)
        for 1 .. 205;
    my ($status, $found, $err) = reconcile($s, '--mend');
    is scalar(keys %$found), 205, 'all pages are read';
    like $err, qr/205 of 206 charges have no payment.*another shop.*--yes/, 'it is refused';
    is $s->psql('SELECT count(*) FROM outbox'), $events, 'and nothing was done';
    is $status, 1, 'exit code';
    ($status, $found) = reconcile($s, '--mend', '--yes');
    is "$status " . keys %$found, '0 205', 'with --yes all are mended';
    is $s->psql("SELECT count(DISTINCT aggregate) FROM outbox WHERE type = 'StrayChargeReported'"),
        205, 'each once';
};

subtest 'a worker compares from time to time, and logs differences' => sub {
    $p->charge('lost', amount => 100, created => '2020-01-01T00:00:00.000Z');
    my $to =
        $s->psql("UPDATE payments_checked SET checked_to = '2019-12-31T23:00Z', next_at = now()"
            . " RETURNING checked_to");
    $s->start_backend('worker', name => $_, conf => { payments_check => '1s' }) for qw(one two);
    my $said = sub {
        return
            grep { $_->{msg} =~ /^charges and payments differ; run: weirctl payments reconcile/ }
            map { $s->log_lines($_) } qw(one two);
    };
    wait_for('the word' => sub { $said->() });
    my ($line) = $said->();
    is "$line->{level} $line->{since} $line->{differences}", 'error 2019-12-31T22:00:00.000Z 1',
        'with the time and how many';
    wait_for(
        'the next look' =>
            sub { $s->psql("SELECT next_at FROM payments_checked WHERE checked_to > '2020-01-02'") }
    );
    my $turn = sub { $s->psql('SELECT next_at FROM payments_checked') };
    for (1 .. 2) {
        my $before = $turn->();
        wait_for('another look' => sub { $turn->() ne $before });
    }
    is scalar($said->()), 1, 'one worker has said it, once';
    is $s->psql("SELECT count(*) FROM outbox WHERE data->>'key' = 'lost'"), 0, 'nothing was mended';
    $p->switch(errors => -1);
    wait_for('a failure' => sub {
        grep { $_->{msg} =~ /could not be compared/ } map { $s->log_lines($_) } qw(one two);
    });
    $p->switch(errors => 0);
    is $s->stop_backend($_), 0, 'stops' for qw(one two);
};

subtest 'what cannot be compared is said' => sub {
    is +($s->weirctl('payments', 'reconcile', '--since', 'yesterday-ish'))[0], 2, 'no time';
    $p->switch(errors => 1, error_status => 404);
    my ($status, $out, $err) = $s->weirctl('payments', 'reconcile');
    is $status, 3, 'a gateway without a list';
    like $err, qr/gateway: status 404/, 'says so';
    $p->stop;
    is +($s->weirctl('payments', 'reconcile'))[0], 3, 'no gateway';
    my $standby = Weir::Standby->new($s, 'standby');
    local $s->{pg} = $standby->dir;
    ($status, $out, $err) = $s->weirctl('payments', 'reconcile');
    is $status, 1, 'a standby';
    like $err, qr/is a standby/, 'says so';
};

done_testing;
