# Keys from a URL: one fetch for all workers, rotation under load, a flood of unknown keys, reload,
# and a worker that is killed while it fetches.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..", $Bin, "$Bin/../../cache", "$Bin/../../../lib";
use IO::Socket::INET;
use Issuer;
use JSON::PP 'decode_json';
use Scene;
use Test::More;
use Token;
use Weir::Processes;

certificates();
new_key($_, $dir) for qw(main next);
publish('issuer', 'main');
start_issuer('issuer', tls => 1);

my $url = 'https://127.0.0.1:' . issuer_port('issuer') . '/keys?tenant=1';
start_upstream(sub { answer('200 OK', [], 'in') });
start_edge(<<"HTTP", <<'SERVER', workers => 2, events => 'worker_connections 2048;');
    weir_jwt_issuer main {
        issuer https://issuer.example;
        audience api;
        jwks $url ssl_trusted_certificate=authority.crt refresh=24h timeout=20s;
    }
HTTP
    location / { weir_jwt main; proxy_pass http://UPSTREAM; }
    location = /metrics { weir_jwt off; weir_metrics; }
    location = /status { weir_jwt off; weir_status; }
    location /any {
        satisfy any; allow 127.0.0.1; deny all;
        weir_jwt main;
        proxy_pass http://UPSTREAM;
    }
SERVER

sub status { my ($token, $path) = @_; return get($path // '/', bearer($token))->{status} }

sub workers { return split ' ', slurp("/proc/$pid{edge}/task/$pid{edge}/children") }

# Requests that are sent before any answer is read; their statuses.
sub at_once {
    my (@tokens) = @_;
    my @clients = map {
        my $client = IO::Socket::INET->new('127.0.0.1:' . port_of_edge()) or die $!;
        $client->print("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
            . "Authorization: Bearer $_\r\n\r\n");
        $client;
    } @tokens;
    return map { my $line = readline($_) // ''; $line =~ / (\d+)/ ? $1 : 0 } @clients;
}

# --- the first set ---

my $main = token_of('main');
is_deeply [at_once(($main) x 20)], [(200) x 20], 'requests wait for the first set';
is scalar(fetches('issuer')), 1, 'one worker fetches it for all';
my ($fetch) = fetches('issuer');
is $fetch->{path}, '/keys?tenant=1', 'the path and its arguments are those of the URL';
like $fetch->{headers}{Accept}, qr{application/jwk-set\+json}, '... it asks for a JWK Set';
is $fetch->{headers}{Host}, '127.0.0.1:' . issuer_port('issuer'), '... of that host';
is scalar(grep { /uses the set of 1 keys that is at/ } logged(qr/notice/)), 1, '... and logs it';

# --- rotation: published before it signs, removed after it stopped ---

my $next = token_of('next');
publish('issuer', 'main', 'next');
is_deeply [at_once(map { ($main, $next) } 1 .. 40)], [(200) x 80],
    'tokens of a key that was just published are admitted, without one failed request';
until_true('the fetch is logged', sub { logged(qr/uses the set of 2 keys/) });
cmp_ok scalar(fetches('issuer')), '<=', 3, '... by one fetch, or one that was under way';
is_deeply [map { status($next) } 1 .. 10], [(200) x 10], '... in all workers';

publish('issuer', 'next');
is status(unknown()), 401, 'an unknown key is refused after a fetch';
until_true('the key is gone', sub { logged(qr/uses the set of 1 keys.*/) >= 2 });
until_true('in all workers', sub { !grep { $_ != 401 } map { status($main) } 1 .. 10 });
pass 'a token of a key that was removed is refused, though it was verified before';
is status($next), 200, '... one of the other key is not';

# --- a flood ---

my $before = fetches('issuer');
my @statuses = at_once(map { unknown() } 1 .. 60);
is_deeply \@statuses, [(401) x 60], 'a flood of unknown keys is refused';
my @times = map { $_->{time} } (fetches('issuer'))[$before - 1 .. fetches('issuer') - 1];
ok !(grep { $times[$_] - $times[ $_ - 1 ] < 0.95 } 1 .. $#times),
    '... with a fetch in a second at most'
    or diag "@times";

# Beyond the bound of those that wait, they are refused at once; and others are not affected.
behave('issuer', hang => 1);
@statuses = at_once((map { $_ % 2 ? $next : 'a' } 1 .. 20), unknown(), ($next) x 5);
is_deeply [@statuses[0 .. 19]], [map { $_ % 2 ? 200 : 401 } 1 .. 20],
    'known tokens are admitted while the issuer hangs';
is $statuses[20], 401, '... and an unknown key is refused after some time';

# --- kill -9 of the worker that fetches ---

sub fetching {
    my $port = sprintf '%04X', issuer_port('issuer');
    my @inodes =
        slurp('/proc/net/tcp') =~ /^ *\d+: \w+:\w+ 0100007F:$port 01(?: +\S+){5} +(\d+) /mg;
    my %ours = map { ("socket:[$_]" => 1) } @inodes;
    return grep { my $w = $_; grep { $ours{ readlink // '' } } glob "/proc/$w/fd/*" } workers();
}
my ($victim) = until_true('a worker fetches', sub { my @w = fetching(); @w && $w[0] });
publish('issuer', 'main', 'next');
kill 'KILL', $victim;
until_true('the worker is replaced', sub {
    my @w = workers();
    @w == 2 && !grep { $_ == $victim } @w;
});
until_true('another worker fetches', sub { status($main) == 200 });
pass 'another worker fetches when the one that did was killed';
is_deeply [map { status($_) } ($next) x 10], [(200) x 10], '... and nothing was lost';

# --- metrics ---

sub metric { my ($name, $labels) = @_;
    return get('/metrics')->{content} =~ /^\Q$name\E\Q$labels\E (\d+)$/m ? $1 : undef;
}
is metric('weir_jwt_keys', '{issuer="main"}'), 2, 'metrics: the keys of the set';
ok defined metric('weir_jwt_keys_age_seconds', '{issuer="main"}'), '... their age';
cmp_ok metric('weir_jwt_fetches_total', '{issuer="main",result="changed"}'), '>=', 4, '... fetches';
$before = metric('weir_jwt_tokens_total', '{issuer="main",result="verified"}');
status($next) for 1 .. 5;
is metric('weir_jwt_tokens_total', '{issuer="main",result="verified"}'), $before + 5,
    '... tokens that were verified, each once';
for my $refusal (['expired', token_of('main', exp => 1)],
    ['bad_signature', $main =~ s/.{8}$/AAAAAAAA/r], ['not_compact', 'a'],
    ['unknown_key', unknown()])
{
    my ($result, $token) = @$refusal;
    $before = metric('weir_jwt_tokens_total', "{issuer=\"main\",result=\"$result\"}");
    status($token);
    is metric('weir_jwt_tokens_total', "{issuer=\"main\",result=\"$result\"}"), $before + 1,
        "... and refused: $result";
}
my $status = decode_json(get('/status')->{content})->{issuers}{main};
is $status->{keys}, 2, 'weir_status: the keys';
cmp_ok $status->{fetches}{changed}, '>=', 4, '... fetches';
cmp_ok $status->{tokens}{verified}, '>', 5, '... tokens';
is $status->{failing} ? 1 : 0, 0, '... and whether the last fetch failed';

# --- reload ---

stop('issuer', 'KILL');
my $n = fetches('issuer');
my @old = workers();
kill 'HUP', $pid{edge};
until_true('new workers', sub {
    my %old = map { ($_ => 1) } @old;
    my @w = workers();
    @w == 2 && !grep { $old{$_} } @w;
});
is_deeply [at_once(($main, $next) x 10)], [(200) x 20],
    'a reload keeps the set, also while the issuer is down';
is status(unknown()), 401, 'an unknown key is refused while the issuer is down';
is status(unknown(), '/any'), 200, 'with "satisfy any" another module may admit it';

start_issuer('issuer', tls => 1);
publish('issuer', 'main');
until_true('the issuer is seen again', sub {
    status(unknown());
    logged(qr/uses the set of 1 keys/) >= 3;
});
is status($main), 200, 'the issuer is back';

my @errors = logged(qr/\[(?:error|crit|alert|emerg)\]/);
is_deeply [grep { !/exited on signal 9/ } @errors], [], 'no errors are logged';

done_testing();
