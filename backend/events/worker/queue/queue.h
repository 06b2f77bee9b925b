/*
 * The events of a partition in a worker's memory: which of them may be handled now, and in which
 * order.
 *
 * The events of one aggregate form a line. Only the first event of a line may be taken; the others
 * wait behind it, also while it waits for a retry. Lines are independent of each other.
 *
 * The queue has two bits per position for the events that it has seen (in memory, or handled), so
 * repeated deliveries do no harm. An aggregate whose line is too long is parked: further events of
 * it are dropped and read again later (weir_queue_reread()). When too many events wait for a retry,
 * further lines that must wait are set aside: only the aggregate's name and the time are kept. So
 * neither one waiting aggregate nor many of them can fill the memory.
 *
 * A line whose first event has failed before (weir_queue_fail()) has the kind FAILED until that
 * event is done; all other lines are FRESH. Each kind has its own ready lines and waiting lines.
 *
 * Plain C without I/O.  Times are milliseconds of one monotonic clock.
 */
#ifndef WEIR_QUEUE_H
#define WEIR_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct weir_queue weir_queue_t;
typedef struct weir_line weir_line_t;

typedef struct weir_item {
    int64_t position;
    void *payload; /* the user's */

    /* the queue's own */
    uint64_t order; /* order of arrival among the events of all queues */
    weir_line_t *line;
    struct weir_item *next; /* in its line */
} weir_item_t;

/* Events are taken up to this distance from the first unhandled position. */
#define WEIR_QUEUE_WINDOW (1 << 20)

/*
 * A queue for positions above handled, with at most line_max events per aggregate, and at most
 * waiting_max events that wait for a time. release is called for each payload that the queue drops.
 */
weir_queue_t *weir_queue_new(int64_t handled, unsigned line_max, size_t waiting_max,
                             void (*release)(void *payload));
void weir_queue_free(weir_queue_t *queue);

/*
 * For a position that is handled, and for one whose event has failed and must not be taken before
 * `at`. Fast in ascending order.
 */
void weir_queue_mark(weir_queue_t *queue, int64_t position);
void weir_queue_delay(weir_queue_t *queue, int64_t position, uint64_t at);

/* True when an event of this position may be added; if false, the caller need not parse it. */
bool weir_queue_wants(const weir_queue_t *queue, int64_t position);

typedef enum {
    WEIR_QUEUE_ADDED,
    WEIR_QUEUE_KNOWN,  /* in memory, or handled */
    WEIR_QUEUE_PARKED, /* the aggregate is parked or set aside */
    WEIR_QUEUE_GAP     /* events before it are missing, or the window is full */
} weir_queue_result_t;

/* Adds an event. The queue owns the payload only if the result is ADDED. */
weir_queue_result_t weir_queue_add(weir_queue_t *queue, int64_t position, const char *aggregate,
                                   void *payload);

/*
 * Events that failed before are taken separately from all others, so that neither kind delays the
 * other.
 */
typedef enum { WEIR_QUEUE_FRESH, WEIR_QUEUE_FAILED } weir_queue_kind_t;

/* Takes the next event of a kind; NULL when there is none now. */
weir_item_t *weir_queue_take(weir_queue_t *queue, uint64_t now, weir_queue_kind_t kind);
/* Takes the fresh event that came last. */
weir_item_t *weir_queue_take_newest(weir_queue_t *queue, uint64_t now);
/* The order of arrival of the newest fresh event; 0 when there is none now. */
uint64_t weir_queue_newest(const weir_queue_t *queue, uint64_t now);
/* The time for the next call of weir_queue_take(): 0 is now; UINT64_MAX if no event waits. */
uint64_t weir_queue_next(const weir_queue_t *queue, weir_queue_kind_t kind);
/* The kind of a taken event. */
weir_queue_kind_t weir_queue_kind(const weir_item_t *item);

/* Ends a taken event, which is handled (or dead). The next event of its aggregate may be taken. */
void weir_queue_done(weir_queue_t *queue, weir_item_t *item);
/* Puts a taken event back: it may be taken again at once. */
void weir_queue_return(weir_queue_t *queue, weir_item_t *item);
/*
 * Puts a taken event back until `at`. Its kind does not change, and it stays the first of its line.
 * This may set the line aside, which frees the item and its payload.
 */
void weir_queue_retry(weir_queue_t *queue, weir_item_t *item, uint64_t at);
/* The same for an event that has failed; its kind becomes FAILED. */
void weir_queue_fail(weir_queue_t *queue, weir_item_t *item, uint64_t at);

/* Every position up to handled is handled. */
void weir_queue_handled(weir_queue_t *queue, int64_t handled);

/* The first position that was never seen, which is expected next. */
int64_t weir_queue_unseen(const weir_queue_t *queue);

/*
 * An aggregate whose parked events, from position *from to *to, may be added now; up to line_max +
 * 1 of them must be added at once. The same aggregate is returned until they are added. NULL when
 * there is none.
 */
const char *weir_queue_reread(const weir_queue_t *queue, int64_t *from, int64_t *to);

/*
 * True when the first unhandled position is parked, and no line that waits to be read again can
 * have it: its event was in none of the answers.
 */
bool weir_queue_has_lost(const weir_queue_t *queue);

/* Events in memory. */
size_t weir_queue_count(const weir_queue_t *queue);
int64_t weir_queue_low(const weir_queue_t *queue);
/* The number of aggregates without an event in memory: set aside, or waiting to be read again. */
size_t weir_queue_aside(const weir_queue_t *queue);

#endif
