# RFC 9211: Cache-Status.
use strict;
use warnings;

use FindBin '$Bin';
use lib $Bin;
use Case;

my $hour = stored('Cache-Control: max-age=3600');
sub says {
    my ($step, $pattern) = @_;
    return with($step, has => [qr/^Cache-Status: Weir; $pattern$/]);
}

optional 'a hit', $hour, says(hit(), 'hit; ttl=3[56]\d\d(?:; \S+)*');
optional 'a hit that was allowed to be stale: ttl is negative',
    stored('Cache-Control: max-age=1500', 'Age: 2000', 'ETag: "x"'),
    says(hit('Cache-Control: max-stale'), 'hit; ttl=-5\d\d(?:; \S+)*');
optional 'fwd=uri-miss; stored', says($hour, 'fwd=uri-miss; fwd-status=200; stored');
optional 'fwd=uri-miss, not stored',
    says(stored('Cache-Control: no-store'), 'fwd=uri-miss; fwd-status=200');
optional 'fwd=vary-miss',
    with(stored('Cache-Control: max-age=3600', 'Vary: Foo'), send => ['Foo: 1']),
    says(with(stored('Cache-Control: max-age=3600', 'Vary: Foo'), send => ['Foo: 2']),
        'fwd=vary-miss; fwd-status=200; stored');
optional 'fwd=stale', stored('Cache-Control: max-age=1', 'ETag: "x"'),
    later(says(forwarded('Cache-Control: max-age=3600'), 'fwd=stale; fwd-status=200; stored'));
optional 'fwd=stale; fwd-status=304', stored('Cache-Control: max-age=1', 'ETag: "x"'),
    later(says(validated('Cache-Control: max-age=3600'), 'fwd=stale; fwd-status=304; stored'));
optional 'fwd=request', $hour,
    says(request_with('Cache-Control: no-cache'), 'fwd=request; fwd-status=200(?:; stored)?');
optional 'fwd=request; fwd-status=304', stored('Cache-Control: max-age=3600', 'ETag: "x"'),
    says(with(validated('Cache-Control: max-age=3600'), send => ['Cache-Control: no-cache']),
        'fwd=request; fwd-status=304; stored');
optional 'fwd=method',
    says(with(forwarded(), method => 'POST', content => 'x'), 'fwd=method; fwd-status=200');
optional 'fwd=bypass', says(with(forwarded(), content => 'x'), 'fwd=bypass; fwd-status=200');
optional 'the caches before it stand before it',
    stored('Cache-Control: max-age=3600', 'Cache-Status: Origin; hit',
        has => [qr/^Cache-Status: Origin; hit$/, qr/^Cache-Status: Weir; fwd=uri-miss/]),
    hit(has => [qr/^Cache-Status: Origin; hit$/, qr/^Cache-Status: Weir; hit/]);

run();
