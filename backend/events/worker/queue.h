/*
 * A partition's events in a worker's memory: which may be handled now, in which order.
 *
 * Events of one aggregate form a line: only its first may be taken, the others wait behind it, also
 * while it waits for another attempt.  Lines flow independently of each other.
 *
 * The queue remembers by two bits per position what it has seen (in memory, or handled), so that
 * events may be delivered as often as Redis likes.  An aggregate whose line is too long is parked:
 * what comes for it is let go, and read again later (weir_queue_reread()).  And when too many
 * events wait for another attempt, further lines that must wait are set aside: all that stays of
 * them is the aggregate's name and the time.  So neither one aggregate that waits nor many fill the
 * memory of all.
 *
 * A line whose first event has failed before (weir_queue_fail()) is of the kind FAILED until that
 * is done, all others are FRESH.  Each kind has its own ready lines and waiting lines.
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
    uint64_t order; /* in which it came, among the events of all queues */
    weir_line_t *line;
    struct weir_item *next; /* in its line */
} weir_item_t;

/* How far beyond the first unhandled position events are taken. */
#define WEIR_QUEUE_WINDOW (1 << 20)

/*
 * A queue for positions above handled, of at most line_max events per aggregate, and waiting_max in
 * all that wait for a time; release is called with each payload that the queue lets go.
 */
weir_queue_t *weir_queue_new(int64_t handled, unsigned line_max, size_t waiting_max,
                             void (*release)(void *payload));
void weir_queue_free(weir_queue_t *queue);

/*
 * A position that was handled before, or whose event has failed and must not be taken before `at`;
 * quick when they come in ascending order.
 */
void weir_queue_mark(weir_queue_t *queue, int64_t position);
void weir_queue_delay(weir_queue_t *queue, int64_t position, uint64_t at);

/* True when an event of this position is to be added; false spares its parsing. */
bool weir_queue_wants(const weir_queue_t *queue, int64_t position);

typedef enum {
    WEIR_QUEUE_ADDED,
    WEIR_QUEUE_KNOWN,  /* in memory, or handled */
    WEIR_QUEUE_PARKED, /* its aggregate is parked, or set aside */
    WEIR_QUEUE_GAP     /* events before it are missing, or the window is full */
} weir_queue_result_t;

/* Adds an event; the payload becomes the queue's when it is ADDED only. */
weir_queue_result_t weir_queue_add(weir_queue_t *queue, int64_t position, const char *aggregate,
                                   void *payload);

/* Events that failed before are taken apart from all others, so that neither holds the other up. */
typedef enum { WEIR_QUEUE_FRESH, WEIR_QUEUE_FAILED } weir_queue_kind_t;

/* The next event of a kind to handle, which is then taken; NULL when there is none now. */
weir_item_t *weir_queue_take(weir_queue_t *queue, uint64_t now, weir_queue_kind_t kind);
/* The same, but of the fresh ones the one that came last. */
weir_item_t *weir_queue_take_newest(weir_queue_t *queue, uint64_t now);
/* Grows with the time at which the newest fresh one came; 0 when there is none now. */
uint64_t weir_queue_newest(const weir_queue_t *queue, uint64_t now);
/* When weir_queue_take() is worth the next try: 0 now, UINT64_MAX when nothing waits. */
uint64_t weir_queue_next(const weir_queue_t *queue, weir_queue_kind_t kind);
/* Of which kind a taken event is. */
weir_queue_kind_t weir_queue_kind(const weir_item_t *item);

/* Ends a taken event: it is handled (or dead), its aggregate goes on. */
void weir_queue_done(weir_queue_t *queue, weir_item_t *item);
/* Undoes the taking of an event: it may be taken again at once. */
void weir_queue_return(weir_queue_t *queue, weir_item_t *item);
/*
 * Puts a taken event back, which stays of its kind and the first of its line.  The line may be set
 * aside by that: the item and its payload are gone when this returns.
 */
void weir_queue_retry(weir_queue_t *queue, weir_item_t *item, uint64_t at);
/* The same for one that has failed, and is of that kind from now on. */
void weir_queue_fail(weir_queue_t *queue, weir_item_t *item, uint64_t at);

/* Every position up to handled is done. */
void weir_queue_handled(weir_queue_t *queue, int64_t handled);

/* The first position that was never seen: the next one that is expected. */
int64_t weir_queue_unseen(const weir_queue_t *queue);

/*
 * An aggregate whose parked events may be added now, from position *from to *to; up to line_max + 1
 * of them must be added at once.  It is named again until they are.  NULL when there is none.
 */
const char *weir_queue_reread(const weir_queue_t *queue, int64_t *from, int64_t *to);

/*
 * True when the first position that is not handled was let go, and no line waits to be read again
 * that could have it: its event came with none of the answers.
 */
bool weir_queue_has_lost(const weir_queue_t *queue);

/* Events in memory. */
size_t weir_queue_count(const weir_queue_t *queue);
int64_t weir_queue_low(const weir_queue_t *queue);
/* Aggregates of which no event is in memory: they are set aside, or wait to be read again. */
size_t weir_queue_aside(const weir_queue_t *queue);

#endif
