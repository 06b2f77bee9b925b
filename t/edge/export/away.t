# The collector is away, and comes back: nobody waits, memory is bounded, and each span that ended
# is counted once.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/../../lib";
use Test::More;
use Weir::Collector;
use Weir::Processes;

my $url = 'http://127.0.0.1:' . collector_port('c');
sub is_away { scalar logged(qr/\Q$url\E is away/, shift) }
sub is_back { scalar logged(qr/\Q$url\E takes spans again/, shift) }

# --- never there, and then it is ---

start_exporter(exporter => "otlp $url interval=1ms buffer=64k timeout=1s");
probe('n=10');
until_true('it is away', sub { is_away() });
is scalar(logged(qr/is away: cannot connect; 10 spans are queued and sent again/)), 1,
    'a collector that is not there is logged';
is counts()->{queued}, 10, 'spans wait';
is_settled(counts(), 'away');

my $n = probe('n=2000');
is_settled($n, 'full');
cmp_ok $n->{full}, '>', 1000, 'a full ring takes no more';
cmp_ok $n->{queued}, '>', 400, '... and keeps what it has';
cmp_ok $n->{bytes}, '<=', 65536, '... within buffer=';
my ($kept, $full) = @$n{qw(queued full)};
start_collector('c');
$n = until_settled('it came');
is $n->{sent}, $kept, 'what was kept is sent as soon as it is there';
is scalar(received_spans('c')), $kept, '... and received';
is is_away(), 1, 'one line said that it was away';
is is_back(), 1, '... and one that it is back';
is scalar(logged(qr/takes spans again; $full were dropped meanwhile/)), 1, '... with the number';
is scalar(logged(qr/\[error\]|\[crit\]|\[alert\]/)), 0, '... and nothing else';

# --- killed, and started again ---

for my $round (1, 2) {
    my $sent = $n->{sent};
    stop('c', 'KILL');
    probe('n=7');
    until_true('the loss is noticed', sub { is_away() == 1 + $round });
    is_settled(counts(), "killed $round");
    start_collector('c');
    $n = until_settled("back $round");
    is $n->{sent}, $sent + 7, 'killed: the spans are sent to the next one';
    is is_back(), 1 + $round, '... and one line says so';
}

# --- hung: it accepts connections and requests, and never answers ---

behave('c', { hang => 1 });
probe('n=7');
until_true('the timeout passes', sub { counts()->{failures} > $n->{failures} });
my $before = time;
$n = probe('n=3000');
cmp_ok $n->{full}, '>', $full + 1000, 'hung: spans are dropped, and no request waits';
is_settled($n, 'hung');
behave('c');
$n = until_settled('no longer hung');
my %times;
$times{ $_->{id} }++ for received_spans('c');
is_deeply [grep { $_ > 1 } values %times], [], 'no span was sent again that was accepted';
is $n->{sent}, scalar(keys %times), '... and as many were received as are counted';

# --- no retry, and retries that end ---

start_exporter(name => 'hasty', exporter => "otlp $url interval=1ms retry=0");
start_exporter(name => 'patient', exporter => "otlp $url interval=1ms retry=1500ms");
behave('c', { status => 503 });
for my $edge ('hasty', 'patient') {
    probe('n=5', $edge);
    $n = until_settled($edge, $edge);
    is $n->{unsent}, 5, "$edge: dropped after retry=";
    cmp_ok $n->{failures}, $edge eq 'hasty' ? '==' : '>', 1, '... and those tries';
}
behave('c', { status => 503, headers => ['Retry-After: 3600'] });
probe('n=5', 'patient');
$n = until_settled('a long Retry-After', 'patient');
is $n->{unsent}, 10, 'a Retry-After beyond retry= drops the batch';
my $requests = () = received('c');
probe('n=5', 'patient');
until_true('the next ones wait', sub { counts('patient')->{queued} == 5 });
stop($_, 'QUIT') for 'hasty', 'patient';
is scalar(logged(qr/could not send \d+ spans/, 'hasty')), 0, 'nothing is left: nothing is logged';
cmp_ok scalar(grep { $_->{todo}{status} } received('c')), '<=', $requests + 1,
    '... a last try at the end of nginx';
is scalar(logged(qr/could not send 5 spans to \Q$url\E before nginx ended/, 'patient')), 1,
    '... and the rest is logged';
behave('c');

# --- the name ---

# A resolver that never answers: the address that the name had when nginx started is used.
my $deaf = IO::Socket::INET->new(Proto => 'udp', LocalAddr => '127.0.0.1:0');
my $port = collector_port('c');
start_exporter(name => 'named', exporter => "otlp http://localhost:$port interval=1ms",
    http => 'resolver 127.0.0.1:' . $deaf->sockport . ' ipv6=off; resolver_timeout 1s;');
probe('n=3', 'named');
is until_settled('named', 'named')->{sent}, 3, 'without an answer of the resolver';

# One that answers: the collector has another address than the name "collector.test" has nowhere.
# Of "two.test" the first address is that of a server which never answers; the answer is not kept,
# so the order is always the same.
my $dns = IO::Socket::INET->new(Proto => 'udp', LocalAddr => '127.0.0.1:0');
spawn('dns', sub {
    while ($dns->recv(my $query, 512)) {
        my ($id, $question) = unpack 'a2x10a*', $query;
        my ($ttl, @last) = $question =~ /^\x03two/ ? (0, 2, 1) : (60, 1);
        $dns->send($id . pack('n5', 0x8180, 1, scalar @last, 0, 0) . $question
            . join '', map { pack('n n n N n C4', 0xc00c, 1, 1, $ttl, 4, 127, 0, 0, $_) } @last);
    }
});
start_exporter(name => 'resolved', exporter => "otlp http://collector.test:$port interval=1ms",
    http => 'resolver 127.0.0.1:' . $dns->sockport . ' ipv6=off; resolver_timeout 5s;');
probe('n=3', 'resolved');
is until_settled('resolved', 'resolved')->{sent}, 3, 'a name that the resolver alone knows';
is +(received('c'))[-1]{headers}{host}, "collector.test:$port", '... Host has the name';

my $silent = IO::Socket::INET->new(Listen => 8, LocalAddr => "127.0.0.2:$port") or die $!;
start_exporter(name => 'two',
    exporter => "otlp http://two.test:$port interval=1ms timeout=1s",
    http => 'resolver 127.0.0.1:' . $dns->sockport . ' ipv6=off; resolver_timeout 5s;');
probe('n=3', 'two');
is until_settled('two', 'two')->{sent}, 3, 'after a timeout the next address is tried';
ok scalar(logged(qr/is away: timeout passed/, 'two')), '... the first one was silent';

# --- descriptors ---

# The worker has no connection for the collector: spans wait until it has.
start_exporter(name => 'poor', exporter => "otlp $url interval=1ms",
    events => 'worker_connections 8;');
my @held;
for (1 .. 20) {
    my $client = IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . port_of_edge('poor')) or last;
    $client->print("GET /?n=1 HTTP/1.1\r\nHost: x\r\n\r\n");
    push @held, $client;
}
until_true('no connection is left', sub { logged(qr/worker_connections are not enough/, 'poor') });
close $_ for @held;
@held = ();
$n = until_settled('connections again', 'poor');
cmp_ok $n->{sent}, '>=', 1, 'without a free connection spans wait for one';

done_testing;
