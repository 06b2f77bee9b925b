#include "db/ask.h"

#include <stdlib.h>
#include <string.h>

#define BATCH_MAX 256
#define WAITING_MAX 1024
#define AGAIN_MS 100

struct weir_ask {
    struct event_base *base;
    weir_batch_t *batch;
    int width;
};

/* A question that was not taken. */
typedef struct {
    weir_ask_t *ask;
    weir_batch_cb cb;
    void *arg;
    struct event *timer;
    int left; /* tries */
    char *values[WEIR_BATCH_WIDTH_MAX];
} waiting_t;

static void again(waiting_t *w)
{
    static const struct timeval pause = {0, AGAIN_MS * 1000};

    evtimer_add(w->timer, &pause);
}

static void on_time(evutil_socket_t fd, short what, void *arg)
{
    waiting_t *w = arg;
    bool taken = weir_batch_submit(w->ask->batch, (const char *const *)w->values, w->cb, w->arg);

    (void)fd;
    (void)what;
    if (!taken && --w->left > 0) {
        again(w);
        return;
    }
    if (!taken)
        w->cb(NULL, 0, "the database is away", "08003", w->arg);
    for (int i = 0; i < w->ask->width; i++)
        free(w->values[i]);
    event_free(w->timer);
    free(w);
}

weir_ask_t *weir_ask_new(struct event_base *base, weir_db_t *db, const char *sql, int width)
{
    weir_ask_t *ask = calloc(1, sizeof(*ask));

    if (ask == NULL)
        abort();
    ask->base = base;
    ask->batch = weir_batch_new(db, sql, width, BATCH_MAX, WAITING_MAX, 1);
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

void weir_ask(weir_ask_t *ask, const char *const *values, weir_batch_cb cb, void *arg)
{
    waiting_t *w;

    if (weir_batch_submit(ask->batch, values, cb, arg))
        return;

    w = calloc(1, sizeof(*w));
    if (w == NULL)
        abort();
    w->ask = ask;
    w->cb = cb;
    w->arg = arg;
    w->left = WEIR_ASK_PATIENCE_S * 1000 / AGAIN_MS;
    for (int i = 0; i < ask->width; i++) {
        if (values[i] != NULL && (w->values[i] = strdup(values[i])) == NULL)
            abort();
    }
    w->timer = evtimer_new(ask->base, on_time, w);
    if (w->timer == NULL)
        abort();
    again(w);
}
