# Features of newer nginx versions for upstreams: early hints (1.29.0) bypass the cache, and a
# response over HTTP/2 (1.29.4) is stored like any other.
use strict;
use warnings;

use FindBin '$Bin';
use IO::Socket::INET;
use lib "$Bin/..";
use Scene;
use Test::More;
use Weir::Edge::Nginx 'nginx_version';

plan skip_all => 'this nginx can neither' if nginx_version() < 1_029_004;

start_upstream(sub {
    my ($path, $request, $n) = @_;
    my $fields = "Link: </style.css>; rel=preload\r\nCache-Control: no-store\r\n";
    return "HTTP/1.1 103 Early Hints\r\n$fields\r\n"
        . answer('200 OK', ['Cache-Control: max-age=600'], "answer $n\n");
});

my $second = free_port();
start_edge(<<"HTTP", <<"SERVER");
    weir_cache_zone answers 1m;
    server {
        listen 127.0.0.1:$second;
        http2 on;
        add_header Cache-Control max-age=600;
        return 200 "\$server_protocol \$request_id";
    }
HTTP
    weir_cache answers;
    location /hints { early_hints 1; proxy_pass http://UPSTREAM; }
    location /two   { proxy_http_version 2; proxy_pass http://127.0.0.1:$second; }
SERVER

sub raw {
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . port_of_edge()) or die $!;
    print $socket "GET $_[0] HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    local $/;
    return scalar <$socket>;
}

like raw('/hints'),
    qr{^HTTP/1.1 103 .*?Link: </style.css>.*\r\n\r\nHTTP/1.1 200 OK\r\n.*answer 1\n\z}s,
    'early hints reach the client before the answer';
my $hit = raw('/hints');
like $hit, qr{^HTTP/1.1 200 OK\r\n.*Weir; hit;.*answer 1\n\z}s,
    'what they said of storing is said of them alone';
unlike $hit, qr{Link: }, 'a hit has none of their fields';

my @answers = map { get('/two') } 1 .. 2;
like $answers[0]{content}, qr{^HTTP/2\.0 \w{32}$}, 'the upstream is asked by HTTP/2';
is $answers[1]{content}, $answers[0]{content}, 'and its answer is a hit the next time';
like cache_status($answers[1]), qr/^Weir; hit; ttl=/, 'as Cache-Status says';

done_testing;
