/*
 * Shared by the files of the worker; no other file includes it. worker.c explains the design.
 *
 *   worker.c           start and stop; runs the groups
 *   measure.c          metrics
 *   ownership.c        heartbeats: the leases of this worker; opens and releases them
 *   reader.c           from Redis (missing events: from the outbox) into the queues
 *   handle.c           from the queues to handlers
 *   confirm.c          whether the outbox has an event as it was delivered
 *   settle.c           effects and marks in the database, and the outcome of each event
 *   span.c             the spans of events
 *   lease/delivery.c   an event in memory
 *   lease/lease.c      the states of a lease
 *   lease/group.c      a group's settings, and whether it takes events
 *   queue/             the events of one partition, and their order
 *
 * Calls go down in this list. A member of a struct that is named after a file belongs to that file:
 * other files use its functions. The exceptions: lease.c creates and frees a lease with all its
 * members, and worker.c a group; measure.c reads all.
 */
#ifndef WEIR_WORKER_PRIVATE_H
#define WEIR_WORKER_PRIVATE_H

#include "db/db.h"
#include "events/events.h"
#include "redis/redis.h"

#define WEIR_PARTITIONS_MAX 64
#define WEIR_EVENTS_MAX 2048  /* events in memory, of one group in one partition */
#define WEIR_WAITING_MAX 512  /* events that wait for a retry; further ones are set aside */
#define WEIR_ASIDE_MAX 65536  /* aggregates set aside; at this number no new event is read */
#define WEIR_LINE_MAX 32      /* events of one aggregate */
#define WEIR_READ_MAX 256     /* events of one partition in one read */
#define WEIR_BATCH_MAX 256    /* events in one transaction */
#define WEIR_IDS_MAX 256      /* events whose ids are queried at once */
#define WEIR_BLOCK 1000       /* ms that a read waits in Redis */
#define WEIR_LEASE_TTL 4000   /* ms, from the last heartbeat or effect */
#define WEIR_COMMIT_RETRY 500 /* ms until a commit without an answer is tried again */

typedef struct weir_group weir_group_t;
typedef struct weir_lease weir_lease_t;

typedef enum {
    WEIR_WORKER_RUNNING,  /* at the start; until weir_worker_stop() */
    WEIR_WORKER_STOPPING, /* no more events are read or taken; until nothing is under way */
    WEIR_WORKER_LEAVING   /* worker_leave() is under way, or could not be sent; until it is freed */
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
    bool stepping;   /* a heartbeat is under way */
    bool registered; /* a heartbeat has made all groups known to the database */
    bool step_refused;
    uint64_t stepped_at; /* ms: when the last one was sent */

    uint64_t strange_at; /* ms, lease.c: when a stream last had unknown events; 0: never */
};

/* Moves *next forward to at, if that is earlier. */
static inline void weir_earliest(uint64_t *next, uint64_t at)
{
    if (at < *next)
        *next = at;
}

#endif
