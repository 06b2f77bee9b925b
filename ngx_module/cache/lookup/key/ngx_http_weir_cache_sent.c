/*
 * Request fields that the upstream receives as negotiated.
 *
 * An upstream behind weir_version varies by the field that names the version,
 * correctly.  If
 *
 *     proxy_set_header API-Version $weir_version;
 *
 * sets that field, a client that omits it and a client that names the default
 * version cause the same upstream request, so one stored response serves both.
 * The same holds for Accept if it is set to $weir_media_type.  A field that
 * reaches the upstream unchanged, or set to another value, is compared like any
 * other (RFC 9111 section 4.1).  A field that stands for a flag is no field of
 * the request (ngx_http_weir_cache_flags.c).
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/lookup/key/ngx_http_weir_cache_flags.h"
#include "cache/lookup/key/ngx_http_weir_cache_sent.h"
#include "http/ngx_http_weir_pass.h"
#include "version/ngx_http_weir_version.h"


static ngx_str_t  ngx_http_weir_cache_accept = ngx_string("accept");


void
ngx_http_weir_cache_sent_configure(ngx_conf_t *cf,
    ngx_http_weir_cache_loc_conf_t *clcf)
{
    ngx_str_t  field;

    ngx_str_null(&clcf->sent_version);
    clcf->sent_type = 0;

    if (clcf->zone == NULL
        || ngx_http_weir_version_field(cf, &field) != NGX_OK)
    {
        return;
    }

    if (field.len
        && (ngx_http_weir_pass_sets(cf, &field, "$weir_version")
            || ngx_http_weir_pass_sets(cf, &field, "${weir_version}")))
    {
        clcf->sent_version = field;
    }

    clcf->sent_type =
        ngx_http_weir_pass_sets(cf, &ngx_http_weir_cache_accept,
                                "$weir_media_type")
        || ngx_http_weir_pass_sets(cf, &ngx_http_weir_cache_accept,
                                   "${weir_media_type}");
}


ngx_uint_t
ngx_http_weir_cache_sent(ngx_http_weir_cache_ctx_t *ctx, weir_str_t *field,
    ngx_str_t *value)
{
    ngx_str_t  *version;

    if (ngx_http_weir_cache_flags_value(ctx, field, value)) {
        return 1;
    }

    version = &ctx->conf->sent_version;

    if (version->len && version->len == field->len
        && ngx_strncasecmp((u_char *) field->data, version->data, field->len)
           == 0)
    {
        return ngx_http_weir_version_get(ctx->request, value) == NGX_OK;
    }

    return ctx->conf->sent_type
           && field->len == ngx_http_weir_cache_accept.len
           && ngx_strncmp(field->data, ngx_http_weir_cache_accept.data,
                          field->len)
              == 0
           && ngx_http_weir_version_get_type(ctx->request, value) == NGX_OK;
}
