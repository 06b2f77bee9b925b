/*
 * Processing of the upstream's response (filter, response, read, upstream), and
 * writing it into both levels (record, fields, store).
 */

#ifndef _NGX_HTTP_WEIR_CACHE_STORE_H_INCLUDED_
#define _NGX_HTTP_WEIR_CACHE_STORE_H_INCLUDED_


#include "cache/ngx_http_weir_cache.h"


/*
 * response: X-Accel-Redirect or an error_page has led to another location.  The
 * response for the first location will not be stored, so no request waits for
 * it, including this one.  Returns the context of the location that it last
 * left; NULL: none.
 */
ngx_http_weir_cache_ctx_t *ngx_http_weir_cache_response_led_away(
    ngx_http_request_t *r);

/*
 * response: begins to store the upstream's response if allowed.  NGX_OK: the
 * body is collected; NGX_DECLINED: it is not; NGX_ERROR: it is not for want of
 * memory, and the next response may be.
 */
ngx_int_t ngx_http_weir_cache_response_prepare(ngx_http_weir_cache_ctx_t *ctx);

/* response: the same for a POST, whose response is stored for later GETs. */
ngx_int_t ngx_http_weir_cache_response_prepare_post(
    ngx_http_weir_cache_ctx_t *ctx);

/*
 * response: the upstream's response does not reach the client unchanged: nginx
 * sends a page instead, or it leads to another location.  If that follows from
 * the response alone, responses for the key are remembered as uncacheable.
 */
void ngx_http_weir_cache_response_not_passed_on(ngx_http_weir_cache_ctx_t *ctx);

/*
 * read: reads the fields of the upstream's header that concern caching into
 * response and cc, and Vary into ctx.  NGX_OK or NGX_ERROR (no memory).
 */
ngx_int_t ngx_http_weir_cache_read_response(ngx_http_weir_cache_ctx_t *ctx,
    weir_cache_response_t *response, weir_cache_control_t *cc);

/*
 * fields: builds the header block of the entry in the request's pool; cc has
 * the directives of the response.  NGX_OK, NGX_DECLINED (there is too much), or
 * NGX_ERROR (no memory).
 */
ngx_int_t ngx_http_weir_cache_fields_write(ngx_http_weir_cache_ctx_t *ctx,
    weir_cache_control_t *cc, weir_str_t *headers);

/*
 * record: begins the entry from the response's header, in ctx->buf.  NGX_OK:
 * the body is collected; NGX_DECLINED: it cannot be stored; NGX_ERROR: no
 * memory.
 */
ngx_int_t ngx_http_weir_cache_record_begin(ngx_http_weir_cache_ctx_t *ctx,
    weir_cache_freshness_t *freshness, weir_cache_control_t *cc);

/*
 * record: appends a part of the body.  If it is too large, or there is no
 * memory, the response is not stored after all.
 */
void ngx_http_weir_cache_record_append(ngx_http_weir_cache_ctx_t *ctx,
    ngx_buf_t *b);

/* record: the response is not stored after all. */
void ngx_http_weir_cache_record_abandon(ngx_http_weir_cache_ctx_t *ctx,
    char *reason);

/* record: frees ctx->buf, unless the response is sent from it. */
void ngx_http_weir_cache_record_free_buf(ngx_http_weir_cache_ctx_t *ctx);

/* store: the entry is complete; stores it. */
void ngx_http_weir_cache_store(ngx_http_weir_cache_ctx_t *ctx);

/* store: removes the original of ctx->stale from both levels. */
void ngx_http_weir_cache_store_drop(ngx_http_weir_cache_ctx_t *ctx);

/* record: how long Redis keeps the entry, seconds */
time_t ngx_http_weir_cache_record_ttl(ngx_http_weir_cache_ctx_t *ctx,
    weir_cache_freshness_t *freshness);

/*
 * upstream: the rest of the upstream's body is not needed and may never end: the upstream
 * module is made to treat it as complete, and closes the connection with its
 * next step.  Called from the header filter, before the input filters are set
 * up, or from the body filter.  If nginx itself stores the body (proxy_cache,
 * proxy_store), it is read on, and the client gets none of it.
 */
void ngx_http_weir_cache_upstream_leave(ngx_http_upstream_t *u);

/*
 * upstream: takes the body of a refresh.  With buffering, the body of a subrequest would arrive
 * here only at its end while the main request owns the connection: all of it,
 * however large, would be in a file by then, and a body without an end would
 * never arrive.
 */
void ngx_http_weir_cache_upstream_take_body(ngx_http_weir_cache_ctx_t *ctx);

/* filter: installs the filters. */
void ngx_http_weir_cache_filter_init(void);


#endif /* _NGX_HTTP_WEIR_CACHE_STORE_H_INCLUDED_ */
