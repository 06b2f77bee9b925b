# RFC 9111 sections 5.2.1 and 5.4: request directives, and Pragma.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Case;

my $hour = stored('Cache-Control: max-age=3600');
my $aged = stored('Cache-Control: max-age=3600', 'Age: 1800');
my $old = stored('Cache-Control: max-age=1500', 'Age: 2000', 'ETag: "x"');
sub says { return request_with(map { "Cache-Control: $_" } @_) }
sub takes { return hit(map { "Cache-Control: $_" } @_) }

optional 'max-age=0: the client is unwilling to accept a stored response', $hour, says('max-age=0');
optional 'max-age: the client is unwilling to accept an older response', $aged, says('max-age=600');
optional 'max-age: young enough', $aged, takes('max-age=2400');
optional 'max-age: passes meanwhile', $hour, later(says('max-age=1'));
optional 'max-age: the quoted form', $aged, says('max-age="600"');
optional 'max-stale: stale by less', $old, takes('max-stale=1000');
optional 'max-stale: stale by more', $old, says('max-stale=100');
optional 'max-stale without a number: stale by any age', $old, takes('max-stale');
optional 'max-stale: of one that became stale', stored('Cache-Control: max-age=1', 'ETag: "x"'),
    later(takes('max-stale=3600'));
optional 'max-stale: not with must-revalidate',
    stored('Cache-Control: max-age=1500, must-revalidate', 'Age: 2000', 'ETag: "x"'),
    says('max-stale');
optional 'max-stale together with max-age', $old, says('max-stale=1000, max-age=100');
optional 'min-fresh: not fresh for as long', $hour, says('min-fresh=4000');
optional 'min-fresh: not fresh for as long, of one with an Age', $aged, says('min-fresh=2000');
optional 'min-fresh: fresh for as long', $aged, takes('min-fresh=1000');
optional 'no-cache: not without validation', $hour, says('no-cache');
optional 'no-cache: NO-CACHE', $hour, says('NO-CACHE');
optional 'no-cache: in a second line', $hour, says('foo', 'no-cache');
optional 'no-cache: validated by ETag', stored('Cache-Control: max-age=3600', 'ETag: "x"'),
    with(validated('Cache-Control: max-age=3600'), send => ['Cache-Control: no-cache'],
        asks => ['If-None-Match: "x"']);
optional 'no-cache: validated by Last-Modified',
    stored('Cache-Control: max-age=3600', 'Last-Modified: Wed, 01 Jan 2020 00:00:00 GMT'),
    with(validated('Cache-Control: max-age=3600'), send => ['Cache-Control: no-cache'],
        asks => ['If-Modified-Since: Wed, 01 Jan 2020 00:00:00 GMT']);
optional 'max-age=0: validated by ETag', stored('Cache-Control: max-age=3600', 'ETag: "x"'),
    with(validated('Cache-Control: max-age=3600'), send => ['Cache-Control: max-age=0'],
        asks => ['If-None-Match: "x"']);
must 'no-cache: what comes takes the place of the stored one',
    stored('Cache-Control: max-age=3600', 'A: 1'),
    with(forwarded('Cache-Control: max-age=3600', 'A: 2'), send => ['Cache-Control: no-cache']),
    hit(has => ['A: 2']);
must 'no-store: A cache MUST NOT store any part of the response',
    with(stored('Cache-Control: max-age=3600'), send => ['Cache-Control: no-store']), forwarded();
must 'no-store: does not take the place of what is stored',
    stored('Cache-Control: max-age=1', 'A: 1'),
    later(with(forwarded('Cache-Control: max-age=3600', 'A: 2'),
        send => ['Cache-Control: no-store'])),
    forwarded();
optional 'only-if-cached: a 504 when nothing is stored',
    refused(504, 'Cache-Control: only-if-cached');
optional 'only-if-cached: a stored response', $hour, takes('only-if-cached');
optional 'only-if-cached: a 504 when what is stored is stale', $old,
    refused(504, 'Cache-Control: only-if-cached');
optional 'only-if-cached with max-stale: the stale one', $old, takes('only-if-cached, max-stale');
optional 'no-transform: the stored content', $hour, takes('no-transform');
optional 'unknown directives are ignored', $hour, takes('nothing-to-see-here, foo="no-cache"');
optional 'a directive in a quoted-string is none', $hour, takes('foo="a, no-cache"');

optional 'Pragma: no-cache, treated as if Cache-Control: no-cache were there', $hour,
    request_with('Pragma: no-cache');
optional 'Pragma: no-cache in any case', $hour, request_with('Pragma: No-Cache');
optional 'Pragma: no-cache is ignored beside Cache-Control', $hour,
    hit('Pragma: no-cache', 'Cache-Control: max-age=3600');
optional 'Pragma: what is unknown is ignored', $hour, hit('Pragma: foo');
optional 'Pragma in a response means nothing',
    stored('Cache-Control: max-age=3600', 'Pragma: no-cache'), hit();

run();
