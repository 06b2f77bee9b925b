/*
 * weir_jwt_audit: requests that weir_jwt refuses are told to the backend's audit
 * log by a stream in Redis, sampled (common/audit/refused.h).
 *
 * Nothing waits for Redis.  While it is away, records are dropped and counted.
 */

#ifndef _NGX_HTTP_WEIR_JWT_AUDIT_H_INCLUDED_
#define _NGX_HTTP_WEIR_JWT_AUDIT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "redis/ngx_http_weir_redis.h"

#include <jansson.h>


#define NGX_HTTP_WEIR_JWT_AUDIT_STREAM  "weir:refused"
#define NGX_HTTP_WEIR_JWT_AUDIT_MAXLEN  "10000"


typedef enum {
    NGX_HTTP_WEIR_JWT_AUDIT_SENT = 0,    /* records */
    NGX_HTTP_WEIR_JWT_AUDIT_COUNTED,     /* requests; a later record has their
                                            number */
    NGX_HTTP_WEIR_JWT_AUDIT_DROPPED,     /* records: Redis was away */
    NGX_HTTP_WEIR_JWT_AUDIT_RESULTS
} ngx_http_weir_jwt_audit_result_e;


/*
 * A request of this worker was refused: outcome is the name of the reason,
 * claims are those of its token if it was verified, or NULL.  counts is in shared
 * memory.
 */
void ngx_http_weir_jwt_audit(ngx_http_request_t *r,
    ngx_http_weir_redis_t *redis, ngx_atomic_t *counts, const char *outcome,
    const json_t *claims);

/*
 * The configuration that redis and counts belong to ends, or the worker: what was
 * counted in the last window is lost.
 */
void ngx_http_weir_jwt_audit_end(ngx_http_weir_redis_t *redis);


#endif /* _NGX_HTTP_WEIR_JWT_AUDIT_H_INCLUDED_ */
