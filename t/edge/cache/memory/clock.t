# The clock of the machine is set back: what was stored before is not fresh until the clock has
# caught up; it is asked for again, and stored.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Scene;
use Test::More;
use Weir::Base qw(spew);

my ($library) = glob '/usr/lib/*/faketime/libfaketimeMT.so.1';
plan skip_all => 'there is no libfaketime' if !$library;

my %faked = (
    FAKETIME_TIMESTAMP_FILE => "$dir/clock", FAKETIME_NO_CACHE => 1, NO_FAKE_STAT => 1,
    FAKETIME_DONT_FAKE_MONOTONIC => 1, DONT_FAKE_MONOTONIC => 1,
    ASAN_OPTIONS => 'verify_asan_link_order=0');

start_upstream(sub {
    my ($path, $request, $n) = @_;
    my @varies = $path =~ /varies/ ? 'Vary: Accept-Language' : ();
    return answer('200 OK', ['Cache-Control: max-age=1000', @varies], "answer $n");
});

spew("$dir/clock", '+2h');
{
    local @ENV{'LD_PRELOAD', keys %faked} = ($library, values %faked);
    start_edge('weir_cache_zone z 1m;', 'weir_cache z; location / { proxy_pass http://UPSTREAM; }',
        main => join "\n", map { "env $_;" } sort keys %faked);
}

for my $path ('/plain', '/varies') {
    get($path);
    like cache_status(get($path)), qr/^Weir; hit;/, "$path is stored";
}

spew("$dir/clock", '+0');
for my $path ('/plain', '/varies') {
    until_true("$path is asked for again", sub { get($path)->{content} eq 'answer 2' });
    like cache_status(get($path)), qr/^Weir; hit;/, '... and stored again';
}

spew("$dir/clock", '+1h');
until_true('a lifetime has passed', sub { get('/plain')->{content} eq 'answer 3' });
like cache_status(get('/plain')), qr/^Weir; hit;/, 'a clock that is set forward ends lifetimes';

is scalar(logged(qr/\[(alert|emerg|crit)\]|exited on signal/)), 0, 'no alarm';
done_testing;
