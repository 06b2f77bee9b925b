/*
 * Effects outside of the database (a mail) that were made, and whose marks could not be committed
 * because the partition's lease was lost meanwhile.  When the same worker gets the partition again
 * before another one has handled these events, it only commits their marks.
 *
 * A ring: what is not asked for within WEIR_MADE_KEEP, or pushed out by WEIR_MADE_MAX younger ones,
 * is forgotten.  Then an effect is made again, with the same idempotency key, as after a crash.
 *
 * Plain C without I/O.  Times are milliseconds of one monotonic clock.
 */
#ifndef WEIR_MADE_H
#define WEIR_MADE_H

#include <stdbool.h>
#include <stdint.h>

#define WEIR_MADE_MAX 256
#define WEIR_MADE_KEEP 60000 /* ms: many times a lease; an operator's replay comes later */

/* Zeroed, it is empty. */
typedef struct {
    struct {
        char event_id[37];
        uint64_t until;
    } ring[WEIR_MADE_MAX];
    unsigned next;
} weir_made_t;

/* The id is copied. */
void weir_made_note(weir_made_t *made, const char *event_id, uint64_t now);
/* True, once, when the event's effect was noted; it is forgotten then. */
bool weir_made_take(weir_made_t *made, const char *event_id, uint64_t now);

#endif
