/* The variant that a request selects by its header, RFC 9111 section 4.1. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/lookup/key/ngx_http_weir_cache_flags.h"
#include "cache/lookup/key/ngx_http_weir_cache_key.h"
#include "cache/lookup/key/ngx_http_weir_cache_sent.h"
#include "cache/policy/vary.h"
#include "http/ngx_http_weir_assert.h"
#include "http/ngx_http_weir_headers.h"


static ngx_int_t ngx_http_weir_cache_key_vary_put(
    ngx_http_weir_cache_ctx_t *ctx, weir_str_t list);
static ngx_int_t ngx_http_weir_cache_key_vary_lines(
    ngx_http_weir_cache_ctx_t *ctx, weir_str_t list, ngx_array_t **lines,
    size_t *len);
static ngx_int_t ngx_http_weir_cache_key_vary_hide(
    ngx_http_weir_cache_ctx_t *ctx);
static u_char *ngx_http_weir_cache_key_vary_put_list(u_char *p,
    weir_str_t field, ngx_array_t *lines, u_char *buf);
static u_char *ngx_http_weir_cache_key_vary_put_lines(u_char *p,
    weir_str_t field, ngx_array_t *lines);


/*
 * The variant's text has a line "name: value" for each line of each field, as
 * the request has it.  Lines of a field that is known to be a list are joined
 * by commas first, and normalized (RFC 9111 section 4.1).  An absent field has
 * no line, unlike an empty one.  A field that the upstream gets as negotiated
 * has a line "name=value", which no field of a request can produce.
 */

ngx_int_t
ngx_http_weir_cache_key_vary_select(ngx_http_weir_cache_ctx_t *ctx,
    ngx_str_t *fields)
{
    u_char      *p;
    ngx_str_t    text;
    weir_str_t   list;

    list.data = (char *) fields->data;
    list.len = fields->len;

    if (ngx_http_weir_cache_flags_keep(ctx, list) != NGX_OK
        || ngx_http_weir_cache_key_vary_put(ctx, list) != NGX_OK
        || ngx_http_weir_cache_key_vary_hide(ctx) != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* the variant's digest covers the key's digest and the text */

    text.len = NGX_HTTP_WEIR_CACHE_DIGEST_LEN + ctx->vary.len;
    text.data = ngx_pnalloc(ctx->request->pool, text.len);
    if (text.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(text.data, ctx->digest, NGX_HTTP_WEIR_CACHE_DIGEST_LEN);
    ngx_memcpy(p, ctx->vary.data, ctx->vary.len);

    ngx_http_weir_cache_key_digest(ctx->conf->zone, &text, ctx->variant);
    ctx->varies = 1;

    return NGX_OK;
}


/* Writes the text into ctx->vary.  NGX_OK or NGX_ERROR (no memory). */

static ngx_int_t
ngx_http_weir_cache_key_vary_put(ngx_http_weir_cache_ctx_t *ctx, weir_str_t list)
{
    size_t        pos, len;
    u_char       *p, *value;
    ngx_str_t     sent;
    weir_str_t    field;
    ngx_uint_t    n;
    ngx_array_t  *lines[WEIR_VARY_FIELDS_MAX];

    if (ngx_http_weir_cache_key_vary_lines(ctx, list, lines, &len) != NGX_OK) {
        return NGX_ERROR;
    }

    /* values are assembled at the end of the buffer first */

    p = ngx_pnalloc(ctx->request->pool, len * 2);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ctx->vary.data = p;
    value = p + len;
    n = 0;

    for (pos = 0; n < WEIR_VARY_FIELDS_MAX
                  && weir_vary_next(list, &pos, &field); n++)
    {
        /* as in the first round */
        /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult) */
        if (lines[n] == NULL) {
            (void) ngx_http_weir_cache_sent(ctx, &field, &sent);
            p = ngx_cpymem(p, field.data, field.len);
            *p++ = '=';
            p = ngx_cpymem(p, sent.data, sent.len);
            *p++ = '\n';
            continue;
        }

        p = weir_vary_is_list(field)
            ? ngx_http_weir_cache_key_vary_put_list(p, field, lines[n], value)
            : ngx_http_weir_cache_key_vary_put_lines(p, field, lines[n]);
    }

    ctx->vary.len = p - ctx->vary.data;

    ngx_http_weir_assert(ctx->vary.len <= len);

    return NGX_OK;
}


/*
 * The request's lines of each field, NULL for a field that the upstream gets as
 * negotiated, and the upper limit of the text's length.  NGX_OK or NGX_ERROR
 * (no memory).
 */

static ngx_int_t
ngx_http_weir_cache_key_vary_lines(ngx_http_weir_cache_ctx_t *ctx, weir_str_t list,
    ngx_array_t **lines, size_t *len)
{
    size_t               pos;
    ngx_str_t            name, sent;
    weir_str_t           field, *line;
    ngx_uint_t           i, n;
    ngx_http_request_t  *r;

    r = ctx->request;
    *len = 0;
    n = 0;

    for (pos = 0; n < WEIR_VARY_FIELDS_MAX
                  && weir_vary_next(list, &pos, &field); n++)
    {
        if (ngx_http_weir_cache_sent(ctx, &field, &sent)) {
            lines[n] = NULL;
            *len += field.len + sizeof("=\n") - 1 + sent.len;
            continue;
        }

        name.data = (u_char *) field.data;
        name.len = field.len;

        lines[n] = ngx_http_weir_header_lines(r, &r->headers_in.headers, &name);
        if (lines[n] == NULL) {
            return NGX_ERROR;
        }

        line = lines[n]->elts;

        for (i = 0; i < lines[n]->nelts; i++) {
            *len += field.len + sizeof(": \n") - 1 + line[i].len;
        }
    }

    return NGX_OK;
}


/* With a secret, a digest replaces the header values: no cookie is in Redis. */

static ngx_int_t
ngx_http_weir_cache_key_vary_hide(ngx_http_weir_cache_ctx_t *ctx)
{
    u_char      *p;
    weir_str_t   key, vary;

    if (ctx->conf->zone->mac == NULL) {
        return NGX_OK;
    }

    p = ngx_pnalloc(ctx->request->pool, WEIR_ENTRY_MAC_VARY_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    key.data = (char *) ctx->key.data;
    key.len = ctx->key.len;
    vary.data = (char *) ctx->vary.data;
    vary.len = ctx->vary.len;

    weir_entry_mac_vary(ctx->conf->zone->mac, key, vary, (char *) p);

    ctx->vary.data = p;
    ctx->vary.len = WEIR_ENTRY_MAC_VARY_LEN;

    return NGX_OK;
}


/* buf must have room for the joined lines. */

static u_char *
ngx_http_weir_cache_key_vary_put_list(u_char *p, weir_str_t field,
    ngx_array_t *lines, u_char *buf)
{
    u_char      *last;
    weir_str_t  *line, value;
    ngx_uint_t   i;

    if (lines->nelts == 0) {
        return p;
    }

    line = lines->elts;
    last = buf;

    for (i = 0; i < lines->nelts; i++) {
        last = ngx_cpymem(last, line[i].data, line[i].len);
        *last++ = ',';
    }

    value.data = (char *) buf;
    value.len = last - buf - 1;

    p = ngx_cpymem(p, field.data, field.len);
    *p++ = ':';
    *p++ = ' ';
    p += weir_vary_normalize_field(field, value, (char *) p);
    *p++ = '\n';

    return p;
}


static u_char *
ngx_http_weir_cache_key_vary_put_lines(u_char *p, weir_str_t field,
    ngx_array_t *lines)
{
    weir_str_t  *line;
    ngx_uint_t   i;

    line = lines->elts;

    for (i = 0; i < lines->nelts; i++) {
        p = ngx_cpymem(p, field.data, field.len);
        *p++ = ':';
        *p++ = ' ';
        p = ngx_cpymem(p, line[i].data, line[i].len);
        *p++ = '\n';
    }

    return p;
}
