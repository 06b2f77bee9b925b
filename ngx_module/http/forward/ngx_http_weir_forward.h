/*
 * Changes the header lines of an upstream request, for any *_pass.
 *
 * The request itself is never changed.  The upstream request is made from
 * r->headers_in by one call, u->create_request(), which starts nothing and ends
 * nothing; the list of header lines is another one only during that call.  So all
 * later processing (error_page, X-Accel-Redirect, a failure before the first
 * header) finds the client's own header, and nothing must be restored later.
 */

#ifndef _NGX_HTTP_WEIR_FORWARD_H_INCLUDED_
#define _NGX_HTTP_WEIR_FORWARD_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


typedef struct ngx_http_weir_forward_s  ngx_http_weir_forward_t;

/* The name of a line that is added; constants, but for the hash. */
typedef struct {
    ngx_str_t                 name;
    u_char                   *lowcase;
    ngx_uint_t                hash;        /* of lowcase; 0: not known yet */
} ngx_http_weir_forward_name_t;

#define ngx_http_weir_forward_name(name, lowcase)                             \
    { ngx_string(name), (u_char *) (lowcase), 0 }

/* A change of the header, in the request's pool; filled by the caller. */
struct ngx_http_weir_forward_s {
    /* the client's lines of these names are left out, also with "_" or "." in
       the place of "-"; n may be 0 */
    ngx_str_t                *names;
    ngx_uint_t                n;

    /* adds lines to the list; NGX_OK, or NGX_ERROR (no memory); or NULL */
    ngx_int_t               (*add)(ngx_http_request_t *r, ngx_list_t *headers,
                                   void *data);

    /* the upstream request was made; or NULL */
    void                    (*made)(ngx_http_request_t *r, void *data);

    /* the request is made again from the same buffers, u->request_bufs, for
       another server; or NULL */
    void                    (*again)(ngx_http_request_t *r, void *data);

    /* r is a clone of the request that goes upstream by itself: nginx's own
       cache refreshes in the background.  It has no changes unless the function
       calls ngx_http_weir_forward(); or NULL */
    void                    (*cloned)(ngx_http_request_t *r, void *data);

    void                     *data;

    ngx_http_weir_forward_t  *next;        /* private */
};


/*
 * To be called before the content phase of this location, in which
 * r->content_handler must be set.  Changes are applied in the order of the
 * calls; a name that one of them leaves out may be added by a later one.
 * NGX_OK or NGX_ERROR (no memory).
 */
ngx_int_t ngx_http_weir_forward(ngx_http_request_t *r,
    ngx_http_weir_forward_t *forward);

/*
 * Adds a line.  Its value is not copied.  NGX_OK or NGX_ERROR (no memory).
 */
ngx_int_t ngx_http_weir_forward_push(ngx_list_t *headers,
    ngx_http_weir_forward_name_t *name, u_char *value, size_t len);

/*
 * For a handler of a location to which the request was redirected: the content
 * handler of the previous location, if it led here, is not held any longer.
 */
void ngx_http_weir_forward_release(ngx_http_request_t *r);


/* Private to http/: finds the variables that forward must evaluate again. */
ngx_int_t ngx_http_weir_forward_init_module(ngx_cycle_t *cycle);


#endif /* _NGX_HTTP_WEIR_FORWARD_H_INCLUDED_ */
