# Metrics go to the collector: cumulative sums, gauges and exponential histograms, with exemplars,
# each interval and from one worker.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/../../lib";
use JSON::PP;
use HTTP::Tiny;
use List::Util qw(sum0);
use Test::More;
use Weir::Collector;
use Weir::Processes;

start_collector('collector');
my $url = 'http://127.0.0.1:' . collector_port('collector');

sub start {
    my ($exporter) = @_;
    start_exporter(exporter => "otlp $url/prefix/v1/traces interval=10ms $exporter", workers => 2,
        http => 'weir_trace on;', server => <<'SERVER');
        location /fast { return 204; }
        location /slow { proxy_pass http://127.0.0.1:$server_port/fast; }
        location = /pid { weir_trace off; return 200 "$pid"; }
SERVER
    return;
}

my $http = HTTP::Tiny->new(timeout => 20, keep_alive => 0);
sub get { my $path = shift; return $http->get('http://127.0.0.1:' . port_of_edge() . $path) }

# Requests with metrics, all and after the first so many.
sub with_metrics { return grep { $_->{path} =~ m{/v1/metrics$} } received('collector') }

# The metrics of the first request after so many for which the condition is true, by name.
sub metrics_until {
    my ($what, $after, $condition) = @_;
    return until_true($what, sub {
        my @all = with_metrics();
        for my $request (@all[$after .. $#all]) {
            next if !$request->{metrics};
            my %metric = map { $_->{name} => $_ } @{ $request->{metrics} };
            return \%metric if $condition->(\%metric);
        }
        return;
    });
}

sub points {
    my ($metric, %attributes) = @_;
    return grep {
        my $has = $_->{attributes};
        !grep { ($has->{$_} // '') ne $attributes{$_} } keys %attributes
    } @{ $metric->{points} // [] };
}

my $name = 'http.server.request.duration';

sub has_requests {
    my ($metrics, $route, $n) = @_;
    return $n <= sum0(map { $_->{count} } points($metrics->{$name}, 'http.route' => $route));
}


# --- what is sent ------------------------------------------------------------------------------

start('metrics=1s service_name=edge');
my %seen;
until_true('both workers serve', sub { $seen{ get('/pid')->{content} } = 1; keys %seen == 2 });
get('/fast') for 1 .. 50;

my $metrics = metrics_until('metrics arrive', 0, sub { has_requests(shift, '/fast', 50) });
my ($request) = with_metrics();
is $request->{path}, '/prefix/v1/metrics', 'their path is beside that of spans';
is $request->{headers}{'content-type'}, 'application/x-protobuf', '... in protobuf';
is $request->{resource}{'service.name'}, 'edge', '... of the same resource';
is $request->{error}, undef, '... which a decoder that is not ours reads';

is $metrics->{$name}{type}, 'exponential_histogram', 'durations are exponential histograms';
is $metrics->{$name}{unit}, 's', '... in seconds';
my ($point) = points($metrics->{$name}, 'http.route' => '/fast');
is_deeply $point->{attributes}, {
    'http.request.method' => 'GET', 'url.scheme' => 'http', 'http.response.status_code' => 204,
    'http.route' => '/fast',
}, '... with the attributes of the conventions';
is $point->{count}, sum0(@{ $point->{buckets} }) + $point->{zero}, '... of which buckets have all';
cmp_ok $point->{start}, '<', $point->{time}, '... since a start';
my %arrived = map { $_->{trace} => 1 } received_spans('collector');
cmp_ok scalar(@{ $point->{exemplars} }), '>', 0, 'there are exemplars';
until_true('their traces arrive', sub {
    %arrived = map { $_->{trace} => 1 } received_spans('collector');
    !grep { !$arrived{ $_->{trace} } } @{ $point->{exemplars} };
});

my $sent = $metrics->{'weir.http.server.sent'};
is "$sent->{type} $sent->{unit}", 'sum By', 'bytes are a sum';
cmp_ok +(points($sent, 'http.route' => '/fast'))[0]{value}, '>=', 50 * 60, '... of that many';
is $metrics->{'weir.exporter.queued.spans'}{type}, 'gauge', 'what waits is a gauge';
is $metrics->{'weir.request.phase'}{unit}, 's', 'phases are times';
ok !exists $metrics->{'weir.http.server.request.duration.percentile'},
    'percentiles are not sent, which cannot be added up';

# The same again: cumulative, from the same start.
get('/fast') for 1 .. 7;
get('/slow');
my $later = metrics_until('later metrics arrive', scalar(with_metrics()),
    sub { has_requests($_[0], '/fast', 58) && has_requests($_[0], '/slow', 1) });
my ($grown) = points($later->{$name}, 'http.route' => '/fast');
is $grown->{count}, 58, 'counts go on';
is $grown->{start}, $point->{start}, '... from the same start';
cmp_ok $grown->{time}, '>', $point->{time}, '... at a later time';
is_deeply [grep { $_->{time} <= $point->{time} } @{ $grown->{exemplars} }], [],
    'exemplars are those since then';

my ($upstream) = points($later->{'http.client.request.duration'}, 'http.route' => '/slow');
is $upstream->{attributes}{'server.address'}, '_other', 'requests to upstreams are sent, too';

# What Prometheus is shown has the same number.
my ($shown) = get('/metrics')->{content} =~
    /^http_server_request_duration_seconds_count\{[^}]*http_route="\/fast"[^}]*\} (\d+)/m;
is $shown, 58, 'weir_metrics has the same';


# --- a collector that takes none, and one that is away -----------------------------------------

sub points_of { return decode_json(get('/status')->{content})->{exporter}{points} }

behave('collector', { metrics => { status => 404, body => 'no such path' } });
my $before = points_of();
until_true('points are refused', sub { points_of()->{refused} > $before->{refused} });
until_true('it is logged',
    sub { logged(qr/takes no metrics, or not all, at .*404, "no such path"/) });
my $spans = received_spans('collector');
get('/fast');
until_true('spans arrive all the same', sub { received_spans('collector') > $spans });

my $n = with_metrics();
until_true('it is asked again', sub { with_metrics() > $n + 1 });
is scalar(logged(qr/takes no metrics/)), 1, 'it is logged once';

behave('collector', { metrics => { partial => 3 } });
my $refused = points_of()->{refused};
until_true('an answer says that three were rejected', sub {
    my ($last) = reverse grep { $_->{todo}{partial} } with_metrics();
    $last;
});
behave('collector');
until_true('metrics are taken again', sub { logged(qr/takes metrics again/) });
my $all = 0;
until_true('each point was sent, or was refused', sub {
    my @requests = with_metrics();
    my ($sent, $rejected) = (0, 0);
    for my $r (@requests) {
        my $count = sum0(map { scalar @{ $_->{points} } } @{ $r->{metrics} });
        my $bad = $r->{todo}{status} ? $count : $r->{todo}{partial} // 0;
        $rejected += $bad;
        $sent += $count - $bad;
    }
    my $now = points_of();
    return $now->{sent} == $sent && $now->{refused} == $rejected && @requests == with_metrics();
});

behave('collector', { metrics => { drop => JSON::PP::true } });
until_true('points without an answer are counted', sub { points_of()->{unsent} > 0 });
behave('collector');

stop('collector', 'KILL');
is get('/fast')->{status}, 204, 'requests are served';
start_collector('collector');
metrics_until('metrics arrive when it is back', scalar(with_metrics()), sub { 1 });


# --- a reload, and a worker that is killed ------------------------------------------------------

if (!$ENV{WEIR_NGINX}) {
    my $served = $grown->{count} + 2;
    my %old = map { $_ => 1 } workers();
    kill 'HUP', $pid{edge};
    until_true('there are new workers only', sub {
        my @now = workers();
        @now == 2 && !grep { $old{$_} } @now;
    });
    for my $round ('a reload', 'a kill') {
        my $before = with_metrics();
        get('/fast');
        my $n = ++$served;
        my $after = metrics_until("metrics arrive after $round", $before,
            sub { has_requests(shift, '/fast', $n) });
        my ($now) = points($after->{$name}, 'http.route' => '/fast');
        is $now->{count}, $n, "counts go on after $round";
        is $now->{start}, $point->{start}, '... from the same start';
        next if $round eq 'a kill';
        my @killed = workers();
        kill 'KILL', @killed;
        until_true('there are new workers', sub {
            my @now = workers();
            @now == 2 && !grep { my $w = $_; grep { $w == $_ } @killed } @now;
        });
    }
}

# --- in several requests, as JSON --------------------------------------------------------------

my $routes = 700;
start_collector('json');
start_exporter(name => 'many', exporter => 'otlp http://127.0.0.1:' . collector_port('json')
        . ' format=json gzip=on metrics=1s', http => 'weir_metrics_zone 32m; weir_trace off;',
    server => join '', map { "location = /r$_ { return 204; }\n" } 1 .. $routes);
$http->get('http://127.0.0.1:' . port_of_edge('many') . "/r$_") for 1 .. $routes;

# The points of durations in requests, by the time of their interval.
my $intervals = until_true('an interval has all routes', sub {
    my %interval;
    for my $r (grep { $_->{metrics} } received('json')) {
        for my $metric (grep { $_->{name} eq $name } @{ $r->{metrics} }) {
            for my $point (@{ $metric->{points} }) {
                my ($route) = map { $_->{value}{stringValue} }
                    grep { $_->{key} eq 'http.route' } @{ $point->{attributes} };
                push @{ $interval{ $point->{timeUnixNano} }{$route} }, $point;
            }
        }
    }
    my ($whole) = grep { my $i = $_; !grep { !$i->{"= /r$_"} } 1 .. $routes } values %interval;
    $whole;
});
is_deeply [grep { @{ $intervals->{"= /r$_"} } != 1 } 1 .. $routes], [], 'each is there once';
my ($one) = @{ $intervals->{'= /r1'}[0]{positive}{bucketCounts} };
is "$one $intervals->{'= /r1'}[0]{count}", '1 1', '... in JSON';
my @bodies = received('json');
is_deeply [grep { ($_->{headers}{'content-encoding'} // '') ne 'gzip' || $_->{error} } @bodies], [],
    'all requests are compressed, and can be read';
my $n_of = $http->get('http://127.0.0.1:' . port_of_edge('many') . '/metrics')->{content};
like $n_of, qr/^weir_exporter_points_total\{result="sent"\} [1-9]/m, '... and counted';
cmp_ok scalar(grep { $_->{metrics} } @bodies), '>', 1, 'there are several requests';

is scalar(logged(qr/\[(?:emerg|crit)\]|\[alert\].*(?!signal 9)$/)
    ) - scalar(logged(qr/signal 9/)), 0, 'no alarm but the kills';
done_testing;
