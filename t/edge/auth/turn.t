# A flood of new tokens: signatures are verified in turn, other requests are answered in between,
# and an address that floods does not delay the tokens of others.
#
# The worker is stopped while requests are sent, so it finds all of them at once. What it then
# answers, and in which order, is in its access log: the tests count lines, and measure no time.
use strict;
use warnings;

use FindBin '$Bin';
use lib $Bin, "$Bin/../cache", "$Bin/../../lib";
use IO::Select;
use IO::Socket::INET;
use MIME::Base64 'encode_base64url';
use Scene;
use Test::More;
use Token;
use Weir::Http2;
use Weir::Processes;

plan skip_all => 'sends many requests by sockets of its own' if in_world('tls', 'http2');

my $flood = 300;
my $http2 = free_port();
my $both = free_port();

new_key('main', $dir);
system('openssl', 'ecparam', '-name', 'secp521r1', '-genkey', '-noout', '-out', "$dir/big.pem") == 0
    or die 'openssl';
my $point = substr `openssl ec -in $dir/big.pem -pubout -outform DER 2>$dir/openssl.log`, -132;
my $big = JSON::PP->new->canonical->encode({
    kty => 'EC', crv => 'P-521', kid => 'big', use => 'sig',
    x => encode_base64url(substr $point, 0, 66), y => encode_base64url(substr $point, 66) });
spit("$dir/main.jwks", jwks('main') =~ s/\]\}$/,$big]}/r);

start_upstream(sub { answer('200 OK', [], 'fresh') });
start_edge(<<"HTTP", <<"SERVER", events => 'worker_connections 4096;');
    weir_jwt_issuer main { issuer https://issuer.example; audience api; jwks main.jwks; }
    log_format who '\$remote_addr \$status \$request_uri';
    log_format retry '\$status \$sent_http_retry_after';
HTTP
    location /api { weir_jwt main; proxy_pass http://UPSTREAM; }
    location /early {
        set \$early "\$weir_jwt_subject";
        add_header X-Early "\$early";
        add_header X-Subject "\$weir_jwt_subject";
        weir_jwt main;
        proxy_pass http://UPSTREAM;
    }
    location /open { return 204; }
    access_log $dir/logs/who.log who;
    access_log $dir/logs/retry.log retry;
    listen 127.0.0.1:$http2 http2;
    listen [::]:$both ipv6only=off;
    http2_max_concurrent_streams 4096;
    keepalive_requests 10000;
SERVER

my $worker;
until_true('a worker', sub {
    ($worker) = split ' ', slurp("/proc/$pid{edge}/task/$pid{edge}/children");
    $worker;
});

# A token that has everything but a signature: each costs the verification of one of P-521.
my $n = 0;
sub forged {
    my $text = encode_base64url('{"alg":"ES512","kid":"big"}') . '.'
        . encode_base64url(JSON::PP->new->encode(claims(jti => 'n' . ++$n)));
    my $number = sub { "\0" . join '', map { chr int rand 256 } 1 .. 65 };
    return "$text." . encode_base64url($number->() . $number->());
}

# Sends a request from that address; returns its connection.
sub send_from {
    my ($address, $path, $token, $port) = @_;
    my $socket = IO::Socket::INET->new(LocalAddr => $address,
        PeerAddr => '127.0.0.1:' . ($port // port_of_edge())) or die "$address: $!";
    $socket->print("GET $path HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
            . ($token ? "Authorization: Bearer $token\r\n" : '') . "\r\n");
    return $socket;
}

# The status and the fields of its response.
sub answered {
    my ($socket) = @_;
    local $/;
    my $response = <$socket>;
    my ($status) = $response =~ m{^HTTP/1.1 (\d+)} or return 'none';
    return wantarray ? ($status, $response) : $status;
}

sub seen { split /\n/, slurp("$dir/logs/who.log") }

# The place of a request in the order of answers, since that line.
sub place {
    my ($line, $from) = @_;
    my @lines = seen();
    for my $i ($from .. $#lines) {
        return $i - $from if $lines[$i] eq $line;
    }
    return -1;
}

# --- one address floods, others ask ---

my $known = token(sub => 'known');
is answered(send_from('127.0.0.1', '/api/known', $known)), 200, 'a token that is known later';

kill 'STOP', $worker;
my @forged = map { send_from('127.0.0.1', '/api/forged', forged()) } 1 .. $flood;
my @others = (
    send_from('127.0.0.2', '/api/new', token(sub => 'new')),
    send_from('127.0.0.3', '/api/other', token(sub => 'other')),
    send_from('127.0.0.1', '/api/known?again', $known),
    send_from('127.0.0.2', '/api/absent'),
    send_from('127.0.0.2', '/open'),
);
my $from = () = seen();
kill 'CONT', $worker;

is answered($others[0]), 200, 'another address: a new token';
is answered($others[1]), 200, '... of a third';
is answered($others[2]), 200, 'the same address: a known token';
is answered($others[3]), 401, '... none';
is answered($others[4]), 204, '... a location without weir_jwt';
my %statuses;
$statuses{ answered($_) }++ for @forged;
is_deeply [sort keys %statuses], [401], 'all forgeries are refused';

until_true('all are logged', sub { (() = seen()) >= $from + $flood + @others });
my @late = (['127.0.0.2 200 /api/new', 'a new token'],
    ['127.0.0.3 200 /api/other', 'another new token'],
    ['127.0.0.1 200 /api/known?again', 'a known token'], ['127.0.0.2 401 /api/absent', 'no token'],
    ['127.0.0.2 204 /open', 'no weir_jwt']);
for my $is (@late) {
    my $place = place($is->[0], $from);
    ok $place >= 0 && $place < $flood / 2,
        "$is->[1]: sent last, answered before half of the forgeries" or diag $place;
}

# --- addresses of IPv4 on a socket of IPv6 ---

kill 'STOP', $worker;
@forged = map { send_from('127.0.0.1', '/api/forged', forged(), $both) } 1 .. $flood;
my $mapped = send_from('127.0.0.2', '/api/mapped', token(sub => 'mapped'), $both);
$from = () = seen();
kill 'CONT', $worker;
is answered($mapped), 200, 'ipv6only=off: another address of IPv4';
answered($_) for @forged;
until_true('all are logged', sub { (() = seen()) >= $from + $flood + 1 });
my $place = place('::ffff:127.0.0.2 200 /api/mapped', $from);
ok $place >= 0 && $place < $flood / 2, '... is no part of the flood' or diag $place;

# --- a forged token that comes again ---

my $again = forged();
is answered(send_from('127.0.0.1', '/api/first', $again)), 401, 'a forged token';
kill 'STOP', $worker;
@forged = map { send_from('127.0.0.4', '/api/forged', forged()) } 1 .. $flood;
push @forged, send_from('127.0.0.4', '/api/again', $again);
$from = () = seen();
kill 'CONT', $worker;
answered($_) for @forged;
until_true('all are logged', sub { (() = seen()) >= $from + @forged });
$place = place('127.0.0.4 401 /api/again', $from);
ok $place < $flood / 2, '... is refused from memory, not in turn' or diag $place;

# --- the same new token, many times ---

kill 'STOP', $worker;
my $same = token(sub => 'same');
@others = map { send_from('127.0.0.5', '/api/same', $same) } 1 .. 100;
kill 'CONT', $worker;
is join(' ', grep { $_ != 200 } map { scalar answered($_) } @others), '',
    'a new token in a hundred requests at once';

# --- more than may wait ---

kill 'STOP', $worker;
my $client = Weir::Http2->new($http2);
my @streams = map {
    $client->open('GET', '/api/forged', 1, authorization => 'Bearer ' . forged())
} 1 .. 1300;
@others = map { send_from('127.0.0.2', '/api/few', token(sub => "few $_")) } 1 .. 5;
$from = () = seen();
kill 'CONT', $worker;
is join(' ', map { scalar answered($_) } @others), '200 200 200 200 200',
    'a full queue has room for an address with few';
%statuses = ();
my $busy;
for my $stream (@streams) {
    my $is = $client->answer($stream);
    $statuses{ $is->{status} }++;
    $busy //= $is if $is->{status} == 503;
}
is_deeply [sort keys %statuses], [401, 503], '... and the flood is refused, in part with 503';
cmp_ok $statuses{401}, '<=', 1024 + 200, '... what is more than may wait';
is scalar(grep { /^503/ && $_ ne '503 1' } split /\n/, slurp("$dir/logs/retry.log")), 0,
    '... which says when to try again';
like $busy->{body} // '', qr/Too many tokens wait/, '... and why';
is answered(send_from('127.0.0.1', '/api/after', token(sub => 'after'))), 200,
    'afterwards the address is as good as others';

# --- clients that leave, streams that are reset ---

kill 'STOP', $worker;
@forged = map { send_from('127.0.0.1', '/api/gone', forged()) } 1 .. $flood;
$client = Weir::Http2->new($http2);
@streams = map { $client->open('GET', "/api/reset?$_", 1, authorization => 'Bearer ' . forged()) }
    1 .. 20;
my $good = $client->open('GET', '/api/stream', 1,
    authorization => 'Bearer ' . token(sub => 'stream'));
$client->reset($_) for @streams;
$from = () = seen();
kill 'CONT', $worker;
is answered(send_from('127.0.0.1', '/open')), 204, 'the worker has read all that came before';
kill 'STOP', $worker;
$_->close for @forged;
kill 'CONT', $worker;
is $client->answer($good)->{status}, 200, 'a stream beside others that are reset';
until_true('all are logged', sub { (() = seen()) >= $from + @forged + @streams + 2 });
cmp_ok scalar(grep { m{ 499 /api/reset} } seen()), '>=', 15,
    'streams that were reset are not answered';
cmp_ok scalar(grep { m{ 499 /api/gone} } seen()), '>', 10, '... nor clients that have left';

# --- variables before the access phase ---

until_true('nothing waits', sub {
    answered_early(token(sub => 'early' . ++$n)) =~ /^X-Early: early/m;
});
like answered_early(token(sub => 'early')), qr/^X-Early: early\r$/m,
    'a variable that is read early, of a new token';

kill 'STOP', $worker;
@forged = map { send_from('127.0.0.1', '/api/forged', forged()) } 1 .. $flood;
my $early = send_from('127.0.0.1', '/early', token(sub => 'late'));
kill 'CONT', $worker;
my (undef, $response) = answered($early);
unlike $response, qr/^X-Early/m, '... cannot wait: it is empty then';
like $response, qr/^X-Subject: late\r$/m, '... and known behind the access phase';
answered($_) for @forged;

sub answered_early { (answered(send_from('127.0.0.1', '/early', shift)))[1] }

is join("\n", logged(qr/\[(alert|emerg|crit)\]/)), '', 'no alert';

done_testing;
