/*
 * Events on the wire: CloudEvents 1.0 in JSON (cloudevents.io, JSON event format 1.0.2), with the
 * distributed tracing and the correlation extension (causationid, correlationid), and two of our
 * own: schemaversion, a number, and forgroup, the only group that shall handle the event.
 */
#ifndef WEIR_CLOUDEVENT_H
#define WEIR_CLOUDEVENT_H

#include "events/events.h"

#include <libpq-fe.h>

/* The strings of an outbox row.  data is JSON text. */
typedef struct {
    const char *id;
    const char *source; /* who emits events: the same for all of a domain */
    const char *type;
    const char *aggregate;   /* the attribute "subject" */
    const char *time;        /* RFC 3339 */
    const char *traceparent; /* or NULL */
    const char *data;
    const char *causation;      /* UUID of the event that this one was emitted for, or NULL */
    const char *correlation;    /* UUID of the chain's first event */
    const char *schema_version; /* of data: a number */
    const char *for_group;      /* the only group to handle it, or NULL */
} weir_cloudevent_t;

/* The columns of relay_take(), relay_read() and worker_read(), and their places. */
#define WEIR_CLOUDEVENT_COLUMNS                                                                    \
    "partition, \"position\", event_id, type, aggregate, data, traceparent, \"time\", "            \
    "causation_id, correlation_id, schema_version, for_group"

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
    WEIR_CLOUDEVENT_FOR_GROUP
};

/* A row with these columns; the strings live as long as rows and source. */
weir_cloudevent_t weir_cloudevent_of_row(const PGresult *rows, int row, const char *source);

/* The event as JSON text, to be freed by the caller; its length in *len. */
char *weir_cloudevent_json(const weir_cloudevent_t *event, size_t *len);

/*
 * Reads an event.  On success returns the parsed document, which the caller must json_decref(); the
 * strings of event point into it, but trace_id, which points to trace_id_buf.  A traceparent that
 * is none of version 00 is left out.  NULL when it is no CloudEvent of ours (id, type, subject,
 * time and an object as data are required).
 */
json_t *weir_cloudevent_parse(const char *json, size_t len, weir_event_t *event,
                              char trace_id_buf[33]);

#endif
