/* Times as text: RFC 3339, in UTC with milliseconds, so that their order is that of time. */
#ifndef WEIR_RFC3339_H
#define WEIR_RFC3339_H

#include <stdio.h>
#include <time.h>

#define WEIR_RFC3339_LEN 24 /* 2026-01-31T12:00:00.000Z */

/* Writes the time so many seconds and milliseconds after 1970, before the year 10000. */
static inline void weir_rfc3339(char out[WEIR_RFC3339_LEN + 1], time_t seconds, unsigned ms)
{
    struct tm tm;
    size_t n = strftime(out, WEIR_RFC3339_LEN + 1, "%Y-%m-%dT%H:%M:%S", gmtime_r(&seconds, &tm));

    snprintf(out + n, WEIR_RFC3339_LEN + 1 - n, ".%03uZ", ms % 1000);
}

#endif
