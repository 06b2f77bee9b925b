/*
 * The tree of series in shared memory; ngx_http_weir_series.h has its
 * invariant.  Elements are searched one after the other: that happens once in a
 * worker's life for each series, and their number is bounded by the
 * configuration.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "http/ngx_http_weir_assert.h"
#include "metrics/series/ngx_http_weir_series.h"
#include "object/ngx_http_weir_object.h"

#include <math.h>


static ngx_http_weir_series_group_t *ngx_http_weir_series_zone_group(
    ngx_http_weir_series_zone_t *zone, ngx_http_weir_series_kind_e kind,
    ngx_str_t *name, in_port_t port);
static ngx_http_weir_series_view_t *ngx_http_weir_series_zone_view(
    ngx_http_weir_series_zone_t *zone, ngx_http_weir_series_group_t *group,
    ngx_str_t *version);
static ngx_http_weir_series_t *ngx_http_weir_series_zone_series(
    ngx_http_weir_series_zone_t *zone, ngx_http_weir_series_view_t *view,
    ngx_http_weir_series_group_t *route, ngx_http_weir_series_t *labels);
static ngx_http_weir_series_part_t *ngx_http_weir_series_zone_find(
    ngx_http_weir_series_zone_t *zone, ngx_uint_t slot,
    ngx_http_weir_series_id_t *id);
static ngx_http_weir_series_blame_t *ngx_http_weir_series_zone_blame(
    ngx_http_weir_series_group_t *route, ngx_http_weir_series_cause_e phase,
    ngx_str_t *dependency, ngx_uint_t *n);
static ngx_http_weir_series_blame_t *ngx_http_weir_series_zone_blame_add(
    ngx_http_weir_series_zone_t *zone, ngx_http_weir_series_group_t *route,
    ngx_http_weir_series_cause_e phase, ngx_str_t *dependency);
static ngx_int_t ngx_http_weir_series_zone_other(
    ngx_http_weir_series_zone_t *zone, ngx_uint_t slot,
    ngx_http_weir_series_part_t **other);
static void ngx_http_weir_series_zone_reserve(
    ngx_http_weir_series_zone_t *zone, ngx_uint_t workers);


/* Links an element that is complete, under the mutex. */
#define ngx_http_weir_series_zone_link(list, element)                         \
    do {                                                                      \
        (element)->next = (list);                                             \
        __atomic_store_n(&(list), (element), __ATOMIC_RELEASE);               \
    } while (0)


ngx_int_t
ngx_http_weir_series_zone_init(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_http_weir_series_zone_t  *zone;

    static u_char  log_ctx[] = " in weir_metrics_zone";

    zone = shm_zone->data;
    zone->shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    if (data || shm_zone->shm.exists) {
        zone->sh = zone->shpool->data;
        return ngx_http_weir_check_layout(shm_zone, zone->sh->layout);
    }

    zone->sh = ngx_slab_calloc(zone->shpool, sizeof(ngx_http_weir_series_sh_t));
    if (zone->sh == NULL) {
        return NGX_ERROR;
    }

    zone->shpool->data = zone->sh;
    zone->sh->layout = ngx_http_weir_layout();

    zone->shpool->log_ctx = ngx_slab_alloc(zone->shpool, sizeof(log_ctx));
    if (zone->shpool->log_ctx == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(zone->shpool->log_ctx, log_ctx, sizeof(log_ctx));

    /* what has no room is counted, not logged */
    zone->shpool->log_nomem = 0;

    return NGX_OK;
}


ngx_uint_t
ngx_http_weir_series_zone_is_dead(ngx_pid_t pid)
{
    return kill(pid, 0) == -1 && ngx_errno == NGX_ESRCH;
}


ngx_int_t
ngx_http_weir_series_zone_claim(ngx_http_weir_series_zone_t *zone,
    ngx_uint_t *slot, ngx_http_weir_series_part_t **other, ngx_uint_t workers)
{
    ngx_int_t   rc;
    ngx_pid_t   pid;
    ngx_uint_t  i;

    rc = NGX_BUSY;

    ngx_shmtx_lock(&zone->shpool->mutex);

    for (i = 0; i < NGX_HTTP_WEIR_SERIES_SLOTS; i++) {
        pid = zone->sh->pids[i];

        if (pid == 0 || pid == ngx_pid
            || ngx_http_weir_series_zone_is_dead(pid))
        {
            *slot = i;
            rc = ngx_http_weir_series_zone_other(zone, i, other);
            break;
        }
    }

    if (rc == NGX_OK) {
        zone->sh->pids[i] = ngx_pid;
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    if (rc == NGX_OK && i + 1 == workers) {
        /* the lowest slots come first: all of these workers have theirs */
        ngx_http_weir_series_zone_reserve(zone, workers);
    }

    return rc;
}


/* Parts for what has no room, with all their pages. */

static ngx_int_t
ngx_http_weir_series_zone_other(ngx_http_weir_series_zone_t *zone,
    ngx_uint_t slot, ngx_http_weir_series_part_t **other)
{
    ngx_uint_t                  kind, octave;
    weir_histogram_page_t     **page;
    ngx_http_weir_series_id_t   id;

    static ngx_str_t  name = ngx_string("_other");

    for (kind = 0; kind < NGX_HTTP_WEIR_SERIES_KINDS; kind++) {

        ngx_memzero(&id, sizeof(ngx_http_weir_series_id_t));
        id.kind = kind;
        id.route = &name;
        id.upstream = &name;

        other[kind] = ngx_http_weir_series_zone_find(zone, slot, &id);
        if (other[kind] == NULL) {
            return NGX_ERROR;
        }

        for (octave = 0; octave < WEIR_HISTOGRAM_OCTAVES; octave++) {
            page = &other[kind]->durations.page[octave];

            if (*page == NULL) {
                /* no process has the slot, as it would have all pages; and a
                   page without values reads like none */
                *page = ngx_slab_calloc_locked(zone->shpool,
                                               sizeof(weir_histogram_page_t));
                if (*page == NULL) {
                    return NGX_ERROR;
                }
            }
        }
    }

    return NGX_OK;
}


/*
 * The workers of the next configuration begin while these still have their
 * slots, and must count even if the zone is full by then.
 */

static void
ngx_http_weir_series_zone_reserve(ngx_http_weir_series_zone_t *zone,
    ngx_uint_t workers)
{
    ngx_uint_t                    i;
    ngx_http_weir_series_part_t  *other[NGX_HTTP_WEIR_SERIES_KINDS];

    for (i = workers;
         i < ngx_min(2 * workers, NGX_HTTP_WEIR_SERIES_SLOTS);
         i++)
    {
        ngx_shmtx_lock(&zone->shpool->mutex);
        (void) ngx_http_weir_series_zone_other(zone, i, other);
        ngx_shmtx_unlock(&zone->shpool->mutex);

        (void) ngx_http_weir_usage_reserve(&zone->sh->usage, zone->shpool, i);
    }
}


void
ngx_http_weir_series_zone_free(ngx_http_weir_series_zone_t *zone,
    ngx_uint_t slot)
{
    ngx_shmtx_lock(&zone->shpool->mutex);

    ngx_http_weir_assert(zone->sh->pids[slot] == ngx_pid);
    zone->sh->pids[slot] = 0;

    ngx_shmtx_unlock(&zone->shpool->mutex);
}


ngx_http_weir_series_part_t *
ngx_http_weir_series_zone_part(ngx_http_weir_series_zone_t *zone,
    ngx_uint_t slot, ngx_http_weir_series_id_t *id)
{
    ngx_http_weir_series_part_t  *part;

    ngx_shmtx_lock(&zone->shpool->mutex);

    part = ngx_http_weir_series_zone_find(zone, slot, id);

    if (part == NULL) {
        zone->sh->dropped++;
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    return part;
}


/* Finds or creates the part; the mutex is held. */

static ngx_http_weir_series_part_t *
ngx_http_weir_series_zone_find(ngx_http_weir_series_zone_t *zone,
    ngx_uint_t slot, ngx_http_weir_series_id_t *id)
{
    ngx_str_t                     *name;
    ngx_http_weir_series_t        *series;
    ngx_http_weir_series_part_t   *part;
    ngx_http_weir_series_view_t   *view;
    ngx_http_weir_series_group_t  *group, *route;

    name = id->kind == NGX_HTTP_WEIR_SERIES_ROUTE ? id->route : id->upstream;

    group = ngx_http_weir_series_zone_group(zone, id->kind, name, id->port);
    if (group == NULL) {
        return NULL;
    }

    route = NULL;

    if (id->kind == NGX_HTTP_WEIR_SERIES_UPSTREAM) {
        route = ngx_http_weir_series_zone_group(zone,
                                                NGX_HTTP_WEIR_SERIES_ROUTE,
                                                id->route, 0);
        if (route == NULL) {
            return NULL;
        }
    }

    view = ngx_http_weir_series_zone_view(zone, group, &id->version);
    if (view == NULL) {
        return NULL;
    }

    series = ngx_http_weir_series_zone_series(zone, view, route, &id->labels);
    if (series == NULL) {
        return NULL;
    }

    for (part = series->parts; part; part = part->next) {
        if (part->slot == slot) {
            return part;
        }
    }

    part = ngx_slab_calloc_locked(zone->shpool,
                                  sizeof(ngx_http_weir_series_part_t));
    if (part == NULL) {
        return NULL;
    }

    part->view = view;
    part->slot = slot;

    ngx_http_weir_series_zone_link(series->parts, part);

    return part;
}


static ngx_http_weir_series_group_t *
ngx_http_weir_series_zone_group(ngx_http_weir_series_zone_t *zone,
    ngx_http_weir_series_kind_e kind, ngx_str_t *name, in_port_t port)
{
    ngx_http_weir_series_group_t  *group;

    for (group = zone->sh->groups[kind]; group; group = group->next) {
        if (group->port == port && group->name.len == name->len
            && ngx_memcmp(group->name.data, name->data, name->len) == 0)
        {
            return group;
        }
    }

    group = ngx_slab_calloc_locked(zone->shpool,
                                   sizeof(ngx_http_weir_series_group_t)
                                   + name->len);
    if (group == NULL) {
        return NULL;
    }

    group->kind = kind;
    group->port = port;
    group->name.data = (u_char *) (group + 1);
    group->name.len = name->len;
    ngx_memcpy(group->name.data, name->data, name->len);

    ngx_http_weir_series_zone_link(zone->sh->groups[kind], group);

    return group;
}


static ngx_http_weir_series_view_t *
ngx_http_weir_series_zone_view(ngx_http_weir_series_zone_t *zone,
    ngx_http_weir_series_group_t *group, ngx_str_t *version)
{
    ngx_uint_t                    i;
    ngx_http_weir_series_view_t  *view;

    for (view = group->views; view; view = view->next) {
        if (view->version.len == version->len
            && ngx_memcmp(view->version.data, version->data, version->len)
               == 0)
        {
            return view;
        }
    }

    view = ngx_slab_calloc_locked(zone->shpool,
                                  sizeof(ngx_http_weir_series_view_t)
                                  + version->len);
    if (view == NULL) {
        return NULL;
    }

    view->group = group;

    for (i = 0; i < NGX_HTTP_WEIR_PERCENTILES; i++) {
        view->percentiles[i] = INFINITY;
    }

    view->version.data = (u_char *) (view + 1);
    view->version.len = version->len;
    ngx_memcpy(view->version.data, version->data, version->len);

    ngx_http_weir_series_zone_link(group->views, view);

    return view;
}


static ngx_http_weir_series_t *
ngx_http_weir_series_zone_series(ngx_http_weir_series_zone_t *zone,
    ngx_http_weir_series_view_t *view, ngx_http_weir_series_group_t *route,
    ngx_http_weir_series_t *labels)
{
    ngx_http_weir_series_t  *series;

    for (series = view->series; series; series = series->next) {
        if (series->route == route && series->status == labels->status
            && series->method == labels->method
            && series->cache == labels->cache
            && series->secure == labels->secure
            && series->failed == labels->failed)
        {
            return series;
        }
    }

    series = ngx_slab_alloc_locked(zone->shpool,
                                   sizeof(ngx_http_weir_series_t));
    if (series == NULL) {
        return NULL;
    }

    *series = *labels;
    series->view = view;
    series->route = route;
    series->parts = NULL;

    ngx_http_weir_series_zone_link(view->series, series);

    return series;
}


ngx_uint_t
ngx_http_weir_series_zone_cause(ngx_http_weir_series_zone_t *zone,
    ngx_http_weir_series_group_t *route, ngx_http_weir_series_cause_e phase,
    ngx_str_t *dependency)
{
    ngx_uint_t                     n;
    ngx_http_weir_series_blame_t  *blame;

    if (dependency->len == 0) {
        return phase;
    }

    blame = ngx_http_weir_series_zone_blame(route, phase, dependency, &n);

    if (blame == NULL && n < NGX_HTTP_WEIR_SERIES_BLAMES) {

        ngx_shmtx_lock(&zone->shpool->mutex);

        blame = ngx_http_weir_series_zone_blame(route, phase, dependency, &n);

        if (blame == NULL && n < NGX_HTTP_WEIR_SERIES_BLAMES) {
            blame = ngx_http_weir_series_zone_blame_add(zone, route, phase,
                                                        dependency);
        }

        ngx_shmtx_unlock(&zone->shpool->mutex);
    }

    return blame ? blame->number : (ngx_uint_t) phase;
}


/* NULL: the route has none for that; *n is how many it has. */

static ngx_http_weir_series_blame_t *
ngx_http_weir_series_zone_blame(ngx_http_weir_series_group_t *route,
    ngx_http_weir_series_cause_e phase, ngx_str_t *dependency, ngx_uint_t *n)
{
    ngx_http_weir_series_blame_t  *blame;

    *n = 0;

    for (blame = ngx_http_weir_series_load(route->blames);
         blame;
         blame = blame->next)
    {
        if (blame->phase == phase && blame->name.len == dependency->len
            && ngx_memcmp(blame->name.data, dependency->data, dependency->len)
               == 0)
        {
            return blame;
        }

        (*n)++;
    }

    return NULL;
}


/* NULL: no memory.  The mutex is held. */

static ngx_http_weir_series_blame_t *
ngx_http_weir_series_zone_blame_add(ngx_http_weir_series_zone_t *zone,
    ngx_http_weir_series_group_t *route, ngx_http_weir_series_cause_e phase,
    ngx_str_t *dependency)
{
    ngx_http_weir_series_blame_t  *blame;

    blame = ngx_slab_calloc_locked(zone->shpool,
                                   sizeof(ngx_http_weir_series_blame_t)
                                   + dependency->len);
    if (blame == NULL) {
        return NULL;
    }

    blame->phase = phase;
    blame->number = route->blames ? route->blames->number + 1
                                  : NGX_HTTP_WEIR_SERIES_CAUSES;
    blame->name.data = (u_char *) (blame + 1);
    blame->name.len = dependency->len;
    ngx_memcpy(blame->name.data, dependency->data, dependency->len);

    ngx_http_weir_series_zone_link(route->blames, blame);

    return blame;
}


void
ngx_http_weir_series_zone_tail(ngx_http_weir_series_part_t *part,
    uint64_t *sum)
{
    uint64_t    *tail;
    ngx_uint_t   i;

    tail = ngx_http_weir_series_load(part->tail);

    if (tail == NULL) {
        return;
    }

    for (i = 0; i < WEIR_WINDOW_CAUSES; i++) {
        sum[i] += __atomic_load_n(&tail[i], __ATOMIC_RELAXED);
    }
}


void
ngx_http_weir_series_zone_full(ngx_http_weir_series_zone_t *zone,
    ngx_http_weir_series_part_t *part)
{
    if (part->full) {
        return;
    }

    part->full = 1;

    ngx_shmtx_lock(&zone->shpool->mutex);
    zone->sh->dropped++;
    ngx_shmtx_unlock(&zone->shpool->mutex);
}


void *
ngx_http_weir_series_zone_memory(void *data, size_t size)
{
    ngx_http_weir_series_zone_t  *zone = data;

    return ngx_slab_calloc(zone->shpool, size);
}
