# DELETE /users/{id}: each group does its part, once, and no later event brings the user back.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../../lib";

use Test::More;
use Weir::Payments;
use Weir::Stack qw(wait_for);

my $s =
    Weir::Stack->new(conf => { retry_base => '20ms', retry_max => '300ms', retry_attempts => 8 });
my $p = Weir::Payments->new($s);
$p->start;
$s->start_smtp;
$s->start_backend('api');
$s->start_backend('relay');

my $n = 0;

# A user who has signed up, in any state.
sub signup {
    my $r =
        $s->post('/signup', { email => 'user' . ++$n . '@example.org', displayName => "User $n" });
    die "signup: $r->{status}\n" if $r->{status} != 201;
    return $r->{json}{id};
}

sub active {
    my $user = signup();
    wait_for(
        'the user to be active' => sub { $s->get("/users/$user")->{json}{status} eq 'ACTIVE' });
    return $user;
}

sub delete_user { my ($user) = @_; return $s->request('DELETE', "/users/$user") }

my $STEPS = 'access_revoked_at, flags_deleted_at, subscription_cancelled_at, anonymised_at';

sub wait_deleted {
    my ($user) = @_;
    wait_for('all parts of the deletion' => sub {
        $s->psql("SELECT num_nulls($STEPS) FROM deletions WHERE user_id = '$user'") eq '0';
    });
}

# Where the database still knows something personal of the user with that number.
sub traces {
    my ($number) = @_;
    my @found;
    for my $table (split /\n/,
        $s->psql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
    {
        my $rows = $s->psql("SELECT count(*) FROM $table t WHERE t::text ~"
                . " '[^0-9a-z]user$number\@example|User $number\[^0-9]'");
        push @found, "$table: $rows" if $rows;
    }
    return join ', ', @found;
}

subtest 'a deletion is accepted once, and its effects are asked for' => sub {
    my $r = delete_user('00000000-0000-7000-8000-000000000000');
    is($r->{status}, 404, 'no such user');
    is($r->{headers}{'content-type'}, 'application/problem+json', 'a problem');
    is(delete_user('x')->{status}, 404, 'no UUID');
    is($s->request('DELETE', '/users/x', { headers => { 'API-Version' => 7 } })->{status}, 400,
        'no such version');

    my $user = signup();
    $r = delete_user($user);
    is($r->{status}, 202, 'accepted');
    is_deeply([@{ $r->{json} }{qw(id status)}], [$user, 'DELETING'], 'the answer');
    like($r->{json}{requestedAt}, qr/^\d{4}-\d\d-\d\dT[\d:.]+Z$/, 'when');
    is($s->get("/users/$user")->{json}{status}, 'DELETING', 'GET shows it at once');
    my $again = delete_user($user);
    is($again->{status}, 202, 'asked again');
    is($again->{content}, $r->{content}, 'the same answer');
    is($s->psql("SELECT type || ' ' || aggregate FROM outbox WHERE type = 'UserDeleted'"),
        "UserDeleted user:$user", 'one event');
    is($s->psql("SELECT string_agg(k, ' ' ORDER BY k) FROM outbox, jsonb_object_keys(data) k"
                . " WHERE type = 'UserDeleted'"),
        'timestamp userId user_id',
        'its members');
    is($s->psql("SELECT data->>'userId', data->>'user_id' FROM outbox WHERE type = 'UserDeleted'"),
        "$user|$user", 'the user');
    is($p->post($p->body($user), 'leaving')->{status}, 422, 'no checkout any more');
    is($s->post('/orders', $p->body($user))->{status}, 422, 'no order either');
};

subtest 'each group removes its part, once' => sub {
    $s->start_backend('worker');
    wait_deleted($s->psql('SELECT user_id FROM deletions'));
    is($s->psql("SELECT count(*) FROM users WHERE status IN ('PENDING', 'ACTIVE')"), 0,
        'the steps of a signup do not bring the user back');
    $p->wait_handled('email');
    is(scalar $s->mails, 0, 'no welcome to a user who has left before it was sent');
    is(traces(1), '', 'nothing personal is left');

    my $user = active();
    my $other = active();
    is($s->psql("SELECT count(*) FROM billing_profiles WHERE user_id = '$user'"
                . " AND cancelled_at IS NULL"),
        1,
        'a subscription');
    my $order = $p->checkout($user);
    $p->wait_status($order, 'PAID SUCCEEDED');
    wait_for('the mails' => sub { $s->mails == 3 });
    isnt(traces(2), '', 'it is known');
    is(delete_user($user)->{status}, 202, 'deleted');
    wait_deleted($user);
    my $r = $s->get("/users/$user");
    is($r->{status}, 410, 'gone for the API');
    is($r->{headers}{'content-type'}, 'application/problem+json', 'a problem');
    is(delete_user($user)->{status}, 410, 'it cannot be deleted again');
    is($p->post($p->body($user), 'left')->{status}, 422, 'no checkout');
    is(traces(2), '', 'nothing personal is left');
    is($s->psql("SELECT email || '|' || (cancelled_at IS NOT NULL) FROM billing_profiles"
                . " WHERE user_id = '$user'"),
        '|true',
        'the subscription is cancelled');
    is($s->psql("SELECT count(*) FROM feature_flags WHERE user_id = '$user'"), 0, 'no flags');
    is($s->psql("SELECT status FROM orders WHERE id = '$order'"), 'PAID', 'the order stays');
    is($s->psql("SELECT count(*) FROM deletions WHERE user_id = '$user'"
                . " AND requested_at <= least($STEPS)"),
        1,
        'so does the record, with its times');
    is($s->psql("SELECT count(*) FROM outbox WHERE aggregate = 'user:$user'"), 2,
        'and what happened');
    is($s->get("/users/$other")->{json}{status}, 'ACTIVE', 'others stay');
    isnt(traces(3), '', 'with all that is theirs');
    is($s->psql("SELECT count(*) FROM feature_flags WHERE user_id = '$other'"), 2,
        'their flags, too');
    $r = $s->post('/signup', { email => 'user2@example.org', displayName => 'User 2' });
    is($r->{status}, 201, 'the address is free again');
};

subtest 'later events of a deleted user have no effect' => sub {
    # The order is made and not charged yet; then the user leaves.
    my $user = active();
    $s->stop_backend('worker');
    my $order = $p->checkout($user);
    is(delete_user($user)->{status}, 202, 'leaves before the charge');
    my $charges = @{ $p->ledger->{charges} };
    $s->start_backend('worker');
    $p->wait_status($order, 'FAILED FAILED');
    is($s->psql("SELECT reason FROM payments WHERE order_id = '$order'"), 'the user has left',
        'the reason');
    is(scalar @{ $p->ledger->{charges} }, $charges, 'nothing was charged');
    wait_deleted($user);

    # The charge was made, its answer lost; then the user leaves: what was bought is bought.
    $user = active();
    $p->switch(hold => 1);
    $s->stop_backend('worker');
    $order = $p->checkout($user);
    my $payment = $p->payment_of($order);
    $p->charge($payment);
    is(delete_user($user)->{status}, 202, 'leaves between charge and answer');
    my $mails = $s->mails;
    $s->start_backend('worker');
    $p->wait_status($order, 'PAID SUCCEEDED');
    $p->wait_handled(qw(payments email));
    is(scalar $s->mails, $mails, 'but no receipt is sent any more');
    is($p->charge_of($order)->{requests}, 0, 'and nothing was charged again');
    $p->switch(hold => 0);
    wait_deleted($user);
    is($s->psql('SELECT count(*) FROM dead_letters'), 0, 'no dead letters');
};

subtest 'a mail server that is away delays the deletion' => sub {
    $s->stop_smtp;
    my $user = signup();
    my $number = $n;
    is(delete_user($user)->{status}, 202, 'leaves while the welcome waits');
    wait_deleted($user);
    my $mails = $s->mails;
    $s->start_smtp;
    $p->wait_handled('email');
    is(scalar(grep { /user$number\@/ } $s->mails), 0, 'it is not sent');
    is(traces($number), '', 'nothing personal is left');
};

subtest 'a signup that was a dead letter does not come back' => sub {
    $s->psql('ALTER TABLE billing_profiles ADD CONSTRAINT broken CHECK (false) NOT VALID');
    my $user = signup();
    my $number = $n;
    wait_for('the dead letter' =>
            sub { $s->psql("SELECT count(*) FROM dead_letters WHERE group_name = 'billing'") == 1 }
    );
    isnt(traces($number), '', 'with what is personal');
    is(delete_user($user)->{status}, 202, 'leaves');
    wait_deleted($user);
    is(traces($number), '', 'it goes out of the dead letter, too');
    $s->psql('ALTER TABLE billing_profiles DROP CONSTRAINT broken');
    # What a replay of it would do.
    $s->psql("SELECT billing_apply(array_agg(o)) FROM outbox o WHERE aggregate = 'user:$user'"
            . " AND type = 'UserCreated'");
    $s->psql("SELECT flags_apply(array_agg(o)) FROM outbox o WHERE aggregate = 'user:$user'"
            . " AND type = 'UserCreated'");
    is($s->psql("SELECT count(*) FROM billing_profiles WHERE user_id = '$user'"), 0,
        'replayed later, it makes no subscription');
    is($s->psql("SELECT count(*) FROM feature_flags WHERE user_id = '$user'"), 0, 'and no flags');
    $s->psql('DELETE FROM dead_letters');
};

subtest 'many deletions at once end, also when workers are killed' => sub {
    my @users = map { active() } 1 .. 10;
    my @sockets =
        map { $s->send_raw("DELETE /users/$_ HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n") }
        @users, @users;
    $s->kill_backend('worker');
    my @answers = map { $s->read_raw($_) =~ m{^HTTP/1.1 (\d+) } ? $1 : 0 } @sockets;
    # The worker may have been done with one before its second request came.
    like(join(' ', sort @answers[$_, $_ + 10]), qr/^202 (202|410)$/, 'accepted') for 0 .. 9;
    $s->start_backend('worker');
    wait_for('a part of it' =>
            sub { $s->psql("SELECT count(*) FROM deletions WHERE anonymised_at IS NOT NULL") >= 5 }
    );
    $s->kill_backend('worker');
    $s->start_backend('worker');
    wait_deleted($_) for @users;
    is($s->psql("SELECT count(*), count(DISTINCT aggregate) FROM outbox"
                . " WHERE type = 'UserDeleted'"),
        join('|', ($s->psql('SELECT count(*) FROM deletions')) x 2),
        'one event each');
    is(scalar(grep { $s->get("/users/$_")->{status} == 410 } @users), 10, 'all are gone');
};

$p->wait_delivered;
$p->wait_handled;
is($p->complaints, '', 'ledger and database say the same');
is($s->stop_backend($_), 0, "$_ stops") for qw(worker relay api);

done_testing;
