/*
 * Breakers in shared memory, one per key, seen by all workers and kept across
 * reloads.  Every call takes the zone's slab mutex for a short while; nginx's
 * master frees that mutex when a worker dies with it.
 *
 * Requests hold no pointer into the zone: they come back with their key and
 * the generation of their admission.  Generations are counted in the zone, so
 * a breaker that was evicted and made anew takes no result of its forerunner.
 *
 * A breaker keeps the settings of the first request that asked it since the
 * configuration was read; those of others don't matter.
 *
 * When the memory is full, the closed breaker that was asked longest ago gives
 * way, never one that is open or half-open; but one that nobody has asked for
 * as long again as it was open is as good as forgotten.
 */

#ifndef _NGX_HTTP_WEIR_BREAKER_ZONE_H_INCLUDED_
#define _NGX_HTTP_WEIR_BREAKER_ZONE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "common/breaker.h"


#define NGX_HTTP_WEIR_BREAKER_KEY_MAX  255     /* bytes */


/* What made a call fail: one of these, or the status of the answer. */
#define NGX_HTTP_WEIR_BREAKER_UNKNOWN  0
#define NGX_HTTP_WEIR_BREAKER_ERROR    1       /* no connection, or it broke */
#define NGX_HTTP_WEIR_BREAKER_TIMEOUT  2
#define NGX_HTTP_WEIR_BREAKER_SLOW     3
#define NGX_HTTP_WEIR_BREAKER_LEFT     4       /* its client left after slow= */
#define NGX_HTTP_WEIR_BREAKER_CUT      5       /* a body that broke off */


/* A breaker as weir_status shows it; key is a copy. */
typedef struct {
    ngx_str_t                 key;
    weir_breaker_state_t      state;
    weir_breaker_counts_t     counts;          /* of the window */
    weir_breaker_rule_t       rule;            /* that opened it last */
    weir_breaker_counts_t     opened;          /* numbers that it did so with */
    ngx_uint_t                cause;           /* of its last failure */
    uint64_t                  openings;
    uint64_t                  refused;         /* calls */
    uint64_t                  since;           /* ms in this state */
    uint64_t                  retry_after;     /* ms, unless closed */
} ngx_http_weir_breaker_info_t;

typedef struct {
    ngx_str_t                 name;
    ngx_uint_t                breakers;
    ngx_uint_t                not_closed;
    uint64_t                  forgotten;       /* that gave way to others */
    uint64_t                  uncounted;       /* calls without a breaker */
} ngx_http_weir_breaker_zone_info_t;


/* Configuration time: "weir_breaker_zone name size". */
char *ngx_http_weir_breaker_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/*
 * Asks for a call.  Returns NGX_OK (a result is owed), NGX_BUSY (refused,
 * *retry_after in ms), or NGX_DECLINED when no memory could be had: the call
 * may be made and is not counted.
 */
ngx_int_t ngx_http_weir_breaker_zone_admit(ngx_shm_zone_t *zone,
    ngx_str_t *key, weir_breaker_settings_t *settings, uint64_t *generation,
    ngx_msec_t *retry_after, ngx_log_t *log);

/*
 * Takes a call's result.  *success becomes the number of a success; with
 * another number the call had succeeded, and has failed after all.
 */
void ngx_http_weir_breaker_zone_report(ngx_shm_zone_t *zone, ngx_str_t *key,
    uint64_t generation, weir_breaker_outcome_t outcome, ngx_uint_t cause,
    uint64_t *success, ngx_log_t *log);

/* The state as of now; a key that is not there is closed. */
weir_breaker_state_t ngx_http_weir_breaker_zone_state(ngx_shm_zone_t *zone,
    ngx_str_t *key);

/*
 * Copies the zone's numbers and up to n of its breakers, those that are not
 * closed first, then by their last use.  Keys are copied to the pool.  Returns
 * how many were copied, or NGX_ERROR (no memory).
 */
ngx_int_t ngx_http_weir_breaker_zone_list(ngx_shm_zone_t *zone,
    ngx_pool_t *pool, ngx_http_weir_breaker_zone_info_t *info,
    ngx_http_weir_breaker_info_t *breakers, ngx_uint_t n);

/* What a call did, to be logged when the mutex is free again. */
typedef struct {
    weir_breaker_state_t      was;
    weir_breaker_state_t      is;
    weir_breaker_rule_t       rule;
    weir_breaker_counts_t     counts;
    ngx_uint_t                cause;
} ngx_http_weir_breaker_change_t;

/* log: logs a change of the state; opening is an error */
void ngx_http_weir_breaker_log(ngx_http_weir_breaker_change_t *change,
    ngx_shm_zone_t *zone, ngx_str_t *key, ngx_log_t *log);

/* log: what rule and numbers opened a breaker, in English */
u_char *ngx_http_weir_breaker_reason(u_char *p, u_char *last,
    weir_breaker_rule_t rule, weir_breaker_counts_t *counts, ngx_uint_t cause);

#define NGX_HTTP_WEIR_BREAKER_REASON_MAX  128  /* bytes that it may take */


#endif /* _NGX_HTTP_WEIR_BREAKER_ZONE_H_INCLUDED_ */
