#include "events/worker/lease/group.h"

#include "db/array.h"
#include "log/alloc.h"
#include "log/log.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static char *list(const char *const *names)
{
    weir_array_t a = {0};

    for (; *names != NULL; names++)
        weir_array_add(&a, *names);
    return weir_array_close(&a);
}

static char *permanent_list(const char *text)
{
    weir_array_t a = {0};
    char *copy = weir_alloc_text(text != NULL ? text : ""), *rest = copy, *part;

    while ((part = strsep(&rest, ",")) != NULL) {
        if (*part != '\0')
            weir_array_add(&a, part);
    }
    free(copy);
    return weir_array_close(&a);
}

void weir_group_init(weir_group_t *g, weir_worker_t *worker, const weir_consumer_t *consumer)
{
    assert(consumer->group != NULL && consumer->types != NULL && consumer->apply != NULL);
    assert(consumer->handle == NULL || consumer->concurrency > 0);
    g->worker = worker;
    g->consumer = *consumer;
    g->types = list(consumer->types);
    g->permanent = permanent_list(consumer->permanent);
}

void weir_group_clear(weir_group_t *g)
{
    free(g->types);
    free(g->permanent);
}

void weir_group_wake(weir_group_t *g)
{
    assert(g->wake != NULL);
    event_active(g->wake, EV_TIMEOUT, 0);
}

void weir_group_pause(weir_group_t *g, bool paused)
{
    if (g->paused != paused)
        weir_log(WEIR_LOG_INFO, NULL, paused ? "group is paused" : "group is resumed", "{s:s}",
                 "group", g->consumer.group);
    g->paused = paused;
}

bool weir_group_is_paused(const weir_group_t *g)
{
    return g->paused;
}

bool weir_group_is_running(const weir_group_t *g)
{
    return g->worker->state == WEIR_WORKER_RUNNING;
}
