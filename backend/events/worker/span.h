/*
 * The spans of events in a worker. Each attempt at an event is one span "process", a child of the
 * span that made the event: from the handler's call, or from the transaction of a group without a
 * handler, until the outcome is committed. A span "receive" ends when the handler gets the event
 * for the first time in this process; so an attempt that ends with its process has left something.
 */
#ifndef WEIR_WORKER_SPAN_H
#define WEIR_WORKER_SPAN_H

#include "events/worker/lease/delivery.h"
#include "events/worker/lease/lease.h"

void weir_span_begin(weir_delivery_t *delivery);

typedef struct {
    int attempt; /* its number; 0: unknown */
    const char *error;
    bool is_dead_letter;
} weir_span_outcome_t;

/* Does nothing if the span has ended. */
void weir_span_end(weir_delivery_t *delivery, const weir_span_outcome_t *outcome);

/* The transaction of the lease's batch was answered; sqlstate is NULL if it has committed. */
void weir_span_consumed(const weir_lease_t *lease, const char *error, const char *sqlstate);

#endif
