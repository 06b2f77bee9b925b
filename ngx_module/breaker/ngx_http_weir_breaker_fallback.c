/*
 * What requests get that the breaker has refused.
 *
 *     503        a problem document with Retry-After
 *     stale      a 503 is sent, and the cache's filter puts a stored response in
 *                its place, if that may be served stale
 *     @location  the request goes on there
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "breaker/ngx_http_weir_breaker.h"
#include "http/ngx_http_weir.h"
#include "record/ngx_http_weir_record.h"


static ngx_int_t ngx_http_weir_breaker_fallback_503(ngx_http_request_t *r,
    ngx_msec_t retry_after);


static ngx_str_t  ngx_http_weir_breaker_retry_after =
                                                  ngx_string("Retry-After");


char *
ngx_http_weir_breaker_fallback_set(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_weir_breaker_loc_conf_t  *blcf = conf;

    ngx_str_t                         *value;
    ngx_http_weir_breaker_fallback_t  *fallback;

    if (blcf->fallback != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    fallback = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_breaker_fallback_t));
    if (fallback == NULL
        || ngx_http_weir_place(cf, &fallback->place) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (ngx_strcmp(value[1].data, "503") == 0) {
        fallback->how = NGX_HTTP_WEIR_BREAKER_FALLBACK_503;

    } else if (ngx_strcmp(value[1].data, "stale") == 0) {
        fallback->how = NGX_HTTP_WEIR_BREAKER_FALLBACK_STALE;

    } else if (value[1].len > 1 && value[1].data[0] == '@') {
        fallback->how = NGX_HTTP_WEIR_BREAKER_FALLBACK_LOCATION;
        fallback->location = value[1];

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"weir_breaker_fallback\";"
                           " it must be 503, stale or the name of a location,"
                           " such as @busy", &value[1]);
        return NGX_CONF_ERROR;
    }

    blcf->fallback = fallback;

    return NGX_CONF_OK;
}


char *
ngx_http_weir_breaker_fallback_merge(ngx_conf_t *cf,
    ngx_http_weir_breaker_loc_conf_t *prev,
    ngx_http_weir_breaker_loc_conf_t *conf)
{
    ngx_uint_t                          own;
    ngx_http_core_loc_conf_t           *clcf;
    ngx_http_weir_loc_conf_t           *wlcf;
    ngx_http_weir_breaker_named_t      *named;
    ngx_http_weir_breaker_main_conf_t  *bmcf;

    own = (conf->fallback != NGX_CONF_UNSET_PTR);

    ngx_conf_merge_ptr_value(conf->fallback, prev->fallback, NULL);

    if (conf->fallback == NULL) {
        return NGX_CONF_OK;
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (conf->breaker == NULL) {

        if (own && clcf->name.len && clcf->locations == NULL) {
            ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                          "\"weir_breaker_fallback\" has no effect in location"
                          " \"%V\", which has no \"weir_breaker\", in %V",
                          &clcf->name, &conf->fallback->place);
        }

        return NGX_CONF_OK;
    }

    if (conf->fallback->how == NGX_HTTP_WEIR_BREAKER_FALLBACK_STALE) {
        wlcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_weir_module);
        wlcf->breaker_stale = own ? 2 : 1;
    }

    if (conf->fallback->how != NGX_HTTP_WEIR_BREAKER_FALLBACK_LOCATION
        || clcf->handler == NULL)
    {
        return NGX_CONF_OK;
    }

    bmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_breaker_module);

    named = ngx_array_push(&bmcf->named);
    if (named == NULL) {
        return NGX_CONF_ERROR;
    }

    named->fallback = conf->fallback;
    named->server = ngx_http_conf_get_module_srv_conf(cf,
                                                      ngx_http_core_module);

    return NGX_CONF_OK;
}


ngx_int_t
ngx_http_weir_breaker_fallback_check(ngx_conf_t *cf)
{
    ngx_str_t                          *name;
    ngx_uint_t                          i;
    ngx_http_core_loc_conf_t          **clcf;
    ngx_http_weir_breaker_named_t      *named;
    ngx_http_weir_breaker_main_conf_t  *bmcf;

    bmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_breaker_module);
    named = bmcf->named.elts;

    for (i = 0; i < bmcf->named.nelts; i++) {

        name = &named[i].fallback->location;
        clcf = named[i].server->named_locations;

        while (clcf && *clcf
               && ((*clcf)->name.len != name->len
                   || ngx_strncmp((*clcf)->name.data, name->data, name->len)
                      != 0))
        {
            clcf++;
        }

        if (clcf == NULL || *clcf == NULL) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"weir_breaker_fallback\" names the location"
                          " \"%V\", which the server does not have, in %V",
                          name, &named[i].fallback->place);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_weir_breaker_fallback(ngx_http_request_t *r,
    ngx_http_weir_breaker_loc_conf_t *blcf, ngx_msec_t retry_after)
{
    ngx_http_weir_record_event(r, "weir.breaker.refused");

    if (blcf->fallback
        && blcf->fallback->how == NGX_HTTP_WEIR_BREAKER_FALLBACK_LOCATION)
    {
        (void) ngx_http_named_location(r, &blcf->fallback->location);
        ngx_http_finalize_request(r, NGX_DONE);

        return NGX_DONE;
    }

    return ngx_http_weir_breaker_fallback_503(r, retry_after);
}


/*
 * The response does not contain the key: it may be an internal address, or text
 * of another client.
 */

static ngx_int_t
ngx_http_weir_breaker_fallback_503(ngx_http_request_t *r,
    ngx_msec_t retry_after)
{
    ngx_str_t        value;
    weir_problem_t   problem;

    value.data = ngx_pnalloc(r->pool, NGX_TIME_T_LEN);
    if (value.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    /* RFC 9110 section 10.2.3: whole seconds */

    value.len = ngx_sprintf(value.data, "%T",
                            (time_t) ((retry_after + 999) / 1000))
                - value.data;

    if (ngx_http_weir_add_header(r, &ngx_http_weir_breaker_retry_after, &value)
        == NULL)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_memzero(&problem, sizeof(weir_problem_t));
    problem.status = NGX_HTTP_SERVICE_UNAVAILABLE;
    problem.title = "Service unavailable";
    problem.detail = WEIR_STR("The service has failed repeatedly and is not"
                              " called at present. Retry after the time in"
                              " Retry-After.");

    return ngx_http_weir_send_problem(r, &problem);
}
