# A stored response replaces the upstream's: at once, also if the body of the error is late or
# breaks off, and if the upstream's name has no address. A response about another representation
# changes nothing.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Crowd;
use IO::Socket::INET;
use Test::More;
use Weir::Processes;

my @stale = ('Age: 20', 'Cache-Control: max-age=10, stale-if-error=600');
my $body = join '', map { chr } (0 .. 255) x 1000;
my $long = $body x 12;    # more than nginx hands to a socket at once, 2 MiB

# An upstream that begins an error, and goes on when its gate opens.
my $listener = IO::Socket::INET->new(Listen => 64, LocalAddr => '127.0.0.1:0') or die $!;
my $hanging = $listener->sockport;
spawn('hanging', sub {
    $SIG{CHLD} = 'IGNORE';
    while (1) {
        my $client = $listener->accept or next;
        next if fork;
        my $request = '';
        while (my $line = <$client>) { $request .= $line; last if $line eq "\r\n" }
        my $length = $request =~ m{ /chunked} ? "Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n"
            : "Content-Length: 1000\r\n\r\npart";
        syswrite $client, "HTTP/1.1 503 Busy\r\n$length";
        Crowd::waiting('hang');
        exit;
    }
});

# Names have the address 127.0.0.1 while the gate is closed; then there is no answer.
my $socket = IO::Socket::INET->new(Proto => 'udp', LocalAddr => '127.0.0.1:0') or die $!;
my $dns = $socket->sockport;
spawn('dns', sub {
    while (defined(my $from = $socket->recv(my $query, 512))) {
        next if !-e "$dir/gate-dns";
        my $name = substr $query, 12, index($query, "\0", 12) - 12 + 5;
        $socket->send(substr($query, 0, 2)
            . "\x81\x80\0\1\0\1\0\0\0\0$name\xc0\x0c\0\1\0\1\0\0\0\1\0\4\x7f\0\0\1",
            0, $from);
    }
});
hold('dns');

start_upstream(sub {
    my ($path, $request, $n) = @_;
    if ($path =~ m{^/etag/(.*)}) {
        my ($first, $second) = $1 eq 'strong' ? ('"a"', '"b"') : $1 eq 'same' ? ('"a"', '"a"')
            : $1 eq 'weak' ? ('W/"a"', 'W/"b"') : ('W/"a"', 'W/"a"');
        return answer('200 OK', ["ETag: $first", 'Age: 20', 'Cache-Control: max-age=10'],
            "body of $first")
            if $n == 1;
        return $request =~ /^If-None-Match/mi
            ? "HTTP/1.1 304 Not Modified\r\nETag: $second\r\nCache-Control: max-age=600\r\n\r\n"
            : answer('200 OK', ["ETag: $second"], "body of $second");
    }
    if ($path =~ m{^/items}) {
        my ($host) = $request =~ /^Host: (\S+)/mi;
        return $request =~ /^POST/ ? answer('201 Created', ["Location: http://$host/items/7"], '')
            : answer('200 OK', ['Cache-Control: max-age=600'], "answer $n");
    }
    if ($request =~ /^Range: bytes=(\d+)-(\d+)/mi) {
        my $last = $2 < length $body ? $2 : length($body) - 1;
        return answer('206 Partial Content',
            ["Content-Range: bytes $1-$last/" . length $body, 'ETag: "s"',
                'Cache-Control: max-age=600'],
            substr $body, $1, $last - $1 + 1);
    }
    return answer('200 OK', \@stale, $long) if $path =~ /long/;
    return answer('200 OK', \@stale, "good $path");
});
my $port = (split /:/, Weir::Upstream::upstream())[1];

start_edge(<<"HTTP", <<"SERVER");
    weir_cache_zone main 64m;
    weir_breaker_zone breakers 1m;
    resolver 127.0.0.1:$dns valid=1s ipv6=off;
    resolver_timeout 200ms;
    map \$http_x_fail \$up { default UPSTREAM; 1 127.0.0.1:$hanging; }
HTTP
    proxy_http_version 1.1;
    weir_cache main;
    weir_cache_max_size 8m;
    weir_cache_key \$request_uri;
    location / { proxy_pass http://\$up; }
    location /unbuffered { proxy_buffering off; proxy_pass http://\$up; }
    location /page {
        weir_cache_use_stale http_503;
        error_page 503 = /nothing;
        proxy_pass http://\$up;
    }
    location /name { set \$name backend.test; proxy_pass http://\$name:$port; }
    location /breaker {
        set \$other other.test;
        weir_breaker zone=breakers key=names failures=3;
        proxy_pass http://\$other:$port;
    }
    location /items { proxy_pass http://UPSTREAM; }
    location /api/ { proxy_pass http://UPSTREAM/; }
    location /slice {
        slice 64k;
        weir_cache_key \$uri\$slice_range;
        proxy_set_header Range \$slice_range;
        proxy_pass http://UPSTREAM;
    }
SERVER

# --- errors ---

hold('hang');
for my $path (map { ("/$_", "/unbuffered/$_", "/page/$_") } 'length', 'chunked') {
    get($path);
    for my $method ('GET', 'HEAD') {
        my $r = request($method, $path, { 'X-Fail' => 1 });
        is "$r->{status} $r->{content}", $method eq 'HEAD' ? '200 ' : "200 good $path",
            "$method $path: the stale response, before the error has ended";
        like cache_status($r), qr/fwd-status=503; detail=stale-if-error/,
            '... as Cache-Status says';
    }
}
# The client has its answer to the end, however slowly it reads, and its connection.
for my $path ('/long', '/unbuffered/long') {
    get($path);
    my $client = connection() or die $!;
    for my $time ('first', 'second') {
        print $client "GET $path HTTP/1.1\r\nHost: x\r\nX-Fail: 1\r\n\r\n";
        my ($head, $read, $left) = ('', '');
        while (defined(my $line = <$client>)) { $head .= $line; last if $line eq "\r\n" }
        like $head, qr/fwd-status=503; detail=stale-if-error/,
            "$path, the $time time on one connection: the stale response";
        like $head, qr/^Connection: keep-alive\r$/m, '... which keeps the connection';
        $left = length $long;
        while ($left && (my $n = read $client, my $bytes, $left)) { $read .= $bytes; $left -= $n }
        ok $read eq $long, '... and is whole for a client that reads late'
            or diag length($read), ' of ', length $long;
    }
}
let_go('hang');
my $r = get('/length', { 'X-Fail' => 1 });
is $r->{content}, 'good /length', 'an error that breaks off does not matter either';

# --- names ---

is get('/name')->{content}, 'good /name', 'a name that has an address';
let_go('dns');
until_true('its address is forgotten', sub { $r = get('/name'); cache_status($r) =~ /detail/ });
is "$r->{status} $r->{content}", '200 good /name', 'without one the stale response is served';
like cache_status($r), qr/detail=stale-if-error/, '... as for an error';
is_deeply [map { get('/breaker')->{status} } 1 .. 5], [502, 502, 502, 503, 503],
    'and it is a failure for the breaker';

# --- 304 about something else ---

for (['strong', '"a"', '"b"'], ['weak', 'W/"a"', 'W/"b"'], ['same', '"a"', '"a"'],
    ['same weak', 'W/"a"', 'W/"a"']) {
    my ($name, $first, $second) = @$_;
    (my $path = "/etag/$name") =~ s/ /-/;
    get($path);
    my @r = map { get($path) } 1, 2;
    is "$r[0]{headers}{etag} $r[0]{content}", "$first body of $first",
        "304 with another ETag ($name): nothing is relabelled";
    my $kept = $first eq $second;
    is "$r[1]{headers}{etag} $r[1]{content}", "$second body of $second",
        $kept ? '... a 304 with the same one renews' : '... and the next answer is whole';
    like cache_status($r[1]), $kept ? qr/; hit;/ : qr/fwd-status=200/, '... as Cache-Status says';
}

# --- Location ---

for my $prefix ('', '/api') {
    my $old = get("$prefix/items/7")->{content};
    is get("$prefix/items/7")->{content}, $old, "$prefix/items/7 is stored";
    like request('POST', "$prefix/items", {}, 'x')->{headers}{location}, qr{\Q$prefix\E/items/7$},
        'a Location that proxy_redirect rewrites';
    isnt get("$prefix/items/7")->{content}, $old, '... is invalid as the client sees it';
}

# --- slices ---

for my $range ('10-20', '65530-65545', '70000-200000', '255990-') {
    for my $time ('first', 'second') {
        my $r = get('/slice', { Range => "bytes=$range" });
        my ($from, $to) = $range =~ /(\d+)-(\d*)/;
        is $r->{status}, 206, "bytes $range of a response in slices, the $time time";
        ok $r->{content} eq substr($body, $from, ($to || length($body) - 1) - $from + 1),
            '... are those bytes';
    }
}
is length(get('/slice')->{content}), length $body, 'and the whole';

is scalar(logged(qr/\[(?:alert|crit|emerg)\]/)), 0, 'no alarm';
done_testing;
