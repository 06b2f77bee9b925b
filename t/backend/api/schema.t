# The OpenAPI document of each version, and whether every route answers what the document says.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use JSON::PP ();
use Test::More;
use Weir::Api qw(is_problem make_users product start_api);
use Weir::JsonSchema qw(check);
use Weir::Payments;
use Weir::Stack qw(wait_for);

my $s = Weir::Stack->new;
my $p = Weir::Payments->new($s);
start_api($s, roles => 'api relay worker', conf => { groups => 'aggregates,invalidation' });

my ($ann) = make_users($s, 1);
my $json = JSON::PP->new->utf8;
my %document = map {
    my $r = $s->get("/openapi.json?version=$_");
    is $r->{status}, 200, "version $_";
    is $r->{headers}{'content-type'}, 'application/json', 'is JSON';
    ($_ => $r->{json})
} 1 .. 3;

# --- samples: for each operation requests that lead to each of its answers --------------

my $n = 0;
my $items =
    [{ productId => product(1), quantity => 2 }, { productId => product(2), quantity => 1 }];
my $order = sub { { userId => $ann, items => $items } };
my $placed = $s->post('/orders', $order->())->{headers}{location} or die('no order');
my $unknown = '00000000-0000-7000-8000-000000000000';
my $too_large = '{"x":"' . 'x' x 70000 . '"}';
my @json_body_errors =
    ([415 => '{}', 'text/plain'], [413 => $too_large], [422 => '{}'], [400 => '[]']);

wait_for('numbers to show' => sub { @{ $s->get('/dashboard/daily-orders')->{json}{days} } > 0 });

my ($gone, $leaving) = make_users($s, 2);
$s->psql("UPDATE users SET status = 'DELETED' WHERE id = '$gone'");

sub key { return { 'Idempotency-Key' => 'schema-' . ++$n } }

# An order, and one whose key is in use: another session has its lock, as once() takes it.
my @sessions;

sub in_use {
    my ($path, $status) = @_;
    my $key = key();
    push @sessions,
        $s->session("SELECT pg_advisory_lock(hashtextextended(' $key->{'Idempotency-Key'}', 0));");
    return [$status => $path, $order->(), undef, key()], [409 => $path, $order->(), undef, $key];
}

# "METHOD pattern" => sub returning [status => path, content, content type, fields], …
my %samples = (
    'get /openapi.json' => sub { [200 => '/openapi.json'], [400 => '/openapi.json?version=9'] },
    'post /signup' => sub {
        my $body = { email => 'schema' . ++$n . '@example.com', displayName => 'Schema' };
        [201 => '/signup', $body], [409 => '/signup', $body],
            map { [$_->[0] => '/signup', @$_[1, 2]] } @json_body_errors;
    },
    'get /users/{id}' =>
        sub { [200 => "/users/$ann"], [404 => "/users/$unknown"], [410 => "/users/$gone"] },
    'delete /users/{id}' =>
        sub { [202 => "/users/$leaving"], [404 => "/users/$unknown"], [410 => "/users/$gone"] },
    'get /products' => sub {
        my $next = '/products?after=' . product(8);
        [200 => '/products'], [200 => $next], [400 => '/products?after=x'];
    },
    'get /products/{id}' =>
        sub { [200 => '/products/' . product(1)], [404 => "/products/$unknown"] },
    'put /products/{id}' => sub {
        my $path = '/products/' . sprintf '01920000-0000-7000-8000-%012d', ++$n;
        my $body = { name => 'Schema', price => 5, currency => 'EUR' };
        [201 => $path, $body], [200 => $path, { %$body, price => 6 }],
            [404 => '/products/x', $body],
            map { [$_->[0] => $path, @$_[1, 2]] } @json_body_errors;
    },
    'post /orders' => sub {
        in_use('/orders', 201), map { [$_->[0] => '/orders', @$_[1, 2]] } @json_body_errors;
    },
    'post /checkout' => sub {
        in_use('/checkout', 202),
            map { [$_->[0] => '/checkout', @$_[1, 2], key()] } @json_body_errors;
    },
    'post /webhooks/payment' => sub {
        my $message = $p->message(
            { id => 'ch_x', idempotency_key => 'nobody', amount => 1, currency => 'EUR' },
            'failed');
        my $at = '/webhooks/payment';
        [202 => $at, $p->text($message), undef, { $p->signed($message) }], [401 => $at, '{}'],
            [413 => $at, $too_large],
            [415 => $at, '{}', 'text/plain', { $p->signed('{}') }],
            [422 => $at, '{}', undef, { $p->signed('{}') }];
    },
    'get /orders/{id}' => sub { [200 => $placed], [404 => "/orders/$unknown"] },
    'get /dashboard/daily-orders' => sub { [200 => '/dashboard/daily-orders'] },
);

sub ask {
    my ($method, $version, $path, $content, $type, $fields) = @_;
    my %headers = ('API-Version' => $version, %{ $fields // {} });
    $headers{'Content-Type'} = $type // 'application/json' if defined $content;
    $content = $json->encode($content)                     if ref $content;
    return $s->request(uc $method, $path,
        { headers => \%headers, defined $content ? (content => $content) : () });
}

sub schema_of {
    my ($content) = @_;
    my $media = $content->{'application/json'} // $content->{'application/problem+json'};
    return $media->{schema};
}

# --- the test ---------------------------------------------------------------------------

for my $version (1 .. 3) {
    my $document = $document{$version};
    subtest "version $version: every operation answers as it says" => sub {
        is $document->{openapi}, '3.1.0', 'OpenAPI 3.1';
        is $document->{info}{version}, $version, 'its version';
        my %operations = map {
            my $path = $_;
            map { ("$_ $path" => $document->{paths}{$path}{$_}) }
                keys %{ $document->{paths}{$path} }
            }
            keys %{ $document->{paths} };
        is_deeply [sort keys %samples], [sort keys %operations], 'all operations have samples';

        for my $operation (sort keys %operations) {
            my ($method) = split / /, $operation;
            my %asked;
            my @samples = $samples{$operation} ? $samples{$operation}->() : ();
            # The first one again, without time.
            my ($first) = map { [@$_] } @samples;
            push @samples, [504, @$first[1 .. 3], { %{ $first->[4] // {} }, 'Weir-Deadline' => 0 }];
            for my $sample (@samples) {
                my ($status, $path, $content, $type, $fields) = @$sample;
                my $r = ask($method, $version, $path, $content, $type, $fields);
                my $answer = $operations{$operation}{responses}{$status};
                $asked{$status} = 1;
                if ($r->{status} != $status || !$answer) {
                    fail "$operation answers $r->{status}; $status was expected and is "
                        . ($answer ? '' : 'not ')
                        . 'documented';
                    next;
                }
                my @wrong =
                    $answer->{content}
                    ? check($document, schema_of($answer->{content}), $r->{json})
                    : ();
                is join("\n", @wrong), '', "$operation $status";
                if ($answer->{content} && $status < 300) {
                    is_deeply [sort keys %{ $answer->{content} }],
                        ['application/json', "application/vnd.shop.v$version+json"],
                        'as itself and as the edge names it';
                    is $r->{headers}{'weir-deprecated-fields'} // '',
                        deprecated($document, schema_of($answer->{content})),
                        'the header names what is deprecated';
                }
                next if !ref $content || $status >= 400;
                is join(
                    "\n",
                    check(
                        $document, schema_of($operations{$operation}{requestBody}{content}),
                        $content)),
                    '', 'and its body';
            }
            # 401 and 403 need identities: t/backend/identity/identity.t
            my $open = grep { !keys %$_ } @{ $operations{$operation}{security} };
            my $elsewhere = $open ? qr/^(?:400|503)$/ : qr/^(?:40[013]|503)$/;
            my @missed = grep { !$asked{$_} && $_ !~ $elsewhere }
                sort keys %{ $operations{$operation}{responses} };
            is "@missed", '', "$operation: every answer was had";
        }
    };
}

# Names of deprecated fields, as Weir-Deprecated-Fields has them; tables keep their order, documents
# do not.
sub deprecated {
    my ($document, $schema, $prefix) = @_;
    $schema = Weir::JsonSchema::resolve($document, $schema);
    my %fields = %{ $schema->{properties} // {} };
    return join ', ', map {
        my $inner = $fields{$_}{items} ? deprecated($document, $fields{$_}{items}, "$_.") : '';
        (($fields{$_}{deprecated} ? ($prefix // '') . $_ : ()), length $inner ? $inner : ());
    } sort keys %fields;
}

subtest 'versions grow by addition, and name what is deprecated' => sub {
    my %user = map { $_ => $document{$_}{components}{schemas}{User}{properties} } 1 .. 3;
    is_deeply [map { join ' ', sort keys %{ $user{$_} } } 1 .. 3],
        ['createdAt email id name status', 'createdAt displayName email id name status',
        'createdAt displayName email id status'], 'fields of a user';
    ok $user{2}{name}{deprecated}, 'name is deprecated in version 2';
    is $user{2}{name}{'x-weir-replaced-by'}, 'displayName', 'and replaced by displayName';
    ok !$user{1}{name}{deprecated}, 'not yet in version 1';
    ok !grep({ $user{$_}{displayName}{deprecated} } 2, 3), 'displayName is not';
    is $user{3}{displayName}{'x-weir-since'}, 2, 'which version 2 brought';
    ok $document{2}{components}{schemas}{OrderItem}{properties}{price}{deprecated},
        'of the elements of a list, too';
};

subtest 'the document is that of the version in the request' => sub {
    is_deeply $s->get('/openapi.json')->{json}, $document{2}, 'version 2 is the default';
    is_deeply $s->get('/openapi.json', { 'API-Version' => 3 })->{json}, $document{3},
        'the header says it';
    is_deeply $s->get('/openapi.json?version=1', { 'API-Version' => 3 })->{json}, $document{1},
        'the query says it louder';
    is_problem($s->get("/openapi.json?version=$_"), 400, "version=$_")
        for '', 0, 4, 'x', '11', '%31';
    is_problem($s->get('/openapi.json', { 'API-Version' => 'x' }), 400, 'a header that is none');
};

subtest 'the check itself finds each kind of mistake' => sub {
    my $document = $document{2};
    my $schema = { '$ref' => '#/components/schemas/Order' };
    my $right = $s->get($placed)->{json};
    is_deeply [check($document, $schema, $right)], [], 'what is right';
    my @item = @{ $right->{items} };
    for (
        [{ total => '7' }, '/total: is string, not integer'], [{ id => 'x' }, '/id: is no uuid: x'],
        [{ more => 1 }, '/: has more, which is not documented'],
        [
            { items => [{ %{ $item[0] }, quantity => 1.5 }] },
            '/items/0/quantity: is number, not integer'],
        [{ createdAt => 'now' }, '/createdAt: is no date-time: now'],
        [{ currency => 'eur' }, '/currency: does not match ^[A-Z]{3}$: eur'],
        [{ items => undef }, '/items: is null, not array'])
    {
        is_deeply [check($document, $schema, { %$right, %{ $_->[0] } })], [$_->[1]], $_->[1];
    }
    my %less = %$right;
    delete $less{total};
    is_deeply [check($document, $schema, \%less)], ['/: lacks total'], 'what is missing';
};

is join('; ', $p->endless), '', 'no order is PENDING without an event that will end it';

done_testing;
