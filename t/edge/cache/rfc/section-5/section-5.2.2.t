# RFC 9111 section 5.2.2: response directives; RFC 8246: immutable.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Case;

my @later = ('Expires: {+3600}', 'Date: {+0}');
sub cc { return stored(map { "Cache-Control: $_" } @_) }
sub never { my ($name, @lines) = @_; must $name, stored(@lines), forwarded() }

never 'no-store', 'Cache-Control: no-store';
never 'no-store: No-StOrE', 'Cache-Control: No-StOrE';
never 'no-store, whatever else', 'Cache-Control: max-age=3600, no-store', @later;
never 'no-store, in a second line', 'Cache-Control: max-age=3600', 'Cache-Control: no-store';
never 'no-store with a value', 'Cache-Control: max-age=3600, no-store=1';
must 'no-store, with a validator', stored('Cache-Control: no-store', 'ETag: "x"'),
    forwarded(asks_not => ['If-None-Match']);
never 'private', 'Cache-Control: private, max-age=3600';
never 'private: PRIVATE', 'Cache-Control: PRIVATE, max-age=3600', @later;
never 'private with an empty list is not safe to take for a list',
    'Cache-Control: private="", max-age=3600';
must 'private, with a validator', stored('Cache-Control: private, max-age=3600', 'ETag: "x"'),
    forwarded(asks_not => ['If-None-Match']);
must 'private with fields: they are not stored',
    stored('Cache-Control: max-age=3600, private="A, b"', 'A: 1', 'B: 2', 'C: 3'),
    hit(has => ['C: 3'], lacks => ['A', 'B']);
optional 'private with fields: the rest is',
    stored('Cache-Control: max-age=3600, private="a"', 'A: 1'), hit();
never 'no-cache', 'Cache-Control: no-cache';
never 'no-cache, whatever else', 'Cache-Control: max-age=3600, no-cache', @later;
never 'no-cache: No-CaChE', 'Cache-Control: max-age=3600, No-CaChE', @later;
optional 'no-cache: stored and validated', stored('Cache-Control: no-cache', 'ETag: "x"'),
    validated('Cache-Control: no-cache'), validated('Cache-Control: no-cache');
optional 'no-cache, max-age: stored and validated',
    stored('Cache-Control: max-age=3600, no-cache', @later, 'ETag: "x"'), validated();
must 'no-cache with fields: MUST NOT be sent without validation: one',
    stored('Cache-Control: no-cache="a"', 'Cache-Control: max-age=3600', 'A: 1', 'B: 2'),
    hit(has => ['B: 2'], lacks => ['A']);
must 'no-cache with fields: MUST NOT be sent without validation: two',
    stored('Cache-Control: max-age=3600, no-cache="A, b"', 'A: 1', 'B: 2', 'C: 3'),
    hit(has => ['C: 3'], lacks => ['A', 'B']);
must 'no-cache with fields: MUST NOT be sent without validation: a list without quotes',
    stored('Cache-Control: max-age=3600, no-cache=a', 'A: 1'),
    { want => 'any', answer => [], lacks => ['A'] };
must 'no-cache with a max-stale of the request', cc('max-age=1, no-cache'),
    later(request_with('Cache-Control: max-stale'));
optional 'must-revalidate: fresh',
    stored('Cache-Control: max-age=3600, must-revalidate', 'ETag: "x"'), hit();
must 'must-revalidate: Once stale, a cache MUST NOT reuse it until it has been validated',
    stored('Cache-Control: max-age=1, must-revalidate', 'ETag: "x"'),
    later(validated('Cache-Control: max-age=1, must-revalidate'));
must 'must-revalidate: without a validator', cc('max-age=1, must-revalidate'), later(forwarded());
optional 'proxy-revalidate: fresh', stored('Cache-Control: max-age=3600, proxy-revalidate'), hit();
must 'proxy-revalidate: stale', stored('Cache-Control: max-age=1, proxy-revalidate', 'ETag: "x"'),
    later(validated('Cache-Control: max-age=1'));
must 's-maxage includes proxy-revalidate', cc('max-age=3600, s-maxage=1'),
    later(request_with('Cache-Control: max-stale'));
optional 'public and a lifetime', cc('public, max-age=3600'), hit();
never 'public alone is no lifetime', 'Cache-Control: public';
optional 'no-transform: stored', cc('no-transform, max-age=3600'), hit();
optional 'immutable: fresh', cc('max-age=3600, immutable'), hit();
must 'immutable: A cache MUST revalidate what is stale',
    stored('Cache-Control: max-age=1, immutable', 'ETag: "x"'),
    later(validated('Cache-Control: max-age=1'));
never 'immutable alone is no lifetime', 'Cache-Control: immutable';
optional 'must-understand: a known status is stored though no-store is there',
    cc('max-age=3600, no-store, must-understand'), hit();
must 'must-understand: an unknown status is not stored',
    stored('Cache-Control: max-age=3600, no-store, must-understand', status => 599),
    forwarded(status => 599);
must 'must-understand: an unknown status is not stored without no-store either',
    stored('Cache-Control: max-age=3600, must-understand', status => 299), forwarded(status => 299);
optional 'an older stored response survives a newer one with no-store',
    stored('Cache-Control: max-age=3600', 'A: 1'),
    with(forwarded('Cache-Control: no-store', 'A: 2'), send => ['Cache-Control: no-cache']),
    hit(has => ['A: 1']);
for ('only-if-cached', 'min-fresh=9000', 'max-stale') {
    optional "directives of requests mean nothing in a response: $_", cc("max-age=3600, $_"), hit();
}

run();
