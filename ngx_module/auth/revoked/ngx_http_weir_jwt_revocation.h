/*
 * weir_jwt_revocation: tokens that are refused although they are good.
 *
 * One worker of the edge reads the stream weir:revoked of a Redis
 * (revocation_follow) into a table in shared memory, which all workers look into
 * for each request with a token.  The table stays while Redis is away, wiped or
 * replaced.
 */

#ifndef _NGX_HTTP_WEIR_JWT_REVOCATION_H_INCLUDED_
#define _NGX_HTTP_WEIR_JWT_REVOCATION_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "auth/revoked/revoked.h"
#include "redis/follow/ngx_http_weir_follow_log.h"
#include "redis/ngx_http_weir_redis.h"

#include <jansson.h>


#define NGX_HTTP_WEIR_JWT_REVOKED_STREAM  "weir:revoked"

/* s: the most that leeway may be; entries are kept that much longer */
#define NGX_HTTP_WEIR_JWT_REVOKED_LEEWAY  600


/* Shared by all workers; the table is changed under the mutex. */
typedef struct {
    uint64_t                  layout;
    ngx_http_weir_follow_log_sh_t  log;
    ngx_atomic_t              applied;     /* entries of the stream */
    ngx_atomic_t              malformed;   /* the same, that were not understood */
    ngx_atomic_t              full;        /* times that the table was full */
    weir_revoked_t           *table;
} ngx_http_weir_jwt_revocation_sh_t;


typedef struct ngx_http_weir_jwt_follower_s  ngx_http_weir_jwt_follower_t;

/* Of a configuration. */
typedef struct {
    ngx_http_weir_redis_t    *redis;
    size_t                    size;        /* of the zone */
    time_t                    keep;        /* s: the longest life of a token */
    ngx_msec_t                staleness;   /* 0: off */
    weir_str_t               *issuers;     /* of weir_jwt_issuer: iss */
    ngx_uint_t                nissuers;
    ngx_slab_pool_t          *shpool;
    ngx_http_weir_jwt_revocation_sh_t  *sh;
    ngx_http_weir_jwt_follower_t  *follower;    /* of this worker */
} ngx_http_weir_jwt_revocation_t;


typedef enum {
    NGX_HTTP_WEIR_JWT_REVOCATION_NONE = 0,
    NGX_HTTP_WEIR_JWT_REVOCATION_REVOKED,
    NGX_HTTP_WEIR_JWT_REVOCATION_OUTLIVES, /* its life is not known, or longer than
                                              entries are kept */
    NGX_HTTP_WEIR_JWT_REVOCATION_STALE     /* the stream was not read for longer
                                              than "staleness" */
} ngx_http_weir_jwt_revocation_e;


/* The setter of weir_jwt_revocation; *conf is a pointer to its result. */
char *ngx_http_weir_jwt_revocation_set(ngx_conf_t *cf,
    ngx_http_weir_jwt_revocation_t **conf);

/* Adds the zone, when the configuration has been read. */
ngx_int_t ngx_http_weir_jwt_revocation_add_zone(ngx_conf_t *cf,
    ngx_http_weir_jwt_revocation_t *revocation, void *tag);

/*
 * Whether a good token is revoked now; expires is the time from which on it is
 * not accepted, in s.  *revision is that of the table at the last call for this
 * token which found nothing, or 0, and becomes that of now: while the table is
 * the same nothing is looked up.
 */
ngx_http_weir_jwt_revocation_e ngx_http_weir_jwt_revocation_check(
    ngx_http_weir_jwt_revocation_t *revocation, const json_t *claims,
    int64_t expires, uint64_t *revision);

/* revocation_follow: called once in each worker; NGX_OK or NGX_ERROR. */
ngx_int_t ngx_http_weir_jwt_revocation_follow(
    ngx_http_weir_jwt_revocation_t *revocation);

/* revocation_follow: called when the worker exits. */
void ngx_http_weir_jwt_revocation_leave(
    ngx_http_weir_jwt_revocation_t *revocation);


#endif /* _NGX_HTTP_WEIR_JWT_REVOCATION_H_INCLUDED_ */
