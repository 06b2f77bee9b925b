# Queries of relay and workers that PostgreSQL refuses: each is logged once, and all goes on when
# they are answered again.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use Test::More;
use Weir::Events;
use Weir::Stack qw(wait_for);

my $s = Weir::Stack->new(conf => { groups => 'analytics', outbox_keep => '1s' });
my $e = Weir::Events->new($s, groups => ['analytics']);
$e->count_effects;

sub rename_function { my ($from, $to) = @_; $s->psql("ALTER FUNCTION $from RENAME TO $to") }

sub said {
    my ($msg, $question) = @_;
    return grep { $_->{msg} eq $msg && $_->{question} eq $question } $s->log_lines('relay worker');
}

# Refuses the query until that is logged. Before: what makes it be asked; after: what ends
# that.
sub refuses {
    my ($question, $before, $after) = @_;
    rename_function($question, "no_$question");
    $before->();
    my ($line) = wait_for("the log to tell of $question" =>
            sub { said('database refuses a query, retrying', $question) });
    is((said('database refuses a query, retrying', $question))[0]{sqlstate}, '42883',
        "$question: the log tells why it is refused");
    rename_function("no_$question", $question);
    wait_for("$question to be answered" => sub { said('database answers again', $question) });
    $after->() if $after;
    $e->wait_handled;
    is($e->complaints, '', 'all events have their effects, once');
}

my $restart = sub {
    $s->stop_backend('relay worker') if $s->pid('relay worker');
    $s->start_backend('relay worker');
    $e->create(20);
};

refuses('relay_state', $restart);
refuses('relay_take', sub { $e->create(20) });
refuses('worker_step', sub { });
refuses('worker_open', $restart);
# A stream is behind when it has lost what a group still waits for.
$s->ctl_json(qw(groups pause analytics));
wait_for('the pause' => sub {
    grep { $_->{msg} eq 'group is paused' } $s->log_lines('relay worker');
});
$e->create(20);
wait_for('the events in their streams' =>
        sub { $s->psql('SELECT count(*) FROM outbox WHERE position IS NULL') == 0 });
# Paused until then: a worker reads what Redis lacks, and then the relay need not.
refuses('relay_read', sub { $s->redis('FLUSHALL') },
    sub { $s->ctl_json(qw(groups resume analytics)) });
refuses('worker_read', sub {
    # More than a worker keeps of one aggregate: the rest is read again.
    $s->psql("SELECT count(outbox_put(gen_random_uuid(), 'UserCreated', 'user:1',"
            . " jsonb_build_object('userId', gen_random_uuid(), 'email', 'a\@example.org'),"
            . " NULL)) FROM generate_series(1, 200)");
    $e->{users} += 200;
});
refuses('outbox_expire', sub { });

is $s->stop_backend('relay worker'), 0, 'stops';
for my $question (qw(relay_take relay_read worker_step worker_read)) {
    is scalar(
        grep {
            $_->{msg} eq 'database refuses a query, retrying' && $_->{question} eq $question
        } $s->log_lines('relay worker')),
        1,
        "$question: once";
}

# A group with a handler goes on asking other questions meanwhile, and those are answered.
{
    my $mail = Weir::Stack->new(conf => { groups => 'email' });
    my $events = Weir::Events->new($mail, groups => ['email']);
    $mail->start_smtp;
    $mail->start_backend('relay worker');
    my $refused = sub {
        my ($msg) = @_;
        grep { $_->{msg} eq $msg && ($_->{question} // '') eq 'worker_read' }
            $mail->log_lines('relay worker');
    };
    $mail->psql('ALTER FUNCTION worker_read RENAME TO no_worker_read');
    $mail->psql("SELECT count(outbox_put(gen_random_uuid(), 'UserCreated', 'user:1',"
            . " jsonb_build_object('userId', gen_random_uuid()), NULL))"
            . " FROM generate_series(1, 100)");
    wait_for('the refusal' => sub { $refused->('database refuses a query, retrying') });
    for my $n (1 .. 5) {
        $events->create(10);
        wait_for("mail $n" => sub { keys %{ $events->mail_counts } == 10 * $n });
    }
    is scalar($refused->('database answers again')), 0,
        'a question that is refused still is, whatever else is answered';
    $mail->psql('ALTER FUNCTION no_worker_read RENAME TO worker_read');
    wait_for('worker_read to be answered' => sub { $refused->('database answers again') });
    is scalar($refused->('database refuses a query, retrying')), 1,
        'and it is logged once';
    is $mail->stop_backend('relay worker'), 0, 'stops';
}

done_testing;
