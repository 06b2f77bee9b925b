/*
 * By position: the time before which an event that is not in memory yet must not be taken.
 * Insertion is fast in ascending order.
 *
 * Plain C without I/O.
 */
#ifndef WEIR_DELAYS_H
#define WEIR_DELAYS_H

#include <stdint.h>

typedef struct weir_delay weir_delay_t;

/* A zeroed struct is empty. */
typedef struct {
    weir_delay_t *first, *last; /* ascending by position */
} weir_delays_t;

void weir_delays_put(weir_delays_t *delays, int64_t position, uint64_t at);
/* Removes and returns the time of a position; 0 when there is none. */
uint64_t weir_delays_take(weir_delays_t *delays, int64_t position);
void weir_delays_clear(weir_delays_t *delays);

#endif
