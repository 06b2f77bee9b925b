# Finished spans outlive the process that ended them: workers and the exporter are killed, nginx
# reloads and ends, and all spans arrive.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/../../lib";
use IO::Socket::INET;
use Test::More;
use Time::HiRes 'sleep';
use Weir::Collector;
use Weir::Processes;

my $url = 'http://127.0.0.1:' . collector_port('c');
start_collector('c');

# Spans by their names, each once.
sub names {
    my (%n, %known);
    for my $span (received_spans('c')) { $n{ $span->{name} }++ if !$known{ $span->{id} }++ }
    return \%n;
}
sub ids_twice { my %n; $n{ $_->{id} }++ for received_spans('c'); return grep { $_ > 1 } values %n }
# The process that the collector is connected to is the exporter.
sub exporter_of {
    my $edge = shift;
    my $port = sprintf '%04X', collector_port('c');
    my @inodes =
        slurp('/proc/net/tcp') =~ /^ *\d+: \w+:\w+ 0100007F:$port 01(?: +\S+){5} +(\d+) /mg;
    my %ours = map { ("socket:[$_]" => 1) } @inodes;
    for my $pid (workers($edge)) {
        return $pid if grep { $ours{ readlink // '' } } glob "/proc/$pid/fd/*";
    }
    return;
}

# --- kill -9 of a worker ---

start_exporter(workers => 2, exporter => "otlp $url interval=1ms");
my ($first, $second) = until_true('two workers', sub { my @w = workers('edge'); @w == 2 && @w });
($first, $second) = workers('edge');
for my $round (1 .. 5) {
    # the worker kills itself behind the last span
    my $client = IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . port_of_edge('edge')) or die $!;
    $client->print("GET /?n=10&name=round$round&die=1 HTTP/1.0\r\n\r\n");
    1 while defined readline $client;
}
my $n = until_settled('workers that killed themselves');
is_deeply [map { names()->{"round$_"} } 1 .. 5], [(10) x 5],
    'the spans of workers that were killed arrive';
is $n->{sent}, 50, '... counted';

# --- kill -9 of the exporter, with a request under way ---

behave('c', { hang => 1 }, {});
probe('n=10&name=under_way');
until_true('the request is with the collector', sub { names(); grep {
    my $r = $_;
    $r->{todo}{hang}
} received('c') });
my $exporter = until_true('the exporter is known', sub { exporter_of('edge') });
kill 'KILL', $exporter;
$n = until_settled('another exporter');
is names()->{under_way}, 10, 'the next exporter sends the spans of that request';
isnt exporter_of('edge'), $exporter, '... from another process';
for my $round (1 .. 6) {
    my $exporter = exporter_of('edge');
    kill 'KILL', $exporter if $exporter;
    probe("n=20&name=killed$round");
}
$n = until_settled('exporters that were killed');
is_deeply [map { names()->{"killed$_"} // 0 } 1 .. 6], [(20) x 6],
    'spans that end while the exporter is killed arrive';

# --- reload under load ---

my $ended = 0;
my @known = ids_twice();
for my $round (1 .. 5) {
    kill 'HUP', $pid{edge};
    my $until = time + 1;
    my %of;
    until_true("other workers in round $round", sub {
        my $p = probe('n=10&name=reloaded');
        $ended += $p->{taken} // 0;
        $of{ $p->{pid} }++ if $p->{pid};
        keys %of >= 2 && logged(qr/gracefully shutting down/) >= 2 * $round;
    });
}
until_true('the old workers are gone', sub { workers('edge') == 2 });
$n = until_settled('reloaded');
is names()->{reloaded}, $ended, "a reload loses none of $ended spans";
is scalar(ids_twice()), scalar(@known), '... and none is sent twice';
is $n->{full} + $n->{refused} + $n->{unsent} + $n->{corrupt}, 0, '... nothing was dropped';

# A request that outlives its worker's generation: its span goes to the new exporter.
my $slow = IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . port_of_edge('edge'));
$slow->print("GET /?n=1&name=late HTTP/1.1\r\n");
my $worker = until_true('a worker has the request', sub {
    my ($port) = map { sprintf '%04X', $_ } $slow->sockport;
    slurp('/proc/net/tcp') =~ /:$port 01 /i;
});
kill 'HUP', $pid{edge};
until_true('old and new workers', sub { workers('edge') == 3 });
$slow->print("Host: x\r\nConnection: close\r\n\r\n");
1 while defined readline $slow;
until_settled('late');
is names()->{late}, 1, 'a span that ends in an old worker arrives';

# Another collector, another format, another size: the old workers send what is theirs.
my $other = 'http://127.0.0.1:' . collector_port('d');
start_collector('d');
behave('c', { status => 503, headers => ['Retry-After: 0'] }, { status => 503 }, {});
probe('n=10&name=before');
start_exporter(workers => 2, exporter => "otlp $other interval=1ms format=json buffer=1m");
kill 'HUP', $pid{edge};
until_true('the old spans arrive in the old format', sub { (names()->{before} // 0) == 10 });
until_true('new workers', sub { workers('edge') == 2 && logged(qr/exited with code 0/) });
probe('n=10&name=after');
until_true('the new ones in the new one', sub { received_spans('d') == 10 });
is_deeply [map { $_->{error} } grep { $_->{error} } received('c'), received('d')], [],
    'all well-formed';

# --- the end of nginx ---

probe('n=300&name=last');
stop('edge', 'QUIT');
is scalar(grep { $_->{name} eq 'last' } received_spans('d')), 300,
    'nginx ends gracefully: all spans are sent before';

behave('d', { hang => 1 });
start_exporter(name => 'hung', exporter => "otlp $other interval=1ms timeout=1h");
probe('n=5', 'hung');
until_true('the request is with the collector', sub { grep { $_->{todo}{hang} } received('d') });
kill 'QUIT', $pid{hung};
until_true('nginx ends, although the collector hangs', sub {
    logged(qr/could not send 5 spans to \Q$other\E before nginx ended/, 'hung');
});
stop('hung', 'QUIT');
start_exporter(name => 'stopped', workers => 2, exporter => "otlp $other interval=1h");
probe('n=5', 'stopped');
stop('stopped', 'TERM');
pass 'nginx is stopped at once';
behave('d');

# --- damaged memory ---

start_exporter(name => 'damaged', workers => 2, exporter => "otlp $url interval=1h batch=100");
probe('n=1', 'damaged');
until_true('the first is sent', sub { counts('damaged')->{sent} });
probe('n=50&corrupt=1', 'damaged');
probe('n=100&name=behind', 'damaged');
$n = until_true('the ring is given up', sub {
    my $n = probe('n=1', 'damaged');
    $n->{corrupt} && $n;
});
is_settled($n, 'damaged');
my $found = logged(qr/found a corrupt ring in shared memory; its \d+ spans are dropped/, 'damaged');
cmp_ok $found, '>=', 1, '... which is logged';
until_true('then spans are sent again', sub {
    probe('n=100&name=healed', 'damaged');
    names()->{healed};
});

# --- more processes than rings ---

# Workers of many generations stay as long as their clients.
start_exporter(name => 'many', workers => 3, exporter => "otlp $url interval=1ms");
# nginx listens before its workers run: a worker of this generation that is not known yet would be
# taken for one of the next.
until_true('the first generation', sub { workers('many') == 3 });
my @clients;
# Which workers get them is the kernel's choice, so there are generations until there are enough.
for my $generation (1 .. 20) {
    last if 11 <= (() = workers('many'));
    for my $worker (workers('many')) {
        for my $try (1 .. 200) {
            my $client = IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . port_of_edge('many'));
            $client->print("GET /?n=1&name=crowd HTTP/1.1\r\nHost: x\r\n");
            push @clients, $client;
            last if @clients >= 12 * $generation;
        }
    }
    my %old = map { $_ => 1 } workers('many');
    kill 'HUP', $pid{many};
    until_true("generation $generation", sub { 3 == grep { !$old{$_} } workers('many') });
}
my $processes = () = workers('many');
$_->print("Connection: close\r\n\r\n") for @clients;
for my $client (@clients) { 1 while defined readline $client }
$n = until_settled('many processes', 'many');
is $n->{ended}, scalar(@clients), "spans of $processes processes are counted";
cmp_ok $n->{full}, '<', $n->{ended}, '... and those with a ring are sent';
cmp_ok scalar(logged(qr/has no ring left for this process.*; there are 8 rings/, 'many')), '>=', 1,
    '... that some have none is logged';
until_true('the old ones are gone', sub { workers('many') == 3 });
$n = counts('many');
until_true('each worker has a ring again', sub {
    my %of;
    my $full = counts('many')->{full};
    for (1 .. 60) { my $p = probe('n=1', 'many'); $of{ $p->{pid} } = $p->{taken} }
    counts('many')->{full} == $full && keys %of == 3;
});
is_settled(counts('many'), 'many again');

for my $edge ('edge', 'damaged', 'many', 'hung', 'stopped') {
    is_deeply [grep { !/corrupt ring|exited on signal 9/ }
            logged(qr/\[(?:error|crit|alert|emerg)\]/, $edge)], [], "$edge: nothing alarming";
}

done_testing;
