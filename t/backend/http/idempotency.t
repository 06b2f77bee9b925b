# Idempotency-Key: a command that is sent again is not done again, whatever died in between.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use Test::More;
use Weir::Base qw(raw_request);
use Weir::Payments;
use Weir::Stack qw(wait_for free_port);

my $s = Weir::Stack->new(redis => 0);
my $p = Weir::Payments->new($s);
$s->start_backend('api');

sub signup {
    my ($name, $key, %headers) = @_;
    return $s->post(
        '/signup', qq({"email":"$name\@example.org","displayName":"$name"}),
        { defined $key ? ('Idempotency-Key' => $key) : (), %headers });
}

sub orders { return $s->psql('SELECT count(*) FROM orders') }

# Orders wait for this session, whose end lets them go on. They wait as a slow transaction does, not
# for a lock, for which there is a time-out.
$s->psql(<<'SQL');
CREATE FUNCTION be_slow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    WHILE NOT pg_try_advisory_xact_lock_shared(1) LOOP PERFORM pg_sleep(0.01); END LOOP;
    RETURN NEW;
END $$;
CREATE TRIGGER be_slow BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION be_slow();
SQL

sub hold { return $s->session('SELECT pg_advisory_lock(1);') }

sub wait_blocked {
    wait_for('a command to wait' => sub {
        $s->psql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
                . " AND application_name = 'weir-checkout'") > 0;
    });
}

sub raw_checkout {
    my ($user, $key) = @_;
    my $bytes = raw_request('POST', '/checkout', $p->text($p->body($user)));
    $bytes =~ s/\r\n/\r\nIdempotency-Key: $key\r\n/;
    return $s->send_raw($bytes);
}

subtest 'the form of the field Idempotency-Key is checked' => sub {
    my $body = $p->body($p->user);
    my $r = $p->post($body, undef);
    is($r->{status}, 400, 'checkout: missing');
    is($r->{headers}{'content-type'}, 'application/problem+json', 'a problem');
    like($r->{json}{detail}, qr/Idempotency-Key is missing/, 'named');
    for (
        ['""', qr/must not be empty/], ['', qr/must not be empty/], ['"a', qr/closing quote/],
        ['"a"b', qr/closing quote/],
        ['a b', qr/must be a string in quotes/], ['a,b', qr/in quotes/],
        ['"a\\b"', qr/before " and/], ['x' x 256, qr/at most 255/],
        ["\"a\tb\"", qr/printable ASCII/])
    {
        my $r = $p->post($body, $_->[0]);
        is($r->{status}, 400, "refused: $_->[0]");
        like($r->{json}{detail}, $_->[1], 'says why');
    }
    for ('"b"', '"a"') {
        my $r = $p->post($body, ['"a"', $_]);
        is($r->{status}, 400, "refused: a second field with $_");
        like($r->{json}{detail}, qr/given twice.*Idempotency-Key/, 'says why');
    }
    is(signup('bad', 'a b')->{status}, 400, 'optional, but not wrong: signup');
    is($s->psql('SELECT count(*) FROM idempotency_keys'), 0, 'no record of what was refused');
    is(orders(), 0, 'nothing was done');
    is($p->post($body, '"a \\"b\\" \\\\"')->{status}, 202, 'a string with escapes');
    is($p->post($body, 'k' x 255)->{status}, 202, 'a bare key of 255 characters');
    is(orders(), 2, 'each is another');
};

subtest 'callers without Authorization need keys that cannot be guessed' => sub {
    my ($mine, $theirs) = map { $p->body($p->user) } 1 .. 2;
    my $as = sub {
        my ($keys) = @_;
        $s->stop_backend('api');
        $s->start_backend('api', conf => { anonymous_keys => $keys });
    };
    my $uuid = '"01890000-1234-7abc-8def-0123456789ab"';
    my %auth = (Authorization => 'Bearer a');
    is $p->post($mine, '"1"')->{status}, 202, 'any key is taken by default';
    is scalar(grep { $_->{msg} =~ /share one scope of idempotency keys/ } $s->log_lines('api')), 1,
        'and the log says it, once';
    $as->('unguessable');
    my $n = orders();
    my $why = 'Without Authorization an Idempotency-Key must be one that nobody guesses, such as a'
        . ' random UUID: at least 16';
    for ('"1"', '"checkout"', '"order-1"', '"aaaaaaaaaaaaaaaaaaaaaaaaaaaa"', '"123456789012345"') {
        my $r = $p->post($mine, $_);
        is "$r->{status} $r->{headers}{'content-type'}", '400 application/problem+json',
            "refused: $_";
        like $r->{json}{detail}, qr/\Q$why\E/, 'says why';
        is $p->post($mine, $_, \%auth)->{status}, 202, 'with Authorization it is taken';
    }
    is orders(), $n + 5, 'nothing else was done';
    is signup('nobody', '"1"')->{status}, 400, 'also where a key is optional';
    is $p->post($mine, $_)->{status}, 202, "taken: $_"
        for $uuid, '"0123456789abcdef0123456789abcdef"', '"AbCdEfGhIjKlMnOp"';
    my $again = $p->post($mine, $uuid);
    is "$again->{status} $again->{headers}{'idempotency-replayed'}"
        . " $again->{headers}{'idempotency-scope'}", '202 true anonymous', 'again: the same answer';
    is $p->post($theirs, $uuid)->{status}, 422, 'another request under it';
    $as->('refused');
    my $r = $p->post($mine, $uuid);
    is $r->{status}, 400, 'refused: all';
    like $r->{json}{detail}, qr/with Authorization only/, 'says why';
    is $p->post($mine, $uuid, \%auth)->{status}, 202, 'but with Authorization';
    $as->('any');
};

subtest 'the same key with the same request is answered with the first answer' => sub {
    my $n = orders();
    my $body = $p->body($p->user);
    my $first = $p->post($body, '"same"');
    my $again = $p->post($body, '"same"');
    is($first->{status}, 202, 'checkout accepted');
    is($first->{headers}{'idempotency-replayed'}, undef, 'the first is no replay');
    is($again->{status}, 202, 'again');
    is($again->{content}, $first->{content}, 'the same body');
    is($again->{headers}{$_}, $first->{headers}{$_}, "the same $_")
        for qw(location content-type vary weir-deprecated-fields cache-control);
    is($again->{headers}{'idempotency-replayed'}, 'true', 'called a replay');
    is($_->{headers}{'idempotency-scope'}, 'anonymous',
        'without Authorization the answer says that keys are shared')
        for $first, $again;
    is($p->post($body, 'same')->{content}, $first->{content}, 'quotes or not: the same key');
    is(orders(), $n + 1, 'one order');

    my $created = signup('ada', '"ada"');
    $again = signup('ada', '"ada"');
    is("$created->{status} $again->{status}", '201 201', 'signup: created, and again');
    is($again->{content}, $created->{content}, 'the same body');
    is($again->{headers}{location}, $created->{headers}{location}, 'the same Location');
    is(signup('ada')->{status}, 409, 'without a key the address is taken');
    is(signup('ada', '"other"')->{status}, 409, 'under another key, too');
    my $taken = signup('ada', '"other"');
    is($taken->{status}, 409, 'which is an outcome like any other');
    is($taken->{headers}{'idempotency-replayed'}, 'true', 'that is replayed');

    my $order = $s->post('/orders', $p->text($body), { 'Idempotency-Key' => '"order"' });
    $again = $s->post('/orders', $p->text($body), { 'Idempotency-Key' => '"order"' });
    is("$order->{status} $again->{status}", '201 201', 'orders: created, and again');
    is($again->{content}, $order->{content}, 'the same body');
    my $unknown = $p->body('00000000-0000-7000-8000-000000000000');
    my @r = map { $p->post($unknown, '"unknown"') } 1 .. 2;
    is("$r[0]{status} $r[1]{status}", '422 422', 'no such user, and again');
    my @traces = map { delete $_->{json}{trace_id} } @r;
    is_deeply($r[1]{json}, $r[0]{json}, 'the same problem');
    isnt($traces[1], $traces[0], '... of another request');
};

subtest 'the same key with another request is refused' => sub {
    my $user = $p->user;
    my $n = orders();
    is($p->post($p->body($user), '"other"')->{status}, 422, 'the key of a signup');
    is($p->post($p->body($user), '"k1"')->{status}, 202, 'a new key');
    my $r = $p->post($p->body($user, 2), '"k1"');
    is($r->{status}, 422, 'another body');
    like($r->{json}{detail}, qr/"k1" was used for another request/, 'says why');
    is($p->post($p->body($user), '"k1"', { 'API-Version' => 3 })->{status}, 422, 'another version');
    is($p->post($p->body($user), '"k1"')->{status}, 202, 'the first one still is answered');
    is($p->post($p->body($user), '"k1"', { 'API-Version' => 2 })->{status}, 202,
        'also when it names the default version');
    is(orders(), $n + 1, 'one order');
};

subtest 'each caller has keys of its own' => sub {
    my $body = $p->body($p->user);
    my $n = orders();
    my @ids = map { $p->post($body, '"mine"', $_)->{json}{id} } {},
        { Authorization => 'Bearer a' }, { Authorization => 'Bearer b' },
        { Authorization => 'Bearer a' };
    is($ids[3], $ids[1], 'the same caller');
    is(orders(), $n + 3, 'three callers, three orders');
    is($s->psql("SELECT count(*) FROM idempotency_keys WHERE caller LIKE '%Bearer%'"), 0,
        'credentials are not kept');
};

subtest 'a key whose first request is still under way is refused' => sub {
    my $user = $p->user;
    my $n = orders();
    my $port = free_port();
    $s->start_backend('api', name => 'api2', conf => { listen => "127.0.0.1:$port" });
    my $second = sub { local $s->{port} = $port; return $p->post(@_) };
    wait_for('the second api' => sub {
        local $s->{port} = $port;
        $s->get('/users/00000000-0000-7000-8000-000000000000')->{status} == 404;
    });

    my $session = hold();
    my $socket = raw_checkout($user, '"slow"');
    wait_blocked();
    my $r = $p->post($p->body($user), '"slow"');
    is($r->{status}, 409, 'the same api: conflict');
    is($r->{headers}{'retry-after'}, 1, 'with Retry-After');
    like($r->{json}{detail}, qr/"slow" is still under way/, 'says why');
    is($p->post($p->body($user, 3), '"slow"')->{status}, 422, 'another body is refused first');
    $r = $second->($p->body($user), '"slow"');
    is($r->{status}, 409, 'another api: conflict');
    is($r->{headers}{'retry-after'}, 1, 'with Retry-After');

    close $session;
    like($s->read_raw($socket), qr{^HTTP/1.1 202 }, 'the first is answered');
    is($second->($p->body($user), '"slow"')->{status}, 202, 'then the other has it, too');
    is(orders(), $n + 1, 'one order');
    is($s->stop_backend('api2'), 0, 'stops');
};

subtest 'the same key many times in one batch is one command' => sub {
    my $n = orders();
    my @users = map { $p->user } 1 .. 20;
    my $session = hold();
    my $first = raw_checkout($p->user, 'first');
    wait_blocked();
    my @sockets = map { raw_checkout($users[$_], "batch-$_") } 0 .. 19;
    close $session;
    my %ids = map { ($s->read_raw($_) =~ /"id":"([^"]+)"/)[0] => 1 } $first, @sockets;
    is(scalar(keys %ids), 21, 'each has its own order');
    is(orders(), $n + 21, 'as many');
    my @again = map { $p->post($p->body($users[$_]), "batch-$_")->{json} } 0 .. 19;
    is(scalar(grep { $again[$_]{userId} eq $users[$_] && $ids{ $again[$_]{id} } } 0 .. 19), 20,
        'and gets it again');
};

subtest 'an api that dies after the commit has done the command once' => sub {
    my $user = $p->user;
    my $n = orders();
    my $session = hold();
    my $socket = raw_checkout($user, 'crash');
    wait_blocked();
    # It cannot answer any more, but PostgreSQL has the command, and commits.
    $s->freeze('api');
    close $session;
    wait_for('the commit' => sub { orders() == $n + 1 });
    is($s->kill_backend('api'), 256 + 9, 'killed between commit and answer');
    is($s->read_raw($socket), '', 'there was no answer');
    $s->start_backend('api');
    my $r = $p->post($p->body($user), 'crash');
    is($r->{status}, 202, 'asked again: answered');
    is($r->{headers}{'idempotency-replayed'}, 'true', 'as a replay');
    is($r->{json}{userId}, $user, 'with the order');
    is(orders(), $n + 1, 'which was made once');

    $session = hold();
    $socket = raw_checkout($user, 'crash2');
    wait_blocked();
    $s->kill_backend('api');
    $s->start_backend('api');
    is($p->post($p->body($user), 'crash2')->{status}, 409,
        'killed before: the session that it left is still at it');
    close $session;
    $r = wait_for('an answer' =>
            sub { my $r = $p->post($p->body($user), 'crash2'); $r->{status} != 409 && $r });
    is($r->{status}, 202, 'then it is answered');
    is(orders(), $n + 2, 'once');
};

subtest 'a database that dies with the command under way does it once' => sub {
    my $user = $p->user;
    my $n = orders();
    my $session = hold();
    my $socket = raw_checkout($user, 'lost');
    wait_blocked();
    $s->stop_postgres('immediate');
    close $session;
    like($s->read_raw($socket), qr{^HTTP/1.1 503 .*unknown}s, '503: the result is unknown');
    $s->start_postgres;
    my $r = wait_for('the api to be back' =>
            sub { my $r = $p->post($p->body($user), 'lost'); $r->{status} != 503 && $r });
    is($r->{status}, 202, 'asked again: done');
    is($r->{headers}{'idempotency-replayed'}, undef, 'for the first time');
    is(orders(), $n + 1, 'once');
};

subtest 'a key is forgotten after 24 hours' => sub {
    my $user = $p->user;
    is($p->post($p->body($user), 'old')->{status}, 202, 'a key');
    $s->psql("UPDATE idempotency_keys SET created_at = created_at - interval '23 hours 59"
            . " minutes'");
    is($p->post($p->body($user, 2), 'old')->{status}, 422, 'it is known for a day');
    $s->psql("UPDATE idempotency_keys SET created_at = created_at - interval '2 minutes'");
    my $r = $p->post($p->body($user, 2), 'old');
    is($r->{status}, 202, 'then it is a new one');
    is($r->{json}{total}, 2 * $p->price, 'for another request');
    is($p->post($p->body($user, 2), 'old')->{content}, $r->{content}, 'and is replayed');
    is($s->psql('SELECT count(*) FROM idempotency_keys'), 1, 'old ones are deleted');
};

subtest 'a record of another version, or changed by hand, harms its request only' => sub {
    my $user = $p->user;
    for ([500, '{}'], [500, '[]'], [500, 'null'], [422, '{"place": 1}']) {
        my ($status, $record) = @$_;
        my $key = 'k' . length $record;
        is($p->post($p->body($user), $key)->{status}, 202, 'a key');
        $s->psql("UPDATE idempotency_keys SET outcome = '$record'");
        is($p->post($p->body($user), $key)->{status}, $status, "its record is $record");
        $s->psql('DELETE FROM idempotency_keys');
    }
};

is(join('; ', $p->endless), '', 'no order is PENDING without an event that will end it');
is($s->stop_backend('api'), 0, 'stops gracefully');

done_testing;
