/* Stamps: what an edge knew of invalidations when it asked for a response. */
#ifndef WEIR_CACHE_STAMP_H
#define WEIR_CACHE_STAMP_H

#include <stdint.h>

/* ID of a stream entry. */
typedef struct {
    uint64_t ms; /* milliseconds since the epoch, by the server's clock */
    uint64_t seq;
} weir_position_t;

/* What the edge had applied when an upstream request started. */
typedef struct {
    uint64_t era; /* 0: no stream was known yet */
    weir_position_t position;
    uint64_t origin; /* the edge: a random number of its shared memory */
    uint64_t local;
} weir_stamp_t;

#endif
