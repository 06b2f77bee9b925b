/* A breaker's state in log and status. */

#ifndef _NGX_HTTP_WEIR_BREAKER_LOG_H_INCLUDED_
#define _NGX_HTTP_WEIR_BREAKER_LOG_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "common/breaker.h"


#define NGX_HTTP_WEIR_BREAKER_REASON_MAX  128  /* upper limit of its bytes */


/* A change of state by a call, logged after the mutex was released. */
typedef struct {
    weir_breaker_state_t      was;
    weir_breaker_state_t      is;
    weir_breaker_rule_t       rule;
    weir_breaker_counts_t     counts;
    ngx_uint_t                cause;
} ngx_http_weir_breaker_change_t;


/* Logs a change of state; opening is logged as an error. */
void ngx_http_weir_breaker_log(ngx_http_weir_breaker_change_t *change,
    ngx_shm_zone_t *zone, ngx_str_t *key, ngx_log_t *log);

/* "closed", "open" or "half-open". */
ngx_str_t *ngx_http_weir_breaker_log_state(weir_breaker_state_t state);

/* Describes in English the rule and the counts that opened a breaker. */
u_char *ngx_http_weir_breaker_log_reason(u_char *p, u_char *last,
    weir_breaker_rule_t rule, weir_breaker_counts_t *counts, ngx_uint_t cause);


#endif /* _NGX_HTTP_WEIR_BREAKER_LOG_H_INCLUDED_ */
