# RFC 9111 sections 3.3 and 3.4: incomplete responses and partial content, with RFC 9110 section
# 14 on ranges.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Case;

my $text = '01234567890';
my @whole = (stored('Cache-Control: max-age=3600', 'ETag: "x"',
    'Last-Modified: Wed, 01 Jan 2020 00:00:00 GMT', body => $text));
my @part = (with(stored('Cache-Control: max-age=3600', 'Content-Range: bytes 4-8/9', 'ETag: "x"',
    status => '206 Partial Content',
    body => '45678'), send => ['Range: bytes=-5']));

must 'a response that breaks off is not reused as a complete one',
    { want => 'any', code => 200, answer => ['Cache-Control: max-age=3600', 'Content-Length: 500'],
        body => 'x' },
    forwarded('X-A: 1');

for (['bytes=0-1', '01', '0-1'], ['bytes=1-', '1234567890', '1-10'], ['bytes=-1', '0', '10-10'],
    ['bytes=5-90', '567890', '5-10'],
    ['bytes=4-4', '4', '4-4'])
{
    my ($range, $content, $of) = @$_;
    optional "a range is served from a complete response: $range", @whole,
        hit("Range: $range", code => 206, content_is => $content,
            has => ["Content-Range: bytes $of/11", "Content-Length: " . length $content]);
}
optional 'several ranges are served from a complete response', @whole,
    hit('Range: bytes=0-0,5-5', code => 206, content_is => undef,
        has => [qr{^Content-Type: multipart/byteranges}]);
must 'a range past the end is a 416', @whole,
    hit('Range: bytes=90-', code => 416, content_is => undef);
must 'an unknown range unit is ignored', @whole, hit('Range: lines=1-2', content_is => $text);
must 'a malformed Range is ignored, or is a 416', @whole,
    { want => 'any', send => ['Range: bytes 0-1'], answer => [], body => $text,
        content_is => $text };
must 'the part is sent with the fields of the stored response',
    stored('Cache-Control: max-age=3600', 'A: 1', body => $text),
    hit('Range: bytes=0-1', code => 206, content_is => '01', has => ['A: 1']);
optional 'If-Range with the same strong ETag: the part', @whole,
    hit('Range: bytes=0-1', 'If-Range: "x"', code => 206, content_is => '01');
must 'If-Range with another ETag: the whole', @whole,
    hit('Range: bytes=0-1', 'If-Range: "y"', content_is => $text);
must 'If-Range with a weak ETag: the whole',
    stored('Cache-Control: max-age=3600', 'ETag: W/"x"', body => $text),
    hit('Range: bytes=0-1', 'If-Range: W/"x"', content_is => $text);
optional 'If-Range with the same date: the part', @whole,
    hit('Range: bytes=0-1', 'If-Range: Wed, 01 Jan 2020 00:00:00 GMT', code => 206,
        content_is => '01');
must 'If-Range with another date: the whole', @whole,
    hit('Range: bytes=0-1', 'If-Range: Wed, 01 Jan 2025 00:00:00 GMT', content_is => $text);

must 'a 206 does not answer for the whole', @part,
    forwarded('Cache-Control: max-age=3600', body => '012345678');
must 'a 206 does not answer another range', @part,
    with(forwarded('Content-Range: bytes 0-1/9', status => '206 Partial Content', body => '01'),
        send => ['Range: bytes=0-1']);
must 'Range stays at the edge when nothing is stored',
    with(stored('Cache-Control: max-age=3600', body => $text),
    send => ['Range: bytes=0-1'], asks_not => ['Range'], code => 206, content_is => '01'),
    hit(content_is => $text);
must 'If-Range stays at the edge when nothing is stored',
    with(stored('Cache-Control: max-age=3600', 'ETag: "y"', body => $text),
    send => ['Range: bytes=0-1', 'If-Range: "x"'], asks_not => ['If-Range'], content_is => $text),
    hit(content_is => $text);
must 'a 416 does not answer for the whole',
    with(stored(status => '416 Range Not Satisfiable', body => ''), send => ['Range: bytes=90-']),
    forwarded();
must 'a Range goes not along with a validation',
    stored('Cache-Control: max-age=1', 'ETag: "x"', body => $text),
    later(with(validated('Cache-Control: max-age=3600'), send => ['Range: bytes=0-1'], code => 206,
        content_is => '01', asks_not => ['Range']));
optional 'a whole response to a Range is stored whole',
    with(stored('Cache-Control: max-age=3600'), send => ['Range: bytes=0-1'], want => 'any',
        code => 206, content_is => undef),
    hit();

for (['bytes=-5', '45678', '4-8'], ['bytes=6-7', '67', '6-7'], ['bytes=6-', '678', '6-8'],
    ['bytes=-1', '8', '8-8'], ['bytes=4-90', '45678', '4-8']) {
    my ($range, $content, $of) = @$_;
    optional "a part is stored, and a range of it served: $range", @part,
        hit("Range: $range", code => 206, content_is => $content,
            has => ["Content-Range: bytes $of/9", 'Content-Length: ' . length $content,
                'ETag: "x"']);
}
optional 'a part is completed', lacking('parts are not put together'), @part,
    with(forwarded('Content-Range: bytes 0-3/9', status => '206 Partial Content', body => '0123'),
        asks => ['Range: bytes=0-3'], code => 200, want => 'any');

my $other =
    forwarded('Content-Range: bytes 0-5/9', status => '206 Partial Content', body => '012345');
for ('bytes=0-5', 'bytes=3-5', 'bytes=-6', 'bytes=4-5,7-8', 'lines=4-5') {
    must "what a part does not hold it does not answer: $_", @part,
        with($other, send => ["Range: $_"]);
}
must 'a part does not answer a HEAD', @part,
    { method => 'HEAD', want => 'forwarded', answer => [] };
must 'a part does not answer a condition', @part,
    with($other, send => ['Range: bytes=-5', 'If-None-Match: "x"']);
must 'a part does not answer an If-Range', @part,
    with($other, send => ['Range: bytes=-5', 'If-Range: "y"']);
must 'a stale part is not used',
    with(stored('Cache-Control: max-age=1', 'Content-Range: bytes 4-8/9', 'ETag: "x"',
        status => '206 Partial Content',
    body => '45678'), send => ['Range: bytes=-5']),
    later(with($other, send => ['Range: bytes=-5'], asks_not => ['If-None-Match']));
must 'a whole takes the place of a part', @part,
    forwarded('Cache-Control: max-age=3600', body => '012345678'), hit(content_is => '012345678'),
    hit('Range: bytes=0-1', code => 206, content_is => '01');
for ('bytes 4-9/9', 'bytes 4-8/*', 'bytes 4-7/9', 'bytes 8-4/9', 'lines 4-8/9', '') {
    must "a part of which it is not known where it belongs is not used: $_",
        with(stored('Cache-Control: max-age=3600', "Content-Range: $_",
            status => '206 Partial Content', body => '45678'),
            send => ['Range: bytes=-5']),
        with($other, send => ['Range: bytes=-5']);
}
# a part that ends before its Content-Range does is valid for the received bytes only
my $cut = sub { with(stored('Cache-Control: max-age=3600', 'Content-Range: bytes 4-9/10',
    status => '206 Partial Content', body => '45678', @_),
    send => ['Range: bytes=4-']) };
for (['bytes=6-8', '678', '6-8'], ['bytes=4-8', '45678', '4-8'], ['bytes=-2', undef],
    ['bytes=6-', undef], ['bytes=8-9', undef]) {
    my ($range, $content, $of) = @$_;
    optional("a cache MAY use an incomplete part for what is wholly within it: $range", $cut->(),
        hit("Range: $range", code => 206, content_is => $content,
            has => ["Content-Range: bytes $of/10"]))
            if defined $content;
    must("a cache MUST NOT use an incomplete part for more: $range", $cut->(),
        with($other, send => ["Range: $range"]))
        if !defined $content;
}
must 'a part that is coded, and not as long as it says, is not used',
    with($cut->(), answer => [@{ $cut->()->{answer} }, 'Content-Encoding: gzip']),
    with($other, send => ['Range: bytes=6-8']);
optional 'a part without Content-Length is used', with($cut->(), endless => 1),
    hit('Range: bytes=6-8', code => 206, content_is => '678');
must '... but not for more', with($cut->(), endless => 1),
    with($other, send => ['Range: bytes=6-']);
must '... nor when it is longer than it says', with($cut->(body => '4567890'), endless => 1),
    with($other, send => ['Range: bytes=6-8']);
must 'a part that breaks off is not used',
    { %{ $cut->() }, code => 206, want => 'any', answer => ['Cache-Control: max-age=3600',
    'Content-Range: bytes 4-9/10', 'Content-Length: 6'] },
    with($other, send => ['Range: bytes=6-8']);
must 'a part without a request for one is not used',
    stored('Cache-Control: max-age=3600', 'Content-Range: bytes 4-8/9',
        status => '206 Partial Content', body => '45678'),
    with($other, send => ['Range: bytes=-5']);
must 'a part that varies is not used',
    with(stored('Cache-Control: max-age=3600', 'Vary: Foo', 'Content-Range: bytes 4-8/9',
        status => '206 Partial Content',
    body => '45678'), send => ['Range: bytes=-5', 'Foo: 1']),
    with($other, send => ['Range: bytes=-5', 'Foo: 2']);
must 'a part with no-store is not used',
    with(stored('Cache-Control: no-store', 'Content-Range: bytes 4-8/9',
        status => '206 Partial Content',
    body => '45678'), send => ['Range: bytes=-5']), with($other, send => ['Range: bytes=-5']);
must 'an unsafe method ends a part', @part, with(forwarded(), method => 'PUT', content => 'x'),
    with($other, send => ['Range: bytes=-5']);

run();
