# nginx with the module, an upstream that the test scripts and that counts its requests, and the
# Redis behind the cache: for tests that must know which requests reached the upstream, or change
# values in Redis.
package Scene;
use strict;
use warnings;

use Exporter 'import';
use File::Basename 'dirname';
use lib dirname(__FILE__) . '/../../lib';
use HTTP::Tiny;
use POSIX ();
use Weir::Edge::Nginx 'cache_status';
use Weir::Processes;
use Weir::Redis qw(redis_command redis_connect redis_login redis_parameters redis_watch);
use Weir::Upstream;

our @EXPORT = qw(answer asked cache_status entries_of free_port get http_date in_world keys_of
    logged port_of_edge redis request scheme slurp spawn start_edge start_upstream stop until_true
    %pid $dir);

our $redis_address;    # a port, or the path of a socket
my $edge;

mkdir "$dir/logs";

sub port_of_edge { $edge }

# The lines of the error log that match.
sub logged { log_lines("$dir/logs/error.log", shift) }

# Seconds from now.
sub http_date { POSIX::strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime(time + $_[0])) }

# http: directives of that level; server: directives of the server, in which UPSTREAM is replaced
# by the upstream's address; main: directives of the main level; events: of its events block;
# workers: their number.
sub start_edge {
    my ($http, $server, %more) = @_;
    my $address = $redis_address // $ENV{TEST_NGINX_REDIS_SOCK};
    my $of_test = $address =~ /^\d+$/;    # its own server
    my $url = $of_test ? 'redis://' . redis_login() . "\@127.0.0.1:$address" : "unix:$address";
    my $login = $of_test ? '' : redis_parameters(dirname($address));
    my $timeout = $more{timeout} // '5s';
    redis_watch($address);
    my $temp = temp_paths($dir);
    my $upstream = upstream();
    my $main = $more{main} // '';
    my $events = $more{events} // '';
    my $workers = $more{workers} // 1;
    my ($module) = split ' ', $ENV{TEST_NGINX_LOAD_MODULES};

    $edge = free_port();
    s/UPSTREAM/$upstream/g for $http, $server;
    spit("$dir/nginx.conf", <<"CONF");
daemon off;
pid $dir/pid;
error_log $dir/logs/error.log info;
worker_processes $workers;
load_module $module;
$main
events { $events }
http {
$temp
    access_log off;
    weir_redis main $url $login timeout=$timeout connect_timeout=$timeout;
    $http
    server {
        listen 127.0.0.1:$edge;
        $server
    }
}
CONF
    spawn_nginx('edge', $dir);
    until_true('the edge listens', sub { listens($edge) });
}

my $http = HTTP::Tiny->new(timeout => 20, keep_alive => 0, max_redirect => 0);

sub request {
    my ($method, $path, $headers, $body) = @_;
    $path = "http://127.0.0.1:$edge$path" if $path !~ /^http:/;
    my $response = $http->request($method, $path,
        { headers => $headers // {}, defined $body ? (content => $body) : () });
    $response->{content} //= '';
    return $response;
}

sub get { request('GET', @_) }

# One command to Redis; the reply as string, number, list or undef.
sub redis {
    my $address = $redis_address // $ENV{TEST_NGINX_REDIS_SOCK};
    my $socket = redis_connect($address) or die "no Redis: $!";
    return redis_command($socket, @_);
}

# The keys of a zone.
sub keys_of { my $zone = shift; @{ redis('KEYS', "weir:cache:$zone:*") } }

# The keys whose value matches, those of small values first; waits until there
# are as many, for the edge does not wait for Redis when it stores.
sub entries_of {
    my ($zone, $pattern, $number) = @_;
    my %value;
    until_true("$number entries match $pattern", sub {
        %value = map { $_ => redis('GET', $_) // '' } keys_of($zone);
        delete @value{ grep { $value{$_} !~ $pattern } keys %value };
        keys %value >= $number;
    });
    return sort { length $value{$a} <=> length $value{$b} } keys %value;
}

1;
