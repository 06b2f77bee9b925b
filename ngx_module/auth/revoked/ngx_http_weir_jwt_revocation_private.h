/*
 * The follower of revocations, shared by its files: revocation_follow, which
 * calls revocation_read.
 */

#ifndef _NGX_HTTP_WEIR_JWT_REVOCATION_PRIVATE_H_INCLUDED_
#define _NGX_HTTP_WEIR_JWT_REVOCATION_PRIVATE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "auth/revoked/ngx_http_weir_jwt_revocation.h"


/* The commands of a cycle. */
typedef enum {
    NGX_HTTP_WEIR_JWT_FOLLOW_TRIM_REPLY = 0,
    NGX_HTTP_WEIR_JWT_FOLLOW_READ,
    NGX_HTTP_WEIR_JWT_FOLLOW_TRIMMED,
    NGX_HTTP_WEIR_JWT_FOLLOW_STREAM,
    NGX_HTTP_WEIR_JWT_FOLLOW_COMMANDS
} ngx_http_weir_jwt_follow_e;


struct ngx_http_weir_jwt_follower_s {
    ngx_http_weir_jwt_revocation_t     *revocation;
    ngx_http_weir_jwt_revocation_sh_t  *sh;
    ngx_http_weir_redis_t              *redis;   /* a connection of its own */
    ngx_event_t                         tick;
    uint64_t                            trimmed; /* ms, the last XTRIM */
    uint64_t                            warned;  /* ms, of an issuer that is not
                                                    known; 0: never */

    /* one cycle */

    ngx_pool_t                         *pool;
    ngx_uint_t                          waiting; /* commands without a reply */
    uint64_t                            sent;    /* ms, start of the cycle */
    ngx_http_weir_jwt_revoked_id_t      from;    /* that is read from */
    ngx_http_weir_redis_command_t
                             commands[NGX_HTTP_WEIR_JWT_FOLLOW_COMMANDS];
    ngx_http_weir_redis_reply_t
                             *replies[NGX_HTTP_WEIR_JWT_FOLLOW_COMMANDS];

    unsigned                            following:1;
    unsigned                            known:1;     /* a cycle has succeeded on
                                                        this connection */
    unsigned                            caught_up:1;
    unsigned                            failed:1;    /* a command of this cycle
                                                        failed */
    unsigned                            overdue:1;   /* a deadline has passed */
    unsigned                            complained:1;
};


/*
 * revocation_read: applies the entries that a cycle has read, and moves f->from
 * behind them.  NGX_OK: the next cycle may follow at once; NGX_ERROR: it begins
 * at the next tick, from the start of the stream.
 */
ngx_int_t ngx_http_weir_jwt_revocation_was_read(
    ngx_http_weir_jwt_follower_t *f);


#endif /* _NGX_HTTP_WEIR_JWT_REVOCATION_PRIVATE_H_INCLUDED_ */
