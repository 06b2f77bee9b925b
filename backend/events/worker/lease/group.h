/*
 * A consumer group that this worker runs.
 */
#ifndef WEIR_WORKER_GROUP_H
#define WEIR_WORKER_GROUP_H

#include "db/db.h"
#include "events/dependency.h"
#include "events/made.h"
#include "events/worker/lease/lease.h"
#include "events/worker/private.h"
#include "redis/redis.h"

/* Some members record what was logged, so that it is logged once; for ..._refused see refusal.h. */

/* lease.c: positions at which a stream had unknown events */
typedef struct {
    int64_t outbox_to[WEIR_PARTITIONS_MAX];    /* events up to here are read from the outbox */
    uint64_t stream_hold[WEIR_PARTITIONS_MAX]; /* ms: the stream is not read before */
} weir_group_strange_t;

/* reader.c */
typedef struct {
    long long client_id; /* of the connection; 0: unknown */
    bool reading;        /* the blocking read is under way */
    bool kicked;         /* CLIENT UNBLOCK was sent for it */
    bool undelivered;    /* it was logged that Redis refuses to deliver */
    bool read_refused;
} weir_group_reader_t;

/* handle.c */
typedef struct {
    unsigned under_way;
    unsigned failed; /* handlers of events that failed before */
    weir_dependency_t dependency;
} weir_group_handle_t;

/* settle.c */
typedef struct {
    weir_made_t made; /* effects of leases that were lost */
    bool uncommitted; /* it was logged that effects cannot be committed */
    /* for metrics, since the start: events, and attempts that failed */
    uint64_t handled, failed, died;
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
    unsigned session;    /* counts the sessions of db; a new session may be on another server */
    int first;           /* the lease at which the next round starts, so that all get their turn */

    weir_lease_t *leases[WEIR_PARTITIONS_MAX]; /* lease.c */
    weir_group_strange_t strange;              /* lease.c */
    bool paused;                               /* group.c: by an operator */
    bool open_refused;                         /* ownership.c */
    bool asked; /* ownership.c: the heartbeat in flight names the group */
    weir_group_reader_t reader;
    weir_group_handle_t handle;
    bool ids_refused; /* confirm.c */
    weir_group_settle_t settle;
};

/*
 * For a zeroed group. The consumer is copied; the objects that it points to must outlive the group.
 */
void weir_group_init(weir_group_t *group, weir_worker_t *worker, const weir_consumer_t *consumer);
void weir_group_clear(weir_group_t *group);
/* Runs the group from the event loop. */
void weir_group_wake(weir_group_t *group);
/* A paused group takes no more events, and finishes those taken. */
void weir_group_pause(weir_group_t *group, bool paused);
bool weir_group_is_paused(const weir_group_t *group);
/* False when the worker is stopping. */
bool weir_group_is_running(const weir_group_t *group);

#endif
