#include "db/batch/ask.h"

#include "log/alloc.h"
#include "log/clock.h"
#include "log/log.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_MAX 256
#define WAITING_MAX 1024
#define AGAIN_MS 100

struct weir_ask {
    struct event_base *base;
    weir_batch_t *batch;
    const char *group;
    int width;
    bool away; /* the log has the present outage */
};

typedef struct {
    weir_ask_t *ask;
    weir_batch_cb cb;
    void *arg;
    struct event *again;
    const weir_trace_t *trace; /* or NULL */
    uint64_t until;            /* weir_clock_ms(): until then the question is repeated */
    char *values[WEIR_BATCH_WIDTH_MAX];
} question_t;

static void answer(question_t *q, PGresult *result, int row, const char *error,
                   const char *sqlstate)
{
    assert(q->cb != NULL);
    weir_batch_cb cb = q->cb;
    void *arg = q->arg;

    for (int i = 0; i < q->ask->width; i++)
        free(q->values[i]);
    event_free(q->again);
    free(q);
    cb(result, row, error, sqlstate, arg);
}

static void on_away(question_t *q, const char *error, const char *sqlstate)
{
    static const struct timeval pause = {0, AGAIN_MS * 1000};
    weir_ask_t *ask = q->ask;

    assert(sqlstate != NULL);
    if (weir_clock_ms() < q->until) {
        evtimer_add(q->again, &pause);
        return;
    }
    if (!ask->away)
        weir_log(WEIR_LOG_WARN, NULL, "the database is unavailable, events wait for it",
                 "{s:s,s:s,s:s,s:s*}", "group", ask->group, "error", error, "sqlstate", sqlstate,
                 "advice", weir_db_advice(sqlstate));
    ask->away = true;
    answer(q, NULL, 0, error, sqlstate);
}

static void on_answer(PGresult *result, int row, const char *error, const char *sqlstate, void *arg)
{
    question_t *q = arg;

    if (result == NULL && weir_db_is_away(sqlstate)) {
        on_away(q, error, sqlstate);
        return;
    }
    if (q->ask->away)
        weir_log(WEIR_LOG_INFO, NULL, "the database answers again", "{s:s}", "group",
                 q->ask->group);
    q->ask->away = false;
    answer(q, result, row, error, sqlstate);
}

static void submit(question_t *q)
{
    if (!weir_batch_submit(q->ask->batch, q->trace, 0, (const char *const *)q->values, on_answer,
                           q))
        on_away(q, "the session is not open", "08003");
}

static void on_time(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    submit(arg);
}

weir_ask_t *weir_ask_new(struct event_base *base, weir_db_t *db, const char *group, const char *sql,
                         int width)
{
    weir_ask_t *ask = weir_alloc(sizeof(*ask));

    assert(group != NULL && width > 0 && width <= WEIR_BATCH_WIDTH_MAX);
    ask->base = base;
    ask->batch = weir_batch_new(db, sql, width, BATCH_MAX, WAITING_MAX, 1);
    ask->group = group;
    ask->width = width;
    return ask;
}

void weir_ask_free(weir_ask_t *ask)
{
    if (ask == NULL)
        return;
    weir_batch_free(ask->batch);
    free(ask);
}

void weir_ask(weir_ask_t *ask, const weir_trace_t *trace, const char *const *values,
              weir_batch_cb cb, void *arg)
{
    question_t *q = weir_alloc(sizeof(*q));

    assert(cb != NULL);
    q->ask = ask;
    q->trace = trace;
    q->cb = cb;
    q->arg = arg;
    q->until = weir_clock_ms() + WEIR_ASK_PATIENCE_S * 1000;
    q->again = evtimer_new(ask->base, on_time, q);
    for (int i = 0; i < ask->width; i++) {
        if (values[i] != NULL)
            q->values[i] = weir_alloc_text(values[i]);
    }
    submit(q);
}
