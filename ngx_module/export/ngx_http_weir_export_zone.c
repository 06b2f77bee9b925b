/*
 * The shared memory of weir_exporter: slots, each with a ring, the claim of the
 * exporter, and counts.
 *
 * Invariants:
 *
 * - A slot belongs to the process whose pid is in it, which alone writes to the
 *   ring's head and to the slot's counts.  It is taken with a compare-and-swap
 *   from 0, or from the pid of a process that is gone.  Its records remain in
 *   the ring until the exporter frees them; a new owner adds to them.
 * - The rings are read by the exporter alone.  It is the process whose pid is in
 *   sh->exporter, taken with a compare-and-swap from 0, from the pid of a process
 *   that is gone, or from one that has not looked at the rings for
 *   NGX_HTTP_WEIR_EXPORT_STALE.  That one may live, stopped by a debugger say: the
 *   ring refuses what it commits later (ring.h).
 * - A process that ends gives up slot and claim.  One that is killed does not:
 *   its pid is found to be gone.
 *
 * The zone survives a reload with the same format and sizes.  Its name has the
 * format of the spans, so that a batch never has spans of two formats; the
 * workers that are ending send those of the old format.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "export/ngx_http_weir_export_private.h"
#include "http/ngx_http_weir_assert.h"
#include "http/ngx_http_weir_clock.h"
#include "object/ngx_http_weir_object.h"

#include <signal.h>


static ngx_int_t ngx_http_weir_export_zone_init(ngx_shm_zone_t *shm_zone,
    void *data);
static size_t ngx_http_weir_export_zone_head(uint32_t slots);
static ngx_uint_t ngx_http_weir_export_zone_gone(uint64_t pid);
static ngx_uint_t ngx_http_weir_export_zone_take(_Atomic uint64_t *owner,
    uint64_t expected);
static void ngx_http_weir_export_zone_reconcile(ngx_http_weir_export_sh_t *sh);


ngx_int_t
ngx_http_weir_export_zone_add(ngx_conf_t *cf, ngx_http_weir_exporter_t *ex)
{
    size_t            size;
    ngx_int_t         workers;
    uint32_t          slots;
    ngx_core_conf_t  *ccf;

    static ngx_str_t  names[] = {
        ngx_string("weir_exporter:protobuf"),
        ngx_string("weir_exporter:json"),
        ngx_string("weir_exporter:zipkin")
    };

    ccf = (ngx_core_conf_t *) ngx_get_conf(cf->cycle->conf_ctx,
                                           ngx_core_module);

    /* unset: the directive is missing, or follows http {} */
    workers = (ccf->worker_processes == NGX_CONF_UNSET) ? ngx_ncpu
                                                        : ccf->worker_processes;

    slots = ngx_max(2 * workers + 2, NGX_HTTP_WEIR_EXPORT_SLOTS_MIN);
    slots = ngx_min(slots, NGX_HTTP_WEIR_EXPORT_SLOTS_MAX);

    /*
     * nginx' slab pool needs a description of each page, and some more.  Only
     * what rings have used becomes real memory.
     */

    size = ngx_http_weir_export_zone_head(slots) + slots * ex->buffer;
    size += size / ngx_pagesize * 2 * sizeof(ngx_slab_page_t)
            + 16 * ngx_pagesize;

    ex->zone = ngx_shared_memory_add(cf, &names[ex->format], size,
                                     &ngx_http_weir_export_module);
    if (ex->zone == NULL) {
        return NGX_ERROR;
    }

    ex->slots = slots;
    ex->zone->init = ngx_http_weir_export_zone_init;
    ex->zone->data = ex;

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_export_zone_init(ngx_shm_zone_t *shm_zone, void *data)
{
    size_t                      head;
    ngx_slab_pool_t            *shpool;
    ngx_http_weir_exporter_t   *ex;
    ngx_http_weir_export_sh_t  *sh;

    ex = shm_zone->data;
    shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    if (data || shm_zone->shm.exists) {
        sh = shpool->data;

        if (ngx_http_weir_check_layout(shm_zone, sh->layout) != NGX_OK) {
            return NGX_ERROR;
        }

        ex->sh = sh;
        return NGX_OK;
    }

    head = ngx_http_weir_export_zone_head(ex->slots);

    /* the rings are not cleared, so that they take no memory before their use */

    sh = ngx_slab_alloc(shpool, head + ex->slots * ex->buffer);
    if (sh == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(sh, head);

    sh->layout = ngx_http_weir_layout();
    sh->slots = ex->slots;
    sh->units = ex->buffer / WEIR_RING_UNIT;
    sh->rings = (char *) sh + head;

    shpool->data = sh;
    ex->sh = sh;

    return NGX_OK;
}


/* Bytes before the rings. */

static size_t
ngx_http_weir_export_zone_head(uint32_t slots)
{
    return ngx_align(offsetof(ngx_http_weir_export_sh_t, slot)
                     + slots * sizeof(ngx_http_weir_export_slot_t),
                     ngx_pagesize);
}


weir_ring_t
ngx_http_weir_export_zone_ring(ngx_http_weir_export_sh_t *sh, ngx_uint_t slot)
{
    weir_ring_t  ring;

    ngx_http_weir_assert(slot < sh->slots);

    ngx_memzero(&ring, sizeof(weir_ring_t));

    ring.words = &sh->slot[slot].words;
    ring.units = sh->units;
    ring.data = sh->rings + slot * (size_t) sh->units * WEIR_RING_UNIT;

    return ring;
}


void
ngx_http_weir_export_zone_enter(ngx_http_weir_exporter_t *ex)
{
    uint64_t                      pid;
    ngx_uint_t                    i, round;
    ngx_http_weir_export_slot_t  *slot;

    ngx_http_weir_assert(ex->slot == NULL);

    /* first those that are free: finding out that a process is gone is a call */

    for (round = 0; round < 2; round++) {
        for (i = 0; i < ex->sh->slots; i++) {
            slot = &ex->sh->slot[i];
            pid = atomic_load_explicit(&slot->pid, memory_order_relaxed);

            if (pid != 0
                && (round == 0
                    || (pid != (uint64_t) ngx_pid
                        && !ngx_http_weir_export_zone_gone(pid))))
            {
                continue;
            }

            if (ngx_http_weir_export_zone_take(&slot->pid, pid)) {
                atomic_store_explicit(&slot->leaving, 0, memory_order_relaxed);
                ex->slot = slot;
                ex->ring = ngx_http_weir_export_zone_ring(ex->sh, i);
                return;
            }
        }
    }
}


void
ngx_http_weir_export_zone_leave(ngx_http_weir_exporter_t *ex)
{
    if (ex->slot) {
        atomic_store_explicit(&ex->slot->pid, 0, memory_order_release);
        ex->slot = NULL;
    }
}


/* True if there is no such process; one of another user lives, too. */

static ngx_uint_t
ngx_http_weir_export_zone_gone(uint64_t pid)
{
    return kill((pid_t) pid, 0) == -1 && ngx_errno == NGX_ESRCH;
}


static ngx_uint_t
ngx_http_weir_export_zone_take(_Atomic uint64_t *owner, uint64_t expected)
{
    return atomic_compare_exchange_strong_explicit(owner, &expected,
                                                   (uint64_t) ngx_pid,
                                                   memory_order_acq_rel,
                                                   memory_order_relaxed);
}


ngx_uint_t
ngx_http_weir_export_zone_claim(ngx_http_weir_export_sh_t *sh)
{
    uint64_t    pid, beat, now;
    ngx_uint_t  gone;

    now = ngx_http_weir_ms();
    pid = atomic_load_explicit(&sh->exporter, memory_order_acquire);
    beat = ngx_http_weir_export_get(&sh->beat);

    if (pid != (uint64_t) ngx_pid) {

        gone = (pid != 0 && ngx_http_weir_export_zone_gone(pid));

        if (pid != 0 && !gone && now < beat + NGX_HTTP_WEIR_EXPORT_STALE) {
            return 0;
        }

        if (!ngx_http_weir_export_zone_take(&sh->exporter, pid)) {
            return 0;
        }

        if (gone) {
            ngx_http_weir_export_zone_reconcile(sh);
        }
    }

    atomic_store_explicit(&sh->beat, now, memory_order_relaxed);

    return 1;
}


/*
 * An exporter that was killed may have freed spans in the rings that it had not
 * counted yet.  Most were sent.  The rings count modulo 2^32.
 */

static void
ngx_http_weir_export_zone_reconcile(ngx_http_weir_export_sh_t *sh)
{
    uint32_t     missing;
    ngx_uint_t   i;
    weir_ring_t  ring;

    missing = (uint32_t) -(ngx_http_weir_export_get(&sh->sent)
                           + ngx_http_weir_export_get(&sh->dropped_refused)
                           + ngx_http_weir_export_get(&sh->dropped_unsent)
                           + ngx_http_weir_export_get(&sh->dropped_corrupt));

    for (i = 0; i < sh->slots; i++) {
        ring = ngx_http_weir_export_zone_ring(sh, i);
        missing += weir_ring_freed(&ring);
    }

    ngx_http_weir_export_add(&sh->sent, missing);
}


void
ngx_http_weir_export_zone_release(ngx_http_weir_export_sh_t *sh)
{
    uint64_t  pid;

    pid = (uint64_t) ngx_pid;

    (void) atomic_compare_exchange_strong_explicit(&sh->exporter, &pid, 0,
                                                   memory_order_release,
                                                   memory_order_relaxed);
}


ngx_uint_t
ngx_http_weir_export_zone_has_heir(ngx_http_weir_export_sh_t *sh)
{
    uint64_t    pid;
    ngx_uint_t  i;

    for (i = 0; i < sh->slots; i++) {
        pid = atomic_load_explicit(&sh->slot[i].pid, memory_order_relaxed);

        if (pid != 0 && pid != (uint64_t) ngx_pid
            && atomic_load_explicit(&sh->slot[i].leaving, memory_order_seq_cst)
               == 0
            && !ngx_http_weir_export_zone_gone(pid))
        {
            return 1;
        }
    }

    return 0;
}


uint64_t
ngx_http_weir_export_zone_queued(ngx_http_weir_export_sh_t *sh, uint64_t *bytes,
    ngx_uint_t *half)
{
    uint64_t     n, b;
    ngx_uint_t   i;
    weir_ring_t  ring;

    n = 0;
    *bytes = 0;
    *half = 0;

    for (i = 0; i < sh->slots; i++) {

        if (weir_ring_is_empty(&sh->slot[i].words)) {
            continue;
        }

        ring = ngx_http_weir_export_zone_ring(sh, i);
        n += weir_ring_count(&ring, &b);
        *bytes += b;

        if (b > (uint64_t) sh->units * WEIR_RING_UNIT / 2) {
            *half = 1;
        }
    }

    return n;
}


uint64_t
ngx_http_weir_export_zone_overflows(ngx_http_weir_export_sh_t *sh)
{
    uint64_t    n;
    ngx_uint_t  i;

    n = ngx_http_weir_export_get(&sh->unslotted);

    for (i = 0; i < sh->slots; i++) {
        n += ngx_http_weir_export_get(&sh->slot[i].dropped_full);
    }

    return n;
}


void
ngx_http_weir_export_zone_counts(ngx_http_weir_export_sh_t *sh,
    ngx_http_weir_export_counts_t *counts)
{
    ngx_uint_t  i, half;

    counts->ended = ngx_http_weir_export_get(&sh->unslotted);

    for (i = 0; i < sh->slots; i++) {
        counts->ended += ngx_http_weir_export_get(&sh->slot[i].ended);
    }

    counts->sent = ngx_http_weir_export_get(&sh->sent);
    counts->dropped_full = ngx_http_weir_export_zone_overflows(sh);
    counts->dropped_refused = ngx_http_weir_export_get(&sh->dropped_refused);
    counts->dropped_unsent = ngx_http_weir_export_get(&sh->dropped_unsent);
    counts->dropped_corrupt = ngx_http_weir_export_get(&sh->dropped_corrupt);
    counts->failures = ngx_http_weir_export_get(&sh->failures);
    counts->ids_published = ngx_http_weir_export_get(&sh->ids_published);
    counts->ids_dropped = ngx_http_weir_export_get(&sh->ids_dropped);
    counts->points_sent = ngx_http_weir_export_get(&sh->points_sent);
    counts->points_refused = ngx_http_weir_export_get(&sh->points_refused);
    counts->points_unsent = ngx_http_weir_export_get(&sh->points_unsent);
    counts->queued = ngx_http_weir_export_zone_queued(sh, &counts->queued_bytes,
                                                      &half);
}
