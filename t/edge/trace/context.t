# The context of a trace: which one is taken from the client, and what upstreams get.
use strict;
use warnings;

use FindBin '$Bin';
use lib $Bin, "$Bin/../cache", "$Bin/../../lib";
use Scene;
use Test::More;
use Trace;
use Weir::Processes;

start_upstream(sub { my ($path, $request) = @_; echo($request) });
start_traced(<<'HTTP', <<'SERVER');
    log_format trace '$uri $http_traceparent $weir_trace_id $weir_span_id $weir_parent_id'
        ' $weir_trace_sampled';
    map $arg_trace $wanted { default $arg_trace; }
HTTP
    access_log logs/trace.log trace;
    add_header Trace $weir_trace_id always;
    location /untraced/  { proxy_pass http://UPSTREAM; }
    location /inject/    { weir_trace on; proxy_pass http://UPSTREAM; }
    location /ignore/    { weir_trace on; weir_trace_context ignore; proxy_pass http://UPSTREAM; }
    location /extract/   { weir_trace on; weir_trace_context extract; proxy_pass http://UPSTREAM; }
    location /b3/ { weir_trace on; weir_trace_context propagate b3; proxy_pass http://UPSTREAM; }
    location /multi/ {
        weir_trace on;
        weir_trace_context propagate b3multi;
        proxy_pass http://UPSTREAM;
    }
    location / {
        weir_trace_context propagate;
        location /propagate/ { weir_trace on; proxy_pass http://UPSTREAM; }
        location /half/      { weir_trace ratio=0.5; proxy_pass http://UPSTREAM; }
        location /parent/    { weir_trace parent; proxy_pass http://UPSTREAM; }
        location /wanted/    { weir_trace $wanted; proxy_pass http://UPSTREAM; }
    }
SERVER

my ($trace, $id) = ('0af7651916cd43dd8448eb211c80319c', 'b7ad6b7169203331');
my $received = "00-$trace-$id-01";

# --- what is trusted ---

my %ours = (untraced => 0, ignore => 0, extract => 0, inject => 1, propagate => 1);
my %continues = (extract => 1, propagate => 1);
for my $way (sort keys %ours) {
    my $response = get("/$way/", { traceparent => $received, tracestate => 'a=1' });
    my @sent = lines_of('traceparent', $response->{content});
    is scalar(@sent), 1, "$way: the upstream gets one traceparent";
    my $sent = fields($sent[0]);
    if ($way eq 'untraced') {
        is $sent[0], $received, '... of the client';
        is $response->{headers}{trace}, undef, '... and there is no trace';
        next;
    }
    my @spans = spans_until($way, sub { $_->{kind} == 2 });
    my $server = server_span(@spans);
    is $response->{headers}{trace}, $server->{trace}, '... whose trace is in the variable';
    is $server->{trace} eq $trace, !!$continues{$way}, '... in the trace of the client, or not';
    is $server->{parent}, $continues{$way} ? $id : '', '... with its parent';
    my ($client) = grep { $_->{kind} == 3 } @spans;
    is $client->{parent}, $server->{id}, '... and a client span within it';
    if ($ours{$way}) {
        is $sent->{trace}, $server->{trace}, '... the upstream gets the trace';
        is $sent->{id}, $client->{id}, '... and the id of the client span';
    } else {
        is $sent[0], $received, '... the upstream gets what the client sent';
    }
    my @state = lines_of('tracestate', $response->{content});
    is_deeply \@state, $way eq 'inject' ? [] : ['a=1'], '... tracestate goes with its traceparent';
}

# nginx writes its log behind the response.
sub line_of {
    my $path = shift;
    my @lines;
    until_true("$path is logged", sub {
        @lines = log_lines("$dir/logs/trace.log", qr/^\Q$path\E /);
    });
    return $lines[0];
}
my ($path, $http, @ids) = split / /, line_of('/propagate/');
is $http, $received, 'the variable of the client\'s header has its value again';
is $ids[0], $trace, '$weir_trace_id';
is $ids[2], $id, '$weir_parent_id';
is $ids[3], 1, '$weir_trace_sampled';
is line_of('/untraced/'), "/untraced/ $received - - - -",
    'without weir_trace there are no variables';

# --- what is invalid ---

my %bad = (
    'upper-case digits' => ['00-' . uc($trace) . "-$id-01"],
    'a trace of zeros' => ['00-' . id('0', 16) . "-$id-01"],
    'a span of zeros' => ["00-$trace-" . id('0', 8) . '-01'],
    'version ff' => ["ff-$trace-$id-01"],
    'more than version 00 has' => ["00-$trace-$id-01-more"],
    'a future version without a dash' => ["cc-$trace-$id-01more"],
    'too short' => ["00-$trace-$id-1"],
    'two lines' => [$received, $received],
    'two in one line' => ["$received,$received"],
    'nothing' => [''],
);
for my $what (sort keys %bad) {
    my $response = get('/propagate/', { traceparent => $bad{$what}, tracestate => 'a=1' });
    is $response->{status}, 200, "$what: no error";
    my @sent = lines_of('traceparent', $response->{content});
    is scalar(@sent), 1, '... the upstream gets one traceparent';
    isnt fields($sent[0])->{trace}, $trace, '... of a new trace';
    is scalar(lines_of('tracestate', $response->{content})), 0, '... and no tracestate';
}
for my $value ("cc-$trace-$id-01", "cc-$trace-$id-01-what-ever") {
    my $response = get('/propagate/', { traceparent => $value });
    my ($sent) = lines_of('traceparent', $response->{content});
    is fields($sent)->{trace}, $trace, "\"$value\" of a future version is read";
    is fields($sent)->{version}, '00', '... and sent on in version 00';
}

# --- flags, tracestate ---

sub passed_on {
    my ($where, $flags, @state) = @_;
    my $response = get($where, { traceparent => "00-$trace-$id-$flags",
        @state ? (tracestate => [@state]) : () });
    my @state_sent = lines_of('tracestate', $response->{content});
    cmp_ok scalar(@state_sent), '<=', 1, 'one tracestate at most';
    my ($parent) = lines_of('traceparent', $response->{content});
    return (fields($parent)->{flags}, $state_sent[0]);
}

is_deeply [passed_on('/propagate/', '02')], ['03', undef], 'the flag of random ids is kept';
is_deeply [passed_on('/propagate/', 'ff')], ['03', undef], '... unknown ones are not';
is +(passed_on('/propagate/', '00'))[0], '01', '... and weir_trace decides about sampled';
is +(passed_on('/inject/', '00'))[0], '03', 'a new trace has random ids';

is +(passed_on('/propagate/', '01', 'a=1', 'b=2', 'c=3,d=4'))[1], 'a=1,b=2,c=3,d=4',
    'lines of tracestate are one list';
is +(passed_on('/propagate/', '01', 'a=1', 'B=2'))[1], undef, 'a malformed member drops all';
is +(passed_on('/propagate/', '01', join ',', map { "k$_=1" } 1 .. 33))[1], undef,
    '... and so does one too many';
my $list = join ',', map { sprintf '%s=%0120d', $_, 0 } 'a' .. 'z';
my $state = (passed_on('/propagate/', '01', substr $list, 0, 123 * 26 - 1))[1];
like $state, qr/^a=0+,b=0+,c=0+,d=0+$/,
    'of 3 KiB the first 512 bytes are passed on, in whole members';
my $long = join ',', map { sprintf '%s=%0250d', $_, 0 } 'a' .. 'z', 'aa' .. 'ae';
$state = (passed_on('/propagate/', '01', "$long,last=1"))[1];
cmp_ok length($long), '>', 7800, 'of 8 KiB';
like $state, qr/(?:^|,)last=1$/, '... long members are dropped first';
cmp_ok length($state), '<=', 512, '... and no more is sent than that';

# --- baggage ---

my $baggage = join ',', map { "key$_=" . 'v' x 100 . ';p=1' } 1 .. 70;
cmp_ok length($baggage), '>', 7500, 'baggage of 8 KiB';
for my $where ('/inject/', '/propagate/') {
    my @lines = lines_of('baggage', get($where, { baggage => $baggage })->{content});
    is_deeply \@lines, [$baggage], "... is passed on as it is: $where";
}

# --- consistent sampling ---

is_deeply [passed_on('/half/', '02', 'ot=rv:ffffffffffffff,a=1')],
    ['03', 'ot=th:8;rv:ffffffffffffff,a=1'],
    'a trace above the threshold is sampled, and says the threshold';
is_deeply [passed_on('/half/', '03', 'a=1,ot=rv:7fffffffffffff;th:0')],
    ['02', 'ot=rv:7fffffffffffff,a=1'],
    'one below is not, and loses it';
my ($high, $low) = (id('8', 16), id('7', 16));
for ([$high, '01'], [$low, '00']) {
    my ($of, $sampled) = @$_;
    my $response = get('/half/', { traceparent => "00-$of-$id-01" });
    is fields((lines_of('traceparent', $response->{content}))[0])->{flags}, $sampled,
        "the trace $of decides by its own id";
}
spans_until('sampling', sub { $_->{kind} == 2 });

is +(passed_on('/parent/', '01', 'ot=th:8,a=1'))[0], '01', 'parent: sampled as the client says';
is +(passed_on('/parent/', '01', 'a=1,ot=th:8'))[1], 'a=1,ot=th:8', '... with its threshold';
is scalar(grep { $_->{kind} == 2 } spans_until('parent', sub { 1 })), 2, '... and kept';
is +(passed_on('/parent/', '00'))[0], '00', '... or not';
is fields((lines_of('traceparent', get('/parent/')->{content}))[0])->{flags}, '02',
    '... and not without a client\'s context';

for (['on', '01'], ['off', undef], ['parent', '01'], ['0', '00'], ['1', '01'], ['', undef],
    ['0.5x', undef]) {
    my ($value, $sampled) = @$_;
    my $response = get("/wanted/?trace=$value", { traceparent => $received });
    my ($sent) = lines_of('traceparent', $response->{content});
    if (defined $sampled) {
        is fields($sent)->{flags}, $sampled, "the variable is \"$value\": sampled $sampled";
    } else {
        is $sent, $received, "the variable is \"$value\": off";
    }
}
my %of = map { ($_->{attributes}{'url.query'} // '') => 1 } grep { $_->{kind} == 2 }
    spans_until('variable', sub { 1 });
is_deeply [sort keys %of], ['trace=1', 'trace=on', 'trace=parent'], '... and only those are kept';

# --- B3 ---

my $response = get('/b3/', { b3 => "$trace-$id-1" });
my ($b3) = lines_of('b3', $response->{content});
my ($parent) = lines_of('traceparent', $response->{content});
is fields($parent)->{trace}, $trace, 'b3 is read';
is $b3, "$trace-" . fields($parent)->{id} . '-1', '... and sent';
$response = get('/b3/', { b3 => "$trace-$id-1", traceparent => "00-$high-$id-01" });
($parent) = lines_of('traceparent', $response->{content});
is fields($parent)->{trace}, $high, 'traceparent is preferred';
$response = get('/multi/', { b3 => "$trace-$id-1" });
($parent) = lines_of('traceparent', $response->{content});
isnt fields($parent)->{trace}, $trace, 'b3 is not read where only b3multi is allowed';

$response = get('/multi/', { 'X-B3-TraceId' => $trace, 'X-B3-SpanId' => $id, 'X-B3-Sampled' => 1,
    'X-B3-ParentSpanId' => id('1', 8) });
($parent) = lines_of('traceparent', $response->{content});
is fields($parent)->{trace}, $trace, 'several headers of B3 are read';
is_deeply [lines_of('X-B3-TraceId', $response->{content})], [$trace], '... and sent: trace';
is_deeply [lines_of('X-B3-SpanId', $response->{content})], [fields($parent)->{id}], '... span';
is_deeply [lines_of('X-B3-Sampled', $response->{content})], [1], '... sampled';
my @spans = spans_until('B3', sub { $_->{kind} == 2 });
my ($last) = grep { $_->{kind} == 2 && $_->{attributes}{'url.path'} eq '/multi/' } reverse @spans;
is_deeply [lines_of('X-B3-ParentSpanId', $response->{content})], [$last->{id}], '... parent';
is $last->{parent}, $id, '... and the client\'s span is the parent of ours';

# --- bodies: the upstream request is made when the body was read ---

for my $size (0, 10, 100_000) {
    for my $way ('content', 'chunked') {
        my $sent = 'x' x $size;
        my $part = 0;
        my $body = $way eq 'content' ? $sent : sub { $part++ ? '' : $sent };
        my $response = request('POST', '/inject/', {}, $body);
        is $response->{status}, 200, "a POST with $size bytes ($way)";
        is scalar(lines_of('traceparent', $response->{content})), 1, '... carries the context';
    }
}
spans_until('bodies', sub { $_->{kind} == 2 });

is scalar(logged(qr/\[(?:alert|crit|emerg)\]/)), 0, 'no alarm';
done_testing;
