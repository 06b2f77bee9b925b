# GET and HEAD with a request body: refused where Weir caches, in each framing;
# and requests over HTTP/2 whose stream ends in a frame of its own have none.
use strict;
use warnings;

use FindBin '$Bin';
use IO::Socket::INET;
use lib "$Bin/..", "$Bin/../../../lib";
use Scene;
use Test::More;
use Weir::Edge::Nginx 'http2_directives';
use Weir::Http2;

start_upstream(sub {
    my ($path, $request, $n) = @_;
    my @fields = ('Cache-Control: max-age=600', "X-Answer: $n");
    push @fields, 'X-Accel-Redirect: /behind' if $path =~ m{^/accel};
    my ($length) = $request =~ /^(?:Content-Length|Transfer-Encoding): *(\S+)/mi;
    push @fields, 'X-Length: ' . ($length // 'none');
    return answer('200 OK', \@fields, $request =~ /^HEAD/ ? '' : "answer $n to $path");
});

my $two = free_port();
my ($listen, $on) = http2_directives();
my $server = <<'SERVER';
    weir_cache z;
    location /         { proxy_pass http://UPSTREAM; }
    location /bypass   { weir_cache_get_body bypass; proxy_pass http://UPSTREAM; }
    location /off      { weir_cache off; proxy_pass http://UPSTREAM; }
    location /tried    { root /nowhere; try_files $uri /page; }
    location /accel    { proxy_pass http://UPSTREAM; weir_cache off; }
    location /behind   { internal; proxy_pass http://UPSTREAM; }
    location /page400  { error_page 400 = /own; proxy_pass http://UPSTREAM; }
    location /own      { internal; return 200 "own\n"; }
    location /purge    { weir_cache_purge on; proxy_pass http://UPSTREAM; }
SERVER
start_edge("weir_cache_zone z 1m; server { listen 127.0.0.1:$two $listen; $on $server }", $server);

# All bytes received for the bytes sent over one connection.
sub raw {
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . port_of_edge()) or die $!;
    print $socket @_;
    local $/;
    return scalar(<$socket>) // '';
}

my $next = "GET /next HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
my %framing = (
    'Content-Length' => "Content-Length: " . length($next) . "\r\n\r\n$next",
    'chunks'         => sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n",
        length $next, $next),
    'an empty chunk' => "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
);
for my $method ('GET', 'HEAD') {
    for my $path ('/page', '/tried') {
        for my $name (sort keys %framing) {
            my $all = raw("$method $path HTTP/1.1\r\nHost: a.test\r\n$framing{$name}$next");
            like $all, qr{^HTTP/1\.1 400 .*\r\nConnection: close\r\n}s,
                "$method $path with $name is refused and the connection closed";
            like $all, qr{^Content-Type: application/problem\+json\r$}m,
                '... by a problem document';
            my @answers = $all =~ m{^HTTP/1\.1 \d}mg;
            is scalar @answers, 1, '... which is the only answer';
        }
    }
}
is asked('/page') + asked('/next'), 0, 'the upstream has seen none of it';

my $all = raw("GET /page400 HTTP/1.1\r\nHost: a.test\r\n$framing{chunks}$next");
like $all, qr{^HTTP/1\.1 200 .*\r\nConnection: close\r\n.*own\n\z}s,
    'an error_page for 400 is the answer, and the connection closed';

# --- what is no such body ---

for my $name ('page', 'page') {
    $all =
        raw("GET /zero HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
}
like $all, qr{^Cache-Status: Weir; hit;}m, 'Content-Length: 0 is no body';

my $r = request('GET', '/bypass', {}, 'x=1');
is cache_status($r), 'Weir; fwd=bypass; fwd-status=200', 'weir_cache_get_body bypass forwards it';
is $r->{headers}{'x-length'}, 3, '... with its body';
is request('GET', '/off', {}, 'x=1')->{status}, 200, 'without weir_cache nothing is refused';
is request($_, '/page', {}, 'x=1')->{status}, 200, "$_ may have a body"
    for 'POST', 'OPTIONS', 'DELETE', 'REPORT';
is request('PURGE', '/purge', {}, 'x=1')->{status}, 200, 'and so may PURGE';
is request('POST', '/accel', {}, 'x=1')->{content} =~ /to \/behind$/, 1,
    'a POST that X-Accel-Redirect made a GET of is not refused';
is request('GET', '/accel', {}, 'x=1')->{content} =~ /to \/behind$/, 1,
    '... nor a GET whose body an upstream has had';

# --- HTTP/2 ---

my $client = Weir::Http2->new($two);

# A request whose stream ends by a frame of its own, after that many bytes.
sub late {
    my ($method, $path, @bytes) = @_;
    my $stream = $client->open($method, $path, 0);
    $client->data($stream, $_, 0) for @bytes;
    $client->data($stream, '', 1);
    return $client->answer($stream);
}

my @bodies = map { late('GET', '/late')->{body} } 1 .. 3;
is_deeply \@bodies, [('answer 1 to /late') x 3], 'a GET that ends in a frame of its own is cached';
is asked('/late'), 1, '... the upstream asked once';
is late('HEAD', '/late')->{status}, 200, '... HEAD too';
is asked('/late'), 1, '... is answered from the cache';
is $client->get('/late')->{body}, 'answer 1 to /late', '... as is one that ends with its header';
unlike get('/late')->{headers}{'x-length'}, qr/\d|chunked/, '... and the upstream got no body';

my $s = late('GET', '/late', 'x=1', '', 'y=2');
is "$s->{status} " . ($s->{body} =~ /Request body not allowed/ ? 'a problem' : $s->{body}),
    '400 a problem', 'one with a body is refused';
is late('GET', '/bypass', 'x=1')->{status}, 200, '... or forwarded where the directive says so';
is late('POST', '/late', 'x=1')->{status}, 200, '... POST passes';
$s = late('GET', '/tried');
is $s->{status}, 200, '... and behind try_files';

my $gone = $client->open('GET', '/gone', 0);
$client->put(Weir::Http2::frame(3, 0, $gone, pack 'N', 8));
is late('GET', '/late')->{status}, 200,
    'a client that leaves while its body is awaited does no harm';
is_deeply [logged(qr/\[(?:alert|emerg|crit)\]|exited on signal/)], [], 'the error log has no alert';

done_testing;
