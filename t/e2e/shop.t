# Products, orders and the dashboard through the edge, on a stack of its own that ./weir up makes:
# which responses are cached, and that a change invalidates them, at once on the edge that made
# it, and by message after counting.
use strict;
use warnings;

use File::Temp 'tempdir';
use HTTP::Tiny;
use IO::Socket::INET;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep time);

# The services' own users must be able to enter their folders.
my $dir = tempdir('/tmp/weir-shop.XXXXXX', CLEANUP => 1);
chmod 0755, $dir;

# Four free ports in a row, below those that clients get.
sub free_ports {
    for (1 .. 100) {
        my $base = 20000 + 10 * int rand 1000;
        my @held = grep { $_ } map { IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1:' . ($base + $_)) } 0 .. 3;
        return $base if @held == 4;
    }
    die('no four free ports in a row');
}

my $run = $ENV{WEIR_RUN} = "$dir/run";
my $edge = 'http://127.0.0.1:' . ($ENV{WEIR_PORT} = free_ports());

sub weir {
    open my $out, '-|', 'sh', '-c', 'exec ./weir "$@" 2>&1', 'weir', @_ or die "./weir: $!";
    my $text = do { local $/; <$out> } // '';
    close $out;
    return ($? >> 8, $text);
}

sub up {
    my ($code, $text) = weir('up');
    $code == 0 or do { diag $text; die("./weir up failed: $code") };
}

sub until_true {
    my ($seconds, $condition) = @_;
    my $end = time + $seconds;
    until ($condition->()) {
        return 0 if time > $end;
        sleep 0.05;
    }
    return 1;
}

my $http = HTTP::Tiny->new(timeout => 20);

sub ask {
    my ($method, $path, $content, %headers) = @_;
    my $r = $http->request($method, $edge . $path, {
        headers => { %headers, defined $content ? ('Content-Type' => 'application/json') : () },
        defined $content ? (content => encode_json($content)) : (),
    });
    $r->{json} = eval { decode_json($r->{content}) };
    return $r;
}
sub get { return ask('GET', shift, undef, @_) }
sub is_hit { return ($_[0]{headers}{'cache-status'} // '') =~ /hit/ }

# Asks until the cache answers; returns that answer.
sub cached {
    my ($path, @headers) = @_;
    my $r;
    until_true(20, sub { is_hit($r = get($path, @headers)) });
    return $r;
}

END {
    my $result = $?;
    weir('down') if $dir && -d $run;
    $? = $result;
}

up();
my $user = ask('POST', '/signup', { email => 'shop@example.com', displayName => 'Shop' })->{json}{id};
ok $user, 'a user';
my $product = '01900000-0000-7000-8000-000000000003';

subtest 'products are cached, and a change ends it before it is answered' => sub {
    for my $path ('/products', "/products/$product") {
        my $r = cached($path);
        ok is_hit($r), "$path is cached";
        like $r->{headers}{'content-type'}, qr{^application/vnd\.shop\.v2\+json}, 'named as version 2';
        ok !exists cached($path, 'API-Version' => 1)->{json}{updatedAt}, 'version 1 is another';
    }
    for my $price (1 .. 20) {
        cached($_) for '/products', "/products/$product";
        is ask('PUT', "/products/$product", { name => 'Winch', price => $price, currency => 'EUR' })->{status}, 200, "price $price";
        is get("/products/$product")->{json}{price}, $price, 'is read at once';
        is_deeply [map { $_->{price} } grep { $_->{id} eq $product } @{ get('/products')->{json}{products} }], [$price], 'and in the list';
    }
    ok is_hit(cached('/products/01900000-0000-7000-8000-000000000004')), 'other products stay';
};

subtest 'the dashboard is cached, and ends by message when orders were counted' => sub {
    my $sum = sub { my $n = 0; $n += $_->{orders} for @{ $_[0]{json}{days} }; return $n };
    my $before = cached('/dashboard/daily-orders');
    ok is_hit($before), 'cached';
    my $count = $sum->($before);
    for my $round (1 .. 5) {
        is ask('POST', '/orders', { userId => $user, items => [{ productId => $product, quantity => 2 }] })->{status}, 201, 'an order';
        ok until_true(30, sub { $sum->(get('/dashboard/daily-orders')) == $count + $round }), 'is counted there, long before five minutes';
        ok is_hit(cached('/dashboard/daily-orders')), 'which is cached again';
        is $sum->(cached('/dashboard/daily-orders')), $count + $round, 'with the new number';
    }
};

subtest 'an order as two versions' => sub {
    my $r = ask('POST', '/orders', { userId => $user, items => [{ productId => $product, quantity => 2 }] });
    my $path = $r->{headers}{location};
    my ($v2, $v3) = map { get($path, Accept => "application/vnd.shop.v$_+json") } 2, 3;
    is $v2->{headers}{'weir-deprecated-fields'}, 'items.price', 'version 2 names what is deprecated';
    is_deeply [sort keys %{ $v3->{json}{items}[0] }], [qw(productId quantity unitPrice)], 'version 3 is without it';
    ok !is_hit(get($path)), 'orders are not cached';
};

subtest 'the backend is killed' => sub {
    my $kept = cached("/products/$product");
    my ($pid) = map { $_->{pid} } grep { $_->{service} eq 'backend' } @{ decode_json((weir('status', '--json'))[1]) };
    kill 'KILL', $pid or die("cannot kill the backend: $!");
    is get("/products/$product")->{content}, $kept->{content}, 'products are still shown' for 1 .. 3;
    up();
    ok until_true(30, sub { ask('PUT', "/products/$product", { name => 'Winch', price => 77, currency => 'EUR' })->{status} == 200 }), 'it is back';
    is get("/products/$product")->{json}{price}, 77, 'and what is changed then is read at once';
};

done_testing;
