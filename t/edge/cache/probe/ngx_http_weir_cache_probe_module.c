/*
 * weir_cache_probe; answers with the state of the zone that weir_cache names:
 * "name=value" in one line.  For tests only.  Arguments:
 *
 *     hammer=ROUNDS   works the zone before it answers
 *     seed=NUMBER     of the hammer
 *     killed=MICROSECONDS
 *                     the worker kills itself so much later
 *     die=locked      the worker kills itself with the zone's mutex in hand
 *     die=begun       the same, in the middle of a change
 *     stamp=NAME      changes the layout stamp of the shared memory zone of that
 *                     name, whatever it is of; a second time puts it back
 *     die=recording   the same, in the middle of recording an invalidation
 *     alloc=BYTES     of the zone's arena; the answer's "at" says where
 *     touch=ADDRESS   writes a byte there; touch=pool: behind an allocation of
 *                     the request's pool
 *     fail=NTH        lets an allocation of this worker fail, counted from this
 *                     request on (t/worlds/asan/allocations.c); 0: none any more.
 *                     The answer says how many there have been and have failed
 *                     since the last time
 *     onward=1        with fail: all that follow fail, too
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/invalidation/ngx_http_weir_cache_invalidation.h"
#include "cache/ngx_http_weir_cache.h"
#include "probe.h"

#include <signal.h>
#include <sys/time.h>


static ngx_int_t probe_handler(ngx_http_request_t *r);
static ngx_int_t probe_init(ngx_conf_t *cf);
static void *probe_create_conf(ngx_conf_t *cf);


/* They are in a module that was linked with t/worlds/asan/allocations.c. */

void weir_allocations_fail(ngx_uint_t nth, ngx_uint_t onward)
    __attribute__((weak));
void weir_allocations_count(ngx_uint_t *allocations, ngx_uint_t *failed)
    __attribute__((weak));


typedef struct {
    ngx_flag_t  enable;
} probe_conf_t;


static ngx_command_t  probe_commands[] = {

    { ngx_string("weir_cache_probe"),
      NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(probe_conf_t, enable),
      NULL },

      ngx_null_command
};


static ngx_http_module_t  probe_ctx = {
    NULL, probe_init, NULL, NULL, NULL, NULL, probe_create_conf, NULL
};


ngx_module_t  ngx_http_weir_cache_probe_module = {
    NGX_MODULE_V1,
    &probe_ctx,
    probe_commands,
    NGX_HTTP_MODULE,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NGX_MODULE_V1_PADDING
};


static void
probe_kill(int signo)
{
    (void) kill(getpid(), SIGKILL);
}


static ngx_uint_t
probe_argument(ngx_http_request_t *r, char *name)
{
    ngx_int_t  n;
    ngx_str_t  value;

    if (ngx_http_arg(r, (u_char *) name, ngx_strlen(name), &value) != NGX_OK) {
        return 0;
    }

    n = ngx_atoi(value.data, value.len);

    return n == NGX_ERROR ? 0 : n;
}


static void
probe_stamp(ngx_str_t *name)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_shm_zone_t   *shm_zone;
    ngx_slab_pool_t  *shpool;

    for (part = (ngx_list_part_t *) &ngx_cycle->shared_memory.part; part;
         part = part->next)
    {
        shm_zone = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (shm_zone[i].shm.name.len == name->len
                && ngx_strncmp(shm_zone[i].shm.name.data, name->data, name->len)
                   == 0)
            {
                shpool = (ngx_slab_pool_t *) shm_zone[i].shm.addr;
                *(uint64_t *) shpool->data ^= 1;
            }
        }
    }
}


/* In the arena. */

static void *
probe_alloc(ngx_http_weir_cache_zone_t *zone, size_t size)
{
    void  *p;

    ngx_http_weir_cache_zone_lock(zone);
    p = weir_arena_alloc(&zone->sh->arena, size);
    ngx_http_weir_cache_zone_unlock(zone);

    return p;
}


static void
probe_touch(ngx_http_request_t *r)
{
    u_char     *p;
    ngx_str_t   place;

    if (ngx_http_arg(r, (u_char *) "touch", 5, &place) != NGX_OK) {
        return;
    }

    if (ngx_strncmp(place.data, "pool", place.len) == 0) {
        p = ngx_pnalloc(r->pool, 13);
        p += 13;

    } else {
        p = (u_char *) ngx_hextoi(place.data, place.len);
    }

    *(volatile u_char *) p = 0;
}


static void
probe_act(ngx_http_request_t *r, ngx_http_weir_cache_zone_t *zone)
{
    ngx_str_t          die, name;
    ngx_uint_t         n;
    const char        *wrong;
    struct itimerval   it;

    if (ngx_http_arg(r, (u_char *) "stamp", 5, &name) == NGX_OK) {
        probe_stamp(&name);
    }

    n = probe_argument(r, "killed");

    if (n) {
        signal(SIGALRM, probe_kill);
        ngx_memzero(&it, sizeof(struct itimerval));
        it.it_value.tv_sec = n / 1000000;
        it.it_value.tv_usec = n % 1000000;
        setitimer(ITIMER_REAL, &it, NULL);
    }

    n = probe_argument(r, "hammer");

    if (n) {
        wrong = probe_hammer(zone, probe_argument(r, "seed"), n);

        if (wrong) {
            ngx_log_error(NGX_LOG_ALERT, r->connection->log, 0,
                          "probe: an entry was read wrong: %s", wrong);
        }
    }

    if (ngx_http_arg(r, (u_char *) "die", 3, &die) != NGX_OK) {
        return;
    }

    if (ngx_strncmp(die.data, "locked", die.len) == 0) {
        ngx_shmtx_lock(&zone->shpool->mutex);

    } else if (ngx_strncmp(die.data, "recording", die.len) == 0) {
        ngx_http_weir_cache_invalidation_lock(zone)->changing = 2;

    } else {
        ngx_http_weir_cache_zone_lock(zone);

        /* nothing that is not pinned may be trusted any more */

        ngx_memset(&zone->sh->arena, 0xa5, sizeof(weir_arena_t));
        ngx_memset(&zone->sh->small, 0xa5, sizeof(ngx_queue_t));
        ngx_memset(&zone->sh->main, 0xa5, sizeof(ngx_queue_t));
        ngx_memset(zone->sh->buckets, 0xa5,
                   (zone->sh->mask + 1) * sizeof(void *));
        zone->sh->entries = (ngx_uint_t) -1;
        zone->sh->small_bytes = (size_t) -1;
    }

    probe_kill(0);
}


/* When the probe's own answer is out of the worker's hands. */

static void
probe_fail(void *data)
{
    ngx_uint_t  *fail = data;

    weir_allocations_fail(fail[0], fail[1]);
}


/* NGX_OK or NGX_ERROR. */

static ngx_int_t
probe_allocations(ngx_http_request_t *r, ngx_uint_t *allocations,
    ngx_uint_t *failed)
{
    ngx_str_t            value;
    ngx_uint_t          *fail;
    ngx_pool_cleanup_t  *cln;

    *allocations = 0;
    *failed = 0;

    if (weir_allocations_fail == NULL
        || ngx_http_arg(r, (u_char *) "fail", 4, &value) != NGX_OK)
    {
        return NGX_OK;
    }

    weir_allocations_count(allocations, failed);
    weir_allocations_fail(0, 0);

    cln = ngx_pool_cleanup_add(r->pool, 2 * sizeof(ngx_uint_t));
    if (cln == NULL) {
        return NGX_ERROR;
    }

    fail = cln->data;
    fail[0] = probe_argument(r, "fail");
    fail[1] = probe_argument(r, "onward");
    cln->handler = probe_fail;

    return NGX_OK;
}


static ngx_int_t
probe_handler(ngx_http_request_t *r)
{
    void                            *at;
    ngx_int_t                        rc;
    ngx_buf_t                       *b;
    ngx_uint_t                       n, allocations, failed;
    ngx_chain_t                      out;
    probe_conf_t                    *conf;
    probe_report_t                   report;
    ngx_http_weir_cache_loc_conf_t  *clcf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_weir_cache_probe_module);

    if (conf->enable != 1) {
        return NGX_DECLINED;
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_cache_module);

    if (clcf->zone == NULL) {
        return NGX_HTTP_NOT_FOUND;
    }

    n = probe_argument(r, "alloc");
    at = n ? probe_alloc(clcf->zone, n) : NULL;

    if (probe_allocations(r, &allocations, &failed) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    probe_touch(r);
    probe_act(r, clcf->zone);
    probe_check(clcf->zone, &report);

    b = ngx_create_temp_buf(r->pool, 512);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b->last = ngx_slprintf(b->last, b->end,
                           "entries=%ui bytes=%uz size=%uz pins=%ui orphans=%ui"
                           " tables=%ui recovered=%ui pid=%P at=%p slab=%p"
                           " flights=%ui commands=%ui allocations=%ui"
                           " failed=%ui"
                           " wrong=%s\n",
                           report.entries, report.bytes, report.size,
                           report.pins, report.orphans, report.tables,
                           report.recovered, ngx_pid, at,
                           clcf->zone->sh->misses + clcf->zone->sh->mask + 1,
                           report.flights, report.commands, allocations,
                           failed, report.wrong ? report.wrong : "nothing");
    b->last_buf = 1;

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = b->last - b->pos;

    rc = ngx_http_send_header(r);

    if (rc != NGX_ERROR && rc <= NGX_OK && !r->header_only) {
        out.buf = b;
        out.next = NULL;
        rc = ngx_http_output_filter(r, &out);
    }

    ngx_http_finalize_request(r, rc);

    return NGX_DONE;
}


static void *
probe_create_conf(ngx_conf_t *cf)
{
    probe_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(probe_conf_t));

    if (conf) {
        conf->enable = NGX_CONF_UNSET;
    }

    return conf;
}


static ngx_int_t
probe_init(ngx_conf_t *cf)
{
    ngx_http_handler_pt        *h;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PREACCESS_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = probe_handler;

    return NGX_OK;
}
