/*
 * Times before which events that have not come yet must not be taken, by position; quick when they
 * are put in ascending order.
 *
 * Plain C without I/O.
 */
#ifndef WEIR_DELAYS_H
#define WEIR_DELAYS_H

#include <stdint.h>

typedef struct weir_delay weir_delay_t;

/* Zeroed, it is empty. */
typedef struct {
    weir_delay_t *first, *last; /* ascending by position */
} weir_delays_t;

void weir_delays_put(weir_delays_t *delays, int64_t position, uint64_t at);
/* The time of a position, which is forgotten; 0 when there is none. */
uint64_t weir_delays_take(weir_delays_t *delays, int64_t position);
void weir_delays_clear(weir_delays_t *delays);

#endif
