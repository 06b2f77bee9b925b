# With identity_jwks the api answers only requests with an identity of the edge, and does what the
# identity allows: the table of docs/guides/identity.md, tried with each operation of OpenAPI.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/../../lib";

use JSON::PP ();
use Test::More;
use Weir::Base qw(slurp spew);
use Weir::Backend::Identity;
use Weir::Stack qw(wait_for);

my $stack = Weir::Stack->new(redis => 0);
my $edge = Weir::Backend::Identity->new($stack->dir);
$stack->{conf} = { $edge->conf };

# The first user, before identities are asked for.
$stack->start_backend('api', name => 'before',
    conf => { identity_jwks => 'off', identity_audience => undef });
my ($alice, $bob) = map {
    $stack->post('/signup', { email => "$_\@example.com", displayName => $_ })->{json}{id};
} qw(alice bob);
is $stack->stop_backend('before'), 0, 'without identities, all may call';

# start_backend() asks without an identity.
sub start {
    my ($name) = @_;
    $stack->start_process($name, [$stack->{binary}, '-c', $stack->write_conf, 'api']);
    $stack->wait_started($name => sub { $stack->log_of($name) =~ /"msg":"started"/ });
    $stack->wait_started($name => sub {
        my $said = $stack->log_of($name);
        return !grep { $said !~ /"msg":"database session open","session":"\Q$_\E"/ }
            @{ $stack->{sessions} };
    });
}
start('api');

my %issued = (sub_iss => 'https://issuer.example');

# A request with an identity of these claims.
sub call {
    my ($method, $path, $claims, $body) = @_;
    my $header = $claims ? $edge->header($method, $path =~ s/\?.*//r, %$claims) : {};
    my %option = (headers => $header);
    if ($body) {
        $option{content} = JSON::PP->new->encode($body);
        @{ $option{headers} }{ 'Content-Type', 'Idempotency-Key' } =
            ('application/json', '"' . rand() . '-abcdefghijklmnop"');
    }
    return $stack->request($method, $path, \%option);
}

sub user { return { %issued, sub => $_[0], scope => join ' ', @_[1 .. $#_] } }

# --- the matrix --------------------------------------------------------------------------------

my $document = call('GET', '/openapi.json', {})->{json};
is $document->{components}{securitySchemes}{token}{scheme}, 'bearer', 'OpenAPI has a scheme';

# The table of the guide: "| `GET /x` | who | owner |".
my %documented =
    map { /^\| `([A-Z]+ \S+)` \| (.*?) \| (.*?) \|$/ ? ($1 => [$2, $3]) : () }
    split /\n/, slurp("$Bin/../../../docs/guides/identity.md");

my $nobody = '01890000-0000-7000-8000-000000000001';
my $product = call('PUT', "/products/$nobody", user('root', 'shop:admin'),
    { name => 'P', price => 1, currency => 'EUR' });
is $product->{status}, 201, 'an operator makes a product';
my $items = [{ productId => $product->{json}{id}, quantity => 1 }];
my %body = (
    signUp => sub { { email => 'x' . int(rand 1e9) . '@example.com', displayName => 'X' } },
    putProduct => sub { { name => 'P', price => 1, currency => 'EUR' } },
    placeOrder => sub { { userId => $alice, items => $items } },
    checkOut => sub { { userId => $alice, items => $items } },
    takePaymentWebhook => sub { {} },
);
my $order = call('POST', '/orders', user($alice, 'shop:orders'), $body{placeOrder}->());
is $order->{status}, 201, 'a user orders';

my %seen;
for my $pattern (sort keys %{ $document->{paths} }) {
    for my $method (sort keys %{ $document->{paths}{$pattern} }) {
        my $operation = $document->{paths}{$pattern}{$method};
        my $name = uc($method) . " $pattern";
        my $row = delete $documented{$name};
        ok $row, "$name is documented" or next;
        next if $operation->{operationId} eq 'deleteUser'; # below
        my $open = grep { !keys %$_ } @{ $operation->{security} };
        my ($scope) = map { @{ $_->{token} // [] } } @{ $operation->{security} };
        is $row->[0], $open ? 'anybody' : "`$scope`", "$name: who, as OpenAPI says";

        my $of = $pattern =~ /orders/ ? $order->{json}{id}
            : $pattern =~ /products/ ? $product->{json}{id} : $alice;
        my $path = $pattern =~ s/\{id\}/$of/r;
        my $make = $body{ $operation->{operationId} };
        my $try = sub {
            my ($claims) = @_;
            my $is = call(uc $method, $path, $claims, $make ? $make->() : ());
            # the webhook's signature is another matter
            my $signature = ($is->{json}{detail} // '') =~ /webhook/;
            return $is->{status} == 401 && $signature ? 202 : $is->{status};
        };
        my $good = qr/\A(?:200|201|202|304)\z/;
        my $owned = $row->[1] ne '—';
        is $try->(undef), 401, '... nobody';
        like $try->({}), $open ? $good : qr/\A401\z/, '... anonymous';
        like $try->(user($alice)), $open ? $good : qr/\A403\z/, '... a user without scopes';
        like $try->(user($alice, 'shop:other')), $open ? $good : qr/\A403\z/,
            '... with another scope';
        if ($scope && $scope ne 'shop:admin') {
            like $try->(user($alice, 'x', $scope)), $good, '... a user with the scope';
            like $try->(user($bob, $scope)), $owned ? qr/\A40[34]\z/ : $good, '... another user';
            is $try->({ scope => $scope }), 401, '... anonymous with a scope';
        }
        like $try->(user('root', 'shop:admin')), $good, '... an operator';
    }
}
is_deeply [keys %documented], [], 'no more is documented';

is call('GET', "/orders/$order->{json}{id}", user($bob, 'shop:orders'))->{status}, 404,
    "another user's order is not there";
is call('GET', "/users/$bob", user($alice, 'shop:users'))->{status}, 403,
    'another user is forbidden';
is call('GET', '/users/01890000-0000-7000-8000-000000000001', user($alice, 'shop:users'))->{status},
    403, '... whether there is one or not';
is call('DELETE', "/users/$bob", user($alice, 'shop:users'))->{status}, 403, '... to delete, too';
is call('DELETE', "/users/$alice", {})->{status}, 401, '... anonymous';
is call('DELETE', "/users/$alice", user($alice, 'shop:orders'))->{status}, 403,
    '... without the scope';
is call('DELETE', "/users/$alice", user($alice, 'shop:users'))->{status}, 202, 'oneself';
is call('DELETE', "/users/$bob", user('root', 'shop:admin'))->{status}, 202,
    'an operator deletes a user';
is $stack->psql("SELECT object, subject, actor FROM audit_records WHERE operation = 'user.delete'"
        . ' ORDER BY id'),
    "user:$alice|sub:$alice|weir https://issuer.example\n"
        . "user:$bob|sub:root|weir https://issuer.example", 'the audit log has who it was';

my $is = call('GET', '/dashboard/daily-orders', user($alice, 'shop:orders'));
is $is->{headers}{'www-authenticate'}, 'Bearer error="insufficient_scope", scope="shop:admin"',
    'a 403 names the scope';
is $is->{json}{status}, 403, '... in a problem document';
$is = call('GET', '/dashboard/daily-orders', user('root', 'shop:admin'));
is_deeply $is->{headers}{'cache-control'}, ['private', 'max-age=300'],
    'what needs a token is private';
is call('GET', "/products/$product->{json}{id}", {})->{headers}{'cache-control'}, 'max-age=60',
    '... what needs none is not';
is call('GET', '/nothing', {})->{status}, 404, 'a path that is not there';
is call('GET', '/nothing')->{status}, 401, '... tells nobody';
is $stack->get('/health')->{status}, 200, 'health is for anybody';

# --- tokens that are not good ---------------------------------------------------------------------

my $path = '/products';
sub status { $stack->get($_[1] // $path, { 'Weir-Identity' => $_[0] })->{status} }
my %head = (alg => 'EdDSA', typ => 'weir-identity+jwt', kid => 'main');
my $good = $edge->token('GET', $path);
is status($good), 200, 'a good token';
is status($good), 200, '... again';
is status($good, '/openapi.json'), 401, 'replayed to another path';
is status($good, "$path/$product->{json}{id}"), 401, '... to a path below';
is $stack->request('PUT', "$path", { headers => { 'Weir-Identity' => $good } })->{status}, 401,
    '... with another method';
is status("$path?limit=1"), 401, 'no token at all';
is status($edge->token('GET', $path, exp => time - 6)), 401, 'expired';
is status($edge->token('GET', $path, exp => time - 2)), 200, '... within the leeway';
is status($edge->token('GET', $path, iat => time + 60)), 401, 'of the future';
is status($edge->token('GET', $path, nbf => time + 60)), 401, 'not yet';
is status($edge->token('GET', $path, aud => 'other')), 401, 'wrong audience';
is status($edge->token('GET', $path, iss => 'other')), 401, 'wrong issuer';
is status($edge->token('GET', "$path/")), 401, 'bound to a longer path';
is status($edge->token('GET', undef, prefix => '/prod')), 401, 'bound to a path and a prefix';
my $claims = $edge->claims('GET', $path, prefix => '/prod');
delete $claims->{path};
is status($edge->sign('main', \%head, $claims)), 200, 'bound to a prefix';
is status($edge->sign('main', \%head, $claims), '/users/x'), 401, '... and another path';
for my $name (qw(iss aud sub act htm path exp)) {
    my %less = %{ $edge->claims('GET', $path) };
    delete $less{$name};
    is status($edge->sign('main', \%head, \%less)), 401, "without $name";
}
is status($edge->sign('main', { %head, typ => 'JWT' }, $edge->claims('GET', $path))), 401,
    'wrong typ';
is status($edge->sign('main', { %head, alg => 'none' }, $edge->claims('GET', $path))), 401,
    'alg none';
is status($edge->sign('main', { %head, alg => 'ES256' }, $edge->claims('GET', $path))), 401,
    'another alg';
is status($edge->sign('main', { %head, kid => 'x' }, $edge->claims('GET', $path))), 401,
    'an unknown kid';
$edge->new_key('stranger');
is status($edge->sign('stranger', \%head, $edge->claims('GET', $path))), 401, 'another key';
is status(substr($good, 0, -8) . 'AAAAAAAA'), 401, 'a changed signature';
is status($_), 401, "'$_' is no token" for '', 'x', 'a.b.c';
is status($good), 200, 'a good one after all these';

# --- keys that change --------------------------------------------------------------------------

sub read_keys { scalar $stack->logged('api', 'the keys of identities were read') }
sub publish {
    my $before = read_keys();
    $edge->publish(@_);
    wait_for('the keys to be read' => sub { read_keys() > $before });
}
$edge->new_key('next');
my %next = (%head, kid => 'next');
publish('main', 'next');
is status($good), 200, 'the old key while both are published';
my $new = $edge->sign('next', \%next, $edge->claims('GET', $path));
is status($new), 200, '... and the new one';
publish('next');
is status($good), 401, 'a key that is not published any more, also of a token seen before';
is status($new), 200, '... the new one';
spew($edge->file, '{"keys":');
wait_for('an error' => sub { $stack->logged('api', qr/cannot be read again; the old ones/) });
is status($new), 200, 'a wrong file changes nothing';
publish('next');

# --- several issuers -----------------------------------------------------------------------------

is $stack->stop_backend('api'), 0, 'a clean end, before another setting';
$stack->{conf}{identity_callers} = 'https://login.example https://issuer.example';
$edge->publish('main');
start('api');
my $carol;
wait_for('the sessions' => sub {
    $carol = call('POST', '/signup', {}, { email => 'carol@example.com', displayName => 'C' });
    $carol->{status} == 201;
});
sub asks {
    my ($issuer, @scopes) = @_;
    my %claims = (sub => $carol->{json}{id}, sub_iss => $issuer, scope => "@scopes");
    return call('GET', "/users/$carol->{json}{id}", \%claims)->{status};
}
is asks('https://issuer.example', 'shop:users'), 200, 'an issuer of identity_callers';
for my $other ('https://partner.example', 'https://issuer.example/', 'issuer.example', '') {
    is asks($other, 'shop:users', 'shop:admin'), 401, "... '$other', with the same subject";
}

# --- logs, start --------------------------------------------------------------------------------

is $stack->stop_backend('api'), 0, 'a clean end';
my @refused = $stack->logged('api', 'a request without a valid identity is refused');
ok @refused, 'refusals are in the log';
ok !(grep { exists $_->{token} } @refused), '... without tokens';

my ($status, $output) = $stack->run_command($stack->{binary}, '-c',
    $stack->write_conf(identity_jwks => $stack->dir . '/none'), '-t');
isnt $status, 0, 'a file that is missing';
like $output, qr/identity_jwks.*the file cannot be read: No such file/, '... is named';
($status, $output) = $stack->run_command($stack->{binary}, '-c',
    $stack->write_conf(identity_audience => undef), '-t');
like $output, qr/identity_audience.*must be the audience of weir_identity/, 'an audience is needed';
($status, $output) = $stack->run_command($stack->{binary}, '-c',
    $stack->write_conf(identity_jwks => 'http://127.0.0.1'), '-t');
like $output, qr/identity_jwks.*the URL has no path/, 'a URL without a path';

done_testing;
