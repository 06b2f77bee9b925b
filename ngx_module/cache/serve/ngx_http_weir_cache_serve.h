/*
 * A stored response on its way to the client (answer, restore), and what a stale
 * one is still good for (validate, refresh, condition).
 */

#ifndef _NGX_HTTP_WEIR_CACHE_SERVE_H_INCLUDED_
#define _NGX_HTTP_WEIR_CACHE_SERVE_H_INCLUDED_


#include "cache/ngx_http_weir_cache.h"


/* As Cache-Status names them; the index is that of the zone's counters. */
extern ngx_str_t  ngx_http_weir_cache_reasons[NGX_HTTP_WEIR_CACHE_REASONS];

/*
 * answer: sends ctx->entry and finalizes the request.  Returns what a phase
 * handler returns: NGX_DONE, or a status when nothing has been sent.
 */
ngx_int_t ngx_http_weir_cache_answer(ngx_http_weir_cache_ctx_t *ctx);

/*
 * answer: adds the Cache-Status of a forwarded request (RFC 9211), with a
 * detail or NULL.  NGX_OK: the answer goes out without it when there is no
 * memory, as the upstream may have done what can't be done twice.
 */
ngx_int_t ngx_http_weir_cache_forwarded(ngx_http_weir_cache_ctx_t *ctx,
    char *detail);

/*
 * restore: puts the entry's header lines into the response; NGX_OK or NGX_ERROR
 */
ngx_int_t ngx_http_weir_cache_restore(ngx_http_weir_cache_ctx_t *ctx);

/*
 * restore: of a whole 200, before its header is sent: the client's conditions
 * and Range are decided at the edge, by the response's own ETag, Last-Modified
 * and Date; here where nginx's filters, which do the rest, would do wrong
 */
void ngx_http_weir_cache_conditions(ngx_http_request_t *r);

/* answer: the entry's body as a chain; NULL: no memory */
ngx_chain_t *ngx_http_weir_cache_body(ngx_http_weir_cache_ctx_t *ctx);

/*
 * condition: the upstream gets the conditions of ctx->stale, or none without
 * one, in the place of the client's conditions and Range.  For a request whose
 * body is known to be empty, before its content phase.
 */
void ngx_http_weir_cache_own_conditions(ngx_http_weir_cache_ctx_t *ctx);

/* refresh: starts a refresh in the background; NGX_OK or NGX_ERROR */
ngx_int_t ngx_http_weir_cache_refresh(ngx_http_weir_cache_ctx_t *ctx);

/*
 * validate: whether ctx->stale may answer instead of an error, and why: a
 * constant string, or NULL.
 */
char *ngx_http_weir_cache_instead_of_error(ngx_http_weir_cache_ctx_t *ctx);

/* validate: whether the 304 that has come is about ctx->stale, and renews it */
ngx_uint_t ngx_http_weir_cache_is_about_stale(ngx_http_weir_cache_ctx_t *ctx);

/*
 * validate: a HEAD's 200 against ctx->stale (RFC 9111 section 4.3.5).  NGX_OK:
 * the same representation; NGX_ABORT: another one; NGX_DECLINED: it doesn't say.
 */
ngx_int_t ngx_http_weir_cache_compare_head(ngx_http_weir_cache_ctx_t *ctx);


#endif /* _NGX_HTTP_WEIR_CACHE_SERVE_H_INCLUDED_ */
