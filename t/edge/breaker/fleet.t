# Twenty edges with one Redis before one upstream: it sees the probes of one edge at a time, and
# what one finds out all know; without Redis each is alone.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/../cache";
use Fleet;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep time);

my ($probes, $open, $ramp) = (2, 1, 5);    # as configured below
my @edges = map {"edge$_"} 1 .. 20;

start_redis();
start_upstream(sub {
    my ($path) = @_;
    if ($path =~ m{/counted}) {
        open my $log, '>>', "$dir/requests" or die $!;
        syswrite $log, "x\n";
    }
    return answer('500 Internal Server Error', [], '') if -e "$dir/down";
    return answer('200 OK', [], 'ok');
});
start_edge($_, 'weir_breaker_zone fleet 1m redis=main;', <<'SERVER') for @edges;
    location = /status { weir_status; }
    location /counted {
        weir_breaker zone=fleet key=counted failures=1 open=1s probes=2 ramp=5s;
        proxy_pass http://UPSTREAM;
    }
    location /alone {
        weir_breaker zone=fleet key=alone failures=1 open=200ms;
        proxy_pass http://UPSTREAM;
    }
    location /grows {
        weir_breaker zone=fleet key=grows failures=1 open=100ms max_open=20s;
        proxy_pass http://UPSTREAM;
    }
SERVER

sub code { (get(@_))->{status} }
sub breaker {
    my ($edge, $key) = @_;
    return decode_json(get($edge, '/status')->{content})->{breakers}{fleet}{keys}{$key};
}
sub requests { -s "$dir/requests" ? length(slurp("$dir/requests")) / 2 : 0 }

# --- down ------------------------------------------------------------------------------------
spit("$dir/down", '');
is_deeply [map { code($_, '/counted') } @edges], [(500) x 20], 'the upstream fails at each edge';
my ($began, $before) = (time, requests());
my ($round, %codes) = (0);
while (time < $began + 5) {
    $codes{ code($_, '/counted') }++ for @edges;
    $round++;
}
my ($took, $seen) = (time - $began, requests() - $before);
note sprintf '%d requests to 20 edges in %.1f s: %d probes', 20 * $round, $took, $seen;
cmp_ok $seen, '<=', $probes * int($took / $open + 1), "at most $probes probes in each period";
cmp_ok $seen, '>=', 2, 'but there are some';
is_deeply [grep { !/^50[03]$/ } keys %codes], [], 'the others are refused';
my ($key) = @{ redis('KEYS', 'weir:breaker:probe:*') };
is $key, 'weir:breaker:probe:fleet:counted', 'the word is in Redis';

# --- up --------------------------------------------------------------------------------------
my $sum = 0;
$sum -= breaker($_, 'counted')->{probes} for @edges;
unlink "$dir/down" or die $!;
my $first = '';
until_true('an edge finds out', sub {
    for (@edges) { $first ||= $_ if code($_, '/counted') == 200 }
    $first;
});
$before = requests();
$began = time;
my (%passed, %all);
until_true('all edges ramp, and then are closed', sub {
    for (@edges) {
        my $second = int(time - $began);
        $all{$second}++;
        $passed{$second}++ if code($_, '/counted') == 200;
    }
    return time > $began + $ramp && !grep { breaker($_, 'counted')->{state} ne 'closed' } @edges;
});
$sum += breaker($_, 'counted')->{probes} for @edges;
cmp_ok $sum, '<=', $probes * 2, 'the probes of one edge were enough for all';
note join ', ', map { sprintf 's %d: %d of %d', $_, $passed{$_} // 0, $all{$_} } 0 .. $ramp - 1;
cmp_ok(($passed{0} // 0) / $all{0}, '<', 0.4, 'few requests pass at the beginning of the ramp');

# --- the open time grows for all -------------------------------------------------------------
spit("$dir/down", '');
code($_, '/grows') for @edges;
until_true('it is long at an edge', sub {
    for (@edges) {
        code($_, '/grows');
        return 1 if (redis('GET', 'weir:breaker:probe:fleet:grows') // '') =~ /^ill:([4-9]|\d\d)/;
    }
    return 0;
});
pass 'one edge after the other probes less often, and tells it';

# --- without Redis ---------------------------------------------------------------------------
is_deeply [map { code($_, '/alone') } @edges], [(500) x 20], 'the upstream fails again';
stop('redis', 'KILL');
unlink "$dir/down" or die $!;
for my $edge (@edges[0 .. 2]) {
    until_true("$edge probes for itself", sub { code($edge, '/alone') == 200 });
}

# --- a Redis that says anything --------------------------------------------------------------
start_redis();
spit("$dir/down", '');
my $edge = $edges[5];
until_true('Redis is back', sub {
    code($edge, '/alone');
    return redis('EXISTS', 'weir:breaker:probe:fleet:alone')
        && breaker($edge, 'alone')->{state} ne 'closed';
});
unlink "$dir/down" or die $!;
for my $word ('well:x', 'well:-1', "ill:\xff", 'ill:99999999999999999999', '', 'x' x 1000) {
    redis('SET', 'weir:breaker:probe:fleet:alone', $word);
    code($edge, '/alone') for 1 .. 3;
    isnt breaker($edge, 'alone')->{state}, 'closed', 'a word that is none closes no breaker';
}
until_true('a key without an end gets one', sub {
    code($edge, '/alone');
    redis('PTTL', 'weir:breaker:probe:fleet:alone') != -1;
});
until_true('and the breaker closes', sub { code($edge, '/alone') == 200 });

done_testing;
