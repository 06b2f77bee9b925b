# Several edges with one Redis of the test's own and one upstream: for tests of
# what edges tell each other, and of what happens when Redis or a worker dies.
package Fleet;
use strict;
use warnings;

use Exporter 'import';
use File::Temp 'tempdir';
use HTTP::Tiny;
use IO::Socket::INET;
use POSIX ();
use Test::More;
use Time::HiRes 'sleep';

our @EXPORT = qw(answer asked cache_status children free_port get invalidate kill_process logged logged_since
    mark_log monitor redis request slurp spit start_edge start_redis start_upstream stop until_true url_of %pid $dir);

our $dir = tempdir(CLEANUP => 1);
our %pid;
my (%port, $redis, $upstream, $alone);

chmod 0755, $dir;

END {
    my $status = $?;
    if (!$alone) {
        kill 'CONT', values %pid;
        stop($_, 'TERM') for keys %pid;
        $? = $status;
    }
}

sub free_port { IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1:0')->sockport }
sub slurp { open my $in, '<', $_[0] or return ''; local $/; scalar <$in> }
sub spit { open my $out, '>', "$_[0].new" or die $!; print $out $_[1]; close $out; rename "$_[0].new", $_[0] or die $! }
sub listens { IO::Socket::INET->new(PeerAddr => "127.0.0.1:$_[0]") }

sub until_true {
    my ($what, $condition) = @_;
    for my $attempt (1 .. 1500) {
        return 1 if $condition->();
        sleep 0.02;
    }
    diag join "\n", grep { !/client closed/ } split /\n/, slurp($_) for glob "$dir/*/logs/error.log";
    BAIL_OUT("waited in vain until $what");
}

# The lines of an edge's error log that match.
sub logged { my ($edge, $pattern) = @_; grep { $_ =~ $pattern } split /\n/, slurp("$dir/$edge/logs/error.log") }

# The same, of those that came after mark_log().
my %mark;
sub mark_log { my $edge = shift; $mark{$edge} = -s "$dir/$edge/logs/error.log" // 0 }
sub logged_since { my ($edge, $pattern) = @_; grep { $_ =~ $pattern } split /\n/, substr slurp("$dir/$edge/logs/error.log"), $mark{$edge} // 0 }

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

sub kill_process { kill $_[0], $pid{$_[1]} }

# The workers of an edge.
sub children { my $pid = $pid{$_[0]}; split ' ', slurp("/proc/$pid/task/$pid/children") }

# --- Redis ---

# With append => 1 its data outlives it.
sub start_redis {
    my %more = @_;
    $redis //= free_port();
    mkdir "$dir/redis";
    spawn('redis', ['redis-server', '--port', $redis, '--bind', '127.0.0.1', '--dir', "$dir/redis", '--save', '',
        '--appendonly', $more{append} ? 'yes' : 'no', '--appendfsync', 'always']);
    until_true('Redis answers', sub { my $s = listens($redis) or return; print $s "PING\r\n"; (readline($s) // '') =~ /^\+PONG/ });
}

# One command; the reply as string, number, list or undef.
my ($connection, $connected);
sub redis {
    if (!$connection || $connected != $pid{redis}) {
        $connection = listens($redis) or die "no Redis: $!";
        $connected = $pid{redis};
        binmode $connection;
    }
    print $connection '*' . @_ . "\r\n", map { '$' . length($_) . "\r\n$_\r\n" } @_;
    return read_reply($connection);
}

# A connection on which Redis says each command that it gets, a line each.
sub monitor {
    my $socket = listens($redis) or die "no Redis: $!";
    print $socket "MONITOR\r\n";
    (readline($socket) // '') =~ /^\+OK/ or die 'Redis does not monitor';
    return $socket;
}

sub read_reply {
    my $socket = shift;
    my ($kind, $rest) = (readline($socket) // '') =~ /^(.)(.*)\r\n/s or die 'Redis said nothing';
    return [map { read_reply($socket) } 1 .. $rest] if $kind eq '*';
    die "Redis: $rest" if $kind eq '-';
    return $rest if $kind ne '$';
    return undef if $rest < 0;
    read $socket, my $bytes, $rest + 2;
    return substr $bytes, 0, -2;
}

sub invalidate { redis('XADD', 'weir:invalidate', '*', @_) }

# --- the upstream ---

# A whole response as an upstream sends it.
sub answer {
    my ($status, $fields, $body) = @_;
    return "HTTP/1.1 $status\r\nContent-Length: " . length($body) . "\r\nConnection: close\r\n"
        . join('', map { "$_\r\n" } @$fields) . "\r\n$body";
}

# script->(path with query, whole request, how often that path was asked) returns
# the bytes to send; it may take its time, others are answered meanwhile.
sub start_upstream {
    my $script = shift;
    my $listener = IO::Socket::INET->new(Listen => 128, LocalAddr => '127.0.0.1:0') or die $!;
    $upstream = $listener->sockport;
    spawn('upstream', sub {
        my %asked;
        $SIG{PIPE} = $SIG{CHLD} = 'IGNORE';
        $SIG{TERM} = sub { POSIX::_exit(0) };
        while (1) {
            my $client = $listener->accept or next;
            my $request = '';
            while (my $line = <$client>) { $request .= $line; last if $line eq "\r\n" }
            my ($path) = $request =~ /^\S+ (\S+)/ or next;
            if ($path =~ m{^/asked/(.*)}) {
                print $client answer('200 OK', [], $asked{"/$1"} // 0);
                next;
            }
            if ($request =~ /^Content-Length: (\d+)/mi) { read $client, my ($body), $1 }
            $asked{$path}++;
            next if fork;
            print $client $script->($path, $request, $asked{$path});
            close $client;
            POSIX::_exit(0);
        }
    });
}

# --- edges ---

# http: directives of that level; server: of the server; UPSTREAM in them is its
# address.  Starting one again is a new process with the same name and port.
sub start_edge {
    my ($name, $http, $server, %more) = @_;
    my $root = "$dir/$name";
    my $timeout = $more{timeout} // '500ms';
    my $temp = join '', map { "    ${_}_temp_path $root/$_;\n" } qw(client_body proxy fastcgi uwsgi scgi);
    my ($module) = split ' ', $ENV{TEST_NGINX_LOAD_MODULES};

    mkdir $root;
    mkdir "$root/logs";
    $port{$name} //= free_port();
    $redis //= free_port();
    $upstream //= free_port();
    s/UPSTREAM/127.0.0.1:$upstream/g for $http, $server;
    my $workers = $more{workers} // 1;
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
    weir_redis main redis://127.0.0.1:$redis timeout=$timeout connect_timeout=$timeout;
    $http
    server {
        listen 127.0.0.1:$port{$name} reuseport;
        proxy_read_timeout 30s;
        $server
    }
}
CONF
    spawn($name, [$ENV{TEST_NGINX_BINARY}, '-e', "$root/logs/error.log", '-p', $root, '-c', "$root/nginx.conf"]);
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

sub get { my $edge = shift; request($edge, 'GET', @_) }

# How often the upstream was asked for the path.
sub asked { my $path = shift; $http->get("http://127.0.0.1:$upstream/asked$path")->{content} }

# The cache's own word on a response.
sub cache_status { my $s = $_[0]{headers}{'cache-status'}; ref $s ? $s->[-1] : $s // '' }

1;
