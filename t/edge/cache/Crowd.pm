# An edge with any number of workers, an upstream that answers many at once and
# can be held back, many clients at once, and the probe's look into the zone.
package Crowd;
use strict;
use warnings;

use Exporter 'import';
use File::Basename 'dirname';
use lib dirname(__FILE__) . '/../../lib';
use IO::Select;
use IO::Socket::INET;
use POSIX ();
use Socket;
use Test::More;
use Time::HiRes qw(sleep time);
use Weir::Edge::Nginx qw(cache_status configuration_said);
use Weir::Processes;
use Weir::Upstream;

our @EXPORT = qw(alarms answer answers asked at_rest busy cache_status clients connection edge_pid
    free_port get hold let_go logged probe reload request slow_client slurp start_edge
    start_upstream stop until_true waiting workers $dir);

my $edge;
my $test = $$;

mkdir "$dir/logs";

# A master that daemonized, or was upgraded, is not a child of this process.
END {
    if ($$ == $test) {
        kill 'TERM', slurp($_) for grep { -s } "$dir/pid", "$dir/pid.oldbin";
    }
}

sub logged { log_lines("$dir/logs/error.log", shift) }

# The alarms in the log, but for nginx's own words on workers that were killed,
# and on those that had just left when the master spoke to them.
sub alarms {
    my $expected = qr/exited on signal 9|was locked by|sendmsg\(\) failed/;
    return grep { !/$expected/ } logged(qr/\[(?:emerg|crit|alert)\]/);
}

# --- the upstream ---

# While the gate of that name is closed, upstream requests that call waiting(name) stay there.
sub hold { open my $out, '>', "$dir/gate-$_[0]" or die $! }
sub let_go { unlink "$dir/gate-$_[0]" }
sub waiting { my $name = shift; sleep 0.01 while -e "$dir/gate-$name" && getppid != 1 }

# --- the edge ---

# http: directives of that level; server: directives of the server; UPSTREAM is replaced by its
# address. The socket's buffer is small, so that 300 KB do not fit between the edge and a client
# that does not read. The probe is at /probe/ZONE for each zone.
sub configure {
    my ($http, $server, %more) = @_;
    my $temp = temp_paths($dir);
    my $upstream = upstream();
    my @modules = grep { !/redis_probe/ } split ' ', $ENV{TEST_NGINX_LOAD_MODULES};
    my $modules = join '', map { "load_module $_;\n" } @modules;
    my @zones = $http =~ /weir_cache_zone (\w+)/g;
    my $probes = join '',
        map { "        location = /probe/$_ { weir_cache $_; weir_cache_probe on; }\n" } @zones;
    my $workers = $more{workers} // 1;
    s/UPSTREAM/$upstream/g for $http, $server;
    spit("$dir/nginx.conf", <<"CONF");
daemon @{[$more{daemon} ? 'on' : 'off']};
pid $dir/pid;
error_log $dir/logs/error.log info;
worker_processes $workers;
$modules
events { worker_connections 2048; }
http {
$temp
    access_log off;
    send_timeout 1h;
    proxy_read_timeout 1h;
    $http
    server {
        listen 127.0.0.1:$edge backlog=2048 sndbuf=16k @{[$more{spread} ? 'reuseport' : '']};
$probes
        location = /stub { stub_status; }
        $server
    }
}
CONF
}

sub edge_pid { $pid{edge} }
sub port { $edge }

# The pids of the workers, or of those of one master.
sub workers {
    my $master = $_[0] // $pid{edge};
    my @found;
    for (glob '/proc/[0-9]*/stat') {
        my ($pid, $state, $parent) = (slurp($_) // '') =~ /^(\d+) \(.*\) (\S) (\d+)/s or next;
        push @found, $pid if $parent == $master && $state ne 'Z';
    }
    return @found;
}

sub start_edge {
    my ($http, $server, %more) = @_;
    $edge = free_port();
    configure($http, $server, %more);
    spawn_nginx('edge', $dir);
    if ($more{daemon}) {
        waitpid $pid{edge}, 0;
        die('the edge has not started') if $?;
        until_true('the edge runs', sub { $pid{edge} = 0 + slurp("$dir/pid") });
    }
    until_true('the edge listens', sub {
        die('the edge has not started') if waitpid($pid{edge}, POSIX::WNOHANG) > 0;
        connection();
    });
}

# The output of nginx for a configuration that it refuses; must not run beside it.
sub refusal {
    configure(@_);
    my $said = configuration_said($dir);
    return $? ? $said : "accepted: $said";
}

# With another configuration; returns when the old workers are gone.
sub reload {
    my %old = map { $_ => 1 } workers();
    configure(@_);
    kill 'HUP', $pid{edge};
    until_true('there are none but new workers', sub {
        my @now = workers();
        @now && !grep { $old{$_} } @now;
    });
}

# The probe's report on a zone; the arguments are the probe's.
sub probe {
    my ($zone, $arguments) = @_;
    my $r = get("/probe/$zone" . ($arguments ? "?$arguments" : ''));
    my ($wrong) = $r->{content} =~ /wrong=(.*)\n/;
    return { $r->{content} =~ /(\w+)=(\S+)/g, wrong => $wrong, status => $r->{status} };
}

# Waits until nothing is pinned, and returns the probe's report.
sub at_rest {
    my $zone = shift;
    my $p;
    until_true("nothing of zone $zone is pinned", sub {
        $p = probe($zone);
        $p->{status} == 200 && $p->{pins} == 0;
    });
    return $p;
}

# How many requests the edge has in hand, but for this one.
sub busy { my ($writing) = get('/stub')->{content} =~ /Writing: (\d+)/; ($writing // 1) - 1 }

# --- clients ---

sub connection { IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . ($_[0] // $edge)) }

sub parse {
    my ($head, $body) = split /\r\n\r\n/, $_[0], 2;
    my ($status) = ($head // '') =~ m{^HTTP/1\.\d (\d+)};
    my %headers;
    push @{ $headers{lc $1} }, $2 while ($head // '') =~ /\r\n([^:\r]+): ?([^\r]*)/g;
    $headers{$_} = join ', ', @{ $headers{$_} } for keys %headers;
    return { status => $status // 0, headers => \%headers, content => $body // '', raw => $_[0] };
}

sub talk {
    my ($port, $bytes) = @_;
    local $SIG{PIPE} = 'IGNORE';
    my $socket = connection($port) or return parse('');
    print $socket $bytes;
    local $/;
    return parse(scalar(<$socket>) // '');
}

sub bytes_of {
    my ($method, $path, $headers) = @_;
    return "$method $path HTTP/1.1\r\nHost: crowd\r\nConnection: close\r\n"
        . join('', map { "$_: $headers->{$_}\r\n" } keys %{ $headers // {} }) . "\r\n";
}

sub request { talk($edge, bytes_of(@_)) }
sub get { request('GET', @_) }

# One connection for each request [path, headers, method], all at once; returns them.
my %head;
sub clients {
    map {
        my ($path, $headers, $method) = @$_;
        my $s = connection() // die $!;
        $head{$s} = 1 if ($method // 'GET') eq 'HEAD';
        print $s bytes_of($method // 'GET', $path, $headers);
        $s;
    } @_;
}

# nginx closes a connection only after its background requests have ended.
sub is_whole {
    my $end = index $_[0], "\r\n\r\n";
    return $end >= 0 if $_[1];    # to a HEAD
    return $end >= 0 && substr($_[0], 0, $end) =~ /^Content-Length: (\d+)/mi
        && length $_[0] >= $end + 4 + $1;
}

# A client that has sent its request and receives very little: at most some 50 KB leave the edge
# before the client reads.
sub slow_client {
    my ($path, $headers) = @_;
    socket my $s, PF_INET, SOCK_STREAM, 0 or die $!;
    setsockopt $s, SOL_SOCKET, SO_RCVBUF, pack('i', 2048) or die $!;
    connect $s, sockaddr_in($edge, inet_aton('127.0.0.1')) or die $!;
    bless $s, 'IO::Socket::INET';
    $s->autoflush(1);
    print $s bytes_of('GET', $path, $headers);
    return $s;
}

# The whole answers to clients(), in their order.
sub answers {
    my @sockets = @_;
    my %bytes = map { $_ => '' } @sockets;
    my $select = IO::Select->new(@sockets);
    my $until = time + 120;
    while ($select->count) {
        die($select->count . ' clients have waited in vain') if time > $until;
        for my $s ($select->can_read(1)) {
            my $n = sysread $s, $bytes{$s}, 65536, length $bytes{$s};
            $select->remove($s) if !$n || is_whole($bytes{$s}, $head{$s});
        }
    }
    delete @head{@sockets};
    return map { parse($bytes{$_}) } @sockets;
}

1;
