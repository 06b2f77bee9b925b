# Products, orders and the dashboard through the edge, on a stack of its own that ./weir up makes:
# which responses are cached, and that a change invalidates them, at once on the edge that made
# it, and by message after counting.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use JSON::PP;
use List::Util qw(sum0);
use Test::More;
use Weir::Base qw(wait_for);
use Weir::Operator;

my $product = '01900000-0000-7000-8000-000000000003';

sub change_price {
    my ($price) = @_;
    my $winch = { name => 'Winch', price => $price, currency => 'EUR' };
    return ask('PUT', "/products/$product", $winch);
}

# Asks until the cache answers; returns that answer.
sub cached {
    my ($path, @headers) = @_;
    my $r;
    wait_for("$path to be cached" => sub { is_hit($r = get($path, @headers)) });
    return $r;
}

up();
my $user =
    ask('POST', '/signup', { email => 'shop@example.com', displayName => 'Shop' })->{json}{id};
ok $user, 'a user';

sub order {
    my $items = [{ productId => $product, quantity => 2 }];
    return ask('POST', '/orders', { userId => $user, items => $items });
}

subtest 'products are cached, and a change ends it before it is answered' => sub {
    for my $path ('/products', "/products/$product") {
        my $r = cached($path);
        ok is_hit($r), "$path is cached";
        like $r->{headers}{'content-type'}, qr{^application/vnd\.shop\.v2\+json},
            'named as version 2';
        ok !exists cached($path, 'API-Version' => 1)->{json}{updatedAt}, 'version 1 is another';
    }
    for my $price (1 .. 20) {
        cached($_) for '/products', "/products/$product";
        is change_price($price)->{status}, 200, "price $price";
        is get("/products/$product")->{json}{price}, $price, 'is read at once';
        my ($listed) = grep { $_->{id} eq $product } @{ get('/products')->{json}{products} };
        is $listed->{price}, $price, 'and in the list';
    }
    ok is_hit(cached('/products/01900000-0000-7000-8000-000000000004')), 'other products stay';
};

subtest 'the dashboard is cached, and ends by message when orders were counted' => sub {
    my $sum = sub {
        my ($dashboard) = @_;
        return sum0(map { $_->{orders} } @{ $dashboard->{json}{days} });
    };
    my $before = cached('/dashboard/daily-orders');
    ok is_hit($before), 'cached';
    my $count = $sum->($before);
    for my $round (1 .. 5) {
        is order()->{status}, 201, 'an order';
        my $is_counted = sub { $sum->(get('/dashboard/daily-orders')) == $count + $round };
        ok comes_true(30, $is_counted),
            'is counted there, long before five minutes';
        ok is_hit(cached('/dashboard/daily-orders')), 'which is cached again';
        is $sum->(cached('/dashboard/daily-orders')), $count + $round, 'with the new number';
    }
};

subtest 'an order as two versions' => sub {
    my $path = order()->{headers}{location};
    my ($v2, $v3) = map { get($path, Accept => "application/vnd.shop.v$_+json") } 2, 3;
    is $v2->{headers}{'weir-deprecated-fields'}, 'items.price',
        'version 2 names what is deprecated';
    is_deeply [sort keys %{ $v3->{json}{items}[0] }], [qw(productId quantity unitPrice)],
        'version 3 is without it';
    ok !is_hit(get($path)), 'orders are not cached';
};

subtest 'the backend is killed' => sub {
    my $kept = cached("/products/$product");
    my (undef, $status) = weir('status', '--json');
    my ($backend) = grep { $_->{service} eq 'backend' } @{ decode_json($status) };
    kill 'KILL', $backend->{pid} or die("cannot kill the backend: $!");
    is get("/products/$product")->{content}, $kept->{content}, 'products are still shown'
        for 1 .. 3;
    up();
    ok comes_true(30, sub { change_price(77)->{status} == 200 }), 'the backend is back';
    is get("/products/$product")->{json}{price}, 77, 'and what is changed then is read at once';
};

done_testing;
