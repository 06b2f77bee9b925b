/*
 * The positions of a partition that were seen, with two bits each: seen (in memory, or handled) or
 * parked (dropped from memory, to be read again). Every position before the first one with neither
 * bit was seen at least once.
 *
 * Plain C without I/O.
 */
#ifndef WEIR_POSITIONS_H
#define WEIR_POSITIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    int64_t low;    /* every position up to here is handled */
    int64_t unseen; /* the first position that was never seen */
    int64_t base;   /* position of the first bit; a multiple of 64 */
    uint64_t *seen;
    uint64_t *parked;
    size_t words;
} weir_positions_t;

void weir_positions_init(weir_positions_t *positions, int64_t handled);
void weir_positions_clear(weir_positions_t *positions);

/* True when a position is neither seen nor handled. */
bool weir_positions_wants(const weir_positions_t *positions, int64_t position);
/* Marks a position above low as in memory or handled. */
void weir_positions_see(weir_positions_t *positions, int64_t position);
/* Marks a position above low as dropped from memory: it is wanted again. */
void weir_positions_park(weir_positions_t *positions, int64_t position);
/* True when the position is parked, and not seen. */
bool weir_positions_is_parked(const weir_positions_t *positions, int64_t position);
/* Every position up to handled is handled. Does nothing if that was known. */
void weir_positions_handled(weir_positions_t *positions, int64_t handled);

#endif
