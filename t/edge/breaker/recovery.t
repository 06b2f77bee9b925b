# The breaker over the life of an upstream: killed, gone, back; with two
# workers, a reload in between, and the upstream's own count of requests.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";
use HTTP::Tiny;
use Test::More;
use Weir::Processes;

# Starts an nginx of its own under $dir/NAME.
sub start {
    my ($name, $main, $http) = @_;
    my $root = "$dir/$name";
    if (!-d $root) {
        mkdir $_ or die "$_: $!" for $root, "$root/logs";
    }
    my $temp = temp_paths($root);
    spit("$root/nginx.conf", <<"CONF");
daemon off;
pid $root/pid;
error_log $root/logs/error.log notice;
$main
events {}
http {
$temp
    access_log off;
    $http
}
CONF
    spawn_nginx($name, $root);
}

my ($edge, $upstream) = (free_port(), free_port());
my $http = HTTP::Tiny->new(timeout => 10, keep_alive => 0);
sub get { $http->get("http://127.0.0.1:$edge/") }

sub start_upstream {
    start('upstream', 'master_process off;', "server { listen 127.0.0.1:$upstream;"
        . " location / { access_log $dir/upstream/logs/requests.log; return 200 fine; } }");
    until_true('the upstream listens', sub { listens($upstream) });
}

sub upstream_requests {
    my @lines = log_lines("$dir/upstream/logs/requests.log", qr/^/);
    return scalar @lines;
}

start_upstream();
my ($module) = split ' ', $ENV{TEST_NGINX_LOAD_MODULES};
start('edge', "worker_processes 2; load_module $module;", <<"EOF");
weir_breaker_zone upstreams 1m;
server {
    listen 127.0.0.1:$edge reuseport;
    location / {
        weir_breaker zone=upstreams open=3s;
        proxy_pass http://127.0.0.1:$upstream;
    }
}
EOF
until_true('the edge listens', sub { listens($edge) });

is get()->{status}, 200, 'the upstream is there';

stop('upstream', 'KILL');
my @codes = map { get()->{status} } 1 .. 20;
is scalar(grep { $_ == 502 } @codes), 5, 'five failures in all, whichever worker saw them';
is scalar(grep { $_ == 503 } @codes), 15, 'the others are refused';

# The upstream is back, but nothing goes there while the breaker is open.
start_upstream();
my $before = upstream_requests();
my $refused = get();
is $refused->{status}, 503, 'still open';
is $refused->{headers}{'content-type'}, 'application/problem+json', 'a problem document';
like $refused->{headers}{'retry-after'}, qr/^[1-3]$/, 'says when to come back';
is upstream_requests(), $before, 'the upstream was not touched';

my $reloaded = do { kill 'HUP', $pid{edge}; 1 };
until_true('the edge has reloaded', sub {
    log_lines("$dir/edge/logs/error.log", qr/exited with code 0/);
}) if $reloaded;
isnt get()->{status}, 502, 'a reload starts no new series of failures';

until_true('the breaker has closed by itself', sub { get()->{status} == 200 });
my @after = map { get()->{status} } 1 .. 20;
is_deeply \@after, [(200) x 20], 'closed for good';

my @changes = log_lines("$dir/edge/logs/error.log", qr/weir_breaker/);
my @states = map { /weir_breaker "[^"]+" of zone "upstreams" is ([^,]+), was/ } @changes;
is_deeply \@states, ['open', 'half-open', 'closed'], 'one line in the log for each change of state';

# kill -9 of a worker under way: the others go on, the zone is not locked.
open my $list, '<', "/proc/$pid{edge}/task/$pid{edge}/children" or die $!;
my ($worker) = split ' ', <$list>;
kill 'KILL', $worker;
until_true('the master has a new worker', sub {
    open my $now, '<', "/proc/$pid{edge}/task/$pid{edge}/children" or return 0;
    my @workers = split ' ', <$now> // '';
    return @workers == 2 && !grep { $_ == $worker } @workers;
});
until_true('the edge serves', sub { get()->{status} == 200 });
pass 'a killed worker leaves the breaker usable';

done_testing;
