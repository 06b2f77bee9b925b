/*
 * Durations, bytes and phases of requests, by route and upstream, in shared
 * memory.
 *
 *     module   directives, processes
 *     count    a request that ends is counted
 *     exemplars  ids of traces that are kept
 *     table    the worker's table of pointers into the tree
 *     cause    the phase that a request in the tail has spent its time in, and
 *              the upstream or Redis that it has waited for
 *     windows  the last minute, 15 minutes and hour; the 99th percentile
 *     zone     the tree in shared memory
 *
 * Calls go down in this list, never up.
 *
 * The tree:
 *
 *     group    a route, or an upstream (kind, name, port)
 *       view   of a group: an API version; has the windows
 *         series   of a view: method, status, cache result, ... of requests
 *           part     of a series: what one slot has counted
 *
 * A worker has a slot: the first one that no living process has.  Only the
 * process that has the slot writes its parts, without a lock or an atomic
 * operation that reads and writes; the next process with the slot continues
 * them.  So no count is lost with a worker, or with a reload.
 *
 * Invariant: lists only grow, at their head, under the zone's mutex; an element
 * is complete before it is linked (release), and nothing is ever freed or
 * changed but counts and windows.  So readers need no lock for the tree.  The
 * windows of a view are guarded by the zone's mutex.
 */

#ifndef _NGX_HTTP_WEIR_SERIES_H_INCLUDED_
#define _NGX_HTTP_WEIR_SERIES_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "common/metrics/exemplars.h"
#include "common/metrics/window.h"
#include "record/ngx_http_weir_record.h"
#include "usage/ngx_http_weir_usage.h"


/* Processes that count at the same time; a reload has two for each worker. */
#define NGX_HTTP_WEIR_SERIES_SLOTS  512


typedef enum {
    NGX_HTTP_WEIR_SERIES_ROUTE = 0,  /* requests of clients, by route */
    NGX_HTTP_WEIR_SERIES_UPSTREAM,   /* requests to servers, by upstream */
    NGX_HTTP_WEIR_SERIES_KINDS
} ngx_http_weir_series_kind_e;


/* What a request in the tail has spent most of its time in. */
typedef enum {
    NGX_HTTP_WEIR_SERIES_NGINX = 0,
    NGX_HTTP_WEIR_SERIES_VERSION,
    NGX_HTTP_WEIR_SERIES_LOOKUP,
    NGX_HTTP_WEIR_SERIES_REDIS,
    NGX_HTTP_WEIR_SERIES_TURN,
    NGX_HTTP_WEIR_SERIES_BREAKER,
    NGX_HTTP_WEIR_SERIES_LIMIT,      /* waiting for a slot of weir_limit */
    NGX_HTTP_WEIR_SERIES_RECEIVE,    /* reading the request's body */
    NGX_HTTP_WEIR_SERIES_CONNECT,    /* connecting to the upstream */
    NGX_HTTP_WEIR_SERIES_WAIT,       /* waiting for the upstream's header */
    NGX_HTTP_WEIR_SERIES_RESPONSE,
    NGX_HTTP_WEIR_SERIES_SEND,
    NGX_HTTP_WEIR_SERIES_CAUSES
} ngx_http_weir_series_cause_e;


typedef struct ngx_http_weir_series_group_s  ngx_http_weir_series_group_t;
typedef struct ngx_http_weir_series_view_s  ngx_http_weir_series_view_t;
typedef struct ngx_http_weir_series_s  ngx_http_weir_series_t;
typedef struct ngx_http_weir_series_part_s  ngx_http_weir_series_part_t;
typedef struct ngx_http_weir_series_blame_s  ngx_http_weir_series_blame_t;


/* Written by the process that has the slot; begins with all counts 0. */
struct ngx_http_weir_series_part_s {
    ngx_http_weir_series_part_t   *next;
    ngx_http_weir_series_view_t   *view;
    ngx_uint_t                     slot;
    uint32_t                       full;   /* bool: a page had no room, which
                                              was counted */
    uint32_t                       bare;   /* bool: exemplars had none */
    weir_histogram_t               durations;
    uint64_t                       received;  /* bytes */
    uint64_t                       sent;      /* bytes */
    uint64_t                       phase[NGX_HTTP_WEIR_PHASES];  /* ns */
    uint64_t                      *tail;       /* WEIR_WINDOW_CAUSES counts;
                                                  NULL: no request was slow */
    weir_exemplars_t              *exemplars;  /* NULL: no trace was kept */
};


struct ngx_http_weir_series_s {
    ngx_http_weir_series_t        *next;
    ngx_http_weir_series_view_t   *view;
    ngx_http_weir_series_part_t   *parts;
    ngx_http_weir_series_group_t  *route;     /* of an upstream's series: the
                                                 route of the requests */
    uint16_t                       status;    /* 0: none */
    uint8_t                        method;    /* ngx_http_weir_series_table_method() */
    uint8_t                        cache;     /* ngx_http_weir_cache_status_e */
    uint8_t                        secure;    /* bool: https */
    uint8_t                        failed;    /* bool: the upstream sent no
                                                 header, status is nginx's */
};


struct ngx_http_weir_series_view_s {
    ngx_http_weir_series_view_t   *next;
    ngx_http_weir_series_group_t  *group;
    ngx_http_weir_series_t        *series;
    ngx_str_t                      version;   /* len 0: none */
    double                         percentiles[NGX_HTTP_WEIR_PERCENTILES];
                                              /* s, as the record needs them:
                                                 requests above the 99th are in
                                                 the tail; written by the keeper
                                                 of the windows only */

    /* guarded by the zone's mutex */
    weir_window_t                  window;
    weir_histogram_t               before;    /* what was pushed */
    uint64_t                       tail_before[WEIR_WINDOW_CAUSES];
};


struct ngx_http_weir_series_group_s {
    ngx_http_weir_series_group_t  *next;
    ngx_http_weir_series_view_t   *views;
    ngx_http_weir_series_kind_e    kind;
    ngx_str_t                      name;
    in_port_t                      port;      /* of an upstream; 0: none */
    ngx_http_weir_series_blame_t  *blames;    /* of a route: at most
                                                 NGX_HTTP_WEIR_SERIES_BLAMES */
};


/*
 * Causes are counted by number: first the phases alone, in the order of
 * ngx_http_weir_series_cause_e, then those of which a route knows the
 * dependency, too.
 */

#define NGX_HTTP_WEIR_SERIES_BLAMES                                           \
    (WEIR_WINDOW_CAUSES - NGX_HTTP_WEIR_SERIES_CAUSES)

/* Bytes of the name of a dependency at most; a longer one is cut. */
#define NGX_HTTP_WEIR_SERIES_BLAME  64

struct ngx_http_weir_series_blame_s {
    ngx_http_weir_series_blame_t  *next;
    ngx_http_weir_series_cause_e   phase;
    ngx_uint_t                     number;    /* of the cause */
    ngx_str_t                      name;      /* as of weir_redis, or "host:port"
                                                 of an upstream */
};


/* The identity of a series. */
typedef struct {
    ngx_http_weir_series_kind_e    kind;
    ngx_str_t                     *route;
    ngx_str_t                      version;
    ngx_str_t                     *upstream;  /* of the kind UPSTREAM only */
    in_port_t                      port;
    ngx_http_weir_series_t         labels;    /* status and the members behind
                                                 it; others are not used */
} ngx_http_weir_series_id_t;


typedef struct {
    uint64_t                       layout;    /* first member: see object/ */
    ngx_http_weir_series_group_t  *groups[NGX_HTTP_WEIR_SERIES_KINDS];
    ngx_http_weir_usage_sh_t       usage;
    uint64_t                       dropped;   /* series without room, of each
                                                 slot; guarded by the mutex */
    ngx_pid_t                      keeper;    /* of the windows; 0: none */
    ngx_pid_t                      pids[NGX_HTTP_WEIR_SERIES_SLOTS];
                                              /* 0: free; guarded by the mutex */
} ngx_http_weir_series_sh_t;


/* Of a configuration; NULL where there is none. */
typedef struct {
    ngx_http_weir_series_sh_t     *sh;
    ngx_slab_pool_t               *shpool;
} ngx_http_weir_series_zone_t;


extern ngx_module_t  ngx_http_weir_series_module;


/*
 * module: lets the configuration have a zone, unless it has
 * "weir_metrics_zone off".  To be called by the handler of a directive.
 */
void ngx_http_weir_series_require(ngx_conf_t *cf);

/* module: the zone of the configuration, or NULL. */
ngx_http_weir_series_zone_t *ngx_http_weir_series_zone(ngx_http_request_t *r);

/* module: that of this process' configuration, or NULL. */
ngx_http_weir_series_zone_t *ngx_http_weir_series_cycle_zone(void);

/*
 * count: a request has ended, which was fresh until then, or not;
 * ngx_http_weir_record_ended_pt.
 */
ngx_int_t ngx_http_weir_series_count_fresh(ngx_http_request_t *r,
    ngx_http_weir_record_t *record);
ngx_int_t ngx_http_weir_series_count(ngx_http_request_t *r,
    ngx_http_weir_record_t *record);

/* count: the trace of a request is kept; an ngx_http_weir_record_kept_pt. */
void ngx_http_weir_series_count_kept(ngx_http_request_t *r,
    ngx_http_weir_record_t *record, const u_char *trace_id, uint64_t end);

/*
 * exemplars: the bounds of the classic buckets in seconds, WEIR_EXEMPLARS_BUCKETS
 * - 1: the advice of OpenTelemetry's conventions for durations of HTTP requests.
 */
extern const double  ngx_http_weir_series_bounds[WEIR_EXEMPLARS_BUCKETS - 1];

/* exemplars: puts one; without memory there is none. */
void ngx_http_weir_series_exemplars_put(ngx_http_weir_series_part_t *part,
    weir_exemplar_t *exemplar);

/* exemplars: the slowest ones of a span. */
typedef struct {
    weir_exemplar_t                exemplar[WEIR_EXEMPLARS_SLOWEST];
    size_t                         n;
} ngx_http_weir_series_slowest_t;

/*
 * exemplars: adds the slowest ones of a view, of all workers; into has
 * WEIR_WINDOW_SPANS elements.
 */
void ngx_http_weir_series_exemplars_slowest(ngx_http_weir_series_view_t *view,
    ngx_http_weir_series_slowest_t *into);

/* exemplars: those of the buckets of all workers. */
void ngx_http_weir_series_exemplars_read(ngx_http_weir_series_t *series,
    weir_exemplars_t *merged);

/* table: the label value of a method's number. */
ngx_str_t *ngx_http_weir_series_table_method(ngx_uint_t method);

/*
 * cause: of a request with a record that has ended; and the name of the upstream
 * or Redis that it has waited for, which is empty if there is none, and is in
 * buf, of NGX_HTTP_WEIR_SERIES_BLAME bytes.
 */
ngx_http_weir_series_cause_e ngx_http_weir_series_cause(ngx_http_request_t *r,
    ngx_http_weir_record_t *record, ngx_str_t *dependency, u_char *buf);

/* cause: its name in weir_status. */
ngx_str_t *ngx_http_weir_series_cause_name(ngx_http_weir_series_cause_e cause);

/* cause: in words, to be followed by the name of the dependency if named is set. */
ngx_str_t *ngx_http_weir_series_cause_words(ngx_http_weir_series_cause_e cause,
    ngx_uint_t named);

/*
 * cause: the phase of a number, and the dependency; NULL: the phase alone.
 */
ngx_http_weir_series_blame_t *ngx_http_weir_series_cause_of(
    ngx_http_weir_series_group_t *route, ngx_uint_t number,
    ngx_http_weir_series_cause_e *phase);

/* table: counts a request in the tail. */
void ngx_http_weir_series_table_slow(ngx_http_weir_series_part_t *part,
    ngx_http_weir_series_cause_e phase, ngx_str_t *dependency);

/*
 * windows: the process takes part in keeping them: one of all processes does
 * it, in steps that each take less than a millisecond.
 */
void ngx_http_weir_series_windows_begin(ngx_http_weir_series_zone_t *zone);
void ngx_http_weir_series_windows_end(void);

/*
 * windows: a step, if there is one to do; to be called once a second, or after a
 * millisecond if it returns true, as there is more to do.
 */
ngx_uint_t ngx_http_weir_series_windows_keep(void);

/*
 * windows: adds what a view has in each span up to now; into has
 * WEIR_WINDOW_SPANS elements.
 */
void ngx_http_weir_series_windows_read(ngx_http_weir_series_zone_t *zone,
    ngx_http_weir_series_view_t *view, weir_window_sum_t *into);

/* windows: the same as weir_window_minute() of the view's window. */
void ngx_http_weir_series_windows_minute(ngx_http_weir_series_zone_t *zone,
    ngx_http_weir_series_view_t *view, ngx_uint_t ago, weir_window_sum_t *into);

/* zone: begins the memory; the init function of the zone. */
ngx_int_t ngx_http_weir_series_zone_init(ngx_shm_zone_t *shm_zone, void *data);

/*
 * zone: claims a slot for this process and frees it.  NGX_BUSY: there is none;
 * NGX_ERROR: no memory for other, which gets a part for each kind: that of the series
 * for what has no room, with all its pages.  The last of so many workers also
 * takes what those after a reload need, as far as there is room.
 */
ngx_int_t ngx_http_weir_series_zone_claim(ngx_http_weir_series_zone_t *zone,
    ngx_uint_t *slot, ngx_http_weir_series_part_t **other, ngx_uint_t workers);
void ngx_http_weir_series_zone_free(ngx_http_weir_series_zone_t *zone,
    ngx_uint_t slot);

/*
 * zone: the slot's part of a series, which is created if it is missing.  NULL:
 * no room, which is counted.
 */
ngx_http_weir_series_part_t *ngx_http_weir_series_zone_part(
    ngx_http_weir_series_zone_t *zone, ngx_uint_t slot,
    ngx_http_weir_series_id_t *id);

/* zone: counts a part for whose pages there is no room. */
void ngx_http_weir_series_zone_full(ngx_http_weir_series_zone_t *zone,
    ngx_http_weir_series_part_t *part);

/*
 * zone: the number of a cause of requests of the route, which is that of the
 * phase alone if there is no room for the dependency.
 */
ngx_uint_t ngx_http_weir_series_zone_cause(ngx_http_weir_series_zone_t *zone,
    ngx_http_weir_series_group_t *route, ngx_http_weir_series_cause_e phase,
    ngx_str_t *dependency);

/*
 * zone: adds the causes that a part has counted; sum has WEIR_WINDOW_CAUSES
 * elements.
 */
void ngx_http_weir_series_zone_tail(ngx_http_weir_series_part_t *part,
    uint64_t *sum);

/* zone: takes zeroed memory; for pages.  data is the zone. */
void *ngx_http_weir_series_zone_memory(void *data, size_t size);

/*
 * zone: true if no living process has the pid; for what processes claim in
 * shared memory.
 */
ngx_uint_t ngx_http_weir_series_zone_is_dead(ngx_pid_t pid);


/* An element of a list, and the first one, as other processes have linked it. */
#define ngx_http_weir_series_load(list)                                       \
    __atomic_load_n(&(list), __ATOMIC_ACQUIRE)


#endif /* _NGX_HTTP_WEIR_SERIES_H_INCLUDED_ */
