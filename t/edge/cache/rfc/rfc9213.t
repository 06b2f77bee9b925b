# RFC 9213: targeted HTTP cache control, CDN-Cache-Control; RFC 8941: its syntax.
use strict;
use warnings;

use FindBin '$Bin';
use lib $Bin;
use Case;

sub cdn { my ($value, @more) = @_; return stored("CDN-Cache-Control: $value", @more) }
my @fresh = ('Cache-Control: max-age=3600');
my @later = ('Expires: {+3600}', 'Date: {+0}');

optional 'max-age', cdn('max-age=3600'), later(hit());
optional 'max-age=2147483648', cdn('max-age=2147483648'), hit();
optional 'max-age=99999999999', cdn('max-age=99999999999'), hit();
optional 's-maxage', cdn('s-maxage=3600'), hit();
must 'max-age is over', cdn('max-age=1'), later(forwarded());
must 'max-age=0', cdn('max-age=0'), forwarded();
must 'an Age that is more', cdn('max-age=3600', 'Age: 7200', 'Date: {+0}'), forwarded();
optional 'what is unknown is ignored', cdn('foobar, max-age=3600'), hit();
optional 'parameters are ignored', cdn('max-age=3600;a=1;b'), hit();
optional 'goes before Expires: one that is over',
    cdn('max-age=3600', 'Expires: {-3600}', 'Date: {+0}'), hit();
optional 'goes before Expires: one that is no date',
    cdn('max-age=3600', 'Expires: 0', 'Date: {+0}'), hit();
must 'goes before Expires: zero', cdn('max-age=0', @later), forwarded();
optional 'goes before Cache-Control: longer', cdn('max-age=3600', 'Cache-Control: max-age=1'),
    later(hit());
must 'goes before Cache-Control: shorter', cdn('max-age=1', @fresh), later(forwarded());
must 'goes before Cache-Control: private', cdn('private', @fresh, @later), forwarded();
must 'goes before Cache-Control: no-cache', cdn('no-cache', @fresh, @later), forwarded();
must 'goes before Cache-Control: no-store', cdn('no-store', @fresh, @later), forwarded();
optional 'goes before Cache-Control: a lifetime against no-store',
    cdn('max-age=3600', 'Cache-Control: no-store'), hit();
optional 'goes before Cache-Control: a lifetime against private',
    cdn('max-age=3600', 'Cache-Control: private'), hit();
must 'goes before Cache-Control: must-revalidate',
    cdn('max-age=1, must-revalidate', 'Cache-Control: max-age=1, stale-while-revalidate=3600'),
    later(forwarded());
must 'an empty field is ignored', cdn('', 'Cache-Control: no-store'), forwarded();
optional 'an empty field is ignored, and Cache-Control counts', cdn('', @fresh), hit();
optional 'two lines are one', stored('CDN-Cache-Control: foo', 'CDN-Cache-Control: max-age=3600'),
    hit();
must 'of two members of one name the last counts (RFC 8941 section 3.2)',
    cdn('max-age=3600, max-age=0', @fresh), forwarded();
for ('max-age=3600, &&&&&', 'max-age=3600,', 'max-age =3600', 'max-age= 3600', 'MaX-aGe=3600',
    'max-age=3600; =', 'max-age=(1 2', 'max-age=3600 foo',
    'max-age="3600') {
    must "what is no Dictionary is ignored: $_", cdn($_, 'Cache-Control: no-store'), forwarded();
}
for ('max-age="3600"', 'max-age=3600.5', 'max-age=-3600', 'max-age=?1', 'max-age=token', 'max-age',
    'max-age=:aGk=:') {
    must "a value of the wrong type is not taken: $_", cdn($_, 'Cache-Control: no-store'),
        forwarded();
}
optional 'an invalid field is ignored, and Cache-Control counts', cdn('&&&&&', @fresh), hit();
optional 'the field is forwarded',
    stored('CDN-Cache-Control: max-age=3600', has => ['CDN-Cache-Control: max-age=3600']);
optional 'the field is stored', cdn('max-age=3600'),
    hit(has => ['CDN-Cache-Control: max-age=3600']);

run();
