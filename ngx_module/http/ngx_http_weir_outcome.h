/*
 * What a request's upstream has come to: read here for the breaker, for the cache,
 * and for whoever reports it.
 */

#ifndef _NGX_HTTP_WEIR_OUTCOME_H_INCLUDED_
#define _NGX_HTTP_WEIR_OUTCOME_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


typedef enum {
    NGX_HTTP_WEIR_OUTCOME_NONE = 0,  /* no upstream was asked */
    NGX_HTTP_WEIR_OUTCOME_PENDING,   /* it has said nothing yet, or nginx has
                                        not noted why it asks no more */
    NGX_HTTP_WEIR_OUTCOME_ERROR,     /* it gave no whole header: it refused,
                                        closed, or has no address */
    NGX_HTTP_WEIR_OUTCOME_TIMEOUT,   /* ... in time */
    NGX_HTTP_WEIR_OUTCOME_ANSWERED   /* the header is there */
} ngx_http_weir_outcome_e;


/*
 * Of the request's last upstream, and of the last server of it that was tried.
 * *status is that of its answer, 0 without one.  earlier is the upstream of a
 * location that led to this one, which does not count; or NULL.
 */
ngx_http_weir_outcome_e ngx_http_weir_outcome(ngx_http_request_t *r,
    ngx_http_upstream_t *earlier, ngx_uint_t *status);

/*
 * Milliseconds until its header came, or until it was given up; (ngx_msec_t) -1
 * when neither has happened.  From the connection on, in nginx's own time.
 */
ngx_msec_t ngx_http_weir_outcome_took(ngx_http_request_t *r);

/*
 * The status of the upstream's response, or 0 while its header has not come
 * whole.  headers_in.status_n alone does not tell: it is set with the status
 * line, and a header may break off, be too long, or be none behind that.  Of a
 * response of nginx's own cache there is no state.
 */
ngx_uint_t ngx_http_weir_upstream_status(ngx_http_request_t *r);

/*
 * Whether the upstream left the body of its answer unfinished.  missing: its
 * bytes were counted, and were fewer than it had said.  A client that went away,
 * or was too slow, leaves it unfinished too: that is no word on the upstream.
 */
ngx_uint_t ngx_http_weir_outcome_broke_off(ngx_http_request_t *r,
    ngx_uint_t missing);


#endif /* _NGX_HTTP_WEIR_OUTCOME_H_INCLUDED_ */
