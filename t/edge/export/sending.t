# What a collector gets from weir_exporter: all spans, in the configured format, once.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/../../lib";
use Test::More;
use Weir::Collector;
use Weir::Processes;

sub url { 'http://127.0.0.1:' . collector_port(shift) }

my %arguments = (
    protobuf => 'otlp ' . url('protobuf') . ' interval=1ms',
    json => 'otlp ' . url('json') . '/ format=json interval=1ms service_name=shop gzip=on',
    zipkin => 'zipkin ' . url('zipkin') . ' interval=1ms service_name=shop',
    gzip => 'otlp ' . url('gzip') . '/other?key=1 interval=1ms gzip=on'
        . ' "header=Authorization: Basic a:b" "header=X-Tenant:7"'
        . ' resource=deployment.environment.name=test resource=host.name=other',
    socket => "otlp http://unix:$dir/socket.sock interval=1ms",
    socket_path => "otlp http://unix:$dir/socket_path.sock:/there interval=1ms",
);
my %socket = map { $_ => ["unix:$dir/$_.sock"] } 'socket', 'socket_path';
for my $name (sort keys %arguments) {
    start_collector($name, @{ $socket{$name} // [] });
    start_exporter(name => "$name-edge", exporter => $arguments{$name});
    is probe('n=3&name=first', "$name-edge")->{taken}, 3, "$name: three spans end";
    my $n = until_settled($name, "$name-edge");
    is $n->{sent}, 3, "$name: all were sent";
    is $n->{failures}, 0, '... at the first try';
    my @requests = received($name);
    is_deeply [map { $_->{error} } grep { $_->{error} } @requests], [], '... well-formed';
    is_deeply [sort map { $_->{name} } received_spans($name)], [('first') x 3], '... received';
    my %id = map { $_->{id} => 1 } received_spans($name);
    is scalar(keys %id), 3, '... each once';
}

my ($protobuf) = received('protobuf');
is $protobuf->{path}, '/v1/traces', 'the path of OTLP, if the URL has none';
is $protobuf->{headers}{'content-type'}, 'application/x-protobuf', 'its type';
is $protobuf->{headers}{host}, '127.0.0.1:' . collector_port('protobuf'), 'Host has the port';
like $protobuf->{headers}{'user-agent'}, qr{^weir/\d}, 'User-Agent';
ok !exists $protobuf->{headers}{'content-encoding'}, 'no compression without gzip=on';
is $protobuf->{resource}{'service.name'}, 'weir', 'service.name has a default';
is $protobuf->{resource}{'telemetry.sdk.name'}, 'weir', 'telemetry.sdk.name';
ok $protobuf->{resource}{'host.name'}, 'host.name';
is $protobuf->{spans}[0]{kind}, 2, 'the span is as it ended: kind';
is $protobuf->{spans}[0]{end} - $protobuf->{spans}[0]{start}, 1_000_000, '... times';
is $protobuf->{spans}[0]{attributes}{'probe.pid'}, (workers('protobuf-edge'))[0], '... attributes';

my ($json) = received('json');
is $json->{path}, '/v1/traces', 'a URL with a slash only has no path';
is $json->{headers}{'content-type'}, 'application/json', 'JSON has its type';
is $json->{headers}{'content-encoding'}, 'gzip', '... and may be compressed';
is $json->{resource}{'service.name'}, 'shop', 'service_name=';

my ($zipkin) = received('zipkin');
is $zipkin->{path}, '/api/v2/spans', 'the path of Zipkin';
is $zipkin->{headers}{'content-type'}, 'application/json', 'its type';
is $zipkin->{resource}{'service.name'}, 'shop', 'its service';

my ($gzip) = received('gzip');
is $gzip->{path}, '/other?key=1', 'a path and arguments of the URL are kept';
is $gzip->{headers}{'content-encoding'}, 'gzip', 'gzip=on';
is $gzip->{headers}{authorization}, 'Basic a:b', 'header=';
is $gzip->{headers}{'x-tenant'}, '7', '... more than once';
is $gzip->{resource}{'deployment.environment.name'}, 'test', 'resource=';
is $gzip->{resource}{'host.name'}, 'other', '... replaces what is there';

my ($socket) = received('socket');
is "$socket->{headers}{host} $socket->{path}", 'localhost /v1/traces', 'a unix socket';
is +(received('socket_path'))[0]{path}, '/there', '... with a path';

# --- batches, and the connection ---

my $port = collector_port('batches');
start_collector('batches');
start_exporter(name => 'batches-edge', workers => 2,
    exporter => "otlp http://127.0.0.1:$port interval=1h batch=100");
my %of_worker;
my $ended = 0;
until_true('both workers have ended spans', sub {
    $of_worker{ probe('n=10', 'batches-edge')->{pid} }++;
    $ended += 10;
    keys %of_worker == 2 && $ended >= 100;
});
until_true('a full batch does not wait for the interval', sub { received('batches') >= 1 });
my $more = 1000 - $ended;
probe("n=$more", 'batches-edge');
my $n = until_true('and so on', sub {
    my $n = counts('batches-edge');
    $n->{queued} < 100 && $n;
});
is_settled($n, 'batches');
is scalar(received_spans('batches')), $n->{sent},
    'all were sent but less than a batch, although the interval has not passed';
my @requests = received('batches');
is scalar(grep { @{ $_->{spans} } > 100 } @requests), 0, 'no batch is larger than configured';
my %connections = map { $_->{connection} => 1 } @requests;
is scalar(keys %connections), 1, 'all go over one connection, those of both workers';
my %pids = map { $_->{attributes}{'probe.pid'} => 1 } received_spans('batches');
is_deeply \%pids, { map { $_ => 1 } workers('batches-edge') }, '... spans of both workers';
my $waiting = $n->{queued};
probe("n=1", 'batches-edge') while $waiting++ < 50;
is counts('batches-edge')->{queued}, $waiting - 1, 'less than a batch waits for the interval'
    if $n->{queued} < 50;

# Spans of 32 KiB are the longest.
my $before = counts('batches-edge');
is probe('n=1&pad=32000', 'batches-edge')->{taken}, 1, 'a long span is taken';
is probe('n=1&pad=33000', 'batches-edge')->{taken}, 0, 'a longer one is dropped';
is counts('batches-edge')->{full}, $before->{full} + 1, '... and counted';
probe('n=100&pad=15000', 'batches-edge');
until_true('long spans are sent', sub { counts('batches-edge')->{queued} < 100 });
@requests = received('batches');
is scalar(grep { $_->{bytes} > 1_100_000 } @requests), 0, 'a request has a mebibyte at most';
is scalar(grep { $_->{error} } @requests), 0, 'and all are well-formed';

is scalar(logged(qr/ 1 spans were dropped, because they were longer than 32768 bytes/,
    'batches-edge')), 1, 'the dropped one is logged';

for my $edge (map { "$_-edge" } keys %arguments) {
    is_deeply [logged(qr/\[(?:warn|error|crit|alert|emerg)\]/, $edge)], [], "$edge logs nothing";
}

done_testing;
