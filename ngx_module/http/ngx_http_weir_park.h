/*
 * A request that waits in a phase.  It is parked as nginx parks a request that
 * limit_req delays: if the client disconnects, the request ends.
 */

#ifndef _NGX_HTTP_WEIR_PARK_H_INCLUDED_
#define _NGX_HTTP_WEIR_PARK_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/*
 * Parks the request.  Returns the value for its phase handler: NGX_AGAIN, or a
 * status if the request cannot be parked; it must not be resumed then.
 */
ngx_int_t ngx_http_weir_park(ngx_http_request_t *r);

/*
 * Runs the phases of a parked request again, from the handler that parked it.
 * The request may be freed afterwards.  Called from an event, never from the
 * request's own handlers.
 */
void ngx_http_weir_resume(ngx_http_request_t *r);


#endif /* _NGX_HTTP_WEIR_PARK_H_INCLUDED_ */
