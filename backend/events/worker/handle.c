/*
 * From the queue to the handlers, several events at a time: the choice of the next event, and the
 * effect of its result on the dependency's breaker.
 *
 *   queue ─take─▶ confirm.c ─▶ handler ─▶ settle.c
 *
 * Events of groups without a handler go from the queue to settle.c, a whole batch at once.
 */
#include "events/worker/handle.h"

#include "common/text/str.h"
#include "events/worker/confirm.h"
#include "events/worker/lease/delivery.h"
#include "events/worker/lease/group.h"
#include "events/worker/lease/lease.h"
#include "events/worker/settle.h"
#include "events/worker/span.h"
#include "log/alloc.h"
#include "log/clock.h"
#include "metrics/series.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static char *printable(const char *s)
{
    char *copy = weir_alloc_text(s != NULL && *s != '\0' ? s : "no reason was given");

    weir_str_make_printable(copy);
    return copy;
}

/* Passes the event to settle.c. */
static void end(weir_delivery_t *d, weir_delivery_result_t result, const char *error)
{
    assert(d->item != NULL);
    d->result = result;
    free(d->error);
    d->error = result == WEIR_DELIVERY_OK ? NULL : printable(error);
    weir_settle_add(d);
}

/* The meaning of a result for the dependency's breaker. */
static weir_call_result_t call_result(weir_delivery_result_t result)
{
    switch (result) {
    case WEIR_DELIVERY_UNAVAILABLE:
        return WEIR_CALL_FAILED;
    case WEIR_DELIVERY_AWAY:
        return WEIR_CALL_UNREACHED;
    case WEIR_DELIVERY_GIVEN_UP:
        return WEIR_CALL_ABANDONED;
    default:
        return WEIR_CALL_ANSWERED;
    }
}

static void measure(const weir_delivery_t *d, weir_delivery_result_t result)
{
    static const char *const errors[] = {
        [WEIR_DELIVERY_RETRY] = "retry",
        [WEIR_DELIVERY_PERMANENT] = "refused",
        [WEIR_DELIVERY_UNAVAILABLE] = "unavailable",
        [WEIR_DELIVERY_AWAY] = "unreached",
        [WEIR_DELIVERY_GIVEN_UP] = "given_up",
    };
    const char *values[] = {"redis", d->lease->group->consumer.group,
                            result == WEIR_DELIVERY_OK ? NULL : errors[result]};

    weir_series_observe(weir_series(WEIR_GROUP_DURATION, values), weir_clock_us() - d->began_us);
}

void weir_delivery_not_before(weir_delivery_t *d, uint64_t wait_ms)
{
    d->wait_ms = wait_ms < WEIR_NOT_BEFORE_MAX ? (unsigned)wait_ms : WEIR_NOT_BEFORE_MAX;
}

void weir_delivery_done(weir_delivery_t *d, weir_delivery_result_t result, const char *error)
{
    weir_lease_t *l = d->lease;
    weir_group_t *g = l->group;
    uint64_t now = weir_clock_ms();
    bool blamed;

    assert(l->handling > 0 && g->handle.under_way > 0);
    l->handling--;
    g->handle.under_way--;
    g->handle.failed -= weir_queue_kind(d->item) == WEIR_QUEUE_FAILED;
    measure(d, result);
    blamed = weir_dependency_end(&g->handle.dependency, now, &d->call, call_result(result), error);

    d->excused = result == WEIR_DELIVERY_AWAY || (result == WEIR_DELIVERY_UNAVAILABLE && !blamed);
    if (result == WEIR_DELIVERY_GIVEN_UP || weir_lease_is_gone(l))
        weir_span_end(d,
                      &(weir_span_outcome_t){.error = result == WEIR_DELIVERY_OK ? NULL : error});
    if (weir_lease_is_gone(l) && result == WEIR_DELIVERY_OK)
        weir_settle_leave(d);
    if (result == WEIR_DELIVERY_GIVEN_UP)
        weir_queue_retry(l->queue, d->item, now + (uint64_t)random() % WEIR_COMMIT_RETRY);
    else
        end(d, result, error);
    weir_group_wake(g);
    weir_lease_unref(l);
}

static void handle(weir_lease_t *l, weir_item_t *item)
{
    weir_group_t *g = l->group;
    weir_delivery_t *d = item->payload;
    bool is_fresh = weir_queue_kind(item) == WEIR_QUEUE_FRESH;

    d->item = item;
    if (!d->wanted || !d->readable || weir_confirm_is_missing(d)) {
        end(d, d->wanted ? WEIR_DELIVERY_PERMANENT : WEIR_DELIVERY_OK,
            weir_confirm_is_missing(d) ? "the outbox has no such event"
                                       : "the stream's entry is no CloudEvent");
        return;
    }
    if (weir_settle_was_made(d)) {
        end(d, WEIR_DELIVERY_OK, NULL);
        return;
    }
    weir_span_begin(d);
    d->began_us = weir_clock_us();
    d->call = weir_dependency_begin(&g->handle.dependency, is_fresh);
    d->excused = false;
    d->wait_ms = 0;
    weir_lease_ref(l);
    l->handling++;
    g->handle.under_way++;
    g->handle.failed += !is_fresh;
    assert(g->handle.failed <= g->handle.under_way);
    g->consumer.handle(g->consumer.self, &d->event, d);
}

/* --- which event next ------------------------------------------------------------------------- */

/* The partition with the newest fresh event; NULL when there is none. */
static const weir_lease_t *newest(const weir_group_t *g, uint64_t now)
{
    const weir_lease_t *found = NULL;
    uint64_t last = 0;

    for (int i = 0; i < WEIR_PARTITIONS_MAX; i++) {
        const weir_lease_t *l = g->leases[i];
        uint64_t order;

        if (l == NULL || !weir_lease_is_flowing(l) || !weir_lease_is_owned(l, now) ||
            weir_confirm_next(l) > now)
            continue;
        order = weir_queue_newest(l->queue, now);
        if (order > last) {
            last = order;
            found = l;
        }
    }
    return found;
}

/* Takes a probe: the newest fresh event, or, if there is none, an event that failed before. */
static weir_item_t *take_probe(weir_lease_t *l, uint64_t now, uint64_t *next)
{
    weir_dependency_t *d = &l->group->handle.dependency;
    const weir_lease_t *its = newest(l->group, now);
    weir_item_t *item = NULL;

    if (its == l && weir_dependency_admits(d, now, true))
        item = weir_queue_take_newest(l->queue, now);
    else if (its == NULL && weir_dependency_admits(d, now, false))
        item = weir_queue_take(l->queue, now, WEIR_QUEUE_FAILED);
    if (item != NULL)
        weir_group_wake(l->group); /* the next probe may be in another partition */
    else if (its == NULL && weir_dependency_admits(d, now, false))
        weir_earliest(next, weir_queue_next(l->queue, WEIR_QUEUE_FAILED));
    if (its == NULL)
        weir_earliest(next, weir_queue_next(l->queue, WEIR_QUEUE_FRESH));
    return item;
}

/*
 * Takes the next event; NULL when there is none, and then *next is at most the time for the next
 * call. Fresh events go first. Events that failed before get at most half of the handlers, so that
 * slow failures do not use all.
 */
static weir_item_t *take(weir_lease_t *l, uint64_t now, uint64_t *next)
{
    weir_group_t *g = l->group;
    weir_dependency_t *d = &g->handle.dependency;
    bool fresh = weir_dependency_admits(d, now, true);
    bool failed = weir_dependency_admits(d, now, false) &&
                  g->handle.failed < (g->consumer.concurrency + 1) / 2;
    weir_item_t *item = NULL;

    if (weir_dependency_probes(d))
        return take_probe(l, now, next);
    if (fresh)
        item = weir_queue_take(l->queue, now, WEIR_QUEUE_FRESH);
    if (item == NULL && failed)
        item = weir_queue_take(l->queue, now, WEIR_QUEUE_FAILED);
    if (item != NULL)
        return item;
    weir_earliest(next, weir_dependency_next(d));
    if (fresh)
        weir_earliest(next, weir_queue_next(l->queue, WEIR_QUEUE_FRESH));
    if (failed)
        weir_earliest(next, weir_queue_next(l->queue, WEIR_QUEUE_FAILED));
    return NULL;
}

static void run_handlers(weir_lease_t *l, uint64_t now, uint64_t *next)
{
    weir_group_t *g = l->group;

    assert(g->handle.under_way <= g->consumer.concurrency);
    if (weir_confirm_next(l) > now) {
        weir_earliest(next, weir_confirm_next(l));
        return;
    }
    /* A lease that may have expired waits for the next heartbeat. */
    while (weir_confirm_is_idle(l) && g->handle.under_way < g->consumer.concurrency &&
           weir_lease_is_owned(l, now)) {
        weir_item_t *item = take(l, now, next);

        if (item == NULL || !weir_confirm(l, item, now))
            return;
        handle(l, item);
    }
}

/* --- for the files above ---------------------------------------------------------------------- */

void weir_handle_init(weir_group_t *g)
{
    weir_dependency_init(&g->handle.dependency, g->consumer.dependency);
}

void weir_handle_run(weir_lease_t *l, uint64_t now, uint64_t *next)
{
    const weir_group_t *g = l->group;
    bool takes = weir_lease_is_flowing(l) && !weir_group_is_paused(g) && weir_group_is_running(g);

    assert(l->queue != NULL);
    if (takes && g->consumer.handle != NULL)
        run_handlers(l, now, next);
    weir_settle_run(l, takes, now, next);
}

bool weir_handle_is_idle(const weir_lease_t *l)
{
    return l->handling == 0 && weir_confirm_is_idle(l) && weir_settle_is_idle(l);
}

bool weir_handle_has_handlers(const weir_group_t *g)
{
    return g->handle.under_way > 0;
}
