# The breaker over the life of an upstream: killed, gone, back; with two
# workers, a reload in between, and the upstream's own count of requests.
use strict;
use warnings;

use File::Temp 'tempdir';
use HTTP::Tiny;
use IO::Socket::INET;
use Test::More;
use Time::HiRes 'sleep';

my $dir = tempdir(CLEANUP => 1);
chmod 0755, $dir;
my %pid;

sub free_port { IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1:0')->sockport }

sub until_true {
    my ($what, $condition) = @_;
    for (1 .. 400) {
        return 1 if $condition->();
        sleep 0.05;
    }
    BAIL_OUT("waited in vain until $what");
}

# Starts an nginx of its own under $dir/NAME.
sub start {
    my ($name, $main, $http) = @_;
    my $root = "$dir/$name";
    if (!-d $root) {
        mkdir $_ or die "$_: $!" for $root, "$root/logs";
    }
    open my $out, '>', "$root/nginx.conf" or die $!;
    my $temp = join '', map { "${_}_temp_path $root/$_;\n" } qw(client_body proxy fastcgi uwsgi scgi);
    print $out "daemon off;\npid $root/pid;\nerror_log $root/logs/error.log notice;\n$main\n"
        . "events {}\nhttp {\n$temp access_log off;\n$http\n}\n";
    close $out;
    my $child = fork // die $!;
    if (!$child) {
        exec $ENV{TEST_NGINX_BINARY}, '-e', "$root/logs/error.log", '-p', $root, '-c', "$root/nginx.conf";
    }
    $pid{$name} = $child;
}

sub stop {
    my ($name, $signal) = @_;
    my $child = delete $pid{$name} or return;
    kill $signal, $child;
    waitpid $child, 0;
}

END { my $status = $?; stop($_, 'TERM') for keys %pid; $? = $status }

my ($edge, $upstream) = (free_port(), free_port());
my $http = HTTP::Tiny->new(timeout => 10, keep_alive => 0);
sub get { $http->get("http://127.0.0.1:$edge/") }

sub listening { IO::Socket::INET->new(PeerAddr => "127.0.0.1:$_[0]") }

sub start_upstream {
    start('upstream', 'master_process off;', "server { listen 127.0.0.1:$upstream;"
        . " location / { access_log $dir/upstream/logs/requests.log; return 200 fine; } }");
    until_true('the upstream listens', sub { listening($upstream) });
}

sub upstream_requests {
    open my $in, '<', "$dir/upstream/logs/requests.log" or return 0;
    my @lines = <$in>;
    return scalar @lines;
}

start_upstream();
start('edge', "worker_processes 2; load_module @{[(split ' ', $ENV{TEST_NGINX_LOAD_MODULES})[0]]};", <<"EOF");
weir_breaker_zone upstreams 1m;
server {
    listen 127.0.0.1:$edge reuseport;
    location / {
        weir_breaker zone=upstreams open=3s;
        proxy_pass http://127.0.0.1:$upstream;
    }
}
EOF
until_true('the edge listens', sub { listening($edge) });

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
    open my $in, '<', "$dir/edge/logs/error.log" or return 0;
    return grep { /exited with code 0/ } <$in>;
}) if $reloaded;
isnt get()->{status}, 502, 'a reload starts no new series of failures';

until_true('the breaker has closed by itself', sub { get()->{status} == 200 });
my @after = map { get()->{status} } 1 .. 20;
is_deeply \@after, [(200) x 20], 'closed for good';

open my $in, '<', "$dir/edge/logs/error.log" or die $!;
my @states = map { /weir_breaker "[^"]+": (\S+), was/ ? $1 : () } <$in>;
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
