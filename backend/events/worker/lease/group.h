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
    weir_group_reader_t reader;
    weir_group_handle_t handle;
    bool ids_refused; /* confirm.c */
    weir_group_settle_t settle;
};

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

#endif
