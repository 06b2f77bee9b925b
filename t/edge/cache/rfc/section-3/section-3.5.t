# RFC 9111 section 3.5: storing responses to authenticated requests.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Case;

my @basic = (send => ['Authorization: Basic eDp5']);

for ('max-age=3600', 'max-age=3600, proxy-revalidate', 'max-age=3600, private="X"',
    'max-age=3600, immutable') {
    must 'A shared cache MUST NOT use a cached response to a request with Authorization '
        . "for another: $_",
        with(stored("Cache-Control: $_"), @basic, asks => ['Authorization: Basic eDp5']),
        forwarded();
}
must 'A shared cache MUST NOT use a cached response to a request with Authorization: Expires',
    with(stored('Expires: {+3600}', 'Date: {+0}'), @basic), forwarded();
must '... not for the same credentials either', with(stored('Cache-Control: max-age=3600'), @basic),
    with(forwarded('Cache-Control: max-age=3600'), @basic);
for ('max-age=3600, public', 'max-age=3600, must-revalidate', 's-maxage=3600') {
    optional "unless a response directive allows it: $_",
        with(stored("Cache-Control: $_", 'Date: {+0}'), @basic), hit();
}
optional 'what was stored without it answers a request with Authorization',
    stored('Cache-Control: max-age=3600'), hit('Authorization: Basic eDp5');
must 'must-revalidate lets it be reused only while it is fresh',
    with(stored('Cache-Control: max-age=1, must-revalidate', 'ETag: "x"'), @basic),
    later(with(validated('Cache-Control: max-age=1, must-revalidate'), @basic));

run();
