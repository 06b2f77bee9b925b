# RFC 9111 section 4.3.5: freshening responses with HEAD.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Case;

sub head {
    my ($lines, @more) = @_;
    return later({ method => 'HEAD', want => 'forwarded', answer => $lines,
        send => ['Cache-Control: no-cache'], @more });
}
my $length = sub { 'Content-Length: ' . length };

must 'a HEAD is written through when the stored response is stale',
    stored('Cache-Control: max-age=1'),
    later({ method => 'HEAD', want => 'forwarded', answer => [] });
optional 'a HEAD with the same ETag updates the stored response',
    stored('Cache-Control: max-age=3600', 'ETag: "x"', 'A: 1', body => '0123456789'),
    head(['Cache-Control: max-age=3600', 'ETag: "x"', 'A: 2'], body => '0123456789'),
    hit(content_is => '0123456789', has => ['A: 2']);
optional 'a HEAD with the same ETag makes the stored response fresh',
    stored('Cache-Control: max-age=1', 'ETag: "x"', 'A: 1'),
    head(['Cache-Control: max-age=3600', 'ETag: "x"']), hit(has => ['A: 1']);
optional 'a HEAD with the same Last-Modified makes the stored response fresh',
    stored('Cache-Control: max-age=1', 'Last-Modified: Wed, 01 Jan 2020 00:00:00 GMT'),
    head(['Cache-Control: max-age=3600', 'Last-Modified: Wed, 01 Jan 2020 00:00:00 GMT']), hit();
optional 'a 304 to a HEAD makes the stored response fresh',
    stored('Cache-Control: max-age=1', 'ETag: "x"', 'A: 1'),
    later({ method => 'HEAD', want => 'validated', not_modified => ['Cache-Control: max-age=3600'],
        code => 200, content_is => '' }),
    hit(has => ['A: 1']);
optional 'otherwise the cache SHOULD consider the stored response to be stale: another ETag',
    stored('Cache-Control: max-age=3600', 'ETag: "x"'),
    head(['Cache-Control: max-age=3600', 'ETag: "y"']), forwarded();
optional 'otherwise the cache SHOULD consider the stored response to be stale:'
    . ' another Last-Modified',
    stored('Cache-Control: max-age=3600', 'Last-Modified: Wed, 01 Jan 2020 00:00:00 GMT'),
    head(['Cache-Control: max-age=3600', 'Last-Modified: Wed, 01 Jan 2025 00:00:00 GMT']),
    forwarded();
optional 'otherwise the cache SHOULD consider the stored response to be stale:'
    . ' another Content-Length',
    stored('Cache-Control: max-age=3600', 'ETag: "x"', body => '0123456789'),
    head(['Cache-Control: max-age=3600', 'ETag: "x"'], body => '01234'), forwarded();
must 'a HEAD without a validator makes nothing fresh', stored('Cache-Control: max-age=1', 'A: 1'),
    later({ method => 'HEAD', want => 'forwarded',
        answer => ['Cache-Control: max-age=3600', 'A: 2'] }),
    forwarded('A: 3');
must 'a HEAD with another status changes nothing of what is stored',
    stored('Cache-Control: max-age=3600', 'ETag: "x"', 'A: 1'),
    head(['A: 2'], status => 500), { want => 'any', answer => ['A: 1'], has => ['A: 1'] };
must 'a HEAD leaves no empty response behind', stored('Cache-Control: max-age=1'),
    head(['Cache-Control: max-age=3600']), { want => 'any', answer => [], code => 200 };

run();
