# weir_trace slow=p99: a request is kept if it has taken longer than that percentile of its route,
# also if nothing shows metrics.
use strict;
use warnings;

use FindBin '$Bin';
use lib $Bin, "$Bin/../cache", "$Bin/../../lib";
use Scene;
use Test::More;
use Trace;
use Weir::Processes;

start_upstream(sub {
    my ($path, $request) = @_;
    return sub { sleep 1; echo($request) } if $path =~ m{/slow$};
    return echo($request);
});
start_traced('', <<'SERVER');
    location /p50/   { weir_trace ratio=0 slow=p50; proxy_pass http://UPSTREAM; }
    location /p99/   { weir_trace ratio=0 slow=p99; proxy_pass http://UPSTREAM; }
    location /p99.9/ { weir_trace ratio=0 slow=p99.9; proxy_pass http://UPSTREAM; }
    location /few/   { weir_trace ratio=0 slow=p99; proxy_pass http://UPSTREAM; }
    location /time/  { weir_trace ratio=0 slow=p99 slow=500ms; proxy_pass http://UPSTREAM; }
    location /all/   { weir_trace on slow=p99; proxy_pass http://UPSTREAM; }
SERVER

# The paths of these requests that are kept; the last one always is.
my $n = 0;
sub kept {
    my ($what, @paths) = @_;
    my $last = '/all/' . ++$n;
    get($_) for @paths, $last;
    my @spans = spans_until($what, sub { ($_->{attributes}{'url.path'} // '') eq $last });
    my @kept = map { $_->{attributes}{'url.path'} } grep { $_->{kind} == 2 } @spans;
    return [grep { $_ ne $last } @kept];
}

# 98 requests are too few for any percentile, and 200 for that of one in a thousand.
get('/few/') for 1 .. 98;
get("/$_/") for map { ('p50', 'p99', 'p99.9') } 1 .. 200;

# Nothing but spans says that the percentiles are known: half of all requests are above the 50th.
until_true('a request is above the 50th percentile', sub {
    @{ kept('of the 50th', map { '/p50/' } 1 .. 5) } > 0;
});
is_deeply kept('of the 99th', '/p99/slow'), ['/p99/slow'],
    'a request above the 99th percentile is kept';
is_deeply kept('too few', '/few/slow', '/p99.9/slow'), [],
    'nothing is, as long as too few requests of its route are known';
is_deeply kept('a time', '/time/slow', '/time/a'), ['/time/slow'],
    '... unless it is above a time, too';
is_deeply kept('all', '/all/a'), ['/all/a'], '... or sampled';

is scalar(logged(qr/\[(?:alert|crit|emerg)\]/)), 0, 'no alarm';
done_testing;
