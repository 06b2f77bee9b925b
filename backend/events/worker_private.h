/*
 * What the worker's files share.
 *
 *   worker.c  leases: which partitions of which groups this worker handles; start and stop
 *   reader.c  from Redis (or, what is missing there, from the outbox) into the queues
 *   handle.c  from the queues to handlers and effects, and what becomes of each event
 *
 * worker.c explains the whole.
 */
#ifndef WEIR_WORKER_PRIVATE_H
#define WEIR_WORKER_PRIVATE_H

#include "db/db.h"
#include "events/dependency.h"
#include "events/events.h"
#include "events/made.h"
#include "events/queue.h"
#include "redis/redis.h"

#include <sys/queue.h>
#include <time.h>

#define WEIR_PARTITIONS_MAX 64
#define WEIR_EVENTS_MAX 2048 /* in memory, of one group in one partition */
#define WEIR_WAITING_MAX 512 /* of them, that wait for another attempt; more are set aside */
#define WEIR_ASIDE_MAX 65536 /* aggregates set aside; at so many nothing new is read */
#define WEIR_LINE_MAX 32     /* of one aggregate */
#define WEIR_READ_MAX 256    /* events of one partition in one read */
#define WEIR_BATCH_MAX 256   /* events in one transaction */
#define WEIR_IDS_MAX 256     /* events whose ids are asked for at once */
#define WEIR_BLOCK 1000      /* ms that a read waits in Redis */
#define WEIR_LEASE_TTL 4000  /* ms, from the last heartbeat or effect */

typedef struct weir_group weir_group_t;
typedef struct weir_lease weir_lease_t;

/* An event in memory; the queue's payload. */
struct weir_delivery {
    weir_lease_t *lease;
    weir_item_t *item;
    char *json; /* the event as it came */
    size_t len;
    json_t *root; /* of event; NULL when no handler needs it */
    weir_event_t event;
    char id[37]; /* of the event, as it was delivered; empty: it is no UUID */
    char trace_id[33];
    unsigned proved; /* the session in which the outbox had this id here; 0: none */
    bool missing;    /* proved is about a position whose event the outbox has no more */
    bool wanted;     /* by the consumer: it is of its types */
    bool readable;

    weir_call_t call; /* owed to the dependency's breaker */
    bool with_handler;
    weir_delivery_result_t result;
    char *error;
    bool excused;                    /* its failure is no attempt */
    unsigned wait_ms;                /* least time until it is tried again */
    TAILQ_ENTRY(weir_delivery) link; /* in lease->results */
};
TAILQ_HEAD(weir_deliveries, weir_delivery);

/* One partition of one group, while this worker owns it. */
struct weir_lease {
    weir_group_t *group;
    int partition;
    int64_t epoch;
    weir_queue_t *queue; /* NULL until the marks are read */
    unsigned refs;       /* callbacks under way that know it */
    bool gone;           /* lost or released: the last of them frees it */
    uint64_t until;      /* ms: it may have run out from then on */
    bool opening;
    bool closing; /* takes nothing more; is released when nothing is under way */

    /* reader.c */
    bool attached, attaching;
    bool in_read;   /* named in the read that is under way */
    bool fetching;  /* from the outbox */
    bool filling;   /* the fetch is for a gap */
    int64_t gap_to; /* events up to here came too early: fetch until then; 0: none */
    int64_t stalled_at;
    int stalled;         /* heartbeats for which stalled_at was the first unseen position */
    uint64_t hold;       /* ms: no reading of the stream before */
    uint64_t fetch_hold; /* ms: no fetching before */
    bool crowded;        /* too many aggregates are set aside; so that the log is told once */

    /* handle.c */
    int64_t newest;       /* last position that the database is known to have given */
    int64_t asked;        /* the position for which the outbox is asked; 0: it is not */
    uint64_t retry_ask;   /* ms: not before */
    int64_t ids_from;     /* the outbox's ids are known from here on; 0: of none */
    int64_t ids_to;       /* the log's last position when they were asked for */
    char (*ids)[37];      /* WEIR_IDS_MAX of them; empty: the outbox has no such event */
    unsigned ids_session; /* in which they were asked for */
    unsigned handling;
    struct weir_deliveries results; /* of handlers, to be settled */
    bool consuming;
    bool failed_next; /* without a handler: the next batch is of events that failed before */
    struct weir_delivery *batch[WEIR_BATCH_MAX];
    size_t batch_count;
    uint64_t retry_consume; /* ms: not before */
};

struct weir_group {
    weir_worker_t *worker;
    weir_consumer_t consumer;
    weir_db_t *db;
    unsigned session;     /* counts those of db; another one may be another server */
    weir_redis_t *reader; /* for blocking reads */
    long long client_id;  /* of reader */
    bool reading, kicked;
    struct event *wake; /* runs the group; also its timer */
    weir_lease_t *leases[WEIR_PARTITIONS_MAX];
    int first; /* where the round over leases starts, so that all get their turn */
    unsigned handling;
    unsigned handling_failed; /* of them, events that failed before */
    weir_dependency_t dependency;
    weir_made_t made; /* by leases that were lost */
    bool paused;      /* by an operator: takes nothing, finishes what it took */
    /* What the log knows of, so that it is told once: */
    bool uncommitted;                                  /* effects cannot be committed */
    bool undelivered;                                  /* Redis refuses to deliver */
    bool open_refused, read_refused, position_refused; /* its questions, see refusal.h */
    /* Where a stream had what the outbox has not: */
    int64_t outbox_to[WEIR_PARTITIONS_MAX];    /* up to here events are read from the outbox */
    uint64_t stream_hold[WEIR_PARTITIONS_MAX]; /* ms: the stream is not read before */
    char *types;                               /* PostgreSQL arrays */
    char *permanent;
};

struct weir_worker {
    struct event_base *base;
    weir_events_settings_t settings;
    char id[128];
    weir_db_t *db;       /* heartbeats */
    weir_redis_t *redis; /* commands that don't block */
    struct event *beat;
    struct event *gone;
    bool stepping, leaving;
    bool refused;        /* its heartbeats, see refusal.h */
    uint64_t strange_at; /* ms: when a stream was last strange; 0: never. So that it is said once */
    uint64_t asked;      /* ms: when the last heartbeat was sent */
    char *group_names;   /* a PostgreSQL array */
    weir_group_t *groups;
    size_t count;
    weir_stopped_cb stopped;
    void *stopped_arg;
};

static inline uint64_t weir_now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* worker.c: soon runs whatever the group can do now. */
void weir_group_wake(weir_group_t *group);
void weir_lease_unref(weir_lease_t *lease);
/* Gives the partition up without a word to the database: it has another owner. */
void weir_lease_lost(weir_lease_t *lease, const char *why);
/*
 * Lets go of it: at position its stream has an event that the database does not have there (ahead:
 * the database has no such position).  Its next owner in this process reads from the outbox what
 * that has, and, when the stream is ahead, not from the stream for a while.
 */
void weir_lease_strange(weir_lease_t *lease, int64_t position, bool ahead);

/* reader.c: reads as far as there is room. */
void weir_reader_run(weir_group_t *group);
void weir_reader_up(weir_group_t *group);
/* Lets a read return early, because what it should name has changed. */
void weir_reader_kick(weir_group_t *group);
/* Told at each heartbeat the log's last position. */
void weir_reader_beat(weir_lease_t *lease, int64_t newest);

/* handle.c: handles what may be handled; *next becomes no later than when to come again. */
void weir_handle_run(weir_lease_t *lease, uint64_t now, uint64_t *next);
/* Told when the lease is given up, with what is under way. */
void weir_handle_leave(const weir_lease_t *lease);
bool weir_handle_idle(const weir_lease_t *lease);
void weir_delivery_free(void *delivery);

/* A PostgreSQL array literal that grows. */
typedef struct {
    char *text;
    size_t len, cap;
} weir_array_t;

void weir_array_add(weir_array_t *array, const char *element); /* NULL is NULL */
void weir_array_add_int(weir_array_t *array, int64_t element);
char *weir_array_close(weir_array_t *array); /* to be freed */

#endif
