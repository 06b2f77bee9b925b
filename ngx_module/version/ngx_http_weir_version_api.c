/* A weir_api: the data that requests need, derived from the whole block. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "http/ngx_http_weir.h"
#include "version/ngx_http_weir_version_api.h"
#include "version/ngx_http_weir_version_block.h"


static ngx_http_weir_version_api_t *ngx_http_weir_version_finish(
    ngx_conf_t *cf, ngx_str_t *name, ngx_http_weir_version_block_t *block);
static ngx_http_weir_version_api_t *ngx_http_weir_version_create_api(
    ngx_conf_t *cf, ngx_str_t *name, ngx_http_weir_version_block_t *block);
static ngx_int_t ngx_http_weir_version_finish_all_deprecated(ngx_conf_t *cf,
    ngx_http_weir_version_api_t *api, ngx_http_weir_version_block_t *block);
static ngx_int_t ngx_http_weir_version_finish_deprecated(ngx_conf_t *cf,
    ngx_http_weir_version_item_t *item,
    ngx_http_weir_version_deprecated_t *deprecated);
static ngx_int_t ngx_http_weir_version_finish_types(ngx_conf_t *cf,
    ngx_http_weir_version_api_t *api, ngx_str_t *media_type);


ngx_http_weir_version_api_t *
ngx_http_weir_version_parse_api(ngx_conf_t *cf, ngx_str_t *name)
{
    ngx_str_t                       api_name;
    ngx_http_weir_version_block_t   block;

    /* the lines of the block overwrite cf->args */

    api_name = *name;

    if (ngx_http_weir_version_read_block(cf, &block) != NGX_OK) {
        return NULL;
    }

    return ngx_http_weir_version_finish(cf, &api_name, &block);
}


/* Builds the data that requests need. */

static ngx_http_weir_version_api_t *
ngx_http_weir_version_finish(ngx_conf_t *cf, ngx_str_t *name,
    ngx_http_weir_version_block_t *block)
{
    u_char                        *p;
    ngx_int_t                      n;
    ngx_str_t                     *versions;
    ngx_http_weir_version_api_t   *api;
    ngx_http_weir_version_item_t  *item;

    if (block->media_type.len == 0 || block->versions.nelts == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"weir_api\" \"%V\" has no \"%s\"", name,
                           block->media_type.len ? "versions" : "media_type");
        return NULL;
    }

    versions = block->versions.elts;

    if (block->default_version.len == 0) {
        block->default_version = versions[block->versions.nelts - 1];
    }

    n = ngx_http_weir_version_find(&block->versions, &block->default_version);

    if (n == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "default \"%V\" of \"weir_api\" \"%V\" is not among"
                           " its versions", &block->default_version, name);
        return NULL;
    }

    api = ngx_http_weir_version_create_api(cf, name, block);

    if (api == NULL
        || ngx_http_weir_version_finish_types(cf, api, &block->media_type)
           != NGX_OK
        || ngx_http_weir_version_finish_all_deprecated(cf, api, block)
           != NGX_OK)
    {
        return NULL;
    }

    api->core.default_version = n;
    item = &api->items[n];

    if (item->gone_after_sunset) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "the default version \"%V\" of \"weir_api\" \"%V\""
                           " has sunset_action=gone: after its sunset requests"
                           " that name no version are answered with 410",
                           &item->name, name);
    }

    if (api->header.len) {
        p = ngx_pnalloc(cf->pool, api->header.len + 64);
        if (p == NULL) {
            return NULL;
        }

        api->unknown_version.data = (char *) p;
        api->unknown_version.len = ngx_sprintf(p,
                          "The %V header names a version that is not offered.",
                          &api->header) - p;
    }

    return api;
}


/* With what the block says of its versions; NULL: no memory. */

static ngx_http_weir_version_api_t *
ngx_http_weir_version_create_api(ngx_conf_t *cf, ngx_str_t *name,
    ngx_http_weir_version_block_t *block)
{
    ngx_str_t                     *versions;
    ngx_uint_t                     i;
    weir_str_t                    *names;
    ngx_http_weir_version_api_t   *api;
    ngx_http_weir_version_item_t  *item;

    api = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_version_api_t));
    names = ngx_pcalloc(cf->pool, block->versions.nelts * sizeof(weir_str_t));
    item = ngx_pcalloc(cf->pool, block->versions.nelts
                                 * sizeof(ngx_http_weir_version_item_t));

    if (api == NULL || names == NULL || item == NULL) {
        return NULL;
    }

    api->name = *name;
    api->header = block->header;
    api->items = item;
    api->core.media_type.data = (char *) block->media_type.data;
    api->core.media_type.len = block->media_type.len;
    api->core.versions = names;
    api->core.nversions = block->versions.nelts;

    versions = block->versions.elts;

    for (i = 0; i < block->versions.nelts; i++) {
        names[i].data = (char *) versions[i].data;
        names[i].len = versions[i].len;
        item[i].name = versions[i];
    }

    return api;
}


/* NGX_OK, or NGX_ERROR after an error was logged. */

static ngx_int_t
ngx_http_weir_version_finish_all_deprecated(ngx_conf_t *cf,
    ngx_http_weir_version_api_t *api, ngx_http_weir_version_block_t *block)
{
    ngx_int_t                            n;
    ngx_uint_t                           i;
    ngx_http_weir_version_deprecated_t  *deprecated;

    deprecated = block->deprecated.elts;

    for (i = 0; i < block->deprecated.nelts; i++) {

        n = ngx_http_weir_version_find(&block->versions,
                                       &deprecated[i].version);

        if (n == NGX_ERROR || api->items[n].deprecated) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "deprecated \"%V\" of \"weir_api\" \"%V\" %s",
                               &deprecated[i].version, &api->name,
                               n == NGX_ERROR ? "is not among its versions"
                                              : "is duplicate");
            return NGX_ERROR;
        }

        if (ngx_http_weir_version_finish_deprecated(cf, &api->items[n],
                                                    &deprecated[i])
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_version_finish_deprecated(ngx_conf_t *cf,
    ngx_http_weir_version_item_t *item,
    ngx_http_weir_version_deprecated_t *deprecated)
{
    u_char     *p;
    size_t      len;
    ngx_str_t  *link;

    link = &deprecated->link;
    len = 1 + NGX_TIME_T_LEN + sizeof("Wed, 31 Dec 1986 10:00:00 GMT") - 1
          + 2 * (sizeof("<>; rel=\"deprecation\", ") - 1 + link->len)
          + sizeof("Version  was retired on Wed, 31 Dec 1986 10:00:00 GMT.")
          + item->name.len;

    p = ngx_pnalloc(cf->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    item->deprecated = 1;
    item->gone_after_sunset = deprecated->gone;
    item->sunset = deprecated->sunset;

    item->deprecation.data = p;
    p = ngx_sprintf(p, "@%T", deprecated->since);
    item->deprecation.len = p - item->deprecation.data;

    if (item->sunset) {
        item->sunset_value.data = p;
        p = ngx_http_time(p, item->sunset);
        item->sunset_value.len = p - item->sunset_value.data;

        item->gone.data = (char *) p;
        p = ngx_sprintf(p, "Version %V was retired on %V.", &item->name,
                        &item->sunset_value);
        item->gone.len = (char *) p - item->gone.data;
    }

    if (link->len) {
        item->link.data = p;
        p = ngx_sprintf(p, "<%V>; rel=\"deprecation\"", link);

        if (item->sunset) {
            p = ngx_sprintf(p, ", <%V>; rel=\"sunset\"", link);
        }

        item->link.len = p - item->link.data;
    }

    return NGX_OK;
}


/* The types that label responses; a token needs no escapes in JSON. */

static ngx_int_t
ngx_http_weir_version_finish_types(ngx_conf_t *cf,
    ngx_http_weir_version_api_t *api, ngx_str_t *media_type)
{
    u_char                        *p;
    ngx_str_t                     *type;
    ngx_uint_t                     i;
    ngx_http_weir_version_item_t  *item;

    type = &api->unversioned;
    type->len = media_type->len + sizeof("+json") - 1;
    type->data = ngx_pnalloc(cf->pool, type->len);
    if (type->data == NULL) {
        return NGX_ERROR;
    }

    ngx_sprintf(type->data, "%V+json", media_type);

    for (i = 0; i < api->core.nversions; i++) {
        item = &api->items[i];

        item->offered.len = media_type->len + item->name.len
                            + sizeof("\".v+json\"") - 1;
        p = ngx_pnalloc(cf->pool, item->offered.len);
        if (p == NULL) {
            return NGX_ERROR;
        }

        item->offered.data = p;
        ngx_sprintf(p, "\"%V.v%V+json\"", media_type, &item->name);

        item->media_type.data = p + 1;
        item->media_type.len = item->offered.len - 2;
    }

    return NGX_OK;
}


/* "offered":["application/vnd.shop.v1+json", ...] */

const char *
ngx_http_weir_version_offered(ngx_http_request_t *r,
    ngx_http_weir_version_api_t *api)
{
    size_t                         len;
    u_char                        *data, *p;
    ngx_uint_t                     i;
    ngx_http_weir_version_item_t  *item;

    item = api->items;
    len = sizeof("\"offered\":[]");

    for (i = 0; i < api->core.nversions; i++) {
        len += item[i].offered.len + 1;
    }

    data = ngx_pnalloc(r->pool, len);
    if (data == NULL) {
        return NULL;
    }

    p = ngx_cpymem(data, "\"offered\":[", sizeof("\"offered\":[") - 1);

    for (i = 0; i < api->core.nversions; i++) {

        if (ngx_http_weir_version_is_gone(&item[i])) {
            continue;
        }

        if (p[-1] != '[') {
            *p++ = ',';
        }

        p = ngx_cpymem(p, item[i].offered.data, item[i].offered.len);
    }

    *p++ = ']';
    *p = '\0';

    return (const char *) data;
}
