/*
 * Byte ranges, RFC 9110 section 14: the part that a request asks for, and the
 * part that a 206 contains.  Only single ranges, and only of representations of
 * known length; all other requests go to the upstream.
 *
 * The parsers allocate no memory.
 */

#ifndef WEIR_CACHE_RANGE_H
#define WEIR_CACHE_RANGE_H

#include "common/text/str.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    int64_t first, last; /* positions of the first and the last byte, both included */
    int64_t total;       /* length of the whole representation, bytes */
} weir_range_t;

/*
 * Reads Content-Range (section 14.4).  Returns false if the value is not a
 * single range of bytes, names no length, or contradicts itself.
 */
bool weir_content_range_parse(weir_str_t value, weir_range_t *range);

/*
 * Reads Range (section 14.1.2) for a representation of total bytes.  Returns
 * true only for exactly one satisfiable range of bytes.
 */
bool weir_range_parse(weir_str_t value, int64_t total, weir_range_t *range);

#endif
