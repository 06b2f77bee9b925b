/*
 * When a worker verifies signatures.
 *
 * Verifying is the one expensive thing that a stranger can ask for.  So requests
 * whose token needs it wait in the access phase, and are taken in turn by their
 * client's address (turn/fair.h).  Verifying takes at most half of the worker's
 * time: time is saved up at that rate, to at most NGX_HTTP_WEIR_JWT_TURN_NS, and
 * no verification begins when none is left.  So one turn of the event loop has
 * at most twice that time of verifying, and the last one.
 *
 * At most WEIR_FAIR_MAX requests of a worker wait, each for at most
 * NGX_HTTP_WEIR_JWT_TURN_TIMEOUT.
 */

#ifndef _NGX_HTTP_WEIR_JWT_TURN_H_INCLUDED_
#define _NGX_HTTP_WEIR_JWT_TURN_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "auth/ngx_http_weir_jwt_wait.h"
#include "auth/turn/fair.h"


/* ns */
#define NGX_HTTP_WEIR_JWT_TURN_NS       1000000

/* ms */
#define NGX_HTTP_WEIR_JWT_TURN_TIMEOUT  2000


typedef struct ngx_http_weir_jwt_turn_s  ngx_http_weir_jwt_turn_t;

/* In zeroed memory of the request's pool. */
struct ngx_http_weir_jwt_turn_s {
    weir_fair_item_t           item;
    ngx_http_request_t        *request;
    ngx_http_weir_jwt_wait_t  *wait;
    void                     (*verify)(ngx_http_weir_jwt_turn_t *turn);
    ngx_uint_t                 verified;   /* bool: verify was called */
};


/*
 * Begins and ends the queue of this process.  NGX_OK, or NGX_ERROR without
 * memory.
 */
ngx_int_t ngx_http_weir_jwt_turn_init_process(ngx_log_t *log);
void ngx_http_weir_jwt_turn_exit_process(void);

/*
 * Lets the request wait for its turn, as ngx_http_weir_jwt_wait() does; verify is
 * called then, and the request resumed behind it.  NGX_AGAIN; NGX_BUSY: the
 * queue is full; NGX_ERROR.
 */
ngx_int_t ngx_http_weir_jwt_turn_take(ngx_http_request_t *r,
    ngx_http_weir_jwt_turn_t *turn, ngx_http_weir_jwt_wait_t *wait);

/*
 * True if the request has waited for its turn and did not get it: its time has
 * passed, or requests of other addresses took its place.
 */
ngx_uint_t ngx_http_weir_jwt_turn_is_lost(ngx_http_weir_jwt_turn_t *turn,
    ngx_http_weir_jwt_wait_t *wait);

/* Leaves the queue; for a cleanup of the memory. */
void ngx_http_weir_jwt_turn_leave(ngx_http_weir_jwt_turn_t *turn);

/*
 * For a caller that cannot wait: calls verify now, if no request waits and time is
 * left for it; true if it did.
 */
ngx_uint_t ngx_http_weir_jwt_turn_now(ngx_http_weir_jwt_turn_t *turn);


#endif /* _NGX_HTTP_WEIR_JWT_TURN_H_INCLUDED_ */
