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
    raw(o, ",\"datacontenttype\":\"application/json\",\"data\":");
    raw(o, e->data);
    raw(o, "}");
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
    if (root == NULL ||
        json_unpack(root, "{s:s,s:s,s:s,s:s,s:o,s?s}", "id", &event->id, "type", &event->type,
                    "subject", &event->aggregate, "time", &event->time, "data", &data,
                    "traceparent", &event->traceparent) != 0 ||
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
