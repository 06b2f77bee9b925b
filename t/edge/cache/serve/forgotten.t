# A stale response that a request holds while its upstream is asked does not answer
# instead of an error once a client has had it invalidated, also when the record of
# that has given way to those of others meanwhile.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Crowd;
use Test::More;

start_upstream(sub {
    my ($path, $request, $n) = @_;
    return answer('200 OK', [], 'changed') if $request =~ /^POST/;
    return answer('200 OK', ['Age: 20', 'Cache-Control: max-age=10, stale-if-error=600'], 'old')
        if $n == 1;
    return sub { Crowd::waiting('error'); answer('503 Busy', [], 'busy') };
});
start_edge('weir_cache_zone main 256k;', <<'SERVER');
    weir_cache main;
    location / { proxy_pass http://UPSTREAM; }
SERVER

for (['/changed', 1, 503], ['/unchanged', 0, 200]) {
    my ($path, $changed, $status) = @$_;
    get($path);
    hold('error');
    my @waiting = clients([$path, {}]);
    until_true('the upstream is asked', sub { asked($path) == 2 });
    request('POST', $path) if $changed;
    is scalar(grep { request('POST', "/other$path/$_")->{status} != 200 } 1 .. 400), 0,
        'more URIs are invalidated than there are records';
    let_go('error');
    my ($r) = answers(@waiting);
    is $r->{status}, $status,
        $changed ? 'what was invalidated is not served instead of the error' : 'what was not is';
}

is scalar(alarms()), 0, 'no alarm';
done_testing;
