# RFC 9111 section 4.2.2: calculating heuristic freshness, which weir_cache_heuristic
# asks for; without it nothing is reused that does not say how long.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Case;

my @day = ('Last-Modified: {-86400}', 'Date: {+0}');

for my $status (201, 202, 303, 307, 403, 500, 502, 503, 504, 599) {
    must 'A cache MUST NOT use heuristics without explicit freshness: '
        . "$status is not cacheable by default",
        stored(@day, status => $status), forwarded(status => $status);
}
for my $status (200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501) {
    optional "a heuristic lifetime where there is none: $status",
        lacking('weir_cache_heuristic is off by default'),
        stored(@day, status => $status),
        hit(code => $status, $status == 204 ? (content_is => '') : ());
}
optional 'a heuristic lifetime by Cache-Control: public',
    lacking('weir_cache_heuristic is off by default'),
    stored(@day, 'Cache-Control: public', status => 599), hit(code => 599);
must 'A cache MUST NOT use heuristics when there is an explicit expiration: max-age',
    stored(@day, 'Cache-Control: max-age=0'), forwarded();
must 'A cache MUST NOT use heuristics when there is an explicit expiration: Expires',
    stored(@day, 'Expires: 0'), forwarded();
must 'without Last-Modified nothing is known', stored('Date: {+0}'), forwarded();
must 'a Last-Modified in the future tells nothing', stored('Date: {+0}', 'Last-Modified: {+86400}'),
    forwarded();

run();
