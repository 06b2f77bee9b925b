# RFC 9111 section 4.3.1: sending a validation request, and section 4.3.3: handling its response.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Case;

my @last = ('Last-Modified: Wed, 01 Jan 2020 00:00:00 GMT');
my @since = ('If-Modified-Since: Wed, 01 Jan 2020 00:00:00 GMT');
sub conditional {
    my $step = later(validated('Cache-Control: max-age=3600'));
    return with($step, asks => [@_]);
}

must 'A cache MUST send the relevant entity tags: If-None-Match, strong',
    stored('Cache-Control: max-age=1', 'ETag: "x"'), conditional('If-None-Match: "x"');
must 'A cache MUST send the relevant entity tags: If-None-Match, weak',
    stored('Cache-Control: max-age=1', 'ETag: W/"x"'), conditional('If-None-Match: W/"x"');
must 'A cache SHOULD send the Last-Modified value if no entity tag is available',
    stored('Cache-Control: max-age=1', @last), conditional(@since);
optional 'MAY send the Last-Modified value in addition',
    stored('Cache-Control: max-age=1', @last, 'ETag: "x"'),
    conditional('If-None-Match: "x"', @since);
optional 'an entity tag without quotes is sent as it came',
    stored('Cache-Control: max-age=1', 'ETag: x'), conditional('If-None-Match: x');
optional 'what was stored stale is validated', stored('Expires: {-3600}', @last),
    validated('Cache-Control: max-age=3600', asks => [@since]);
optional 'the validated is fresh again', stored('Cache-Control: max-age=1', 'ETag: "x"'),
    conditional(), hit(has => ['Cache-Control: max-age=3600']);
optional 'the validated is validated again', stored('Cache-Control: max-age=1', 'ETag: "x"'),
    later(validated('Cache-Control: max-age=1')), conditional('If-None-Match: "x"');
must 'the validated has the stored content',
    stored('Cache-Control: max-age=1', 'ETag: "x"', body => 'abc'),
    with(conditional(), content_is => 'abc', has => ['Content-Length: 3']);
optional 'a 404 is validated too', stored('Cache-Control: max-age=1', 'ETag: "x"', status => 404),
    with(conditional(), code => 404);
must 'without a validator nothing is asked conditionally', stored('Cache-Control: max-age=1'),
    later(forwarded(asks_not => ['If-None-Match', 'If-Modified-Since']));
must 'a fresh response is not validated', stored('Cache-Control: max-age=3600', 'ETag: "x"'),
    later(hit());
must 'the client\'s own conditions make way for those of the cache',
    stored('Cache-Control: max-age=1', 'ETag: "x"'),
    with(conditional('If-None-Match: "x"'), send => ['If-None-Match: "y"', @since], code => 200,
        asks_not => ['If-Modified-Since']);
must 'the client whose condition is met gets a 304 after it',
    stored('Cache-Control: max-age=1', 'ETag: "x"'),
    with(conditional('If-None-Match: "x"'), send => ['If-None-Match: "x"'], code => 304,
        content_is => '');
optional 'the client whose date is met gets a 304 after it',
    stored('Cache-Control: max-age=1', @last),
    with(conditional(@since), send => [@since], code => 304, content_is => '');

# section 4.3.3
must 'a full response: the cache MUST use it and MAY store it',
    stored('Cache-Control: max-age=1', 'ETag: "x"', 'A: 1'),
    later(forwarded('Cache-Control: max-age=3600', 'ETag: "y"', 'A: 2', has => ['A: 2'])),
    hit(has => ['A: 2', 'X-Step: 1']);
must 'a full response takes the place of the stored one: fields of the old are gone',
    stored('Cache-Control: max-age=1', 'ETag: "x"', 'A: 1'),
    later(forwarded('Cache-Control: max-age=3600', lacks => ['A'])), hit(lacks => ['A']);
must 'a full response that is not stored is used', stored('Cache-Control: max-age=1', 'ETag: "x"'),
    later(forwarded('Cache-Control: no-store')), forwarded();
must 'a 5xx: the cache can forward it', stored('Cache-Control: max-age=1', 'ETag: "x"'),
    later({ want => 'forwarded', status => 503, answer => [], code => 503 });
must 'a 5xx does not take the place of the stored one',
    stored('Cache-Control: max-age=1', 'ETag: "x"'),
    later({ want => 'forwarded', status => 503, answer => [], code => 503 }),
    validated('Cache-Control: max-age=3600', asks => ['If-None-Match: "x"']);
must 'a 304 that says no-store: used this once', stored('Cache-Control: max-age=1', 'ETag: "x"'),
    later(validated('Cache-Control: no-store')), forwarded();

# conditions when nothing is stored: decided at the edge, so that what the upstream answers can be
# stored for all
for ('If-None-Match: "x"', 'If-None-Match: x', @since) {
    my ($name) = /^([^:]+)/;
    must "a condition stays at the edge when nothing is stored: $_",
        with(stored('Cache-Control: max-age=3600', 'ETag: "z"',
            'Last-Modified: Fri, 01 Jan 2021 00:00:00 GMT'),
            send => [$_], asks_not => [$name]),
        hit();
}

run();
