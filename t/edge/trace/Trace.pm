# An edge that traces requests, and the collector that gets its spans.
package Trace;
use strict;
use warnings;

use Exporter 'import';
use File::Basename 'dirname';
use lib dirname(__FILE__) . '/../cache';
use Scene;
use Test::More;
use Weir::Collector qw(collector_port received_spans start_collector);
use Weir::Processes;

our @EXPORT = qw(echo fields id lines_of server_span spans_until start_traced traced);

# http, server and more as those of start_edge().
sub start_traced {
    my ($http, $server, %more) = @_;
    start_collector('spans');
    my $url = 'http://127.0.0.1:' . collector_port('spans');
    start_edge("weir_exporter otlp $url interval=1ms;\n$http", <<"SERVER", %more);
        $server
        location = /sentinel { weir_trace on; return 204; }
SERVER
}

my $taken = 0;

# The spans that arrived since the last call, when there is one for which the condition is true; at
# once without a condition.  One worker appends all spans in the order in which requests end, so
# those of a later request are the last ones.
sub spans_until {
    my ($what, $condition) = @_;
    my @new;
    until_true("spans: $what", sub {
        my @all = received_spans('spans');
        @new = @all[$taken .. $#all];
        !$condition || grep { $condition->() } @new;
    });
    if ($condition) {
        get('/sentinel');
        until_true("the last span: $what", sub {
            my @all = received_spans('spans');
            @new = @all[$taken .. $#all];
            @new && ($new[-1]{attributes}{'url.path'} // '') eq '/sentinel';
        });
        $taken += @new;
        pop @new;
    }
    return @new;
}

# The spans of a request, by its kind: the response, and the spans.
sub traced {
    my ($what, $request) = @_;
    my $response = $request->();
    return ($response, spans_until($what, sub { $_->{kind} == 2 }));
}

# The only server span.
sub server_span {
    my @server = grep { $_->{kind} == 2 } @_;
    is scalar(@server), 1, '... one server span' or diag explain \@_;
    return $server[0];
}

# The upstream's answer to any request: the request itself.
sub echo { my $request = shift; return answer('200 OK', ['Cache-Control: no-store'], $request) }

# The lines of that name in a request that was echoed.
sub lines_of {
    my ($name, $request) = @_;
    my @lines = $request =~ /^\Q$name\E: ?(.*?)\r$/mig;
    return @lines;
}

# The fields of a traceparent.
sub fields {
    my $value = shift // '';
    my %field;
    @field{qw(version trace id flags)} = split /-/, $value;
    return \%field;
}

# An id of n bytes.
sub id { my ($digit, $bytes) = @_; return $digit x (2 * $bytes) }

1;
