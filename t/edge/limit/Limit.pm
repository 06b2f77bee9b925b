# An edge with limits before an upstream that holds its requests until the test releases them.
package Limit;
use strict;
use warnings;

use Exporter 'import';
use HTTP::Tiny;
use IO::Select;
use IO::Socket::INET;
use JSON::PP;
use Test::More;
use Weir::Processes;

our @EXPORT = qw(
    all_free answer_of ask ask_released edge held held_now held_requests key_of kill_workers
    release release_all start_limited until_in_queue workers zone_of
);

my ($listener, @held, $port, $http);

# The upstream's address, and how many requests it has.
sub held {
    $listener //= IO::Socket::INET->new(Listen => 1024, LocalAddr => '127.0.0.1:0') or die $!;
    return '127.0.0.1:' . $listener->sockport;
}

sub held_now {
    while (IO::Select->new($listener)->can_read(0)) {
        my $client = $listener->accept or last;
        my $head = '';
        while (my $line = <$client>) { $head .= $line; last if $line eq "\r\n" }
        push @held, $client if $head;
    }
    @held = grep { !gone($_) } @held;
    return scalar @held;
}

sub gone {
    my $client = shift;
    return 0 if !IO::Select->new($client)->can_read(0);
    my $byte = '';
    return !defined $client->recv($byte, 1, 2) || $byte eq '';
}

sub held_requests {
    my $n = shift;
    return until_true("the upstream has $n requests", sub { held_now() == $n });
}

# The oldest request is answered, when it is there.
sub release {
    my $bytes = shift
        // "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfine\n";
    until_true('the upstream has a request', sub { held_now() > 0 });
    my $client = shift @held;
    print $client $bytes;
    close $client;
    return;
}
sub held_first { return shift @held }
sub drop { close shift @held; return }
sub release_all { while (held_now()) { release() } return }

# The edge with these locations.
sub start_limited {
    my ($locations, %more) = @_;
    $port = free_port();
    mkdir "$dir/logs";
    my $temp = temp_paths($dir);
    my $workers = $more{workers} // 2;
    my $http_conf = $more{http} // '';
    spit("$dir/nginx.conf", <<"CONF");
daemon off;
pid $dir/pid;
error_log $dir/logs/error.log info;
worker_processes $workers;
@{[load_modules()]}
@{[$more{main} // '']}
events {}
http {
$temp
    access_log off;
    weir_limit_zone slots 1m;
    $http_conf
    server {
        listen 127.0.0.1:$port reuseport;
        location /status { weir_status; }
        $locations
    }
}
CONF
    $http //= HTTP::Tiny->new(timeout => 30, keep_alive => 0, verify_SSL => 0);
    if (!$pid{nginx}) {
        spawn_nginx('nginx', $dir);
        until_true('the edge listens', sub { listens($port) });
    }
    return $port;
}

sub edge { $port }

# A connection on which a request was sent.
sub ask {
    my ($path, @fields) = @_;
    my $client = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") or die $!;
    my @head = ("GET $path HTTP/1.1", 'Host: a', 'Connection: close', @fields);
    print $client map { "$_\r\n" } @head, '';
    $client->flush;
    return $client;
}

# Its answer; nginx closes the connection of a stale one when its refresh has ended.
sub answer_of {
    my $client = shift;
    local $SIG{ALRM} = sub { die 'no answer' };
    alarm 30;
    my ($answer, $length) = ('');
    while (my $line = <$client>) {
        $answer .= $line;
        $length = $1 if $line =~ /^Content-Length: (\d+)/i;
        last if $line eq "\r\n";
    }
    read $client, $answer, $length // 1e7, length $answer;
    alarm 0;
    return $answer;
}

# The same for a request that the upstream answers at once.
sub ask_released {
    my $before = held_now();
    my $client = ask(@_);
    until_true('an answer, or a request at the upstream', sub {
        held_now() > $before || IO::Select->new($client)->can_read(0);
    });
    release() if held_now() > 0;
    return $client;
}

sub status {
    my $response = $http->get("http://127.0.0.1:$port/status");
    return $response->{success} ? decode_json($response->{content})->{limits}{slots} : {};
}
sub key_of { my $key = shift; return status()->{keys}{$key} }
sub zone_of { return status() }

sub until_in_queue {
    my ($key, $n) = @_;
    return until_true("$n wait for $key", sub { (key_of($key)->{waiting} // -1) == $n });
}

sub all_free {
    return until_true('all slots are free', sub { (status()->{requests} // 1) == 0 });
}

sub workers {
    open my $list, '<', "/proc/$pid{nginx}/task/$pid{nginx}/children" or return;
    return split ' ', <$list> // '';
}

sub kill_workers {
    my %old = map { $_ => 1 } workers();
    kill 'KILL', keys %old;
    return until_true('the master has new workers', sub {
        my @now = workers();
        return @now == keys %old && !grep { $old{$_} } @now;
    });
}

1;
