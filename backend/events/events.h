/*
 * From the outbox to the consumers: events that were committed with a command
 * reach every consumer group, in order per aggregate, and have their effect
 * once per group, whatever dies in between.
 *
 *   command ─▶ outbox (PostgreSQL) ─▶ relay ─▶ weir:events:<partition> (Redis)
 *                                                  └─▶ worker ─▶ consumers
 *
 * PostgreSQL holds all truth: positions, what each group has handled, retries,
 * dead letters, and who owns which partition.  Redis carries events and wakes
 * workers; it may be emptied at any moment.
 *
 * relay.c and worker.c explain how.  All of it runs on one event loop.
 */
#ifndef WEIR_EVENTS_H
#define WEIR_EVENTS_H

#include "db/migrate.h"

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* backend/events/sql: the tables of outbox, relay and consumer groups, and their functions. */
extern const weir_sql_line_t weir_sql_events;

/* The strings are borrowed for as long as the relay or worker runs. */
typedef struct {
    const char *database;   /* libpq connection string */
    const char *redis;      /* as in redis.h */
    const char *source;     /* of events: their attribute "source" (CloudEvents) */
    unsigned retry_base_ms; /* back-off before the second attempt; doubles each time */
    unsigned retry_max_ms;  /* its ceiling; the wait is random below (full jitter) */
    unsigned stream_limit;  /* entries of one stream at which the relay pauses; 0: 100000 */
    unsigned outbox_keep_s; /* least age of handled events that the relay forgets; 0: none */
} weir_events_settings_t;

/* Comes once, from the event loop, when the stopped thing is gone. */
typedef void (*weir_stopped_cb)(void *arg);

/* --- relay ------------------------------------------------------------- */

typedef struct weir_relay weir_relay_t;

/*
 * Starts a relay; it waits for its turn when another one is at work.  NULL, with a
 * message in error, when the settings are wrong.
 */
weir_relay_t *weir_relay_start(struct event_base *base, const weir_events_settings_t *settings,
                               char *error, size_t error_size);

/*
 * Says that a command has committed events: saves the wait for the next poll when api and
 * relay are one process.  NULL is allowed; cheap enough for every command.
 */
void weir_relay_wake(weir_relay_t *relay);

/* Finishes the batch under way, gives up the lock, frees the relay and calls cb. */
void weir_relay_stop(weir_relay_t *relay, weir_stopped_cb cb, void *arg);

/* --- consumers --------------------------------------------------------- */

/* One event as a handler sees it; valid until its delivery is done. */
typedef struct {
    const char *id;          /* UUID, the same on every delivery */
    const char *type;        /* "ThingMade" */
    const char *aggregate;   /* "thing:<uuid>" */
    const char *time;        /* RFC 3339 */
    const char *traceparent; /* or NULL */
    const char *trace_id;    /* of traceparent, for the log, or NULL */
    const json_t *data;      /* an object */
    int schema_version;      /* of data, counted for each type */
    const char *causation;   /* id of the event for which this one was emitted, or NULL */
    const char *correlation; /* id of the first event of that chain, or NULL when it is not known */
    const char *for_group;   /* the only group that handles it, or NULL */
} weir_event_t;

/* An event in the hands of an external handler. */
typedef struct weir_delivery weir_delivery_t;

typedef enum {
    WEIR_DELIVERY_OK,
    WEIR_DELIVERY_RETRY,       /* the dependency answered: not now */
    WEIR_DELIVERY_PERMANENT,   /* it answered: never; the event is a dead letter at once */
    WEIR_DELIVERY_UNAVAILABLE, /* it did not answer, or with an error that may be its own or about
                                  this event; counts for its circuit breaker, and as an attempt
                                  while that is closed */
    WEIR_DELIVERY_AWAY,        /* it did not hear of the event, or refuses all: no connection, no
                                  service, our credentials; as UNAVAILABLE, and never an attempt */
    WEIR_DELIVERY_GIVEN_UP     /* by us, for what says nothing of event and dependency: it is not
                                  owned any more, our database is away; burns no attempt */
} weir_delivery_result_t;

/*
 * A consumer group: what it does with which events.
 *
 * Its effects in PostgreSQL are one SQL function
 *     <apply>(events outbox[]) RETURNS void
 * that gets a batch with at most one event of each aggregate, only of `types`, and none
 * that this group has handled before.  It commits together with the mark that the events
 * are handled.  An error in it concerns the events that cause it only.
 *
 * A consumer with an effect elsewhere has a handler too.  It is called once per event, at
 * most `concurrency` at a time; apply follows for those that went well.  A handler may be
 * called again for an event whose mark could not be committed: make its effect
 * recognisable by the event's id.
 */
typedef struct {
    const char *group;
    const char *const *types; /* ends with NULL; other events are skipped */
    const char *apply;        /* name of the SQL function */
    unsigned retry_attempts;  /* an event's failures until it is a dead letter, at least 1 */
    const char *permanent;    /* SQLSTATEs or their classes that no retry helps, "22,23"; or NULL */
    const char *dependency;   /* what the handler talks to, for the log: "smtp" */
    unsigned concurrency;     /* of the handler; events that failed before get half of it */
    void (*handle)(void *self, const weir_event_t *event, weir_delivery_t *delivery); /* or NULL */
    void *self;
} weir_consumer_t;

#define WEIR_NOT_BEFORE_MAX 900000 /* ms */

/*
 * Said before weir_delivery_done() with a failure: the dependency has named a time (Retry-After,
 * RFC 9110 section 10.2.3), and the event is not tried again in less than wait_ms.  Its back-off
 * may be longer; what is above WEIR_NOT_BEFORE_MAX counts as that.  It outlives the worker.
 */
void weir_delivery_not_before(weir_delivery_t *delivery, uint64_t wait_ms);

/*
 * Ends a handler's work on an event, once for each call of it, within the call or later.
 * error is what an operator should read about it (copied; NULL when it went well).
 */
void weir_delivery_done(weir_delivery_t *delivery, weir_delivery_result_t result,
                        const char *error);

/*
 * The result when a question of the handler to our own database has failed: GIVEN_UP while that is
 * away (weir_db_is_away()), RETRY when it refused this question.
 */
weir_delivery_result_t weir_delivery_not_asked(const char *sqlstate);

/*
 * False when another worker may own the event by now, because this one was stopped in its tracks or
 * could not reach the database.  A handler whose effect cannot be taken back, and is not
 * recognised by its receiver, asks right before it, and then ends with WEIR_DELIVERY_GIVEN_UP.
 */
bool weir_delivery_is_owned(const weir_delivery_t *delivery);

typedef struct weir_worker weir_worker_t;

/*
 * Starts a worker for count consumers, which are copied (what they point to is borrowed).
 * Any number of workers may run; they share the partitions of each group.  NULL, with a
 * message in error, when the settings are wrong.
 */
weir_worker_t *weir_worker_start(struct event_base *base, const weir_events_settings_t *settings,
                                 const weir_consumer_t *consumers, size_t count, char *error,
                                 size_t error_size);

/* Takes nothing more, finishes what it took, lets go of its partitions, frees and calls cb. */
void weir_worker_stop(weir_worker_t *worker, weir_stopped_cb cb, void *arg);

#endif
