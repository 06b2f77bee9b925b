/*
 * An event in memory: the payload of an item of the queue.
 */
#ifndef WEIR_WORKER_DELIVERY_H
#define WEIR_WORKER_DELIVERY_H

#include "events/dependency.h"
#include "events/worker/private.h"
#include "events/worker/queue/queue.h"

#include <jansson.h>
#include <sys/queue.h>

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

/* The event of a JSON text, which is copied; for weir_delivery_free(). */
weir_delivery_t *weir_delivery_new(weir_lease_t *lease, const char *json, size_t len);
/* A release function of the queue. */
void weir_delivery_free(void *delivery);
/* Keeps of the event what the log and the database need: no handler will see it. */
void weir_delivery_slim(weir_delivery_t *delivery);

#endif
