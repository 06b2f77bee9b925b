# Products over HTTP: what is shown; what a PUT changes, invalidates, and refuses; its events.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../../lib";

use Test::More;
use Weir::Api qw(at_once is_problem json_of product raw_request start_api status_of $TIME);
use Weir::Stack qw(free_port wait_for);

my $s = Weir::Stack->new(redis => 0);
start_api($s);

my $MISSING = \'missing';

sub put {
    my ($id, $content, $headers) = @_;
    $content = JSON::PP->new->utf8->encode($content) if ref $content;
    return $s->request(
        'PUT', "/products/$id",
        {   content => $content,
            headers => { 'Content-Type' => 'application/json', %{ $headers // {} } } });
}

my $ids = 0;
sub new_id { return sprintf '01910000-0000-7000-8000-%012d', ++$ids }

sub events {
    my ($id) = @_;
    return $s->psql("SELECT type, data->>'name', data->>'price', data->>'currency' FROM outbox"
            . " WHERE aggregate = 'product:$id' ORDER BY id");
}

subtest 'products are listed' => sub {
    my $r = $s->get('/products');
    is $r->{status}, 200, 'a list';
    is $r->{headers}{'cache-tag'}, 'products', 'its tag';
    is $r->{headers}{'cache-control'}, 'max-age=60', 'may be cached';
    is $r->{headers}{vary}, 'API-Version', 'varies';
    like $r->{headers}{etag}, qr/^"[0-9a-f]{32}"$/, 'a strong ETag';
    is $s->get('/products', { 'If-None-Match' => $r->{headers}{etag} })->{status}, 304, 'unchanged';
    is_deeply [sort keys %{ $r->{json} }], ['products'], 'there is no more';
    is_deeply [map { $_->{id} } @{ $r->{json}{products} }], [map { product($_) } 1 .. 8],
        'those of the migrations';
    is_deeply [sort keys %{ $r->{json}{products}[0] }], [qw(currency id name price updatedAt)],
        'their fields';
    is_deeply [sort keys %{ $s->get('/products', { 'API-Version' => 1 })->{json}{products}[0] }],
        [qw(currency id name price)], 'and those of version 1';

    $s->psql("INSERT INTO products (id, name, price, currency) SELECT ('01a00000-0000-7000-8000-'"
            . " || lpad(g::text, 12, '0'))::uuid, 'Bolt ' || g, g, 'EUR'"
            . " FROM generate_series(1, 192) g");
    my ($next, @ids, %etags);
    for my $page (1 .. 3) {
        $r = $s->get('/products' . ($next ? "?x=y&after=$next" : ''));
        push @ids, map { $_->{id} } @{ $r->{json}{products} };
        $etags{ $r->{headers}{etag} } = 1;
        last if !($next = $r->{json}{next});
    }
    is scalar(keys %etags), 2, 'a hundred on a page';
    is_deeply \@ids, [split /\n/, $s->psql('SELECT id FROM products ORDER BY id')],
        'all of them, once, in order';
    is_deeply $s->get("/products?after=$ids[-1]")->{json}, { products => [] }, 'behind the last';
    $s->psql("DELETE FROM products WHERE name LIKE 'Bolt %'");

    for my $after ('x', '', '%', product(1) . 'x') {
        my $r = $s->get("/products?after=$after");
        like is_problem($r, 400, "after=$after")->{detail}, qr/must be the UUID of a product/,
            'says what it must be';
    }
};

subtest 'a product is shown' => sub {
    my $path = '/products/' . product(7);
    my %same = (id => product(7), name => 'Water level logger', price => 24900, currency => 'USD');
    for my $version (1 .. 3) {
        my $r = $s->get($path, { 'API-Version' => $version });
        is $r->{status}, 200, "version $version";
        my $updated = delete $r->{json}{updatedAt};
        is_deeply $r->{json}, \%same, 'what all versions have';
        $version < 2
            ? is($updated, undef, 'no updatedAt')
            : like($updated, qr/^$TIME$/, 'updatedAt');
        is $r->{headers}{'cache-tag'}, 'product:' . product(7), 'its tag';
        is $r->{headers}{'cache-control'}, 'max-age=60', 'may be cached';
        is $s->get($path, { 'API-Version' => $version, 'If-None-Match' => $r->{headers}{etag} })
            ->{status}, 304, 'unchanged';
    }
    is $s->request('HEAD', $path)->{status}, 200, 'HEAD';
    is $s->get(uc($path) =~ s/PRODUCTS/products/r)->{status}, 200, 'an id in capitals';
    is_problem($s->get("/products/$_"), 404, "product $_") for product(999), 'x', '%00', 'a' x 4000;
    is_problem($s->get($path, { 'API-Version' => 4 }), 400, 'a version that is none');
    is_problem($s->get('/products', { 'API-Version' => 'x' }), 400, 'of the list, too');
    my $r = $s->post($path, {});
    is_problem($r, 405, 'POST');
    is $r->{headers}{allow}, 'GET, HEAD, PUT', 'allowed';
};

subtest 'a PUT creates, changes, and repeated changes nothing' => sub {
    my $id = new_id();
    my %want = (name => "Kr\x{f6}te \x{1f438} \"\\{},", price => 0, currency => 'JPY');
    my $r = put($id, \%want,
        { traceparent => '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' });
    is $r->{status}, 201, 'made';
    is $r->{headers}{'weir-invalidate'}, "products, product:$id", 'what the edge shall drop';
    is $r->{headers}{'cache-control'}, 'no-store', 'not cached';
    my $updated = delete $r->{json}{updatedAt};
    is_deeply $r->{json}, { id => $id, %want }, 'the product';
    is_deeply $s->get("/products/$id")->{json}, { id => $id, %want, updatedAt => $updated },
        'and when it is read';
    is $s->psql("SELECT count(*) FROM outbox WHERE aggregate = 'product:$id'"
            . " AND type = 'ProductChanged'"
            . " AND data->>'updatedAt' = '$updated' AND traceparent LIKE"
            . " '00-4bf92f3577b34da6a3ce929d0e0e4736-%'"), 1, 'an event, with its trace';

    $r = put($id, \%want);
    is $r->{status}, 200, 'the same again';
    is $r->{json}{updatedAt}, $updated, 'is no change';
    is $r->{headers}{'weir-invalidate'}, "products, product:$id",
        'but invalidates: the first answer may have been lost';
    is $s->psql("SELECT count(*) FROM outbox WHERE aggregate = 'product:$id'"), 1,
        'and makes no event';

    $r = put(uc $id, { %want, price => 1000000000, id => 7, more => [] });
    is $r->{status}, 200, 'changed; unknown members are ignored';
    is $r->{json}{price}, 1000000000, 'the new price';
    cmp_ok $r->{json}{updatedAt}, 'gt', $updated, 'later';
    is $s->psql("SELECT string_agg(data->>'price', ' ' ORDER BY id) FROM outbox"
            . " WHERE aggregate = 'product:$id'"),
        '0 1000000000', 'events in order';
    is put($id, { %want, price => 7 }, { 'API-Version' => 1 })->{json}{updatedAt}, undef,
        'answered in the version';
};

subtest 'every wrong field is named' => sub {
    my $id = new_id();
    my %ok = (name => 'N', price => 1, currency => 'EUR');
    my $price = 'must be an integer from 0 to 1000000000, in minor units of the currency';
    my $code = 'must be a currency code of ISO 4217, such as EUR';
    for (
        ['name', $MISSING, 'is required'], ['name', 7, 'must be a string'],
        ['name', '', 'must not be empty'],
        ['name', "a\0", 'must not contain control characters'],
        ['name', 'x' x 101, 'must have at most 100 characters'],
        ['price', $MISSING, 'is required'],
        map({ ['price', $_, $price] } -1, 1000000001, 1.5, '1', undef, [1], JSON::PP::true),
        ['currency', $MISSING, 'is required'], ['currency', 978, 'must be a string'],
        map({ ['currency', $_, $code] } '', 'eur', 'EURO', 'XXX', 'XAU', 'ED ', "EUR\0"))
    {
        my ($field, $value, $detail) = @$_;
        my %body = (%ok, $field => $value);
        delete $body{$field} if ref $value eq 'SCALAR';
        is_deeply is_problem(put($id, \%body), 422, "a $field")->{errors},
            [{ pointer => "/$field", detail => $detail }], $detail;
    }
    is_deeply [map { $_->{pointer} } @{ is_problem(put($id, {}), 422, 'nothing')->{errors} }],
        ['/name', '/price', '/currency'], 'all are named';
    is_problem(put($id, $_), 400, 'no object')
        for '', '{', '[]', '7', '{"price":1,"price":2}', '{"price":99999999999999999999}';
    is_problem(put($id, \%ok, { 'Content-Type' => 'text/plain' }), 415, 'another type');
    is_problem(put($id, \%ok, { 'API-Version' => 9 }), 400, 'a version that is none');
    is_problem(put($_, \%ok), 404, 'an id that is none') for 'x', product(1) . '0';
    is_problem(put($id, '{"x":"' . 'x' x 70000 . '"}'), 413, 'too large');
    is $s->psql("SELECT count(*) FROM products WHERE id = '$id'") . events($id), 0,
        'nothing was done';
};

subtest 'one product several times in a batch has its last value' => sub {
    my ($a, $b) = (new_id(), new_id());
    my $p = product(2);
    my @row = split /\|/, $s->psql("SELECT name, price, currency FROM products WHERE id = '$p'");
    is $s->psql("SELECT place, outcome FROM products_put('{$b,$a,$b,$p,$a,$p}',"
            . " ARRAY['b1','a1','b2','$row[0]','a2','$row[0]'],"
            . " '{1,1,2,$row[1],2,$row[1]}', '{EUR,EUR,EUR,EUR,EUR,EUR}',"
            . " ARRAY(SELECT gen_random_uuid() FROM generate_series(1, 6)),"
            . " '{NULL,NULL,NULL,NULL,NULL,NULL}')"),
        "1|created\n2|created\n3|changed\n4|unchanged\n5|changed\n6|unchanged",
        'as if one came after the other';
    is events($a), 'ProductChanged|a2|2|EUR', 'one event, of the last';
    is events($b), 'ProductChanged|b2|2|EUR', 'of each';
    is events($p), '', 'and none where nothing was changed';
};

# Another api on the same database: two sessions that write the same rows.
my $port2 = free_port();
start_api($s, name => 'api2', port => $port2);

subtest 'changes at the same time come one after the other' => sub {
    my @ids = map { new_id() } 1 .. 5;
    my @requests = map {
        my $n = $_;
        my @order = $n % 2 ? @ids : reverse @ids;
        map { [$n % 2 ? $s->{port} : $port2,
            raw_request('PUT', "/products/$_", { name => "n$n", price => $n, currency => 'EUR' })
        ] } @order;
    } 1 .. 40;
    my %count;
    $count{ status_of($_) }++ for at_once($s, @requests);
    is_deeply \%count, { 200 => 195, 201 => 5 },
        'each is made once and changed by the others; nothing is a deadlock';
    for my $id (@ids) {
        my @events = split /\n/,
            $s->psql("SELECT data->>'name', data->>'updatedAt' FROM outbox"
                . " WHERE aggregate = 'product:$id' ORDER BY id");
        is $s->psql("SELECT name, rfc3339(updated_at) FROM products WHERE id = '$id'"),
            $events[-1], 'the last event is what is there';
        my @times = map { (split /\|/)[1] } @events;
        is_deeply \@times, [sort @times], 'and no event is older than one before';
    }
};

# The first change waits for the lock, so the other two share a batch. In its literal of names they
# need exactly the 256 bytes that it has.
subtest 'names that fill the literal of a batch to its last byte' => sub {
    my @names = ('first', 'a' x 50, '"' x 100);
    my @ids = map { new_id() } @names;
    my $lock = $s->session('BEGIN; LOCK TABLE outbox IN SHARE MODE;');
    my @sockets = map {
        my %product = (name => $names[$_], price => 1, currency => 'EUR');
        $s->send_raw(raw_request('PUT', "/products/$ids[$_]", \%product));
    } 0 .. $#names;
    close $lock;
    is status_of($s->read_raw($_)), 201, 'created' for @sockets;
    is $s->get("/products/$ids[$_]")->{json}{name}, $names[$_], 'and kept' for 0 .. $#names;
};

subtest 'products are whole when PostgreSQL or the api dies' => sub {
    my $id = new_id();
    for my $how ('fast', 'immediate') {
        $s->stop_postgres($how);
        for (put($id, { name => 'x', price => 1, currency => 'EUR' }), $s->get('/products'),
            $s->get('/products/' . product(1)))
        {
            is_problem($_, 503, "while it is stopped ($how)");
            like $_->{headers}{'retry-after'}, qr/^\d+$/, 'Retry-After';
            is $_->{headers}{'weir-invalidate'}, undef, 'invalidates nothing';
        }
        $s->start_postgres;
        wait_for('the api to answer again' =>
                sub { put($id, { name => $how, price => 1, currency => 'EUR' })->{status} < 300 });
    }
    is events($id), "ProductChanged|fast|1|EUR\nProductChanged|immediate|1|EUR",
        'what was answered is there, nothing twice';

    my @ids = map { new_id() } 1 .. 100;
    my $lock = $s->session('BEGIN; LOCK TABLE outbox IN SHARE MODE;');
    my @sockets = map {
        $s->send_raw(
            raw_request('PUT', "/products/$_", { name => 'k', price => 1, currency => 'EUR' }))
    } @ids;
    $s->wait_locked(q{application_name IN ('weir-products', 'weir-parts')});
    $s->kill_backend('api');
    close $lock;
    wait_for('its session to end' => sub {
        $s->psql_as('postgres', 'postgres',
                  "SELECT count(*) FROM pg_stat_activity WHERE state = 'active'"
                . " AND application_name IN ('weir-products', 'weir-parts')") == 0;
    });
    my $known = "SELECT id::text FROM products WHERE name = 'k' ORDER BY 1";
    is $s->psql("SELECT replace(aggregate, 'product:', '') FROM outbox WHERE data->>'name' = 'k'"
            . " ORDER BY 1"),
        $s->psql($known), 'killed in a batch: products and events agree';
    start_api($s);
    wait_for("the same PUT of $_ again" =>
            sub { put($_, { name => 'k', price => 1, currency => 'EUR' })->{status} < 300 })
        for @ids[0 .. 2];
    is events($_), 'ProductChanged|k|1|EUR', 'has one event' for @ids[0 .. 2];
};

is $s->stop_backend($_), 0, "$_ stops" for qw(api api2);

done_testing;
