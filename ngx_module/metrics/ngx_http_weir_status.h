/*
 * Shared by the files of weir_status.
 *
 *     module    the directive, and the caches
 *     breakers  the breakers
 */

#ifndef _NGX_HTTP_WEIR_STATUS_H_INCLUDED_
#define _NGX_HTTP_WEIR_STATUS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/*
 * breakers: appends a buffer (ngx_buf_t *, from the request's pool) for each
 * breaker zone, as a member of a JSON object; NGX_OK or NGX_ERROR (no memory).
 */
ngx_int_t ngx_http_weir_status_breakers(ngx_http_request_t *r,
    ngx_array_t *bufs);


#endif /* _NGX_HTTP_WEIR_STATUS_H_INCLUDED_ */
