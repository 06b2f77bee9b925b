/*
 * The version that a request asks for.
 *
 * The plain core in negotiate.c decides. Its result is kept in the request's
 * context together with the api that it belongs to. So a request is negotiated
 * once for all variables, phases and modules, and again if an internal redirect
 * leads to another weir_version.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "version/ngx_http_weir_version.h"
#include "version/ngx_http_weir_version_private.h"


static void ngx_http_weir_version_by_accept(ngx_http_weir_version_ctx_t *ctx,
    weir_negotiate_request_t *request);
static ngx_int_t ngx_http_weir_version_join(ngx_http_request_t *r,
    ngx_str_t *name, weir_str_t *value);
static ngx_uint_t ngx_http_weir_version_is_named(ngx_table_elt_t *h,
    ngx_str_t *name);


ngx_str_t  ngx_http_weir_version_json = ngx_string("application/json");
ngx_str_t  ngx_http_weir_version_accept = ngx_string("Accept");


ngx_int_t
ngx_http_weir_version_get(ngx_http_request_t *r, ngx_str_t *version)
{
    ngx_int_t                     rc;
    ngx_http_weir_version_ctx_t  *ctx;

    ngx_str_null(version);

    rc = ngx_http_weir_version_negotiate(r, &ctx);

    if (rc != NGX_OK || ctx->result != WEIR_NEGOTIATE_OK) {
        return rc == NGX_ERROR ? NGX_ERROR : NGX_DECLINED;
    }

    *version = ctx->api->items[ctx->what.version].name;

    return NGX_OK;
}


ngx_int_t
ngx_http_weir_version_get_type(ngx_http_request_t *r, ngx_str_t *type)
{
    ngx_int_t                     rc;
    ngx_http_weir_version_ctx_t  *ctx;

    ngx_str_null(type);

    rc = ngx_http_weir_version_negotiate(r, &ctx);

    if (rc != NGX_OK || ctx->result != WEIR_NEGOTIATE_OK) {
        return rc == NGX_ERROR ? NGX_ERROR : NGX_DECLINED;
    }

    *type = *ngx_http_weir_version_type(ctx);

    return NGX_OK;
}


ngx_int_t
ngx_http_weir_version_field(ngx_conf_t *cf, ngx_str_t *field)
{
    ngx_http_weir_version_loc_conf_t  *wlcf;

    wlcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_weir_version_module);

    if (wlcf->api == NULL) {
        return NGX_DECLINED;
    }

    *field = wlcf->api->header;

    return NGX_OK;
}


ngx_http_weir_version_ctx_t *
ngx_http_weir_version_ask(ngx_http_request_t *r,
    ngx_http_weir_version_api_t *api, ngx_http_weir_version_ctx_t *ctx)
{
    weir_negotiate_request_t  request;

    if (ctx == NULL) {
        ctx = ngx_palloc(r->pool, sizeof(ngx_http_weir_version_ctx_t));
        if (ctx == NULL) {
            return NULL;
        }
    }

    ngx_memzero(&request, sizeof(weir_negotiate_request_t));

    if (ngx_http_weir_version_join(r, &ngx_http_weir_version_accept,
                                   &request.accept)
        != NGX_OK)
    {
        return NULL;
    }

    if (api->header.len
        && ngx_http_weir_version_join(r, &api->header, &request.version_header)
           != NGX_OK)
    {
        return NULL;
    }

    /* a request with a body has a length or is chunked, RFC 9112 section 6.3 */

    if (r->headers_in.content_type
        && (r->headers_in.content_length_n > 0 || r->headers_in.chunked))
    {
        request.content_type.data =
                            (char *) r->headers_in.content_type->value.data;
        request.content_type.len = r->headers_in.content_type->value.len;
    }

    ctx->api = api;

    if (request.version_header.data || request.content_type.data) {
        ctx->result = weir_negotiate(&api->core, &request, &ctx->what);

    } else {
        ngx_http_weir_version_by_accept(ctx, &request);
    }

    ngx_http_set_ctx(r, ctx, ngx_http_weir_version_module);

    return ctx;
}


/* The case in which Accept alone decides. */

static void
ngx_http_weir_version_by_accept(ngx_http_weir_version_ctx_t *ctx,
    weir_negotiate_request_t *request)
{
    size_t                         len;
    weir_str_t                    *accept;
    ngx_http_weir_version_late_t  *late;

    accept = &request->accept;
    len = accept->len;

    if (len == 0 || len > NGX_HTTP_WEIR_VERSION_LATE_LEN) {
        ctx->result = weir_negotiate(&ctx->api->core, request, &ctx->what);
        return;
    }

    /* versions differ near the end, types near the beginning */

    late = &ctx->api->late[(len * 31 + (u_char) accept->data[len / 2] * 7
                            + (u_char) accept->data[len - ngx_min(len, 6)])
                           & (NGX_HTTP_WEIR_VERSION_LATE - 1)];

    if (late->len == len && ngx_memcmp(late->accept, accept->data, len) == 0) {
        ctx->result = late->result;
        ctx->what = late->what;
        return;
    }

    ctx->result = weir_negotiate(&ctx->api->core, request, &ctx->what);

    late->len = len;
    ngx_memcpy(late->accept, accept->data, len);
    late->result = ctx->result;
    late->what = ctx->what;
}


/*
 * The value of a request header; the values of several lines are joined by
 * commas (RFC 9110 section 5.3). data stays NULL if the header is absent.
 */

static ngx_int_t
ngx_http_weir_version_join(ngx_http_request_t *r, ngx_str_t *name,
    weir_str_t *value)
{
    u_char           *p;
    size_t            len;
    ngx_uint_t        i, lines;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h, *line;

    len = 0;
    lines = 0;
    line = NULL;

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (ngx_http_weir_version_is_named(&h[i], name)) {
                line = &h[i];
                len += h[i].value.len + 1;
                lines++;
            }
        }
    }

    if (lines == 0) {
        return NGX_OK;
    }

    if (lines == 1) {
        value->data = (char *) line->value.data;
        value->len = line->value.len;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value->data = (char *) p;
    value->len = len - 1;

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (ngx_http_weir_version_is_named(&h[i], name)) {
                p = ngx_cpymem(p, h[i].value.data, h[i].value.len);
                *p++ = ',';
            }
        }
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_http_weir_version_is_named(ngx_table_elt_t *h, ngx_str_t *name)
{
    return h->hash != 0 && h->key.len == name->len
           && ngx_strncasecmp(h->key.data, name->data, name->len) == 0;
}
