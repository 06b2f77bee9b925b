# Orders over HTTP: what is stored and which events it makes, each order's own failure, and crashes.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../../lib";

use List::Util qw(sum);
use Test::More;
use Weir::Api qw(
    at_once is_problem json_of make_users order_of product raw_request start_api status_of
    $TIME $UUID
);
use Weir::Stack qw(free_port wait_for);

my $s = Weir::Stack->new(redis => 0);
start_api($s);

my ($ann, @others) = make_users($s, 20);
my $nobody = '01980000-0000-7000-8000-999999999999';

# [product, quantity], …
sub items { return order_of($ann, @_)->{items} }
sub order {
    my ($user, @items) = @_;
    return $s->post('/orders', order_of($user, @items));
}

sub counts {
    return $s->psql("SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM order_items),"
            . " (SELECT count(*) FROM outbox WHERE type = 'OrderCreated')");
}

# Orders whose total is not the sum of their items, that have no items, no event or more than one.
sub broken_orders {
    return $s->psql(<<'SQL');
SELECT count(*) FROM orders o
LEFT JOIN (SELECT order_id, sum(quantity * unit_price) AS total, sum(quantity) AS pieces
           FROM order_items GROUP BY 1) i ON i.order_id = o.id
LEFT JOIN (SELECT aggregate, count(*) AS n, min(data->>'total') AS total,
                  min(data->>'pieces') AS pieces
           FROM outbox WHERE type = 'OrderCreated' GROUP BY 1) e ON e.aggregate = 'order:' || o.id
WHERE o.total IS DISTINCT FROM i.total OR e.n IS DISTINCT FROM 1
   OR e.total IS DISTINCT FROM o.total::text OR e.pieces IS DISTINCT FROM i.pieces::text
SQL
}

subtest 'an order is answered, stored, and an event' => sub {
    my $r = $s->post(
        '/orders', { userId => uc $ann, items => items([1, 2], [2, 1]), total => 1, more => {} },
        { traceparent => '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' });
    is $r->{status}, 201, 'placed; ids in capitals and unknown members do no harm';
    like $r->{headers}{location}, qr{^/orders/$UUID$}, 'Location';
    is $r->{headers}{'cache-control'}, 'no-store', 'not cached';
    my ($id) = $r->{headers}{location} =~ m{([^/]+)$};
    my $created = $r->{json}{createdAt};
    like $created, qr/^$TIME$/, 'createdAt';
    my %want = (id => $id, userId => $ann, status => 'PLACED', currency => 'EUR',
        total => 2 * 129900 + 4950, createdAt => $created);
    my @lines = ([product(1), 2, 129900], [product(2), 1, 4950]);
    my %shown = (
        1 => sub { { productId => $_[0], quantity => $_[1], price => $_[2] } },
        2 => sub { { productId => $_[0], quantity => $_[1], price => $_[2], unitPrice => $_[2] } },
        3 => sub { { productId => $_[0], quantity => $_[1], unitPrice => $_[2] } },
    );
    is_deeply $r->{json}, { %want, items => [map { $shown{2}->(@$_) } @lines] },
        'the order, as version 2';
    is $r->{headers}{'weir-deprecated-fields'}, 'items.price', 'deprecated fields are named';

    for my $version (1 .. 3) {
        my $read = $s->get("/orders/$id", { 'API-Version' => $version });
        is_deeply $read->{json}, { %want, items => [map { $shown{$version}->(@$_) } @lines] },
            "read in version $version";
        is $read->{headers}{'weir-deprecated-fields'}, $version == 2 ? 'items.price' : undef,
            'deprecated fields';
        is $read->{headers}{vary}, 'API-Version', 'varies';
        is $read->{headers}{'cache-control'}, 'no-store', 'not cached';
    }
    is_deeply $s->get('/orders/' . uc $id)->{json}, $r->{json}, 'an id in capitals';

    my $event = JSON::PP->new->utf8->decode(
        $s->psql("SELECT data FROM outbox WHERE aggregate = 'order:$id'"));
    is_deeply $event, {
        orderId => $id, userId => $ann, currency => 'EUR', total => $want{total}, pieces => 3,
        createdAt => $created, status => 'PLACED',
        items => [map { $shown{3}->(@$_) } @lines] },
        'the event has all that there is to know';
    like $s->psql("SELECT type || traceparent FROM outbox WHERE aggregate = 'order:$id'"
            . " AND partition = outbox_partition(aggregate)"),
        qr/^OrderCreated00-4bf92f3577b34da6a3ce929d0e0e4736-/, 'and its trace';
    is broken_orders(), 0, 'sums agree';

    $s->psql("UPDATE products SET price = 1 WHERE id = '" . product(2) . "'");
    is $s->get("/orders/$id")->{json}{items}[1]{unitPrice}, 4950,
        'a price that changes later is not that of the order';
    is order($ann, [2, 3])->{json}{total}, 3, 'but that of the next';
    $s->psql("UPDATE products SET price = 4950 WHERE id = '" . product(2) . "'");

    is_problem($s->get("/orders/$_"), 404, "order $_") for $nobody, 'x', '%00', 'a' x 4000;
    is_problem($s->get('/orders'), 405, 'there is no list');
};

subtest 'every wrong field is named' => sub {
    my $before = counts();
    my $ok = items([1, 1]);
    my $quantity = 'must be an integer from 1 to 1000';
    my @wrong = (
        [{ items => $ok }, '/userId', 'is required'],
        [{ userId => 7, items => $ok }, '/userId', 'must be a string'],
        [{ userId => 'ann', items => $ok }, '/userId', 'must be a UUID'],
        [{ userId => $nobody, items => $ok }, '/userId', 'is no user'],
        [{ userId => $ann }, '/items', 'is required'],
        [{ userId => $ann, items => {} }, '/items', 'must be an array'],
        [{ userId => $ann, items => undef }, '/items', 'must be an array'],
        [{ userId => $ann, items => [] }, '/items', 'must have 1 to 100 items'],
        [{ userId => $ann, items => [(1) x 101] }, '/items', 'must have 1 to 100 items'],
        [{ userId => $ann, items => [@$ok, 7] }, '/items/1', 'must be an object'],
        [{ userId => $ann, items => [{ quantity => 1 }] }, '/items/0/productId', 'is required'],
        [
            { userId => $ann, items => [{ productId => 'x', quantity => 1 }] },
            '/items/0/productId', 'must be a UUID'],
        [
            { userId => $ann, items => [{ productId => product(1) }] }, '/items/0/quantity',
            'is required'],
        map({ [{ userId => $ann, items => [@$ok, { productId => product(2), quantity => $_ }] },
                '/items/1/quantity', $quantity] } 0,
            -1, 1001, 1.5, '1', undef,
            [],
            9007199254740993),
        [
            { userId => $ann, items => items([1, 1], [2, 1], [1, 1]) }, '/items/2/productId',
            'is the product of an earlier item already'],
        [
            { userId => $ann, items => items([1, 1], [99, 1]) }, '/items/1/productId',
            'is no product'],
        [
            { userId => $ann, items => items([1, 1], [2, 1], [7, 1]) }, '/items/2/productId',
            'must have a price in the currency of the first item\'s; an order has one currency'],
    );
    for (@wrong) {
        my ($body, $pointer, $detail) = @$_;
        is_deeply is_problem($s->post('/orders', $body), 422, $pointer)->{errors},
            [{ pointer => $pointer, detail => $detail }], $detail;
    }
    is_deeply [map { $_->{pointer} }
            @{ is_problem($s->post('/orders', { items => [{}, 1] }), 422, 'several')->{errors} }],
        ['/userId', '/items/0/productId', '/items/0/quantity', '/items/1'], 'all are named';
    is
        scalar
        @{ is_problem($s->post('/orders', { items => [(1) x 100] }), 422, 'a hundred')->{errors} },
        16, 'no more than sixteen';
    is_problem($s->post('/orders', $_), 400, 'no object')
        for '', '{', '[]', '{"userId":1,"userId":2}',
        '{"items":[{"quantity":99999999999999999999}]}';
    is_problem($s->post('/orders', {}, { 'Content-Type' => 'text/plain' }), 415, 'another type');
    is_problem($s->post('/orders', {}, { 'API-Version' => '0' }), 400, 'a version that is none');
    is_problem($s->post('/orders', '{"x":"' . 'x' x 70000 . '"}'), 413, 'too large');
    is counts(), $before, 'nothing was written';

    $s->psql("INSERT INTO products SELECT ('01a00000-0000-7000-8000-' || lpad(g::text, 12,"
            . " '0'))::uuid, 'Max ' || g, 1000000000, 'EUR'"
            . ' FROM generate_series(1, 100) g');
    my $r = $s->post(
        '/orders',
        {   userId => $ann,
            items => [
                map { {
                    productId => sprintf('01a00000-0000-7000-8000-%012d', $_), quantity => 1000 } }
                    1 .. 100] });
    is $r->{status}, 201, 'the largest order there can be';
    is $r->{json}{total}, 1e14, 'its total';
    is_deeply $s->get($r->{headers}{location})->{json}, $r->{json}, 'is read as it was written';
};

subtest 'a batch: each order has its own outcome' => sub {
    my $id = sub { sprintf '01990000-0000-7000-8000-%012d', $_[0] };
    my $p = sub { '{' . join(',', map { product($_) } @_) . '}' };
    my @orders = (
        [$ann, $p->(1, 2), '{1,1}', 'created|'], [$nobody, $p->(1), '{1}', 'unknown_user|'],
        [$ann, $p->(1, 99, 98), '{1,1,0}', 'unknown_product|1'],
        [$ann, $p->(3), '{1001}', 'bad_quantity|0'],
        [$ann, $p->(3, 1), '{1,0}', 'bad_quantity|1'],
        [$ann, $p->(1, 7), '{1,1}', 'other_currency|1'],
        [$ann, $p->(1, 1), '{1,1}', 'repeated_product|1'], [$ann, '{}', '{}', 'no_items|'],
        [$others[0], $p->(7, 8), '{2,1000}', 'created|'],
        [$ann, $p->(3), '{2147483647}', 'bad_quantity|0'],
        [$ann, $p->(3), '{NULL}', 'bad_quantity|0'], [$ann, $p->(1), '{1}', 'created|'],
    );
    my $n = @orders;
    my $array = sub { 'ARRAY[' . join(',', map { "'$_'" } @_) . ']' };
    my $ids = $array->(map { $id->($_) } 1 .. $n);
    my ($users, $products, $quantities) = map {
        my $column = $_;
        $array->(map { $_->[$column] } @orders);
    } 0 .. 2;
    my $outcomes = $s->psql(<<"SQL");
SELECT outcome, item
FROM orders_create($ids\::uuid[], $users\::uuid[], $products, $quantities,
    ARRAY(SELECT gen_random_uuid() FROM generate_series(1, $n)),
    array_fill(NULL::text, ARRAY[$n]))
ORDER BY place
SQL
    is $outcomes, join("\n", map { $_->[3] } @orders), 'no order fails for another one';
    is $s->psql("SELECT id, currency, total FROM orders WHERE id::text LIKE '0199%' ORDER BY id"),
        join("\n", $id->(1) . '|EUR|134850', $id->(9) . '|USD|2039800', $id->(12) . '|EUR|129900'),
        'what is written';
    is $s->psql("SELECT string_agg(aggregate, ' ' ORDER BY id) FROM outbox"
            . " WHERE aggregate LIKE 'order:0199%'"),
        join(' ', map { 'order:' . $id->($_) } 1, 9, 12),
        'and events, in the order of the requests';
};

my $port2 = free_port();
start_api($s, name => 'api2', port => $port2);

subtest 'many orders through two apis that lock the same rows are all placed' => sub {
    my ($orders) = split /\|/, counts();
    my (@requests, @want);
    for my $n (1 .. 400) {
        my @items = map { [$_, 1 + $n % 9] } $n % 2 ? (1 .. 6) : reverse 1 .. 6;
        my $bad = $n % 5 == 0;
        push @items, [99, 1] if $bad;
        push @want, $bad ? 422 : 201;
        push @requests,
            [
            $n % 3 ? $s->{port} : $port2,
            raw_request(
                'POST', '/orders', { userId => $others[$n % @others], items => items(@items) })];
    }
    my @answers = at_once($s, @requests);
    is_deeply [map { status_of($_) } @answers], \@want, 'each has its own answer';
    my @wrong =
        grep { $want[$_] == 201 && json_of($answers[$_])->{items}[0]{quantity} != 1 + ($_ + 1) % 9 }
        0 .. $#answers;
    is "@wrong", '', 'and not that of another';
    is +(split /\|/, counts())[0], $orders + 320, 'all are there';
    is broken_orders(), 0, 'whole, with one event each';
};

subtest 'an order of a user who was deleted meanwhile is refused' => sub {
    my ($gone) = make_users($s, 1);
    my $session = $s->session("BEGIN; DELETE FROM users WHERE id = '$gone';");
    my @sockets = map {
        $s->send_raw(raw_request('POST', '/orders', { userId => $_, items => items([1, 1]) }))
    } $gone;
    $s->wait_locked(q{application_name IN ('weir-orders', 'weir-parts')});
    print $session "COMMIT;\n";
    close $session;
    my $answer = $s->read_raw($sockets[0]);
    is status_of($answer), 422, 'gets no order any more';
    is_deeply json_of($answer)->{errors}, [{ pointer => '/userId', detail => 'is no user' }],
        'and the reason';
};

subtest 'orders are whole when PostgreSQL or the api dies' => sub {
    my $path = order($ann, [1, 1])->{headers}{location};
    for my $how ('fast', 'immediate') {
        $s->stop_postgres($how);
        for (order($ann, [1, 1]), $s->get($path)) {
            is_problem($_, 503, "while it is stopped ($how)");
            like $_->{headers}{'retry-after'}, qr/^\d+$/, 'Retry-After';
        }
        $s->start_postgres;
        wait_for('orders to work again' => sub { order($ann, [1, 1])->{status} == 201 });
        wait_for('reads to work again' => sub { $s->get($path)->{status} == 200 });
    }

    # Killed at a moment of its own choice, with orders on their way: what was answered is there.
    for my $round (1 .. 3) {
        my @sockets = map {
            $s->send_raw(
                raw_request('POST', '/orders', { userId => $ann, items => items([3, $round]) }))
        } 1 .. 60;
        my $first = $s->read_raw($sockets[0]);
        $s->kill_backend('api');
        my @answers = ($first, map { $s->read_raw($_) } @sockets[1 .. $#sockets]);
        my @ids = map { json_of($_)->{id} } grep { status_of($_) eq '201' && json_of($_) } @answers;
        cmp_ok scalar @ids, '>', 0, 'some were answered (' . @ids . ')';
        my $list = join ',', map { "'$_'" } @ids;
        is $s->psql("SELECT count(*) FROM orders WHERE id IN ($list)"), scalar @ids,
            'and are there';
        start_api($s);
    }
    wait_for('no session to be left behind' => sub {
        $s->psql_as('postgres', 'postgres',
                  "SELECT count(*) FROM pg_stat_activity WHERE state = 'active'"
                . " AND application_name IN ('weir-orders', 'weir-parts')") == 0;
    });
    is broken_orders(), 0, 'no order is half there';
};

subtest 'SIGTERM lets orders under way finish' => sub {
    my $lock = $s->session('BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE;');
    my @sockets = map {
        $s->send_raw(raw_request('POST', '/orders', { userId => $ann, items => items([4, 1]) }))
    } 1 .. 5;
    $s->wait_locked(q{application_name IN ('weir-orders', 'weir-parts')});
    $s->signal('api', 'TERM');
    wait_for('the api to listen no more' => sub { !$s->send_raw('') });
    print $lock "COMMIT;\n";
    close $lock;
    is_deeply [map { status_of($s->read_raw($_)) } @sockets], [(201) x 5], 'all are answered';
    is $s->stop_backend('api'), 0, 'exit 0';
    is $s->stop_backend('api2'), 0, 'the second, too';
    is broken_orders(), 0, 'all is whole';
};

done_testing;
