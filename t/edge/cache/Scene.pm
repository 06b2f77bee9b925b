# nginx with the module, an upstream that the test scripts and that counts what
# it is asked, and the Redis behind the cache: for tests that must know what
# reached the upstream or reach into Redis.
package Scene;
use strict;
use warnings;

use Exporter 'import';
use File::Temp 'tempdir';
use HTTP::Tiny;
use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX ();
use Test::More;
use Time::HiRes 'sleep';

our @EXPORT = qw(answer asked cache_status entries_of
    free_port get http_date keys_of logged port_of_edge redis request slurp spawn start_edge start_upstream stop until_true %pid $dir);

our $dir = tempdir(CLEANUP => 1);
our %pid;
our $redis_address;    # a port, or the path of a socket
my ($edge, $upstream, $alone);

chmod 0755, $dir;
mkdir "$dir/logs";

END {
    my $status = $?;
    if (!$alone) {
        kill 'CONT', values %pid;
        stop($_, 'TERM') for keys %pid;
        $? = $status;
    }
}

sub free_port { IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1:0')->sockport }
sub port_of_edge { $edge }
sub slurp { open my $in, '<', $_[0] or return ''; local $/; scalar <$in> }

# The lines of the error log that match.
sub logged { my $pattern = shift; grep { $_ =~ $pattern } split /\n/, slurp("$dir/logs/error.log") }

sub until_true {
    my ($what, $condition) = @_;
    for (1 .. 600) {
        return 1 if $condition->();
        sleep 0.05;
    }
    BAIL_OUT("waited in vain until $what");
}

sub spawn {
    my ($name, $what) = @_;
    my $child = fork // die $!;
    if (!$child) {
        $alone = 1;
        ref $what eq 'CODE' and $what->();
        open STDOUT, '>', '/dev/null';
        exec @$what;
    }
    $pid{$name} = $child;
}

sub stop {
    my ($name, $signal) = @_;
    my $child = delete $pid{$name} or return;
    kill $signal, $child;
    waitpid $child, 0;
}

# Seconds from now.
sub http_date { POSIX::strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime(time + $_[0])) }

# A whole response as an upstream sends it.
sub answer {
    my ($status, $fields, $body) = @_;
    return "HTTP/1.1 $status\r\nContent-Length: " . length($body) . "\r\n"
        . join('', map { "$_\r\n" } @$fields) . "\r\n$body";
}

# script->(path with query, whole request, how often that path was asked) returns
# the bytes to send; then the connection is closed.
sub start_upstream {
    my $script = shift;
    my $listener = IO::Socket::INET->new(Listen => 128, LocalAddr => '127.0.0.1:0') or die $!;
    $upstream = $listener->sockport;
    spawn('upstream', sub {
        my %asked;
        $SIG{PIPE} = 'IGNORE';
        $SIG{TERM} = sub { POSIX::_exit(0) };
        while (1) {
            my $client = $listener->accept or next;
            my $request = '';
            while (my $line = <$client>) { $request .= $line; last if $line eq "\r\n" }
            my ($path) = $request =~ /^\S+ (\S+)/ or next;
            if ($path =~ m{^/asked/(.*)}) {
                print $client answer('200 OK', [], $asked{"/$1"} // 0);
            } else {
                if ($request =~ /^Content-Length: (\d+)/mi) { read $client, my ($body), $1 }
                print $client $script->($path, $request, ++$asked{$path});
            }
            close $client;
        }
    });
}

# http: directives of that level; server: of the server, where $upstream stands
# for its address and $redis for the line that names the server.
sub start_edge {
    my ($http, $server, %more) = @_;
    my $address = $redis_address // $ENV{TEST_NGINX_REDIS_SOCK};
    my $url = $address =~ /^\d+$/ ? "redis://127.0.0.1:$address" : "unix:$address";
    my $timeout = $more{timeout} // '5s';
    my $temp = join '', map { "    ${_}_temp_path $dir/$_;\n" } qw(client_body proxy fastcgi uwsgi scgi);
    my ($module) = split ' ', $ENV{TEST_NGINX_LOAD_MODULES};

    $edge = free_port();
    s/UPSTREAM/127.0.0.1:$upstream/g for $http, $server;
    open my $conf, '>', "$dir/nginx.conf" or die $!;
    print $conf <<"CONF";
daemon off;
pid $dir/pid;
error_log $dir/logs/error.log info;
worker_processes 1;
load_module $module;
events {}
http {
$temp
    access_log off;
    weir_redis main $url timeout=$timeout connect_timeout=$timeout;
    $http
    server {
        listen 127.0.0.1:$edge;
        $server
    }
}
CONF
    close $conf;
    spawn('edge', [$ENV{TEST_NGINX_BINARY}, '-e', "$dir/logs/error.log", '-p', $dir, '-c', "$dir/nginx.conf"]);
    until_true('the edge listens', sub { IO::Socket::INET->new(PeerAddr => "127.0.0.1:$edge") });
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

# How often the upstream was asked for the path.
sub asked { my $path = shift; $http->get("http://127.0.0.1:$upstream/asked$path")->{content} }

# One command to Redis; the reply as string, number, list or undef.
sub redis {
    my $address = $redis_address // $ENV{TEST_NGINX_REDIS_SOCK};
    my $socket = $address =~ /^\d+$/ ? IO::Socket::INET->new(PeerAddr => "127.0.0.1:$address")
        : IO::Socket::UNIX->new(Peer => $address);
    die "no Redis: $!" if !$socket;
    binmode $socket;
    print $socket '*' . @_ . "\r\n", map { '$' . length($_) . "\r\n$_\r\n" } @_;
    return read_reply($socket);
}

sub read_reply {
    my $socket = shift;
    my ($kind, $rest) = readline($socket) =~ /^(.)(.*)\r\n/s or die 'Redis said nothing';
    return [map { read_reply($socket) } 1 .. $rest] if $kind eq '*';
    die "Redis: $rest" if $kind eq '-';
    return $rest if $kind ne '$';
    return undef if $rest < 0;
    read $socket, my $bytes, $rest + 2;
    return substr $bytes, 0, -2;
}

# The cache's own word on a response, without what other caches said before it.
sub cache_status { my $s = $_[0]{headers}{'cache-status'}; ref $s ? $s->[-1] : $s // '' }

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
