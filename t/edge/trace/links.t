# A request that waits for the fetch of another one links the span of that request: on its own edge
# through shared memory, between edges through the lease in Redis, whatever else may be there.
use strict;
use warnings;

use FindBin '$Bin';
use lib $Bin, "$Bin/../cache", "$Bin/../../lib";
use Fleet;
use Test::More;
use Weir::Collector qw(collector_port received_spans start_collector);
use Weir::Processes;

start_redis();
start_upstream(sub {
    my ($path) = @_;
    my $name = $path =~ s{\W}{}gr;
    until_true("$path may answer", sub { -e "$dir/go-$name" });
    return answer('200 OK', ['Cache-Control: max-age=600'], 'body');
});
start_collector('spans');
my $url = 'http://127.0.0.1:' . collector_port('spans');
for my $edge (qw(left right)) {
    start_edge($edge, <<"HTTP", <<'SERVER', workers => 2, timeout => '5s');
        weir_cache_zone fleet 1m redis=main;
        weir_exporter otlp $url service_name=$edge interval=1ms;
        weir_trace on;
        weir_trace_context propagate;
        weir_cache_lock_timeout 60s;
HTTP
        weir_cache fleet;
        location /        { proxy_pass http://UPSTREAM; }
        location /untraced {
            weir_trace $arg_trace;
            proxy_pass http://UPSTREAM;
        }
SERVER
}
sub may_answer { my $path = shift; spit("$dir/go-" . $path =~ s{\W}{}gr, '') }

# The zones' first look at the stream.
may_answer('/warm');
get($_, '/warm') for qw(left right);

my $number = 0;

# Asks in a process of its own; the trace that the request has.
sub ask {
    my ($edge, $path, $trace) = @_;
    $trace //= sprintf '%032x', 0xa000 + ++$number;
    spawn("client $trace", sub {
        get($edge, $path, { traceparent => "00-$trace-${\('b' x 16)}-01" });
        spit("$dir/answered-$trace", '');
        POSIX::_exit(0);
    });
    return $trace;
}

# The spans of a trace whose request has ended, by their names.
sub spans_of {
    my ($trace) = @_;
    my @spans;
    until_true("the spans of $trace", sub {
        @spans = grep { $_->{trace} eq $trace } received_spans('spans');
        return scalar grep { $_->{kind} == 2 } @spans;
    });
    until_true("all spans of $trace", sub {
        my $n = @spans;
        get('left', '/warm');
        @spans = grep { $_->{trace} eq $trace } received_spans('spans');
        return $n == @spans;
    });
    return @spans;
}
sub named { my ($name, @spans) = @_; return grep { $_->{name} eq $name } @spans }

# The fetch is at the upstream; the other request waits for its turn.
sub until_fetching {
    my ($path) = @_;
    until_true("the upstream was asked for $path", sub { asked($path) });
}

sub is_linked {
    my ($what, $waiting, $fetching) = @_;
    my @waits = named('wait for turn', spans_of($waiting));
    is scalar(@waits), 1, "$what: one wait";
    my ($server) = grep { $_->{kind} == 2 } spans_of($fetching);
    is_deeply [map { "$_->{trace} $_->{id}" } @{ $waits[0]{links} }],
        ["$server->{trace} $server->{id}"], '... with a link to the request that fetched';
    is $waits[0]{links}[0]{flags}, $server->{flags} & 0xff, '... and its flags';
    my ($asked) = grep { $_->{kind} == 3 } spans_of($fetching);
    my $late = $waits[0]{end} + 60_000_000 - $asked->{end};
    cmp_ok $late, '>=', 0, '... until the response was there';
    is scalar(grep { $_->{kind} == 3 } spans_of($waiting)), 0, '... and the upstream was not asked';
}

# Until the request that was sent after the mark has waited, and looked again.
my $mark;
sub look_ups { my ($n) = redis('INFO', 'commandstats') =~ /cmdstat_get:calls=(\d+)/; return $n }
sub until_waiting {
    until_true('the request waits', sub { look_ups() >= $mark + 6 });
}

# --- one edge, and two ---

for (['left', 'left', 'on one edge'], ['left', 'right', 'of another edge']) {
    my ($first, $second, $what) = @$_;
    my $path = "/held-$second";
    my $fetching = ask($first, $path);
    until_fetching($path);
    $mark = look_ups();
    my $waiting = ask($second, $path);
    until_waiting();
    may_answer($path);
    is_linked($what, $waiting, $fetching);
    is asked($path), 1, '... once in all';
}

# --- a fetch that is not traced ---

my $fetching = ask('left', '/untraced?trace=off');
until_fetching('/untraced?trace=off');
$mark = look_ups();
my $waiting = ask('left', '/untraced?trace=off');
until_waiting();
may_answer('/untraced?trace=off');
until_true('both are answered', sub {
    2 == grep { -e "$dir/answered-$_" } $fetching, $waiting
});
is scalar(grep { $_->{trace} eq $waiting } received_spans('spans')), 0,
    'requests that are not traced wait without links';

# --- leases of other builds, and of others ---

my $owner = 'c' x 32 . ' ' . 'd' x 16;
my $context = '00-' . 'c' x 32 . '-' . 'd' x 16 . '-01';
my $n = 0;
for (['the token of an older build', 'f' x 16],
    ['a token with a context', 'f' x 16 . "-$context", [$owner]],
    ['... of a later version', 'f' x 16 . '-' . $context =~ s/^00/01/r, [$owner]],
    ['... without a dash', 'f' x 16 . " $context"],
    ['... with zeros', 'f' x 16 . '-00-' . '0' x 32 . '-' . 'd' x 16 . '-01'],
    ['... in upper case', 'f' x 16 . '-' . uc $context],
    ['... that is too long', 'f' x 16 . "-$context-1"],
    ['... that is cut off', 'f' x 16 . '-' . substr $context, 0, 54],
    ['a byte', 'x'], ['nothing', ''], ['bytes', "\xff\0\n" x 24], ['a megabyte', 'x' x 1e6]) {
    my ($what, $value, $links) = @$_;
    my $path = '/foreign-' . ++$n;
    my $first = ask('left', $path);
    until_fetching($path);
    my ($lease) = grep { redis('GET', $_) =~ /-$first-/ } @{ redis('KEYS', 'weir:lease:*') };
    ok $lease, 'the lease has the trace of its owner';
    redis('SET', $lease, $value, 'PX', 60_000);
    $mark = look_ups();
    my $second = ask('right', $path);
    until_waiting();
    redis('DEL', $lease);
    may_answer($path);
    my @waits = named('wait for turn', spans_of($second));
    is_deeply [map { map { "$_->{trace} $_->{id}" } @{ $_->{links} } } @waits], $links // [],
        "$what: " . ($links ? 'a link' : 'no link');
    cmp_ok scalar(@waits), '>=', 1, '... of a wait';
}

for my $edge (qw(left right)) {
    is scalar(logged($edge, qr/\[(?:alert|crit|emerg)\]/)), 0, "$edge: no alarm";
}
done_testing;
