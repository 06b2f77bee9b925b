# A collector of spans (t/lib/collector.py), and an edge with weir_exporter whose requests end spans
# (weir_export_probe).
package Weir::Collector;
use strict;
use warnings;

use Exporter 'import';
use File::Basename 'dirname';
use HTTP::Tiny;
use IO::Socket::INET;
use IO::Socket::UNIX;
use JSON::PP qw(decode_json encode_json);
use Test::More;
use Weir::Processes;

our @EXPORT = qw(
    behave collector_port counts is_settled logged port_of_edge probe received received_spans
    start_collector start_exporter until_settled workers
);

my $program = dirname(__FILE__) . '/../collector.py';
my (%port, %edge);

# Starts the collector NAME at its port, the same each time, with the arguments that follow it; the
# first may be unix:PATH.
sub start_collector {
    my ($name, @arguments) = @_;
    my $folder = "$dir/$name";
    die "there is a process $name" if $pid{$name};
    mkdir $folder;
    my $unix = @arguments && $arguments[0] =~ /^unix:(.*)/ && $1;
    my $where = $unix ? shift @arguments : collector_port($name);
    spawn($name, ['/usr/bin/python3', $program, $folder, $where, @arguments]);
    until_true("collector $name listens", sub {
        $unix ? -S $unix && IO::Socket::UNIX->new(Peer => $unix) : listens($where);
    });
    return;
}

sub collector_port { my $name = shift; return $port{$name} //= free_port() }

# How the collector answers from now on: see the program.
sub behave {
    my ($name, @todo) = @_;
    mkdir "$dir/$name";
    spit("$dir/$name/behaviour", encode_json(@todo ? [@todo] : [{}]));
}

# What the collector has received: a hash for each request. Connections that ended are left out.
# Each line is decoded once, because tests ask often.
my %read;
sub received {
    my $name = shift;
    my $state = $read{$name} //= { bytes => 0, requests => [] };
    my $new = substr slurp("$dir/$name/requests"), $state->{bytes};
    while ($new =~ /(.*)\n/g) {
        my $entry = decode_json($1);
        push @{ $state->{requests} }, $entry if $entry->{path};
        $state->{bytes} += 1 + length $1;
    }
    return @{ $state->{requests} };
}

# Of the requests that were accepted.
sub received_spans {
    my $name = shift;
    return map { @{ $_->{spans} // [] } } grep {
        my $todo = $_->{todo};
        ($todo->{status} // 200) < 300 && !grep { $todo->{$_} } qw(hang drop raw drip);
    } received($name);
}

# Starts an edge. exporter: the arguments of weir_exporter; workers: 1 without it; http, server,
# main, events: more directives; name: 'edge' without it.
sub start_exporter {
    my (%conf) = @_;
    my $name = $conf{name} // 'edge';
    my $root = "$dir/$name";
    my $new = !$edge{$name};
    $edge{$name} //= { port => free_port(), root => $root };
    mkdir $_ for $root, "$root/logs";
    my ($modules, $temp) = (load_modules(), temp_paths($root));
    spit("$root/nginx.conf", <<"CONF");
daemon off;
pid $root/pid;
error_log $root/logs/error.log info;
worker_processes @{[$conf{workers} // 1]};
$modules
@{[$conf{main} // '']}
events { @{[$conf{events} // '']} }
http {
$temp
    access_log off;
    weir_exporter $conf{exporter};
    @{[$conf{http} // '']}
    server {
        listen 127.0.0.1:$edge{$name}{port} reuseport;
        location /         { weir_export_probe; }
        location = /status { weir_status; }
        location = /metrics { weir_metrics; }
        @{[$conf{server} // '']}
    }
}
CONF
    return if !$new && $pid{$name};
    die "there is a process $name" if $pid{$name};
    spawn_nginx($name, $root);
    until_true('the edge listens', sub { listens($edge{$name}{port}) });
    return;
}

my $http = HTTP::Tiny->new(timeout => 30, keep_alive => 0);

# Asks the probe, with arguments; its answer as a hash, {} if there was none.
sub probe {
    my ($arguments, $name) = @_;
    my $port = $edge{ $name // 'edge' }{port};
    my $r = $http->get("http://127.0.0.1:$port/?$arguments");
    return $r->{status} == 200 ? { $r->{content} =~ /(\w+)=(\d+)/g } : {};
}

sub counts { my $name = shift; return probe('n=0', $name) }

# Each span that ended was sent, was dropped, or waits.
sub is_settled {
    my ($n, $what) = @_;
    my $sum = 0;
    $sum += $n->{$_} for qw(sent full refused unsent corrupt queued);
    is $sum, $n->{ended}, "sent + dropped + queued = ended: $what"
        or diag explain $n;
}

# Waits until nothing is queued; the counts.
sub until_settled {
    my ($what, $name) = @_;
    my $n = until_true("nothing is queued: $what", sub {
        my $n = counts($name);
        defined $n->{queued} && $n->{queued} == 0 && $n;
    });
    is_settled($n, $what);
    return $n;
}

sub logged {
    my ($pattern, $name) = @_;
    return log_lines("$dir/" . ($name // 'edge') . '/logs/error.log', $pattern);
}

sub port_of_edge { my $name = shift; return $edge{ $name // 'edge' }{port} }

# The pids of the edge's worker processes.
sub workers {
    my $name = shift // 'edge';
    return split ' ', slurp("/proc/$pid{$name}/task/$pid{$name}/children");
}

1;
