# RFC 9111 section 5.3: Expires, and dates by RFC 9110 section 5.6.7.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Case;

optional 'a date that is to come', stored('Expires: {+2592000}', 'Date: {+0}'), later(hit());
must 'a date that has passed', stored('Expires: {-2592000}', 'Date: {+0}'), forwarded();
must 'the present', stored('Expires: {+0}', 'Date: {+0}'), forwarded();
must 'it passes', stored('Expires: {+1}', 'Date: {+0}'), later(forwarded());
must 'before Date, though both are to come', stored('Expires: {+300}', 'Date: {+400}'), forwarded();
must 'after Date, though both have passed long ago', stored('Expires: {-3600}', 'Date: {-7200}'),
    forwarded();
optional 'without a Date the time of arrival stands for it', stored('Expires: {+3600}'), hit();
optional 'with a Date that is none the time of arrival stands for it',
    stored('Date: foo', 'Expires: {+3600}'), hit();
must 'an Age that is more than what is left', stored('Date: {+0}', 'Expires: {+10}', 'Age: 25'),
    forwarded();
must 'an Age that is more than what is left, by a slow clock',
    stored('Date: {-10}', 'Expires: {+10}', 'Age: 25'), forwarded();
must 'an Age that is more than what is left, by a fast clock',
    stored('Date: {+10}', 'Expires: {+20}', 'Age: 15'), forwarded();
optional 'of two lines the first', stored('Expires: {+3600}', 'Expires: {-3600}', 'Date: {+0}'),
    { want => 'any', answer => [] };
must 'of two lines the first, or stale',
    stored('Expires: {-3600}', 'Expires: {+3600}', 'Date: {+0}'), forwarded();

for ('Tue, 19 Jan 2038 03:14:08 GMT', 'Sat, 20 Nov 2286 17:46:40 GMT',
    'Fri, 31 Dec 9999 23:59:59 GMT', 'Thursday, 17-Nov-44 09:10:11 GMT',
    'Thu Nov 17 09:10:11 2044', 'Mon Nov  7 09:10:11 2044')
{
    optional "a date in the future: $_", stored("Expires: $_", 'Date: {+0}'), hit();
}
for ('THU, 17 Nov 2044 09:10:11 GMT', 'Thu, 17 NOV 2044 09:10:11 GMT',
    'Thu, 17 Nov 2044 09:10:11 gMT') {
    optional "a cache recipient SHOULD match the field value case-insensitively (section 4.2): $_",
        stored("Expires: $_", 'Date: {+0}'), hit();
}
for ('0', '-1', '', 'never', '2147483647', 'Thu, 17 Nov 2044 09:10:11 UTC',
    'Thu, 17 Nov 2044 09:10:11 AEST', 'Thu, 17 Nov 2044 09:10:11 +0000',
    'Thu, 17 Nov 2044 09:10:11', 'Thu, 17 Nov 44 09:10:11 GMT', 'Thu 17 Nov 2044 09:10:11 GMT',
    'Thu, 17  Nov  2044 09:10:11 GMT',
    'Thu, 17-Nov-2044 09:10:11 GMT', 'Thu, 17 Nov 2044 09.10.11 GMT',
    'Thu, 17 Nov 2044 9:10:11 GMT', 'Thu, 7 Nov 2044 09:10:11 GMT',
    'Thu, 17 Foo 2044 09:10:11 GMT', 'Thu, 17 Nov 2044 25:10:11 GMT',
    'Thu, 31 Nov 2044 09:10:11 GMT', '2044-11-17T09:10:11Z',
    'Thu, 17 Nov 2044 09:10:11 GMT x', '"Thu, 17 Nov 2044 09:10:11 GMT"',
    'Xyz, 17 Nov 2044 09:10:11 GMT')
{
    must 'A cache recipient MUST interpret invalid date formats as representing a time '
        . "in the past: \"$_\"",
        stored("Expires: $_", 'Date: {+0}'), forwarded();
}

run();
