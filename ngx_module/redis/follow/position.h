/*
 * The ID of an entry of a Redis stream: the position of a message in its log. It is 0-0 before the
 * first one.
 */
#ifndef WEIR_POSITION_H
#define WEIR_POSITION_H

#include "common/text/str.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    uint64_t ms; /* since the epoch, by the server's clock */
    uint64_t seq;
} weir_position_t;

/* Less than, equal to or greater than 0, as a is before, at or behind b. */
static inline int weir_position_cmp(weir_position_t a, weir_position_t b)
{
    if (a.ms != b.ms)
        return a.ms < b.ms ? -1 : 1;

    return a.seq == b.seq ? 0 : a.seq < b.seq ? -1 : 1;
}

/* Reads "ms-seq" or "ms", which is ms-0; false: it is neither. */
bool weir_position_parse(weir_str_t s, weir_position_t *position);

/* Reads a decimal number of digits only, without overflow; false: it is none. */
bool weir_position_number(weir_str_t s, uint64_t *n);

#endif
