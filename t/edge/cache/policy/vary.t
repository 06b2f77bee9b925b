# Variants: which request fields a response depends on, and which requests have
# them alike (RFC 9111 section 4.1).
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Scene;
use Test::More;

my %vary = (
    '/language' => ['Vary: Accept-Language'],
    '/lines' => ['Vary: Accept-Language', 'Vary: X-A, accept-language'],
    '/origin' => ['Vary: Origin'],
    '/empty' => ['Vary:'],
    '/sixteen' => ['Vary: ' . join ',', map { "F$_" } 1 .. 16],
    '/seventeen' => ['Vary: ' . join ',', map { "F$_" } 1 .. 17],
    '/long' => ['Vary: ' . 'N' x 64],
    '/longer' => ['Vary: ' . 'N' x 65],
    '/star' => ['Vary: Accept', 'Vary: *'],
    '/short-lived' => ['Vary: Accept-Language'],
    '/set' => ['Vary: API-Version, Accept', 'Content-Type: application/json'],
    '/raw' => ['Vary: API-Version', 'Content-Type: application/json'],
    '/other' => ['Vary: API-Version', 'Content-Type: application/json'],
    '/version' => ['Vary: Accept-Language', 'Content-Type: application/json'],
);

start_upstream(sub {
    my ($path, $request, $n) = @_;
    (my $bare = $path) =~ s{^(/[\w-]+).*}{$1};
    my @fields = @{ $vary{$bare} // [] };
    my $age = 600;
    if ($bare eq '/changing') {
        @fields = ($request =~ /^Accept-Language: de/mi) ? 'Vary: Accept-Language'
            : $request =~ /^X-A/mi ? 'Vary: X-A' : ();
    }
    $age = 20 if $bare eq '/short-lived' && $request =~ /^Accept-Language: en/mi;
    return answer('200 OK', ["Cache-Control: max-age=$age", @fields], "answer $n of $path");
});

start_edge(<<'HTTP', <<'SERVER');
    weir_cache_request_control obey;
    weir_cache_zone vary 1m redis=main;
    weir_api shop { media_type application/vnd.shop; versions 1 2; default 2; header API-Version; }
HTTP
    weir_cache vary l1=off;
    location / { proxy_pass http://UPSTREAM; }
    location /version { weir_version shop; proxy_pass http://UPSTREAM; }
    location /set {
        weir_version shop;
        proxy_set_header api-version $weir_version;
        proxy_set_header Accept $weir_media_type;
        proxy_pass http://UPSTREAM;
    }
    location /raw { weir_version shop; proxy_pass http://UPSTREAM; }
    location /other {
        weir_version shop;
        proxy_set_header API-Version "x$http_api_version";
        proxy_pass http://UPSTREAM;
    }
SERVER

my $serial = 0;

# The number of the answer that each of the requests gets on a path of its own.
sub answers {
    my ($path, @requests) = @_;
    $path .= '/' . ++$serial;
    return [map { (get($path, $_)->{content} =~ /^answer (\d+)/)[0] } @requests];
}

sub language { +{ 'Accept-Language' => $_[0] } }

# --- fields that are no lists ---

my @origins = ('http://a.test, http://b.test', 'http://a.test,http://b.test',
    'http://a.test ,http://b.test', 'http://a.test  http://b.test',
    'http://a.test http://b.test', 'HTTP://a.test http://b.test', '"a"',
    ['http://a.test', 'http://b.test'], ['http://b.test', 'http://a.test'],
    ['http://a.test', ''], 'http://a.test');
is_deeply answers('/origin', (map { +{ Origin => $_ } } @origins) x 2), [(1 .. @origins) x 2],
    'their values are compared byte by byte and line by line';

# --- two variants ---

my @statuses = map { cache_status(get('/language', language($_))) } 'de', 'de', 'en', 'en', 'de';
is $statuses[0], 'Weir; fwd=uri-miss; fwd-status=200; stored', 'the first variant is a miss';
is $statuses[2], 'Weir; fwd=vary-miss; fwd-status=200; stored',
    'a second Accept-Language is a second variant';
like $statuses[$_], qr/; hit;/, "request $_ is a hit" for 1, 3, 4;
is asked('/language'), 2, 'the upstream is asked once for each';
is get('/language', language('de'))->{content}, 'answer 1 of /language',
    'de gets what was made for de';
is get('/language', language('en'))->{content}, 'answer 2 of /language', 'en what was made for en';
is get('/language', language('en'))->{headers}{vary}, 'Accept-Language', 'a hit has Vary';
is request('HEAD', '/language', language('en'))->{headers}{'content-length'}, 21,
    'HEAD is answered from a variant';

# --- which values are alike ---

for (
    ['an absent field is a variant', [1, 1, 2, 1], {}, {}, language('de'), {}],
    ['an empty field is not an absent one', [1, 2, 1, 2], {}, language(''), {}, language('')],
    ['spaces around commas mean nothing', [1, 1, 1, 1],
        map { language($_) } 'de, en', 'de,en', "de ,\t en", ',de,, en,'],
    ['runs of spaces are one', [1, 1, 2], map { language($_) } 'de  en', "de\ten", 'deen'],
    ['lines are one list', [1, 1], language('de, en'), language(['de', 'en'])],
    ['languages have weights, and so no order', [1, 1, 2],
        map { language($_) } 'de, en;q=0.5', 'en; q=0.5,de', 'en, de;q=0.5'],
    ['their case means nothing', [1, 1], language('de'), language('DE')],
    ['what is quoted is left as it is', [1, 2, 1],
        map { language($_) } 'x="a, b"', 'x="a,b"', 'x="a, b"'],
    ['other fields do not matter', [1, 1], { %{ language('de') }, 'X-A' => 1 },
        { %{ language('de') }, 'X-A' => 2 }],
) {
    my ($name, $want, @requests) = @$_;
    is_deeply answers('/language', @requests), $want, $name;
}

# --- several lines of Vary ---

is_deeply answers('/lines', { 'X-A' => 1 }, { 'X-A' => 2 }, { 'X-A' => 1 },
    { %{ language('de') }, 'X-A' => 1 }, { 'X-A' => 2 }),
    [1, 2, 1, 3, 2], 'the fields of all lines of Vary count';
is_deeply answers('/empty', language('de'), language('en')), [1, 1],
    'a Vary without a name is none';
is_deeply answers('/sixteen', { F16 => 1 }, { F16 => 2 }, { F16 => 1 }), [1, 2, 1],
    'sixteen fields are kept';
is_deeply answers('/seventeen', {}, {}), [1, 2], 'seventeen are not';
is_deeply answers('/long', { 'N' x 64 => 1 }, { 'N' x 64 => 2 }, { 'N' x 64 => 1 }), [1, 2, 1],
    'a name of 64 bytes is kept';
is_deeply answers('/longer', {}, {}), [1, 2], 'one of 65 is not';
is_deeply answers('/star', {}, {}), [1, 2], 'nor is anything with a * in any line';

# --- the fields change ---

is_deeply answers('/changing', {}, {}, { 'Cache-Control' => 'no-cache', 'X-A' => 1 },
    { 'X-A' => 1 }, { 'X-A' => 2 }),
    [1, 1, 2, 2, 3], 'a response that begins to vary takes the place of one that did not';
is_deeply answers('/changing', language('de'), language('de'), language('en'), language('en'),
    language('de')),
    [1, 1, 2, 2, 2], 'one that varies no more answers for all';

get('/short-lived', language('de'));
get('/short-lived', language('en'));
my ($pointer) = entries_of('vary', qr{/short-lived}, 3);
cmp_ok redis('TTL', $pointer), '>', 300, 'a short-lived variant does not end the others';

# --- versions ---

sub version { +{ Accept => "application/vnd.shop.v$_[0]+json", %{ language($_[1]) } } }
is_deeply answers('/version', version(1, 'de'), version(2, 'de'), version(1, 'en'),
    version(2, 'de'), version(1, 'de')),
    [1, 2, 3, 2, 1], 'versions and variants cross';
my $r = get('/version', version(1, 'de'));
$r = get('/version', version(1, 'de'));
is_deeply [$r->{headers}{vary}, $r->{headers}{'content-type'}],
    ['Accept-Language, Accept, API-Version', 'application/vnd.shop.v1+json'],
    'a hit has the type and Vary of its version';


# --- fields that the upstream gets as negotiated ---

my @ways = ({}, { 'API-Version' => 2 }, { 'API-Version' => 'v2' }, { Accept => '*/*' },
    { Accept => '*/*;q=0.5' },
    { Accept => 'application/vnd.shop.v2+json' });
is_deeply answers('/set', @ways), [(1) x @ways],
    'one answer for all ways to ask for the default version';
is_deeply answers('/set', {}, { 'API-Version' => 1 }, { 'API-Version' => 2 },
    { Accept => 'application/vnd.shop.v1+json' }),
    [1, 2, 1, 2], 'and one for each version';
is_deeply answers('/set', {}, { Accept => 'application/json' }, {},
    { Accept => 'application/json;q=0.3' }),
    [1, 2, 1, 2], 'other forms of the type are other requests to the upstream';
is_deeply answers('/raw', {}, { 'API-Version' => 2 }, {}, { 'API-Version' => 2 }),
    [1, 2, 1, 2], 'a field that reaches the upstream as it came is compared as it came';
is_deeply answers('/other', {}, { 'API-Version' => 2 }, {}, { 'API-Version' => 2 }),
    [1, 2, 1, 2], 'so is one that is set to something else';

is scalar(logged(qr/\[(alert|emerg|crit|error)\]/)), 0, 'the log has no error';
done_testing;
