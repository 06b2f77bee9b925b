# WEIR_IDENTITY=1 ./weir up: the README's first request works as it is; what is somebody's needs a
# token, which ./weir token makes and ./weir curl sends; the backend's port answers nobody.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use HTTP::Tiny;
use Test::More;
use Weir::Operator;

$ENV{WEIR_IDENTITY} = 1;
up();
my $user;
ok comes_true(60, sub {
    $user = ask('POST', '/signup', { email => 'ada@example.com', displayName => 'Ada' });
    $user->{status} == 201;
}), 'anybody signs up';
my $path = "/users/$user->{json}{id}";
is get($path)->{status}, 401, 'a user needs a token';

my ($code, $token) = weir('token', '--sub', $user->{json}{id}, '--scope', 'shop:users');
is $code, 0, './weir token';
chomp $token;
is get($path, Authorization => "Bearer $token")->{status}, 200, '... is the token of the user';
is get('/dashboard/daily-orders', Authorization => "Bearer $token")->{status}, 403,
    '... who is no operator';
($code, my $text) = weir('curl', '-s', '/dashboard/daily-orders');
like $text, qr/"days":\[/, './weir curl has the token of an operator';
($code, $text) = weir('curl', '--sub', 'x', '--scope', 'shop:users', '-s', $path);
like $text, qr/"status":403/, '... or another one';
($code, $text) = weir('token', '--ttl', 'long');
is $code, 2, 'a wrong time is refused';

my $backend = 'http://127.0.0.1:' . ($port + 1);
my $direct = HTTP::Tiny->new->get("$backend/products");
is $direct->{status}, 401, 'the backend answers nobody';
for my $name (qw(edge.pem issuer.pem)) {
    is sprintf('%03o', (stat "$run/keys/$name")[2] & 07777), '600', "$name is its owner's alone";
}
($code, $text) = weir('demo');
like $text, qr/WEIR_IDENTITY=0/, 'the demo has no tokens';

# Another up keeps it; WEIR_IDENTITY=0 ends it.
delete $ENV{WEIR_IDENTITY};
up();
is get($path)->{status}, 401, 'a second up keeps identities';
$ENV{WEIR_IDENTITY} = 0;
up();
is get($path)->{status}, 200, '... until it is told not to';

done_testing;
