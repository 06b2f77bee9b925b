/*
 * Effects outside of the database (a mail) whose marks could not be committed, because the
 * partition's lease was lost meanwhile. If the same worker gets the partition again before another
 * worker has handled these events, it commits the marks without repeating the effects.
 *
 * A ring of WEIR_MADE_MAX entries, each valid for WEIR_MADE_KEEP. When an entry has expired or was
 * overwritten, its effect is repeated with the same idempotency key, as after a crash.
 *
 * Plain C without I/O.  Times are milliseconds of one monotonic clock.
 */
#ifndef WEIR_MADE_H
#define WEIR_MADE_H

#include <stdbool.h>
#include <stdint.h>

#define WEIR_MADE_MAX 256
#define WEIR_MADE_KEEP                                                                             \
    60000 /* ms: many times a lease, and less than the time until an operator's replay */

/* A zeroed struct is empty. */
typedef struct {
    struct {
        char event_id[37];
        uint64_t until;
    } ring[WEIR_MADE_MAX];
    unsigned next;
} weir_made_t;

/* The id is copied. */
void weir_made_note(weir_made_t *made, const char *event_id, uint64_t now);
/* True when the event's effect was noted. The entry is removed, so this is true once. */
bool weir_made_take(weir_made_t *made, const char *event_id, uint64_t now);

#endif
