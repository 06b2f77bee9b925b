/*
 * The upstream's response: what it says to a cache (filter, response, read),
 * and its way into both levels (record, fields, store).
 */

#ifndef _NGX_HTTP_WEIR_CACHE_STORE_H_INCLUDED_
#define _NGX_HTTP_WEIR_CACHE_STORE_H_INCLUDED_


#include "cache/ngx_http_weir_cache.h"


/*
 * response: X-Accel-Redirect or an error_page has led to another location: what
 * the first one asked the upstream for will not be stored, so nobody shall wait
 * for it, the request itself least of all.  Returns what is known of the
 * location that it was led away from last; NULL: nothing.
 */
ngx_http_weir_cache_ctx_t *ngx_http_weir_cache_led_away(
    ngx_http_request_t *r);

/*
 * response: begins to store the upstream's response if it may be.  NGX_OK: the
 * body is collected; NGX_DECLINED: not, also when there is no memory.
 */
ngx_int_t ngx_http_weir_cache_prepare(ngx_http_weir_cache_ctx_t *ctx);

/* response: the same for a POST, whose response is stored for later GETs */
ngx_int_t ngx_http_weir_cache_prepare_post(ngx_http_weir_cache_ctx_t *ctx);

/*
 * response: the upstream's answer does not reach the client as it is: nginx
 * answers with a page in its place, or it leads to another location.  Where that
 * follows from the answer alone responses for the key are remembered to be
 * uncacheable.
 */
void ngx_http_weir_cache_not_passed_on(ngx_http_weir_cache_ctx_t *ctx);

/*
 * read: what the upstream's header says to a cache, into response and cc, and
 * what it varies by into ctx.  NGX_OK or NGX_ERROR (no memory).
 */
ngx_int_t ngx_http_weir_cache_read_response(ngx_http_weir_cache_ctx_t *ctx,
    weir_cache_response_t *response, weir_cache_control_t *cc);

/*
 * fields: the header block of the entry, of the request's pool; cc is what the
 * response says.  NGX_OK, NGX_DECLINED (there is too much), or NGX_ERROR (no
 * memory).
 */
ngx_int_t ngx_http_weir_cache_fields_write(ngx_http_weir_cache_ctx_t *ctx,
    weir_cache_control_t *cc, weir_str_t *headers);

/*
 * record: the entry from the response's header, into ctx->buf.  NGX_OK: the
 * body is collected; NGX_DECLINED: it can't be stored; NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_weir_cache_begin(ngx_http_weir_cache_ctx_t *ctx,
    weir_cache_freshness_t *freshness, weir_cache_control_t *cc);

/*
 * record: a part of the body; NGX_OK, also when the response is not stored after
 * all: it is too large, or there is no memory for it
 */
ngx_int_t ngx_http_weir_cache_append(ngx_http_weir_cache_ctx_t *ctx,
    ngx_buf_t *b);

/* record: the response is not stored after all */
void ngx_http_weir_cache_abandon(ngx_http_weir_cache_ctx_t *ctx,
    char *reason);

/* record: gives ctx->buf back, unless the answer comes from it */
void ngx_http_weir_cache_free_buf(ngx_http_weir_cache_ctx_t *ctx);

/* store: the entry is complete */
void ngx_http_weir_cache_store(ngx_http_weir_cache_ctx_t *ctx);

/* store: what ctx->stale is a copy of, out of both levels */
void ngx_http_weir_cache_drop(ngx_http_weir_cache_ctx_t *ctx);

/* record: how long Redis keeps the entry, seconds */
time_t ngx_http_weir_cache_ttl(ngx_http_weir_cache_ctx_t *ctx,
    weir_cache_freshness_t *freshness);

/* filter: installs the filters */
void ngx_http_weir_cache_init_filters(void);


#endif /* _NGX_HTTP_WEIR_CACHE_STORE_H_INCLUDED_ */
