# Spans as they are encoded: a decoder that is not ours reads protobuf by OpenTelemetry's own
# schema, and finds what OTLP in JSON says; Zipkin's JSON has the fields that Zipkin requires.
use strict;
use warnings;

use FindBin '$Bin';
use JSON::PP;
use Test::More;

my $root = "$Bin/../..";
my $program = "$root/build/unit/span_test";

sub output {
    my $command = shift;
    my $out = qx($command);
    is $?, 0, "\"$command\" succeeds";
    return $out;
}

# Numbers of 64 bits are strings in both; a status without a code is the default.
my $json = decode_json(output("$program json"));
my $protobuf = decode_json(output("$program protobuf | $root/t/lib/otlp.py"));
for my $span (@{ $json->{resourceSpans}[0]{scopeSpans}[0]{spans} }) {
    delete $span->{status} if !%{ $span->{status} };
    delete $span->{attributes} if !@{ $span->{attributes} };
    for my $event (@{ $span->{events} // [] }) {
        delete $event->{attributes} if !@{ $event->{attributes} };
    }
}
is_deeply $protobuf, $json, 'protobuf says what JSON says, by the schema of OpenTelemetry';

my ($whole, $bare) = @{ $protobuf->{resourceSpans}[0]{scopeSpans}[0]{spans} };
is $whole->{traceState}, 'ot=th:8,a=1', 'tracestate is there';
is $whole->{flags}, 0x303, 'the flags of the context, and that the parent is remote';
is scalar(@{ $whole->{events} }), 2, 'all events are there';
is scalar(@{ $whole->{links} }), 1, '... and the link';
is_deeply $whole->{status}, { code => 2, message => "no \x{fffd} answer" },
    'a byte that is not UTF-8 is replaced';
is $bare->{flags}, 0x100, 'a root has no remote parent';
ok !exists $bare->{parentSpanId}, '... and no parent';

my $zipkin = decode_json(output("$program zipkin"));
is scalar(@$zipkin), 2, 'Zipkin has both spans';
is $zipkin->[0]{traceId}, $whole->{traceId}, '... with the same trace';
is $zipkin->[0]{duration}, 1_000_000, '... and times in microseconds';
is_deeply [grep { ref } values %{ $zipkin->[0]{tags} }], [], 'tags are strings';
is_deeply $zipkin->[0]{remoteEndpoint}, { serviceName => 'api', ipv6 => '::1', port => 8080 },
    'the server is the remote endpoint';

done_testing;
