/*
 * From the outbox to the consumers: events that a command has committed reach every consumer group,
 * in order per aggregate, and have their effect once per group, whichever process fails.
 *
 *   command ─▶ outbox (PostgreSQL) ─▶ relay ─▶ weir:events:<partition> (Redis)
 *                                                  └─▶ worker ─▶ consumers
 *
 * PostgreSQL has all durable state: positions, the handled events of each group, retries, dead
 * letters, and the owner of each partition. Redis transports events and wakes workers; it may be
 * emptied at any time.
 *
 * relay.c and worker.c explain how. Everything runs on one event loop.
 */
#ifndef WEIR_EVENTS_H
#define WEIR_EVENTS_H

#include "db/migrate.h"
#include "log/trace.h"

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* backend/events/sql: the tables of outbox, relay and consumer groups, and their functions. */
extern const weir_sql_line_t weir_sql_events;

/* The strings must live as long as the relay or worker runs. */
typedef struct {
    const char *database;   /* libpq connection string */
    const char *redis;      /* as in redis.h */
    const char *source;     /* of events: their attribute "source" (CloudEvents) */
    unsigned retry_base_ms; /* back-off before the second attempt; doubles each time */
    unsigned retry_max_ms;  /* the longest back-off; the wait is random up to it (full jitter) */
    unsigned stream_limit;  /* entries of one stream at which the relay pauses; 0: 100000 */
    unsigned outbox_keep_s; /* age at which the relay deletes handled events; 0: never */
} weir_events_settings_t;

/* Called once, from the event loop, when the relay or worker has stopped and is freed. */
typedef void (*weir_stopped_cb)(void *arg);

/* --- relay ------------------------------------------------------------- */

typedef struct weir_relay weir_relay_t;

/*
 * Starts a relay. It waits while another relay is active. Returns NULL, with a message in error,
 * when the settings are wrong.
 */
weir_relay_t *weir_relay_start(struct event_base *base, const weir_events_settings_t *settings,
                               char *error, size_t error_size);

/*
 * Announces that a command has committed events, so that they do not wait for the next poll when
 * api and relay are one process. NULL is allowed. Cheap enough for every command.
 */
void weir_relay_wake(weir_relay_t *relay);

/* Finishes the batches in flight, releases the lock, frees the relay and calls cb. */
void weir_relay_stop(weir_relay_t *relay, weir_stopped_cb cb, void *arg);

/* --- consumers --------------------------------------------------------- */

/* An event for a handler; valid until its delivery is done. */
typedef struct {
    const char *id;            /* UUID, the same on every delivery */
    const char *type;          /* "ThingMade" */
    const char *aggregate;     /* "thing:<uuid>" */
    const char *time;          /* RFC 3339 */
    const char *traceparent;   /* or NULL */
    const char *tracestate;    /* or NULL */
    const weir_trace_t *trace; /* the span of this attempt, or NULL: for the log, and for calls */
    const json_t *data;        /* an object */
    int schema_version;        /* of data, counted for each type */
    const char *causation;     /* id of the event for which this one was emitted, or NULL */
    const char *correlation;   /* id of the first event of that chain; NULL if unknown */
    const char *for_group;     /* the only group that handles it, or NULL */
} weir_event_t;

/* An event that a handler is working on. */
typedef struct weir_delivery weir_delivery_t;

typedef enum {
    WEIR_DELIVERY_OK,
    WEIR_DELIVERY_RETRY,       /* the dependency answered: try later */
    WEIR_DELIVERY_PERMANENT,   /* the dependency answered: never; the event becomes a dead letter */
    WEIR_DELIVERY_UNAVAILABLE, /* no answer, or an error whose cause may be the dependency or this
                                  event; counts for the circuit breaker, and as an attempt while
                                  the breaker is closed */
    WEIR_DELIVERY_AWAY,        /* the dependency did not receive the event, or refuses all events:
                                  no connection, no service, our credentials; like UNAVAILABLE, but
                                  never an attempt */
    WEIR_DELIVERY_GIVEN_UP     /* ended by us, for a reason unrelated to event and dependency: the
                                  event is owned by another worker, our database is unavailable;
                                  never an attempt */
} weir_delivery_result_t;

/*
 * A consumer group: its events and their effects.
 *
 * Its effects in PostgreSQL are one SQL function
 *     <apply>(events outbox[]) RETURNS void
 * that gets a batch with at most one event of each aggregate, only of `types`, and none that this
 * group has handled before. Its effects commit together with the mark that the events are handled.
 * An error affects only the events that cause it.
 *
 * A consumer with an effect outside of PostgreSQL also has a handler. It is called once per event,
 * at most `concurrency` at a time; apply is called for successful events. A handler may be called
 * again for an event whose mark could not be committed: its effect should be recognisable by the
 * event's id.
 */
typedef struct {
    const char *group;
    const char *const *types; /* ends with NULL; other events are skipped */
    const char *apply;        /* name of the SQL function */
    unsigned retry_attempts;  /* failures after which an event becomes a dead letter, at least 1 */
    const char
        *permanent; /* SQLSTATEs or their classes for which no retry helps, "22,23"; or NULL */
    const char *dependency; /* name of the handler's dependency, for the log: "smtp" */
    unsigned concurrency;   /* of the handler; events that failed before get at most half */
    void (*handle)(void *self, const weir_event_t *event, weir_delivery_t *delivery); /* or NULL */
    void *self;
} weir_consumer_t;

#define WEIR_NOT_BEFORE_MAX 900000 /* ms */

/*
 * Called before weir_delivery_done() with a failure: the dependency has named a time (Retry-After,
 * RFC 9110 section 10.2.3), and the event is not retried earlier than in wait_ms, at most
 * WEIR_NOT_BEFORE_MAX. The event's back-off may be longer. The time is stored in PostgreSQL.
 */
void weir_delivery_not_before(weir_delivery_t *delivery, uint64_t wait_ms);

/*
 * Ends a handler's work on an event, once for each call of the handler, during the call or later.
 * error is the message for an operator (copied; NULL on success).
 */
void weir_delivery_done(weir_delivery_t *delivery, weir_delivery_result_t result,
                        const char *error);

/*
 * The result for a failed query of the handler to Weir's database: GIVEN_UP if the database is
 * unavailable (weir_db_is_away()), RETRY if it refused this query.
 */
weir_delivery_result_t weir_delivery_not_asked(const char *sqlstate);

/* The span of this attempt at the event, or NULL; it lives as long as the delivery. */
const weir_trace_t *weir_delivery_trace(const weir_delivery_t *delivery);

/*
 * False when another worker may own the event, because this one was suspended or could not reach
 * the database. A handler whose effect cannot be undone, and cannot be recognised by its receiver,
 * calls this directly before the effect; if false, it ends with WEIR_DELIVERY_GIVEN_UP.
 */
bool weir_delivery_is_owned(const weir_delivery_t *delivery);

typedef struct weir_worker weir_worker_t;

/*
 * Starts a worker for count consumers. The structs are copied; the objects that they point to must
 * outlive the worker. Any number of workers may run; they share the partitions of each group.
 * Returns NULL, with a message in error, when the settings are wrong.
 */
weir_worker_t *weir_worker_start(struct event_base *base, const weir_events_settings_t *settings,
                                 const weir_consumer_t *consumers, size_t count, char *error,
                                 size_t error_size);

/*
 * Takes no more events, finishes those taken, releases its partitions, frees the worker and calls
 * cb.
 */
void weir_worker_stop(weir_worker_t *worker, weir_stopped_cb cb, void *arg);

#endif
