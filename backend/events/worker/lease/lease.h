/*
 * One partition of one group, while this worker owns it.
 */
#ifndef WEIR_WORKER_LEASE_H
#define WEIR_WORKER_LEASE_H

#include "events/worker/lease/delivery.h"
#include "events/worker/private.h"
#include "events/worker/queue/queue.h"

typedef enum {
    WEIR_LEASE_OPENING, /* a heartbeat has returned it; until the answer to worker_open() */
    WEIR_LEASE_FLOWING, /* its marks were read, events are read and handled */
    WEIR_LEASE_CLOSING, /* it is surplus, or its stream has unknown events: no more events are read
                           or taken; released when nothing is under way */
    WEIR_LEASE_GONE /* released, lost, or dropped with the group's session: it is not in its group
                       any more, and the last callback in flight frees it */
} weir_lease_state_t;

typedef enum {
    WEIR_STREAM_DETACHED, /* at the start, and after the stream or its consumer group was deleted */
    WEIR_STREAM_ATTACHING, /* the script that creates and sets the consumer group is under way */
    WEIR_STREAM_ATTACHED,  /* may be part of a read */
    WEIR_STREAM_IN_READ    /* part of the read in flight; until its answer */
} weir_stream_state_t;

typedef enum {
    WEIR_FETCH_NONE,
    WEIR_FETCH_GAP,  /* reads positions from the outbox that the stream did not deliver */
    WEIR_FETCH_AGAIN /* reads the parked events of an aggregate from the outbox */
} weir_fetch_state_t;

/* reader.c */
typedef struct {
    weir_stream_state_t stream;
    weir_fetch_state_t fetch;
    int64_t gap_to;     /* events up to here came before missing ones: fetch up to here; 0: none */
    int64_t again_from; /* the first position that WEIR_FETCH_AGAIN reads */
    int64_t stalled_at;
    int stalled;         /* heartbeats for which stalled_at was the first unseen position */
    uint64_t hold;       /* ms: the stream is not read before */
    uint64_t fetch_hold; /* ms: the outbox is not read before */
    bool unattached;     /* Redis has refused the consumer group */
    bool crowded;        /* it was logged that too many aggregates are set aside */
} weir_lease_reader_t;

/* confirm.c */
typedef struct {
    int64_t asked;    /* the position of the query in flight; 0: none */
    uint64_t retry;   /* ms: no query before */
    int64_t from;     /* the ids of the outbox are known from here on; 0: none are known */
    int64_t to;       /* the log's last position at the time of the query */
    unsigned session; /* the session of the query */
    char (*ids)[37];  /* WEIR_IDS_MAX ids; an empty id: the outbox has no such event */
} weir_lease_confirm_t;

/* settle.c */
typedef struct {
    struct weir_deliveries results; /* results of handlers, to be settled */
    bool consuming;                 /* consume() of the batch is under way */
    uint64_t began_us;              /* weir_clock_us() when it was sent */
    bool failed_next; /* without a handler: the next batch has events that failed before */
    struct weir_delivery *batch[WEIR_BATCH_MAX];
    size_t count;   /* of batch */
    size_t most;    /* limit of the batch, lower after one that took too long; 0: WEIR_BATCH_MAX */
    uint64_t retry; /* ms: not before */
} weir_lease_settle_t;

struct weir_lease {
    weir_group_t *group;
    int partition;
    int64_t epoch;
    weir_queue_t *queue; /* NULL while the lease is opening */

    /* lease.c */
    weir_lease_state_t state;
    unsigned refs;  /* one for the group, one for each callback in flight */
    uint64_t until; /* ms: the lease may have expired from then on */
    int64_t newest; /* the greatest position that the database is known to have given */

    unsigned handling; /* handle.c: running handlers */
    weir_lease_reader_t reader;
    weir_lease_confirm_t confirm;
    weir_lease_settle_t settle;
};

/* Creates a lease that is OPENING. Its group has the one reference. */
weir_lease_t *weir_lease_new(weir_group_t *group, int partition, int64_t epoch);
void weir_lease_ref(weir_lease_t *lease);
void weir_lease_unref(weir_lease_t *lease);

/* The marks were read: the lease becomes FLOWING. */
void weir_lease_flow(weir_lease_t *lease, weir_queue_t *queue);
/*
 * The lease becomes CLOSING. Does nothing to a lease that is opening: a later heartbeat returns it
 * again.
 */
void weir_lease_close(weir_lease_t *lease);
/* Removes the lease from its group; neither the database nor the log is informed. */
void weir_lease_remove(weir_lease_t *lease);
/* The same for a lease that has another owner; logs the reason. */
void weir_lease_lose(weir_lease_t *lease, const char *why);
/*
 * Closes the lease, because its stream has an event at position that the database does not have
 * there (ahead: the database has no such position). The next lease in this process reads the events
 * that the outbox has, and, if the stream is ahead, does not read the stream for a while.
 */
void weir_lease_strange(weir_lease_t *lease, int64_t position, bool ahead);
/* The limits that weir_lease_strange() has set for the next lease; 0 when there are none. */
void weir_lease_strange_limits(const weir_lease_t *lease, int64_t *outbox_to, uint64_t *hold);

bool weir_lease_is_flowing(const weir_lease_t *lease);
bool weir_lease_is_closing(const weir_lease_t *lease);
bool weir_lease_is_gone(const weir_lease_t *lease);
/* False when another worker may own the partition by now. */
bool weir_lease_is_owned(const weir_lease_t *lease, uint64_t now);
/* The database has renewed the lease: it is valid until then. */
void weir_lease_renew(weir_lease_t *lease, uint64_t until);

/* Notes the log's last position, from a query in the group's present session; and forgets it. */
void weir_lease_note_newest(weir_lease_t *lease, int64_t position);
void weir_lease_forget_newest(weir_lease_t *lease);

#endif
