/*
 * The states of a lease: weir_lease_state_t lists them, and only move() changes them.
 *
 *   OPENING ─▶ FLOWING ─▶ CLOSING ─▶ GONE
 *      └───────────┴────────────────▲
 *
 * A lease has one reference while it is in its group, and one for each callback in flight. So a
 * lease that is GONE is freed after the last callback.
 */
#include "events/worker/lease/lease.h"

#include "events/worker/lease/group.h"
#include "log/alloc.h"
#include "log/clock.h"
#include "log/log.h"

#include <assert.h>
#include <stdlib.h>

/* ms */
#define STRANGE_HOLD 2000     /* until a stream that is ahead is read again */
#define STRANGE_SILENCE 60000 /* without unknown events, until they are logged again */

static void move(weir_lease_t *l, weir_lease_state_t to)
{
    static const bool allowed[WEIR_LEASE_GONE + 1][WEIR_LEASE_GONE + 1] = {
        [WEIR_LEASE_OPENING] = {[WEIR_LEASE_FLOWING] = true, [WEIR_LEASE_GONE] = true},
        [WEIR_LEASE_FLOWING] = {[WEIR_LEASE_CLOSING] = true, [WEIR_LEASE_GONE] = true},
        [WEIR_LEASE_CLOSING] = {[WEIR_LEASE_GONE] = true},
    };

    assert(allowed[l->state][to]);
    l->state = to;
}

weir_lease_t *weir_lease_new(weir_group_t *g, int partition, int64_t epoch)
{
    weir_lease_t *l = weir_alloc(sizeof(*l));

    assert(partition >= 0 && partition < WEIR_PARTITIONS_MAX && g->leases[partition] == NULL);
    l->group = g;
    l->partition = partition;
    l->epoch = epoch;
    l->state = WEIR_LEASE_OPENING;
    l->refs = 1;
    TAILQ_INIT(&l->settle.results);
    g->leases[partition] = l;
    return l;
}

void weir_lease_ref(weir_lease_t *l)
{
    assert(l->refs > 0);
    l->refs++;
}

void weir_lease_unref(weir_lease_t *l)
{
    assert(l->refs > 0);
    if (--l->refs > 0)
        return;
    assert(l->state == WEIR_LEASE_GONE);
    if (l->queue != NULL)
        weir_queue_free(l->queue);
    free(l->confirm.ids);
    free(l);
}

void weir_lease_flow(weir_lease_t *l, weir_queue_t *queue)
{
    assert(l->queue == NULL && queue != NULL);
    move(l, WEIR_LEASE_FLOWING);
    l->queue = queue;
}

void weir_lease_close(weir_lease_t *l)
{
    if (l->state == WEIR_LEASE_FLOWING)
        move(l, WEIR_LEASE_CLOSING);
}

void weir_lease_remove(weir_lease_t *l)
{
    weir_group_t *g = l->group;

    if (l->state == WEIR_LEASE_GONE)
        return;
    assert(g->leases[l->partition] == l);
    move(l, WEIR_LEASE_GONE);
    g->leases[l->partition] = NULL;
    g->worker->removed(l);
    weir_lease_unref(l);
}

void weir_lease_lose(weir_lease_t *l, const char *why)
{
    assert(why != NULL);
    if (l->state == WEIR_LEASE_GONE)
        return;
    weir_log(WEIR_LOG_WARN, NULL, "partition lost", "{s:s,s:i,s:s}", "group",
             l->group->consumer.group, "partition", l->partition, "reason", why);
    weir_lease_remove(l);
}

/* --- streams of another history ------------------------------------------------------------- */

void weir_lease_strange(weir_lease_t *l, int64_t position, bool ahead)
{
    weir_group_t *g = l->group;
    weir_worker_t *w = g->worker;
    uint64_t now = weir_clock_ms();

    assert(l->partition >= 0 && l->partition < WEIR_PARTITIONS_MAX);
    if (w->strange_at == 0 || now - w->strange_at > STRANGE_SILENCE)
        weir_log(WEIR_LOG_ERROR, NULL,
                 "a stream has events that the database does not have: a standby was promoted that "
                 "lacks the last transactions, or a backup was restored. These events are not "
                 "handled. If the relay reports the same, run: weirctl relay rebase",
                 "{s:s,s:i,s:I}", "group", g->consumer.group, "partition", l->partition, "position",
                 (json_int_t)position);
    w->strange_at = now;
    g->strange.outbox_to[l->partition] = ahead || position < l->newest ? l->newest : position;
    if (ahead)
        g->strange.stream_hold[l->partition] = now + STRANGE_HOLD;
    /* Events under way are finished first: their effects have begun. */
    weir_lease_close(l);
    weir_group_wake(g);
}

void weir_lease_strange_limits(const weir_lease_t *l, int64_t *outbox_to, uint64_t *hold)
{
    *outbox_to = l->group->strange.outbox_to[l->partition];
    *hold = l->group->strange.stream_hold[l->partition];
}

/* --- what others ask ------------------------------------------------------------------------- */

bool weir_lease_is_flowing(const weir_lease_t *l)
{
    return l->state == WEIR_LEASE_FLOWING;
}

bool weir_lease_is_closing(const weir_lease_t *l)
{
    return l->state == WEIR_LEASE_CLOSING;
}

bool weir_lease_is_gone(const weir_lease_t *l)
{
    return l->state == WEIR_LEASE_GONE;
}

bool weir_lease_is_owned(const weir_lease_t *l, uint64_t now)
{
    return l->state != WEIR_LEASE_GONE && now < l->until;
}

void weir_lease_renew(weir_lease_t *l, uint64_t until)
{
    assert(l->state != WEIR_LEASE_GONE);
    l->until = until;
}

void weir_lease_note_newest(weir_lease_t *l, int64_t position)
{
    if (position > l->newest)
        l->newest = position;
}

void weir_lease_forget_newest(weir_lease_t *l)
{
    l->newest = 0;
}
