/*
 * Flags on which a response depends.
 *
 * A response that says
 *
 *     Weir-Vary-Flags: new_checkout
 *
 * is stored as if it varied by a request field "weir-flag-new_checkout", whose
 * value is the variant that weir_flag has chosen for the request.  So a response
 * that depends on no flag is stored once, whatever flags the location has.  A
 * field of that name that a client sends is not looked at.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/lookup/key/ngx_http_weir_cache_flags.h"
#include "cache/policy/tags.h"
#include "cache/policy/vary.h"
#include "flag/ngx_http_weir_flag.h"


#define NGX_HTTP_WEIR_CACHE_FLAG_FIELD  "weir-flag-"


static ngx_uint_t ngx_http_weir_cache_flags_is(weir_str_t field);
static ngx_http_weir_flag_t *ngx_http_weir_cache_flags_find(
    ngx_http_weir_cache_ctx_t *ctx, weir_str_t field);


static ngx_uint_t
ngx_http_weir_cache_flags_is(weir_str_t field)
{
    return field.len > sizeof(NGX_HTTP_WEIR_CACHE_FLAG_FIELD) - 1
           && ngx_memcmp(field.data, NGX_HTTP_WEIR_CACHE_FLAG_FIELD,
                         sizeof(NGX_HTTP_WEIR_CACHE_FLAG_FIELD) - 1)
              == 0;
}


/* Without regard to case, as for variables. */

static ngx_http_weir_flag_t *
ngx_http_weir_cache_flags_find(ngx_http_weir_cache_ctx_t *ctx, weir_str_t field)
{
    u_char      c, name[WEIR_FLAG_NAME_MAX];
    size_t      i, len, prefix;

    prefix = sizeof(NGX_HTTP_WEIR_CACHE_FLAG_FIELD) - 1;
    len = field.len - prefix;

    if (len > WEIR_FLAG_NAME_MAX) {
        return NULL;
    }

    for (i = 0; i < len; i++) {
        c = ngx_tolower((u_char) field.data[prefix + i]);
        name[i] = (c == '-' || c == '.') ? '_' : c;
    }

    return ngx_http_weir_flag_request_find(ctx->request, name, len);
}


ngx_uint_t
ngx_http_weir_cache_flags_value(ngx_http_weir_cache_ctx_t *ctx,
    weir_str_t *field, ngx_str_t *value)
{
    ngx_str_t              text;
    ngx_http_weir_flag_t  *flag;

    if (!ngx_http_weir_cache_flags_is(*field)) {
        return 0;
    }

    flag = ngx_http_weir_cache_flags_find(ctx, *field);

    if (flag == NULL
        || ngx_http_weir_flag_request(ctx->request, flag, value, &text)
           != NGX_OK)
    {
        /* no variant has such a name: nothing that is stored is found */
        ngx_str_set(value, "\1");
    }

    return 1;
}


ngx_int_t
ngx_http_weir_cache_flags_keep(ngx_http_weir_cache_ctx_t *ctx, weir_str_t list)
{
    size_t      pos;
    u_char     *p;
    weir_str_t  field;

    pos = 0;
    p = NULL;

    while (weir_vary_next(list, &pos, &field)) {

        if (!ngx_http_weir_cache_flags_is(field)) {
            continue;
        }

        if (p == NULL) {
            p = ngx_pnalloc(ctx->request->pool, list.len + 1);
            if (p == NULL) {
                return NGX_ERROR;
            }

            ctx->flags.data = p;
        }

        p = ngx_cpymem(p, field.data, field.len);
        *p++ = ',';
        ctx->flags.len = p - ctx->flags.data;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_weir_cache_flags_add(ngx_http_weir_cache_ctx_t *ctx,
    ngx_array_t *flags, ngx_array_t *vary)
{
    size_t       pos;
    u_char      *p;
    weir_str_t  *line, *all, name, field;
    ngx_uint_t   i;

    all = flags->elts;

    for (i = 0; i < flags->nelts; i++) {
        pos = 0;

        while (weir_tags_next(all[i], &pos, &name)) {
            field.len = sizeof(NGX_HTTP_WEIR_CACHE_FLAG_FIELD) - 1 + name.len;
            p = ngx_pnalloc(ctx->request->pool, field.len);
            line = ngx_array_push(vary);

            if (p == NULL || line == NULL) {
                return NGX_ERROR;
            }

            field.data = (char *) p;
            p = ngx_cpymem(p, NGX_HTTP_WEIR_CACHE_FLAG_FIELD,
                           sizeof(NGX_HTTP_WEIR_CACHE_FLAG_FIELD) - 1);
            ngx_memcpy(p, name.data, name.len);
            *line = field;

            if (ngx_http_weir_cache_flags_find(ctx, field) == NULL) {
                return NGX_DECLINED;
            }
        }
    }

    if (ctx->flags.len) {
        line = ngx_array_push(vary);
        if (line == NULL) {
            return NGX_ERROR;
        }

        line->data = (char *) ctx->flags.data;
        line->len = ctx->flags.len - 1;
    }

    return NGX_OK;
}
