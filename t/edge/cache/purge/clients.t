# Invalidations by clients: they invalidate their own URIs, however many, and no other stored
# responses. No number of requests changes the records of tags or makes the stream long.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use IO::Socket::INET;
use Scene;
use Test::More;

my %version;
start_upstream(sub {
    my ($path, $request, $n) = @_;
    my $method = (split ' ', $request)[0];
    $version{$path}++ if $method ne 'GET';
    return answer('200 OK',
        ['Cache-Control: max-age=600',
            $method eq 'GET' && $path =~ /^\/tagged/ ? 'Cache-Tag: red' : ()],
        "version " . ($version{$path} // 0));
});

start_edge(<<'HTTP', <<'SERVER');
    weir_cache_zone alone 256k;
    weir_cache_zone shared 256k redis=main;
HTTP
    location / { weir_cache alone; proxy_pass http://UPSTREAM; }
    location /both/ { weir_cache shared; proxy_pass http://UPSTREAM; }
    location /redis/ { weir_cache shared l1=off; proxy_pass http://UPSTREAM; }
    location = /status { weir_status; }
SERVER

sub hits { my @paths = @_; scalar grep { cache_status(get($_)) =~ /; hit;/ } @paths }

sub flood {
    my ($prefix, $n) = @_;
    my $bad = grep { request('POST', "$prefix$_", {}, 'x')->{status} != 200 } 1 .. $n;
    is $bad, 0, "$n POSTs to other URIs, $prefix… are answered";
}

for my $where ('', '/both') {
    my @pages = map { "$where/page/$_" } 1 .. 10;
    my @changed = map { "$where/changed/$_" } 1 .. 5;
    get($_) for @pages, @changed, @pages;
    is hits(@pages), 10, "$where: pages are stored";
    request('POST', $_, {}, 'x') for @changed;
    flood("$where/other/", 400);
    is hits(@pages), 10, '... and still are, after more POSTs than there are records';
    is_deeply [map { get($_)->{content} } @changed], [('version 1') x 5],
        '... and what was changed before is not served as it was';
}

# other edges have nothing but the messages
my $long = '/both/' . 'a' x 4000;
request('POST', $long, {}, 'x');
until_true('the long one is in the stream', sub {
    my ($last) = @{ redis('XREVRANGE', 'weir:invalidate', '+', '-', 'COUNT', 1) };
    my %fields = $last ? @{ $last->[1] } : ();
    return $fields{hashes};
});
my $longest = 0;
for (@{ redis('XRANGE', 'weir:invalidate', '-', '+') }) {
    my $length = length join '', @{ $_->[1] };
    $longest = $length if $length > $longest;
}
cmp_ok $longest, '<', 250, 'no message is longer than some bytes, however long its URI';

# with nothing in memory
my @changed = map { "/redis/changed/$_" } 1 .. 5;
get($_) for @changed;
until_true('they are in Redis', sub { hits(@changed) == 5 });
request('POST', $_, {}, 'x') for @changed;
flood('/redis/other/', 400);
is_deeply [map { get($_)->{content} } @changed], [('version 1') x 5],
    'an old response does not come back from Redis either';

# the stream is bounded in bytes
redis('XADD', 'weir:invalidate', '*', 'tags', 'x' x 500_000) for 1 .. 150;
until_true('the stream is trimmed by its bytes', sub { redis('XLEN', 'weir:invalidate') < 120 });

is scalar(logged(qr/\[(alert|emerg|crit)\]|exited on signal/)), 0, 'the log has no alert';
done_testing;
