/*
 * The outcome of a request's upstream, evaluated in one place for the breaker,
 * the cache and reports.
 */

#ifndef _NGX_HTTP_WEIR_OUTCOME_H_INCLUDED_
#define _NGX_HTTP_WEIR_OUTCOME_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


typedef enum {
    NGX_HTTP_WEIR_OUTCOME_NONE = 0,  /* no upstream was asked */
    NGX_HTTP_WEIR_OUTCOME_PENDING,   /* no answer yet, or nginx has not recorded
                                        why it stopped */
    NGX_HTTP_WEIR_OUTCOME_ERROR,     /* no complete header: refused, closed, or
                                        without address */
    NGX_HTTP_WEIR_OUTCOME_TIMEOUT,   /* no complete header in time */
    NGX_HTTP_WEIR_OUTCOME_ANSWERED   /* the header has arrived */
} ngx_http_weir_outcome_e;


/*
 * The outcome of the request's last upstream, at the last server that was
 * tried.  *status is the status of its response, 0 without one.  earlier is the
 * upstream of a location that led to this one, which is ignored; or NULL.
 */
ngx_http_weir_outcome_e ngx_http_weir_outcome(ngx_http_request_t *r,
    ngx_http_upstream_t *earlier, ngx_uint_t *status);

/*
 * Milliseconds until the header arrived or the upstream was abandoned;
 * (ngx_msec_t) -1 if neither has happened.  Counted from the connection, in
 * nginx's own time.
 */
ngx_msec_t ngx_http_weir_outcome_took(ngx_http_request_t *r);

/*
 * The status of the upstream's response, or 0 if its header has not arrived
 * completely.  headers_in.status_n alone is not sufficient: it is set with the
 * status line, and the rest of the header may break off, be too long, or be
 * invalid.  A response from nginx's own cache has no state.
 */
ngx_uint_t ngx_http_weir_upstream_status(ngx_http_request_t *r);

/*
 * True if the upstream did not finish the body of its response.  missing: its
 * bytes were counted, and were fewer than announced.  A client that left or was
 * too slow leaves the body unfinished, too, which says nothing about the
 * upstream.
 */
ngx_uint_t ngx_http_weir_outcome_broke_off(ngx_http_request_t *r,
    ngx_uint_t missing);


#endif /* _NGX_HTTP_WEIR_OUTCOME_H_INCLUDED_ */
