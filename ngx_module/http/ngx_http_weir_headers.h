/*
 * Header lines of requests and responses: finding, collecting, adding.  Memory
 * comes from the request's pool.
 */

#ifndef _NGX_HTTP_WEIR_HEADERS_H_INCLUDED_
#define _NGX_HTTP_WEIR_HEADERS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "common/text/str.h"


/*
 * Appends a response header; name and value are not copied and must live as
 * long as the request.  Returns NULL without memory.  Not for headers to which
 * r->headers_out has a pointer of its own (Content-Type, ETag ...).
 */
ngx_table_elt_t *ngx_http_weir_add_header(ngx_http_request_t *r,
    ngx_str_t *name, ngx_str_t *value);


/*
 * The first response header of that name whose hash is not 0, or NULL.
 * Names are compared without regard to case.
 */
ngx_table_elt_t *ngx_http_weir_find_header(ngx_list_t *headers,
    ngx_str_t *name);


/*
 * The values of all lines of a header in the list, an array of weir_str_t that
 * point into the list; NULL: no memory.  The array is in the request's pool.
 */
ngx_array_t *ngx_http_weir_header_lines(ngx_http_request_t *r,
    ngx_list_t *headers, ngx_str_t *name);


/*
 * Makes the response's Vary contain the field (RFC 9110 section 12.5.5):
 * appends it to an existing header, adds the header if there is none, and
 * changes nothing if the field or "*" is already present.
 *
 * Returns NGX_OK or NGX_ERROR (no memory).
 */
ngx_int_t ngx_http_weir_add_vary(ngx_http_request_t *r, ngx_str_t *field);


#endif /* _NGX_HTTP_WEIR_HEADERS_H_INCLUDED_ */
