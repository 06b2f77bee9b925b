# A service with OpenTelemetry's own SDK behind the edge, and before it: both join one trace. This
# also shows that the tests' collector reads what is known to be good.
use strict;
use warnings;

use FindBin '$Bin';
use lib $Bin, "$Bin/../cache", "$Bin/../../lib";
use JSON::PP;
use Scene;
use Test::More;
use Trace;
use Weir::Collector qw(collector_port received_spans);
use Weir::Processes;

plan skip_all => 'the SDK speaks for itself' if $ENV{WEIR_WORLD} || $ENV{WEIR_NGINX};
my $folder = `$Bin/../../../scripts/test/sdk.sh 2>$dir/sdk.log`;
plan skip_all => 'no SDK: ' . ((split /\n/, slurp("$dir/sdk.log"))[-1] // '') if $? != 0;
chomp $folder;

my $service = free_port();
start_upstream(sub { die 'nobody asks it' });
start_traced(<<'HTTP', <<"SERVER");
    weir_trace on;
HTTP
    location / { proxy_pass http://127.0.0.1:$service; }
    location /quiet { weir_trace ratio=0; proxy_pass http://127.0.0.1:$service; }
    location /trusted { weir_trace_context propagate; proxy_pass http://127.0.0.1:$service; }
    location = /last { weir_trace_context propagate; proxy_pass http://127.0.0.1:$service; }
SERVER
my $collector = 'http://127.0.0.1:' . collector_port('spans') . '/v1/traces';
spawn('service', ['node', "$Bin/sdk.js", $folder, $service, $collector,
    'http://127.0.0.1:' . port_of_edge()]);
until_true('the service listens', sub { listens($service) });

my %client = (traceparent => '00-' . id('a', 16) . '-' . id('b', 8) . '-01',
    tracestate => 'a=1', baggage => 'user=alice,plan=gold');

# The spans of a trace, when there are so many.
sub trace_of {
    my ($trace, $number) = @_;
    my @found;
    until_true("$number spans of $trace", sub {
        @found = grep { $_->{trace} eq $trace } received_spans('spans');
        return @found >= $number;
    });
    # From parent to child: nginx knows a start in milliseconds only, so times may be out of order.
    my %child_of = map { $_->{parent} => $_ } @found;
    my %known    = map { $_->{id} => 1 } @found;
    my ($first)  = grep { !$known{ $_->{parent} } } @found;
    my @chain;
    for (my $span = $first; $span; $span = $child_of{ $span->{id} }) {
        push @chain, $span;
    }
    return @chain;
}
sub is_child {
    my ($child, $parent, $what) = @_;
    is $child->{parent}, $parent->{id}, $what;
    # nginx knows the duration of a try in milliseconds
    cmp_ok $child->{start} + 2_000_000, '>=', $parent->{start}, '... after it began';
    cmp_ok $child->{end}, '<=', $parent->{end} + 2_000_000, '... and before it ended';
}

for my $path ('/x', '/trusted') {
    my $response = get($path, \%client);
    is $response->{status}, 200, "$path: the service answers" or diag slurp("$dir/service.log");
    my $known = decode_json($response->{content});
    my ($server, $client, $own) = trace_of($known->{trace}, 3);
    is_deeply [map { $_->{kind} } $server, $client, $own], [2, 3, 2],
        '... one trace of three spans';
    is_child($client, $server, '... the edge\'s client span is a child of its server span');
    is_child($own, $client, '... and the service\'s server span of that');
    is $own->{id}, $known->{id}, '... which the SDK knows by the same id';
    is $known->{flags}, 1, '... and as sampled';
    is_deeply $known->{baggage}, [['user', 'alice'], ['plan', 'gold']], '... baggage passes';
    my $trusted = $path eq '/trusted';
    is $known->{state}, $trusted ? 'a=1' : '', '... tracestate passes where it is trusted';
    is $server->{parent}, $trusted ? id('b', 8) : '', '... as does the parent';

    # What is the same in both, by the conventions' names of their time.
    my ($status) = map { $own->{attributes}{$_} // () }
        'http.response.status_code', 'http.status_code';
    is $status, $client->{attributes}{'http.response.status_code'}, '... and the same status';
}

my $known = decode_json(get('/quiet', \%client)->{content});
is $known->{flags}, 0, 'a request that is not sampled is not for the SDK either';
isnt $known->{trace}, id('a', 16), '... in a trace of its own';

$known = decode_json(get('/again', \%client)->{content});
my @spans = trace_of($known->{trace}, 7);
is_deeply [map { $_->{kind} } @spans], [2, 3, 2, 3, 2, 3, 2],
    'a service that asks the edge: edge, service, edge, service';
is_child($spans[$_], $spans[$_ - 1], "... span $_ is a child of the one before") for 1 .. 6;
is $known->{id}, $spans[-1]{id}, '... which the last one knows';
is scalar(logged(qr/\[(?:alert|crit|emerg)\]/)), 0, 'no alarm';
done_testing;
