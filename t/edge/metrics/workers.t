# Counts survive the workers: a kill -9, a reload; and a zone without room counts all the same.
use strict;
use warnings;

use FindBin '$Bin';
use lib $Bin, "$Bin/../cache", "$Bin/../../lib";
use Families;
use JSON::PP;
use Scene;
use Test::More;
use Time::HiRes 'sleep';
use Weir::Processes;

plan skip_all => 'needs the processes of a plain nginx' if $ENV{WEIR_NGINX};

start_upstream(sub { answer('200 OK', [], 'x') });

my $routes = 700;
my $locations = join '', map { "    location = /many/$_ { return 204; }\n" } 1 .. $routes;

my $server = <<"SERVER";
    location /a { return 204; }
    location = /pid { return 200 "\$pid"; }
    location /p { proxy_pass http://UPSTREAM; }
    location = /metrics { weir_metrics; }
    location = /status { weir_status; }
$locations
SERVER
start_edge('weir_metrics_zone 1m;', $server, workers => 2);

sub counted { families(text => get('/metrics')->{content}) }
sub requests { total($_[0], 'http_server_request_duration_seconds_count', http_route => $_[1]) }

# The workers: children of the master process that are not on their way out.
sub workers {
    return grep { slurp("/proc/$_/cmdline") =~ /worker process(?! is shutting)/ }
        split ' ', slurp("/proc/$pid{edge}/task/$pid{edge}/children");
}

sub both_serve {
    my %seen;
    until_true('both workers serve', sub { $seen{ get('/pid')->{content} } = 1; keys %seen == 2 });
}


# --- kill -9 -----------------------------------------------------------------------------------

until_true('there are two workers', sub { workers() == 2 });
both_serve();
get('/a') for 1 .. 50;
get('/p') for 1 .. 10;
is requests(counted(), '/a'), 50, 'all requests are counted';

for my $round (1 .. 4) {
    my ($victim, $other) = workers();
    kill 'KILL', $victim;
    until_true('there is another worker', sub {
        my @now = workers();
        @now == 2 && !grep { $_ == $victim } @now;
    });
    get('/a') for 1 .. 10;
    my $m = counted();
    is requests($m, '/a'), 50 + 10 * $round, "kill $round: no count is lost";
    is requests($m, '/p'), 10, '... of no route';
    is total($m, 'http_client_request_duration_seconds_count'), 10, '... and of no upstream';
}

# --- documents that are read while workers are killed --------------------------------------------

# Clients that ask until a file is there, and write what was wrong with the documents that came.
for my $client (1, 2) {
    spawn("scraper $client", sub {
        my ($last, $documents) = (0, 0);
        while (!-e "$dir/enough") {
            my $r = get('/metrics', { Accept => 'application/openmetrics-text; version=1.0.0' });
            next if $r->{status} == 599;    # its worker was killed
            my ($n) = $r->{content} =~ /^weir_build_info.*\n# EOF\n\z/ms
                ? $r->{content} =~ /^http_server_request_duration_seconds_count\{.*"\/a".*\} (\d+)/m
                : ();
            my $wrong = !defined $n ? "$r->{status} " . substr $r->{content}, -100
                : $n < $last ? "$n after $last" : '';
            spit("$dir/wrong-$client", $wrong) if $wrong;
            $last = $n // $last;
            spit("$dir/documents-$client", ++$documents);
        }
        POSIX::_exit(0);
    });
}
sub documents { return map { -e "$dir/documents-$_" ? slurp("$dir/documents-$_") : 0 } 1, 2 }
for my $round (1 .. 6) {
    my @before = documents();
    my ($victim) = workers();
    kill 'KILL', $victim;
    until_true('there is another worker', sub {
        my @now = workers();
        @now == 2 && !grep { $_ == $victim } @now;
    });
    until_true('both clients go on', sub {
        my @now = documents();
        $now[0] > $before[0] + 1 && $now[1] > $before[1] + 1;
    });
}
spit("$dir/enough", '');
is_deeply [glob "$dir/wrong-*"], [], 'documents that are read while workers are killed are whole';

my $status = decode_json(get('/status')->{content});
is $status->{routes}{'/a'}{'1h'}{requests}, 90, 'the windows have them, too';


# --- reload ------------------------------------------------------------------------------------

for my $round (1 .. 3) {
    my %old = map { $_ => 1 } workers();
    kill 'HUP', $pid{edge};
    until_true('there are new workers only', sub {
        my @now = workers();
        @now == 2 && !grep { $old{$_} } @now;
    });
    until_true('the old workers are gone', sub { !grep { -d "/proc/$_" } keys %old });
    both_serve();
    get('/a') for 1 .. 10;
    is requests(counted(), '/a'), 90 + 10 * $round, "reload $round: no count is lost";
}

# The new workers of each reload have taken the slots that the killed ones and the old ones had.
# With slots of their own, there would be no room for what follows.
is total(counted(), 'weir_metrics_series_dropped_total'), 0, 'so far there was room';


# --- a full zone -------------------------------------------------------------------------------

for my $round (1, 2) {
    get("/many/$_") for 1 .. $routes;
}
my $m = counted();
my $other = requests($m, '_other');
my $named = 0;
$named += requests($m, "= /many/$_") for 1 .. $routes;
is $named + $other, 2 * $routes, 'each request is counted once';
cmp_ok $named, '>', 100, 'as long as there was room, under its route';
cmp_ok $other, '>', 100, 'then under _other';
cmp_ok total($m, 'weir_metrics_series_dropped_total'), '>', 100, 'what has no room is counted';
cmp_ok total($m, 'weir_metrics_series_dropped_total'), '<=', 2 * $routes,
    '... once by each worker';

# A duration may need a page that has no room: then it is counted under _other.
my $all = total($m, 'http_server_request_duration_seconds_count');
get('/a') for 1 .. 10;
$m = counted();
is total($m, 'http_server_request_duration_seconds_count'), $all + 10 + 1, 'nothing is lost';
cmp_ok requests($m, '/a'), '>=', 120, '... and nothing taken back';
is get('/status')->{status}, 200, 'weir_status answers';

# A first reload while the zone is full: the new workers begin while the old ones have theirs.
stop('edge', 'TERM');
start_edge('weir_metrics_zone 1m;', $server, workers => 2);
until_true('there are two workers', sub { workers() == 2 });
both_serve();
for my $round (1, 2) {
    get("/many/$_") for 1 .. $routes;
}
cmp_ok total(counted(), 'weir_metrics_series_dropped_total'), '>', 100, 'a new zone is full';
my %full = map { $_ => 1 } workers();
kill 'HUP', $pid{edge};
until_true('there are new workers only', sub {
    my @now = workers();
    @now == 2 && !grep { $full{$_} } @now;
});
until_true('the old workers are gone', sub { !grep { -d "/proc/$_" } keys %full });
both_serve();
my $begun = total(counted(), 'http_server_request_duration_seconds_count');
get('/a') for 1 .. 20;
is total(counted(), 'http_server_request_duration_seconds_count'), $begun + 20 + 1,
    'workers that begin in a full zone count each request';
is scalar(logged(qr/has no room for/)), 0, '... and find room for themselves';

is scalar(logged(qr/\[(?:emerg|crit)\]|\[alert\].*(?!signal 9)$/)
    ) - scalar(logged(qr/signal 9/)), 0, 'no alarm but the kills';
done_testing;
