/* Dates and times in the configuration (RFC 3339 section 5.6). */

#ifndef WEIR_RFC3339_H
#define WEIR_RFC3339_H

#include "common/text/str.h"

#include <time.h>

/*
 * Reads "2026-01-31" (midnight UTC) or "2026-01-31T10:00:00Z" (or with an
 * offset such as +02:00; no fractions of a second) as seconds since the epoch.
 * Returns 0, or -1 if s has another form or is no day of the calendar.
 */
int weir_rfc3339_parse(weir_str_t s, time_t *seconds);

#endif
