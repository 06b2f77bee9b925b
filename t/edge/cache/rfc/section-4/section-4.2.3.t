# RFC 9111 sections 4.2.3 and 5.1: calculating age, and Age.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Case;

sub aged { return stored('Date: {+0}', 'Cache-Control: max-age=3600', map { "Age: $_" } @_) }

must 'age_value: more than max-age', aged('7200'), forwarded();
must 'age_value: as much as max-age', aged('3600'), forwarded();
must 'age_value: more than s-maxage', stored('Cache-Control: s-maxage=3600', 'Age: 7200'),
    forwarded();
optional 'age_value: less than max-age', aged('1800'), hit(age => 1800);
must 'apparent_age: Date is longer ago than max-age',
    stored('Date: {-7200}', 'Cache-Control: max-age=3600'), forwarded();
must 'apparent_age: Date is less long ago', stored('Date: {-1800}', 'Cache-Control: max-age=3600'),
    { want => 'hit', age => 1800 };
optional 'apparent_age: a Date in the future counts as none',
    stored('Date: {+7200}', 'Cache-Control: max-age=3600'), hit();
must 'corrected_initial_age: the greater one',
    stored('Date: {-1800}', 'Cache-Control: max-age=3600', 'Age: 7200'), forwarded();
must 'corrected_initial_age: the greater one, Date',
    stored('Date: {-7200}', 'Cache-Control: max-age=3600', 'Age: 10'), forwarded();
must 'resident_time is added', stored('Cache-Control: max-age=3600', 'Age: 3599'),
    later(forwarded());
must 'a number past 2^31 (section 1.2.2)', aged('99999999999'), forwarded();
must 'a number past all numbers', aged('9' x 60), forwarded();
must 'leading zeros', aged('007200'), forwarded();
optional 'a value that is invalid SHOULD be ignored: no number', aged('abc'), hit();
optional 'a value that is invalid SHOULD be ignored: negative', aged('-7200'), hit();
optional 'a value that is invalid SHOULD be ignored: a fraction', aged('7200.0'), hit();
optional 'a value that is invalid SHOULD be ignored: empty', aged(''), hit();
must 'of a list the first member: old', aged('7200, 0'), forwarded();
must 'of a list the first member: old, without a space', aged('7200,0'), forwarded();
optional 'of a list the first member: new', aged('0, 7200'), hit();
must 'of several lines the first: old', aged('7200', '0'), forwarded();
optional 'of several lines the first: new', aged('0', '7200'), hit();
must 'a list of the same', aged('7200, 7200'), forwarded();
optional 'a list of zeros', aged('0, 0'), hit();
must 'what is sent to the client is one number', aged('10, 20'), hit(age => 10);

run();
