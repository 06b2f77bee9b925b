/*
 * Shared by the files of weir_status.
 *
 *     module    the directive, and the caches
 *     breakers  the breakers
 *     series    routes and upstreams
 *     exporter  weir_exporter
 *     tokens/   the issuers of weir_jwt
 */

#ifndef _NGX_HTTP_WEIR_STATUS_H_INCLUDED_
#define _NGX_HTTP_WEIR_STATUS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/* A position in the series. */
typedef struct ngx_http_weir_status_series_s  ngx_http_weir_status_series_t;


/*
 * module: the begin of the document; history: with the minutes of the last
 * quarter of an hour of each route and upstream.  Behind it come the parts that
 * ngx_http_weir_status_series_next() writes, unless *series becomes NULL.  Of
 * the request only its pool and its configuration are used.  NULL: no memory.
 */
ngx_buf_t *ngx_http_weir_status_begin(ngx_http_request_t *r,
    ngx_uint_t history, ngx_http_weir_status_series_t **series);

/*
 * breakers: appends a buffer (ngx_buf_t *, from the request's pool) for each
 * breaker zone, as a member of a JSON object; NGX_OK or NGX_ERROR (no memory).
 */
ngx_int_t ngx_http_weir_status_breakers(ngx_http_request_t *r,
    ngx_array_t *bufs);

/*
 * series: the position of the first one, from the request's pool.  NULL: the
 * configuration has none, or there is no memory.
 */
ngx_http_weir_status_series_t *ngx_http_weir_status_series_create(
    ngx_http_request_t *r, ngx_uint_t history);

/*
 * series: writes the next part of the document, up to its end; an
 * ngx_http_weir_metrics_part_pt.
 */
ngx_int_t ngx_http_weir_status_series_next(void *data, ngx_buf_t *b);
/* exporter: writes at most so many bytes, as a member that follows another. */
#define NGX_HTTP_WEIR_STATUS_EXPORTER  768

u_char *ngx_http_weir_status_exporter(ngx_http_request_t *r, u_char *p,
    u_char *last);

/* tokens: the same, with at most so many bytes. */
size_t ngx_http_weir_status_tokens_size(ngx_http_request_t *r);
u_char *ngx_http_weir_status_tokens(ngx_http_request_t *r, u_char *p,
    u_char *last);

/* limits: the same. */
size_t ngx_http_weir_status_limits_size(ngx_http_request_t *r);
u_char *ngx_http_weir_status_limits(ngx_http_request_t *r, u_char *p,
    u_char *last);


#endif /* _NGX_HTTP_WEIR_STATUS_H_INCLUDED_ */
