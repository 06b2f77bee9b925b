# The breaker of a consumer's dependency: failures of some events stop no others, and a dependency
# that is down costs no attempts.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use Test::More;
use Weir::Base qw(slurp spew);
use Weir::Events;
use Weir::Payments;
use Weir::Stack qw(wait_for);

sub said {
    my ($s, $msg) = @_;
    return $s->logged('relay worker', $msg);
}

# --- mail ------------------------------------------------------------------------------

# The reply that all recipients get from now on; without one, each its own again.
sub mood {
    my ($s, $reply) = @_;
    my $file = $s->dir . '/taken.mood';
    return defined $reply ? spew($file, $reply) : unlink $file;
}

# How many different addresses that begin so have their mail.
sub taken {
    my ($s, $prefix) = @_;
    my %seen = map { $_ => 1 } grep { /^$prefix\d/ } split /\n/, slurp($s->dir . '/taken');
    return scalar keys %seen;
}

sub mail_stack {
    my $s = Weir::Stack->new(conf => { groups => 'email', @_ });
    $s->start_smtp_moody;
    $s->start_backend('relay worker');
    return ($s, Weir::Events->new($s, groups => ['email']));
}

# Attempts of events whose recipient begins so.
sub attempts {
    my ($s, $prefix) = @_;
    return split /\n/,
        $s->psql("SELECT r.attempts FROM retries r JOIN outbox o USING (partition, position)"
            . " WHERE o.data->>'email' LIKE '$prefix%' AND r.group_name = 'email' ORDER BY 1");
}

my %QUICK = (retry_max => '2s', retry_attempts => 100);
my ($s, $e) = mail_stack(%QUICK, smtp_timeout => '2s');
for my $case (
    ['a few recipients that are answered 421', poison => 8], ['many of them', poison => 60],
    ['a few that the server never answers', slow => 8], ['greylisting', grey => 40])
{
    my ($name, $prefix, $n) = @$case;
    subtest "mail: $name" => sub {
        my $before = taken($s, 'good');
        $e->create($n, $prefix);
        # Greylisted mail that was taken has failed before; its row is there for a moment only.
        wait_for('the first of them to fail' =>
            sub { taken($s, $prefix) || attempts($s, $prefix) });
        for my $i (1 .. 5) {
            $e->create(2, 'good');
            wait_for("mail $i of the others" => sub { taken($s, 'good') == $before + 2 * $i });
        }
        pass 'others get their mail';
        is scalar(attempts($s, 'good')), 0, 'and wait for no other attempt';
        if ($prefix eq 'grey') {
            wait_for('the greylisted to have theirs' => sub { taken($s, 'grey') == $n });
            pass 'so do the greylisted';
        } else {
            wait_for('their failures to count' => sub {
                $e->create(1, 'good');
                return grep { $_ > 0 } attempts($s, $prefix);
            });
            pass 'what others do not share is their own attempt';
        }
        is $s->psql("SELECT count(*) FROM retries WHERE error LIKE '%$prefix%\@%'"), 0,
            'errors name no address';
    };
}

subtest 'mail: each event has the result of its own recipient' => sub {
    my ($good, $grey) = (taken($s, 'good'), taken($s, 'grey'));
    for my $i (1 .. 5) {
        $e->create(4, $_) for qw(poison slow grey refused good);
    }
    wait_for('all good mail' => sub { taken($s, 'good') == $good + 20 });
    wait_for('all greylisted mail' => sub { taken($s, 'grey') == $grey + 20 });
    wait_for('the refused to be dead letters' => sub {
        $s->psql("SELECT count(*) FROM dead_letters WHERE data->>'email' LIKE 'refused%'") == 20;
    });
    pass 'each has what its own recipient is answered';
    is $s->psql("SELECT string_agg(DISTINCT error, '; ') FROM dead_letters"
            . " WHERE data->>'email' LIKE 'refused%'"),
        'SMTP: RCPT failed: 550 (last reply: 550 5.1.1 no such user)',
        'a dead letter has the reply of the server';
};
is $s->stop_backend('relay worker'), 0, 'worker stops';

# Until more transactions have written failures down than an event has attempts.
sub wait_for_failures {
    my ($s, $attempts) = @_;
    my ($last, $changes) = ('', 0);
    wait_for(
        'failures' => sub {
            my $now = $s->psql('SELECT max(xmin::text::bigint) FROM retries');
            $changes += $now ne $last;
            $last = $now;
            return $changes > $attempts;
        },
        60);
}

sub log_count { my ($s, $what) = @_; return scalar(my @lines = said($s, $what)) }

($s, $e) = mail_stack(retry_attempts => 2);
$e->create(3, 'good');
wait_for('the first mails' => sub { taken($s, 'good') == 3 });
for my $down (
    ['the server is not there', sub { $s->stop_smtp }, sub { $s->start_smtp_moody }, 0],
    ['it says 421 to all', sub { mood($s, '421 4.3.2 shutting down') }, sub { mood($s) }, 5],
    [
        'it relays for us no more', sub { mood($s, '554 5.7.1 relay access denied') },
        sub { mood($s) }, 5],
    ['it wants us to log in', sub { mood($s, '530 authentication required') }, sub { mood($s) }, 5])
{
    my ($name, $break, $mend, $most) = @$down;
    subtest "mail: $name" => sub {
        my ($before, $opened) = (taken($s, 'good'), log_count($s, qr/its breaker opens/));
        $break->();
        $e->create(40, 'good');
        wait_for('the breaker to open' => sub { log_count($s, qr/its breaker opens/) > $opened });
        wait_for_failures($s, 2);
        cmp_ok $s->psql('SELECT sum(attempts) FROM retries'), '<=', $most,
            "no more than $most attempts were counted";
        is $s->psql('SELECT count(*) FROM dead_letters'), 0, 'none is a dead letter';
        $mend->();
        wait_for('all mail' => sub { taken($s, 'good') == $before + 40 });
        ok said($s, qr/its breaker closes/), 'the breaker has closed';
    };
}
is $s->stop_backend('relay worker'), 0, 'worker stops';

# --- payments -------------------------------------------------------------------------------

sub pay_stack {
    my $s = Weir::Stack->new(conf => { groups => 'payments', %QUICK, @_ });
    my $p = Weir::Payments->new($s);
    $s->{conf}{payments_timeout} = '2s';
    $p->start;
    $p->switch(hold => 1);
    $s->start_backend('api');
    $s->start_backend('relay worker');
    return ($s, $p);
}

# An order of two pieces, whose amount no other has.
sub dear {
    my ($p) = @_;
    my $r = $p->post($p->body($p->user, 2), '"dear-' . ++$p->{keys} . '"');
    die "checkout: $r->{status} $r->{content}\n" if $r->{status} != 202;
    return $r->{json}{id};
}

my $p;
($s, $p) = pay_stack();
for my $case (
    ['a few charges that always get a 500', { errors => -1, error_status => 500 }, 6],
    ['many of them', { errors => -1, error_status => 503 }, 30],
    ['some that are never answered', { latency => 3_600_000 }, 10])
{
    my ($name, $switch, $n) = @$case;
    subtest "payments: $name" => sub {
        $p->switch(%$switch, only_amount => 2 * $p->price);
        my @bad = map { dear($p) } 1 .. $n;
        wait_for('the first of them to fail' => sub { $s->psql('SELECT count(*) FROM retries') });
        for (1 .. 5) {
            my $order = $p->checkout;
            $p->wait_status($order, 'PAID SUCCEEDED');
        }
        pass 'others are paid';
        is $p->status($bad[0]), 'PENDING REQUESTED', 'one of them waits';
        $p->switch(errors => 0, latency => 0);
        $p->wait_status($_, 'PAID SUCCEEDED') for @bad;
        pass 'and is paid when the gateway takes it';
    };
}

subtest 'payments: a gateway that answers 500 to all opens the breaker' => sub {
    my $opened = log_count($s, qr/its breaker opens/);
    $p->switch(errors => -1, error_status => 500, only_amount => 0);
    my @orders = map { $p->checkout } 1 .. 12;
    wait_for('the breaker to open' => sub { log_count($s, qr/its breaker opens/) > $opened });
    wait_for_failures($s, 2);
    cmp_ok $s->psql('SELECT sum(attempts) FROM retries'), '<=', 5,
        'no attempts are counted but the five that opened it';
    is $s->psql('SELECT count(*) FROM dead_letters'), 0, 'none is a dead letter';
    $p->switch(errors => 0);
    $p->wait_status($_, 'PAID SUCCEEDED') for @orders;
    pass 'all are paid in the end';
    $p->switch(hold => 0);
    $p->wait_delivered;
    $p->wait_handled;
    is $p->complaints, '', 'ledger and database say the same';
};
is $s->stop_backend('relay worker'), 0, 'worker stops';

done_testing;
