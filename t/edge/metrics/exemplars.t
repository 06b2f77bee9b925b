# Exemplars: buckets have the ids of traces that are kept, and so has a Prometheus that scrapes.
use strict;
use warnings;

use FindBin '$Bin';
use lib $Bin, "$Bin/../cache", "$Bin/../trace", "$Bin/../../lib";
use Families;
use JSON::PP;
use Scene;
use Test::More;
use Time::HiRes qw(sleep time);
use Trace;
use Weir::Collector qw(received_spans);
use Weir::Processes;
use Prometheus;

start_upstream(sub {
    my ($path, $request) = @_;
    return answer('500 Internal Server Error', [], 'no') if $path =~ /fails/;
    return sub { sleep 0.3; echo($request) } if $path =~ /slow$/;
    return sub { sleep 0.6; echo($request) } if $path =~ /slowest$/;
    return echo($request);
});
start_traced('upstream api { server UPSTREAM; }', <<'SERVER', workers => 2);
    location /kept/   { weir_trace on; proxy_pass http://api; }
    location /none/   { weir_trace ratio=0 errors=on; proxy_pass http://UPSTREAM; }
    location /off/    { proxy_pass http://UPSTREAM; }
    location = /pid   { return 200 "$pid"; }
    location /metrics { weir_metrics; }
    location = /status { weir_status; }
SERVER

my $begin = time;
my $server = 'http_server_request_duration_seconds_bucket';
my $client = 'http_client_request_duration_seconds_bucket';

sub openmetrics {
    return families(openmetrics => get('/metrics',
        { Accept => 'application/openmetrics-text' })->{content});
}

# [le, trace id, value, time] of all exemplars of a route.
sub exemplars {
    my ($families, $name, $route) = @_;
    my @found;
    for my $sample (map { @{ $_->{samples} } } values %$families) {
        my ($is, $labels, undef, $exemplar) = @$sample;
        next if $is ne $name || $labels->{http_route} ne $route || !$exemplar;
        my ($ids, $value, $time) = @$exemplar;
        is_deeply [keys %$ids], ['trace_id'], 'an exemplar has an id, and no other label';
        push @found, [$labels->{le}, $ids->{trace_id}, $value, $time];
    }
    return @found;
}

sub trace_of { return fields((lines_of('traceparent', shift->{content}))[0])->{trace} }

# The trace ids that the collector has, by path.
sub arrived {
    return map { $_->{trace} => $_->{attributes}{'url.path'} } grep { $_->{kind} == 2 }
        received_spans('spans');
}

sub slower_than { my ($least, @all) = @_; return grep { $_->[2] > $least } @all }


# --- only ids of traces that are kept ----------------------------------------------------------

my %served;
until_true('both workers serve', sub { $served{ get('/pid')->{content} } = 1; keys %served == 2 });

my $slow = trace_of(get('/kept/slow'));
get('/kept/quick') for 1 .. 20;
get("/none/$_") for 1 .. 20;
get('/none/fails');
get('/off/quick') for 1 .. 3;

my $now = openmetrics();
my @kept = exemplars($now, $server, '/kept/');
my ($slowest) = slower_than(0.29, @kept);
is $slowest->[1], $slow, 'the id of a slow request is in its bucket';
is $slowest->[0], '0.5', '... which its value belongs to' or diag explain \@kept;
cmp_ok $slowest->[2], '<', 0.5, '... a duration in seconds';
cmp_ok $slowest->[3], '>=', $begin, 'with the time of the request';
cmp_ok $slowest->[3], '<=', time + 0.001, '... in seconds, too';
cmp_ok scalar(@kept), '>=', 2, 'quick requests have an exemplar as well';

is scalar(exemplars($now, $server, '/off/')), 0, 'there is none without weir_trace';
my @errors = exemplars($now, $server, '/none/');
is scalar(@errors), 1, 'of requests of which errors are kept, only the failed one has one';

is((slower_than(0.29, exemplars($now, $client, '/kept/')))[0][1], $slow,
    'the durations of requests to upstreams have it, too');
is scalar(exemplars($now, $client, '/off/')), 0, '... and only of traces that are kept';

my @ids = map { $_->[1] } @kept, @errors;
my %arrived;
until_true('the traces arrive', sub { %arrived = arrived(); !grep { !$arrived{$_} } @ids });
is_deeply [grep { $arrived{$_} !~ m{^/kept/} } map { $_->[1] } @kept], [],
    'ids are those of the route';
is $arrived{ $errors[0][1] }, '/none/fails', '... and of the request';

my $text = get('/metrics')->{content};
unlike $text, qr/trace_id=/, 'the text format has no exemplars';
SKIP: {
    skip 'no promtool', 1 if !has_prometheus();
    is promtool($text), '', 'promtool finds nothing wrong with it';
}


# --- over workers, and after them --------------------------------------------------------------

# The newest one remains, whichever worker has it.
my $newest;
for (1 .. 6) {
    $newest = trace_of(get('/kept/slow'));
    is((slower_than(0.29, exemplars(openmetrics(), $server, '/kept/')))[0][1], $newest,
        'the newest exemplar of all workers is shown');
}

if (!$ENV{WEIR_NGINX}) {
    kill 'HUP', $pid{edge};
    my %new;
    until_true('new workers serve', sub {
        my $worker = get('/pid')->{content};
        $new{$worker} = 1 if !$served{$worker};
        keys %new == 2;
    });
    is((slower_than(0.29, exemplars(openmetrics(), $server, '/kept/')))[0][1], $newest,
        '... also after a reload');
}


# --- the slowest -------------------------------------------------------------------------------

my $most = trace_of(get('/kept/slowest'));
get('/kept/quick') for 1 .. 5;
my $shown = decode_json(get('/status')->{content});
for my $span (qw(1m 15m 1h)) {
    my $slowest = $shown->{routes}{'/kept/'}{$span}{slowest};
    is $slowest->[0]{trace_id}, $most, "$span: the slowest trace is named first";
    cmp_ok $slowest->[0]{duration_ms}, '>=', 599, '... with its duration';
    like $slowest->[0]{time}, qr/^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, '... and its time';
    cmp_ok scalar(@$slowest), '<=', 3, 'a few are';
    is_deeply [sort { $b <=> $a } map { $_->{duration_ms} } @$slowest],
        [map { $_->{duration_ms} } @$slowest], '... in the order of their durations';
    is $shown->{routes}{'/off/'}{$span}{slowest}, undef, 'none where no trace is kept';
}
my $hour = $shown->{routes}{'/kept/'}{'1h'}{slowest};
is scalar(@$hour), 3, 'three in an hour';
is scalar(@{ $shown->{routes}{'/none/'}{'1h'}{slowest} }), 1, 'one where one was kept';
my $upstream = $shown->{upstreams}{api}{'1h'}{slowest};
is $upstream->[0]{trace_id}, $most, 'an upstream has them, too';
until_true('the slowest arrive', sub {
    %arrived = arrived();
    !grep { !$arrived{ $_->{trace_id} } } @$hour;
});
is scalar(grep { $arrived{ $_->{trace_id} } =~ m{^/kept/slow} } @$hour), 3,
    'they are the traces of slow requests';


# --- a real Prometheus -------------------------------------------------------------------------

SKIP: {
    skip 'no Prometheus', 5 if !has_prometheus();
    start_prometheus('127.0.0.1:' . port_of_edge(), '/metrics');

    my @found;
    until_true('Prometheus has exemplars', sub {
        my $data = prometheus_asked('query_exemplars', query => $server, start => $begin,
            end => time) or return;
        @found = map { @{ $_->{exemplars} } }
            grep { $_->{seriesLabels}{http_route} eq '/kept/' } @$data;
        grep { $_->{labels}{trace_id} eq $newest } @found;
    });
    until_true('their traces arrive', sub {
        %arrived = arrived();
        !grep { !$arrived{ $_->{labels}{trace_id} } } @found;
    });
    pass 'each id in its API is that of a trace that the collector has';

    # 90% by the buckets of Prometheus is in the same bucket as by weir_status.
    get("/kept/$_") for 1 .. 200;
    my $quantile;
    until_true('Prometheus has all requests', sub {
        my $count = prometheus_asked('query', query =>
            'sum(http_server_request_duration_seconds_count{http_route="/kept/"})') or return;
        return ($count->{result}[0]{value}[1] // 0) >= 227;
    });
    my $data = prometheus_asked('query', query => 'histogram_quantile(0.9, sum by (le) ('
        . 'http_server_request_duration_seconds_bucket{http_route="/kept/"}))');
    $quantile = $data->{result}[0]{value}[1];
    my $p90 = decode_json(get('/status')->{content})->{routes}{'/kept/'}{'1h'}{p90_ms} / 1000;
    my @bounds = (0, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10);
    my ($upper) = grep { $p90 <= $bounds[$_] * 1.006 } 1 .. $#bounds;
    cmp_ok $quantile, '<=', $bounds[$upper] * 1.006, "histogram_quantile agrees: $quantile, $p90";
    cmp_ok $quantile, '>=', $bounds[$upper - 1] * 0.994, '... to a bucket';
}

is scalar(logged(qr/\[(?:emerg|crit|alert)\]/)), 0, 'no alarm';
done_testing;
