# Consumers with a handler while their own database is away: each event may fail once only, and none
# does.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use Test::More;
use Weir::Events;
use Weir::Payments;
use Weir::Stack qw(wait_for);

my $N = 12;

# Orders to be paid, and users to be welcomed, for which no worker runs yet.
sub stack {
    my $s = Weir::Stack->new(conf => {
        retry_base => '20ms', retry_max => '300ms', retry_attempts => 1,
        groups => 'payments,email', @_ });
    my $p = Weir::Payments->new($s);
    $p->start;
    $s->start_smtp;
    $s->start_backend('api');
    $s->start_backend('relay');
    my @orders = map { $p->checkout } 1 .. $N;
    Weir::Events->new($s)->create($N);
    return ($s, $p, @orders);
}

sub said {
    my ($s, $msg, $group) = @_;
    return grep { $_->{msg} eq $msg && $_->{group} eq $group } $s->log_lines('worker');
}

# Longer than all attempts would take: until the groups have logged that the database is away.
sub wait_away {
    my ($s, @groups) = @_;
    wait_for("$_ to know that the database is away" =>
            sub { said($s, 'the database is unavailable, events wait for it', $_) })
        for @groups;
}

sub is_all_well {
    my ($s, $p, @orders) = @_;
    $p->wait_status($_, 'PAID SUCCEEDED') for @orders;
    $p->wait_delivered;
    $p->wait_handled(qw(payments email));
    is $p->complaints, '', 'ledger and database say the same, and no letter is dead';
    is scalar @{ $p->ledger->{charges} }, $N, 'one charge for each order';
    my %mails = %{ Weir::Events->new($s)->mail_counts };
    is scalar keys %mails, 2 * $N, 'a welcome for each user, a receipt for each order';
    is +(grep { $_ > 1 } values %mails), 0, 'each once';
    is $s->stop_backend($_), 0, "$_ stops" for qw(worker relay api);
}

subtest 'a database that crashes under the first query costs no attempt' => sub {
    my ($s, $p, @orders) = stack();
    my $lock = $s->session('BEGIN; LOCK TABLE users, payments IN ACCESS EXCLUSIVE MODE;');
    $s->start_backend('worker');
    $s->wait_locked("application_name = '$_'") for qw(weir-payments weir-email);
    $s->stop_postgres('immediate');
    close $lock;
    wait_away($s, qw(payments email));
    $s->start_postgres;
    is_all_well($s, $p, @orders);
    is scalar said($s, 'the database answers again', $_), 1, "the log of $_ tells when it is over"
        for qw(payments email);
};

subtest 'a database that stops before results are stored costs no attempt' => sub {
    my ($s, $p, @orders) = stack();
    my $lock = $s->session('BEGIN; LOCK TABLE payments IN EXCLUSIVE MODE;');
    $p->switch(hold => 1);
    $s->start_backend('worker');
    $s->wait_locked(q{application_name = 'weir-payments'});
    $s->stop_postgres;
    close $lock;
    wait_away($s, 'payments');
    $s->start_postgres;
    $p->wait_status($_, 'PAID SUCCEEDED') for @orders;
    $p->switch(hold => 0);
    is_all_well($s, $p, @orders);
};

# Sessions stay open, and every statement is refused.
subtest 'a full database costs no attempt' => sub {
    my ($s, $p, @orders) = stack();
    my %whole = map { $_ => $s->psql("SELECT pg_get_functiondef('$_'::regproc)") }
        qw(mail_recipients payments_settle);
    for my $name (keys %whole) {
        my ($head) = $whole{$name} =~ /\A(.*?)\n LANGUAGE/s;
        $s->psql("$head LANGUAGE plpgsql AS \$\$ BEGIN RAISE EXCEPTION 'no space left on device'"
                . " USING ERRCODE = '53100'; END \$\$");
    }
    $p->switch(hold => 1);
    $s->start_backend('worker');
    wait_away($s, qw(payments email));
    $s->psql($_) for values %whole;
    $p->wait_status($_, 'PAID SUCCEEDED') for @orders;
    $p->switch(hold => 0);
    is_all_well($s, $p, @orders);
};

subtest 'a refusal because of the event itself counts as an attempt' => sub {
    my ($s, $p, @orders) = stack(groups => 'payments', retry_attempts => 2);
    my ($head) =
        $s->psql("SELECT pg_get_functiondef('payments_due'::regproc)") =~ /\A(.*?)\n LANGUAGE/s;
    $s->psql("$head LANGUAGE plpgsql AS \$\$ BEGIN RAISE EXCEPTION 'wrong'; END \$\$");
    $s->start_backend('worker');
    wait_for('dead letters' => sub {
        $s->psql("SELECT count(*) FROM dead_letters WHERE error = 'wrong' AND attempts = 2") ==
            $N;
    });
    pass 'after its attempts an event is a dead letter';
    is $s->stop_backend($_), 0, "$_ stops" for qw(worker relay api);
};

done_testing;
