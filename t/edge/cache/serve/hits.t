# A response is a miss once and a hit from then on: the second client gets the same response as
# the first, and the upstream is asked once.
use strict;
use warnings;

use FindBin '$Bin';
use IO::Socket::INET;
use lib "$Bin/..";
use Scene;
use Test::More;

my $date = 'Tue, 01 Jan 2030 10:00:00 GMT';    # not in the past: it would make the answer old

start_upstream(sub {
    my ($path, $request, $n) = @_;
    my %fields = (
        '/fields' => ['Cache-Control: max-age=600', "Date: $date",
            'Content-Type: text/plain; charset=utf-8',
            'ETag: "e1"', 'Last-Modified: Mon, 01 Jan 2024 10:00:00 GMT', 'Link: </a>; rel=next',
            'Link: </b>; rel=prev',
            'X-Empty:', 'X-Odd: caf' . "\xe9" . ' "quoted, \"text\""',
            'Location: http://elsewhere/x', 'Content-Language: de',
            'Server: secret', 'X-Hidden: secret', 'Accept-Ranges: bytes',
            'Connection: close, X-Hop', 'X-Hop: 1',
            'Keep-Alive: timeout=5', 'Proxy-Authenticate: Basic', 'Trailer: X-T', 'Upgrade: h2c',
            'Proxy-Connection: close', 'Cache-Status: Origin; hit'],
        '/server' => ['Cache-Control: max-age=600', 'Server: mine', "Date: $date"],
        '/charset' => ['Cache-Control: max-age=600',
            'Content-Type: text/html; level=1; charset=utf-8'],
        '/charset/accel' => ['Cache-Control: max-age=600', 'Content-Type: text/html',
            'X-Accel-Charset: koi8-r'],
        '/rate' => ['Cache-Control: max-age=600', 'X-Accel-Limit-Rate: 12345'],
        '/encoded' => ['Cache-Control: max-age=600', 'Content-Encoding: br',
            'Content-Type: text/html'],
        '/moved' => ['Cache-Control: max-age=600', 'Location: http://UPSTREAM.example/there'],
        '/many-128' => ['Cache-Control: max-age=600', map { "X-$_: 1" } 1 .. 126],    # and Date
        '/many-129' => ['Cache-Control: max-age=600', map { "X-$_: 1" } 1 .. 127],
    );
    $fields{$path} =
        ["Cache-Control: max-age=600, no-cache=\"$1\"", 'Content-Type: text/html', "Date: $date"]
        if $path =~ m{^/named/(.*)};
    (my $bare = $path) =~ s/[?].*//;
    return answer('999 Odd', ['Cache-Control: max-age=600'], 'odd') if $path eq '/odd/status';
    return answer('200 OK', ['Cache-Control: max-age=600', 'Content-Range: bytes 0-1/3'], 'odd')
        if $path eq '/odd/range';
    return answer('204 No Content', ['Cache-Control: max-age=600'], 'odd') if $path eq '/odd/204';
    return answer('200 OK', ['Cache-Control: max-age=600', 'Content-Type: text/html'],
        "$n <!--# include virtual=\"/included\" -->") if $path eq '/ssi';
    return answer($bare eq '/moved' ? '301 Moved Permanently' : '200 OK',
        $fields{$bare} // ['Cache-Control: max-age=600', 'Content-Type: text/html'],
        "answer $n of $path\n");
});

start_edge(<<'HTTP', <<'SERVER');
    charset_map koi8-r windows-1251 { C0 FE; }
    weir_cache_zone hits 1m redis=main;
    weir_cache_zone others 1m redis=main;
    weir_breaker_zone breakers 1m;
    weir_api shop { media_type application/vnd.shop; versions 1 2; default 2; }
HTTP
    weir_cache hits l1=off;
    proxy_hide_header X-Hidden;
    add_header X-Status $weir_cache_status always;
    location /        { proxy_pass http://UPSTREAM; }
    location /server  { proxy_pass_header Server; proxy_pass http://UPSTREAM; }
    location /charset { charset windows-1251; charset_types *; proxy_pass http://UPSTREAM; }
    location /rate    { add_header X-Rate $limit_rate; proxy_pass http://UPSTREAM; }
    location /version { weir_version shop; weir_cache_key $uri; proxy_pass http://UPSTREAM; }
    location /other   { weir_cache others l1=off; weir_cache_key same; proxy_pass http://UPSTREAM; }
    location /key     { weir_cache_key same; proxy_pass http://UPSTREAM; }
    location /outer   {
        proxy_pass http://UPSTREAM;
        location /outer/off { weir_cache off; proxy_pass http://UPSTREAM; }
    }
    location /cond    {
        weir_cache_bypass $http_x_bypass $arg_bypass;
        weir_cache_no_store $http_x_no_store $upstream_http_x_private;
        proxy_pass http://UPSTREAM;
    }
    location /many {
        proxy_buffer_size 16k;
        proxy_buffers 8 16k;
        proxy_busy_buffers_size 32k;
        proxy_pass http://UPSTREAM;
    }
    location /breaker { weir_breaker zone=breakers failures=1 open=1h; proxy_pass http://UPSTREAM; }
    location /try     { try_files /no/such/file @tried; }
    location @tried   { proxy_pass http://UPSTREAM; }
    location /ssi     { ssi on; proxy_pass http://UPSTREAM; }
    location = /static { return 200 here; }
SERVER

# --- a miss, then hits ---

my $r = get('/first');
is cache_status($r), 'Weir; fwd=uri-miss; fwd-status=200; stored',
    'the first answer is a miss and stored';
is $r->{headers}{'x-status'}, 'MISS', '$weir_cache_status of a miss';
is $r->{headers}{age}, undef, 'what comes from the upstream has no age of ours';

my @hits = map { get('/first') } 1 .. 3;
is_deeply [map { $_->{content} } @hits], [("answer 1 of /first\n") x 3],
    'hits have the body of the first answer';
like cache_status($hits[0]), qr/^Weir; hit; ttl=(59\d|600); detail=redis$/, 'Cache-Status of a hit';
like $hits[0]{headers}{age}, qr/^\d$/, 'a hit has an age';
is $hits[0]{headers}{'x-status'}, 'HIT', '$weir_cache_status of a hit';
is asked('/first'), 1, 'the upstream is asked once';
my ($ttl) = cache_status($hits[2]) =~ /ttl=(\d+)/;
is $ttl + $hits[2]{headers}{age}, 600, 'ttl and age make up the lifetime';

is get('/first?x=1')->{content}, "answer 1 of /first?x=1\n", 'another query is another response';
is get('/First')->{content}, "answer 1 of /First\n", 'case matters in a path';
my $port = port_of_edge();
is get("http://localhost:$port/first")->{content}, "answer 2 of /first\n", 'so does the host';
is get("http://LOCALHOST:$port/first")->{content}, "answer 2 of /first\n", 'but not its case';

# --- headers ---

my ($miss, $hit) = map { get('/fields') } 1, 2;
like cache_status($hit), qr/; hit;/, 'a response with many fields is a hit';
for my $name ('content-type', 'etag', 'last-modified', 'link', 'x-empty', 'x-odd', 'location',
    'content-language',
    'cache-control', 'content-length') {
    is_deeply $hit->{headers}{$name}, $miss->{headers}{$name}, "$name is that of the miss";
}
is_deeply $hit->{headers}{link}, ['</a>; rel=next', '</b>; rel=prev'],
    'lines of one name stay lines, in order';
is $hit->{headers}{date}, $date, 'Date is the one of the upstream';
is $hit->{headers}{'cache-status'}[0], 'Origin; hit',
    'the word of a cache nearer to the origin stays first';
is $hit->{headers}{$_}, undef, "$_ is not stored"
    for qw(x-hop keep-alive proxy-authenticate trailer upgrade proxy-connection x-hidden);
unlike $hit->{headers}{server}, qr/secret/, 'Server is hidden as by default';
is_deeply [map { get('/server')->{headers}{server} } 1, 2], ['mine', 'mine'],
    'and kept with proxy_pass_header';
get('/encoded');
is get('/encoded')->{headers}{'content-encoding'}, 'br', 'Content-Encoding is kept';
my ($entry) = entries_of('hits', qr{/fields}, 1);
unlike redis('GET', $entry), qr/secret|timeout=5/, 'what is not kept is not in the entry either';

my ($undated) = entries_of('hits', qr{/first\?x=1\n\z}, 1);
like redis('GET', $undated), qr/Date\w{3}, \d\d /,
    'a response without Date is stored with the time of its arrival (RFC 9110 section 6.6.1)';
like get('/first?x=1')->{headers}{date}, qr/^\w{3}, \d\d /, '... and served with it';
for my $name ('Content-Type', 'Cache-Control') {
    my $first = get("/named/$name");
    my ($named) = entries_of('hits', qr{/named/$name}, 1);
    unlike redis('GET', $named), qr/$name.{0,3}(text|Tue|max-age)/s,
        "$name is not stored when no-cache names it";
}

get('/moved');
$r = get('/moved');
is "$r->{status} $r->{headers}{location}", '301 http://UPSTREAM.example/there',
    'a redirect is a hit with its Location';

# --- keys and zones ---

get('/key/a');
is get('/key/b')->{content},
    'answer 1 of /key/' . (in_world('error_page', 'accel') ? 'b' : 'a') . "\n",
    'one key is one response; behind an internal redirect the place belongs to the key';
is get('/other/a')->{content}, "answer 1 of /other/a\n", 'the same key in another zone is another';

my %accept = map { $_ => { Accept => "application/vnd.shop.v$_+json" } } 1, 2;
my @versions = map { get('/version', $accept{$_})->{content} } 1, 2, 1, 2;
is_deeply \@versions, [map { "answer $_ of /version\n" } 1, 2, 1, 2],
    'versions do not answer for each other';
like cache_status(get('/version', {})), qr/; hit;/,
    'the default version is the same response as when named';

is cache_status(get('/outer/on')), 'Weir; fwd=uri-miss; fwd-status=200; stored',
    'a location inherits the cache';
get('/outer/off') for 1, 2;
is asked('/outer/off'), 2, 'a nested location can turn it off';
is get('/outer/off')->{headers}{'cache-status'}, undef, 'and says nothing then';
is get('/static')->{headers}{'cache-status'}, undef, 'what no upstream answers is not the cache\'s';

# --- conditions ---

get('/cond') for 1, 2;
$r = get('/cond', { 'X-Bypass' => 1 });
is cache_status($r), 'Weir; fwd=bypass; fwd-status=200; stored',
    'weir_cache_bypass asks the upstream';
is $r->{headers}{'x-status'}, 'BYPASS', '$weir_cache_status of it';
is get('/cond')->{content}, $r->{content}, 'its answer takes the old one\'s place';
get('/cond', { 'X-Bypass' => 0 });
is asked('/cond'), 2, '0 is no condition';
$r = get('/cond?n=1', { 'X-No-Store' => 1 });
is cache_status($r), 'Weir; fwd=uri-miss; fwd-status=200', 'weir_cache_no_store';
is cache_status(get('/cond?n=1')), 'Weir; fwd=uri-miss; fwd-status=200; stored', 'was obeyed';
like cache_status(get('/cond?n=1', { 'X-No-Store' => 1 })), qr/; hit;/, 'and does not forbid a hit';

# --- odd upstreams ---

for my $path ('/odd/status', '/odd/range') {
    my $status = $path =~ /range/ ? 200 : 999;
    is cache_status((map { get($path) } 1, 2)[1]), "Weir; fwd=uri-miss; fwd-status=$status",
        "what no edge would take from Redis is not stored: $path";
}
get('/odd/204');
like cache_status(get('/odd/204')), qr/; hit;/, 'a 204 is stored, whatever its Content-Length';

# --- beside other parts of nginx ---

get('/rate');
is get('/rate')->{headers}{'x-rate'}, 12345, 'X-Accel-Limit-Rate limits hits, too';

for (['/charset', 'text/html; level=1; charset=utf-8'],
    ['/charset/accel', 'text/html; charset=koi8-r']) {
    my ($path, $type) = @$_;
    is_deeply [map { get($path)->{headers}{'content-type'} } 1, 2], [$type, $type],
        "a hit has the charset of the first answer: $type";
}

get('/try/x');
like cache_status(get('/try/x')), qr/; hit;/, 'a named location that try_files leads to';
my @included = map { get('/ssi')->{content} =~ /^1 answer (\d) of \/included$/ ? $1 : '' } 1, 2;
is "@included", '1 2', 'a page is stored before SSI; what it includes is asked for each time';

# HTTP::Tiny takes no more than 64 fields
sub raw_get {
    my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") or die $!;
    print $socket "GET $_[0] HTTP/1.0\r\n\r\n";
    local $/;
    return scalar <$socket>;
}
my $many = (map { raw_get('/many-128') } 1, 2)[1];
like $many, qr/Cache-Status: Weir; hit;/, 'a response of 128 fields is stored';
like $many, qr/X-126: 1/, '... with the last of them';
$many = (map { raw_get('/many-129') } 1, 2)[1];
like $many, qr/Cache-Status: Weir; fwd=uri-miss; fwd-status=200\r/, 'one of more is not';
like $many, qr/X-127: 1/, '... but sent with all';
get('/breaker/stored');

# --- an upstream that is not there, and pages of nginx's own ---

stop('upstream', 'TERM');
$r = get('/nobody');
is "$r->{status} " . cache_status($r), '502 Weir; fwd=uri-miss', 'a 502 of nginx is not stored';
like cache_status(get('/first')), qr/; hit;/, 'what is stored is served on';
is_deeply [map { get("/breaker/$_")->{status} } 'x', 'y', 'stored'], [502, 503, 200],
    '... also when the breaker is open';

is scalar(logged(qr/\[(alert|emerg|crit|error)\](?!.*connect\(\) failed|.*breaker)/)), 0,
    'the log has no error';
done_testing;
