/*
 * Byte ranges, RFC 9110 section 14: what a request wants, and which part of a
 * response a 206 holds.  Only single ranges, and only of representations whose
 * length is known: for anything else the upstream is asked.
 *
 * Nothing here allocates.
 */

#ifndef WEIR_CACHE_RANGE_H
#define WEIR_CACHE_RANGE_H

#include "common/str.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    int64_t first, last; /* positions of bytes, both included */
    int64_t total;       /* length of the whole */
} weir_range_t;

/*
 * Content-Range (section 14.4).  Returns false when it is no single range of
 * bytes, doesn't tell the length, or contradicts itself.
 */
bool weir_content_range_parse(weir_str_t value, weir_range_t *range);

/*
 * Range (section 14.1.2) of a whole of that many bytes.  Returns false unless it
 * is exactly one range of bytes that can be satisfied.
 */
bool weir_range_parse(weir_str_t value, int64_t total, weir_range_t *range);

#endif
