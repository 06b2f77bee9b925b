/* A breaker's state in log and status. */

#ifndef _NGX_HTTP_WEIR_BREAKER_LOG_H_INCLUDED_
#define _NGX_HTTP_WEIR_BREAKER_LOG_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "common/breaker/breaker.h"


#define NGX_HTTP_WEIR_BREAKER_KEY_MAX  255     /* bytes */

#define NGX_HTTP_WEIR_BREAKER_REASON_MAX  192  /* upper limit of its bytes */


/* A change of state by a call; is == was: none, and nothing else is valid. */
typedef struct {
    weir_breaker_state_t      was;
    weir_breaker_state_t      is;
    weir_breaker_rule_t       rule;
    weir_breaker_counts_t     counts;
    uint64_t                  window;     /* ms, of the counts */
    uint64_t                  open;       /* ms: how long it is open */
    uint32_t                  reopened;   /* since the last recovery */
    ngx_uint_t                heard;      /* bool: by word of another edge */
    ngx_uint_t                cause;
    size_t                    len;
    u_char                    key[NGX_HTTP_WEIR_BREAKER_KEY_MAX];
} ngx_http_weir_breaker_change_t;


/* Logs a change of state; opening is logged as an error. */
void ngx_http_weir_breaker_log(ngx_http_weir_breaker_change_t *change,
    ngx_shm_zone_t *zone, ngx_log_t *log);

/* "closed", "open", "half-open" or "ramping". */
ngx_str_t *ngx_http_weir_breaker_log_state(weir_breaker_state_t state);

/*
 * Describes in English the rule and the counts that opened a breaker, as "ratio
 * 0.62 of 37 in 10 s, 23 timeouts".
 */
u_char *ngx_http_weir_breaker_log_reason(u_char *p, u_char *last,
    weir_breaker_rule_t rule, weir_breaker_counts_t *counts, uint64_t window,
    ngx_uint_t cause);


#endif /* _NGX_HTTP_WEIR_BREAKER_LOG_H_INCLUDED_ */
