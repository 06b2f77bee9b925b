# weir_jwt_revocation: tokens that the stream weir:revoked names are refused by all workers, also
# when Redis is silent, emptied or trimmed, and after a reload.
use strict;
use warnings;

use FindBin '$Bin';
use lib $Bin, "$Bin/../cache", "$Bin/../../lib";
use Scene;
use Test::More;
use Token;
use Weir::Processes;
use Weir::Redis qw(redis_answers redis_server redis_users redis_watch);

new_key('main', $dir);
spit("$dir/main.jwks", jwks('main'));
start_upstream(sub { answer('200 OK', [], 'fresh') });

my $issuer = 'https://issuer.example';
$Scene::redis_address = my $redis = free_port();

sub start_redis {
    spawn('redis',
        [redis_server(), '--port', $redis, '--save', '', '--dir', $dir, redis_users($dir)]);
    until_true('Redis answers', sub { redis_answers($redis) });
    redis_watch($redis);
}

start_redis();

# Before the edge has read anything: entries that are too old for any token, and one that is not.
redis('EVAL', <<'LUA', 1, 'weir:revoked', $issuer);
    for i = 1, 300 do redis.call('XADD', KEYS[1], '1-' .. i, 'iss', ARGV[1], 'jti', 'old' .. i) end
LUA
redis('XADD', 'weir:revoked', '*', 'iss', $issuer, 'jti', 'early');

start_edge(<<'HTTP', <<'SERVER', workers => 2);
    weir_jwt_issuer main { issuer https://issuer.example; audience api; jwks main.jwks;
        leeway 2m; }
    weir_jwt_revocation redis=main keep=2h staleness=3s size=64k;
HTTP
    location / { weir_jwt main; proxy_pass http://UPSTREAM; }
    location /open { weir_jwt main optional; proxy_pass http://UPSTREAM; }
SERVER

# The statuses of many requests, each with a connection of its own, so that both workers get some.
sub statuses {
    my ($token, $path) = @_;
    my %statuses;
    $statuses{ get($path // '/', $token ? bearer($token) : {})->{status} }++ for 1 .. 12;
    return join ' ', sort keys %statuses;
}

sub becomes {
    my ($token, $status, $what) = @_;
    until_true("$what: $status", sub { statuses($token) eq $status });
    pass("$what: $status");
}

sub revoke { redis('XADD', 'weir:revoked', '*', 'iss', $issuer, @_) }

my $n = 0;
sub fresh { token(jti => 'j' . ++$n, sub => "s$n", @_) }

my $good = fresh();
becomes($good, 200, 'once the stream was read, a good token');
until_true('the old entries are removed', sub { redis('XLEN', 'weir:revoked') eq '1' });
is statuses($good), 200, '... which refuses nothing';
is statuses(fresh(jti => 'early')), 401, 'a token that was revoked before';

# --- by jti and sub ---

my $is = fresh(jti => 'one', sub => 'alice');
is statuses($is), 200, 'a token';
revoke(jti => 'one');
becomes($is, 401, 'revoked by its jti');
my $r = get('/', bearer($is));
is $r->{headers}{'www-authenticate'}, 'Bearer realm="main", error="invalid_token"',
    '... an invalid token';
is statuses($is, '/open'), 401, '... also where a token is optional';
is statuses(fresh(jti => 'other', sub => 'alice')), 200, '... others of its subject are good';
is statuses($good), 200, '... as are others';
ok scalar(logged(qr/the token was revoked/)), '... the log says why';

my $bob = fresh(sub => 'bob', iat => time - 60);
is statuses($bob), 200, 'tokens of a subject';
revoke(sub => 'bob', before => time - 30);
becomes($bob, 401, 'revoked by its subject');
my $later = fresh(sub => 'bob', iat => time - 29);
is statuses($later), 200, '... a later one is good';
revoke(sub => 'bob');
becomes($later, 401, '... until all up to now are revoked');
is statuses(fresh(sub => 'bob', iat => time + 20)), 200, '... and later ones are good';

redis('XADD', 'weir:revoked', '*', 'iss', 'https://other.example', 'jti', 'mine');
revoke(jti => 'marker');
becomes(fresh(jti => 'marker'), 401, 'a marker');
is statuses(fresh(jti => 'mine')), 200, 'the jti of another issuer';

# --- weirctl ---

spit("$dir/weir.conf", <<"CONF");
redis = redis://127.0.0.1:$redis/0
redis_user = weir-ctl
redis_password_file = $dir/redis-passwords/weir-ctl
CONF
sub weirctl {
    open my $out, '-|', "$Bin/../../../build/weirctl -c $dir/weir.conf @_ 2>&1" or die $!;
    local $/;
    my $text = <$out>;
    close $out;
    return ($? >> 8) . " $text";
}
my $carol = fresh(sub => 'carol', jti => 'c1');
my $dave  = fresh(sub => 'dave', jti => 'd1');
is statuses($carol) . statuses($dave), '200200', 'two tokens';
# The file has nothing but the address of Redis: an edge alone has no database.
like weirctl('revoke', 'jti', $issuer, 'c1', '--exp', time + 3600), qr/^0 stream +weir:revoked\n/,
    'weirctl revoke jti';
becomes($carol, 401, '... its token');
like weirctl('revoke', 'sub', $issuer, 'dave', '--json'), qr/^0 .*"entry": ?"\d+-\d+"/s,
    'weirctl revoke sub';
becomes($dave, 401, '... its tokens');
like weirctl('revoke', 'sub', $issuer, 'dave', '--before', 'now'),
    qr/^2 .*"now" must be a number of seconds/, '... a time that is none';
like weirctl('revoke', 'sub', $issuer, '--json', "''"), qr/^2 .*the sub is empty/, '... no name';
like weirctl('outbox'), qr/^2 .*key "database" is missing/, '... others need the database';

# --- what must be known of a token ---

my %timeless = %{ claims() };
delete $timeless{iat};
is statuses(sign('main', '{"alg":"RS256","kid":"main"}', JSON::PP->new->encode(\%timeless))),
    401, 'a token without iat';
is statuses(fresh(exp => time + 3 * 3600)), 401, '... that lives longer than revocations are kept';
is statuses(fresh(exp => time + 2 * 3600 - 60)), 200, '... not longer';
is statuses(fresh(iat => time + 700, exp => time + 900)), 401, '... or begins far ahead';
ok scalar(logged(qr/lives longer than revocations are kept/)), '... the log says why';

# --- entries that are not understood ---

revoke();
revoke(jti => 'x', sub => 'y');
revoke(jti => 'behind');
becomes(fresh(jti => 'behind'), 401, 'what comes behind malformed entries');
is scalar(logged(qr/revokes nothing: it has not one of jti and sub/)), 2, '... which are logged';

# An issuer with a "/" at its end, say, is another one.
redis('XADD', 'weir:revoked', '*', 'iss', "$issuer/", 'sub', 'eve');
revoke(jti => 'after');
becomes(fresh(jti => 'after'), 401, 'what comes behind an issuer that is not known');
is statuses(fresh(sub => 'eve')), 200, '... which revokes nothing';
my $unknown = qr/names the issuer "(.*)", which no weir_jwt_issuer has: it revokes nothing here/;
my ($first) = map { /$unknown/ } logged($unknown);
is $first, 'https://other.example', 'the first such entry is logged';
is scalar(logged($unknown)), 1, '... and no other one in the same minute';

# --- reload ---

kill 'HUP', $pid{edge};
until_true('other workers', sub { logged(qr/gracefully shutting down/) });
is statuses($is), 401, 'after a reload: a revoked token';
is statuses($good), 200, '... a good one';

# --- Redis is silent, is emptied, comes back empty ---

kill 'STOP', $pid{redis};
is statuses($is), 401, 'Redis is silent: a revoked token';
becomes($good, 503, '... for longer than staleness');
$r = get('/', bearer($good));
is $r->{headers}{'retry-after'}, 1, '... with Retry-After';
like $r->{content}, qr/not known now which tokens were revoked/, '... and a problem';
is statuses(undef, '/open'), 200, '... without a token';
is statuses('a.b.c'), 401, '... with a bad one';
kill 'CONT', $pid{redis};
becomes($good, 200, '... and when it speaks again');

redis('FLUSHALL');
revoke(jti => 'after');
becomes(fresh(jti => 'after'), 401, 'Redis was emptied: a new revocation');
is statuses($is), 401, '... what was revoked before stays so';
is statuses($good), 200, '... nothing else is';

stop('redis', 'KILL');
start_redis();
becomes($good, 200, 'Redis was restarted, empty');
revoke(jti => 'restarted');
becomes(fresh(jti => 'restarted'), 401, '... a new revocation');
is statuses($is), 401, '... what was revoked before stays so';

# --- the stream is deleted, and its IDs begin again ---

redis('DEL', 'weir:revoked');
redis('XADD', 'weir:revoked', '1-1', 'iss', $issuer, 'jti', 'again', 'exp', time + 3600);
becomes(fresh(jti => 'again'), 401, 'the stream began again with lower IDs');
is statuses($good), 200, '... nothing else is revoked';

# --- entries that were trimmed before they were read ---

# What an edge has trimmed from another stream, or this one, hides nothing.
redis('DEL', 'weir:revoked');
redis('SET', 'weir:revoked:trimmed', 2);
revoke(jti => 'next');
becomes(fresh(jti => 'next'), 401, 'another stream');
is statuses($good), 200, '... nothing else is revoked';

# The follower does not see the stream between the two commands.
my $before = fresh();
is statuses($before), 200, 'a token';
redis('EVAL', <<'LUA', 1, 'weir:revoked', $issuer);
    redis.call('XADD', KEYS[1], '*', 'iss', ARGV[1], 'jti', 'trimmed')
    redis.call('XADD', KEYS[1], '*', 'iss', ARGV[1], 'jti', 'kept')
    return redis.call('XTRIM', KEYS[1], 'MAXLEN', 1)
LUA
becomes($before, 401, 'entries were removed unread: tokens issued before are refused');
is statuses(fresh(iat => time + 60)), 200, '... later ones are good';
ok scalar(logged(qr/were removed from the stream "weir:revoked" before they were read/)),
    '... and an error says so';

# Who may add entries chooses their IDs: here of the year 2100.
redis('EVAL', <<'LUA', 1, 'weir:revoked', $issuer);
    redis.call('XADD', KEYS[1], '4102444800000-1', 'iss', ARGV[1], 'jti', 'trimmed')
    redis.call('XADD', KEYS[1], '4102444800000-2', 'iss', ARGV[1], 'jti', 'kept')
    return redis.call('XTRIM', KEYS[1], 'MAXLEN', 1)
LUA
until_true('entries of the future were removed unread',
    sub { (() = logged(qr/were removed from the stream "weir:revoked" before they/)) == 2 });
is statuses(fresh(iat => time + 100)), 200, 'entries of the future refuse no tokens of the future';
redis('DEL', 'weir:revoked');

# --- more than there is room for ---

# Those of the second of the floor need no room.
my $then = time;
until_true('another second', sub { time > $then });
revoke(jti => "many $_") for 1 .. 1500;
until_true('the table is full', sub { logged(qr/there is no room for another revocation/) });
until_true('tokens of later', sub { statuses(fresh(iat => time + 100)) eq '200' });
is statuses(fresh(jti => 'many 1', iat => time - 5)), 401, 'a full table: an old token is refused';
is statuses(fresh(jti => 'many 1200', iat => time - 5)), 401, '... any';

# --- processes ---

$then = time;
until_true('another second', sub { time > $then });
my @workers = split ' ', slurp("/proc/$pid{edge}/task/$pid{edge}/children");
for my $worker (@workers) {
    kill 'KILL', $worker;
    until_true('it is gone', sub { !kill 0, $worker });
    revoke(jti => "killed $worker");
    becomes(fresh(jti => "killed $worker", iat => time + 100), 401, 'a worker was killed');
}

is join("\n",
    grep { !/exited on signal 9|no room for another/ } logged(qr/\[(alert|emerg|crit)\]/)),
    '', 'no other alert';

done_testing;
