# What becomes of spans by the collector's answer: sent, refused, or sent again, and how often that
# is logged.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/../../lib";
use HTTP::Date 'time2str';
use Test::More;
use Weir::Collector;
use Weir::Processes;

start_collector('c');
my $url = 'http://127.0.0.1:' . collector_port('c');
start_exporter(exporter => "otlp $url interval=1ms timeout=1s");

my ($all, %last) = (0);
# Ends spans, waits until none is queued, and returns how the counts have changed.
sub ended {
    my ($n, $what) = @_;
    my %before = %{ counts() };
    probe("n=$n&name=" . $what =~ s/\W/_/gr);
    $all += $n;
    my $now = until_settled($what);
    is $now->{ended}, $all, '... all that ended are counted';
    return { map { $_ => $now->{$_} - $before{$_} } keys %before };
}
sub spans_of { my $what = shift =~ s/\W/_/gr; grep { $_->{name} eq $what } received_spans('c') }
sub away { logged(qr/\Q$url\E (?:is away|takes no spans now)/) }
sub back { logged(qr/\Q$url\E takes spans again/) }

is ended(5, 'plain')->{sent}, 5, 'accepted';

# --- partial success ---

for my $format ('protobuf', 'json') {
    my $edge = $format eq 'json' ? 'json' : 'edge';
    start_exporter(name => 'json', exporter => "otlp $url interval=1ms format=json")
        if $format eq 'json';
    behave('c', { partial => 2 });
    probe('n=5', $edge);
    $all += 5 if $edge eq 'edge';
    my $n = until_settled("partial success, $format", $edge);
    is $n->{refused}, 2, "$format: rejected spans are counted";
    my $requests = received('c');
    probe('n=5', $edge) for 1 .. 3;
    $all += 15 if $edge eq 'edge';
    $n = until_settled('again', $edge);
    cmp_ok $n->{refused}, '>', 2, '... again';
    is $n->{failures}, 0, '... it is no failure';
    my $said = qr/rejected 2 of \d+ spans, which are dropped: "rejected by the test"/;
    is scalar(logged($said, $edge)), 1, '... and logged once';
    behave('c');
    probe('n=1', $edge);
    $all += 1 if $edge eq 'edge';
    until_settled('whole again', $edge);
    is scalar(logged(qr/takes spans again; \d+ were dropped meanwhile/, $edge)), 1,
        '... and once that it is over';
    my %id;
    $id{ $_->{id} }++ for received_spans('c');
    is scalar(grep { $_ > 1 } values %id), 0, '... nothing was sent twice';
}
stop('json', 'TERM');

behave('c', { partial => 1000 });
my $n = ended(3, 'more rejected than sent');
is $n->{refused}, 3, 'a collector that rejects more than it got rejects all';
behave('c', { status => 200, raw => "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\n"
    . "Content-Length: 2\r\n\r\n\x0a\x09" });
is ended(3, 'malformed response message')->{sent}, 3, 'a malformed message with 200: accepted';
behave('c', { raw => "HTTP/1.1 204 No Content\r\n\r\n" });
is ended(3, 'no content')->{sent}, 3, '204: accepted';
behave('c', { raw => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" });
is ended(3, 'chunked')->{sent}, 3, 'a chunked answer';
behave('c', { raw => "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok", close => 1 });
is ended(3, 'until the end')->{sent}, 3, 'an answer that the end of the connection ends';

# --- refused ---

for my $status (400, 401, 404, 413, 500, 501, 301) {
    behave('c', { status => $status, body => "because\n of $status" });
    my $requests = () = received('c');
    $n = ended(4, "status $status");
    is $n->{refused}, 4, "$status: dropped and counted";
    is scalar(received('c')) - $requests, 1, '... and not sent again';
}
is scalar(logged(qr/refused 4 spans with status 400, which are dropped: "because  of 400"/)), 1,
    'a collector that refuses is logged';
is scalar(logged(qr/refused \d+ spans/)), 1, '... once, however often and with which status';
behave('c');
is ended(2, 'accepted again')->{sent}, 2, 'then it accepts again';
is scalar(logged(qr/takes spans again; 28 were dropped meanwhile/)), 1,
    '... which is logged with the number';

# --- not now ---

for my $status (429, 502, 503, 504) {
    my $lines = () = away();
    behave('c', { status => $status, headers => ['Retry-After: 0'] },
        { status => $status, headers => ['Retry-After: 0'] }, {});
    $n = ended(4, "status $status");
    is $n->{sent}, 4, "$status: sent again until it is accepted";
    is $n->{failures}, 2, '... with two failures';
    is scalar(spans_of("status $status")), 4, '... and received once';
    is scalar(away()) - $lines, 1, '... logged once';
}

sub waited {
    my ($headers, $what) = @_;
    my $requests = () = received('c');
    behave('c', { status => 503, headers => $headers }, {});
    my ($before, $failed, $later) = (scalar time, 0, 0);
    is ended(1, $what)->{sent}, 1, $what;
    return time - $before;
}
cmp_ok waited(['Retry-After: 3'], 'Retry-After in seconds'), '>=', 3, '... is obeyed';
cmp_ok waited(['Retry-After: ' . time2str(time + 4)], 'Retry-After as a date'), '>=', 3,
    '... is obeyed';
waited(['Retry-After: never'], 'Retry-After that says nothing');
waited([], 'without Retry-After');

# --- no answer ---

my %broken = (
    'a hung collector' => { hang => 1 },
    'an answer that drips' => { drip => 1 },
    'garbage' => { raw => "\x00\x01nonsense\r\n\r\n" },
    'HTTP/2' => { raw => "\x00\x00\x12\x04\x00\x00\x00\x00\x00" },
    'a huge answer' => { raw => "HTTP/1.1 200 OK\r\n\r\n" . 'x' x 200_000 },
    'a huge header' => { raw => "HTTP/1.1 200 OK\r\nX: " . 'x' x 200_000 },
    'a page' => { raw => "<html>\r\n" },
    'two lengths' =>
        { raw => "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab" },
    'a cut answer' => { raw => "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab", close => 1 },
);
for my $what (sort keys %broken) {
    my ($lines, $over) = (scalar(away()), scalar(back()));
    behave('c', $broken{$what}, {});
    $n = ended(2, $what);
    is $n->{sent}, 2, "$what: sent again";
    is $n->{failures}, 1, '... it is a failure';
    is scalar(spans_of($what)), 2, '... then received';
    is scalar(away()) - $lines, 1, '... logged once';
    is scalar(back()) - $over, 1, '... and that it is over';
}
is scalar(logged(qr/is away: timeout passed; \d+ spans are queued/)), 2, 'hung and slow, by name';
is scalar(logged(qr/is away: its answer is invalid: a control character/)), 2, 'garbage, too';
is scalar(logged(qr/is away: its answer is invalid: no HTTP.1.1 answer/)), 1, '... a page';
is scalar(logged(qr/is away: its answer is invalid: the answer is too long/)), 1, 'and size';

# --- the kept connection ---

behave('c', { close => 1 }, {}, {});
ended(2, 'closed while idle');
$n = ended(2, 'behind it');
is $n->{failures}, 0, 'a connection that was closed while idle is no failure';
is $n->{sent}, 2, '... the spans go over another one';

# Closed at the moment of the request: sent again at once, which is no failure either.
behave('c', {}, { drop => 1 }, {});
ended(1, 'before the drop');
$n = ended(2, 'dropped with the request');
is $n->{failures}, 0, 'a kept connection that is lost with a request: no failure';
is $n->{sent}, 2, '... the spans go over another one';

behave('c', { drop => 1 }, { drop => 1 }, {});
$n = ended(2, 'dropped twice');
is $n->{failures}, 1, 'a new connection that is lost with a request: a failure';
is $n->{sent}, 2, '... the spans are sent again';
is scalar(logged(qr/is away: it closed the connection without an answer/)), 2, '... logged';

# Bytes that nobody asked for end the connection.
my $connections = (received('c'))[-1]{connection};
behave('c', { raw => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n" }, {});
is ended(1, 'too much')->{sent}, 1, 'more than the answer';
is ended(1, 'after it')->{sent}, 1, '... the next request';
cmp_ok +(received('c'))[-1]{connection}, '>', (spans_of('too much') ? 0 : $connections),
    '... has another connection';

is scalar(logged(qr/\[(?:error|crit|alert|emerg)\]/)), 0, 'nothing is logged as an error';
is scalar(keys %{ { map { $_->{id} => 1 } received_spans('c') } }) > 0, 1, 'spans were received';

done_testing;
