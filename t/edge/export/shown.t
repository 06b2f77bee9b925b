# weir_status and weir_metrics show what the exporter counts, of all workers.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/../../lib";
use HTTP::Tiny;
use JSON::PP 'decode_json';
use Test::More;
use Weir::Collector;
use Weir::Edge::Nginx 'start_nginx';
use Weir::Processes;

my $http = HTTP::Tiny->new(timeout => 10, keep_alive => 0);
sub get { $http->get("http://127.0.0.1:$_[0]/$_[1]")->{content} }

my $url = 'http://127.0.0.1:' . collector_port('c');
start_collector('c');
start_exporter(workers => 2, exporter => "otlp $url interval=1ms buffer=64k");
behave('c', { partial => 2 }, { status => 400 }, {});
for my $n (5, 4, 3) { probe("n=$n"); until_settled("$n spans") }
stop('c', 'KILL');
probe('n=2000');
my $n = until_true('it is away', sub { my $n = counts(); $n->{failures} > 1 && $n });

my $port = port_of_edge();
my $status = decode_json(get($port, 'status'));
is_deeply $status->{exporter}, {
    ended => 2012, sent => 6, queued => $n->{queued}, queued_bytes => $n->{bytes},
    failures => $status->{exporter}{failures},
    dropped => { full => $n->{full}, refused => 6, unsent => 0, corrupt => 0 },
    ids => { published => 0, dropped => 0 },
    points => { sent => 0, refused => 0, unsent => 0 } },
    'weir_status has all counts';
cmp_ok $status->{exporter}{failures}, '>=', 2, '... failures, too';

my $metrics = get($port, 'metrics');
my %sample = map { /^(\S+) (\d+)$/ ? ($1 => $2) : () } split /\n/, $metrics;
my $spans = sub { $sample{"weir_exporter_spans_total{result=\"$_[0]\"}"} };
is $spans->('sent'), 6, 'weir_metrics: sent';
is $spans->('full'), $n->{full}, '... dropped for lack of room';
is $spans->('refused'), 6, '... refused';
is $spans->('unsent'), 0, '... given up';
is $spans->('corrupt'), 0, '... damaged';
is $sample{weir_exporter_spans_ended_total}, 2012, '... ended';
is $sample{weir_exporter_queued_spans}, $n->{queued}, '... queued';
is $sample{weir_exporter_queued_bytes}, $n->{bytes}, '... their bytes';
cmp_ok $sample{weir_exporter_failures_total}, '>=', 2, '... failures';
is $sample{'weir_exporter_points_total{result="sent"}'}, 0, '... points of metrics';
like $metrics, qr/^# TYPE weir_exporter_spans_total counter$/m, '... with types';

# Counts outlive a reload.
kill 'HUP', $pid{edge};
until_true('new workers', sub { logged(qr/exited with code 0/) == 2 });
is decode_json(get($port, 'status'))->{exporter}{ended}, 2012, 'a reload keeps the counts';

stop('edge', 'QUIT');
my $plain = free_port();
start_nginx("$dir/plain", $plain, http => "server { listen 127.0.0.1:$plain;"
    . ' location /status { weir_status; } location /metrics { weir_metrics; }'
    . ' location / { weir_export_probe; } }');
ok !exists decode_json(get($plain, 'status'))->{exporter}, 'without weir_exporter no member';
unlike get($plain, 'metrics'), qr/weir_exporter/, '... and no family';
like get($plain, '?n=3'), qr/taken=0 ended=0 /, '... and spans go nowhere';

done_testing;
