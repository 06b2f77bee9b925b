# Methods, conditions and ranges: which requests a stored response answers, and which go to the
# upstream.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use IO::Uncompress::Gunzip ();
use Scene;
use Test::More;

my $modified = 'Mon, 01 Jan 2024 10:00:00 GMT';
my $text = join '', map { "line $_\n" } 1 .. 200;

start_upstream(sub {
    my ($path, $request, $n) = @_;
    my ($method) = $request =~ /^(\S+)/;
    my @fields = ('Cache-Control: max-age=600', 'ETag: "e1"', "Last-Modified: $modified",
        'Content-Type: text/plain',
        "X-Answer: $n", "X-Method: $method");

    return "HTTP/1.1 304 Not Modified\r\nETag: \"e1\"\r\nCache-Control: max-age=600\r\n\r\n"
        if $request =~ /^If-None-Match: "e1"/mi;
    return answer('206 Partial Content', [@fields, 'Content-Range: bytes 0-3/1692'], 'line')
        if $request =~ /^X-Part:/mi;
    return answer('500 Oops', \@fields, 'oops') if $request =~ /^X-Fail:/mi;
    push @fields, "$1: $2" while $request =~ /^X-((?:Content-)?Location): (.*)\r/mig;
    return answer('404 Not Found', \@fields, $text) if $path =~ /missing/;
    my $response = answer('200 OK', \@fields, $text);
    $response =~ s/\r\n\r\n.*/\r\n\r\n/s if $method eq 'HEAD';
    return $response;
});

start_edge('weir_cache_zone methods 1m redis=main; weir_cache_zone memory 1m;', <<'SERVER');
    weir_cache methods l1=off;
    weir_cache_bypass $http_x_bypass;
    weir_cache_get_body bypass;
    location /late/memory { weir_cache memory; proxy_pass http://UPSTREAM; }
    location /      { proxy_pass http://UPSTREAM; }
    location /gzip/ {
        gzip on;
        gzip_types text/plain;
        gzip_http_version 1.0;
        gzip_vary on;
        proxy_pass http://UPSTREAM;
    }
SERVER

sub answer_of { $_[0]{headers}{'x-answer'} // 'none' }

# --- methods ---

get('/page');
my $r = request('HEAD', '/page');
like cache_status($r), qr/; hit;/, 'HEAD is answered from a stored GET';
is "$r->{status} $r->{headers}{'content-length'} " . length($r->{content}),
    '200 ' . length($text) . ' 0',
    '... with its length and without its body';

$r = request('HEAD', '/head');
is cache_status($r), 'Weir; fwd=uri-miss; fwd-status=200', 'a HEAD that is a miss passes';
is $r->{headers}{'x-method'}, 'HEAD', '... as a HEAD';
$r = get('/head');
is cache_status($r), 'Weir; fwd=uri-miss; fwd-status=200; stored', '... and leaves nothing behind';
is $r->{content}, $text, '... not an empty body';

for my $method ('POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'REPORT') {
    get("/for-$method");
    $r = request($method, "/for-$method", {}, $method eq 'DELETE' ? undef : 'x=1');
    is cache_status($r), 'Weir; fwd=method; fwd-status=200',
        "$method is not answered from what is stored";
    is $r->{headers}{'x-method'}, $method, '... but passes';
    request($method, "/only-$method", {}, 'x=1');
    is answer_of(get("/only-$method")), 2, '... and its answer is not stored';
}

# --- section 4.4: what succeeds with an unsafe method ends what is stored ---

for my $method ('POST', 'PUT', 'DELETE', 'PATCH', 'UNKNOWN') {
    get("/changed-$method");
    request($method, "/changed-$method", {}, 'x=1');
    is answer_of(get("/changed-$method")), 3, "a $method that succeeds ends what is stored";
}
for my $method ('OPTIONS', 'HEAD') {
    get("/safe-$method");
    request($method, "/safe-$method");
    like cache_status(get("/safe-$method")), qr/; hit;/, "$method is safe";
}
get('/failed');
request('POST', '/failed', { 'X-Fail' => 1 }, 'x=1');
like cache_status(get('/failed')), qr/; hit;/, 'a POST that fails changes nothing';

for my $field ('Location', 'Content-Location') {
    get("/target-$field");
    request('POST', '/elsewhere', { "X-$field" => "/target-$field" }, 'x=1');
    is answer_of(get("/target-$field")), 2, "$field of a success is ended too";
    request('POST', '/elsewhere',
        { "X-$field" => scheme() . '://127.0.0.1:' . port_of_edge() . "/target-$field#part" },
        'x=1');
    is answer_of(get("/target-$field")), 3, '... as an absolute URI of this server';
    request('POST', '/elsewhere', { "X-$field" => "http://other.example/target-$field" }, 'x=1');
    like cache_status(get("/target-$field")), qr/; hit;/, '... but not of another';
}

get('/body');
for my $body ('x=1', do { my $once = 1; sub { $once-- > 0 ? 'x=1' : undef } }) {
    $r = request('GET', '/body', {}, $body);
    is cache_status($r), 'Weir; fwd=bypass; fwd-status=200',
        'a GET with a body is not looked up' . (ref $body && ', nor a chunked one');
}
is answer_of(get('/body')), 1, '... nor its answer stored';
is answer_of(request('GET', '/body', {}, '')), 1, 'an empty body is none';

# --- conditions, on a hit ---

for (
    [304, 'If-None-Match', '"e1"'],
    [304, 'If-None-Match', '"other", W/"e1"'],
    [304, 'If-None-Match', '*'],
    [200, 'If-None-Match', '"other"'],
    [304, 'If-Modified-Since', $modified],
    [200, 'If-Modified-Since', 'Mon, 01 Jan 2018 10:00:00 GMT'],
    [200, 'If-Match', '"e1"'],
    [412, 'If-Match', '"other"'],
    [412, 'If-Unmodified-Since', 'Mon, 01 Jan 2018 10:00:00 GMT'],
) {
    my ($status, $name, $value) = @$_;
    $r = get('/page', { $name => $value });
    is $r->{status}, $status, "$name: $value is a $status";
    next if $status != 304;
    is $r->{content}, '', '... without a body';
    is $r->{headers}{etag}, '"e1"', '... with the ETag';
    like cache_status($r), qr/; hit;/, '... from the cache';
}
is asked('/page'), 1, 'the upstream is not asked for any of them';
is request('HEAD', '/page', { 'If-None-Match' => '"e1"' })->{status}, 304,
    'HEAD with a condition too';

# --- and on a miss ---

$r = get('/condition', { 'If-None-Match' => '"e1"' });
is "$r->{status} " . cache_status($r), '304 Weir; fwd=uri-miss; fwd-status=200; stored',
    'a condition is decided at the edge';
like cache_status(get('/condition')), qr/; hit;/, '... and the whole answer is stored';

# --- ranges ---

my $length = length $text;
for (
    [206, 'bytes=0-3', 'line', "bytes 0-3/$length"],
    [206, 'bytes=5-5', '1', "bytes 5-5/$length"],
    [206, 'bytes=-4', "200\n", 'bytes ' . ($length - 4) . '-' . ($length - 1) . "/$length"],
    [206, "bytes=" . ($length - 1) . "-", "\n",
        'bytes ' . ($length - 1) . '-' . ($length - 1) . "/$length"],
    [200, 'lines=1-2', $text, undef],
) {
    my ($status, $range, $content, $content_range) = @$_;
    $r = get('/page', { Range => $range });
    is_deeply [@$r{'status', 'content'}, $r->{headers}{'content-range'}],
        [$status, $content, $content_range], "Range: $range";
}
is get('/page', { Range => 'bytes=90000-' })->{status}, 416, 'a range past the end';
$r = get('/page', { Range => 'bytes=0-3,5-5' });
like "$r->{status} $r->{headers}{'content-type'}", qr{^206 multipart/byteranges; boundary=\w+$},
    'several ranges';
like $r->{content}, qr/\r\n\r\nline\r\n.*\r\n\r\n1\r\n/s, '... have their parts';
is get('/page', { Range => 'bytes=0-3', 'If-Range' => '"e1"' })->{status}, 206,
    'If-Range that fits';
is get('/page', { Range => 'bytes=0-3', 'If-Range' => '"e2"' })->{content}, $text,
    'If-Range that does not';
is asked('/page'), 1, 'the upstream is not asked for any of them';

$r = get('/range', { Range => 'bytes=0-3', 'X-Part' => 1 });
is "$r->{status} " . cache_status($r), '206 Weir; fwd=uri-miss; fwd-status=206; stored',
    'a 206 of the upstream is stored';
$r = get('/range', { Range => 'bytes=1-2' });
is "$r->{status} $r->{content} $r->{headers}{'content-range'}", "206 in bytes 1-2/$length",
    '... as the part that it is';
like cache_status($r), qr/; hit;/, '... of which ranges are served';
is get('/range')->{content}, $text, '... and does not answer for the whole';

for my $path ('/late/redis', '/late/memory') {
    get($path, { Range => 'bytes=0-3', 'X-Part' => 1 });
    get($path);
    like cache_status(get($path)), qr/; hit;/, "$path: a whole takes the place of a part";
    is answer_of(get($path, { Range => 'bytes=0-3', 'X-Part' => 1, 'X-Bypass' => 1 })), 3,
        '... a part may come late';
    is_deeply [@{ get($path) }{'status', 'content'}], [200, $text],
        '... and does not take the place of the whole';
    is asked($path), 3, '... which still answers';
}

$r = get('/whole', { Range => 'bytes=0-3' });
is cache_status($r), 'Weir; fwd=uri-miss; fwd-status=200; stored',
    'a whole answer to a range is stored';
$r = get('/whole');
is_deeply [@$r{'status', 'content'}], [200, $text], '... whole';
get('/missing');
$r = get('/missing', { Range => 'bytes=0-3' });
is_deeply [@$r{'status', 'content'}], [404, $text], 'no range is cut out of a 404';

# --- gzip ---

for my $n (1, 2) {
    $r = get('/gzip/x', { 'Accept-Encoding' => 'gzip' });
    IO::Uncompress::Gunzip::gunzip(\$r->{content}, \my $plain);
    is_deeply [$r->{headers}{'content-encoding'}, $plain, $r->{headers}{etag}],
        ['gzip', $text, 'W/"e1"'],
        'gzip on ' . ($n == 1 ? 'a miss' : 'a hit');
    is $r->{headers}{vary}, 'Accept-Encoding', '... with Vary';
}
$r = get('/gzip/x');
is_deeply [$r->{content}, $r->{headers}{'content-encoding'}, $r->{headers}{etag}],
    [$text, undef, '"e1"'],
    'what is stored is not compressed';
is answer_of($r), 1, '... and is one response';

is scalar(logged(qr/\[(alert|emerg|crit|error)\]/)), 0, 'the log has no error';
done_testing;
