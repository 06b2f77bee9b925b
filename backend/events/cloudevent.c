#include "events/cloudevent.h"

#include "common/problem.h"
#include "db/db.h"
#include "log/alloc.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* The same function runs twice: first it counts bytes, then it writes them. */
typedef struct {
    char *p;
    size_t cap, len;
} out_t;

static void raw(out_t *o, const char *s)
{
    size_t n = strlen(s);

    if (o->p != NULL && o->len + n <= o->cap)
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
    member(o, ",\"source\":", e->source);
    member(o, ",\"type\":", e->type);
    member(o, ",\"subject\":", e->aggregate);
    member(o, ",\"time\":", e->time);
    if (e->traceparent != NULL)
        member(o, ",\"traceparent\":", e->traceparent);
    if (e->traceparent != NULL && e->tracestate != NULL)
        member(o, ",\"tracestate\":", e->tracestate);
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

weir_cloudevent_t weir_cloudevent_of_row(const PGresult *rows, int row, const char *source)
{
    assert(row >= 0 && row < PQntuples(rows));
    return (weir_cloudevent_t){
        .id = PQgetvalue(rows, row, WEIR_CLOUDEVENT_ID),
        .source = source,
        .type = PQgetvalue(rows, row, WEIR_CLOUDEVENT_TYPE),
        .aggregate = PQgetvalue(rows, row, WEIR_CLOUDEVENT_AGGREGATE),
        .data = PQgetvalue(rows, row, WEIR_CLOUDEVENT_DATA),
        .traceparent = weir_column_text(rows, row, WEIR_CLOUDEVENT_TRACEPARENT),
        .tracestate = weir_column_text(rows, row, WEIR_CLOUDEVENT_TRACESTATE),
        .time = PQgetvalue(rows, row, WEIR_CLOUDEVENT_TIME),
        .causation = weir_column_text(rows, row, WEIR_CLOUDEVENT_CAUSATION),
        .correlation = PQgetvalue(rows, row, WEIR_CLOUDEVENT_CORRELATION),
        .schema_version = PQgetvalue(rows, row, WEIR_CLOUDEVENT_SCHEMA_VERSION),
        .for_group = weir_column_text(rows, row, WEIR_CLOUDEVENT_FOR_GROUP),
    };
}

char *weir_cloudevent_json(const weir_cloudevent_t *event, size_t *len)
{
    out_t o = {0};

    assert(len != NULL);
    event_out(&o, event);
    o.cap = o.len;
    o.len = 0;
    o.p = weir_alloc(o.cap + 1);
    event_out(&o, event);
    assert(o.len == o.cap); /* both runs wrote the same */
    o.p[o.cap] = '\0';
    *len = o.cap;
    return o.p;
}

/* --- reading ------------------------------------------------------------------------ */

#define DEPTH_MAX 256  /* of parsed events; jansson's own limit is 2048 */
#define NUMBER_MAX 300 /* characters; a number of more than 308 digits does not fit a double */

static size_t string_length(const char *s, const char *end)
{
    const char *p = s + 1;

    while (p < end && *p != '"')
        p += *p == '\\' && p + 1 < end ? 2 : 1;
    return (size_t)(p < end ? p + 1 - s : end - s);
}

/*
 * A copy of the JSON text, with 0 in place of values that are nested too deep, and null in place of
 * numbers that are too long.
 */
static char *prune(const char *json, size_t len)
{
    const char *end = json + len;
    char *text = weir_alloc(len + 1), *out = text;
    size_t depth = 0, n;

    for (const char *p = json; p < end; p += n) {
        bool opens = *p == '{' || *p == '[', closes = *p == '}' || *p == ']';

        n = 1;
        if (*p == '"')
            n = string_length(p, end);
        else if (*p == '-' || (*p >= '0' && *p <= '9'))
            for (; p + n < end && strchr("0123456789+-.eE", p[n]) != NULL && p[n] != '\0'; n++)
                ;
        if (opens && depth++ == DEPTH_MAX) {
            memcpy(out, "0", 1); /* replaces the whole value */
            out++;
        } else if (depth <= DEPTH_MAX && *p != '"' && n > NUMBER_MAX) {
            memcpy(out, "null", 4);
            out += 4;
        } else if (depth <= DEPTH_MAX) {
            memcpy(out, p, n);
            out += n;
        }
        if (closes && depth > 0)
            depth--;
    }
    *out = '\0';
    return text;
}

/* Turns reals back into integers where a double represents the integer exactly. */
static json_t *restore(json_t *value)
{
    const char *name;
    json_t *member;
    size_t i;

    json_object_foreach(value, name, member)
    {
        double d = json_real_value(member);

        if (json_is_real(member) && d > -9e15 && d < 9e15 && d == (double)(json_int_t)d)
            json_object_set_new(value, name, json_integer((json_int_t)d));
        else
            restore(member);
    }
    json_array_foreach(value, i, member) restore(member);
    return value;
}

/*
 * PostgreSQL's jsonb can have numbers beyond 2^63 or a double, and deeper nesting than jansson
 * parses. Such a number becomes the nearest double. A number without a double, and a value that is
 * nested too deep, is dropped: no consumer uses such values, and the rest of the event is valid.
 */
static json_t *load(const char *json, size_t len)
{
    json_t *root = weir_alloc_json(json, len, 0, NULL);
    char *text;

    if (root != NULL)
        return root;
    text = prune(json, len);
    root = weir_alloc_json(text, strlen(text), 0, NULL);
    if (root == NULL)
        root = restore(weir_alloc_json(text, strlen(text), JSON_DECODE_INT_AS_REAL, NULL));
    free(text);
    return root;
}

/* An invalid traceparent counts as absent, because it is passed on unchanged. */
static void read_trace(weir_event_t *event, weir_trace_t *trace)
{
    const char *text = event->traceparent, *state = event->tracestate;

    if (text == NULL || strlen(text) != WEIR_TRACEPARENT_LEN ||
        weir_traceparent_parse((weir_str_t){text, WEIR_TRACEPARENT_LEN}, &trace->at) != 0) {
        event->traceparent = event->tracestate = NULL;
        return;
    }
    if (state != NULL && !weir_trace_is_state(weir_str(state)))
        event->tracestate = NULL;
    weir_trace_set_state(trace, event->tracestate);
    event->trace = trace;
}

json_t *weir_cloudevent_parse(const char *json, size_t len, weir_event_t *event,
                              weir_trace_t *trace)
{
    json_t *root = load(json, len);
    json_t *data = NULL;

    memset(event, 0, sizeof(*event));
    event->schema_version = 1;
    if (root == NULL ||
        json_unpack(root, "{s:s,s:s,s:s,s:s,s:o,s?s,s?s,s?s,s?s,s?i,s?s}", "id", &event->id, "type",
                    &event->type, "subject", &event->aggregate, "time", &event->time, "data", &data,
                    "traceparent", &event->traceparent, "tracestate", &event->tracestate,
                    "causationid", &event->causation, "correlationid", &event->correlation,
                    "schemaversion", &event->schema_version, "forgroup", &event->for_group) != 0 ||
        !json_is_object(data)) {
        json_decref(root);
        return NULL;
    }
    event->data = data;
    read_trace(event, trace);
    return root;
}
