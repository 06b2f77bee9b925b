/* The slots of weir_limit in shared memory. */

#ifndef _NGX_HTTP_WEIR_LIMIT_ZONE_H_INCLUDED_
#define _NGX_HTTP_WEIR_LIMIT_ZONE_H_INCLUDED_


#include "limit/ngx_http_weir_limit.h"


/* zone: called while the configuration is read: "weir_limit_zone name size". */
char *ngx_http_weir_limit_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* zone: requests that a zone of that size has room for. */
ngx_uint_t ngx_http_weir_limit_zone_room(size_t size);

/* zone: a hash of a word and of a text, which clients cannot foresee. */
uint64_t ngx_http_weir_limit_zone_mix(ngx_shm_zone_t *zone, uint64_t word);
uint64_t ngx_http_weir_limit_zone_hash(ngx_shm_zone_t *zone, ngx_str_t *text);

/*
 * zone: asks for a slot; completes the request, whose key, hash, flow, source,
 * urgency and may_wait are set.  *retry_after is set if it is refused, s.
 */
weir_slots_result_t ngx_http_weir_limit_zone_enter(ngx_shm_zone_t *zone,
    weir_slots_request_t *request, weir_slots_handle_t *ticket,
    uint32_t *retry_after);

/* zone: the ticket ends; us is the time until the upstream answered, or 0. */
void ngx_http_weir_limit_zone_leave(ngx_shm_zone_t *zone,
    weir_slots_handle_t ticket, uint32_t us);

/*
 * zone: see weir_slots_news() and weir_slots_expire(); *hold is the owner of the
 * ticket.
 */
weir_slots_state_t ngx_http_weir_limit_zone_news(ngx_shm_zone_t *zone,
    ngx_http_weir_limit_hold_t **hold);
weir_slots_state_t ngx_http_weir_limit_zone_expire(ngx_shm_zone_t *zone,
    weir_slots_handle_t ticket);

/* zone: seconds after which to come back. */
uint32_t ngx_http_weir_limit_zone_retry(ngx_shm_zone_t *zone, ngx_str_t *key,
    uint64_t hash);

/* zone: this process uses its seat in the zone, and leaves it. */
void ngx_http_weir_limit_zone_sit(ngx_shm_zone_t *zone, ngx_uint_t leave);

/* zone: of weir_metrics and weir_status. */
typedef struct {
    ngx_uint_t                   keys;
    ngx_uint_t                   tickets;    /* requests at work or waiting */
    uint64_t                     forgotten;
    uint64_t                     uncounted;
    uint64_t                     reclaimed;
} ngx_http_weir_limit_zone_info_t;

typedef struct {
    ngx_uint_t                   limit;      /* slots */
    ngx_uint_t                   in_use;
    ngx_uint_t                   waiting;
    weir_slots_counts_t          counts;
} ngx_http_weir_limit_info_t;

void ngx_http_weir_limit_zone_info(ngx_shm_zone_t *zone,
    ngx_http_weir_limit_zone_info_t *info);

/* A key that no request has used has the configured limit. */
void ngx_http_weir_limit_zone_key(ngx_http_weir_limit_use_t *use,
    ngx_http_weir_limit_info_t *info);


#endif /* _NGX_HTTP_WEIR_LIMIT_ZONE_H_INCLUDED_ */
