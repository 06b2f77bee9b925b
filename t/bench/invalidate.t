# bench-invalidate sees what is stale: it is content with edges that follow the
# invalidations, and not with a cache that doesn't.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/../lib";

use IO::Socket::UNIX;
use JSON::PP;
use Test::More;
use Weir::Processes;
use Weir::Redis 'redis_server';

my $redis = "$dir/redis.sock";
my @socket = ('--port', '0', '--unixsocket', $redis, '--unixsocketperm', '777');
spawn('redis', [redis_server(), @socket, '--dir', $dir, '--save', '', '--appendonly', 'no']);
until_true('Redis listens' => sub { IO::Socket::UNIX->new(Peer => $redis) });

my $upstream = free_port();
my ($one, $two, $deaf, $broken) = map { free_port() } 1 .. 4;

# Starts an edge with these directives in http {} and in its one location.
sub start_edge {
    my ($name, $port, $http, $location) = @_;
    my $root = "$dir/$name";
    mkdir $_ or die "$_: $!" for $root, "$root/logs";
    my ($modules, $temp) = (load_modules(), temp_paths($root));
    spit("$root/nginx.conf", <<"EOF");
daemon off;
pid $root/pid;
error_log $root/logs/error.log notice;
worker_processes 1;
$modules
events {}
http {
$temp
    access_log off;
    $http
    server {
        listen 127.0.0.1:$port;
        keepalive_requests 1000000;
        location / { $location }
        location = /weir-status { weir_status; }
    }
}
EOF
    spawn_nginx($name, $root);
    until_true("the edge $name listens" => sub { listens($port) });
}

my $pass = "proxy_pass http://127.0.0.1:$upstream;";
my $zone = "weir_redis main unix:$redis timeout=2s; weir_cache_zone api 8m redis=main;";
start_edge('one', $one, $zone, "weir_cache api; weir_cache_staleness 2s; $pass");
start_edge('two', $two, $zone, "weir_cache api; weir_cache_staleness 2s; $pass");
start_edge('deaf', $deaf, "proxy_cache_path $dir/deaf/cache keys_zone=deaf:1m;",
    "proxy_cache deaf; $pass");
start_edge('broken', $broken, '', 'return 500;');

# Runs bench-invalidate; returns its exit code and what it printed.
sub measure {
    my @arguments = @_;
    open my $out, '-|', "build/bench-invalidate @arguments 2>&1" or die $!;
    my $text = do { local $/; <$out> };
    close $out;
    return ($? >> 8, $text);
}

my @common = ('--redis', $redis, '--upstream-port', $upstream, '--connections', 4);

my ($status, $text) = measure(
    @common, '--edge-port', $one, '--edge-port', $two,
    '--keys', 10, '--rate', 50, '--seconds', 2, '--staleness', 2000);
my $result = eval { decode_json($text) } // diag $text;
is $result->{invalidations}, 100, 'all invalidations were made';
is $result->{old_at_the_end}, 0, 'edges that follow have nothing old at the end';
cmp_ok $result->{hits}, '>', 0, 'though they answer from the cache';
diag "late answers: $result->{late_answers}" if $result->{late_answers};

($status, $text) = measure(@common, '--edge-port', $deaf, '--keys', 5, '--rate', 50, '--seconds', 2,
    '--staleness', 100);
$result = eval { decode_json($text) } // diag $text;
is $status, 1, 'a cache that does not follow is not in time';
cmp_ok $result->{late_answers}, '>', 0, 'its late answers are seen';
cmp_ok $result->{old_at_the_end}, '>', 0, 'and what it still has at the end';
cmp_ok $result->{max_ms}, '>=', 100, 'with their lateness';

($status, $text) = measure(@common, '--edge-port', $broken, '--seconds', 1);
is $status, 2, 'an edge that answers with an error ends it';
like $text, qr{the edge on port $broken answered /k/\d+ with "HTTP/1.1 500}, 'with the answer';

($status, $text) = measure(@common, '--edge-port', $one, '--rate', 'many');
is $status, 2, 'a wrong option ends it';
is $text, qq{bench-invalidate: --rate is "many"; it must be a number between 1 and 10000\n},
    'with its value and what is allowed';

($status, $text) =
    measure('--redis', "$dir/nobody.sock", '--upstream-port', $upstream, '--edge-port', $one);
is $status, 2, 'no Redis ends it';
like $text, qr{no Redis at \Q$dir\E/nobody\.sock}, 'with its path';

done_testing;
