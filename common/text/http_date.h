/*
 * Strict parser of HTTP-date, RFC 9110 section 5.6.7. A cache must treat an
 * invalid date as a date in the past (RFC 9111 section 5.3), so a lenient
 * parser would serve expired responses.
 *
 * The parser allocates no memory and reads no clock.
 */

#ifndef WEIR_HTTP_DATE_H
#define WEIR_HTTP_DATE_H

#include "common/text/str.h"

#include <stdint.h>

/*
 * Reads IMF-fixdate, the obsolete RFC 850 format and the format of asctime().
 * Names may be in any case (RFC 9111 section 4.2). GMT is the only zone. The
 * day of the week is not compared with the date. now, in seconds since the
 * epoch, is needed for years of two digits, which are at most 50 years in the
 * future.
 *
 * Returns seconds since the epoch, 0 for times before the epoch, and -1 for an
 * invalid date.
 */
int64_t weir_http_date(weir_str_t value, int64_t now);

#endif
