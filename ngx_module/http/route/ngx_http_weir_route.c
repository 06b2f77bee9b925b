/* The names of routes; see ngx_http_weir_route.h. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "http/ngx_http_weir.h"
#include "http/route/ngx_http_weir_route.h"


ngx_str_t *
ngx_http_weir_route(ngx_http_request_t *r)
{
    ngx_http_weir_loc_conf_t  *wlcf;

    static ngx_str_t  other = ngx_string("_other");

    wlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_module);

    return wlcf->route.len ? &wlcf->route : &other;
}


char *
ngx_http_weir_route_set(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_loc_conf_t  *wlcf = conf;

    ngx_str_t  *value;

    if (wlcf->named) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (value[1].len == 0 || value[1].len > NGX_HTTP_WEIR_ROUTE_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid name \"%V\" in \"weir_route\"; it must have"
                           " 1 to %d bytes", &value[1],
                           NGX_HTTP_WEIR_ROUTE_MAX);
        return NGX_CONF_ERROR;
    }

    if (ngx_http_script_variables_count(&value[1])) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid name \"%V\" in \"weir_route\"; it must not"
                           " have variables", &value[1]);
        return NGX_CONF_ERROR;
    }

    wlcf->route = value[1];
    wlcf->named = 1;

    return NGX_CONF_OK;
}


/*
 * A location's configuration is created while cf->args still has the words of
 * its "location".  A longer name is cut, at the end of a UTF-8 sequence.
 */

ngx_int_t
ngx_http_weir_route_default(ngx_conf_t *cf, ngx_str_t *name)
{
    u_char      *p;
    ngx_str_t   *value;
    ngx_uint_t   n;

    ngx_str_null(name);

    if (cf->args == NULL || cf->args->nelts < 2) {
        return NGX_OK;
    }

    n = cf->args->nelts;
    value = cf->args->elts;

    if (value[0].len != sizeof("location") - 1
        || ngx_strncmp(value[0].data, "location", value[0].len) != 0)
    {
        return NGX_OK;
    }

    if (n == 2) {
        *name = value[1];

    } else {
        p = ngx_pnalloc(cf->pool, value[1].len + 1 + value[2].len);
        if (p == NULL) {
            return NGX_ERROR;
        }

        name->data = p;
        name->len = ngx_sprintf(p, "%V %V", &value[1], &value[2]) - p;
    }

    if (name->len > NGX_HTTP_WEIR_ROUTE_MAX) {
        name->len = NGX_HTTP_WEIR_ROUTE_MAX;

        while (name->len && (name->data[name->len] & 0xc0) == 0x80) {
            name->len--;
        }
    }

    return NGX_OK;
}
