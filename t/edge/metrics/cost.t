# What requests of a route use, by counts that others made: the client's bytes, the upstream's
# requests, Redis' own statistics, the kernel's time of the worker; and what it costs.
use strict;
use warnings;

use FindBin '$Bin';
use lib $Bin, "$Bin/../cache", "$Bin/../../lib";
use Families;
use JSON::PP;
use List::Util qw(max sum0);
use Scene;
use Test::More;
use Weir::Processes;
use Weir::Redis 'redis_connect';

start_upstream(sub {
    my ($path) = @_;
    return sub { until_true('two requests wait', sub { -e "$dir/go" }); answer('200 OK',
        ['Cache-Control: max-age=600'], 'y') } if $path =~ m{^/shared};
    return answer('503 Busy', [], 'busy') if $path =~ m{^/tried};
    return answer('200 OK', ['Cache-Control: max-age=0, stale-while-revalidate=600'], 's')
        if $path =~ m{^/stale};
    return answer('200 OK', ['Cache-Control: max-age=600'], 'x' x 1000);
});

my $words = join '',
    map { ($_ % 7 ? '' : ' ') . chr(97 + ($_ * 7919 + $_ * $_) % 26) } 1 .. 300_000;
mkdir "$dir/html";
spit("$dir/html/big.txt", $words);

my $many = join '', map { "    location = /many/$_ { return 204; }\n" } 1 .. 70;

start_edge(<<'HTTP', <<"SERVER");
    weir_cost currency=EUR cpu=3600 egress=1000000000 redis=1000000 redis_traffic=0
              upstream=2000 upstream_time=0;
    weir_cache_zone near 4m;
    weir_cache_zone far 4m redis=main;
    upstream tried { server UPSTREAM max_fails=0; server UPSTREAM max_fails=0; }
HTTP
    root $dir/html;
    location = /tiny   { return 204; }
    location = /big.txt { gzip on; gzip_comp_level 9; gzip_min_length 1; gzip_types *; }
    location /plain/   { proxy_pass http://UPSTREAM; }
    location /near/    { weir_cache near; proxy_pass http://UPSTREAM; }
    location /far/     { weir_cache far l1=off; proxy_pass http://UPSTREAM; }
    location /shared   { weir_cache near; proxy_pass http://UPSTREAM; }
    location /stale {
        weir_cache near;
        weir_cache_use_stale updating;
        proxy_pass http://UPSTREAM;
    }
    location /tried    { proxy_pass http://tried; proxy_next_upstream http_503; }
    location = /pid     { return 200 "\$pid"; }
    location = /metrics { weir_metrics; }
    location = /status  { weir_status; }
$many
SERVER

sub counted { families(text => get('/metrics')->{content}) }
sub of { my ($m, $name, $route, %more) = @_; value($m, $name, http_route => $route, %more) // 0 }
sub cost { my ($m, $route, $of) = @_;
    value($m, 'weir_cost_total', http_route => $route, currency => 'EUR', resource => $of) }

# All bytes of the response to one request.
sub bytes_of {
    my ($path) = @_;
    my $socket = listens(port_of_edge()) or die;
    print $socket "GET $path HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    local $/;
    return length <$socket>;
}

sub near { my ($got, $wanted, $name) = @_;
    cmp_ok abs($got - $wanted), '<=', 1e-6 * max(abs $wanted, 1e-6), $name }


# --- bytes, upstream requests ------------------------------------------------------------------

my $sent = sum0(map { bytes_of('/plain/a') } 1 .. 7);
get('/tried');
get("/near/$_") for 1, 1, 1, 1, 2;
my $asked = sum0(map { asked($_) } qw(/plain/a /tried /near/1 /near/2));
my $m = counted();
near(cost($m, '/plain/', 'egress'), $sent * 1e9 / 2**30, 'all bytes of the responses');
is total($m, 'weir_http_server_sent_bytes_total', http_route => '/plain/'), $sent,
    '... which are those of the metric';
my %requests = map { $_ => cost($m, $_, 'upstream') / 2 } qw(/plain/ /tried /near/);
near($requests{$_->[0]}, $_->[1], "requests to upstreams of $_->[0]")
    for ['/plain/', 7], ['/tried', 2], ['/near/', 2];
near(sum0(values %requests), $asked, '... in all as many as the upstream has got');


# --- what the cache has saved ------------------------------------------------------------------

my %euro = (currency => 'EUR');
is of($m, 'weir_upstream_requests_saved_total', '/near/', by => 'cache'), 3, 'three hits';
near(of($m, 'weir_cost_saved', '/near/', by => 'cache', %euro), 3 * 2,
    '... at the cost of a request that was not one');
is of($m, 'weir_upstream_requests_saved_total', '/plain/', by => 'cache'), 0,
    'nothing is saved where there is no cache';

# Four requests at the same time, of which one is fetched.
my @clients = map {
    my $socket = listens(port_of_edge()) or die;
    print $socket "GET /shared HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    $socket
} 1 .. 4;
until_true('the upstream is asked', sub { asked('/shared') == 1 });
get('/tiny') for 1 .. 3;
spit("$dir/go", '');
for (@clients) { local $/; like <$_>, qr/^y\z/m, 'a response' }
$m = counted();
is of($m, 'weir_upstream_requests_saved_total', '/shared', by => 'collapsing')
    + of($m, 'weir_upstream_requests_saved_total', '/shared', by => 'cache'), 3, 'three are saved';
cmp_ok of($m, 'weir_upstream_requests_saved_total', '/shared', by => 'collapsing'), '>=', 1,
    '... by waiting for the one that was fetched';
near(of($m, 'weir_cost_saved', '/shared', by => 'collapsing', %euro)
    + of($m, 'weir_cost_saved', '/shared', by => 'cache', %euro), 3 * 2, '... at its cost');


# A stale response that is refreshed at the same time saves nothing.
get('/stale');
for my $n (2 .. 4) {
    get('/stale');
    until_true("refresh $n", sub { asked('/stale') >= $n });
    # Only after its end can the next request start another one.
    until_true("refresh $n is counted", sub {
        abs(cost(counted(), '/stale', 'upstream') - 2 * asked('/stale')) < 1e-6;
    });
}
$m = counted();
is of($m, 'weir_upstream_requests_saved_total', '/stale', by => 'cache'), 0,
    'a stale response that is refreshed saves nothing';
is total($m, 'http_client_request_duration_seconds_count', http_route => '/stale'),
    asked('/stale'), '... and the refresh is a request to the upstream';


# --- Redis -------------------------------------------------------------------------------------

my ($key) = do { get('/far/a'); entries_of('far', qr/x{1000}/, 1) };
my $reply = length(redis('GET', $key));
my $monitor = redis_connect($ENV{TEST_NGINX_REDIS_SOCK}) or die "no Redis: $!";
print $monitor "MONITOR\r\n";
my $ok = <$monitor>;
my @before = map { of(counted(), "weir_route_redis_${_}_total", '/far/') }
    qw(commands sent_bytes received_bytes);
get('/far/a') for 1 .. 9;
redis('ECHO', 'the end');
my $gets = 0;
while (my $line = <$monitor>) {
    last if $line =~ /the end/;
    $gets++ if $line =~ /"GET" "\Q$key\E"/;
}
$m = counted();
my @used = map { of($m, "weir_route_redis_${_}_total", '/far/') - shift @before }
    qw(commands sent_bytes received_bytes);
is $used[0], 9, 'nine commands for nine hits';
is $used[0], $gets, '... as many as Redis has carried out';
is $used[1], 9 * length("*2\r\n\$3\r\nGET\r\n\$" . length($key) . "\r\n$key\r\n"), 'their bytes';
is $used[2], 9 * ($reply + length("\$$reply\r\n\r\n")), 'the bytes of the replies';
near(cost($m, '/far/', 'redis'), of($m, 'weir_route_redis_commands_total', '/far/'),
    'a command costs 1');
cmp_ok value($m, 'weir_redis_commands_total'), '>',
    of($m, 'weir_route_redis_commands_total', '/far/'), 'the edge has commands of its own';
is of($m, 'weir_route_redis_commands_total', '/near/'), 0, 'a zone without Redis has none';


# --- the processor's time ----------------------------------------------------------------------

my $worker = get('/pid')->{content};

# Seconds on the processor, as the kernel counts them.
sub seconds { (split ' ', slurp("/proc/$worker/schedstat"))[0] * 1e-9 }

# What was used before is apportioned when no more is: the time stays the same.
sub apportioned {
    my $last = -1;
    until_true('the time is apportioned', sub {
        my $now = value(counted(), 'weir_worker_cpu_seconds_total');
        my $is = seconds() - $now < 0.02 && $now > $last;
        $last = $now;
        $is;
    });
    return counted();
}

sub load {
    my (%n) = @_;
    my $before = apportioned();
    my %count = %n;
    while (grep { $_ > 0 } values %count) {
        for my $path (sort keys %count) {
            next if $count{$path}-- <= 0;
            request('GET', $path, { 'Accept-Encoding' => 'gzip' });
        }
    }
    my $after = apportioned();
    return map {
        $_ => (of($after, 'weir_route_cpu_seconds_total', "= $_")
            - of($before, 'weir_route_cpu_seconds_total', "= $_")) / $n{$_}
    } keys %n;
}

SKIP: {
    skip 'other processes count otherwise', 7 if !-r "/proc/$worker/schedstat";
    my %n = ('/big.txt' => 25, '/tiny' => 1000);
    my %alone = map { load($_ => $n{$_}) } sort keys %n;
    my %both = load(%n);
    for my $path (sort keys %both) {
        note sprintf '%s: alone %.1f us, with the other %.1f us', $path, 1e6 * $alone{$path},
            1e6 * $both{$path};
    }
    # In which route's requests the worker was preempted is chance.
    cmp_ok $alone{'/big.txt'}, '>', 10 * $alone{'/tiny'}, 'the routes differ greatly';
    cmp_ok $both{'/big.txt'}, '>', 10 * $both{'/tiny'}, '... also beside each other';
    my $ratio = $both{'/big.txt'} / $alone{'/big.txt'};
    cmp_ok $ratio, '>', 1 / 3, 'a route costs beside another what it costs alone';
    cmp_ok $ratio, '<', 3, '... and no more';

    my $after = apportioned();
    my $whole = value($after, 'weir_worker_cpu_seconds_total');
    my $routes = total($after, 'weir_route_cpu_seconds_total');
    cmp_ok $routes, '<=', $whole * (1 + 1e-9), 'routes have no more than the worker';
    cmp_ok seconds() - $whole, '<', 0.05, 'the worker has what the kernel says';
    cmp_ok $routes, '>', 0.9 * $whole, 'nearly all belongs to routes';
}


# --- prices ------------------------------------------------------------------------------------

$m = counted();
my %part = map { $_ => cost($m, '/near/', $_) }
    qw(cpu egress redis redis_traffic upstream upstream_time);
near($part{cpu}, of($m, 'weir_route_cpu_seconds_total', '/near/'), 'a second costs 1');
is $part{redis_traffic}, 0, 'a price of 0';
near(of($m, 'weir_cost_per_thousand_requests', '/near/', %euro), 1000 * sum0(values %part) / 5,
    'the cost of a thousand requests');
my $status = decode_json(get('/status')->{content})->{routes}{'/near/'};
near($status->{cost}{per_thousand_requests}, 1000 * sum0(values %part) / 5, '... in weir_status');
is $status->{cost}{currency}, 'EUR', 'its currency';
near($status->{cost}{saved_by_cache}, 6, 'what was saved');
is_deeply [@{ $status->{usage} }{qw(requests redis)}, $status->{usage}{upstream}{requests},
        $status->{usage}{saved}],
    [5, { commands => 0, sent_bytes => 0, received_bytes => 0 }, 2,
        { cache => 3, collapsing => 0 }],
    'what was used';


# --- the end of the document -------------------------------------------------------------------

# Wherever a part of the document ends, it is complete.
for my $n (1 .. 70) {
    get("/many/$n");
    my $r = get('/metrics');
    $r->{content} =~ /^# HELP weir_cost_saved/m or fail "with $n more routes";
}
is_deeply [logged(qr/\[(?:emerg|crit|alert)\]/)], [], 'no alarm';


# --- a reload ----------------------------------------------------------------------------------

$m = counted();
kill 'HUP', $pid{edge};
until_true('there is a new worker', sub { get('/pid')->{content} != $worker });
until_true('the old one is gone', sub { !-d "/proc/$worker" });
my $now = counted();
is of($now, 'weir_cost_saved', '/near/', by => 'cache', %euro), 6, 'counts are kept over a reload';
cmp_ok of($now, 'weir_route_cpu_seconds_total', '= /big.txt'), '>=',
    of($m, 'weir_route_cpu_seconds_total', '= /big.txt'), 'so is the time';
is cost($now, '/plain/', 'upstream'), cost($m, '/plain/', 'upstream'), '... and what was paid';
done_testing;
