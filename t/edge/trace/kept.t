# Which traces are kept: it is decided at the end of a request.
use strict;
use warnings;

use FindBin '$Bin';
use lib $Bin, "$Bin/../cache", "$Bin/../../lib";
use Scene;
use Test::More;
use Trace;
use Weir::Processes;

start_upstream(sub {
    my ($path, $request, $n) = @_;
    return answer('500 Internal Server Error', [], 'no') if $path =~ m{fails};
    return answer('503 Service Unavailable', [], 'no') if $path =~ m{retried} && $n == 1;
    return sub { sleep 1; echo($request) } if $path =~ m{/slow$};
    return echo($request);
});
start_traced(<<'HTTP', <<'SERVER');
    upstream twice { server UPSTREAM max_fails=0; server UPSTREAM max_fails=0; }
    proxy_next_upstream http_503;
    weir_breaker_zone b 1m;
    weir_problem_pages on;
HTTP
    location /none/   { weir_trace ratio=0; proxy_pass http://twice; }
    location /errors/ { weir_trace ratio=0 errors=on; proxy_pass http://twice; }
    location /slow/   { weir_trace ratio=0 slow=500ms; proxy_pass http://twice; }
    location /both/   { weir_trace parent slow=500ms errors=on; weir_trace_context propagate;
        proxy_pass http://twice; }
    location /all/    { weir_trace on; proxy_pass http://twice;
        location /all/off/ { weir_trace off; proxy_pass http://twice; }
        location /all/same/ { proxy_pass http://twice; } }
    location /led/    { weir_trace on; proxy_intercept_errors on; error_page 500 = @off;
        proxy_pass http://twice; }
    location @off     { weir_trace off; return 200; }
    location /broken/ { weir_trace ratio=0 errors=on; proxy_pass http://twice;
        weir_breaker zone=b key=broken failures=1 open=60s; }
    location /half/   { weir_trace ratio=0.5; proxy_pass http://UPSTREAM; }
SERVER

# Of requests for these paths, only those of the expected ones are kept.
sub kept {
    my ($expected, $what, @paths) = @_;
    get($_) for @paths, '/sentinel';
    my @kept;
    until_true("they are kept: @$expected", sub {
        push @kept, spans_until($what, sub { 1 });
        get('/sentinel');
        @$expected <= servers(@kept);
    });
    is_deeply [sort map { $_->{attributes}{'url.path'} } servers(@kept)], $expected, $what;
}

sub servers {
    return grep { $_->{kind} == 2 && $_->{attributes}{'url.path'} ne '/sentinel' } @_;
}

kept([], 'ratio=0 keeps none', qw(/none/a /none/fails));
kept(['/errors/fails', '/errors/retried'],
    'errors=on keeps failed requests, and those of which one try has failed',
    qw(/errors/a /errors/fails /errors/retried));
kept(['/slow/slow'], 'slow= keeps slow ones', qw(/slow/a /slow/fails /slow/slow));
kept(['/both/fails', '/both/slow'], '... both', qw(/both/a /both/fails /both/slow));
kept(['/all/a', '/all/same/a'], 'a location inherits weir_trace, and may turn it off',
    qw(/all/a /all/off/a /all/same/a));
kept(['/led/fails'],
    'a request whose upstream has got the context is kept also if a location without led on',
    '/led/fails');

# The requests of an open breaker: one a second is kept, however many there are.
my $begin = time;
get('/broken/fails');
get('/broken/a') for 1 .. 300;
my $seconds = time - $begin + 1;
my @broken = servers(spans_until('of the breaker',
    sub { ($_->{attributes}{'url.path'} // '') eq '/broken/a' }));
is scalar(grep { $_->{attributes}{'url.path'} eq '/broken/fails' } @broken), 1,
    'the request that opens a breaker is kept';
my @refused = grep { $_->{attributes}{'url.path'} eq '/broken/a' } @broken;
is_deeply [map { $_->{name} } @{ $refused[0]{events} }], ['weir.breaker.refused'],
    '... and a request that it refuses';
cmp_ok scalar(@refused), '<=', $seconds, '... of these one a second';

# What is sent upstream is what is known at the start.
my $sent = fields((lines_of('traceparent', get('/slow/slow')->{content}))[0]);
is $sent->{flags}, '02', 'a request that turns out to be slow was sent on as not sampled';
my ($span) = servers(spans_until('slow', sub { $_->{trace} eq $sent->{trace} }));
is $span->{trace}, $sent->{trace}, '... and kept';
is $span->{flags} & 1, 0, '... with that flag';

# A share, and the same decision for the same trace everywhere.
my %sampled;
for (1 .. 60) {
    my $parent = fields((lines_of('traceparent', get('/half/')->{content}))[0]);
    $sampled{ $parent->{trace} } = hex($parent->{flags}) & 1;
}
my %kept = map { $_->{trace} => $_ } servers(spans_until('a share', sub { $_->{kind} == 2 }));
is_deeply [sort keys %kept], [sort grep { $sampled{$_} } keys %sampled],
    'those that were sampled are kept, and no others';
cmp_ok scalar(keys %kept), '>', 5, '... some of them';
cmp_ok scalar(keys %kept), '<', 55, '... and not all';
is scalar(grep { (hex(substr $_, 18, 1) >> 3 & 1) != $sampled{$_} } keys %sampled), 0,
    '... by the randomness of the trace id';
is scalar(grep { $_->{state} ne 'ot=th:8' } values %kept), 0,
    '... and the threshold is in tracestate';

is scalar(logged(qr/\[(?:alert|crit|emerg)\]/)), 0, 'no alarm';
done_testing;
