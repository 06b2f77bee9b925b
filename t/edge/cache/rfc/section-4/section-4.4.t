# RFC 9111 section 4.4: invalidating stored responses.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Case;

my $fresh = stored('Cache-Control: max-age=3600', 'Last-Modified: {-3000}', 'Date: {+0}');
my %elsewhere = (path => '/elsewhere');

for my $method ('POST', 'PUT', 'DELETE', 'PATCH', 'M-SEARCH', 'FOOBAR') {
    my %unsafe = (method => $method, content => 'abc');
    must 'A cache MUST invalidate the target URI when it receives a non-error status code '
        . "to an unsafe method: $method",
        $fresh, with(forwarded(), %unsafe), forwarded();
    must "... $method, 204", $fresh, with(forwarded(status => 204), %unsafe), forwarded();
    must "... $method, 303", $fresh, with(forwarded('Location: /x', status => 303), %unsafe),
        forwarded();
    optional "an error does not invalidate: $method, 500", $fresh,
        with(forwarded(status => 500), %unsafe), hit();
    optional "an error does not invalidate: $method, 404", $fresh,
        with(forwarded(status => 404), %unsafe), hit();
    optional "A cache MAY invalidate other URIs: Location of $method",
        with($fresh, path => '/target'),
        with(forwarded('Location: {self}/target'), %unsafe), with(forwarded(), path => '/target');
    optional "A cache MAY invalidate other URIs: Content-Location of $method",
        with($fresh, path => '/target'),
        with(forwarded('Content-Location: {self}/target'), %unsafe),
        with(forwarded(), path => '/target');
    optional "other URIs are left alone: $method", $fresh, with(forwarded(), %unsafe, %elsewhere),
        hit();
}
for my $method ('GET', 'HEAD', 'OPTIONS') {
    optional "safe methods do not invalidate: $method", $fresh,
        { method => $method, want => 'any', answer => [], send => ['Cache-Control: max-age=90'] },
        hit();
}
my ($scheme, $other_scheme) = scheme() eq 'http' ? ('http', 'https') : ('https', 'http');
for my $field ('Location', 'Content-Location') {
    must "A cache MUST NOT invalidate when the origin differs: $field of another host",
        with($fresh, path => '/target'),
        with(forwarded("$field: $scheme://other.example{self}/target"), method => 'POST',
            content => 'x'),
        hit(path => '/target');
    must "A cache MUST NOT invalidate when the origin differs: $field of another port",
        with($fresh, path => '/target'),
        with(forwarded("$field: $scheme://127.0.0.1:9{self}/target"), method => 'POST',
            content => 'x'),
        hit(path => '/target');
    must "A cache MUST NOT invalidate when the origin differs: $field of another scheme",
        with($fresh, path => '/target'),
        with(forwarded("$field: $other_scheme://127.0.0.1{self}/target"), method => 'POST',
            content => 'x'),
        hit(path => '/target');
    optional "an error does not invalidate the $field", with($fresh, path => '/target'),
        with(forwarded("$field: {self}/target", status => 500), method => 'POST', content => 'x'),
        hit(path => '/target');
    optional "an absolute URI of the same origin: $field", with($fresh, path => '/target'),
        with(forwarded("$field: $scheme://127.0.0.1{self}/target"), method => 'POST',
            content => 'x'),
        with(forwarded(), path => '/target');
    optional "a relative reference: $field", with($fresh, path => '/a/target'),
        with(forwarded("$field: target"), method => 'POST', content => 'x', path => '/a/b'),
        with(forwarded(), path => '/a/target');
    optional "a relative reference with dots: $field", with($fresh, path => '/target'),
        with(forwarded("$field: ../target?#x"), method => 'POST', content => 'x', path => '/a/b'),
        with(forwarded(), path => '/target?');
}
must 'all variants are invalidated',
    with(stored('Cache-Control: max-age=3600', 'Vary: Foo'), send => ['Foo: 1']),
    with(stored('Cache-Control: max-age=3600', 'Vary: Foo'), send => ['Foo: 2']),
    with(forwarded(), method => 'PUT', content => 'x'),
    request_with('Foo: 1'), request_with('Foo: 2');
must 'what is stored afterwards is good', $fresh,
    with(forwarded(), method => 'PUT', content => 'x'), $fresh, hit(has => ['X-Step: 2']);

run();
