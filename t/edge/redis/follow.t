# The streams that an edge follows share a connection: what happens to one of them stops no other.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/../auth", "$Bin/../cache", "$Bin/../../lib";
use JSON::PP;
use Scene;
use Test::More;
use Token;
use Weir::Processes;
use Weir::Redis qw(redis_server redis_users);

new_key('main', $dir);
spit("$dir/main.jwks", jwks('main'));
start_upstream(sub {
    my ($path) = @_;
    return answer('200 OK', ['Cache-Control: max-age=600', 'Cache-Tag: all'], 'fresh');
});

my $issuer = 'https://issuer.example';
$Scene::redis_address = my $redis = free_port();
spawn('redis', [redis_server(), redis_users($dir), '--port', $redis, '--save', '',
            '--dir', $dir]);
until_true('Redis listens', sub { listens($redis) });

start_edge(<<"HTTP", <<'SERVER', workers => 3);
    weir_jwt_issuer main { issuer $issuer; audience api; jwks main.jwks; }
    weir_jwt_revocation redis=main;
    weir_cache_zone one 1m redis=main;
    weir_cache_zone two 1m redis=main;
HTTP
    location /token { weir_jwt main; proxy_pass http://UPSTREAM; }
    location /one { weir_cache one; proxy_pass http://UPSTREAM; }
    location /two { weir_cache two; proxy_pass http://UPSTREAM; }
    location = /status { weir_status; }
SERVER

sub zones { decode_json(get('/status')->{content})->{caches} }
sub status { (get(@_)->{headers}{'cache-status'} // '') =~ /; hit/ ? 'hit' : 'miss' }
sub readers { grep { /cmd=xread\b/ } split /\n/, redis('CLIENT', 'LIST') }

my $n = 0;
sub revoked {
    my ($what) = @_;
    my $token = token(jti => 'j' . ++$n, sub => 'alice');
    is get('/token', bearer($token))->{status}, 200, "$what: a token";
    redis('XADD', 'weir:revoked', '*', 'iss', $issuer, 'jti', "j$n");
    until_true("$what: it is revoked",
        sub { get('/token', bearer($token))->{status} == 401 });
    pass("$what: it is revoked");
}
sub invalidated {
    my ($what) = @_;
    for my $path ('/one', '/two') {
        until_true("$what: $path is stored", sub { status($path) eq 'hit' });
    }
    redis('XADD', 'weir:invalidate', '*', 'tags', 'all');
    for my $path ('/one', '/two') {
        until_true("$what: $path is invalidated", sub { status($path) eq 'miss' });
    }
    pass("$what: both zones read the invalidation");
}

revoked('at first');
invalidated('at first');
until_true('one connection waits for all streams', sub { readers() == 1 });
my ($follower, $other) = map { zones()->{$_}{invalidations}{follower} } 'one', 'two';
is $follower, $other, 'one worker follows all streams';

# --- a key that is no stream ---

redis('DEL', 'weir:revoked');
redis('SET', 'weir:revoked', 'no stream');
until_true('an error says so',
    sub { logged(qr/cannot read which tokens are revoked: Redis answered/) });
invalidated('weir:revoked is no stream');
until_true('the others wait for messages', sub { readers() == 1 });
redis('DEL', 'weir:revoked');
revoked('it is one again');

redis('SET', 'weir:invalidate', 'no stream');
until_true('an error says so', sub { logged(qr/"one" cannot read invalidations/) });
revoked('weir:invalidate is no stream');
redis('DEL', 'weir:invalidate');
invalidated('it is one again');
until_true('one connection again', sub { readers() == 1 });

# --- a stream whose last entry was deleted ---

my $id = redis('XADD', 'weir:revoked', '*', 'iss', $issuer, 'jti', 'gone');
$id =~ s/"//g;
redis('XDEL', 'weir:revoked', $id);
revoked('the last entry was deleted');
invalidated('the last entry was deleted');

# --- many messages of one stream ---

redis('EVAL', <<'LUA', 1, 'weir:revoked', $issuer);
    for i = 1, 5000 do redis.call('XADD', KEYS[1], '*', 'iss', ARGV[1], 'jti', 'many' .. i) end
LUA
invalidated('thousands of revocations');
revoked('thousands of revocations');

# --- a worker dies; a reload with one more zone ---

kill 'KILL', $follower;
until_true('another worker follows', sub {
    my $z = zones();
    my @now = map { $z->{$_}{invalidations}{follower} } 'one', 'two';
    $now[0] && $now[0] == $now[1] && $now[0] != $follower;
});
revoked('another worker');
invalidated('another worker');
until_true('one connection', sub { readers() == 1 });

# In some worlds nginx runs with a copy.
my ($file) = grep { -e } "$dir/nginx.conf.world", "$dir/nginx.conf";
my $conf = slurp($file);
$conf =~ s/(weir_cache_zone two[^\n]*)/$1\nweir_cache_zone three 1m redis=main;/ or die $conf;
$conf =~ s{(location /two)}
    {location /three { weir_cache three; proxy_pass http://127.0.0.1:1; }\n$1} or die $conf;
spit($file, $conf);
kill 'HUP', $pid{edge};
until_true('a zone more, and one follower of all', sub {
    my $z = zones();
    my %now = map { ($z->{$_}{invalidations}{follower} // 0) => 1 } 'one', 'two', 'three';
    $z->{three} && keys %now == 1 && !$now{0};
});
revoked('after a reload');
invalidated('after a reload');
until_true('one connection', sub { readers() == 1 });

is join("\n", grep { !/exited on signal 9/ } logged(qr/\[(alert|emerg|crit)\]/)), '', 'no alert';
done_testing;
