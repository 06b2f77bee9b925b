/*
 * The format of events in streams: CloudEvents 1.0 in JSON (cloudevents.io, JSON event format
 * 1.0.2), with the distributed tracing extension (traceparent, tracestate), the correlation
 * extension (causationid, correlationid) and two own attributes: schemaversion, a number, and
 * forgroup, the only group that handles the event.
 */
#ifndef WEIR_CLOUDEVENT_H
#define WEIR_CLOUDEVENT_H

#include "events/events.h"

#include <libpq-fe.h>

/* The strings of an outbox row.  data is JSON text. */
typedef struct {
    const char *id;
    const char *source; /* the emitter: the same for all events of a domain */
    const char *type;
    const char *aggregate;   /* the attribute "subject" */
    const char *time;        /* RFC 3339 */
    const char *traceparent; /* or NULL */
    const char *tracestate;  /* or NULL */
    const char *data;
    const char *causation;      /* UUID of the event that this one was emitted for, or NULL */
    const char *correlation;    /* UUID of the chain's first event */
    const char *schema_version; /* of data: a number */
    const char *for_group;      /* the only group to handle it, or NULL */
} weir_cloudevent_t;

/* The columns of relay_take(), relay_read() and worker_read(), and their indexes. */
#define WEIR_CLOUDEVENT_COLUMNS                                                                    \
    "partition, \"position\", event_id, type, aggregate, data, traceparent, \"time\", "            \
    "causation_id, correlation_id, schema_version, for_group, tracestate"

enum {
    WEIR_CLOUDEVENT_PARTITION,
    WEIR_CLOUDEVENT_POSITION,
    WEIR_CLOUDEVENT_ID,
    WEIR_CLOUDEVENT_TYPE,
    WEIR_CLOUDEVENT_AGGREGATE,
    WEIR_CLOUDEVENT_DATA,
    WEIR_CLOUDEVENT_TRACEPARENT,
    WEIR_CLOUDEVENT_TIME,
    WEIR_CLOUDEVENT_CAUSATION,
    WEIR_CLOUDEVENT_CORRELATION,
    WEIR_CLOUDEVENT_SCHEMA_VERSION,
    WEIR_CLOUDEVENT_FOR_GROUP,
    WEIR_CLOUDEVENT_TRACESTATE
};

/* The event of a row with these columns. The strings live as long as rows and source. */
weir_cloudevent_t weir_cloudevent_of_row(const PGresult *rows, int row, const char *source);

/* The event as JSON text, which the caller frees; *len is its length. */
char *weir_cloudevent_json(const weir_cloudevent_t *event, size_t *len);

/*
 * Parses an event. On success returns the document, which the caller must json_decref(). The
 * strings of event point into the document. A traceparent of another version than 00 is ignored,
 * and a tracestate without a traceparent; *trace is set if there is one. Returns NULL when the text
 * is not an event in this format (id, type, subject, time and an object as data are required).
 */
json_t *weir_cloudevent_parse(const char *json, size_t len, weir_event_t *event,
                              weir_trace_t *trace);

#endif
