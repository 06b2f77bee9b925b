# A port scan of the stack of ./weir up: every listener of its processes is known, and refuses who
# proves nothing, or the wrong thing. Through the edge, the operations of the OpenAPI document are
# tried one by one, as nobody, as a user, as another user, with each scope and as an operator: the
# matrix is that of docs/guides/identity.md.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use HTTP::Tiny;
use IO::Socket::INET;
use JSON::PP;
use Test::More;
use Weir::Base qw(output_of slurp wait_for);
use Weir::Operator;

up();
my %at = map { $_->[0] => $port + $_->[1] } [edge => 0], [backend => 1], [redis => 2], [smtp => 3],
    [payments => 4], [metrics => 5], [traces => 6], [operators => 7], [postgres => 9];
my %name = reverse %at;
my $keys = "$run/keys";

# --- which listeners there are --------------------------------------------------------------------

# Processes of this stack: all that works in its folder, or names it.
sub processes {
    return grep {
        my $cwd = readlink("/proc/$_/cwd") // '';
        index("$cwd/", "$run/") == 0 || index(slurp("/proc/$_/cmdline"), "$run/") >= 0
    } map { substr $_, 6 } grep { $_ ne "/proc/$$" } glob '/proc/[0-9]*';
}

# PostgreSQL's and nginx's processes change their command line; their parents have it.
sub with_children {
    my %all = map { $_ => 1 } @_;
    my @new = @_;
    while (@new) {
        @new = grep { !$all{$_}++ } map { split ' ', slurp("/proc/$_/task/$_/children") } @new;
    }
    return keys %all;
}

sub listeners {
    my %inode;
    for my $pid (with_children(processes())) {
        for my $link (map { readlink($_) // '' } glob "/proc/$pid/fd/*") {
            $inode{$1} = 1 if $link =~ /^socket:\[(\d+)\]$/;
        }
    }
    my (%tcp, %unix);
    for my $line (map { split /\n/, slurp("/proc/net/$_") } qw(tcp tcp6)) {
        my @field = split ' ', $line;
        next if ($field[3] // '') ne '0A' || !$inode{ $field[9] };
        my ($address, $number) = split /:/, $field[1];
        $tcp{ hex $number } = $address eq '0100007F' ? 'loopback' : $address;
    }
    for my $line (split /\n/, slurp('/proc/net/unix')) {
        my @field = split ' ', $line, 8;
        # The flag says that it listens (net/unix, __SO_ACCEPTCON).
        $unix{ $field[7] } = 1 if $inode{ $field[6] // '' } && hex($field[3]) & 0x10000;
    }
    return (\%tcp, [sort keys %unix]);
}

my ($tcp, $unix) = listeners();
is_deeply $tcp, { map { $_ => 'loopback' } values %at },
    'the listeners are those that are documented, for this machine alone';
is_deeply $unix, ["$run/pg/.s.PGSQL.$at{postgres}", "$run/redis-socket/redis.sock"],
    '... and two sockets in the file system';

# --- each of them, without a proof ----------------------------------------------------------------

# What a listener says to plain bytes, at most for two seconds.
sub says {
    my ($name, $bytes) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$at{$name}", Timeout => 5)
        or die "$name: $!\n";
    local $SIG{PIPE} = 'IGNORE';
    syswrite $socket, $bytes;
    my $said = '';
    my $until = time + 2;
    my $set = '';
    vec($set, fileno $socket, 1) = 1;
    while (time < $until && select(my $ready = $set, undef, undef, 0.5)) {
        sysread($socket, $said, 4096, length $said) or last;
    }
    return $said;
}

# A handshake with the certificate of that name (undef: none), and bytes after it: what openssl
# prints. Whoever refuses a client says so by an alert, after the client's side of the handshake.
sub shake {
    my ($name, $certificate, $bytes, @more) = @_;
    my @mine = defined $certificate
        ? ('-cert', "$certificate/tls.crt", '-key', "$certificate/tls.key") : ();
    my @starttls = $name eq 'postgres' ? ('-starttls', 'postgres') : ();
    my $command = join ' ', 'openssl', 's_client', '-connect', "127.0.0.1:$at{$name}", '-tls1_3',
        '-CAfile', "$keys/ctl/ca.crt", '-quiet', @mine, @starttls, @more;
    my $said = `(printf '%b' '$bytes'; sleep 1) | timeout 5 $command 2>&1`;
    return $said;
}

my %hello = (
    redis => 'PING\r\n', smtp => 'NOOP\r\n', postgres => 'Q\0\0\0\010',
    (map { $_ => 'GET /health HTTP/1.0\r\n\r\n' } qw(backend payments traces)),
    metrics => 'GET /metrics HTTP/1.0\r\n\r\n',
);
my $refused = qr/alert|handshake failure|certificate required|unknown ca|errno|:error:|eof/i;
my $answer = qr{HTTP/1\.[01] (?!400)|\+PONG|^-|^[235]\d\d[ -]|weir_}m;

my ($failed, $out) = output_of("$FindBin::Bin/../../build/weirctl", 'keys', 'init', '--folder',
    "$run/foreign");
is $failed, 0, 'another authority' or diag $out;
for my $name (sort keys %hello) {
    unlike says($name, $hello{$name} =~ s/\\r/\r/gr =~ s/\\n/\n/gr =~ s/\\0\d*/\0/gr), $answer,
        "$name: no answer in the clear";
    my $said;
    if ($name ne 'postgres') { # which refuses when it knows who wants to log in: below
        $said = shake($name, undef, $hello{$name});
        ok $said =~ $refused && $said !~ $answer, "$name: nor without a certificate"
            or diag $said;
    }
    $said = shake($name, "$run/foreign/api", $hello{$name});
    ok $said =~ $refused && $said !~ $answer, "$name: nor with one of another authority"
        or diag $said;
    next if $name =~ /redis|smtp|postgres/;
    # They name who may call.
    $said = shake($name, "$keys/worker", $hello{$name}) if $name =~ /backend|metrics/;
    $said = shake($name, "$keys/metrics", $hello{$name}) if $name =~ /payments|traces/;
    ok $said =~ $refused && $said !~ $answer, "$name: nor with that of a part that has no business"
        or diag $said;
}
like shake('redis', "$keys/ctl", 'PING\r\n'), qr/^-NOAUTH/m, 'redis: a certificate is not enough';
like shake('backend', "$keys/edge", 'GET /products HTTP/1.0\r\n\r\n'), qr{^HTTP/1.1 401}m,
    'backend: the certificate of the edge is not enough, without an identity';
like shake('backend', "$keys/edge", 'GET /products HTTP/1.0\r\nWeir-Identity: a.b.c\r\n\r\n'),
    qr{^HTTP/1.1 401}m, '... nor with a forged one';

# Who may be whom in the database.
my ($bin) = sort { $b cmp $a } glob '/usr/lib/postgresql/*/bin/psql';
sub database {
    my ($certificate, $user, $mode) = @_;
    my $files = $certificate
        ? "sslcert=$keys/$certificate/tls.crt sslkey=$keys/$certificate/tls.key" : '';
    my ($code, $text) = output_of($bin, '-XqAtc', 'SELECT 1', 'host=postgres.weir.internal '
            . "hostaddr=127.0.0.1 port=$at{postgres} dbname=weir user=$user sslmode=$mode "
            . "sslrootcert=$keys/ctl/ca.crt $files connect_timeout=5");
    return $code;
}
is database('ctl', 'stack_operator', 'verify-full'), 0,
    'postgres: the operator\'s certificate is let in';
isnt database('ctl', 'weir', 'verify-full'), 0, '... not as the owner';
isnt database('worker', 'stack_api', 'verify-full'), 0, '... nor a part as another one';
isnt database('ctl', 'postgres', 'verify-full'), 0, '... not as superuser';
isnt database('edge', 'stack_api', 'verify-full'), 0, '... nor that of the edge';
isnt database(undef, 'stack_api', 'require'), 0, '... nor none';
isnt database('ctl', 'stack_operator', 'disable'), 0, '... nor anyone in the clear';

# The files of sockets, for another user of the machine.
SKIP: {
    skip 'only root can become another user', 2 if $> != 0;
    my @nobody = ('setpriv', '--reuid=nobody', '--regid=nogroup', '--clear-groups');
    my $try = sub { system('timeout', 10, @nobody, 'sh', '-c', "($_[0]) >/dev/null 2>&1") };
    isnt $try->("redis-cli -s $run/redis-socket/redis.sock PING 2>/dev/null | grep -q ."), 0,
        'redis: the socket is not for others';
    isnt $try->("$bin -h $run/pg -p $at{postgres} -U weir -d weir -c 'SELECT 1'"), 0,
        'postgres: nor is that one';
}

# The server for operators, without a token, with a user's and with one of another issuer.
my $http = HTTP::Tiny->new(timeout => 20, max_redirect => 0);
my $some = token('somebody', 'shop:users shop:orders');
for my $path (qw(/ /status /metrics /traces /traces/1 /backend/metrics /other)) {
    my $url = "http://127.0.0.1:$at{operators}$path";
    my $cookie = "weir_operator_$at{operators}=$some";
    is $http->get($url)->{status}, 401, "operators: nobody sees $path";
    my %users = (Authorization => "Bearer $some", Cookie => $cookie);
    is $http->get($url, { headers => \%users })->{status}, 403, '... no user does';
}
my $entered = $http->get("http://127.0.0.1:$at{operators}/enter?token=$some");
is $entered->{status}, 303, 'operators: /enter is open, and sets a cookie';
like $entered->{headers}{'set-cookie'}, qr/HttpOnly; SameSite=Strict$/, '... for this server alone';
is $http->get("http://127.0.0.1:$at{operators}/enter$_")->{status}, 400, "... not for '$_'"
    for '', '?token=a;Domain=example.com', '?token=a%3B%20b', '?token=';

# --- the matrix -----------------------------------------------------------------------------------

my $document = get('/openapi.json?version=2')->{json};
# | `GET /users/{id}` | `shop:users` | the subject |
my %documented;
for my $line (split /\n/, slurp("$FindBin::Bin/../../docs/guides/identity.md")) {
    $documented{$1} = { who => $2, whom => $3 }
        if $line =~ /^\| `([A-Z]+ \/\S*)` \| `?([^|`]+?)`? \| ([^|]+?) \|$/;
}
my %described;
for my $path (keys %{ $document->{paths} }) {
    for my $method (grep { /^(get|put|post|delete|patch)$/ } keys %{ $document->{paths}{$path} }) {
        my $operation = $document->{paths}{$path}{$method};
        my @security = @{ $operation->{security} };
        my @scopes = map { @{ $_->{token} // [] } } @security;
        my $open = grep { !%$_ } @security;
        $described{ uc($method) . " $path" } = $open ? 'anybody' : "@scopes";
    }
}
is_deeply { map { $_ => $documented{$_}{who} } keys %documented }, \%described,
    'the guide and the OpenAPI document agree about who may call';

my $product = '01900000-0000-7000-8000-000000000001';
my $made = 0;
sub make_user {
    $made++;
    return ask('POST', '/signup', { email => "p$made\@example.com", displayName => 'P' })
        ->{json}{id};
}
my ($ada, $bob) = (make_user(), make_user());
my $items = [{ productId => $product, quantity => 1 }];
my %mine = (Authorization => 'Bearer ' . token($ada, 'shop:users shop:orders'));
my $order = ask('POST', '/orders', { userId => $ada, items => $items }, %mine)->{json}{id};
ok $order, 'an order';

my %identity = (
    'nobody' => undef,
    'a user without scopes' => [$ada, 'profile'],
    'the user' => [$ada, 'shop:users shop:orders'],
    'the user with shop:users' => [$ada, 'shop:users'],
    'the user with shop:orders' => [$ada, 'shop:orders'],
    'another user' => [$bob, 'shop:users shop:orders'],
    'an operator' => ['root', 'shop:admin'],
    'one with a scope that begins like it' => ['root', 'shop:administrator shop'],
);

# The status of an operation on what is the user's; refusals are told apart from all else.
sub try_as {
    my ($who, $operation) = @_;
    my ($method, $path) = split / /, $operation;
    my $owner = $ada;
    my $of = $identity{$who};
    if ($method eq 'DELETE') { # there is one user less each time
        $owner = make_user();
        $of = [$owner, $of->[1]] if $of && $of->[0] eq $ada;
    }
    my $id = $path =~ /users/ ? $owner : $path =~ /orders/ ? $order : $product;
    $path =~ s/\{id\}/$id/;
    my $body = $operation =~ m{^POST /(?:orders|checkout)} ? { userId => $ada, items => $items }
        : $method eq 'PUT' ? { name => 'Anchor', price => 4900, currency => 'EUR' }
        : $operation eq 'POST /signup'
        ? { email => 'm' . ++$made . '@example.com', displayName => 'M' }
        : $method eq 'POST' ? {} : undef;
    my %headers = (Authorization => $of ? 'Bearer ' . token(@$of) : undef);
    $headers{'Idempotency-Key'} = '"ports-' . ++$made . '-of-a-kind"' if $path eq '/checkout';
    my $r = ask($method, $path, $body, %headers);
    return 'no answer' if $r->{status} >= 500;
    # The gateway's signature is its proof.
    return 'let in' if $operation eq 'POST /webhooks/payment' && $r->{content} =~ /webhook/i;
    return $r->{status} =~ /^(?:401|403)$/ ? $r->{status}
        : $r->{status} == 404 ? 404 : 'let in';
}

sub expected {
    my ($who, $operation) = @_;
    my ($needed, $whom) = @{ $documented{$operation} }{qw(who whom)};
    return 'let in' if $needed eq 'anybody';
    return 401 if $who eq 'nobody';
    my ($subject, $scopes) = @{ $identity{$who} };
    my %has = map { $_ => 1 } split ' ', $scopes;
    return 'let in' if $has{'shop:admin'};
    return 403 if !$has{$needed};
    return 'let in' if $whom eq "\x{2014}" || $whom eq "\xe2\x80\x94" || $subject eq $ada;
    return $operation =~ m{/orders/} ? 404 : 403;
}

for my $operation (sort keys %described) {
    my (%is, %want);
    for my $who (sort keys %identity) {
        $is{$who} = try_as($who, $operation);
        $want{$who} = expected($who, $operation);
    }
    is_deeply \%is, \%want, "$operation ($described{$operation})" or diag explain \%is;
}

# Whatever is asked for, the edge has no other door.
is get('/.well-known/weir-edge', Authorization => undef)->{status}, 204, 'a path that is public';
is get('/.well-known/jwks.json', Authorization => undef)->{status}, 200,
    '... and the public keys of identities';
unlike get('/.well-known/jwks.json')->{content}, qr/"d"/, '... which have no private part';
is get($_, Authorization => undef)->{status}, 404, "$_ is not there"
    for qw(/metrics /livez /readyz /status /traces);
is get('/products', Authorization => 'Bearer a.b.c')->{status}, 401, 'a bad token is refused';

done_testing;
