# ./weir up proves who calls: the README's first request works as it is; what is somebody's needs a
# token, which ./weir token makes and ./weir curl sends; the backend's port answers nobody.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use HTTP::Tiny;
use Test::More;
use Weir::Operator;

up();
my $user;
ok comes_true(60, sub {
    $user = ask('POST', '/signup', { email => 'ada@example.com', displayName => 'Ada' });
    $user->{status} == 201;
}), 'anybody signs up';
my $path = "/users/$user->{json}{id}";
is get($path, Authorization => undef)->{status}, 401, 'a user needs a token';

my ($code, $token) = weir('token', '--sub', $user->{json}{id}, '--scope', 'shop:users');
is $code, 0, './weir token';
chomp $token;
is get($path, Authorization => "Bearer $token")->{status}, 200, '... is the token of the user';
is get('/dashboard/daily-orders', Authorization => "Bearer $token")->{status}, 403,
    '... who is no operator';
is get($path, Authorization => 'Bearer x')->{status}, 401, '... nobody with a bad token';
ok comes_true(20, sub { (weir('ctl', 'audit', 'list'))[1] =~ /refused +GET \S+ +not_compact / }),
    '... and who was refused is in the audit log';
($code, my $text) = weir('curl', '-s', '/dashboard/daily-orders');
like $text, qr/"days":\[/, './weir curl has the token of an operator';
($code, $text) = weir('curl', '--sub', 'x', '--scope', 'shop:users', '-s', $path);
like $text, qr/"status":403/, '... or another one';
($code, $text) = weir('token', '--ttl', 'long');
is $code, 2, 'a wrong time is refused';

my $backend = '127.0.0.1:' . ($port + 1);
is curl('-o', '/dev/null', '-w', '%{http_code}', "http://$backend/products"), '000',
    'the backend answers no HTTP';
is curl('-o', '/dev/null', '-w', '%{http_code}', "https://$backend/products"), '000',
    '... and no certificate but that of the edge';
my $edge_files = join ' ', map { "--$_->[0] $run/keys/edge/$_->[1]" } [cacert => 'ca.crt'],
    [cert => 'tls.crt'], [key => 'tls.key'];
is `curl -s -m 20 $edge_files -o /dev/null -w '%{http_code}' https://$backend/products`, 401,
    '... nor that one without an identity';
my @private = grep { /\.key$|key\.pem$|secrets?$/ } glob "$run/keys/*/*";
cmp_ok scalar(@private), '>', 15, 'there are private keys';
is join(' ', grep { (stat)[2] & 077 } @private), '', '... for their owners alone';
($code, $text) = weir('demo');
is $code, 0, 'the demo plays with it' or diag $text;

# Another up keeps it; WEIR_IDENTITY=0 ends it, and WEIR_TLS=0 the rest.
my @anonymous = (Authorization => undef);
up();
is get($path, @anonymous)->{status}, 401, 'a second up keeps identities';
{
    local $ENV{WEIR_IDENTITY} = 0;
    up();
    is get($path, @anonymous)->{status}, 200, '... until it is told not to';
}
up();
is get($path, @anonymous)->{status}, 200, '... which is kept, too';
$ENV{WEIR_TLS} = 0;
up();
is 'HTTP::Tiny'->new->get("http://$backend/health")->{status}, 200, 'without TLS it speaks HTTP';
is get('/products')->{status}, 200, '... also with the edge';
$ENV{WEIR_IDENTITY} = 1;
up();
is get($path, @anonymous)->{status}, 401, 'identities work without TLS';
is get($path)->{status}, 200, '... with a token';

done_testing;
