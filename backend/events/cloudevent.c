#include "events/cloudevent.h"

#include "common/problem.h"

#include <stdlib.h>
#include <string.h>

/* Twice over the same list: first to count, then to write. */
typedef struct {
    char *p;
    size_t cap, len;
} out_t;

static void raw(out_t *o, const char *s)
{
    size_t n = strlen(s);

    if (o->len + n <= o->cap)
        memcpy(o->p + o->len, s, n);
    o->len += n;
}

static void member(out_t *o, const char *name, const char *value)
{
    weir_str_t s = {value, strlen(value)};
    bool room = o->len < o->cap;

    raw(o, name);
    room = o->len < o->cap;
    o->len += weir_json_string(room ? o->p + o->len : NULL, room ? o->cap - o->len : 0, s);
}

static void event_out(out_t *o, const weir_cloudevent_t *e)
{
    raw(o, "{\"specversion\":\"1.0\"");
    member(o, ",\"id\":", e->id);
    member(o, ",\"source\":", WEIR_CLOUDEVENT_SOURCE);
    member(o, ",\"type\":", e->type);
    member(o, ",\"subject\":", e->aggregate);
    member(o, ",\"time\":", e->time);
    if (e->traceparent != NULL)
        member(o, ",\"traceparent\":", e->traceparent);
    if (e->causation != NULL)
        member(o, ",\"causationid\":", e->causation);
    member(o, ",\"correlationid\":", e->correlation);
    raw(o, ",\"schemaversion\":");
    raw(o, e->schema_version);
    if (e->for_group != NULL)
        member(o, ",\"forgroup\":", e->for_group);
    raw(o, ",\"datacontenttype\":\"application/json\",\"data\":");
    raw(o, e->data);
    raw(o, "}");
}

static const char *value_or_null(const PGresult *rows, int row, int column)
{
    return PQgetisnull(rows, row, column) ? NULL : PQgetvalue(rows, row, column);
}

weir_cloudevent_t weir_cloudevent_of_row(const PGresult *rows, int row)
{
    return (weir_cloudevent_t){
        .id = PQgetvalue(rows, row, 2),
        .type = PQgetvalue(rows, row, 3),
        .aggregate = PQgetvalue(rows, row, 4),
        .data = PQgetvalue(rows, row, 5),
        .traceparent = value_or_null(rows, row, 6),
        .time = PQgetvalue(rows, row, 7),
        .causation = value_or_null(rows, row, 8),
        .correlation = PQgetvalue(rows, row, 9),
        .schema_version = PQgetvalue(rows, row, 10),
        .for_group = value_or_null(rows, row, 11),
    };
}

char *weir_cloudevent_json(const weir_cloudevent_t *event, size_t *len)
{
    out_t o = {0};

    event_out(&o, event);
    o.cap = o.len;
    o.len = 0;
    o.p = malloc(o.cap + 1);
    if (o.p == NULL)
        abort();
    event_out(&o, event);
    o.p[o.cap] = '\0';
    *len = o.cap;
    return o.p;
}

json_t *weir_cloudevent_parse(const char *json, size_t len, weir_event_t *event,
                              char trace_id_buf[33])
{
    json_t *root = json_loadb(json, len, 0, NULL);
    json_t *data = NULL;

    memset(event, 0, sizeof(*event));
    event->schema_version = 1;
    if (root == NULL ||
        json_unpack(root, "{s:s,s:s,s:s,s:s,s:o,s?s,s?s,s?s,s?i,s?s}", "id", &event->id, "type",
                    &event->type, "subject", &event->aggregate, "time", &event->time, "data", &data,
                    "traceparent", &event->traceparent, "causationid", &event->causation,
                    "correlationid", &event->correlation, "schemaversion", &event->schema_version,
                    "forgroup", &event->for_group) != 0 ||
        !json_is_object(data)) {
        json_decref(root);
        return NULL;
    }
    event->data = data;
    /* version "-" trace-id "-" parent-id "-" flags (W3C Trace Context section 3.2) */
    if (event->traceparent != NULL && strlen(event->traceparent) >= 55 &&
        event->traceparent[2] == '-' && event->traceparent[35] == '-') {
        memcpy(trace_id_buf, event->traceparent + 3, 32);
        trace_id_buf[32] = '\0';
        event->trace_id = trace_id_buf;
    }
    return root;
}
