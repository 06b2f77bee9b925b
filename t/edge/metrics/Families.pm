# The metrics of a document, as Prometheus' own library reads them.
package Families;
use strict;
use warnings;

use Exporter 'import';
use File::Basename 'dirname';
use IPC::Open2;
use JSON::PP;
use List::Util 'sum0';
use Test::More;

our @EXPORT = qw(families matching total value);

# The families that Prometheus' library reads from a document in that format: text, openmetrics.
sub families {
    my ($format, $document) = @_;
    my $reader = dirname(__FILE__) . '/../../lib/prometheus.py';
    my $pid = open2(my $out, my $in, '/usr/bin/python3', $reader, $format);
    binmode $in;
    print $in $document;
    close $in;
    my $json = do { local $/; <$out> };
    waitpid $pid, 0;
    is $?, 0, "Prometheus' library reads the format $format" or return {};
    my $families = decode_json($json);
    my %n;
    for my $sample (map { @{ $_->{samples} } } values %$families) {
        $n{ JSON::PP->new->canonical->encode([@$sample[0, 1]]) }++;
    }
    is_deeply [grep { $n{$_} > 1 } sort keys %n], [], '... in which no series is twice';
    return $families;
}

# The value of the sample with that name and these labels, or undef.
sub value {
    my ($families, $name, %labels) = @_;
    my $wanted = JSON::PP->new->canonical->encode(\%labels);
    for my $sample (map { @{ $_->{samples} } } values %$families) {
        my ($is, $has, $value) = @$sample;
        return $value if $is eq $name && JSON::PP->new->canonical->encode($has) eq $wanted;
    }
    return undef;
}

# [labels, value] of all samples with that name that have these labels, and perhaps others.
sub matching {
    my ($families, $name, %labels) = @_;
    return grep {
        my $has = $_->[0];
        !grep { ($has->{$_} // '') ne $labels{$_} } keys %labels
        }
        map { [@$_[1, 2]] }
        grep { $_->[0] eq $name } map { @{ $_->{samples} } } values %$families;
}

sub total { sum0(map { $_->[1] } matching(@_)) }

1;
