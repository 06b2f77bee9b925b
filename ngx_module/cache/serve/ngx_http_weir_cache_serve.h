/*
 * Sending a stored response (answer, restore), and using a stale one (validate,
 * refresh, condition).
 */

#ifndef _NGX_HTTP_WEIR_CACHE_SERVE_H_INCLUDED_
#define _NGX_HTTP_WEIR_CACHE_SERVE_H_INCLUDED_


#include "cache/ngx_http_weir_cache.h"


/* The names in Cache-Status; the index is that of the zone's counters. */
extern ngx_str_t  ngx_http_weir_cache_reasons[NGX_HTTP_WEIR_CACHE_REASONS];

/*
 * answer: sends ctx->entry and finalizes the request.  Returns the value for
 * the phase handler: NGX_DONE, or a status if nothing has been sent.
 */
ngx_int_t ngx_http_weir_cache_answer_send(ngx_http_weir_cache_ctx_t *ctx);

/*
 * answer: adds the Cache-Status of a forwarded request (RFC 9211), with a
 * detail or NULL.  Without memory the response is sent without Cache-Status,
 * because the upstream may have done something irreversible.
 */
void ngx_http_weir_cache_answer_forwarded(ngx_http_weir_cache_ctx_t *ctx,
    char *detail);

/*
 * restore: puts the entry's header lines into the response; NGX_OK or
 * NGX_ERROR.
 */
ngx_int_t ngx_http_weir_cache_restore(ngx_http_weir_cache_ctx_t *ctx);

/*
 * restore: evaluates the client's conditions and Range on a whole 200 before
 * its header is sent, by the response's own ETag, Last-Modified and Date.  Only
 * the cases in which nginx's filters are wrong are evaluated here; the filters
 * do the rest.
 */
void ngx_http_weir_cache_restore_conditions(ngx_http_request_t *r);

/* answer: the entry's body as a chain; NULL: no memory. */
ngx_chain_t *ngx_http_weir_cache_answer_body(ngx_http_weir_cache_ctx_t *ctx);

/*
 * condition: replaces the client's conditions and Range in the upstream request
 * by the conditions of ctx->stale, or by none without ctx->stale.  For a
 * request whose body is known to be empty, before its content phase.  NGX_OK or
 * NGX_ERROR (no memory).
 */
ngx_int_t ngx_http_weir_cache_condition_replace(ngx_http_weir_cache_ctx_t *ctx);

/* refresh: starts a background refresh; NGX_OK or NGX_ERROR. */
ngx_int_t ngx_http_weir_cache_refresh(ngx_http_weir_cache_ctx_t *ctx);

/*
 * validate: the reason for which ctx->stale may replace an error, as a constant
 * string, or NULL.
 */
char *ngx_http_weir_cache_validate_instead_of_error(
    ngx_http_weir_cache_ctx_t *ctx);

/*
 * validate: true if the 304 that has arrived is about ctx->stale, and renews
 * it.
 */
ngx_uint_t ngx_http_weir_cache_validate_is_about_stale(
    ngx_http_weir_cache_ctx_t *ctx);

/*
 * validate: compares a HEAD's 200 with ctx->stale (RFC 9111 section 4.3.5).
 * NGX_OK: the same representation; NGX_ABORT: another one; NGX_DECLINED:
 * unknown.
 */
ngx_int_t ngx_http_weir_cache_validate_compare_head(
    ngx_http_weir_cache_ctx_t *ctx);


#endif /* _NGX_HTTP_WEIR_CACHE_SERVE_H_INCLUDED_ */
