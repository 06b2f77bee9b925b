/* Stamps: what an edge knew of invalidations when it asked for a response. */
#ifndef WEIR_CACHE_STAMP_H
#define WEIR_CACHE_STAMP_H

#include "redis/follow/position.h"

#include <stdint.h>

/* What the edge had applied when an upstream request started. */
typedef struct {
    uint64_t era; /* 0: no stream was known yet */
    weir_position_t position;
    uint64_t origin; /* the edge: a random number of its shared memory */
    uint64_t local;
} weir_stamp_t;

#endif
