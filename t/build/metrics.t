# OTLP metrics as they are encoded: a decoder that is not ours reads protobuf by OpenTelemetry's own
# schema, and finds what OTLP in JSON says.
use strict;
use warnings;

use FindBin '$Bin';
use JSON::PP;
use Test::More;

my $root = "$Bin/../..";
my $program = "$root/build/unit/metrics_otlp_test";

sub output {
    my $command = shift;
    my $out = qx($command);
    is $?, 0, "\"$command\" succeeds";
    return decode_json($out);
}

my $json = output("$program json");
my $protobuf = output("$program protobuf | $root/t/lib/otlp.py metrics");

# What is the default is missing in one of them.
sub without_defaults {
    my $value = shift;
    return [map { without_defaults($_) } @$value] if ref $value eq 'ARRAY';
    return $value if ref $value ne 'HASH';
    my %kept;
    for my $name (keys %$value) {
        my $v = without_defaults($value->{$name});
        next if ref $v eq 'ARRAY' && !@$v;
        next if $name =~ /^(?:scale|offset|zeroCount|count)$/ && $v eq '0';
        $kept{$name} = $v;
    }
    return \%kept;
}

is_deeply without_defaults($protobuf), without_defaults($json),
    'protobuf says what JSON says, by the schema of OpenTelemetry';

my ($scope) = @{ $protobuf->{resourceMetrics}[0]{scopeMetrics} };
my %metric = map { $_->{name} => $_ } @{ $scope->{metrics} };
is_deeply [sort keys %metric],
    [qw(http.server.request.duration weir.phase weir.queued weir.things.done)],
    'names are those of OpenTelemetry';
is_deeply [map { $metric{$_}{unit} } sort keys %metric], ['s', 's', 'By', undef], '... and units';

my $sum = $metric{'weir.things.done'}{sum};
ok $sum->{isMonotonic}, 'a counter is monotonic';
is $sum->{aggregationTemporality}, 2, '... and cumulative';
is_deeply [map { $_->{asInt} } @{ $sum->{dataPoints} }], ['1152921504606846976', '0'],
    '... exact, and 0 is a value';
is $sum->{dataPoints}[0]{startTimeUnixNano}, '1700000000000000000', '... since its start';
is_deeply $sum->{dataPoints}[0]{attributes}, [
    { key => 'http.route', value => { stringValue => "/a\n\x{fffd}" } },
    { key => 'http.response.status_code', value => { intValue => '503' } },
], 'attributes are those of the conventions';
is $metric{'weir.queued'}{gauge}{dataPoints}[0]{asInt}, 7, 'a gauge';
ok !exists $metric{'weir.queued'}{gauge}{dataPoints}[0]{startTimeUnixNano}, '... has no start';

my ($narrow, $wide, $none) = @{ $metric{'http.server.request.duration'}{exponentialHistogram}
    {dataPoints} };

# The values by bucket, as the data model defines them: (base ** index, base ** (index + 1)].
sub buckets_of {
    my $point = shift;
    my ($scale, $positive) = ($point->{scale} // 0, $point->{positive});
    my $base = 2**(2**-$scale);
    my $counts = $positive->{bucketCounts};
    return map { [$base**($positive->{offset} + $_), $base**($positive->{offset} + $_ + 1),
        $counts->[$_]] } grep { $counts->[$_] } 0 .. $#$counts;
}

# Each value in one bucket.
sub holds {
    my ($what, $point, @values) = @_;
    my @wrong;
    my $in_buckets = 0;
    for my $bucket (buckets_of($point)) {
        my ($low, $high, $n) = @$bucket;
        my @in = grep { $_ > $low * (1 + 1e-12) && $_ <= $high * (1 + 1e-12) } @values;
        push @wrong, "$n values in ($low, $high]: @in" if @in != $n;
        $in_buckets += $n;
    }
    is_deeply \@wrong, [], "$what: each bucket has its values";
    is $in_buckets + ($point->{zeroCount} // 0), $point->{count}, '... and all are counted';
}

is $narrow->{scale}, 6, 'a narrow histogram has our scale';
holds('narrow', $narrow, 0.0101, 0.0102, 0.0104, 0.02);
is_deeply $narrow->{exemplars}, [{ timeUnixNano => '1700000200000000000', asDouble => 0.02,
    traceId => '0304' . '0' x 28 }], 'exemplars since the last request';

cmp_ok scalar(@{ $wide->{positive}{bucketCounts} }), '<=', 160, 'a wide one has fewer buckets';
is $wide->{scale}, 2, '... by its scale';
is $wide->{zeroCount}, 2, 'small values are zero';
is $wide->{zeroThreshold}, 2**-20, '... up to the threshold';
# Values above 4096 s are in the bucket above that.
holds('wide', $wide, 1e-6, 0.5, 0.5000001, 1, 4096, 4100, 4100);

is $none->{sum}, 0, 'one without values';
ok !exists $none->{positive}, '... has no buckets';

done_testing;
