# RFC 9111 section 5.3: Expires, and dates by RFC 9110 section 5.6.7.
use strict;
use warnings;

use FindBin '$Bin';
use lib $Bin;
use Case;

optional 'a date that is to come', stored('Expires: {+2592000}', 'Date: {+0}'), later(hit());
must 'a date that has passed', stored('Expires: {-2592000}', 'Date: {+0}'), forwarded();
must 'the present', stored('Expires: {+0}', 'Date: {+0}'), forwarded();
must 'it passes', stored('Expires: {+1}', 'Date: {+0}'), later(forwarded());
must 'before Date, though both are to come', stored('Expires: {+300}', 'Date: {+400}'), forwarded();
must 'after Date, though both have passed long ago', stored('Expires: {-3600}', 'Date: {-7200}'), forwarded();
optional 'without a Date the time of arrival stands for it', stored('Expires: {+3600}'), hit();
optional 'with a Date that is none the time of arrival stands for it', stored('Date: foo', 'Expires: {+3600}'), hit();
must 'an Age that is more than what is left', stored('Date: {+0}', 'Expires: {+10}', 'Age: 25'), forwarded();
must 'an Age that is more than what is left, by a slow clock', stored('Date: {-10}', 'Expires: {+10}', 'Age: 25'), forwarded();
must 'an Age that is more than what is left, by a fast clock', stored('Date: {+10}', 'Expires: {+20}', 'Age: 15'), forwarded();
optional 'of two lines the first', stored('Expires: {+3600}', 'Expires: {-3600}', 'Date: {+0}'), { want => 'any', answer => [] };
must 'of two lines the first, or stale', stored('Expires: {-3600}', 'Expires: {+3600}', 'Date: {+0}'), forwarded();

for ('Tue, 19 Jan 2038 14:14:08 GMT', 'Sun, 21 Nov 2286 04:46:39 GMT', 'Fri, 31 Dec 9999 23:59:59 GMT', 'Thursday, 18-Aug-50 02:01:18 GMT',
    'Thu Aug 18 02:01:18 2050', 'Mon Aug  8 02:01:18 2050')
{
    optional "a date in the future: $_", stored("Expires: $_", 'Date: {+0}'), hit();
}
for ('THU, 18 Aug 2050 02:01:18 GMT', 'Thu, 18 AUG 2050 02:01:18 GMT', 'Thu, 18 Aug 2050 02:01:18 gMT') {
    optional "a cache recipient SHOULD match the field value case-insensitively (section 4.2): $_", stored("Expires: $_", 'Date: {+0}'), hit();
}
for ('0', '-1', '', 'never', '2147483647', 'Thu, 18 Aug 2050 02:01:18 UTC', 'Thu, 18 Aug 2050 02:01:18 AEST', 'Thu, 18 Aug 2050 02:01:18 +0000',
    'Thu, 18 Aug 2050 02:01:18', 'Thu, 18 Aug 50 02:01:18 GMT', 'Thu 18 Aug 2050 02:01:18 GMT', 'Thu, 18  Aug  2050 02:01:18 GMT',
    'Thu, 18-Aug-2050 02:01:18 GMT', 'Thu, 18 Aug 2050 02.01.18 GMT', 'Thu, 18 Aug 2050 2:01:18 GMT', 'Thu, 8 Aug 2050 02:01:18 GMT',
    'Thu, 18 Foo 2050 02:01:18 GMT', 'Thu, 18 Aug 2050 25:01:18 GMT', 'Thu, 32 Aug 2050 02:01:18 GMT', '2050-08-18T02:01:18Z',
    'Thu, 18 Aug 2050 02:01:18 GMT x', '"Thu, 18 Aug 2050 02:01:18 GMT"', 'Xyz, 18 Aug 2050 02:01:18 GMT')
{
    must "A cache recipient MUST interpret invalid date formats as representing a time in the past: \"$_\"",
        stored("Expires: $_", 'Date: {+0}'), forwarded();
}

run();
