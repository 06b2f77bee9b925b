# Which responses are stored, and for how long: the upstream's Cache-Control, Expires, Age and
# Date, weir_cache_valid without them, and the request's Cache-Control. The tables have the
# response's fields and the expected result: a lifetime in seconds, with the age at arrival, or
# "not stored".
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Scene;
use Test::More;

sub dated { my ($name, $seconds) = @_; "$name: " . http_date($seconds) }

my @responses = (
    # Cache-Control (RFC 9111 section 5.2.2)
    [60, 'Cache-Control: max-age=60'],
    [60, 'cache-control: MAX-AGE=60'],
    [60, 'Cache-Control: max-age="60"'],
    [60, 'Cache-Control: public, , max-age=60,'],
    [60, 'Cache-Control: max-age=60, max-age=90'],
    [90, 'Cache-Control: max-age=60, s-maxage=90'],
    [30, 'Cache-Control: s-maxage=30', 'Cache-Control: max-age=60'],
    [60, 'Cache-Control: unknown="a, no-store", max-age=60'],
    [60, 'Cache-Control: max-age=60', dated('Expires', 5)],
    [60, 'Cache-Control: max-age=60, must-revalidate'],
    [60, 'Cache-Control: max-age=60, stale-while-revalidate=5, immutable'],
    [2147483648, 'Cache-Control: max-age=99999999999999999999'],
    ['not stored', 'Cache-Control: max-age=0'],
    ['not stored', 'Cache-Control: max-age=60, s-maxage=0'],
    ['not stored', 'Cache-Control: max-age=-1'],
    ['not stored', 'Cache-Control: max-age=1.5'],
    ['not stored', 'Cache-Control: max-age'],
    ['not stored', 'Cache-Control: max-age=x', 'Cache-Control: max-age=60'],
    ['not stored', 'Cache-Control: no-store, max-age=60'],
    ['not stored', 'Cache-Control: max-age=60', 'Cache-Control: No-Store'],
    ['not stored', 'Cache-Control: private, max-age=60'],
    ['not stored', 'Cache-Control: no-cache, max-age=60'],
    ['not stored', 'Cache-Control: public'],
    ['not stored', 'X-Nothing: here'],

    # fields that are not for everyone
    [60, 'Cache-Control: max-age=60, private="x-mine"', 'X-Mine: 1'],
    [60, 'Cache-Control: max-age=60, no-cache="X-Other, X-Mine"', 'X-Mine: 1'],
    ['not stored', 'Cache-Control: max-age=60, private=""'],

    # must-understand (section 5.2.2.3)
    [60, 'Cache-Control: must-understand, no-store, max-age=60'],
    ['not stored', '299 Odd', 'Cache-Control: must-understand, no-store, max-age=60'],
    ['not stored', '299 Odd', 'Cache-Control: must-understand, max-age=60'],
    [60, '299 Odd', 'Cache-Control: max-age=60'],

    # Expires (section 5.3)
    [100, dated('Expires', 100), dated('Date', 0)],
    ['100 old 50', dated('Expires', 50), dated('Date', -50)],
    [2147483648, 'Expires: Fri, 31 Dec 9999 23:59:59 GMT'],
    ['not stored', 'Expires: 0'],
    ['not stored', 'Expires: Thu, 01 Jan 1970 00:00:00 GMT'],
    ['not stored', dated('Expires', 100), dated('Date', 100)],
    ['not stored', 'Expires: 0', dated('Expires', 100)],

    # an age that is there already (section 4.2.3)
    ['60 old 50', 'Cache-Control: max-age=60', 'Age: 50'],
    ['60 old 40', 'Cache-Control: max-age=60', dated('Date', -40)],
    ['60 old 50', 'Cache-Control: max-age=60', dated('Date', -40), 'Age: 50'],
    [60, 'Cache-Control: max-age=60', 'Age: old'],
    [60, 'Cache-Control: max-age=60', dated('Date', 500)],
    ['not stored', 'Cache-Control: max-age=60', 'Age: 60'],
    ['not stored', 'Cache-Control: max-age=60', dated('Date', -70)],
    ['not stored', 'Cache-Control: max-age=60', 'Age: 99999999999999999999'],

    # other reasons
    ['not stored', 'Cache-Control: max-age=60', 'Set-Cookie: a=b'],
    ['not stored', 'Cache-Control: max-age=60', 'Vary: *'],
    ['not stored', 'Cache-Control: max-age=60', 'Vary: a b'],
    ['not stored', '206 Partial Content', 'Cache-Control: max-age=60',
        'Content-Range: bytes 0-1/9'],
    [60, '404 Not Found', 'Cache-Control: max-age=60'],
    [60, '500 Oops', 'Cache-Control: max-age=60'],
    [60, '302 Found', 'Cache-Control: max-age=60', 'Location: /x'],
);

my @valid = (
    # weir_cache_valid 1m; weir_cache_valid 404 410 30s; weir_cache_valid any 10s; weir_cache_valid
    # 503 1h;
    [60, '/valid', '200 OK'],
    [60, '/valid', '301 Moved', 'Location: /x'],
    [60, '/valid', '302 Found', 'Location: /x'],
    [30, '/valid', '404 Not Found'],
    [30, '/valid', '410 Gone'],
    [10, '/valid', '203 Other'],
    [10, '/valid', '503 Busy'],    # the first that fits, as in proxy_cache_valid
    [90, '/valid', '200 OK', 'Cache-Control: max-age=90'],
    ['not stored', '/valid', '200 OK', 'Cache-Control: max-age=0'],
    ['not stored', '/valid', '200 OK', 'Cache-Control: no-cache'],
    ['not stored', '/valid', '200 OK', 'Expires: 0'],
    ['not stored', '/valid', '206 Partial Content', 'Content-Range: bytes 0-1/9'],
    ['not stored', '/none', '200 OK'],

    # weir_cache_heuristic 10%
    [100, '/heuristic', '200 OK', dated('Last-Modified', -1000), dated('Date', 0)],
    ['300 old 100', '/heuristic', '404 Not Found', dated('Last-Modified', -3100),
        dated('Date', -100)],
    [86400, '/heuristic', '200 OK', 'Last-Modified: Wed, 01 Jan 2020 00:00:00 GMT',
        dated('Date', 0)],
    [100, '/heuristic', '599 Odd', 'Cache-Control: public', dated('Last-Modified', -1000),
        dated('Date', 0)],
    [60, '/heuristic', '200 OK', 'Cache-Control: max-age=60', dated('Last-Modified', -1000),
        dated('Date', 0)],
    ['not stored', '/heuristic', '599 Odd', dated('Last-Modified', -1000), dated('Date', 0)],
    ['not stored', '/heuristic', '200 OK', dated('Date', 0)],
    ['not stored', '/none', '404 Not Found'],

    # weir_cache_ignore_headers
    [60, '/ignore/cache-control', '200 OK', 'Cache-Control: no-store'],
    ['not stored', '/ignore/cache-control', '200 OK', 'Expires: 0'],
    [60, '/ignore/expires', '200 OK', 'Expires: 0'],
    ['not stored', '/ignore/expires', '200 OK', 'Cache-Control: private'],
    [60, '/ignore/set-cookie', '200 OK', 'Set-Cookie: secret=1', 'Set-Cookie: second=2'],
    [60, '/ignore/vary', '200 OK', 'Vary: *'],
);

my @authorized = (
    # the request has Authorization (section 3.5)
    ['not stored', 'Cache-Control: max-age=60'],
    ['not stored', 'Cache-Control: max-age=60, proxy-revalidate'],
    ['not stored', 'Cache-Control: max-age=60, private="X"'],
    [60, 'Cache-Control: max-age=60, public'],
    [60, 'Cache-Control: max-age=60, must-revalidate'],
    [60, 'Cache-Control: s-maxage=60'],
);

my @rows = (
    (map { my ($want, @fields) = @$_;
        my $status = $fields[0] =~ /^\d/ ? shift @fields : '200 OK';
        { want => $want, location => '', status => $status, fields => \@fields } } @responses),
    (map { my ($want, $location, $status, @fields) = @$_;
        { want => $want, location => $location, status => $status, fields => \@fields } } @valid),
    (map { my ($want, @fields) = @$_;
        { want => $want, location => '', status => '200 OK', fields => \@fields,
            request => { Authorization => 'Basic eDp5' } } } @authorized),
);

start_upstream(sub {
    my ($path, $request, $n) = @_;
    return answer('200 OK', ['Cache-Control: max-age=60', 'Age: 50, 10'], 'old')
        if $path eq '/ages';
    my $row = $path =~ m{/(\d+)$} && $rows[$1]
        || { status => '200 OK', fields => ['Cache-Control: max-age=600', 'Age: 100'] };
    return answer($row->{status}, $row->{fields}, "answer $n\n");
});

start_edge('weir_cache_zone freshness 1m redis=main;', <<'SERVER');
    weir_cache freshness l1=off;
    weir_cache_request_control obey;
    location / { proxy_pass http://UPSTREAM; }
    location /none { weir_cache_valid 404 0; weir_cache_valid 0; proxy_pass http://UPSTREAM; }
    location /heuristic { weir_cache_heuristic 10%; proxy_pass http://UPSTREAM; }
    location /valid {
        weir_cache_valid 1m;
        weir_cache_valid 404 410 30s;
        weir_cache_valid any 10s;
        weir_cache_valid 503 1h;
        proxy_pass http://UPSTREAM;
    }
    location /ignore {
        weir_cache_valid 1m;
        location /ignore/cache-control {
            weir_cache_ignore_headers Cache-Control;
            proxy_pass http://UPSTREAM;
        }
        location /ignore/expires {
            weir_cache_ignore_headers Expires;
            proxy_pass http://UPSTREAM;
        }
        location /ignore/set-cookie {
            weir_cache_ignore_headers Set-Cookie;
            proxy_pass http://UPSTREAM;
        }
        location /ignore/vary {
            weir_cache_ignore_headers Vary;
            proxy_pass http://UPSTREAM;
        }
    }
SERVER

# The result for a second request, in the form of the tables.
sub found {
    my $r = shift;
    my ($ttl) = cache_status($r) =~ /^Weir; hit; ttl=(\d+)/ or return 'not stored';
    my $age = $r->{headers}{age};
    my $lifetime = $ttl + $age;
    # the seconds that the test itself takes
    return $age < 20 ? $lifetime : "$lifetime old " . 10 * int($age / 10);
}

for my $i (0 .. $#rows) {
    my $row = $rows[$i];
    my $path = "$row->{location}/$i";
    my $first = get($path, $row->{request});
    my $second = get($path, $row->{request});
    my $name = join ' | ', $row->{location}, ($row->{status} eq '200 OK' ? () : $row->{status}),
        @{ $row->{fields} };
    is found($second), $row->{want}, "$row->{want}: $name";
    my $says = cache_status($first) =~ /; stored/ ? 'stored' : 'not stored';
    my $want = $row->{want} eq 'not stored' ? 'not stored' : 'stored';
    is $says, $want, '... and said so at once' if $says ne $want;
    is $second->{headers}{'x-mine'}, undef, '... without the field'
        if "@{ $row->{fields} }" =~ /X-Mine/;
    is $second->{headers}{'set-cookie'}, undef, '... without the cookie'
        if $row->{want} ne 'not stored';
}
my @cookies = grep { redis('GET', $_) =~ /secret|second=2/ } keys_of('freshness');
is scalar(@cookies), 0, 'no cookie is in an entry';

# --- what the request says (section 5.2.1) about a response of 600 s, 100 s old ---

my ($hit, $forwarded) = (qr/^Weir; hit; /, qr/^Weir; fwd=request; fwd-status=200; stored$/);
for (
    [$hit, 'Cache-Control: no-store'],
    [$hit, 'Cache-Control: max-age=200'],
    [$hit, 'Cache-Control: min-fresh=400'],
    [$hit, 'Cache-Control: max-stale'],
    [$hit, 'Cache-Control: only-if-cached, no-transform, unknown'],
    [$hit, 'Cache-Control: max-age=200', 'Pragma: no-cache'],
    [$hit, 'Pragma: something'],
    [$hit, 'Authorization: Basic eDp5'],
    [$forwarded, 'Cache-Control: no-cache'],
    [$forwarded, 'cache-control: x, NO-CACHE'],
    [$forwarded, 'Cache-Control: max-age=0'],
    [$forwarded, 'Cache-Control: max-age=99'],
    [$forwarded, 'Cache-Control: max-age=soon'],
    [$forwarded, 'Cache-Control: min-fresh=550'],
    [$forwarded, 'Pragma: no-cache'],
) {
    my ($want, @fields) = @$_;
    my %fields = map { split /: /, $_, 2 } @fields;
    get('/old');
    like cache_status(get('/old', \%fields)), $want, "@fields";
}

my $r = get('/no-store', { 'Cache-Control' => 'no-store' });
is cache_status($r), 'Weir; fwd=uri-miss; fwd-status=200',
    'a request with no-store leaves nothing behind';

for (['/only', 'only-if-cached'], ['/old', 'only-if-cached, no-cache']) {
    my ($path, $cc) = @$_;
    my $before = asked($path);
    $r = get($path, { 'Cache-Control' => $cc });
    is "$r->{status} $r->{headers}{'content-type'}", '504 application/problem+json',
        "$path $cc is a 504";
    like $r->{content}, qr/"title":"Not in the cache","status":504/, '... which says why';
    is asked($path), $before, '... and the upstream is not asked';
}
is get('/pragma', { Pragma => 'only-if-cached' })->{status}, 200, 'Pragma knows no-cache only';
like cache_status(get('/pragma', { Pragma => 'no-store, max-age=1' })), $hit,
    '... and nothing else';

get('/ages');
is found(get('/ages')), '60 old 50', 'of several members of Age the first counts (section 5.1)';

my ($ignoring) = grep { $rows[$_]{location} eq '/ignore/cache-control' } 0 .. $#rows;
like cache_status(get("/ignore/cache-control/$ignoring", { 'Cache-Control' => 'no-cache' })), $hit,
    'ignored are the directives of requests too';

is scalar(logged(qr/\[(alert|emerg|crit|error)\]/)), 0, 'the log has no error';
done_testing;
