# weir_trace_publish: upstreams are told that a trace may be kept late, and the ids of those that
# are kept go to Redis.
use strict;
use warnings;

use FindBin '$Bin';
use lib $Bin, "$Bin/../cache", "$Bin/../../lib";
use Scene;
use Test::More;
use Trace;
use Weir::Collector qw(received_spans);
use Weir::Processes;
use Weir::Redis qw(redis_answers redis_server redis_users redis_watch);

my $stream = 'weir:traces:kept';
my $port = $Scene::redis_address = free_port();

sub start_redis {
    spawn('redis', [redis_server(), '--port', $port, '--bind', '127.0.0.1', '--dir', $dir,
        '--save', '', '--appendonly', 'no', redis_users($dir)]);
    until_true('Redis answers', sub { redis_answers($port) });
    redis_watch($port);
}

start_redis();
start_upstream(sub {
    my ($path, $request) = @_;
    my ($state) = lines_of('tracestate', $request);
    return answer($path =~ /fails/ ? '500 Internal Server Error' : '200 OK',
        ['Cache-Control: max-age=60', 'X-State: ' . ($state // 'none'),
            'X-Parent: ' . ((lines_of('traceparent', $request))[0] // '')], 'x');
});
start_traced(<<'HTTP', <<'SERVER', timeout => '300ms');
    weir_trace_publish main;
    weir_cache_zone memory 1m;
HTTP
    location /none/    { weir_trace ratio=0; proxy_pass http://UPSTREAM; }
    location /errors/  { weir_trace ratio=0 errors=on; proxy_pass http://UPSTREAM; }
    location /slow/    { weir_trace ratio=0 slow=1h; proxy_pass http://UPSTREAM; }
    location /above/   { weir_trace ratio=0 slow=p99; proxy_pass http://UPSTREAM; }
    location /all/     { weir_trace on errors=on; proxy_pass http://UPSTREAM; }
    location /half/    { weir_trace ratio=0.5 errors=on; proxy_pass http://UPSTREAM; }
    location /parent/  { weir_trace parent errors=on; weir_trace_context propagate;
        proxy_pass http://UPSTREAM; }
    location /decided/ { weir_trace ratio=0 errors=on; weir_trace_context propagate;
        proxy_pass http://UPSTREAM; }
    location /chosen/  { weir_trace $arg_trace errors=on; proxy_pass http://UPSTREAM; }
    location /extract/ { weir_trace ratio=0 errors=on; weir_trace_context extract;
        proxy_pass http://UPSTREAM; }
    location /cached/  { weir_trace ratio=0 errors=on; weir_cache memory; weir_cache_valid 500 60s;
        proxy_pass http://UPSTREAM; }
    location /here/    { weir_trace ratio=0 errors=on; return 500; }
    location = /status { weir_status; }
SERVER

sub ids { return map { split / /, $_->[1][1] } @{ redis('XRANGE', $stream, '-', '+') } }

# The trace id that the upstream got.
sub trace_of { my $response = shift; return fields($response->{headers}{'x-parent'})->{trace} }

sub status { get('/status')->{content} =~ /"ids":(\{.*?\})/ or die; return $1 }

# What upstreams are told.
sub state_of { get(@_)->{headers}{'x-state'} }

is state_of('/none/'), 'none', 'a trace that is never kept late: nothing is said';
is state_of('/all/'), 'none', '... nor of one that is sampled';
is state_of("/$_/"), 'weir=late', "upstreams are told: $_" for qw(errors slow above);
my %seen = map { state_of('/half/') => 1 } 1 .. 40;
is_deeply [sort keys %seen], ['ot=th:8', 'weir=late'], 'a share is sampled, the rest may be kept';
is state_of('/chosen/?trace=0'), 'weir=late', 'a variable';
is state_of('/chosen/?trace=parent'), 'weir=late', '... that asks the client, who says nothing';
is state_of('/chosen/?trace=on'), 'none', '... and one that samples all';

my $trace = id('a', 16);
my $parent = "00-$trace-" . id('b', 8);
sub client { return { traceparent => "$parent-$_[0]", tracestate => $_[1] } }
is state_of('/parent/', client('00', 'x=1,weir=old,y=2')), 'weir=late,x=1,y=2',
    'our member goes before those of others, in place of an earlier one';
is state_of('/parent/', client('01', 'x=1')), 'x=1', '... not if the client samples';
is state_of('/decided/', client('01', 'x=1,ot=rv:ffffffffffffff;th:8,y=2')),
    'ot=rv:ffffffffffffff,weir=late,x=1,y=2', '... behind that of the sampling';
is state_of('/decided/', client('01', '')), 'weir=late', '... and alone';
my @members = map { "k$_=v" } 1 .. 32;
is state_of('/parent/', client('00', join ',', @members)),
    join(',', 'weir=late', @members[0 .. 30]),
    'of 32 members the last one is removed';
is state_of('/extract/', client('00', 'x=1')), 'x=1', 'where no context is sent, nothing is said';

# Which ids are published.
is redis('EXISTS', $stream), 0, 'no id is published while nothing fails';
my @expected = map { trace_of(get("/$_/fails")) } 'errors', 'parent', 'decided', 'errors';
get($_) for '/here/', '/extract/fails', '/none/fails', '/all/fails', '/above/fails', '/slow/fails';
push @expected, trace_of(get('/cached/fails'));
is get('/cached/fails')->{headers}{'x-state'}, 'weir=late', 'the response was stored';
push @expected, trace_of(get('/errors/fails'));
until_true('the last id is published', sub { ($expected[-1]) eq ((ids())[-1] // '') });
is_deeply [ids()], \@expected, 'those that are kept late, of which an upstream was asked';
is status(), '{"published":6,"dropped":0}', 'they are counted';

# Many at once are few messages.
redis('DEL', $stream);
get('/errors/fails') for 1 .. 300;
until_true('all are published', sub { ids() == 300 });
cmp_ok redis('XLEN', $stream), '<', 300, 'a message may have more than one id';

# Redis refuses.
redis('DEL', $stream);
redis('SET', $stream, 'x');
my $held = trace_of(get('/errors/fails'));
until_true('it is logged', sub { logged(qr/Redis refuses the ids of traces/) });
like((logged(qr/Redis refuses/))[0], qr/\[warn\].*"WRONGTYPE .*"/, 'one line says why');
redis('DEL', $stream);
until_true('it is sent again', sub { grep { $_ eq $held } ids() });
is_deeply [ids()], [$held], 'an id that Redis has refused is sent again';

# Redis is gone, and comes back.
stop('redis', 'KILL');
my @gone = map { trace_of(get('/errors/fails')) } 1 .. 3;
start_redis();
until_true('they are published', sub { ids() >= 3 });
is_deeply [sort keys %{ { map { $_ => 1 } ids() } }], [sort @gone],
    'ids wait until Redis is back';

# A worker that ends sends its ids first.
my $last = trace_of(get('/errors/fails'));
kill 'HUP', $pid{edge};
until_true('the last id is published', sub { grep { $_ eq $last } ids() });
pass 'a reload loses no id';

# If Redis is gone for good, the trace says that it is incomplete.
stop('redis', 'KILL');
my $lost = trace_of(get('/errors/fails'));
kill 'HUP', $pid{edge};
my ($missing, $server);
until_true('it says so', sub {
    my @spans = grep { $_->{trace} eq $lost } received_spans('spans');
    ($missing) = grep { $_->{name} eq 'missing spans' } @spans;
    ($server) = grep { $_->{kind} == 2 } @spans;
    $missing && $server;
});
is $missing->{parent}, $server->{id}, 'below the server span';
is_deeply $missing->{attributes}, { 'weir.trace.incomplete' => 'not_published' }, '... is why';
like status(), qr/"dropped":1\}/, '... and it is counted';

is scalar(logged(qr/\[(?:alert|crit|emerg)\]/)), 0, 'no alarm';
done_testing;
