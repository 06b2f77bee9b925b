/*
 * Spans of events, by the semantic conventions for messaging: the stream is the destination, the
 * event's id that of the message.
 */
#ifndef WEIR_MESSAGING_H
#define WEIR_MESSAGING_H

#include "trace/tracer.h"

typedef struct {
    const char *operation; /* "send", "receive" or "process" */
    weir_span_kind_t kind;
    int partition;
    const char *id;      /* of the event */
    const char *type;    /* or NULL */
    const char *group;   /* of consumers, or NULL */
    int attempt;         /* its number; 0: unknown, or none */
    const char *error;   /* or NULL */
    bool is_dead_letter; /* the event has become one */
} weir_messaging_t;

/* Ends the span, at the time that weir_clock_us() had then. */
void weir_messaging_end(const weir_open_span_t *span, const weir_messaging_t *message,
                        uint64_t ended_us);

/* A whole span "outbox": from an event's time (RFC 3339) until now, when the relay has taken it. */
void weir_messaging_outbox(const weir_trace_t *trace, const char *time, int partition);

#endif
