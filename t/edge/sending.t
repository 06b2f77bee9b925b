# Every response that the edge makes itself arrives whole, also where nginx's
# senders take it and cannot send it at once: over TLS, over HTTP/2 beside a
# download, pipelined to a client that reads late, with limit_rate.
use strict;
use warnings;

use FindBin '$Bin';
use IO::Socket::INET;
use lib "$Bin/cache", "$Bin/../lib";
use Scene;
use Test::More;
use Weir::Edge::Nginx qw(http2_directives make_certificate);
use Weir::Http2;
use Weir::Processes;

my $long = 'p' x 3000;    # more than postpone_output

start_upstream(sub {
    my ($path) = @_;
    return "HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n\r\n"
        if $_[2] > 1 && $path =~ m{^/validated};
    return answer('500 Internal Server Error', [], 'x' x 100)
        if $_[2] > 1 && $path =~ m{^/if-error};
    return answer('200 OK',
        ['Cache-Control: max-age=' . ($path =~ m{^/(validated|stale|if-error)} ? 0 : 600),
            'ETag: "1"', "X-Long: $long"],
        $path =~ m{^/download} ? 'd' x 4_000_000 : "body of $path");
});

my ($tls, $http2) = (free_port(), free_port());
my ($listen, $on) = http2_directives();
my $server = <<"SERVER";
        weir_cache z;
        proxy_buffers 64 128k; proxy_buffer_size 16k; proxy_busy_buffers_size 256k;
        weir_cache_max_size 8m;
        add_header X-More $long always;
        location /         { proxy_pass http://UPSTREAM; }
        location /slow     { limit_rate 1500; proxy_pass http://UPSTREAM; }
        location /stale    { weir_cache_use_stale updating; proxy_pass http://UPSTREAM; }
        location /if-error { weir_cache_use_stale http_5xx; proxy_pass http://UPSTREAM; }
        location /version  { weir_version shop; proxy_pass http://UPSTREAM; }
        location /breaker {
            weir_breaker zone=breakers failures=1 open=1h;
            proxy_pass http://127.0.0.1:1;
        }
        location /status   { weir_status; }
        location /purge    { weir_cache_purge on; proxy_pass http://UPSTREAM; }
SERVER

make_certificate('a.test');

start_edge(<<"HTTP", $server);
    weir_cache_zone z 16m redis=main;
    weir_breaker_zone breakers 1m;
    weir_api shop { media_type application/vnd.shop; versions 1 2; default 2; }
    server {
        listen 127.0.0.1:$tls ssl $listen;
        $on ssl_certificate $dir/certificate;
        ssl_certificate_key $dir/key;
        $server
    }
    server { listen 127.0.0.1:$http2 $listen sndbuf=32k; $on $server }
HTTP
my $plain = port_of_edge();

# path, curl's arguments, status and body of the last response
my @asked = (
    ['a hit',                 '/hit',       [], 2, 200, qr{^body of /hit}],
    ['a hit of HEAD',         '/hit',       ['-I'], 2, 200, undef],
    ['a hit with limit_rate', '/slow',      [], 2, 200, qr{^body of /slow}],
    ['a range of a hit',      '/hit',       ['-r', '0-3'], 2, 206, qr{^body$}],
    ['a range that is none',  '/hit',       ['-r', '1000-'], 2, 416, qr{416}],
    ['a condition that fails', '/hit',      ['-H', 'If-Match: "2"'], 2, 412, qr{412}],
    ['304 of a hit',          '/hit',       ['-H', 'If-None-Match: "1"'], 2, 304, undef],
    ['a stale hit',           '/stale',     [], 2, 200, qr{^body of /stale}],
    ['a validated response',  '/validated', [], 2, 200, qr{^body of /validated}],
    ['stale-if-error',        '/if-error',  [], 2, 200, qr{^body of /if-error}],
    ['only-if-cached',        '/none',      ['-H', 'Cache-Control: only-if-cached'], 1, 504,
        qr{"status":504}],
    ['406',                   '/version',   ['-H', 'Accept: application/vnd.shop.v9+json'], 1, 406,
        qr{"status":406}],
    ['503 of the breaker',    '/breaker',   [], 2, 503, qr{"status":503}],
    ['weir_status',           '/status',    [], 1, 200, qr{"caches"}],
    ['PURGE',                 '/purge',     ['-X', 'PURGE'], 1, 200, qr{"invalidated":"key"}],
    ['PURGE with a mistake',  '/purge',     ['-X', 'PURGE', '-H', 'Weir-Soft: x'], 1, 400,
        qr{"status":400}],
);

my @worlds = (
    ['HTTP/1.1', "http://127.0.0.1:$plain"],
    ['TLS',      "https://127.0.0.1:$tls", '--http1.1', '-k'],
    ['HTTP/2',   "https://127.0.0.1:$tls", '--http2', '-k'],
);

for (@worlds) {
    my ($world, $url, @options) = @$_;
    for (@asked) {
        my ($what, $path, $arguments, $times, $status, $body) = @$_;
        my ($out, $exit);
        for (1 .. $times) {
            open my $curl, '-|', 'curl', '-s', '-m', 10, '-w', '\n%{http_code}', @options,
                @$arguments, "$url$path?$world"
                or die $!;
            local $/;
            $out = <$curl>;
            close $curl;
            $exit = $?;
        }
        my $got = $out =~ s/\n(\d+)\z// ? $1 : 0;
        ok $exit == 0 && $got == $status && (!$body || $out =~ $body), "$world: $what arrives whole"
            or diag "exit $exit, status $got, ", length $out, " bytes: ", substr $out, 0, 200;
    }
}

# --- pipelined, to a client with a small buffer that reads late ---

# The body at the position in a text, which moves behind it; undef if it is broken.
sub content_at {
    my ($out, $fields) = @_;
    my $content = '';
    if ($fields =~ /^Content-Length: (\d+)\r$/m) {
        $content = substr $$out, pos $$out, $1;
        pos($$out) += length $content;
        return length $content == $1 ? $content : undef;
    }
    return undef if $fields !~ /^Transfer-Encoding: chunked\r$/m;
    while ($$out =~ /\G([0-9a-f]+)\r\n/gc) {
        my $size = hex $1;
        $content .= substr $$out, pos $$out, $size;
        pos($$out) += $size;
        return undef if $$out !~ /\G\r\n/gc;
        return $content if $size == 0;
    }
    return undef;
}

sub pipelined {
    my ($what, $n, $path, $headers, $status, $body) = @_;
    my $socket = IO::Socket::INET->new(Proto => 'tcp') or die $!;
    $socket->sockopt(SO_RCVBUF, 4096);
    $socket->connect(pack_sockaddr_in($plain, inet_aton('127.0.0.1'))) or die $!;
    my $request = "GET $path HTTP/1.1\r\nHost: a.test\r\n$headers";
    my $sender = fork // die $!;
    if (!$sender) {    # it may have to wait until something is read
        print $socket "$request\r\n" x ($n - 1), $request, "Connection: close\r\n\r\n";
        $socket->flush;
        POSIX::_exit(0);
    }
    my ($out, $wrong, $whole) = ('', 0, 0);
    # until the window is full there is nothing that could not be sent
    until_true('the answers come', sub {
        my $n = pack 'L', 0;
        ioctl $socket, 0x541B, $n;
        unpack('L', $n) > 2000;
    });
    while (sysread $socket, $out, 1000, length $out) { }
    waitpid $sender, 0;
    while ($out =~ m{\GHTTP/1\.1 (\d+) .*?\r\n((?:.+\r\n)*)\r\n}gc) {
        my ($got, $fields) = ($1, $2);
        my $content = content_at(\$out, $fields);
        $got == $status && defined $content && $content =~ $body ? $whole++ : $wrong++;
    }
    is "$whole, $wrong", "$n, 0", "pipelined: $n times $what, none broken";
}

pipelined('a hit', 200, '/hit', '', 200, qr{^body of /hit$});
pipelined('stale-if-error', 100, '/if-error', '', 200, qr{^body of /if-error$});
pipelined('406', 200, '/version', "Accept: application/vnd.shop.v9+json\r\n", 406,
    qr{^\{"type".*\}\s*$}s);
pipelined('503', 100, '/breaker', '', 503, qr{^\{"type".*\}\s*$}s);
pipelined('weir_status', 100, '/status', '', 200, qr{^\{.*"caches".*\}\s*$}s);

# --- over HTTP/2, beside a download that fills the socket ---

my $client = Weir::Http2->new($http2, receive => 4096);
is $client->get('/hit')->{body}, 'body of /hit', 'HTTP/2: a hit';
my $download = $client->open('GET', '/download', 1);
until_true('the download has begun', sub { asked('/download') });
my @streams =
    map { [$_, $client->open('GET', $_, 1, accept => 'application/vnd.shop.v9+json')] } ('/hit',
    '/version', '/breaker', '/status') x 5;
is length $client->answer($download)->{body}, 4_000_000, 'the download is whole';
my %body = ('/hit' => qr{^body of /hit$}, '/version' => qr{406}, '/breaker' => qr{503},
    '/status' => qr{caches});
my @broken = grep {
    my $answer = $client->answer($_->[1]);
    !$answer->{ended} || $answer->{body} !~ $body{ $_->[0] };
} @streams;
is_deeply [map { $_->[0] } @broken], [],
    'HTTP/2: beside a download none of 20 answers is reset or cut';

is scalar(logged(qr/\[alert\]|exited on signal/)), 0, 'no worker died';

done_testing;
