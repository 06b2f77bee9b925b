# RFC 9111 sections 4.2.1 and 1.2.2: calculating the freshness lifetime.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Case;

optional 'max-age', stored('Cache-Control: max-age=3600'), later(hit());
must 'max-age is over', stored('Cache-Control: max-age=1'), later(forwarded());
must 'max-age=0', stored('Cache-Control: max-age=0'), forwarded();
optional 's-maxage', stored('Cache-Control: s-maxage=3600'), later(hit());
must 's-maxage is over', stored('Cache-Control: s-maxage=1'), later(forwarded());
must 'If the cache is shared and s-maxage is present, use its value: shorter',
    stored('Cache-Control: max-age=3600, s-maxage=1'), later(forwarded());
must 'If the cache is shared and s-maxage is present, use its value: it stands first',
    stored('Cache-Control: s-maxage=1, max-age=3600'), later(forwarded());
must 'If the cache is shared and s-maxage is present, use its value: in another line',
    stored('Cache-Control: max-age=3600', 'Cache-Control: s-maxage=1'), later(forwarded());
optional 'If the cache is shared and s-maxage is present, use its value: longer',
    stored('Cache-Control: max-age=1, s-maxage=3600'), later(hit());
must 's-maxage goes before Expires',
    stored('Cache-Control: s-maxage=1', 'Expires: {+3600}', 'Date: {+0}'), later(forwarded());
optional 'max-age goes before Expires: one that is over',
    stored('Cache-Control: max-age=3600', 'Expires: {-3600}', 'Date: {+0}'), hit();
optional 'max-age goes before Expires: one that is no date',
    stored('Cache-Control: max-age=3600', 'Expires: 0', 'Date: {+0}'), hit();
must 'max-age goes before Expires: zero',
    stored('Cache-Control: max-age=0', 'Expires: {+3600}', 'Date: {+0}'), forwarded();
must 'max-age goes before Expires: shorter',
    stored('Cache-Control: max-age=1', 'Expires: {+3600}', 'Date: {+0}'), later(forwarded());
optional 'an unknown directive does no harm', stored('Cache-Control: foobar, max-age=3600'), hit();
optional 'an unknown directive with a value does no harm',
    stored('Cache-Control: foobar="x, y=\"z\"", max-age=3600'), hit();
optional 'names of directives have no case', stored('Cache-Control: MaX-aGe=3600'), hit();
optional 'the field name has no case', stored('cACHE-cONTROL: max-age=3600'), hit();
optional 'empty members do no harm', stored('Cache-Control: , max-age=3600,,'), hit();
optional 'spaces around members do no harm', stored("Cache-Control:   foo  ,\t max-age=3600 "),
    hit();
optional 'delta-seconds: 2147483648', stored('Cache-Control: max-age=2147483648'), hit();
optional 'delta-seconds: more than fits into 32 bits', stored('Cache-Control: max-age=99999999999'),
    hit();
optional 'delta-seconds: more than fits anywhere', stored('Cache-Control: max-age=' . '9' x 60),
    hit();
optional 'delta-seconds: leading zeros', stored('Cache-Control: max-age=003600'), hit();
optional 'the value may be a quoted-string (section 5.2)', stored('Cache-Control: max-age="3600"'),
    hit();
must 'the value may be a quoted-string (section 5.2): over', stored('Cache-Control: max-age="1"'),
    later(forwarded());
must 'a directive in a quoted-string is none',
    stored('Cache-Control: extension="max-age=3600", max-age=1'), later(forwarded());
must 'a directive in a quoted-string is none: afterwards',
    stored('Cache-Control: max-age=1, extension="max-age=3600"'), later(forwarded());
must 'a directive in a quoted-string is none: after an escaped quote',
    stored('Cache-Control: extension="a\", max-age=3600", max-age=1'), later(forwarded());
must 'a name that contains another is another',
    stored('Cache-Control: xmax-age=3600, max-agex=3600'), forwarded();
for ("'3600'", 'a3600', '3600a', '-3600', '3600.5', '+3600', '0x3600', '', '"3600', '36 00') {
    must "a response with invalid freshness information is to be considered stale: max-age=$_",
        stored("Cache-Control: max-age=$_"), forwarded();
}
for ('max-age =3600', 'max-age= 3600', 'max-age') {
    must "a response with invalid freshness information is to be considered stale: $_",
        stored("Cache-Control: $_"), forwarded();
}
must 'two values: the first, or stale: fresh and stale in one line',
    stored('Cache-Control: max-age=3600, max-age=1'), later({ want => 'any', answer => [] });
must 'two values: the first, or stale: the first is over',
    stored('Cache-Control: max-age=1, max-age=3600'), later(forwarded());
must 'two values: the first, or stale: the first line is over',
    stored('Cache-Control: max-age=1', 'Cache-Control: max-age=3600'), later(forwarded());
optional 'two values: the first', stored('Cache-Control: max-age=3600', 'Cache-Control: max-age=1'),
    later(hit());

run();
