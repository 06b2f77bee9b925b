/*
 * What requests use, by route: time of the processor, Redis, upstreams, bytes;
 * in shared memory.
 *
 *     usage   routes, counts, and the processor's time
 *     zone    the memory
 *
 * The processor's time of a route is not measured by the kernel for each
 * request, which would take two system calls for each event.  A worker runs one
 * request at a time: the ticks from when a request begins to run to when another
 * one does, or it ends, or the worker has handled all events that it knew of,
 * are the request's.  A request begins to run when its header was read, when the
 * header of its response is sent, and when a part of its body is.  Once a second
 * the kernel's time of the process is apportioned: each route gets the ticks of
 * the requests that have ended since, and the rest of the time (connections, TLS
 * handshakes, reading from sockets, timers) is shared in proportion to how often
 * they began to run.  Without such a request the time belongs to no route.  If the
 * ticks are more than the kernel's time, because the process was interrupted, the
 * time is apportioned in proportion to them.  So routes and what belongs to none
 * add up to the process's time, with all its threads.
 *
 * A worker writes its own parts only, as in metrics/series, whose slots these
 * are: no count is lost with a worker, or with a reload.
 */

#ifndef _NGX_HTTP_WEIR_USAGE_H_INCLUDED_
#define _NGX_HTTP_WEIR_USAGE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "common/count.h"
#include "http/ngx_http_weir.h"


typedef enum {
    NGX_HTTP_WEIR_USAGE_CPU = 0,       /* ns */
    NGX_HTTP_WEIR_USAGE_COMMANDS,      /* commands to Redis */
    NGX_HTTP_WEIR_USAGE_REDIS_SENT,    /* bytes of these */
    NGX_HTTP_WEIR_USAGE_REDIS_RECEIVED, /* bytes of their replies */

    /* the process's own part has none of these */
    NGX_HTTP_WEIR_USAGE_REQUESTS,      /* of clients */
    NGX_HTTP_WEIR_USAGE_SENT,          /* bytes to clients */
    NGX_HTTP_WEIR_USAGE_FETCHED,       /* requests that asked an upstream */
    NGX_HTTP_WEIR_USAGE_TRIES,         /* requests to upstreams */
    NGX_HTTP_WEIR_USAGE_UPSTREAM,      /* ns of these */
    NGX_HTTP_WEIR_USAGE_CACHED,        /* requests answered from the cache that
                                          have asked no upstream */
    NGX_HTTP_WEIR_USAGE_COLLAPSED,     /* the same, after they have waited for
                                          another request's response */
    NGX_HTTP_WEIR_USAGE_VALUES
} ngx_http_weir_usage_value_e;


typedef struct ngx_http_weir_usage_part_s  ngx_http_weir_usage_part_t;
typedef struct ngx_http_weir_usage_group_s  ngx_http_weir_usage_group_t;


/* Written by the process that has the slot. */
struct ngx_http_weir_usage_part_s {
    ngx_http_weir_usage_part_t    *next;
    ngx_uint_t                     slot;
    uint64_t                       value[NGX_HTTP_WEIR_USAGE_VALUES];
};


/* A route; without a name: what processes have used, of all requests or none. */
struct ngx_http_weir_usage_group_s {
    ngx_http_weir_usage_group_t   *next;
    ngx_http_weir_usage_part_t    *parts;
    ngx_str_t                      name;
};


/* In shared memory; lists grow at their head only, under the mutex. */
typedef struct {
    ngx_http_weir_usage_group_t   *groups;
} ngx_http_weir_usage_sh_t;


/* How long and how often requests have run. */
typedef struct {
    uint64_t                       ticks;
    uint32_t                       times;     /* those of a location are begun
                                                 again each second */
} ngx_http_weir_usage_run_t;


/* A location's, of this process; in the pool of its configuration. */
typedef struct ngx_http_weir_usage_s  ngx_http_weir_usage_t;

struct ngx_http_weir_usage_s {
    ngx_http_weir_usage_t         *next;
    ngx_http_weir_usage_part_t    *part;      /* NULL: not counted any more */

    ngx_http_weir_usage_run_t      ran;       /* requests that have ended since
                                                 the processor's time was
                                                 apportioned */
};


/* Of this process. */
typedef struct {
    ngx_http_weir_usage_sh_t      *sh;        /* NULL: nothing is counted */
    ngx_slab_pool_t               *shpool;
    ngx_uint_t                     slot;
    ngx_http_weir_usage_part_t    *total;
    ngx_http_weir_usage_part_t    *other;     /* for routes without room */
    ngx_http_weir_usage_t         *open;      /* list */

    ngx_http_weir_usage_run_t     *running;   /* of a request; NULL: none runs */
    uint64_t                       since;     /* tick */

    uint64_t                       cpu;       /* ns, apportioned */
} ngx_http_weir_usage_process_t;


extern ngx_http_weir_usage_process_t
    weir_local ngx_http_weir_usage_process;


/*
 * Lets this process count, from the memory and with the slot of the caller, or
 * count nothing any more.  NGX_OK, or NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_weir_usage_begin(ngx_http_weir_usage_sh_t *sh,
    ngx_slab_pool_t *shpool, ngx_uint_t slot);
void ngx_http_weir_usage_end(void);

/*
 * Apportions the processor's time since the last call; to be called once a
 * second.
 */
void ngx_http_weir_usage_apportion(void);

/*
 * Takes the memory with which a process with that slot begins.  NGX_OK, or
 * NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_weir_usage_reserve(ngx_http_weir_usage_sh_t *sh,
    ngx_slab_pool_t *shpool, ngx_uint_t slot);

/* That of the request's location.  NULL: nothing is counted. */
ngx_http_weir_usage_t *ngx_http_weir_usage_open(ngx_http_request_t *r);

/* Adds what all processes have counted of a group. */
void ngx_http_weir_usage_read(ngx_http_weir_usage_group_t *group,
    uint64_t *into);

/*
 * zone: the slot's part of a route, which is created if it is missing; the
 * mutex is not held.  NULL: no memory.
 */
ngx_http_weir_usage_part_t *ngx_http_weir_usage_zone_part(
    ngx_http_weir_usage_sh_t *sh, ngx_slab_pool_t *shpool, ngx_uint_t slot,
    ngx_str_t *route);


/* An element of a list, as other processes have linked it. */
#define ngx_http_weir_usage_load(list)                                        \
    __atomic_load_n(&(list), __ATOMIC_ACQUIRE)


static ngx_inline ngx_http_weir_usage_t *
ngx_http_weir_usage(ngx_http_request_t *r)
{
    ngx_http_weir_loc_conf_t  *wlcf;

    wlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_module);

    return wlcf->usage && wlcf->usage->part ? wlcf->usage
                                            : ngx_http_weir_usage_open(r);
}


static ngx_inline void
ngx_http_weir_usage_add(ngx_http_weir_usage_part_t *part,
    ngx_http_weir_usage_value_e i, uint64_t n)
{
    weir_count_add(&part->value[i], n);
}


/*
 * Adds what this process has used of Redis: in all, and for a location, or for
 * none (NULL).
 */

static ngx_inline void
ngx_http_weir_usage_redis(ngx_http_weir_usage_t *usage,
    ngx_http_weir_usage_value_e i, uint64_t n)
{
    if (ngx_http_weir_usage_process.sh == NULL) {
        return;
    }

    ngx_http_weir_usage_add(ngx_http_weir_usage_process.total, i, n);

    if (usage && usage->part) {
        ngx_http_weir_usage_add(usage->part, i, n);
    }
}


/*
 * From now on the request with that run runs, which the caller keeps until
 * ngx_http_weir_usage_stop(); tick is ngx_http_weir_ticks().
 */

static ngx_inline void
ngx_http_weir_usage_run(ngx_http_weir_usage_run_t *run, uint64_t tick)
{
    ngx_http_weir_usage_process_t  *process;

    process = &ngx_http_weir_usage_process;

    if (process->running && tick > process->since) {
        process->running->ticks += tick - process->since;
    }

    run->times++;
    process->running = run;
    process->since = tick;
}


/* No request runs any more. */

static ngx_inline void
ngx_http_weir_usage_stop(uint64_t tick)
{
    ngx_http_weir_usage_process_t  *process;

    process = &ngx_http_weir_usage_process;

    if (process->running == NULL) {
        return;
    }

    if (tick > process->since) {
        process->running->ticks += tick - process->since;
    }

    process->running = NULL;
}


#endif /* _NGX_HTTP_WEIR_USAGE_H_INCLUDED_ */
