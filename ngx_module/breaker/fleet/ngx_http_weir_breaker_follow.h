/*
 * The stream weir:breaker: changes of state that edges tell, and orders of
 * operators.  breaker_message.h has its entries.
 *
 * One worker of the edge reads it, for all (redis/follow/).  An order is obeyed
 * once: each zone has the position of the last one in shared memory, so it does
 * not matter that the stream is read from its beginning with each connection.
 * It ends by itself, also while Redis is away.  Of what others tell, only what is
 * told while this edge listens has an effect, and that is small: a threshold that
 * is lower for a while (share=hint), and an open breaker that asks earlier who
 * probes.
 */

#ifndef _NGX_HTTP_WEIR_BREAKER_FOLLOW_H_INCLUDED_
#define _NGX_HTTP_WEIR_BREAKER_FOLLOW_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "breaker/ngx_http_weir_breaker.h"


/* Called in init_process and exit_process. */
ngx_int_t ngx_http_weir_breaker_follow(ngx_cycle_t *cycle);
void ngx_http_weir_breaker_follow_exit(ngx_cycle_t *cycle);


#endif /* _NGX_HTTP_WEIR_BREAKER_FOLLOW_H_INCLUDED_ */
