/*
 * Dates in header fields, HTTP-date of RFC 9110 section 5.6.7, by the letter: a
 * cache must take what is no date for one that has passed (RFC 9111 section
 * 5.3), so that leniency would mean serving what has expired.
 *
 * Nothing here allocates or reads a clock.
 */

#ifndef WEIR_CACHE_HTTP_DATE_H
#define WEIR_CACHE_HTTP_DATE_H

#include "common/str.h"

#include <stdint.h>

/*
 * Reads IMF-fixdate, the obsolete RFC 850 format and that of asctime(), whose
 * names may be of any case (RFC 9111 section 4.2); the only zone is GMT, and
 * the name of the day is not compared with the date.  now, in seconds since the
 * epoch, is for years of two digits: they are at most 50 years ahead.
 *
 * Returns seconds since the epoch, 0 for all times before it; -1: no date.
 */
int64_t weir_http_date(weir_str_t value, int64_t now);

#endif
