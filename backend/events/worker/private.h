/*
 * What the worker's files share; nobody else includes it.  worker.c explains the whole.
 *
 *   worker.c      start and stop; runs the groups
 *   ownership.c   heartbeats: which leases this worker has; opens and releases them
 *   reader.c      from Redis (or, what is missing there, from the outbox) into the queues
 *   handle.c      from the queues to handlers
 *   confirm.c     whether the outbox has an event as it was delivered
 *   settle.c      effects and marks in the database, and what becomes of each event
 *   delivery.c    an event in memory
 *   lease.c       the life of a lease
 *   group.c       a group's settings, and whether it takes events
 *
 * Calls go downwards in this list.  Each part of a struct that is named after a file is that
 * file's: no other one touches it, others ask by the functions below.  But lease.c makes and frees
 * a lease with all that its parts hold, and worker.c a group.
 */
#ifndef WEIR_WORKER_PRIVATE_H
#define WEIR_WORKER_PRIVATE_H

#include "db/db.h"
#include "events/dependency.h"
#include "events/events.h"
#include "events/made.h"
#include "events/worker/queue.h"
#include "redis/redis.h"

#include <sys/queue.h>
#include <time.h>

#define WEIR_PARTITIONS_MAX 64
#define WEIR_EVENTS_MAX 2048  /* in memory, of one group in one partition */
#define WEIR_WAITING_MAX 512  /* of them, that wait for another attempt; more are set aside */
#define WEIR_ASIDE_MAX 65536  /* aggregates set aside; at so many nothing new is read */
#define WEIR_LINE_MAX 32      /* of one aggregate */
#define WEIR_READ_MAX 256     /* events of one partition in one read */
#define WEIR_BATCH_MAX 256    /* events in one transaction */
#define WEIR_IDS_MAX 256      /* events whose ids are asked for at once */
#define WEIR_BLOCK 1000       /* ms that a read waits in Redis */
#define WEIR_LEASE_TTL 4000   /* ms, from the last heartbeat or effect */
#define WEIR_COMMIT_RETRY 500 /* ms until a commit without an answer is tried again */

typedef struct weir_group weir_group_t;
typedef struct weir_lease weir_lease_t;

/* --- an event in memory: the queue's payload -------------------------------------------------- */

struct weir_delivery {
    /* from the start: delivery.c */
    weir_lease_t *lease;
    char *json; /* the event as it came */
    size_t len;
    json_t *root; /* of event; NULL when no handler needs it */
    weir_event_t event;
    char id[37]; /* of the event, as it was delivered; empty: it is no UUID */
    char trace_id[33];
    bool wanted; /* by the consumer: it is of its types */
    bool readable;

    weir_item_t *item; /* of the queue: whoever takes it */

    /* confirm.c */
    unsigned proved; /* the session in which the outbox had this id here; 0: none */
    bool missing;    /* proved is about a position whose event the outbox has no more */

    /* handle.c, until it is settled */
    weir_call_t call; /* owed to the dependency's breaker */
    weir_delivery_result_t result;
    char *error;
    bool excused;     /* its failure is no attempt */
    unsigned wait_ms; /* least time until it is tried again */

    TAILQ_ENTRY(weir_delivery) link; /* settle.c, in results */
};
TAILQ_HEAD(weir_deliveries, weir_delivery);

/* --- one partition of one group, while this worker owns it -------------------------------------
 */

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
    int64_t gap_to;     /* events up to here came too early: fetch until then; 0: none */
    int64_t again_from; /* the first position that WEIR_FETCH_AGAIN asks for */
    int64_t stalled_at;
    int stalled;         /* heartbeats for which stalled_at was the first unseen position */
    uint64_t hold;       /* ms: no reading of the stream before */
    uint64_t fetch_hold; /* ms: no fetching before */
    bool crowded;        /* too many aggregates are set aside; so that the log is told once */
    bool unattached;     /* Redis has refused the consumer group */
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
    size_t most;    /* that it may have: fewer after one that took too long; 0: WEIR_BATCH_MAX */
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

/* --- a group ------------------------------------------------------------------------------------
 */

/* What the log knows of is kept so that it is told once; for ..._refused see refusal.h. */

/* lease.c: where a stream had what the outbox has not */
typedef struct {
    int64_t outbox_to[WEIR_PARTITIONS_MAX];    /* up to here events are read from the outbox */
    uint64_t stream_hold[WEIR_PARTITIONS_MAX]; /* ms: the stream is not read before */
} weir_group_strange_t;

/* reader.c */
typedef struct {
    long long client_id; /* of the connection; 0: not known */
    bool reading;        /* the blocking read is under way */
    bool kicked;         /* it was asked to end early */
    bool undelivered;    /* Redis refuses to deliver: the log knows */
    bool read_refused;
} weir_group_reader_t;

/* handle.c */
typedef struct {
    unsigned under_way;
    unsigned failed; /* of them, of events that failed before */
    weir_dependency_t dependency;
} weir_group_handle_t;

/* settle.c */
typedef struct {
    weir_made_t made; /* by leases that were lost */
    bool uncommitted; /* effects cannot be committed: the log knows */
} weir_group_settle_t;

struct weir_group {
    /* worker.c, from the start */
    weir_worker_t *worker;
    weir_consumer_t consumer;
    char *types; /* PostgreSQL arrays */
    char *permanent;
    weir_db_t *db;
    weir_redis_t *redis; /* for blocking reads */
    struct event *wake;  /* runs the group; also its timer */
    unsigned session;    /* counts those of db; another one may be another server */
    int first;           /* where the round over leases starts, so that all get their turn */

    weir_lease_t *leases[WEIR_PARTITIONS_MAX]; /* lease.c */
    weir_group_strange_t strange;              /* lease.c */
    bool paused;                               /* group.c: by an operator */
    bool open_refused;                         /* ownership.c */
    bool asked;                                /* ownership.c: the heartbeat under way names it */
    weir_group_reader_t reader;
    weir_group_handle_t handle;
    bool ids_refused; /* confirm.c */
    weir_group_settle_t settle;
};

/* --- the worker ---------------------------------------------------------------------------------
 */

typedef enum {
    WEIR_WORKER_RUNNING,  /* from the start; weir_worker_stop() ends it */
    WEIR_WORKER_STOPPING, /* nothing more is read or taken; ends when nothing is under way */
    WEIR_WORKER_LEAVING   /* worker_leave() is under way, or could not be sent; then it is freed */
} weir_worker_state_t;

struct weir_worker {
    /* worker.c */
    weir_worker_state_t state;
    struct event_base *base;
    weir_events_settings_t settings;
    char id[128];
    weir_db_t *db;       /* heartbeats */
    weir_redis_t *redis; /* commands that don't block */
    struct event *beat;
    struct event *gone;
    weir_group_t *groups;
    size_t count;
    void (*removed)(const weir_lease_t *lease); /* called by lease.c when a lease is GONE */
    weir_stopped_cb stopped;
    void *stopped_arg;

    /* ownership.c */
    bool stepping; /* a heartbeat is under way */
    bool step_refused;
    uint64_t stepped_at; /* ms: when the last one was sent */

    uint64_t strange_at; /* ms, lease.c: when a stream was last strange; 0: never */
};

static inline uint64_t weir_now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static inline void weir_earliest(uint64_t *next, uint64_t at)
{
    if (at < *next)
        *next = at;
}

/* --- group.c ------------------------------------------------------------------------------------
 */

/* For a zeroed group; the consumer is copied, what it points to is borrowed. */
void weir_group_init(weir_group_t *group, weir_worker_t *worker, const weir_consumer_t *consumer);
void weir_group_clear(weir_group_t *group);
/* Runs the group soon: whatever it can do now. */
void weir_group_wake(weir_group_t *group);
/* A paused group takes nothing, and finishes what it took. */
void weir_group_pause(weir_group_t *group, bool paused);
bool weir_group_is_paused(const weir_group_t *group);
/* False when the worker is to stop. */
bool weir_group_is_running(const weir_group_t *group);

/* --- lease.c ------------------------------------------------------------------------------------
 */

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

/* --- delivery.c ---------------------------------------------------------------------------------
 */

/* The event of a JSON text, which is copied; for weir_delivery_free(). */
weir_delivery_t *weir_delivery_new(weir_lease_t *lease, const char *json, size_t len);
/* A release function of the queue. */
void weir_delivery_free(void *delivery);
/* Keeps of the event what the log and the database need: no handler will see it. */
void weir_delivery_slim(weir_delivery_t *delivery);

/* --- settle.c -----------------------------------------------------------------------------------
 */

/* Takes what a handler, or what is known without one, has made of an event. */
void weir_settle_add(weir_delivery_t *delivery);
/* True, once, when its effect outside was made by a lease that was lost. */
bool weir_settle_was_made(const weir_delivery_t *delivery);
/* Its effect may be made, and its mark will not be committed by this lease. */
void weir_settle_leave(const weir_delivery_t *delivery);
/* The same for all that the lease, which is gone, has to settle. */
void weir_settle_leave_all(const weir_lease_t *lease);
/* Commits what can be committed now; takes events for it in groups without a handler, when takes.
 */
void weir_settle_run(weir_lease_t *lease, bool takes, uint64_t now, uint64_t *next);
bool weir_settle_is_idle(const weir_lease_t *lease);

/* --- confirm.c ----------------------------------------------------------------------------------
 */

/*
 * True when the outbox is known to have the event that was taken; otherwise it is put back, and
 * what is needed is under way.
 */
bool weir_confirm(weir_lease_t *lease, weir_item_t *item, uint64_t now);
/* The event comes from the outbox: nothing needs to be asked in the present session. */
void weir_confirm_from_outbox(weir_delivery_t *delivery);
/* The outbox was asked for the event's position and has none. */
void weir_confirm_missing(weir_delivery_t *delivery);
/* True when the outbox is known to have no event at the position any more. */
bool weir_confirm_is_missing(const weir_delivery_t *delivery);
/* ms, which may have passed: no question before. */
uint64_t weir_confirm_next(const weir_lease_t *lease);
bool weir_confirm_is_idle(const weir_lease_t *lease);

/* --- handle.c -----------------------------------------------------------------------------------
 */

/* For a zeroed group. */
void weir_handle_init(weir_group_t *group);
/* Handles what may be handled; *next becomes no later than when to come again. */
void weir_handle_run(weir_lease_t *lease, uint64_t now, uint64_t *next);
/* True when no handler, no question and no effect of the lease is under way. */
bool weir_handle_is_idle(const weir_lease_t *lease);
/* True while a handler is under way, which may have an effect outside. */
bool weir_handle_has_handlers(const weir_lease_t *lease);

/* --- reader.c -----------------------------------------------------------------------------------
 */

/* The lease begins to flow. */
void weir_reader_open(weir_lease_t *lease);
/* Reads as far as there is room. */
void weir_reader_run(weir_group_t *group);
/* The group's connection is up. */
void weir_reader_up(weir_group_t *group);
/* Lets a read return early, because what it should name has changed. */
void weir_reader_kick(weir_group_t *group);
/* Told at each heartbeat the log's last position. */
void weir_reader_beat(weir_lease_t *lease, int64_t newest);
bool weir_reader_is_idle(const weir_lease_t *lease);

/* --- ownership.c --------------------------------------------------------------------------------
 */

/* Sends a heartbeat, if none is under way. */
void weir_ownership_step(weir_worker_t *worker);
bool weir_ownership_is_stepping(const weir_worker_t *worker);
/* True when nothing of the lease is under way. */
bool weir_ownership_is_idle(const weir_lease_t *lease);
/* Gives back a lease that is closing, when nothing of it is under way. */
void weir_ownership_release(weir_lease_t *lease);

#endif
