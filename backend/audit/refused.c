#include "audit/refused.h"

#include "common/audit/refused.h"
#include "db/db.h"
#include "db/refusal.h"
#include "http/caller/caller.h"
#include "log/alloc.h"
#include "log/clock.h"
#include "metrics/series.h"

#include <assert.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ms */
#define TICK 1000
#define IDLE 60000 /* until the session is closed */

typedef struct {
    struct event_base *base;
    const char *database;
    weir_db_t *db; /* NULL: closed */
    struct event *tick;
    uint64_t used;   /* ms: there was a record */
    json_t *waiting; /* records that were not sent */
    size_t sent;     /* records in flight */
    bool refused;    /* db/refusal.h */
    weir_refused_flood_t flood;
} writer_t;

static writer_t *writer;

static void count(const char *result, uint64_t n)
{
    weir_series_add(weir_series(WEIR_AUDIT_REFUSED, &result), n);
}

/* Adds a record of one request, or of so many. */
static void add(const weir_refused_t *r, uint64_t n)
{
    json_t *row;

    writer->used = weir_clock_ms();
    if (json_array_size(writer->waiting) >= WEIR_AUDIT_REFUSED_MAX) {
        count("dropped", n > 0 ? n : 1);
        return;
    }
    row = weir_alloc_check(json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "outcome", r->outcome, "object",
                                     r->object, "subject", r->subject, "actor", r->actor, "address",
                                     r->address, "trace_id", r->trace_id));
    if (n > 0)
        json_object_set_new(row, "count", weir_alloc_check(json_integer((json_int_t)n)));
    json_array_append_new(writer->waiting, row);
}

static void on_written(PGresult *res, const char *error, const char *sqlstate, void *arg)
{
    (void)res;
    (void)arg;
    weir_refusal_note(&writer->refused, "audit", "audit_put_refused", error, sqlstate);
    count(error == NULL ? "recorded" : "dropped", writer->sent);
    writer->sent = 0;
}

static void send_waiting(void)
{
    char *text = weir_alloc_check(json_dumps(writer->waiting, JSON_COMPACT));
    size_t n = json_array_size(writer->waiting);

    if (weir_db_query(writer->db, "SELECT audit_put_refused($1::jsonb)", 1, (const char *[]){text},
                      on_written, NULL)) {
        writer->sent = n;
        json_array_clear(writer->waiting);
    }
    free(text);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct timeval tv = {TICK / 1000, 0};
    const weir_refused_t *refused;
    bool busy;
    uint64_t n;

    (void)fd;
    (void)what;
    (void)arg;
    while ((n = weir_refused_sum(&writer->flood, false, time(NULL), &refused)) > 0)
        add(refused, n);

    busy = json_array_size(writer->waiting) > 0;
    if (busy && writer->db == NULL) {
        writer->db = weir_db_new(writer->base, writer->database, "refused", NULL, NULL);
        weir_db_begin_with(writer->db, WEIR_LOCK_TIMEOUT);
    } else if (busy && writer->sent == 0 && weir_db_is_up(writer->db)) {
        send_waiting();
    } else if (!busy && writer->sent == 0 && writer->db != NULL &&
               weir_clock_ms() - writer->used > IDLE) {
        weir_db_free(writer->db);
        writer->db = NULL;
    }
    if (busy || writer->db != NULL || weir_refused_is_open(&writer->flood))
        evtimer_add(writer->tick, &tv);
}

void weir_audit_refused_start(struct event_base *base, const char *database)
{
    assert(writer == NULL);
    writer = weir_alloc(sizeof(*writer));
    writer->base = base;
    writer->database = database;
    writer->waiting = weir_alloc_check(json_array());
    writer->tick = weir_alloc_check(evtimer_new(base, on_tick, NULL));
    count("recorded", 0);
    count("counted", 0);
    count("dropped", 0);
}

void weir_audit_refused_stop(void)
{
    if (writer == NULL)
        return;
    weir_db_free(writer->db);
    event_free(writer->tick);
    json_decref(writer->waiting);
    free(writer);
    writer = NULL;
}

static void put_text(char *out, size_t size, const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);

    weir_refused_put(out, size, json_is_string(value) ? json_string_value(value) : "",
                     json_string_length(value));
}

#define PUT(out, object, name) put_text(out, sizeof(out), object, name)

void weir_audit_refused(const weir_http_request_t *request, const char *reason)
{
    struct timeval tv = {TICK / 1000, 0};
    char caller[WEIR_CALLER_TEXT], trace[WEIR_TRACE_TEXT];
    weir_refused_t refused = {.outcome = ""};
    json_t *json;

    if (writer == NULL)
        return;

    weir_caller_text(request, caller);
    json = weir_alloc_check(json_loads(caller, 0, NULL));
    PUT(refused.subject, json, "subject");
    PUT(refused.actor, json, "actor");
    PUT(refused.address, json, "address");
    json_decref(json);
    weir_refused_put(refused.outcome, sizeof(refused.outcome), reason, strlen(reason));
    snprintf(refused.object, sizeof(refused.object), "%s %s", weir_http_method(request),
             weir_http_pattern(request));
    weir_http_trace_text(request, trace);
    if (strlen(trace) > 3 + 32)
        weir_refused_put(refused.trace_id, sizeof(refused.trace_id), trace + 3, 32);

    if (weir_refused_note(&writer->flood, &refused, time(NULL)))
        add(&refused, 0);
    else
        count("counted", 1);
    if (!evtimer_pending(writer->tick, NULL))
        evtimer_add(writer->tick, &tv);
}
