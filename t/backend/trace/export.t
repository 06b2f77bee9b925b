# The exporter: what a collector does that is away, hangs, asks to wait, takes a part or refuses;
# and OpenTelemetry's variables. Nothing waits for a collector, and every span is counted.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use Test::More;
use Weir::Base qw(free_port wait_for);
use Weir::Backend::Metrics qw(value);
use Weir::Backend::Spans qw(named);
use Weir::Stack;

my $s = Weir::Stack->new;
my $c = Weir::Backend::Spans->new($s);
my $m = Weir::Backend::Metrics->new(free_port());
my %listens = (metrics_listen => "127.0.0.1:$m->{port}");

sub start {
    my (%option) = @_;
    $s->start_backend('api', conf => { %listens, %{ $option{conf} // {} } }, env => $option{env});
}

sub stop { is $s->stop_backend('api'), 0, 'the backend stops' }

my $n = 0;

# Makes a request in a trace of its own; returns the trace's id.
sub request {
    my (%headers) = @_;
    my $trace = sprintf '%032x', 0xe000 + ++$n;
    my $r = $s->get('/products', { traceparent => "00-$trace-00f067aa0ba902b7-01", %headers });
    is $r->{status}, 200, 'a request';
    return $trace;
}

# How many requests the collector has got so far.
sub seen { return scalar $c->requests }

sub counted {
    my $f = $m->scrape('text');
    my $dropped = 0;
    $dropped += value($f, 'weir_spans_dropped_total', reason => $_) for
        qw(queue_full rejected unsent);
    my %is = map { $_ => value($f, "weir_spans_$_") } qw(ended_total sent_total waiting);
    return (%is, dropped => $dropped);
}

# Waits until no span is on its way; every one that has ended was sent, or dropped.
sub settled {
    my %is;
    wait_for('all spans to be settled' => sub {
        %is = counted();
        return $is{waiting} == 0 && $is{ended_total} == $is{sent_total} + $is{dropped};
    });
    return %is;
}

subtest 'a request as it is sent' => sub {
    start(conf => { $c->conf, traces_headers => 'x-api-key=s%20cret,x-b=2', service_name => 'shop',
        resource_attributes => 'deployment.environment.name=test,service.name=other' });
    my $trace = request();
    $c->trace($trace, 3);
    my ($request) = $c->requests;
    is $request->{path}, '/v1/traces', 'the path';
    is $request->{headers}{'content-type'}, 'application/x-protobuf', 'protobuf';
    is $request->{headers}{'x-api-key'}, 's cret', 'a header, decoded';
    is $request->{headers}{'x-b'}, '2', 'another one';
    is $request->{resource}{'service.name'}, 'shop', 'service_name goes before the attribute';
    is $request->{resource}{'deployment.environment.name'}, 'test', 'resource_attributes';
    stop();
    start(conf => { $c->conf, traces_compression => 'gzip', traces_protocol => 'http/json' });
    $trace = request();
    my @spans = $c->trace($trace, 3);
    is scalar(@spans), 3, 'JSON, compressed';
    ($request) = grep { grep { $_->{trace} eq $trace } @{ $_->{spans} } } $c->requests;
    is $request->{headers}{'content-encoding'}, 'gzip', 'Content-Encoding';
    stop();
};

subtest 'what waits is sent at a stop' => sub {
    start(conf => { $c->conf });
    my $trace = request();
    stop();
    is scalar(grep { $_->{trace} eq $trace } $c->spans), 3, 'all of it';
};

subtest 'a collector that asks to come again, and one that takes a part' => sub {
    start(conf => { $c->conf });
    settled();
    $c->behave({ status => 503, headers => ['Retry-After: 1'] }, { status => 429 }, {});
    my $trace = request();
    my @spans = $c->trace($trace, 9); # the same request three times
    is scalar(@spans), 9, 'the request is repeated until it is taken';
    my %is = settled();
    is $is{dropped}, 0, 'and no span is lost';
    is value($m->scrape('text'), 'weir_span_exports_total', result => 'failed'), 2,
        'two requests have failed';
    is scalar($s->logged('api', 'the collector takes no spans, retrying')), 1, 'one line says so';
    is scalar($s->logged('api', 'the collector takes spans again')), 1, 'and one that it is over';
    $c->behave({ partial => 2 }, {});
    $trace = request();
    $c->trace($trace, 3);
    %is = settled();
    is $is{dropped}, 2, 'rejected spans are counted';
    is scalar(grep { $_->{trace} eq $trace } $c->spans), 3, 'and not sent again';
    my ($line) = $s->logged('api', 'the collector has rejected spans');
    is $line->{reason}, 'rejected by the test', 'the collector\'s reason is in the log';
    $c->behave({ status => 400 }, {});
    my $now = $is{dropped};
    request();
    wait_for('the next ones to be dropped' => sub { my %x = counted(); $x{dropped} > $now });
    %is = settled();
    is $is{dropped}, 5, 'a request that is refused is not repeated';
    stop();
};

subtest 'a collector that is away, and one that hangs' => sub {
    $s->stop_process('collector', 'KILL');
    start(conf => { $c->conf, traces_timeout => '1s' });
    my @traces = map { request() } 1 .. 5;
    wait_for('a failure' => sub {
        (value($m->scrape('text'), 'weir_span_exports_total', result => 'failed') // 0) > 0;
    });
    is value($m->scrape('text'), 'weir_spans_dropped_total', reason => 'unsent'), 0,
        'spans are kept';
    $c->behave({ hang => JSON::PP::true() }, {});
    $c->start;
    $c->trace($_, 3) for @traces;
    my %is = settled();
    is $is{dropped}, 0, 'none is lost, though the first request got no answer';
    $c->behave({ hang => JSON::PP::true() });
    request();
    stop();
    $c->behave;
};

subtest 'the queue has a limit' => sub {
    $s->stop_process('collector', 'KILL');
    start(conf => { $c->conf });
    # Three spans each; a request under way has 512 more than the queue.
    my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$s->{port}") or die $!;
    for (1 .. 3000) {
        print $socket "GET /products HTTP/1.1\r\nHost: a\r\n\r\n";
        my ($left, $length) = ('', 0);
        while (<$socket>) {
            $length = $1 if /^Content-Length: (\d+)/i;
            last if /^\r\n/;
        }
        read $socket, $left, $length;
    }
    my $full = value($m->scrape('text'), 'weir_spans_dropped_total', reason => 'queue_full');
    cmp_ok $full, '>', 0, 'further spans are dropped';
    is value($m->scrape('text'), 'weir_spans_waiting'), 8192, 'at the limit';
    stop();
    $c->start;
};

subtest 'OpenTelemetry\'s variables' => sub {
    my $base = "http://127.0.0.1:$c->{port}";
    my %env = (OTEL_EXPORTER_OTLP_ENDPOINT => "$base/", OTEL_SERVICE_NAME => 'by-variable',
        OTEL_RESOURCE_ATTRIBUTES => 'a.b=c%2Cd', OTEL_EXPORTER_OTLP_HEADERS => 'x-one=1',
        OTEL_EXPORTER_OTLP_COMPRESSION => 'gzip');
    my $last = sub { ($c->requests)[-1] };
    start(env => \%env);
    $c->trace(request(), 3);
    my $request = $last->();
    is $request->{path}, '/v1/traces', 'the path is added to the base';
    is $request->{resource}{'service.name'}, 'by-variable', 'OTEL_SERVICE_NAME';
    is $request->{resource}{'a.b'}, 'c,d', 'OTEL_RESOURCE_ATTRIBUTES';
    is $request->{headers}{'x-one'}, '1', 'OTEL_EXPORTER_OTLP_HEADERS';
    is $request->{headers}{'content-encoding'}, 'gzip', 'OTEL_EXPORTER_OTLP_COMPRESSION';
    stop();
    start(conf => { service_name => 'by-key' },
        env => { %env, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT => "$base/own/path",
            OTEL_EXPORTER_OTLP_TRACES_HEADERS => 'x-two=2' });
    $c->trace(request(), 3);
    $request = $last->();
    is $request->{path}, '/own/path', 'the address of traces is taken as it is';
    is $request->{headers}{'x-two'}, '2', 'and its headers go first';
    ok !exists $request->{headers}{'x-one'}, '... instead of those of all signals';
    is $request->{resource}{'service.name'}, 'by-key', 'a key goes before a variable';
    stop();
    start(env => { %env, OTEL_EXPORTER_OTLP_TIMEOUT => 'soon', OTEL_TRACES_SAMPLER => 'jaeger',
        OTEL_TRACES_SAMPLER_ARG => '2', OTEL_EXPORTER_OTLP_PROTOCOL => 'grpc',
        OTEL_EXPORTER_OTLP_COMPRESSION => 'zstd', OTEL_EXPORTER_OTLP_HEADERS => 'x',
        OTEL_EXPORTER_OTLP_CERTIFICATE => '/nonexistent' });
    $c->trace(request(), 3);
    pass 'wrong values count as unset';
    is_deeply [sort map { $_->{variable} }
            $s->logged('api', 'an environment variable has a wrong value and is ignored')],
        [qw(OTEL_EXPORTER_OTLP_CERTIFICATE OTEL_EXPORTER_OTLP_COMPRESSION
            OTEL_EXPORTER_OTLP_HEADERS OTEL_EXPORTER_OTLP_PROTOCOL OTEL_EXPORTER_OTLP_TIMEOUT
            OTEL_TRACES_SAMPLER OTEL_TRACES_SAMPLER_ARG)], 'and are in the log';
    stop();
    my $count = seen();
    for my $off ({ OTEL_SDK_DISABLED => 'true' }, { OTEL_TRACES_EXPORTER => 'none' }) {
        start(env => { %env, %$off });
        request();
        stop();
    }
    start(conf => { traces_endpoint => 'off' }, env => \%env);
    request();
    stop();
    is seen(), $count, 'off is off';
};

subtest 'samplers' => sub {
    # A request without a parent, or with one; returns whether its span comes.
    my $is_kept = sub {
        my (%headers) = @_;
        my $count = () = named('GET /products', $c->spans);
        $s->get('/products', \%headers);
        stop();
        return named('GET /products', $c->spans) - $count;
    };
    my $sampled = '00-' . 'b' x 32 . '-00f067aa0ba902b7-01';
    my $not = '00-' . 'b' x 32 . '-00f067aa0ba902b7-00';
    for my $case (
        ['parentbased_always_on', undef, 1], ['parentbased_always_on', $not, 0],
        ['parentbased_always_off', undef, 0], ['parentbased_always_off', $sampled, 1],
        ['always_on', $not, 1], ['always_off', $sampled, 0],
        ['traceidratio', $sampled, 1, '0.5'], ['traceidratio', $sampled, 0, '0.1'],
        ['parentbased_traceidratio', $sampled, 1, '0'])
    {
        my ($sampler, $parent, $kept, $arg) = @$case;
        start(conf => { $c->conf, traces_sampler => $sampler,
            $arg ? (traces_sampler_arg => $arg) : () });
        is $is_kept->($parent ? (traceparent => $parent) : ()), $kept,
            "$sampler " . ($arg // '') . ' for ' . ($parent // 'a new trace');
    }
    start(conf => { $c->conf, traces_sampler => 'traceidratio', traces_sampler_arg => '0.5' });
    $s->get('/products') for 1 .. 40;
    stop();
    my @kept = grep { $_->{state} } named('GET /products', $c->spans);
    cmp_ok scalar(@kept), '>', 5, 'some of the new traces are kept';
    cmp_ok scalar(@kept), '<', 35, 'and others are not';
    is_deeply [grep { $_->{state} ne 'ot=th:8' } @kept], [], 'tracestate has the threshold';
};

is_deeply [grep { $_->{error} } $c->requests], [], 'every request could be decoded';
done_testing;
