/*
 * Differences between nginx versions; no other file has any.
 *
 * nginx 1.23.0 changed repeated headers from arrays to linked lists: every
 * header element got a "next" pointer, which the code that pushes the element
 * must set.
 */

#ifndef _NGX_HTTP_WEIR_COMPAT_NGINX_H_INCLUDED_
#define _NGX_HTTP_WEIR_COMPAT_NGINX_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <nginx.h>


#if (nginx_version >= 1023000)
#define ngx_http_weir_header_init(h)  (h)->next = NULL
#else
#define ngx_http_weir_header_init(h)
#endif


/* True if the request has a Cookie. */
#if (nginx_version >= 1023000)
#define ngx_http_weir_has_cookie(r)  ((r)->headers_in.cookie != NULL)
#else
#define ngx_http_weir_has_cookie(r)  ((r)->headers_in.cookies.nelts != 0)
#endif


/*
 * Adds a Cache-Control line of the list to those that nginx's own filters use.
 * NGX_OK or NGX_ERROR (no memory).
 */
static ngx_inline ngx_int_t
ngx_http_weir_link_cache_control(ngx_http_request_t *r, ngx_table_elt_t *h)
{
#if (nginx_version >= 1023000)
    ngx_table_elt_t  **last;

    for (last = &r->headers_out.cache_control; *last; last = &(*last)->next) {
        /* void */
    }

    *last = h;

    return NGX_OK;
#else
    ngx_table_elt_t  **line;

    if (r->headers_out.cache_control.elts == NULL
        && ngx_array_init(&r->headers_out.cache_control, r->pool, 1,
                          sizeof(ngx_table_elt_t *))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    line = ngx_array_push(&r->headers_out.cache_control);
    if (line == NULL) {
        return NGX_ERROR;
    }

    *line = h;

    return NGX_OK;
#endif
}


#endif /* _NGX_HTTP_WEIR_COMPAT_NGINX_H_INCLUDED_ */
