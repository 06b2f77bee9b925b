# The context of a request's trace goes with its events: through the outbox and the stream to
# consumers, to the payment gateway, and into every log line of a request or an event.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use JSON::PP ();
use Test::More;
use Weir::Api qw(make_users order_of);
use Weir::Base qw(free_port listens slurp wait_for);
use Weir::Events;
use Weir::Stack;

my $json = JSON::PP->new->utf8;
my $TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
my $PARENT = '00f067aa0ba902b7';
my $traceparent = "00-$TRACE-$PARENT-01";

my $gateway_port = free_port();
my $s = Weir::Stack->new(conf => {
    payments_url => "http://127.0.0.1:$gateway_port", retry_base => '1ms', retry_attempts => 1 });
my $seen = $s->dir . '/gateway';
$s->start_process('gateway',
    ['/usr/bin/python3', "$FindBin::Bin/../../lib/gateway-headers.py", $gateway_port, $seen]);
$s->wait_started('gateway' => sub { listens($gateway_port) });
$s->start_smtp_moody;
$s->start_backend('all');
$s->psql("INSERT INTO consumer_partitions SELECT 'observer', partition, position FROM partitions");

# A signup with these fields of the header; returns traceparent and tracestate of its event.
my $users = 0;
sub signup {
    my (@fields) = @_;
    my $email = 'user' . ++$users . '@example.com';
    my $body = $json->encode({ email => $email, displayName => 'A' });
    my $head = join '', map { "$_\r\n" } 'POST /signup HTTP/1.1', 'Host: a', 'Connection: close',
        'Content-Type: application/json', 'Content-Length: ' . length $body, @fields;
    my $answer = $s->read_raw($s->send_raw("$head\r\n$body"));
    like $answer, qr{^HTTP/1.1 201 }, 'signed up';
    my $row = $s->psql("SELECT coalesce(traceparent, ''), coalesce(tracestate, '') FROM outbox"
            . " WHERE data->>'email' = '$email'");
    return split /\|/, $row, -1;
}

subtest 'tracestate is kept beside traceparent' => sub {
    my ($parent, $state) = signup("traceparent: $traceparent", 'tracestate: a=1,b@c=2;3');
    like $parent, qr/^00-$TRACE-(?!$PARENT)[0-9a-f]{16}-01$/, 'a child of the client\'s span';
    is $state, 'a=1,b@c=2;3', 'what others keep in the trace';
    ($parent, $state) =
        signup("traceparent: $traceparent", 'tracestate: a=1', 'Tracestate: b=2, c=3');
    is $state, 'a=1,b=2, c=3', 'more than one field is one list';
    my $long = join ',', map { "k$_=" . 'v' x 50 } 1 .. 9;
    is((signup("traceparent: $traceparent", "tracestate: $long"))[1], $long, 'a long one');
};

subtest 'a wrong one is dropped, and the trace goes on' => sub {
    my %wrong = (
        'more than 32 members' => join(',', map { "k$_=1" } 1 .. 33),
        'longer than 512 bytes' => 'a=' . 'v' x 600,
        'empty' => '',
        'not ASCII' => "a=\xc3\xa4",
        'no value' => 'a',
        'capitals' => 'A=1',
    );
    for my $name (sort keys %wrong) {
        my ($parent, $state) = signup("traceparent: $traceparent", "tracestate: $wrong{$name}");
        like $parent, qr/^00-$TRACE-/, "$name: the trace goes on";
        is $state, '', 'without a tracestate';
    }
    my ($parent, $state) = signup('tracestate: a=1');
    like $parent, qr/^00-(?!$TRACE)[0-9a-f]{32}-[0-9a-f]{16}-0[13]$/, 'without a traceparent: new';
    is $state, '', 'and without the other\'s tracestate';
    ($parent, $state) = signup('traceparent: 00-' . '0' x 32 . "-$PARENT-01", 'tracestate: a=1');
    is $state, '', 'so with a traceparent that is none';
};

# The events of an aggregate in its stream, oldest first.
sub stream_events {
    my ($aggregate) = @_;
    my @rows = split /\n/, $s->psql('SELECT partition, position FROM outbox'
            . " WHERE aggregate = '$aggregate' AND position IS NOT NULL ORDER BY id");
    return map {
        my ($partition, $position) = split /\|/;
        my $entry = $s->redis('XRANGE', "weir:events:$partition", "$position-0", "$position-0");
        $json->decode($entry =~ /^(\{.*\})$/m);
    } @rows;
}

subtest 'events carry both, and pass them on to what they cause' => sub {
    my ($user) = make_users($s, 1);
    my $r = $s->post('/checkout', order_of($user, [1, 1]),
        { traceparent => $traceparent, tracestate => 'a=1', 'Idempotency-Key' => '"k1"' });
    is $r->{status}, 202, 'a checkout';
    my $order = $r->{json}{id};
    wait_for('the payment' => sub {
        $s->psql("SELECT status FROM orders WHERE id = '$order'") eq 'PAID';
    });
    my @context = split /\n/, $s->psql('SELECT type, traceparent, tracestate FROM outbox'
            . " WHERE type IN ('PaymentRequested', 'PaymentSucceeded', 'OrderPaid') ORDER BY id");
    is scalar(@context), 3, 'three events';
    like $_, qr/^\w+\|00-$TRACE-[0-9a-f]{16}-01\|a=1$/, "of one trace: $_" for @context;
    my ($charge) = map { $json->decode($_) } grep { /POST/ } split /\n/, slurp($seen);
    like $charge->{headers}{traceparent}, qr/^00-$TRACE-[0-9a-f]{16}-01$/, 'so is the charge';
    is $charge->{headers}{tracestate}, 'a=1', 'with the tracestate';
    wait_for('the stream' => sub {
        $s->psql('SELECT count(*) FROM outbox WHERE position IS NULL') == 0;
    });
    my ($aggregate) = $s->psql("SELECT aggregate FROM outbox WHERE type = 'PaymentRequested'");
    my ($event) = stream_events($aggregate);
    is $event->{tracestate}, 'a=1', 'CloudEvents\' attribute tracestate';
    like $event->{traceparent}, qr/^00-$TRACE-[0-9a-f]{16}-01$/, 'beside traceparent';
};

subtest 'dead letters keep it, and events that are replayed have it' => sub {
    my $r = $s->post('/signup', { email => 'refused@example.com', displayName => 'R' },
        { traceparent => $traceparent, tracestate => 'dead=1' });
    wait_for('the dead letter' => sub {
        $s->psql("SELECT tracestate FROM dead_letters WHERE data->>'email' LIKE 'refused%'")
            eq 'dead=1';
    });
    my ($line) = $s->logged('all', 'event is a dead letter');
    is $line->{trace_id}, $TRACE, 'its line has the trace';
    like $line->{span_id}, qr/^[0-9a-f]{16}$/, 'and the span';
    my ($status) = $s->weirctl('dead', 'replay', 'email', '--all');
    is $status, 0, 'replayed';
    is $s->psql("SELECT count(*) FROM outbox WHERE tracestate = 'dead=1'"), 2,
        'with the tracestate';
};

subtest 'every line of a request has its trace and its span' => sub {
    $s->get('/health');
    my @lines = $s->logged('all', 'request');
    cmp_ok scalar(@lines), '>=', 10, 'lines of requests';
    my @without = grep {
        ($_->{trace_id} // '') !~ /^[0-9a-f]{32}$/ || ($_->{span_id} // '') !~ /^[0-9a-f]{16}$/
    } @lines;
    is_deeply \@without, [], 'none without both';
    my %spans = map { $_->{span_id} => 1 } @lines;
    is scalar(keys %spans), scalar(@lines), 'each has a span of its own';
    is_deeply [grep { exists $_->{span_id} && !exists $_->{trace_id} } $s->log_lines('all')], [],
        'no line has a span without a trace';
};

subtest 'a problem names the trace of its request' => sub {
    my $r = $s->request('GET', '/nothing', { headers => { traceparent => $traceparent } });
    is $r->{json}{trace_id}, $TRACE, 'that of the client';
    my ($line) = grep { ($_->{path} // '') eq '/nothing' } $s->log_lines('all');
    is $line->{trace_id}, $TRACE, 'as the log does';
    my $answer = $s->read_raw($s->send_raw("GET / HTTP/1.1\r\n\r\n"));
    like $answer, qr/^HTTP\/1.1 400 .*"trace_id":"[0-9a-f]{32}"/s,
        'a malformed request has one, too';
    my $openapi = $s->get('/openapi.json')->{json};
    is $openapi->{components}{schemas}{Problem}{properties}{trace_id}{type}, 'string',
        'the description of the API has it';
};

done_testing;
