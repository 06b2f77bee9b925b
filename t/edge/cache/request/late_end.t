# Over HTTP/2 the end of a request may come later than its header, also where the
# header says that there is no body.  The upstream is asked once, by the cache's
# own conditions, whether nginx watches for a client that leaves or not.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..", "$Bin/../../../lib";
use Scene;
use Test::More;
use Weir::Edge::Nginx 'http2_directives';
use Weir::Http2;
use Weir::Processes;

start_upstream(sub {
    my ($path, $request) = @_;
    return "HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n\r\n"
        if $request =~ /^If-None-Match: "1"/mi;
    return answer('200 OK', ['Cache-Control: max-age=' . ($path =~ /stale/ ? 0 : 600), 'ETag: "1"'],
        "body of $path");
});

my $http2 = free_port();
my ($listen, $on) = http2_directives();
my $server = <<'SERVER';
    weir_cache z;
    location /watched/ { proxy_pass http://UPSTREAM; }
    location /ignored/ { proxy_ignore_client_abort on; proxy_pass http://UPSTREAM; }
    location /streamed/ {
        proxy_ignore_client_abort on;
        proxy_request_buffering off;
        proxy_pass http://UPSTREAM;
    }
SERVER
start_edge("weir_cache_zone z 1m; server { listen 127.0.0.1:$http2 $listen; $on $server }",
    $server);

for my $place ('watched', 'ignored', 'streamed') {
    for my $end ('now', 'later') {
        my $client = Weir::Http2->new($http2);
        my $ask = sub {
            my $stream = $client->open('GET', shift, $end eq 'now', 'content-length', '0', @_);
            $client->data($stream, '', 1) if $end eq 'later';
            return $client->answer($stream);
        };

        my $path = "/$place/$end";
        is $ask->($path, 'if-none-match', '"2"')->{status}, 200,
            "$place, it ends $end: the whole response";
        is asked($path), 1, '... for which the upstream is asked once';
        is $ask->($path)->{body}, "body of $path", '... and it is stored';
        is asked($path), 1, '... for the next one';

        $ask->("$path-stale");
        is $ask->("$path-stale", 'if-none-match', '"2"')->{body}, "body of $path-stale",
            '... and a stale one is validated';
        is asked("$path-stale"), 2, '... by one request';
    }
}

my %header = ('Content-Length' => 0, 'If-None-Match' => '"2"');
is get('/ignored/http1', \%header)->{content}, 'body of /ignored/http1',
    'a body that HTTP/1.1 says is empty has ended';
is asked('/ignored/http1'), 1, '... and the upstream is asked once';

is scalar(logged(qr/\[(?:emerg|crit|alert)\]/)), 0, 'no alarm';
done_testing;
