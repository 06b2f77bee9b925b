# The cache when its Redis is killed, hangs, is full, comes back; when clients
# leave and nginx reloads or stops while Redis is asked.  The edge never makes
# it worse: whatever happens, requests go to the upstream.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..", "$Bin/../../../lib";
use IO::Socket::INET;
use Scene;
use Test::More;
use Weir::Redis qw(redis_answers redis_expects_refusals redis_login redis_rules redis_server
    redis_users);

my $port = free_port();
$Scene::redis_address = $port;

sub start_redis {
    spawn('redis',
        [redis_server(), '--port', $port, '--bind', '127.0.0.1', '--dir', $dir, '--save', '',
            '--appendonly', 'no', redis_users($dir)]);
    until_true('Redis answers', sub { redis_answers($port) });
}

# Redis is back when the zones follow its stream: it is another stream, and responses stored
# before the zones know that are lost with the old one.
my @zones = ('failures', 'patient');
sub eras_of { my $zone = shift; scalar logged(qr/"$zone" reads the invalidations of era/) }
sub until_followed {
    my %eras = @_;
    for my $zone (@zones) { until_true("$zone follows", sub { eras_of($zone) > $eras{$zone} }) }
}

sub restart_redis {
    my %eras = map { $_ => eras_of($_) } @zones;
    start_redis();
    until_followed(%eras);
}

sub is_stopped { slurp("/proc/$pid{redis}/stat") =~ /\) T / }
sub stop_redis { kill 'STOP', $pid{redis}; until_true('redis is stopped', \&is_stopped) }
sub continue_redis { kill 'CONT', $pid{redis} }

start_redis();
redis_expects_refusals();
my $login = redis_login();
start_upstream(sub {
    my ($path, $request, $n) = @_;
    return answer('200 OK', ['Cache-Control: max-age=600'], "answer $n of $path");
});

# One zone with a Redis timeout of half a second, and one with a timeout longer than the test, in
# which only events end a wait, never the clock.
start_edge(<<"HTTP", <<'SERVER', timeout => '500ms');
    weir_redis patient redis://$login\@127.0.0.1:$port timeout=1h connect_timeout=1h;
    weir_cache_zone failures 1m redis=main;
    weir_cache_zone patient 1m redis=patient;
HTTP
    weir_cache failures l1=off;
    location /         { proxy_pass http://UPSTREAM; }
    location /patient  { weir_cache patient l1=off; proxy_pass http://UPSTREAM; }
    location = /status { stub_status; }
SERVER
until_followed(map { $_ => 0 } @zones);

# Several requests go out at once, on one connection.
sub send_get {
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . port_of_edge()) or die $!;
    my $last = pop;
    print $socket map({ "GET $_ HTTP/1.1\r\nHost: x\r\n\r\n" } @_),
        "GET $last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    return $socket;
}

sub rest_of { my $socket = shift; local $/; scalar(<$socket>) // '' }

# The same worker answers the status request, so it has read everything that was sent before.
sub connections { get('/status')->{content} =~ /Active connections: (\d+)/ ? $1 : -1 }
sub until_active {
    my $n = shift;
    until_true("$n connections are open", sub { connections() == $n + 1 });
}

sub until_hits {
    my $path = shift;
    until_true("$path is a hit", sub { cache_status(get($path)) =~ /; hit;/ });
}

my $unavailable = qr/^Weir; fwd=miss; fwd-status=200;( stored;)? detail=redis-unavailable$/;

get('/a');
like cache_status(get('/a')), qr/; hit;/, 'Redis answers';

# --- killed ---

stop('redis', 'KILL');
my @r = map { get('/a') } 1 .. 5;
is_deeply [map { $_->{content} } @r], [map { "answer $_ of /a" } 2 .. 6],
    'Redis killed: requests go to the upstream';
like cache_status($_), $unavailable, '... and Cache-Status says why' for @r;
unlike cache_status($r[4]), qr/stored/, '... and nothing about storing';
is scalar(grep { !/connection for streams/ } logged(qr/weir_redis "main" at .* is down/)), 1,
    '... and the log once';
is get('/a', { 'Cache-Control' => 'only-if-cached' })->{status}, 504,
    'only-if-cached is a 504 then';
is request('HEAD', '/a')->{status}, 200, 'HEAD passes';
is cache_status(request('POST', '/a')), 'Weir; fwd=method; fwd-status=200', 'POST passes as ever';

restart_redis();
until_hits('/a');
pass 'Redis back: hits again';

# --- hung ---

stop_redis();
my @waiting = map { send_get('/a') } 1 .. 20;
like rest_of($_), qr/^HTTP.1.1 200 .*detail=redis-unavailable/s, 'Redis hung: answered'
    for @waiting;
ok is_stopped(), '... all of them before Redis went on';
until_true('Redis is taken for down', sub { get('/a'); logged(qr/is down: does not answer/) });
my $asked = asked('/a');
get('/later') for 1 .. 20;
is asked('/later'), 20, 'then all go to the upstream';
ok is_stopped(), '... before Redis went on';
continue_redis();
until_hits('/a');
pass 'Redis back: hits again';
is scalar(grep { redis('GET', $_) =~ m{/later} } keys_of('failures')), 0,
    'once Redis is down, it is sent nothing, so no request waits for it';

# --- lost while it is asked ---

get('/patient/a');
like cache_status(get('/patient/a')), qr/; hit;/, 'the patient zone has hits too';
stop_redis();
@waiting = map { send_get('/patient/a') } 1 .. 5;
until_active(5);
stop('redis', 'KILL');
like rest_of($_), qr/^HTTP.1.1 200 .*detail=redis-unavailable/s,
    'Redis killed while it is asked: answered'
    for @waiting;
restart_redis();
until_hits('/patient/a');

# --- a client that has sent its next request already ---

stop_redis();
my $pipelined = IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . port_of_edge()) or die $!;
print $pipelined "GET /patient/a HTTP/1.1\r\nHost: x\r\n\r\n";
until_active(1);
print $pipelined map { "GET $_ HTTP/1.1\r\nHost: x\r\n\r\n" } '/patient/b', '/patient/a';
until_active(1);
continue_redis();
print $pipelined "GET /patient/c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
my $all = rest_of($pipelined);
close $pipelined;
is_deeply [$all =~ m{answer \d+ of (/patient/[abc])}g],
    ['/patient/a', '/patient/b', '/patient/a', '/patient/c'],
    'pipelined requests are answered in order when Redis was slow';

# --- clients that leave while Redis is asked ---

stop_redis();
@waiting = map { send_get('/patient/left') } 1 .. 50;
until_active(50);
close $_ for @waiting;
until_active(0);
ok is_stopped(), 'clients that leave are let go while Redis hangs';
continue_redis();
is get('/patient/left')->{content}, 'answer 1 of /patient/left',
    '... and nothing was asked for them';
like cache_status(get('/patient/left')), qr/; hit;/, '... and replies go to those who asked';
is get('/patient/a')->{content} =~ s/\d+/N/r, 'answer N of /patient/a', '... only';
my @clients = grep { !/cmd=client/ } split /\n/, redis('CLIENT', 'LIST');
cmp_ok scalar(@clients), '<=', 4,
    'one connection to each server remains, and one that follows invalidations for each zone';

# half of them leave
stop_redis();
@waiting = map { send_get($_ % 2 ? '/patient/a' : "/patient/half-$_") } 1 .. 40;
until_active(40);
for (my $i = 0; $i < 40; $i += 2) { close $waiting[$i] }    # those of /patient/a
until_active(20);
continue_redis();
for (my $i = 1; $i < 40; $i += 2) {
    my $path = '/patient/half-' . ($i + 1);
    like rest_of($waiting[$i]), qr{answer 1 of \Q$path\E$}, "$path gets its own answer";
}

# --- full ---

until_hits('/a');
redis('CONFIG', 'SET', 'maxmemory', '1');
get('/full') for 1, 2;
until_true('Redis has refused both leases and both responses', sub {
    (redis('INFO', 'errorstats') =~ /errorstat_OOM:count=(\d+)/ ? $1 : 0) >= 4;
});
redis('CONFIG', 'SET', 'maxmemory', '0');
is asked('/full'), 2, 'a Redis that is full stores nothing';
cmp_ok scalar(logged(qr/OOM/)), '>', 0, '... and the log says why';
get('/full');
like cache_status(get('/full')), qr/; hit;/, '... until there is room';

# --- not allowed to read ---

redis('ACL', 'SETUSER', 'weir-edge', redis_rules($dir, 'weir-edge', 'get'));
is get('/full')->{content}, 'answer 4 of /full', 'a Redis that refuses to answer is a miss';
redis('ACL', 'SETUSER', 'weir-edge', redis_rules($dir, 'weir-edge'));
like cache_status(get('/full')), qr/; hit;/, '... until it allows it';

# --- a reload while Redis is asked ---

sub workers_left { scalar logged(qr/worker process \d+ exited with code 0/) }
my $left = workers_left();
stop_redis();
@waiting = map { send_get('/patient/a') } 1 .. 20;
until_active(20);
kill 'HUP', $pid{edge};
until_true('the old worker shuts down', sub { logged(qr/gracefully shutting down/) });
is get('/a')->{status}, 200, 'a reload while Redis is asked: the new worker answers';
continue_redis();
like rest_of($_), qr/^HTTP.1.1 200 .*; hit;/s, '... and the old one those who wait, from Redis'
    for @waiting;
until_true('the old worker has left', sub { workers_left() > $left });
pass '... and leaves';

# and over and over, under requests
for (1 .. 3) {
    $left = workers_left();
    kill 'HUP', $pid{edge};
    until_true('the old worker has left', sub {
        my @sent = map { send_get($_) } '/a', '/patient/a', '/patient/b', '/b';
        my @failed = grep { $_ !~ m{^HTTP/1.1 200 .*answer}s } map { rest_of($_) } @sent;
        # A worker that leaves closes a connection of HTTP/2 on which it has taken no stream yet.
        # The client may ask again (RFC 9113 section 8.7), which that world's translator does not.
        @failed = grep { $_ ne '' } @failed if in_world('http2');
        is_deeply \@failed, [], 'every request is answered' if @failed;
        workers_left() > $left;
    });
}
pass 'no request notices three reloads';

# --- nginx is stopped at once while Redis is asked ---

stop_redis();
@waiting = map { send_get('/patient/stopped') } 1 .. 10;
until_active(10);
stop('edge', 'TERM');
is rest_of($_), '', 'a fast stop ends the waiting requests' for $waiting[0];
is asked('/patient/stopped'), 0, '... and asks no upstream for them';
continue_redis();

is scalar(logged(qr/open socket .* left in connection/)), 0, 'no connection was left behind';
is scalar(logged(qr/\[(alert|emerg|crit)\]|exited on signal/)), 0, 'the log has no alert';
done_testing;
