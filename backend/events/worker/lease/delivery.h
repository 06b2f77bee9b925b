/*
 * An event in memory: the payload of an item of the queue.
 */
#ifndef WEIR_WORKER_DELIVERY_H
#define WEIR_WORKER_DELIVERY_H

#include "events/dependency.h"
#include "events/worker/private.h"
#include "events/worker/queue/queue.h"
#include "trace/tracer.h"

#include <jansson.h>
#include <sys/queue.h>

struct weir_delivery {
    /* delivery.c, from the start */
    weir_lease_t *lease;
    char *json; /* the event as it came */
    size_t len;
    json_t *root; /* the document of event; NULL when no handler needs it */
    weir_event_t event;
    char id[37];         /* the delivered id of the event; empty: not a UUID */
    weir_trace_t origin; /* the span that made the event */
    const char *type;    /* the consumer's, of an event that it wants and can read; or NULL */
    bool wanted;         /* the event has one of the consumer's types */
    bool readable;

    weir_item_t *item; /* its item of the queue, set when the event is taken */

    /* confirm.c */
    unsigned proved; /* the session in which the outbox had this id at this position; 0: none */
    bool missing;    /* the outbox no longer has the event of this position */

    /* span.c */
    weir_open_span_t span; /* of the attempt; event.trace points into it, or is NULL */
    bool received;         /* a handler has got the event */

    /* handle.c, until the event is settled */
    uint64_t began_us; /* weir_clock_us() when the handler got the event */
    weir_call_t call;  /* the call whose result the dependency's breaker needs */
    weir_delivery_result_t result;
    char *error;
    bool excused;     /* the failure does not count as an attempt */
    unsigned wait_ms; /* least time until the retry */

    TAILQ_ENTRY(weir_delivery) link; /* settle.c, in results */
};
TAILQ_HEAD(weir_deliveries, weir_delivery);

/* The event of a JSON text, which is copied. To be freed by weir_delivery_free(). */
weir_delivery_t *weir_delivery_new(weir_lease_t *lease, const char *json, size_t len);
/* The release function for the queue. */
void weir_delivery_free(void *delivery);
/* Frees all of the event that only a handler needs. */
void weir_delivery_slim(weir_delivery_t *delivery);

#endif
