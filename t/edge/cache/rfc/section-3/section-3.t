# RFC 9111 section 3: storing responses in caches.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Case;

# --- statuses: final, and with explicit freshness ---

for my $status (200, 203, 204, 299, 301, 302, 303, 307, 308, 400, 404, 405, 410, 414, 451, 499, 500,
    501, 502, 503, 504, 599) {
    my @body = $status == 204 ? (content_is => '') : ();
    optional "the response status code is final: a fresh $status is reused",
        $status == 400 ? lacking('it is about one request, and is stored only where'
            . ' weir_cache_valid names it') : (),
        stored('Cache-Control: max-age=3600', 'Date: {+0}', status => $status),
        hit(code => $status, @body);
    must "a stale $status with explicit freshness is not reused",
        stored('Expires: {-3600}', 'Last-Modified: {-90000}', 'Date: {+0}', status => $status),
        forwarded('Cache-Control: max-age=3600', status => $status);
}

must 'a response without freshness, validator or a default status is not reused',
    stored(status => '201 Created'), forwarded();

# --- methods ---

must 'a PUT is not answered from what is stored',
    stored('Cache-Control: max-age=3600'),
    with(forwarded('Cache-Control: max-age=3600'), method => 'PUT', content => 'x');
must 'the response to a PUT does not answer a GET',
    with(stored('Cache-Control: max-age=3600'), method => 'PUT', content => 'x'), forwarded();
must 'the response to a DELETE does not answer a GET',
    with(stored('Cache-Control: max-age=3600'), method => 'DELETE'), forwarded();
must 'the response to an OPTIONS does not answer a GET',
    with(stored('Cache-Control: max-age=3600'), method => 'OPTIONS'), forwarded();
must 'the response to an unknown method does not answer a GET',
    with(stored('Cache-Control: max-age=3600'), method => 'FOOBAR'), forwarded();
must 'a POST without Content-Location does not answer a GET',
    with(stored('Cache-Control: max-age=3600'), method => 'POST', content => 'x'), forwarded();
must 'a POST with the Content-Location of another URI does not answer a GET',
    with(stored('Cache-Control: max-age=3600', 'Content-Location: {self}/other'), method => 'POST',
        content => 'x'),
    forwarded();
must 'a POST without explicit freshness does not answer a GET',
    with(stored('Content-Location: {self}', 'Last-Modified: {-90000}'), method => 'POST',
        content => 'x'),
    forwarded();
my %post = (method => 'POST', content => 'x');
# behind an internal redirect a GET has another key than a POST that was not led
if (!in_world('error_page', 'accel')) {
    for ('Cache-Control: max-age=3600', 'Expires: {+3600}', 'CDN-Cache-Control: max-age=3600') {
        optional 'a POST with explicit freshness and its own Content-Location answers a GET '
            . "(RFC 9110 section 9.3.3): $_",
            with(stored($_, 'Content-Location: {self}', 'A: 1'), %post),
            hit(has => ['A: 1']), hit(method => 'HEAD', content_is => '');
    }
    optional '... in the place of what was stored', stored('Cache-Control: max-age=3600'),
        with(stored('Cache-Control: max-age=3600', 'Content-Location: {self}'), %post),
        hit(has => ['X-Step: 1']);
    optional '... with a Content-Location that is absolute',
        with(stored('Cache-Control: max-age=3600',
            'Content-Location: ' . scheme() . '://127.0.0.1{self}'),
            %post),
        hit();
    optional '... as the variant that its own request selects',
        with(stored('Cache-Control: max-age=3600', 'Content-Location: {self}', 'Vary: Foo'), %post,
            send => ['Foo: 1']),
        hit('Foo: 1'), request_with('Foo: 2');
}
must 'a POST is not answered from what a POST left',
    with(stored('Cache-Control: max-age=3600', 'Content-Location: {self}'), %post),
    with(forwarded(), %post);
must 'an unsafe method ends what a POST left',
    with(stored('Cache-Control: max-age=3600', 'Content-Location: {self}'), %post),
    with(forwarded(), method => 'PUT', content => 'x'), forwarded();
must 'what a POST left is not used when it is stale',
    with(stored('Cache-Control: max-age=1', 'Content-Location: {self}'), %post), later(forwarded());
for ('no-store, max-age=3600', 'private, max-age=3600', 'no-cache') {
    must "a POST with Cache-Control: $_ does not answer a GET",
        with(stored("Cache-Control: $_", 'Content-Location: {self}', 'ETag: "x"'), %post),
        { %{ +forwarded() }, asks_not => ['If-None-Match'] };
}
must 'a PUT with its own Content-Location does not answer a GET',
    with(stored('Cache-Control: max-age=3600', 'Content-Location: {self}'), method => 'PUT',
        content => 'x'),
    forwarded();
for (201, 303, 404, 500) {
    must "a POST whose status is $_ does not answer a GET",
        with(stored('Cache-Control: max-age=3600', 'Content-Location: {self}', status => $_),
            %post),
        forwarded();
}
must 'a POST with Content-Location of another query does not answer a GET',
    with(stored('Cache-Control: max-age=3600', 'Content-Location: {self}?a=2'), %post,
        path => '?a=1'),
    with(forwarded(), path => '?a=1'),
    with(forwarded(), path => '?a=2');
must 'a HEAD does not answer a GET',
    with(stored('Cache-Control: max-age=3600'), method => 'HEAD', code => 200), forwarded();
optional 'a GET answers a HEAD', stored('Cache-Control: max-age=3600', 'X-Field: 1'),
    hit(method => 'HEAD', content_is => '', has => ['X-Field: 1']);

# --- keys (section 2) ---

must 'another query is another cache key',
    with(stored('Cache-Control: max-age=3600'), path => '?a=1'),
    with(forwarded('Cache-Control: max-age=3600'), path => '?a=2');
optional 'the same query is the same cache key',
    with(stored('Cache-Control: max-age=3600'), path => '?a=1'), hit(path => '?a=1');
must 'another path is another cache key', with(stored('Cache-Control: max-age=3600'), path => '/a'),
    with(forwarded('Cache-Control: max-age=3600'), path => '/A');
must 'another host is another cache key',
    with(stored('Cache-Control: max-age=3600'), send => ['Host: one.example']),
    with(forwarded('Cache-Control: max-age=3600'), send => ['Host: two.example']);

# --- 1xx: what this nginx makes of an interim response of an upstream decides ---

optional 'a 103 is passed and the final response stored',
    lacking('nginx before 1.29 takes an upstream\'s 103 for its answer'),
    with(stored('Cache-Control: max-age=3600'),
        interim => "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", interim_codes => [103]),
    hit();
must 'an interim response is never stored as the final one',
    { want => 'any', answer => ['Cache-Control: no-store'], code => undef,
    interim => "HTTP/1.1 103 Early Hints\r\nCache-Control: max-age=3600\r\n\r\n" }, forwarded();

# --- what the response says; more in section 5.2.2 ---

optional 'a response with a Content-Disposition is reused',
    stored('Cache-Control: max-age=3600', 'Content-Disposition: attachment'), hit();
optional 'a Cookie in the request makes no difference', stored('Cache-Control: max-age=3600'),
    hit('Cookie: a=b');
optional 'a Set-Cookie does not inhibit caching (section 7.3)',
    lacking('as in nginx, what sets a cookie is stored only by weir_cache_ignore_headers'),
    stored('Cache-Control: max-age=3600', 'Set-Cookie: a=b'), hit();
must 'a Set-Cookie reaches no other client by default',
    stored('Cache-Control: max-age=3600', 'Set-Cookie: a=b'),
    { want => 'any', answer => [], lacks => ['Set-Cookie'] };
must 'a stored response is forwarded with its header and content unchanged',
    stored('Cache-Control: max-age=3600', 'X-Odd: a,  b;c="d e"',
        'Content-Type: text/x-odd; charset=utf-8'),
    hit(has => ['X-Odd: a,  b;c="d e"', 'Content-Type: text/x-odd; charset=utf-8']);
must 'header lines of one name stay in their order',
    stored('Cache-Control: max-age=3600', 'X-List: 1', 'X-List: 2', 'X-List: 3'),
    hit(has => ['X-List: 1, 2, 3']);

run();
