/*
 * The windows of all views.  One process of the machine is the keeper: at the
 * end of each step it adds up what the parts of a view have counted since the
 * last one, and pushes it to the view's window.  Then it computes the
 * percentiles; a request above the 99th is in the tail.
 *
 * The keeper does a number of parts in one turn of the event loop, and goes on
 * after a millisecond.  If it dies, the next process that looks takes over:
 * views that were pushed already have the number of the step.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "http/ngx_http_weir_assert.h"
#include "http/ngx_http_weir_clock.h"
#include "metrics/series/ngx_http_weir_series.h"

#include <math.h>


/* Parts that are added up in one turn: some 100 us. */
#define NGX_HTTP_WEIR_SERIES_TURN   256

/*
 * Values that a percentile needs: at least one of them is above it, and one of
 * 100 for those that are lower than the 99th.
 */
#define NGX_HTTP_WEIR_SERIES_ENOUGH      100
#define NGX_HTTP_WEIR_SERIES_ENOUGH_999  1000


static ngx_uint_t ngx_http_weir_series_windows_is_keeper(void);
static ngx_uint_t ngx_http_weir_series_windows_turn(uint64_t step);
static ngx_uint_t ngx_http_weir_series_windows_sum(
    ngx_http_weir_series_view_t *view, weir_window_sum_t *sum);
static void ngx_http_weir_series_windows_push(
    ngx_http_weir_series_view_t *view, uint64_t step);
static void ngx_http_weir_series_windows_tail(
    ngx_http_weir_series_view_t *view);
static void *ngx_http_weir_series_windows_zeroed(void *data, size_t size);
static void ngx_http_weir_series_windows_release(void *data, void *memory);


static struct {
    ngx_http_weir_series_zone_t   *zone;   /* NULL: this process keeps none */
    ngx_http_weir_series_view_t   *view;   /* the next one of a step */
    ngx_uint_t                     kind;   /* of its group */
    ngx_http_weir_series_group_t  *group;
    uint64_t                       step;   /* that the position belongs to */
    weir_window_sum_t              sum;
    weir_window_sum_t              scratch;
} ngx_http_weir_series_keeper;


void
ngx_http_weir_series_windows_begin(ngx_http_weir_series_zone_t *zone)
{
    ngx_http_weir_series_windows_end();

    ngx_http_weir_series_keeper.zone = zone;
}


void
ngx_http_weir_series_windows_end(void)
{
    ngx_http_weir_series_sh_t  *sh;

    if (ngx_http_weir_series_keeper.zone == NULL) {
        return;
    }

    sh = ngx_http_weir_series_keeper.zone->sh;

    if (sh->keeper == ngx_pid) {
        sh->keeper = 0;
    }

    ngx_http_weir_series_keeper.zone = NULL;
}


ngx_uint_t
ngx_http_weir_series_windows_keep(void)
{
    uint64_t  step;

    if (ngx_exiting) {
        /* a worker that waits for its last clients lets another one do it */
        ngx_http_weir_series_windows_end();
    }

    if (ngx_http_weir_series_keeper.zone == NULL
        || !ngx_http_weir_series_windows_is_keeper())
    {
        return 0;
    }

    /* the last one that has ended */
    step = ngx_http_weir_ms() / (WEIR_WINDOW_STEP * 1000) - 1;

    return step > ngx_http_weir_series_keeper.step
           && ngx_http_weir_series_windows_turn(step);
}


/* Takes over from a keeper that is dead. */

static ngx_uint_t
ngx_http_weir_series_windows_is_keeper(void)
{
    ngx_uint_t                    taken;
    ngx_http_weir_series_sh_t    *sh;
    ngx_http_weir_series_zone_t  *zone;

    zone = ngx_http_weir_series_keeper.zone;
    sh = zone->sh;

    if (sh->keeper == ngx_pid) {
        return 1;
    }

    taken = 0;

    ngx_shmtx_lock(&zone->shpool->mutex);

    if (sh->keeper == 0 || ngx_http_weir_series_zone_is_dead(sh->keeper)) {
        sh->keeper = ngx_pid;
        taken = 1;
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    if (taken) {
        /* whatever was pushed for the last step is found in its view */
        ngx_http_weir_series_keeper.step = 0;
        ngx_http_weir_series_keeper.kind = NGX_HTTP_WEIR_SERIES_KINDS;
        ngx_http_weir_series_keeper.group = NULL;
        ngx_http_weir_series_keeper.view = NULL;
    }

    return taken;
}


/*
 * Pushes the step to some views.  Returns true if there are more; the position
 * is in the keeper's data, as nothing of the tree is ever freed.
 */

static ngx_uint_t
ngx_http_weir_series_windows_turn(uint64_t step)
{
    ngx_uint_t                    parts, *kind;
    ngx_http_weir_series_sh_t    *sh;
    ngx_http_weir_series_view_t  **view;
    ngx_http_weir_series_group_t  **group;

    sh = ngx_http_weir_series_keeper.zone->sh;
    kind = &ngx_http_weir_series_keeper.kind;
    group = &ngx_http_weir_series_keeper.group;
    view = &ngx_http_weir_series_keeper.view;

    if (*kind == NGX_HTTP_WEIR_SERIES_KINDS) {
        *kind = 0;
        *group = ngx_http_weir_series_load(sh->groups[0]);
        *view = *group ? ngx_http_weir_series_load((*group)->views) : NULL;
    }

    for (parts = 0; parts < NGX_HTTP_WEIR_SERIES_TURN; /* void */ ) {

        if (*view) {
            parts += ngx_http_weir_series_windows_sum(*view,
                                            &ngx_http_weir_series_keeper.sum);
            ngx_http_weir_series_windows_push(*view, step);
            *view = (*view)->next;
            continue;
        }

        if (*group) {
            *group = (*group)->next;

        } else {
            (*kind)++;

            if (*kind == NGX_HTTP_WEIR_SERIES_KINDS) {
                ngx_http_weir_series_keeper.step = step;
                return 0;
            }

            *group = ngx_http_weir_series_load(sh->groups[*kind]);
        }

        *view = *group ? ngx_http_weir_series_load((*group)->views) : NULL;
    }

    return 1;
}


/* Adds up all that a view has counted; returns the number of its parts. */

static ngx_uint_t
ngx_http_weir_series_windows_sum(ngx_http_weir_series_view_t *view,
    weir_window_sum_t *sum)
{
    ngx_uint_t                    parts;
    ngx_http_weir_series_t       *series;
    ngx_http_weir_series_part_t  *part;

    ngx_memzero(sum, sizeof(weir_window_sum_t));
    parts = 1;

    for (series = ngx_http_weir_series_load(view->series);
         series;
         series = series->next)
    {
        for (part = ngx_http_weir_series_load(series->parts);
             part;
             part = part->next)
        {
            weir_histogram_merge(&sum->durations, &part->durations);

            ngx_http_weir_series_zone_tail(part, sum->cause);
            parts++;
        }
    }

    return parts;
}


/* Makes the keeper's sum the difference to what was pushed, and pushes it. */

static void
ngx_http_weir_series_windows_push(ngx_http_weir_series_view_t *view,
    uint64_t step)
{
    uint64_t                      cause;
    ngx_uint_t                    i;
    weir_window_sum_t            *sum;
    weir_window_memory_t          memory;
    weir_histogram_memory_t       pages;
    ngx_http_weir_series_zone_t  *zone;

    zone = ngx_http_weir_series_keeper.zone;
    sum = &ngx_http_weir_series_keeper.sum;

    memory.zeroed = ngx_http_weir_series_windows_zeroed;
    memory.release = ngx_http_weir_series_windows_release;
    memory.data = zone;
    pages.zeroed = ngx_http_weir_series_windows_zeroed;
    pages.data = zone;

    ngx_shmtx_lock(&zone->shpool->mutex);

    if (view->window.next <= step) {
        weir_histogram_advance(&view->before, &sum->durations, &pages);

        for (i = 0; i < WEIR_WINDOW_CAUSES; i++) {
            cause = sum->cause[i];
            sum->cause[i] -= view->tail_before[i];
            view->tail_before[i] = cause;
        }

        (void) weir_window_push(&view->window, step, sum,
                                &ngx_http_weir_series_keeper.scratch, &memory);

        if (view->group->kind == NGX_HTTP_WEIR_SERIES_ROUTE) {
            ngx_http_weir_series_windows_tail(view);
        }
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);
}


/*
 * Each percentile is that of the shortest span with enough values.  The mutex is
 * held.
 */

static void
ngx_http_weir_series_windows_tail(ngx_http_weir_series_view_t *view)
{
    double              seconds;
    uint64_t            n;
    ngx_uint_t          span, i;
    weir_window_sum_t  *sum;

    static struct {
        double    quantile;
        uint64_t  enough;
    } percentiles[NGX_HTTP_WEIR_PERCENTILES] = {
        { 0.5, NGX_HTTP_WEIR_SERIES_ENOUGH },
        { 0.9, NGX_HTTP_WEIR_SERIES_ENOUGH },
        { 0.95, NGX_HTTP_WEIR_SERIES_ENOUGH },
        { 0.99, NGX_HTTP_WEIR_SERIES_ENOUGH },
        { 0.999, NGX_HTTP_WEIR_SERIES_ENOUGH_999 }
    };

    sum = &ngx_http_weir_series_keeper.scratch;
    i = 0;

    for (span = 0; span < WEIR_WINDOW_SPANS; span++) {
        ngx_memzero(sum, sizeof(weir_window_sum_t));
        weir_window_read(&view->window, span, sum);
        n = weir_histogram_count(&sum->durations);

        for ( /* void */ ;
             i < NGX_HTTP_WEIR_PERCENTILES && n >= percentiles[i].enough;
             i++)
        {
            seconds = weir_histogram_quantile(&sum->durations,
                                              percentiles[i].quantile);
            __atomic_store(&view->percentiles[i], &seconds, __ATOMIC_RELAXED);
        }
    }

    seconds = INFINITY;

    for ( /* void */ ; i < NGX_HTTP_WEIR_PERCENTILES; i++) {
        __atomic_store(&view->percentiles[i], &seconds, __ATOMIC_RELAXED);
    }
}


void
ngx_http_weir_series_windows_read(ngx_http_weir_series_zone_t *zone,
    ngx_http_weir_series_view_t *view, weir_window_sum_t *into)
{
    ngx_uint_t                 i;

    static weir_window_sum_t  now;

    /*
     * The windows, and what was counted since they were pushed.  Both are read
     * under the mutex: the keeper moves counts from one to the other.
     */

    ngx_shmtx_lock(&zone->shpool->mutex);

    (void) ngx_http_weir_series_windows_sum(view, &now);

    weir_histogram_subtract(&now.durations, &view->before);

    for (i = 0; i < WEIR_WINDOW_CAUSES; i++) {
        now.cause[i] -= view->tail_before[i];
    }

    for (i = 0; i < WEIR_WINDOW_SPANS; i++) {
        weir_window_read(&view->window, i, &into[i]);
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    for (i = 0; i < WEIR_WINDOW_SPANS; i++) {
        weir_window_add(&into[i], &now);
    }
}


void
ngx_http_weir_series_windows_minute(ngx_http_weir_series_zone_t *zone,
    ngx_http_weir_series_view_t *view, ngx_uint_t ago, weir_window_sum_t *into)
{
    ngx_shmtx_lock(&zone->shpool->mutex);
    weir_window_minute(&view->window, ago, into);
    ngx_shmtx_unlock(&zone->shpool->mutex);
}


static void *
ngx_http_weir_series_windows_zeroed(void *data, size_t size)
{
    ngx_http_weir_series_zone_t  *zone = data;

    return ngx_slab_calloc_locked(zone->shpool, size);
}


static void
ngx_http_weir_series_windows_release(void *data, void *memory)
{
    ngx_http_weir_series_zone_t  *zone = data;

    ngx_slab_free_locked(zone->shpool, memory);
}
