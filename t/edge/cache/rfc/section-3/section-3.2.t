# RFC 9111 section 3.2: updating stored header fields, by a 304 (section 4.3.4).
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Case;

my @updated = (
    ['Odd-Field', 'a', 'b'], ['X-Odd-Field', 'a', 'b'], ['Content-Odd', 'a', 'b'],
    ['X-Content-Odd', 'a', 'b'],
    ['Content-Encoding', 'odd-a', 'odd-a'], ['Content-Language', 'de', 'en'],
    ['Content-Location', '/a', '/b'],
    ['Content-MD5', 'Q2hlY2sgSW50ZWdyaXR5IQ==', 'b2xkIGFuZCBuZXcgYm9keQ=='],
    ['Content-Security-Policy', "default-src 'self'", 'default-src b.example'],
    ['Content-Type', 'text/plain', 'text/plain;charset=utf-8'],
    ['Alt-Svc', 'clear', 'h3=":443"'],
    ['Expires', 'Tue, 01 Mar 2044 12:00:00 GMT', 'Wed, 02 Mar 2044 12:00:00 GMT'],
    ['Permissions-Policy', 'camera=()', 'usb=()'], ['Set-Cookie2', 'a=b', 'a=c'],
    ['X-Frame-Options', 'deny', 'sameorigin'],
    ['X-Robots-Tag', 'none', 'noindex'], ['Vary', 'Step-A', 'Step-B'], ['Link', '</a>', '</b>'],
);

for (@updated) {
    my ($name, $old, $new) = @$_;
    must 'the cache MUST add each header field, replacing those already present: '
        . "$name, in the answer and what is stored",
        stored('Cache-Control: max-age=1', 'ETag: "x"', "$name: $old"),
        later(validated('Cache-Control: max-age=3600', 'ETag: "x"', "$name: $new",
            has => ["$name: $new"])),
        hit(has => ["$name: $new"]);
}

my @last = ('Last-Modified: Wed, 01 Jan 2020 00:00:00 GMT');

must 'replacing those already present: by a 304 to If-Modified-Since',
    stored('Cache-Control: max-age=1', @last, 'A: 1'),
    later(validated('Cache-Control: max-age=3600', @last, 'A: 2', has => ['A: 2'])),
    hit(has => ['A: 2']);
must 'replacing those already present: Cache-Control',
    stored('Cache-Control: max-age=1', 'ETag: "x"'),
    later(validated('Cache-Control: max-age=3600', has => ['Cache-Control: max-age=3600'])),
    hit(has => ['Cache-Control: max-age=3600']);
must 'replacing those already present: of two lines both',
    stored('Cache-Control: max-age=1', 'ETag: "x"', 'A: 1', 'A: 2'),
    later(validated('Cache-Control: max-age=3600', 'A: 3', has => ['A: 3'])), hit(has => ['A: 3']);
must 'replacing those already present: one line by two',
    stored('Cache-Control: max-age=1', 'ETag: "x"', 'A: 1'),
    later(validated('Cache-Control: max-age=3600', 'A: 2', 'A: 3', has => ['A: 2, 3'])),
    hit(has => ['A: 2, 3']);
must 'the names of fields are compared without case',
    stored('Cache-Control: max-age=1', 'ETag: "x"', 'Abc: 1'),
    later(validated('cache-control: max-age=3600', 'aBC: 2', has => ['Abc: 2'])),
    hit(has => ['Abc: 2']);
must 'a field that the 304 does not have stays',
    stored('Cache-Control: max-age=1', 'ETag: "x"', 'A: 1'),
    later(validated('Cache-Control: max-age=3600', has => ['A: 1'])), hit(has => ['A: 1']);
must 'a field that the 304 does not have stays: Cache-Control',
    stored('Cache-Control: max-age=1, public', 'ETag: "x"'),
    later(validated('X-A: 1', has => ['Cache-Control: max-age=1, public']));
must 'a field that is new in the 304 is added', stored('Cache-Control: max-age=1', 'ETag: "x"'),
    later(validated('Cache-Control: max-age=3600', 'A: 1', has => ['A: 1'])), hit(has => ['A: 1']);
must 'Content-Length is an exception',
    stored('Cache-Control: max-age=1', 'ETag: "x"', body => '0123456789'),
    later(validated('Cache-Control: max-age=3600', 'Content-Length: 5', content_is => '0123456789',
        has => ['Content-Length: 10'])),
    hit(content_is => '0123456789', has => ['Content-Length: 10']);
must 'fields excluded from storage are an exception',
    stored('Cache-Control: max-age=1', 'ETag: "x"'),
    later(validated('Cache-Control: max-age=3600', 'Connection: a', 'A: 1',
        'Keep-Alive: timeout=5')),
    hit(lacks => ['A', 'Keep-Alive']);
must "what would belie the stored body renews nothing: $$_[0]",
    stored('Cache-Control: max-age=1', 'ETag: "x"', $$_[1] // ()),
    later(validated('Cache-Control: max-age=3600', 'ETag: "x"', $$_[0], lacks => ['Content-Range'],
        $$_[1] ? (has => [$$_[1]]) : ())),
    forwarded()
    for ['Content-Encoding: gzip', 'Content-Encoding: br'],
        ['Content-Encoding: odd', 'Content-Encoding: gzip'], ['Content-Range: bytes 0-1/4'];
must 'Date and Age are those of the 304',
    stored('Cache-Control: max-age=60', 'Date: {-90}', 'ETag: "x"'),
    validated('Cache-Control: max-age=3600', 'Date: {-10}', 'ETag: "x"'),
    hit(age => 10, has => [qr/^Age: \d\d$/]);

run();
