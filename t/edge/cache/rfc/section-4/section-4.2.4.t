# RFC 9111 section 4.2.4: serving stale responses; RFC 5861: stale-while-revalidate
# and stale-if-error.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Case;

sub closed { return { want => 'forwarded', close => 1, code => 502, lacks => ['X-Step'], @_ } }
sub failed {
    my ($status, @more) = @_;
    return { want => 'forwarded', status => $status, answer => [], @more };
}
my $served = { want => 'any', close => 1, code => 200, has => ['X-Step: 0'] };

for ('must-revalidate', 'proxy-revalidate', 'no-cache', 's-maxage=1', 's-maxage=0', 'no-store',
    'private') {
    must "A cache MUST NOT generate a stale response if it is prohibited: $_",
        stored("Cache-Control: max-age=1, $_", 'ETag: "x"'), later(closed());
}
for ('must-revalidate', 'proxy-revalidate', 's-maxage=1') {
    must "... by $_, though stale-if-error is there",
        stored("Cache-Control: max-age=1, $_, stale-if-error=3600"), later(closed());
    must "... by $_, though stale-while-revalidate is there",
        stored("Cache-Control: max-age=1, $_, stale-while-revalidate=3600"), later(forwarded());
    must "... by $_, though max-stale is there", stored("Cache-Control: max-age=1, $_"),
        later(request_with('Cache-Control: max-stale=3600'));
}
must 'A cache MUST NOT generate a stale response unless it is disconnected or allowed to:'
    . ' the upstream answers',
    stored('Cache-Control: max-age=1'), later(forwarded());

optional 'stale-while-revalidate: at once',
    stored('Cache-Control: max-age=1, stale-while-revalidate=3600', 'ETag: "x"'),
    later({ want => 'any', answer => ['Cache-Control: max-age=3600'], has => ['X-Step: 0'] });
must 'stale-while-revalidate: not past its window',
    stored('Cache-Control: max-age=1, stale-while-revalidate=1', 'Age: 1'), later(forwarded());
must 'stale-while-revalidate: 0 is no window',
    stored('Cache-Control: max-age=1, stale-while-revalidate=0'), later(forwarded());
must 'stale-while-revalidate: no number is no window',
    stored('Cache-Control: max-age=1, stale-while-revalidate=x'), later(forwarded());
optional 'stale-while-revalidate: what the refresh brought is served next',
    stored('Cache-Control: max-age=1, stale-while-revalidate=3600'),
    later({ want => 'any', answer => ['Cache-Control: max-age=3600'] }),
    later({ want => 'hit', has => ['X-Step: 1'] });
optional 'stale-while-revalidate: the refresh validates',
    stored('Cache-Control: max-age=1, stale-while-revalidate=3600', 'ETag: "x"', 'A: 1'),
    later({ want => 'any', not_modified => ['Cache-Control: max-age=3600', 'A: 2'],
        has => ['X-Step: 0'] }),
    later({ want => 'hit', has => ['X-Step: 0', 'A: 2'] });

optional 'stale-if-error: the connection is closed',
    stored('Cache-Control: max-age=1, stale-if-error=3600'), later($served);
for (500, 502, 503, 504) {
    optional "stale-if-error: $_", stored('Cache-Control: max-age=1, stale-if-error=3600'),
        later({ want => 'any', status => $_, answer => [], code => 200, has => ['X-Step: 0'] });
}
must 'stale-if-error: not past its window',
    stored('Cache-Control: max-age=1, stale-if-error=1', 'Age: 1'), later(closed());
must 'stale-if-error: a 404 is no error', stored('Cache-Control: max-age=1, stale-if-error=3600'),
    later(failed(404));
must 'stale-if-error: a 501 is no error', stored('Cache-Control: max-age=1, stale-if-error=3600'),
    later(failed(501));
optional 'stale-if-error in the request', stored('Cache-Control: max-age=1', 'ETag: "x"'),
    later(with($served, send => ['Cache-Control: stale-if-error=3600']));
must 'what is served stale has its true Age',
    stored('Cache-Control: max-age=1, stale-if-error=3600', 'Age: 100'),
    later(with($served, age => 102));

run();
