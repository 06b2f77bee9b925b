/*
 * Reads what other files count, when the metrics are written; changes nothing.
 */
#include "events/worker/measure.h"

#include "events/worker/lease/group.h"
#include "events/worker/lease/lease.h"
#include "metrics/series.h"

static void set(weir_family_id_t family, const weir_group_t *g, uint64_t value)
{
    weir_series_set(weir_series(family, &g->consumer.group), value);
}

static void collect_dependency(const weir_group_t *g)
{
    static const char *const states[WEIR_DEPENDENCY_STATES] = {
        [WEIR_DEPENDENCY_CLOSED] = "closed",
        [WEIR_DEPENDENCY_RESTING] = "open",
        [WEIR_DEPENDENCY_PROBING] = "half_open",
    };
    static const char *const results[WEIR_CALL_RESULTS] = {
        [WEIR_CALL_ANSWERED] = "answered",
        [WEIR_CALL_FAILED] = "failed",
        [WEIR_CALL_UNREACHED] = "unreached",
        [WEIR_CALL_ABANDONED] = "abandoned",
    };
    const weir_dependency_t *d = &g->handle.dependency;
    const char *values[] = {d->name, g->consumer.group, NULL};

    if (d->name == NULL)
        return;
    for (int i = 0; i < WEIR_DEPENDENCY_STATES; i++) {
        values[2] = states[i];
        weir_series_set(weir_series(WEIR_DEPENDENCY_STATE_NOW, values), (int)d->state == i);
        weir_series_set(weir_series(WEIR_DEPENDENCY_TRANSITIONS, values), d->entered[i]);
    }
    for (int i = 0; i < WEIR_CALL_RESULTS; i++) {
        values[2] = results[i];
        weir_series_set(weir_series(WEIR_DEPENDENCY_CALLS, values), d->ended[i]);
    }
}

static void collect_group(const weir_group_t *g)
{
    uint64_t partitions = 0, memory = 0, in_flight = g->handle.under_way;

    for (int i = 0; i < WEIR_PARTITIONS_MAX; i++) {
        const weir_lease_t *l = g->leases[i];

        if (l == NULL)
            continue;
        partitions++;
        memory += l->queue != NULL ? weir_queue_count(l->queue) : 0;
        in_flight += l->settle.consuming ? l->settle.count : 0;
    }
    set(WEIR_GROUP_PARTITIONS, g, partitions);
    set(WEIR_GROUP_PAUSED, g, weir_group_is_paused(g));
    set(WEIR_GROUP_MEMORY, g, memory);
    set(WEIR_GROUP_IN_FLIGHT, g, in_flight);
    set(WEIR_GROUP_HANDLED, g, g->settle.handled);
    set(WEIR_GROUP_FAILED, g, g->settle.failed);
    set(WEIR_GROUP_DIED, g, g->settle.died);
    collect_dependency(g);
}

static void collect(void *arg)
{
    const weir_worker_t *w = arg;

    for (size_t i = 0; i < w->count; i++)
        collect_group(&w->groups[i]);
}

void weir_measure_open(weir_worker_t *w)
{
    weir_series_collect(collect, w);
}

void weir_measure_close(weir_worker_t *w)
{
    weir_series_forget(collect, w);
}
