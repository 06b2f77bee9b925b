# RFC 9111 section 4.3.2: handling a received validation request on a fresh response; RFC 9110
# section 13.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Case;

my $modified = 'Wed, 01 Jan 2020 00:00:00 GMT';
sub tagged { return stored('Cache-Control: max-age=3600', "ETag: $_[0]") }
sub dated { return stored('Cache-Control: max-age=3600', "Last-Modified: $modified") }
sub not_modified { return hit(@_, code => 304, content_is => '') }

optional 'If-None-Match: the same strong tag', tagged('"abc"'),
    not_modified('If-None-Match: "abc"');
optional 'If-None-Match: the same weak tag', tagged('W/"abc"'),
    not_modified('If-None-Match: W/"abc"');
optional 'If-None-Match: weak comparison, W/ in the request', tagged('"abc"'),
    not_modified('If-None-Match: W/"abc"');
optional 'If-None-Match: weak comparison, W/ in the response', tagged('W/"abc"'),
    not_modified('If-None-Match: "abc"');
for ('"abc", "1234", "5678"', '"1234", "abc", "5678"', '"1234", "5678", "abc"', '"1234","abc"',
    '"1,2", "abc"', '*') {
    optional "If-None-Match: $_", tagged('"abc"'), not_modified("If-None-Match: $_");
}
optional 'If-None-Match in two lines', lacking('nginx answers a second line with a 400'),
    tagged('"abc"'), not_modified('If-None-Match: "1234"', 'If-None-Match: "abc"');
optional 'If-None-Match with a HEAD', tagged('"abc"'),
    with(not_modified('If-None-Match: "abc"'), method => 'HEAD');
must 'the 304 has the ETag', tagged('"abc"'),
    with(not_modified('If-None-Match: "abc"'), has => ['ETag: "abc"']);
must 'the 304 has Cache-Control, Content-Location, Date, Expires and Vary',
    stored('Cache-Control: max-age=3600', 'ETag: "abc"', 'Content-Location: /a',
        'Expires: Tue, 01 Mar 2044 12:00:00 GMT', 'Vary: X-A'),
    with(not_modified('If-None-Match: "abc"'),
        has => ['Cache-Control: max-age=3600', 'Content-Location: /a',
            'Expires: Tue, 01 Mar 2044 12:00:00 GMT', 'Vary: X-A', qr/^Date: \w{3}, /]);
must 'If-None-Match: another tag', tagged('"abc"'), hit('If-None-Match: "abd"');
must 'If-None-Match: a part of the tag', tagged('"abc"'), hit('If-None-Match: "ab"');
must 'If-None-Match: tags are compared with their case', tagged('"abc"'),
    hit('If-None-Match: "ABC"');
must 'If-None-Match: no tag is stored', stored('Cache-Control: max-age=3600'),
    hit('If-None-Match: "abc"');
must 'If-None-Match without quotes is not the tag', tagged('"abc"'), hit('If-None-Match: abc');
optional 'If-Modified-Since: the same date', dated(), not_modified("If-Modified-Since: $modified");
optional 'If-Modified-Since: a later date', dated(),
    not_modified('If-Modified-Since: Thu, 02 Jan 2020 00:00:00 GMT');
optional 'If-Modified-Since: the same in the obsolete format', dated(),
    not_modified('If-Modified-Since: Wednesday, 01-Jan-20 00:00:00 GMT');
optional 'If-Modified-Since: the same as of asctime()', dated(),
    not_modified('If-Modified-Since: Wed Jan  1 00:00:00 2020');
must 'If-Modified-Since: an earlier date', dated(),
    hit('If-Modified-Since: Tue, 31 Dec 2019 00:00:00 GMT');
must 'If-Modified-Since: A recipient MUST ignore what is no date', dated(),
    hit('If-Modified-Since: yesterday');
optional 'If-Modified-Since: without Last-Modified the Date stands for it',
    stored('Cache-Control: max-age=36000000', 'Date: {-3600}'),
    not_modified('If-Modified-Since: {-60}');
must 'If-Modified-Since: without Last-Modified, before the Date',
    stored('Cache-Control: max-age=3600', 'Date: {+0}'), hit('If-Modified-Since: {-3000}');
must 'A recipient MUST ignore If-Modified-Since if there is If-None-Match: the tag is the same',
    stored('Cache-Control: max-age=3600', 'ETag: "abc"', "Last-Modified: $modified"),
    not_modified('If-None-Match: "abc"', 'If-Modified-Since: Tue, 31 Dec 2019 00:00:00 GMT');
must 'A recipient MUST ignore If-Modified-Since if there is If-None-Match: the tag is another',
    stored('Cache-Control: max-age=3600', 'ETag: "abc"', "Last-Modified: $modified"),
    hit('If-None-Match: "abd"', "If-Modified-Since: $modified");
must 'A recipient MUST ignore If-Modified-Since if there is If-None-Match: there is no tag',
    dated(),
    hit('If-None-Match: "abd"', "If-Modified-Since: $modified");
must 'a condition makes no 304 of a stored 404',
    stored('Cache-Control: max-age=3600', 'ETag: "abc"', status => 404),
    hit('If-None-Match: "abc"', code => 404);
must 'If-Match: the same tag', tagged('"abc"'), hit('If-Match: "abc"');

run();
