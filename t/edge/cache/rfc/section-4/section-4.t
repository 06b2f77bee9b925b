# RFC 9111 section 4: constructing responses from caches.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Case;

must 'a cache MUST generate an Age header field: Cache-Control',
    stored('Cache-Control: max-age=3600'), later(hit(age => 2));
must 'a cache MUST generate an Age header field: Expires', stored('Expires: {+3600}', 'Date: {+0}'),
    later(hit(age => 2));
must 'replacing any present: it grows',
    stored('Cache-Control: max-age=3600', 'Age: 30', 'Date: {+0}'), later(hit(age => 32));
must 'replacing any present: it grows, with Expires',
    stored('Expires: {+3600}', 'Date: {+0}', 'Age: 30'), later(hit(age => 32));
must 'an Age is there at once', stored('Cache-Control: max-age=3600'), hit(age => 0);
must 'a HEAD has an Age', stored('Cache-Control: max-age=3600', 'Age: 30'),
    hit(method => 'HEAD', content_is => '', age => 30);
must 'a 304 has an Age', stored('Cache-Control: max-age=3600', 'Age: 30', 'ETag: "x"'),
    hit('If-None-Match: "x"', code => 304, content_is => '', age => 30);
must 'the Date stays that of the response',
    stored('Cache-Control: max-age=2147483648', 'Date: Mon, 23 Nov 2020 10:00:00 GMT'),
    hit(has => ['Date: Mon, 23 Nov 2020 10:00:00 GMT']);
must 'the Date stays that of the response, when it came just now',
    stored('Cache-Control: max-age=3600', 'Date: {-7}'), hit(age => 7);
must 'the Expires stays', stored('Expires: Tue, 01 Mar 2044 12:00:00 GMT', 'Date: {+0}'),
    later(hit(has => ['Expires: Tue, 01 Mar 2044 12:00:00 GMT']));
must 'A cache MUST write through requests with methods that are unsafe: POST',
    stored('Cache-Control: max-age=3600'),
    with(forwarded(), method => 'POST', content => 'x');
must 'A cache MUST write through requests with methods that are unsafe: DELETE',
    stored('Cache-Control: max-age=3600'), with(forwarded(), method => 'DELETE');
must 'A cache MUST write through requests with methods that are unsafe: PATCH',
    stored('Cache-Control: max-age=3600'),
    with(forwarded(), method => 'PATCH', content => 'x');
must 'When more than one suitable response is stored, a cache MUST use the most recent one',
    stored('Cache-Control: max-age=3600', 'A: 1'),
    with(forwarded('Cache-Control: max-age=3600', 'A: 2'), send => ['Cache-Control: no-cache']),
    hit(has => ['A: 2']);
must 'the stored response is fresh, or allowed to be served stale, or validated',
    stored('Cache-Control: max-age=1'), later(forwarded());
optional 'a cache can use a response that is stored or storable to satisfy multiple requests',
    stored('Cache-Control: max-age=3600'), hit(), hit(), hit();

run();
