# A row that an idle transaction has locked: what needs the row waits or fails, nothing else does.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Test::More;
use Weir::Api qw(at_once json_of make_users order_of product raw_request status_of);
use Weir::Events;
use Weir::Stack qw(wait_for);

my $s = Weir::Stack->new(conf => {
    groups => 'billing,flags,analytics,aggregates', retry_base => '20ms', retry_max => '100ms',
});
$s->start_backend('api');

sub order {
    my ($user, $product) = @_;
    return raw_request('POST', '/orders', order_of($user, [$product // 1, 1]));
}

sub checkout {
    my ($user, $key) = @_;
    my $request = raw_request('POST', '/checkout', order_of($user, [1, 1]));
    return $request =~ s/\r\n/\r\nIdempotency-Key: "$key"\r\n/r;
}

sub signup {
    my ($email) = @_;
    return raw_request('POST', '/signup', { email => $email, displayName => 'x' });
}

# Sends all requests before it reads an answer, and counts the answers by their status.
sub statuses {
    my %n;
    $n{ status_of($_) }++ for at_once($s, @_);
    return join ' ', map { "$_:$n{$_}" } sort keys %n;
}

# Checks that the answer says that nothing was done, why, and when to send the request again.
sub refused_honestly {
    my ($answer, $name) = @_;
    is status_of($answer), 503, "$name: 503";
    like $answer, qr/^Retry-After: \d+\r$/mi, 'says when to try again';
    like json_of($answer)->{detail}, qr/locked by another transaction; nothing was changed/,
        'and why';
}

my @users = make_users($s, 9);
my $held = shift @users;

subtest 'orders that need a locked row are answered 503, others are placed' => sub {
    my $lock = $s->session("BEGIN; SELECT FROM users WHERE id = '$held' FOR UPDATE;");
    # The first goes alone, the rest in batches: each has one that needs the row.
    my @answers = at_once($s, map { order($_) } ($held, @users, $held, @users, @users));
    my @of_held = @answers[0, 9];
    refused_honestly($_, 'an order of the locked user') for @of_held;
    my @others = @answers[1 .. 8, 10 .. 25];
    is scalar(grep { status_of($_) eq '201' } @others), 24, 'all others have their order';
    is $s->psql("SELECT count(*) FROM orders WHERE user_id = '$held'"), 0,
        'nothing was done for the locked user';
    is $s->psql('SELECT count(*) FROM orders'), 24, 'and once for the others';
    close $lock;
    is statuses(order($held)), '201:1', 'when the row is free, so is the order';

    $lock = $s->session("BEGIN; SELECT FROM users WHERE id = '$held' FOR UPDATE;");
    my $sent = $s->send_raw(order($held));
    is statuses(map { order($_) } @users), '201:8', 'others, while one waits';
    close $lock;
    is status_of($s->read_raw($sent)), 201, 'an order whose row is free in time is placed';
};

subtest 'a locked row of a product, a checkout or a deletion holds up no other' => sub {
    my $lock =
        $s->session("BEGIN; SELECT FROM products WHERE id = '" . product(2) . "' FOR UPDATE;");
    my @answers = at_once($s, map { order($users[0], $_) } (2, 1, 1, 2, 1));
    is join(' ', map { status_of($_) } @answers), '503 201 201 503 201',
        'orders of another product';
    my $put = sub {
        raw_request('PUT', '/products/' . product($_[0]),
            { name => 'P', price => 100, currency => 'EUR' });
    };
    is statuses(map { $put->($_) } (2, 3, 4, 2)), '200:2 503:2', 'changes of other products';
    close $lock;

    $lock = $s->session("BEGIN; SELECT FROM users WHERE id = '$held' FOR UPDATE;");
    my @buyers = ($held, @users[0 .. 3], $held, @users[4 .. 7]);
    is statuses(map { checkout($buyers[$_], "k$_") } 0 .. $#buyers),
        '202:8 503:2', 'checkouts with their keys';
    is statuses(map { raw_request('DELETE', "/users/$_", '') } ($held, @users[6, 7])),
        '202:2 503:1', 'deletions';
    close $lock;
};

subtest 'a locked e-mail holds up no other signup' => sub {
    my $lock = $s->session("BEGIN; INSERT INTO users (id, email, display_name)"
            . " VALUES (gen_random_uuid(), 'half\@example.org', 'x');");
    my @answers =
        at_once($s, map { signup($_) } ('half@example.org', map { "new$_\@example.org" } 1 .. 20));
    refused_honestly($answers[0], 'an e-mail that is half signed up');
    is scalar(grep { status_of($_) eq '201' } @answers[1 .. 20]), 20, 'all others are in';
    close $lock;
};

my $e = Weir::Events->new($s, groups => [qw(billing flags analytics)]);

subtest 'a locked row holds up only the events that need it' => sub {
    $s->start_backend('relay worker');
    $e->wait_handled;
    my $before = $s->psql('SELECT count(*) FROM billing_profiles');
    my $one = $s->psql("SELECT id FROM users WHERE email = 'new1\@example.org'");
    my $lock = $s->session(
        "BEGIN; SELECT FROM users WHERE status <> 'DELETED' AND id = '$one' FOR UPDATE;");
    # An event whose effects need the row.
    $s->psql("SELECT outbox_put(gen_random_uuid(), 'UserCreated', 'user:$one',"
            . " jsonb_build_object('userId', '$one', 'email', 'new1\@example.org',"
            . " 'displayName', 'x'), NULL)");
    for my $round (1 .. 3) {
        $e->create(40, "round$round");
        my $done = "users WHERE email LIKE 'round$round%' AND steps & 6 = 6";
        wait_for("the effects of round $round" =>
            sub { $s->psql("SELECT count(*) FROM $done") == 40 });
    }
    pass 'others have their effects';
    is $s->psql('SELECT count(*) FROM dead_letters'), 0, 'no dead letter';
    is $s->psql('SELECT coalesce(max(attempts), 0) FROM retries'), 0, 'no attempt is counted';
    close $lock;
    $e->wait_handled;
    pass 'and the one when its row is free';
};

subtest 'a locked partition holds up no other partition' => sub {
    $s->stop_backend('relay worker');
    $e->create(40, 'later');
    my $held_partition =
        $s->psql("SELECT partition FROM outbox WHERE position IS NULL ORDER BY id LIMIT 1");
    my $lock = $s->session('BEGIN; SELECT FROM outbox WHERE id = (SELECT min(id) FROM outbox'
            . ' WHERE position IS NULL) FOR UPDATE;');
    $s->start_backend('relay worker');
    wait_for('the other partitions' => sub {
        $s->psql("SELECT count(*) FROM outbox WHERE position IS NULL"
                . " AND partition <> $held_partition") == 0;
    });
    cmp_ok $s->psql('SELECT count(*) FROM outbox WHERE position IS NULL'), '>', 0,
        'only the partition of the locked row waits';
    close $lock;
    $lock =
        $s->session("BEGIN; SELECT FROM partitions WHERE partition = $held_partition FOR UPDATE;");
    $e->create(40, 'latest');
    wait_for('the other partitions' => sub {
        $s->psql("SELECT count(*) FROM outbox WHERE position IS NULL"
                . " AND partition <> $held_partition") == 0;
    });
    close $lock;
    $e->wait_handled;
    pass 'in the end all is handled';
};

subtest 'a locked lease holds up no other worker' => sub {
    $s->psql("INSERT INTO workers (worker, groups, expires_at)"
            . " VALUES ('gone', '{}', now() - interval '1 hour')");
    my $lock = $s->session("BEGIN; SELECT FROM workers WHERE worker = 'gone' FOR UPDATE;");
    $e->create(20, 'beat');
    $s->stop_backend('relay worker');
    $s->start_backend('relay worker');
    $e->wait_handled;
    pass 'a locked row of a worker that is gone stops no other';
    close $lock;
};

is $s->stop_backend('relay worker'), 0, 'worker stops';
is $s->stop_backend('api'), 0, 'api stops';

done_testing;
