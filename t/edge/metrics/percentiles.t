# Percentiles of weir_status and buckets of weir_metrics are those of the requests that the access
# log has, over all workers.
use strict;
use warnings;

use FindBin '$Bin';
use lib $Bin, "$Bin/../cache", "$Bin/../../lib";
use Families;
use JSON::PP;
use List::Util qw(max sum);
use POSIX 'ceil';
use Scene;
use Test::More;
use Time::HiRes 'sleep';
use Weir::Processes;

# Answers after the milliseconds that the path ends with.
start_upstream(sub {
    my ($ms) = $_[0] =~ /-([\d.]+)$/;
    return answer('200 OK', [], 'x' x 100) if !$ms;
    return sub { sleep $ms / 1000; return answer('200 OK', [], 'x' x 100) };
});

start_edge(<<'HTTP', <<'SERVER', workers => 3);
    log_format times '$uri $pid $weir_times';
    weir_metrics_zone 4m;
HTTP
    access_log logs/times.log times buffer=64k flush=100ms;
    location /slow/ { proxy_pass http://UPSTREAM; }
    location /fast/ { return 200 "0123456789"; }
    location = /metrics { access_log off; weir_metrics; }
    location = /status { access_log off; weir_status; }
SERVER

# Requests by processes of their own, each over new connections, so that all workers get some.
my %number = (slow => 0, fast => 0);
my @clients;
srand 4711;
for my $client (1 .. 4) {
    my @paths = ((map { '/slow/-' . sprintf('%.1f', exp(rand 4.5)) } 1 .. 150),
        map { "/fast/$_" } 1 .. 600);
    $number{slow} += 150;
    $number{fast} += 600;
    push @clients, fork // die $!;
    next if $clients[-1];
    get($_) for @paths;
    POSIX::_exit(0);
}
waitpid $_, 0 for @clients;

my %ms;
my %workers;
until_true('all requests are logged', sub {
    %ms = (slow => [], fast => []);
    for (log_lines("$dir/logs/times.log", qr/total=/)) {
        m{^/(\w+)/\S+ (\d+) .* total=([\d.]+)$} or next;
        push @{ $ms{$1} }, $3;
        $workers{$2}++;
    }
    @{ $ms{slow} } == $number{slow} && @{ $ms{fast} } == $number{fast};
});
cmp_ok scalar(keys %workers), '>', 1, 'several workers have served them';

my $status = decode_json(get('/status')->{content});
my $m = families(text => get('/metrics')->{content});
for my $route (qw(slow fast)) {
    my @sorted = sort { $a <=> $b } @{ $ms{$route} };
    my $shown = $status->{routes}{"/$route/"}{'1h'};
    is $shown->{requests}, $number{$route}, "$route: all requests of all workers";
    my @gauges = matching($m, 'weir_http_server_request_duration_percentile_seconds',
        http_route => "/$route/", window => '1h');
    for my $p (50, 90, 95, 99, 99.9) {
        my $exact = $sorted[ceil($p / 100 * @sorted - 1e-6) - 1];
        my $is = $shown->{ 'p' . ($p =~ s/\./_/r) . '_ms' };
        my $allowed = 0.01 * $exact + 0.0015;    # the log has whole microseconds
        cmp_ok abs($is - $exact), '<=', $allowed, "$route: P$p is $exact ms, within 1%";
        my ($gauge) = grep { $_->[0]{percentile} eq $p } @gauges;
        cmp_ok abs($gauge->[1] * 1000 - $is), '<=', 0.0006, '... in weir_metrics, too';
    }

    my %labels = (http_route => "/$route/", http_response_status_code => 200);
    my $name = 'http_server_request_duration_seconds';
    my $exact = sum(@sorted) / 1000;
    is total($m, "${name}_count", %labels), $number{$route}, "$route: they are counted";
    cmp_ok abs(total($m, "${name}_sum", %labels) - $exact), '<=', 1e-6 * @sorted,
        "$route: ... and added up";
    for my $bound (matching($m, "${name}_bucket", %labels)) {
        my ($has, $count) = @$bound;
        next if $has->{le} eq '+Inf';
        my ($low, $high) = map {
            my $ms = $has->{le} * 1000 * $_;
            scalar grep { $_ <= $ms } @sorted
        } 1 / 1.0056, 1.0056;
        ok $low <= $count && $count <= $high, "$route: $count up to $has->{le} s";
    }
}

my ($upstream) = values %{ { map { $_ => $status->{upstreams}{$_}{'1h'} }
    grep { $_ ne '_other' } keys %{ $status->{upstreams} } } };
is $upstream->{requests}, $number{slow}, 'requests to the upstream';
my $p99 = $status->{routes}{'/slow/'}{'1h'}{p99_ms};
cmp_ok abs($upstream->{p99_ms} - $p99), '<=', 0.03 * $p99 + 3, '... whose times they are';

is scalar(logged(qr/\[(?:emerg|crit|alert)\]/)), 0, 'no alarm';
done_testing;
