# An upstream's header that does not come whole, though its status line says 200:
# it breaks off, is too long, is none, or takes too long.  Such an answer is an
# error, as one without a status line is.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Scene;
use Test::More;

my $begun = "HTTP/1.1 200 OK\r\nX-A: 1\r\n";
my %broken = (
    cut     => $begun,
    long    => $begun . 'X-B: ' . 'b' x 9000 . "\r\n\r\n",
    invalid => $begun . "X-\0: 1\r\n\r\n",
    slow    => sub {
        my $edge = shift;
        print $edge $begun;
        $edge->flush;
        sysread $edge, my $byte, 1;
        '';
    },
);

# The first answer to a path is whole, but for those to /breaker/.
start_upstream(sub {
    my ($path, $request, $n) = @_;
    return answer('200 OK', ['Cache-Control: max-age=10', 'Age: 20', 'ETag: "e"'], 'good')
        if $n == 1 && $path !~ /breaker/;
    return $broken{ $path =~ m{(\w+)$} ? $1 : '' };
});

start_edge(<<'HTTP', <<'SERVER');
    weir_cache_zone main 1m;
    weir_breaker_zone breakers 1m;
HTTP
    weir_cache main;
    proxy_buffer_size 4k;
    proxy_buffers 4 4k;
    proxy_busy_buffers_size 8k;
    proxy_read_timeout 200ms;
    location / { proxy_pass http://UPSTREAM; }
    location /stale/ { weir_cache_use_stale error timeout; proxy_pass http://UPSTREAM; }
    location /breaker/ {
        weir_cache off;
        weir_breaker zone=breakers key=$uri failures=2 open=1h;
        proxy_pass http://UPSTREAM;
    }
SERVER

for my $kind (sort keys %broken) {
    my $error = $kind eq 'slow' ? 504 : 502;
    my @r = map { get("/stale/$kind") } 1, 2;
    is_deeply [map { "$_->{status} $_->{content}" } @r], ['200 good', '200 good'],
        "a header that is $kind: what is stale answers";
    like cache_status($r[1]), qr/^Weir; fwd=stale; detail=stale-if-error$/,
        '... and Cache-Status names no status of the upstream';
    @r = map { get("/$kind") } 1, 2;
    is "$r[1]{status} " . cache_status($r[1]), "$error Weir; fwd=stale", '... or nginx\'s own page';
    is_deeply [map { get("/breaker/$kind")->{status} } 1 .. 3], [$error, $error, 503],
        '... a breaker counts it';
}

is scalar(logged(qr/\[(?:alert|emerg|crit)\]/)), 0, 'no alarm';
done_testing;
