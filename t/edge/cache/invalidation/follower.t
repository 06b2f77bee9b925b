# The follower when Redis, the stream, the connection or the worker fails: no invalidation is lost
# for longer than the bound, and other responses stay valid.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Fleet;
use Test::More;

# /t... has its path as tag, /u... has none.
start_upstream(sub {
    my ($path, $request, $n) = @_;
    my @fields = ('Cache-Control: max-age=600');
    push @fields, 'Cache-Tag: every ' . substr $path, 1 if $path =~ m{^/t};
    push @fields, "Weir-Invalidate: $1" if $path =~ /invalidates=(.*)/;
    return answer('200 OK', \@fields, "answer $n of $path");
});

my $http = "weir_cache_zone main 4m redis=main;\n";
my $server = <<'SERVER';
    weir_cache main;
    weir_cache_staleness 600ms;
    location / { weir_cache_purge on; proxy_pass http://UPSTREAM; }
SERVER
my @edges = ('left', 'right');

sub hit { cache_status($_[0]) =~ /^Weir; hit;/ }
sub number { get(@_)->{content} =~ /^answer (\d+) / ? $1 : 0 }

# Every edge serves the path from its memory.
sub cached {
    my $path = shift;
    @edges == grep { cache_status(get($_, $path)) =~ /; hit;.*memory/ } @edges;
}
sub fill {
    my $path = shift;
    until_true("$path is cached", sub { cached($path) });
    return asked($path);
}

# Every edge comes to an answer of later than that, and keeps to it.
sub renewed {
    my ($path, $old) = @_;
    for my $edge (@edges) { until_true("$edge renews $path", sub { number($edge, $path) > $old }) }
    return @edges == grep { number($_, $path) > $old } @edges;
}

sub all_follow {
    my $path = '/t-follow-' . int rand 1e9;
    my $old = fill($path);
    invalidate(tags => substr $path, 1);
    return renewed($path, $old);
}

# --- Redis is not there yet ---

start_edge($_, $http, $server, workers => 2) for @edges;
get($_, '/u-early') for @edges;
ok cached('/u-early'), 'without Redis what has no tags is cached';
like cache_status(get('left', '/t-early')), qr/fwd=miss.*stored; detail=redis-unavailable/,
    'what has tags is stored';
unlike cache_status(get('left', '/t-early')), qr/; hit/,
    'but not served: what was invalidated is not known';

start_redis(append => 1);
ok all_follow(), 'it comes: all edges follow';
my $old = fill('/t-early');
ok cached('/t-early'), 'what has tags is served';
is scalar(logged($_, qr/reads the invalidations of era/)), 1, "$_ began one era" for @edges;

# --- cut off for longer than the bound ---

fill($_) for '/t-cut', '/u-cut';
kill_process('STOP', 'redis');
for my $edge (@edges) {
    until_true("$edge is out of step", sub {
        cache_status(get($edge, '/t-cut')) =~ /detail=(unsynced|redis)/;
    });
}
my $r = get('left', '/t-cut');
like cache_status($r),
    qr/^Weir; fwd=(stale|miss); fwd-status=200; stored; detail=(unsynced|redis-unavailable)$/,
    'what has tags is not served while Redis is silent';
ok cached('/u-cut'), 'what has none is';
kill_process('CONT', 'redis');
for my $edge (@edges) { until_true("$edge is in step again", sub { hit(get($edge, '/t-cut')) }) }
is scalar(logged($_, qr/reads the invalidations of era/)), 1, "$_ goes on in the same era"
    for @edges;
ok all_follow(), 'and follows';

# --- connections killed ---

$old = fill('/t-conn');
my $other = fill('/t-other');
redis('MULTI');
redis('CLIENT', 'KILL', 'TYPE', 'normal');
invalidate(tags => 't-conn');
redis('EXEC');
ok renewed('/t-conn', $old), 'a message that came while no connection was there is read';
is scalar(logged($_, qr/reads the invalidations of era/)), 1, "$_ is in the same era" for @edges;
ok cached('/t-other'), 'other tags are not touched';

# --- trimmed, deleted, begun again ---

sub lost {
    my ($what, $why, @commands) = @_;
    my $before = fill('/t-lost');
    fill('/u-lost');
    mark_log($_) for @edges;
    redis('MULTI');
    invalidate(tags => 't-lost');
    redis(@$_) for @commands;
    redis('EXEC');
    ok renewed('/t-lost', $before), "$what: what it invalidated is not served";
    for my $edge (@edges) {
        until_true("$edge logs that", sub { logged_since($edge, $why) });
        ok scalar(logged_since($edge, $why)), "... as the log of $edge says";
    }
    ok all_follow(), '... and the follower goes on';
}

lost('a message trimmed before it was read', qr/ 1 invalidations were trimmed/,
    ['XTRIM', 'weir:invalidate', 'MAXLEN', 0]);
lost('two of them', qr/ 2 invalidations were trimmed/,
    ['XADD', 'weir:invalidate', '*', 'tags', 'x'], ['XTRIM', 'weir:invalidate', 'MAXLEN', 0]);
lost('one trimmed while the connection was cut', qr/ 1 invalidations were trimmed/,
    ['CLIENT', 'KILL', 'TYPE', 'normal'], ['XTRIM', 'weir:invalidate', 'MAXLEN', 0]);
lost('a stream that was deleted', qr/reads the invalidations of era/, ['DEL', 'weir:invalidate']);
lost('a stream with old IDs', qr/reads the invalidations of era/, ['DEL', 'weir:invalidate'],
    ['XADD', 'weir:invalidate', '1-1', 'tags', 'x']);
lost('an emptied Redis', qr/reads the invalidations of era/, ['FLUSHALL']);
lost('an emptied Redis with a new stream', qr/reads the invalidations of era/, ['FLUSHALL'],
    ['XADD', 'weir:invalidate', '*', 'tags', 'x']);
lost('a lost era', qr/reads the invalidations of era/, ['DEL', 'weir:era']);

my $position;
{
    my $before = fill('/t-xdel');
    redis('MULTI');
    redis('XADD', 'weir:invalidate', '99999999999999-1', 'tags', 't-xdel');
    redis('XDEL', 'weir:invalidate', '99999999999999-1');
    redis('EXEC');
    ok renewed('/t-xdel', $before), 'a message that was deleted: what it invalidated is not served';
}
redis('DEL', 'weir:invalidate');
ok all_follow(), 'and a stream in its place is followed';

# --- many messages at once ---

$old = fill('/t-many');
redis('EVAL', <<'LUA', 0);
for i = 1, 3500 do
    redis.call("XADD", "weir:invalidate", "*", "tags", i == 7 and "t-many" or "x" .. i)
end
LUA
ok renewed('/t-many', $old), 'one of 3500 messages at once is obeyed';
ok all_follow(), 'and the next';

# --- Redis killed ---

for my $with ('with its data', 'without') {
    $old = fill('/t-killed');
    my $untagged = fill('/u-killed');
    stop('redis', 'KILL');
    for my $edge (@edges) {
        until_true("$edge is out of step", sub {
            cache_status(get($edge, '/t-killed')) =~ /detail=(unsynced|redis)/;
        });
    }
    ok cached('/u-killed'), 'Redis was killed: what has no tags is served';
    $old = asked('/t-killed');
    unlink glob "$dir/redis/appendonlydir/*" if $with eq 'without';
    start_redis(append => 1);
    ok all_follow(), "it comes back $with: the edges follow";
    ok renewed('/t-killed', $old), 'what has tags is not used any more';
    ok renewed('/u-killed', $untagged), 'nor what has none';
}

# --- what this edge invalidates while Redis is away ---

fill('/t-own');
stop('redis', 'KILL');
until_true('left is out of step', sub {
    cache_status(get('left', '/u-x' . rand)) =~ /redis-unavailable/;
});
request('left', 'PURGE', '/u-own');
request('left', 'POST', '/write?invalidates=t-own', {}, 'x');
start_redis(append => 1);
ok all_follow(), 'Redis comes back';
until_true('the messages are sent after all', sub {
    my $all = redis('XRANGE', 'weir:invalidate', '-', '+');
    # by the follower, or by the command that waited for a connection
    my @told = map {
        my %m = @{ $_->[1] };
        $m{hashes} ? split(' ', $m{hashes}) : grep { /own/ } $m{keys} // '', $m{tags} // '';
    } @$all;
    return @told >= 2;
});
pass 'what was invalidated here meanwhile is sent to the stream';

# --- a worker killed ---

# The number of an answer; nothing if it does not come within two seconds.
sub number_soon {
    my ($edge, $path) = @_;
    return eval {
        local $SIG{ALRM} = sub { die };
        alarm 2;
        my $number = number($edge, $path);
        alarm 0;
        $number;
    };
}

sub follower {
    my $edge = shift;
    (logged($edge, qr/reads the invalidations of era/))[-1] =~ /\] (\d+)#/ ? $1 : 0;
}

my $eras = logged('left', qr/reads the invalidations of era/);
my $killed = follower('left');
ok scalar(grep { $_ == $killed } children('left')), 'a worker of the edge follows';
my $keep = fill('/t-keep');
$old = fill('/t-worker');
kill 'KILL', $killed;
invalidate(tags => 't-worker');
ok renewed('/t-worker', $old), 'it was killed: another follows';
until_true('there are two workers again', sub {
    my @now = children('left');
    @now == 2 && !grep { $_ == $killed } @now;
});
ok cached('/t-keep'), 'what is not touched stays';
is scalar(logged('left', qr/reads the invalidations of era/)), $eras, 'in the same era';

# A worker that hangs is replaced too; when it wakes up it does no harm.
my @workers = children('left');
$old = fill('/t-hang');
kill 'STOP', $workers[0];
invalidate(tags => 't-hang');
until_true('the other one has it', sub { (number_soon('left', '/t-hang') // 0) > $old });
kill 'CONT', $workers[0];
ok renewed('/t-hang', $old), 'a worker that hangs holds nothing up';
kill 'STOP', $workers[1];
$old = asked('/t-hang');
invalidate(tags => 't-hang');
until_true('the first one has it', sub { (number_soon('left', '/t-hang') // 0) > $old });
kill 'CONT', $workers[1];
ok all_follow(), 'whichever it is';

# --- reload ---

fill($_) for '/t-keep', '/u-keep';
mark_log('left');
kill 'HUP', $pid{left};
until_true('the old workers are gone', sub {
    logged_since('left', qr/worker process \d+ exited with code 0/) >= 2;
});
ok cached('/u-keep'), 'a reload forgets nothing';
until_true('left is in step again', sub { cached('/t-keep') });
ok all_follow(), 'and the new workers follow';
is scalar(logged_since('left', qr/reads the invalidations of era/)), 0, 'in the same era';

# --- an edge that comes later ---

$old = fill('/t-late');
fill('/t-stays');
stop($_, 'TERM') for @edges;
invalidate(tags => 't-late');
@edges = ('late');
start_edge('late', $http, $server, workers => 2, timeout => '10s');
like cache_status(get('late', '/t-stays')), qr/; hit; .*redis/,
    'an edge that comes later uses what is in Redis';
ok number('late', '/t-late') > $old, 'but not what was invalidated before it came';

$old = fill('/t-stays');
stop('late', 'TERM');
invalidate(tags => 't-stays');
redis('XTRIM', 'weir:invalidate', 'MAXLEN', 0);
start_edge('late', $http, $server, workers => 2, timeout => '10s');
ok number('late', '/t-stays') > $old, 'nor what may have been invalidated by what was trimmed';
ok all_follow(), 'it follows';

is join("\n", grep { !/exited on signal 9/ } logged($_, qr/\[(alert|emerg|crit)\]|open socket/)),
    '', "$_ has nothing alarming in its log"
    for 'left', 'right', 'late';
done_testing;
