/* What requests use; see ngx_http_weir_usage.h. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "http/ngx_http_weir_assert.h"
#include "http/ngx_http_weir_clock.h"
#include "http/route/ngx_http_weir_route.h"
#include "usage/ngx_http_weir_usage.h"

#include <time.h>


static uint64_t ngx_http_weir_usage_cpu(void);


ngx_http_weir_usage_process_t  ngx_http_weir_usage_process;

/* The routes of what each process has: its sum, and what has no room. */
static ngx_str_t  ngx_http_weir_usage_none = ngx_null_string;
static ngx_str_t  ngx_http_weir_usage_other = ngx_string("_other");


ngx_int_t
ngx_http_weir_usage_begin(ngx_http_weir_usage_sh_t *sh,
    ngx_slab_pool_t *shpool, ngx_uint_t slot)
{
    ngx_http_weir_usage_process_t  *process;

    process = &ngx_http_weir_usage_process;

    ngx_http_weir_usage_end();

    process->total = ngx_http_weir_usage_zone_part(sh, shpool, slot,
                                                   &ngx_http_weir_usage_none);
    process->other = ngx_http_weir_usage_zone_part(sh, shpool, slot,
                                                   &ngx_http_weir_usage_other);

    if (process->total == NULL || process->other == NULL) {
        return NGX_ERROR;
    }

    process->sh = sh;
    process->shpool = shpool;
    process->slot = slot;

    return NGX_OK;
}


ngx_int_t
ngx_http_weir_usage_reserve(ngx_http_weir_usage_sh_t *sh,
    ngx_slab_pool_t *shpool, ngx_uint_t slot)
{
    return ngx_http_weir_usage_zone_part(sh, shpool, slot,
                                         &ngx_http_weir_usage_none)
           && ngx_http_weir_usage_zone_part(sh, shpool, slot,
                                            &ngx_http_weir_usage_other)
           ? NGX_OK : NGX_ERROR;
}


void
ngx_http_weir_usage_end(void)
{
    ngx_http_weir_usage_t          *usage;
    ngx_http_weir_usage_process_t  *process;

    process = &ngx_http_weir_usage_process;

    if (process->sh == NULL) {
        return;
    }

    ngx_http_weir_usage_apportion();

    for (usage = process->open; usage; usage = usage->next) {
        usage->part = NULL;
    }

    process->open = NULL;
    process->running = NULL;
    process->sh = NULL;
}


/*
 * A configuration that is not the process's current one has no room: it may be
 * freed before the process ends.
 */

ngx_http_weir_usage_t *
ngx_http_weir_usage_open(ngx_http_request_t *r)
{
    ngx_http_weir_usage_t          *usage;
    ngx_http_weir_loc_conf_t       *wlcf;
    ngx_http_weir_usage_process_t  *process;

    process = &ngx_http_weir_usage_process;
    wlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_module);

    if (process->sh == NULL
        || ngx_http_get_module_main_conf(r, ngx_http_core_module)
           != ngx_http_cycle_get_module_main_conf(ngx_cycle,
                                                  ngx_http_core_module))
    {
        return NULL;
    }

    usage = ngx_pcalloc(ngx_cycle->pool, sizeof(ngx_http_weir_usage_t));
    if (usage == NULL) {
        return NULL;
    }

    usage->part = ngx_http_weir_usage_zone_part(process->sh, process->shpool,
                                                process->slot,
                                                ngx_http_weir_route(r));
    if (usage->part == NULL) {
        usage->part = process->other;
    }

    usage->next = process->open;
    process->open = usage;
    wlcf->usage = usage;

    return usage;
}


void
ngx_http_weir_usage_read(ngx_http_weir_usage_group_t *group, uint64_t *into)
{
    ngx_uint_t                   i;
    ngx_http_weir_usage_part_t  *part;

    for (part = ngx_http_weir_usage_load(group->parts);
         part;
         part = part->next)
    {
        for (i = 0; i < NGX_HTTP_WEIR_USAGE_VALUES; i++) {
            into[i] += __atomic_load_n(&part->value[i], __ATOMIC_RELAXED);
        }
    }
}


/* CLOCK_PROCESS_CPUTIME_ID begins at 0 with the process. */

static uint64_t
ngx_http_weir_usage_cpu(void)
{
    struct timespec  ts;

    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts) != 0) {
        return 0;
    }

    return (uint64_t) ts.tv_sec * 1000000000 + ts.tv_nsec;
}


void
ngx_http_weir_usage_apportion(void)
{
    double                          cpu, tick, ran, rest;
    uint64_t                        now, times;
    ngx_http_weir_usage_t          *usage;
    ngx_http_weir_usage_process_t  *process;

    process = &ngx_http_weir_usage_process;
    now = process->sh ? ngx_http_weir_usage_cpu() : 0;

    if (now <= process->cpu) {
        return;
    }

    cpu = now - process->cpu;
    process->cpu = now;

    ngx_http_weir_usage_add(process->total, NGX_HTTP_WEIR_USAGE_CPU, cpu);

    ran = 0;
    times = 0;

    for (usage = process->open; usage; usage = usage->next) {
        ran += usage->ran.ticks;
        times += usage->ran.times;
    }

    tick = ngx_http_weir_clock_tick;

    if (ran * tick > cpu) {
        tick = cpu / ran;
    }

    rest = times ? (cpu - ran * tick) / times : 0;

    for (usage = process->open; usage; usage = usage->next) {
        if (usage->ran.times) {
            ngx_http_weir_usage_add(usage->part, NGX_HTTP_WEIR_USAGE_CPU,
                                    ngx_max(usage->ran.ticks * tick
                                            + usage->ran.times * rest, 0));
            usage->ran.ticks = 0;
            usage->ran.times = 0;
        }
    }
}
