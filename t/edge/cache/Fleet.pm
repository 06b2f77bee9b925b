# Several edges with one Redis of the test's own and one upstream: for tests of the messages
# between edges, and of failures of Redis or a worker.
package Fleet;
use strict;
use warnings;

use Exporter 'import';
use File::Basename 'dirname';
use lib dirname(__FILE__) . '/../../lib';
use HTTP::Tiny;
use Weir::Edge::Nginx 'cache_status';
use Weir::Processes;
use Weir::Redis
    qw(redis_answers redis_command redis_connect redis_login redis_server redis_users redis_watch);
use Weir::Upstream qw(answer asked upstream);

our @EXPORT = qw(answer answers asked cache_status children free_port get invalidate kill_process
    logged logged_since mark_log monitor port_of_redis redis request slurp spit start_edge
    start_redis start_upstream stop until_true url_of %pid $dir);

my (%port, $redis);

# The lines of an edge's error log that match.
sub logged { my ($edge, $pattern) = @_; log_lines("$dir/$edge/logs/error.log", $pattern) }

# The same, of those that came after mark_log().
my %mark;
sub mark_log { my $edge = shift; $mark{$edge} = -s "$dir/$edge/logs/error.log" // 0 }
sub logged_since {
    my ($edge, $pattern) = @_;
    log_lines("$dir/$edge/logs/error.log", $pattern, $mark{$edge});
}

sub kill_process { kill $_[0], $pid{$_[1]} }

# The workers of an edge.
sub children { my $pid = $pid{$_[0]}; split ' ', slurp("/proc/$pid/task/$pid/children") }

# --- Redis ---

# With append => 1 its data outlives it.
sub start_redis {
    my %more = @_;
    $redis //= free_port();
    mkdir "$dir/redis";
    my $append = $more{append} ? 'yes' : 'no';
    spawn('redis', [redis_server(), '--port', $redis, '--bind', '127.0.0.1',
        '--dir', "$dir/redis", '--save', '', '--appendonly', $append, '--appendfsync', 'always',
        redis_users($dir)]);
    until_true('Redis answers', sub { redis_answers($redis) });
    redis_watch($redis);
}

sub port_of_redis { $redis //= free_port() }

# One command; the reply as string, number, list or undef.
my ($connection, $connected);
sub redis {
    if (!$connection || $connected != $pid{redis}) {
        $connection = redis_connect($redis) or die "no Redis: $!";
        $connected = $pid{redis};
    }
    return redis_command($connection, @_);
}

# A connection on which Redis says each command that it gets, a line each.
sub monitor {
    my $socket = redis_connect($redis) or die "no Redis: $!";
    print $socket "MONITOR\r\n";
    (readline($socket) // '') =~ /^\+OK/ or die 'Redis does not monitor';
    return $socket;
}

sub invalidate { redis('XADD', 'weir:invalidate', '*', @_) }

# --- the upstream ---

# script->(path with query, whole request, how often that path was asked) returns
# the bytes to send; it may take its time, others are answered meanwhile.
sub start_upstream {
    my $script = shift;
    Weir::Upstream::start_upstream(sub { my @asked = @_; sub { $script->(@asked) } });
}

# --- edges ---

# http: directives of that level; server: directives of the server; UPSTREAM in them is replaced
# by its address. Starting an edge again makes a new process with the same name and port. Edges
# listen on different ports, which are part of the default key, so they have a weir_cache_key
# without the port.
sub start_edge {
    my ($name, $http, $server, %more) = @_;
    my $root = "$dir/$name";
    my $timeout = $more{timeout} // '500ms';
    my $temp = temp_paths($root);
    my $upstream = upstream();
    my ($module) = split ' ', $ENV{TEST_NGINX_LOAD_MODULES};

    mkdir $root;
    mkdir "$root/logs";
    $port{$name} //= free_port();
    $redis //= free_port();
    s/UPSTREAM/$upstream/g for $http, $server;
    my $workers = $more{workers} // 1;
    my $user = redis_login();
    my $key = $http =~ /weir_cache_key/ ? '' : 'weir_cache_key http$host$request_uri;';
    spit("$root/nginx.conf", <<"CONF");
daemon off;
pid $root/pid;
error_log $root/logs/error.log info;
worker_processes $workers;
load_module $module;
events {}
http {
$temp
    access_log off;
    weir_redis main redis://$user\@127.0.0.1:$redis timeout=$timeout connect_timeout=$timeout;
    $key
    $http
    server {
        listen 127.0.0.1:$port{$name} reuseport;
        proxy_read_timeout 30s;
        $server
    }
}
CONF
    spawn_nginx($name, $root);
    until_true("$name listens", sub { listens($port{$name}) });
}

my $http = HTTP::Tiny->new(timeout => 30, keep_alive => 0, max_redirect => 0);

sub url_of { my ($edge, $path) = @_; "http://127.0.0.1:$port{$edge}$path" }

sub request {
    my ($edge, $method, $path, $headers, $body) = @_;
    my $response = $http->request($method, url_of($edge, $path),
        { headers => $headers // {}, defined $body ? (content => $body) : () });
    $response->{content} //= '';
    return $response;
}

# All that comes over each of the connections, as head and body.
sub answers {
    my @sockets = @_;
    my @answers;
    for my $socket (@sockets) {
        local $/;
        my ($head, $body) = split /\r\n\r\n/, readline($socket) // '', 2;
        push @answers, { head => $head, body => $body };
    }
    return @answers;
}

sub get { my $edge = shift; request($edge, 'GET', @_) }

1;
