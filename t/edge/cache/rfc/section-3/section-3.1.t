# RFC 9111 section 3.1: storing header and trailer fields.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Case;

for my $line (
    'Odd-Field: value', 'X-Odd-Field: value', 'Content-Odd: value', 'Cache-Control: max-age=3600',
    'Content-Encoding: odd',
    'Content-Language: de', 'Content-Location: /bar', 'Content-MD5: b2xkIGFuZCBuZXcgYm9keQ==',
    'Content-Range: odd',
    "Content-Security-Policy: default-src 'self'", 'Content-Type: text/plain;charset=utf-8',
    'Alt-Svc: clear',
    'ETag: "abc"', 'ETag: W/"abc"', 'Expires: {+3600}', 'Last-Modified: {-3600}',
    'Link: </a>; rel=preload', 'Location: /x',
    'Permissions-Policy: camera=()', 'Retry-After: 120', 'Server: odd', 'Set-Cookie2: a=b',
    'Strict-Transport-Security: max-age=5',
    'Warning: 199 - odd', 'WWW-Authenticate: Basic', 'X-Frame-Options: deny', 'X-Robots-Tag: none',
    'Unknown_Field: 1',
) {
    my ($name) = $line =~ /^([^:]+)/;
    my @fresh = $name eq 'Cache-Control' ? () : ('Cache-Control: max-age=3600');
    next if $name eq 'Server';    # nginx names itself to the client
    my @lines = $line =~ /\{/ ? (has => [qr/^$name: \w{3}, .* GMT$/]) : (has => [$line]);
    must "Caches MUST include all received response header fields: $line", stored(@fresh, $line),
        hit(@lines);
}

for my $line ('Keep-Alive: timeout=5', 'Proxy-Connection: close', 'TE: trailers', 'Upgrade: odd/1',
    'Proxy-Authenticate: Basic', 'Proxy-Authentication-Info: odd=1',
    'Proxy-Authorization: Basic eDp5', 'Trailer: X-Odd')
{
    my ($name) = $line =~ /^([^:]+)/;
    must "it MUST NOT store what belongs to one connection: $name",
        stored('Cache-Control: max-age=3600', $line), hit(lacks => [$name]);
}

must 'fields that Connection lists are removed',
    stored('Cache-Control: max-age=3600', 'Connection: a, B', 'A: 1', 'B: 2', 'C: 3'),
    hit(has => ['C: 3'], lacks => ['A', 'B']);
must 'fields that a second line of Connection lists are removed',
    stored('Cache-Control: max-age=3600', 'Connection: a', 'Connection: b', 'A: 1', 'B: 2', 'C: 3'),
    hit(has => ['C: 3'], lacks => ['A', 'B']);
must 'Content-Length is that of the stored content',
    stored('Cache-Control: max-age=3600', body => '0123456789'),
    hit(has => ['Content-Length: 10'], content_is => '0123456789');
must 'an empty content is one', stored('Cache-Control: max-age=3600', body => ''),
    hit(has => ['Content-Length: 0'], content_is => '');

run();
