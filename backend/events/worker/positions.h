/*
 * Which positions of a partition were seen, by two bits each: seen (in memory, or handled), or
 * parked (let go, to be read again).  Every position up to the first one that is neither was seen
 * once.
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
/* A position above low is in memory, or is handled. */
void weir_positions_see(weir_positions_t *positions, int64_t position);
/* A position above low is let go, and wanted again. */
void weir_positions_park(weir_positions_t *positions, int64_t position);
/* Every position up to handled is done; nothing when it was so before. */
/* True when the position is parked, and not seen. */
bool weir_positions_is_parked(const weir_positions_t *positions, int64_t position);
void weir_positions_handled(weir_positions_t *positions, int64_t handled);

#endif
