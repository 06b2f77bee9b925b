/*
 * A request that waits in a phase.  It is parked as nginx parks a request that
 * limit_req delays: the client's leaving is watched, and ends the request.
 */

#ifndef _NGX_HTTP_WEIR_PARK_H_INCLUDED_
#define _NGX_HTTP_WEIR_PARK_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/*
 * Parks the request.  Returns what its phase handler returns: NGX_AGAIN, or a
 * status when the request cannot be parked; then it must not be resumed.
 */
ngx_int_t ngx_http_weir_park(ngx_http_request_t *r);

/*
 * Runs the phases of a parked request again, from the handler that parked it.
 * The request may be gone afterwards.  Called from an event, never from the
 * request's own handlers.
 */
void ngx_http_weir_resume(ngx_http_request_t *r);


#endif /* _NGX_HTTP_WEIR_PARK_H_INCLUDED_ */
