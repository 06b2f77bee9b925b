# RFC 9111 section 4.1: calculating cache keys with Vary.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Case;

my @fresh = ('Cache-Control: max-age=3600', 'Last-Modified: {-3000}', 'Date: {+0}');
sub vary {
    my ($vary, @send) = @_;
    return with(stored(@fresh, (map { "Vary: $_" } ref $vary ? @$vary : $vary)), send => \@send);
}
sub again { return with(forwarded(@fresh), send => [@_]) }

optional 'the presented fields match', vary('Foo', 'Foo: 1'), hit('Foo: 1');
must 'MUST NOT use without validation unless all the presented fields match', vary('Foo', 'Foo: 1'),
    again('Foo: 2');
must '... the request lacks the field', vary('Foo', 'Foo: 1'), again();
must '... the stored request lacked the field', vary('Foo'), again('Foo: 1');
must '... an empty field is not an absent one', vary('Foo'), again('Foo: ');
must '... values are compared with their case', vary('Foo', 'Foo: abc'), again('Foo: ABC');
must '... values are compared whole', vary('Foo', 'Foo: 1'), again('Foo: 1, 2');
must '... members of an unknown field have an order', vary('Foo', 'Foo: 1, 2'), again('Foo: 2, 1');
optional 'the absent match each other', vary('Foo'), hit();
optional 'the names in Vary have no case', vary('FOO', 'foo: 1'), hit('Foo: 1');
must 'the names in Vary have no case: no match', vary('fOO', 'Foo: 1'), again('Foo: 2');
optional 'other fields do not count', vary('Foo', 'Foo: 1', 'Other: 2'), hit('Foo: 1', 'Other: 3');
optional 'two fields match', vary('Foo, Bar', 'Foo: 1', 'Bar: abc'), hit('Foo: 1', 'Bar: abc');
must 'two fields: the first does not match', vary('Foo, Bar', 'Foo: 1', 'Bar: abc'),
    again('Foo: 2', 'Bar: abc');
must 'two fields: the second does not match', vary('Foo, Bar', 'Foo: 1', 'Bar: abc'),
    again('Foo: 1', 'Bar: abd');
must 'two fields: both absent', vary('Foo, Bar', 'Foo: 1', 'Bar: abc'), again();
must 'two fields: values do not mix', vary('Foo, Bar', 'Foo: 1', 'Bar: 2'),
    again('Foo: 2', 'Bar: 1');
must 'two fields in two lines: the second does not match',
    vary(['Foo', 'Bar'], 'Foo: 1', 'Bar: abc'), again('Foo: 1', 'Bar: abd');
optional 'two fields in two lines match', vary(['Foo', 'Bar'], 'Foo: 1', 'Bar: abc'),
    hit('Bar: abc', 'Foo: 1');
optional 'three fields match in any order', vary('Foo, Bar, Baz', 'Foo: 1', 'Bar: abc', 'Baz: 789'),
    hit('Baz: 789', 'Foo: 1', 'Bar: abc');
must 'three fields: one does not match', vary('Foo, Bar, Baz', 'Foo: 1', 'Bar: abc', 'Baz: 789'),
    again('Foo: 1', 'Baz: 789', 'Bar: abcde');
optional 'three fields: one is absent in both', vary('Foo, Bar, Baz', 'Foo: 1', 'Baz: 789'),
    hit('Foo: 1', 'Baz: 789');

for ('*', '*, *', ', *', '*, Foo', 'Foo, *', 'Foo,*,Bar') {
    must "a stored response with Vary containing * always fails to match: $_",
        vary($_, 'Foo: 1', 'Bar: 1'), again('Foo: 1', 'Bar: 1');
}
must 'a stored response with Vary containing * always fails to match: in a second line',
    vary(['', '*'], 'Foo: 1'), again('Foo: 1');
must 'a stored response with Vary containing * always fails to match: after a name in another line',
    vary(['Foo', '*'], 'Foo: 1'), again('Foo: 1');
must 'a Vary that is no list of names matches nothing, or what it says', vary('Foo Bar', 'Foo: 1'),
    with(again('Foo: 2'), want => 'forwarded');

optional 'two variants are stored', vary('Foo', 'Foo: 1'),
    with(forwarded(@fresh, 'Vary: Foo'), send => ['Foo: 2']), hit('Foo: 1'), hit('Foo: 2');
must 'each variant has its own response',
    with(stored(@fresh, 'Vary: Foo', 'A: 1'), send => ['Foo: 1']),
    with(stored(@fresh, 'Vary: Foo', 'A: 2'), send => ['Foo: 2']), hit('Foo: 1', has => ['A: 1']),
    hit('Foo: 2', has => ['A: 2']);
must 'a response that varies otherwise is used where it matches', vary('Foo', 'Foo: 1', 'Bar: 1'),
    with(stored(@fresh, 'Vary: Foo, Bar'), send => ['Foo: 2', 'Bar: 2']), again('Foo: 2', 'Bar: 3');
must 'the stored fields are in a validation',
    with(stored('Cache-Control: max-age=1', 'ETag: "x"', 'Vary: Foo'), send => ['Foo: 1']),
    later(with(validated('Cache-Control: max-age=3600'), send => ['Foo: 1'],
        asks => ['Foo: 1', 'If-None-Match: "x"']));
must 'a variant is not validated for another request',
    with(stored('Cache-Control: max-age=3600', 'ETag: "x"', 'Vary: Foo'), send => ['Foo: 1']),
    with(forwarded(), send => ['Foo: 2']);

my $bytes = 'only fields whose grammar is a list are normalized, others are compared byte by byte';
optional 'normalized: whitespace', lacking($bytes), vary('Foo', 'Foo: 1,2'), hit('Foo:   1 ,  2  ');
optional 'normalized: lines of one name are combined', lacking($bytes), vary('Foo', 'Foo: 1, 2'),
    hit('Foo: 1', 'Foo: 2');
optional 'normalized: the case of Accept-Language',
    vary('Accept-Language', 'Accept-Language: en, de'), hit('Accept-Language: eN, De');
optional 'normalized: whitespace of Accept-Language',
    vary('Accept-Language', 'Accept-Language: en, de;q=0.5'),
    hit('Accept-Language:  en ,   de ; q=0.5');
optional 'normalized: the order of Accept-Language',
    vary('Accept-Language', 'Accept-Language: en, de'), hit('Accept-Language: de, en');
optional 'normalized: the order of Accept-Encoding',
    vary('Accept-Encoding', 'Accept-Encoding: gzip, br'), hit('Accept-Encoding: br, gzip');
optional 'normalized: the case of Accept-Encoding',
    vary('Accept-Encoding', 'Accept-Encoding: gzip'), hit('Accept-Encoding: GZIP');
must 'normalized: weights count', vary('Accept-Language', 'Accept-Language: en, de;q=0.5'),
    again('Accept-Language: en;q=0.5, de');
optional 'selected by Content-Language and the weights of Accept-Language',
    lacking('what a request prefers is left to the upstream'),
    with(stored(@fresh, 'Vary: Accept-Language', 'Content-Language: de'),
        send => ['Accept-Language: en, de']),
    hit('Accept-Language: fr;q=0.5, de;q=1.0');

run();
