/*
 * One partition of one group, while this worker owns it.
 */
#ifndef WEIR_WORKER_LEASE_H
#define WEIR_WORKER_LEASE_H

#include "events/worker/lease/delivery.h"
#include "events/worker/private.h"
#include "events/worker/queue/queue.h"

typedef enum {
    WEIR_LEASE_OPENING, /* a heartbeat has named it, worker_open() is under way: its answer ends it
                         */
    WEIR_LEASE_FLOWING, /* its marks are read, events come and go */
    WEIR_LEASE_CLOSING, /* it is surplus, or its stream has strange events: nothing more is read or
                           taken; when nothing is under way it is released */
    WEIR_LEASE_GONE /* released, lost, or forgotten with the group's session: its group knows it no
                       more, and the last callback under way that does frees it */
} weir_lease_state_t;

typedef enum {
    WEIR_STREAM_DETACHED,  /* from the start, and when a stream or its group has gone */
    WEIR_STREAM_ATTACHING, /* the script that makes and sets the group is under way */
    WEIR_STREAM_ATTACHED,  /* may be named in a read */
    WEIR_STREAM_IN_READ    /* named in the read that is under way; its answer ends it */
} weir_stream_state_t;

typedef enum {
    WEIR_FETCH_NONE,
    WEIR_FETCH_GAP,  /* asks the outbox for positions that the stream did not deliver */
    WEIR_FETCH_AGAIN /* asks it for what an aggregate left behind */
} weir_fetch_state_t;

/* reader.c */
typedef struct {
    weir_stream_state_t stream;
    weir_fetch_state_t fetch;
    int64_t gap_to; /* events up to here came too early: fetch until then; 0: none */
    int64_t stalled_at;
    int stalled;         /* heartbeats for which stalled_at was the first unseen position */
    uint64_t hold;       /* ms: no reading of the stream before */
    uint64_t fetch_hold; /* ms: no fetching before */
    bool crowded;        /* too many aggregates are set aside; so that the log is told once */
} weir_lease_reader_t;

/* confirm.c */
typedef struct {
    int64_t asked;    /* the position for which the outbox is asked; 0: it is not */
    uint64_t retry;   /* ms: not before */
    int64_t from;     /* the outbox's ids are known from here on; 0: of none */
    int64_t to;       /* the log's last position when they were asked for */
    unsigned session; /* in which they were asked for */
    char (*ids)[37];  /* WEIR_IDS_MAX of them; empty: the outbox has no such event */
} weir_lease_confirm_t;

/* settle.c */
typedef struct {
    struct weir_deliveries results; /* of handlers, to be settled */
    bool consuming;                 /* consume() of the batch is under way */
    bool failed_next; /* without a handler: the next batch is of events that failed before */
    struct weir_delivery *batch[WEIR_BATCH_MAX];
    size_t count;   /* of batch */
    uint64_t retry; /* ms: not before */
} weir_lease_settle_t;

struct weir_lease {
    weir_group_t *group;
    int partition;
    int64_t epoch;
    weir_queue_t *queue; /* NULL while it is opening */

    /* lease.c */
    weir_lease_state_t state;
    unsigned refs;  /* the group, and callbacks under way that know it */
    uint64_t until; /* ms: it may have run out from then on */
    int64_t newest; /* last position that the database is known to have given */

    unsigned handling; /* handle.c: handlers under way */
    weir_lease_reader_t reader;
    weir_lease_confirm_t confirm;
    weir_lease_settle_t settle;
};

/* A lease that is OPENING, in its group, which has the one reference. */
weir_lease_t *weir_lease_new(weir_group_t *group, int partition, int64_t epoch);
void weir_lease_ref(weir_lease_t *lease);
void weir_lease_unref(weir_lease_t *lease);

/* Its marks are read: it flows. */
void weir_lease_flow(weir_lease_t *lease, weir_queue_t *queue);
/* Takes nothing more.  Does nothing to one that is opening: a heartbeat names it again. */
void weir_lease_close(weir_lease_t *lease);
/* Takes it out of its group without a word to the database or the log. */
void weir_lease_remove(weir_lease_t *lease);
/* The same when it has another owner; the log is told why. */
void weir_lease_lose(weir_lease_t *lease, const char *why);
/*
 * Lets go of it: at position its stream has an event that the database does not have there (ahead:
 * the database has no such position).  Its next owner in this process reads from the outbox what
 * that has, and, when the stream is ahead, not from the stream for a while.
 */
void weir_lease_strange(weir_lease_t *lease, int64_t position, bool ahead);
/* What is left of that for the next owner: 0 when there is nothing. */
void weir_lease_strange_limits(const weir_lease_t *lease, int64_t *outbox_to, uint64_t *hold);

bool weir_lease_is_flowing(const weir_lease_t *lease);
bool weir_lease_is_closing(const weir_lease_t *lease);
bool weir_lease_is_gone(const weir_lease_t *lease);
/* False when another worker may have it by now. */
bool weir_lease_is_owned(const weir_lease_t *lease, uint64_t now);
/* The database has renewed it: it is ours until then. */
void weir_lease_renew(weir_lease_t *lease, uint64_t until);

/* The log's last position, as the database has said it in the group's present session; 0: unknown.
 */
void weir_lease_note_newest(weir_lease_t *lease, int64_t position);
void weir_lease_forget_newest(weir_lease_t *lease);

#endif
