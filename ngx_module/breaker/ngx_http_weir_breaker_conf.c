/* The breaker's configuration: weir_breaker, its defaults, and inheritance. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "breaker/ngx_http_weir_breaker.h"
#include "http/ngx_http_weir.h"


static ngx_http_weir_breaker_t *ngx_http_weir_breaker_create(ngx_conf_t *cf);


void *
ngx_http_weir_breaker_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_weir_breaker_main_conf_t  *bmcf;

    bmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_breaker_main_conf_t));
    if (bmcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&bmcf->breakers, cf->pool, 4,
                       sizeof(ngx_http_weir_breaker_t *))
        != NGX_OK
        || ngx_array_init(&bmcf->keys, cf->pool, 4,
                          sizeof(ngx_http_weir_breaker_use_t))
           != NGX_OK
        || ngx_array_init(&bmcf->zones, cf->pool, 4, sizeof(ngx_shm_zone_t *))
           != NGX_OK
        || ngx_array_init(&bmcf->named, cf->pool, 4,
                          sizeof(ngx_http_weir_breaker_named_t))
           != NGX_OK
        || ngx_array_init(&bmcf->inits, cf->pool, 4,
                          sizeof(ngx_http_weir_breaker_init_t))
           != NGX_OK)
    {
        return NULL;
    }

    return bmcf;
}


void *
ngx_http_weir_breaker_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_weir_breaker_loc_conf_t  *blcf;

    blcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_breaker_loc_conf_t));
    if (blcf == NULL) {
        return NULL;
    }

    blcf->breaker = NGX_CONF_UNSET_PTR;
    blcf->fallback = NGX_CONF_UNSET_PTR;

    return blcf;
}


char *
ngx_http_weir_breaker_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child)
{
    ngx_http_weir_breaker_loc_conf_t  *prev = parent;
    ngx_http_weir_breaker_loc_conf_t  *conf = child;

    ngx_uint_t                 own;
    ngx_http_core_loc_conf_t  *clcf;
    ngx_http_weir_loc_conf_t  *wlcf;

    own = (conf->breaker != NGX_CONF_UNSET_PTR);

    ngx_conf_merge_ptr_value(conf->breaker, prev->breaker, NULL);

    if (ngx_http_weir_breaker_fallback_merge(cf, prev, conf) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    if (conf->breaker == NULL) {
        return NGX_CONF_OK;
    }

    wlcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_weir_module);
    wlcf->breaker = 1;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (own && ngx_http_weir_is_idle(clcf)) {
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "\"weir_breaker\" has no effect in location \"%V\","
                      " which has no *_pass, in %V", &clcf->name,
                      &conf->breaker->place);
    }

    if (ngx_http_weir_breaker_merge_key(cf, prev, conf) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    conf->name.hash = ngx_crc32_short(conf->name.text.data,
                                      conf->name.text.len);

    return NGX_CONF_OK;
}


char *
ngx_http_weir_breaker_set(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_breaker_loc_conf_t  *blcf = conf;

    ngx_str_t                *value;
    ngx_uint_t                i, given;
    ngx_http_weir_breaker_t  *breaker;

    if (blcf->breaker != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {
        blcf->breaker = NULL;
        return NGX_CONF_OK;
    }

    breaker = ngx_http_weir_breaker_create(cf);
    if (breaker == NULL) {
        return NGX_CONF_ERROR;
    }

    given = 0;

    for (i = 1; i < cf->args->nelts; i++) {
        if (ngx_http_weir_breaker_parameter_read(cf, breaker, &value[i], &given)
            != NGX_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    if (breaker->zone == NULL) {
        return "must have zone=name, or be \"off\"";
    }

    if (breaker->settings.slow_ratio && breaker->slow == 0) {
        return "must have slow=time with slow_ratio=";
    }

    if (breaker->settings.max_open
        && breaker->settings.max_open < breaker->settings.open)
    {
        return "must have max_open= not below open=";
    }

    /* counting=window needs no ratio unless one is configured */

    if (breaker->settings.ratio == UINT32_MAX) {
        breaker->settings.ratio =
               (breaker->settings.counting == WEIR_BREAKER_COUNT_ROW) ? 500 : 0;
    }

    if (breaker->settings.min == UINT32_MAX) {
        breaker->settings.min =
                (breaker->settings.counting == WEIR_BREAKER_COUNT_ROW) ? 20 : 0;
    }

    blcf->breaker = breaker;

    return NGX_CONF_OK;
}


/* With its defaults; NULL: no memory. */

static ngx_http_weir_breaker_t *
ngx_http_weir_breaker_create(ngx_conf_t *cf)
{
    ngx_http_weir_breaker_t            *breaker, **list;
    ngx_http_weir_breaker_main_conf_t  *bmcf;

    bmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_breaker_module);
    breaker = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_breaker_t));
    list = ngx_array_push(&bmcf->breakers);

    if (breaker == NULL || list == NULL) {
        return NULL;
    }

    *list = breaker;

    if (ngx_http_weir_place(cf, &breaker->place) != NGX_OK) {
        return NULL;
    }

    breaker->settings.counting = WEIR_BREAKER_COUNT_ROW;
    breaker->settings.failures = 5;
    breaker->settings.window = 10000;
    breaker->settings.ratio = UINT32_MAX;
    breaker->settings.min = UINT32_MAX;
    breaker->settings.open = 5000;
    breaker->settings.probes = 1;
    breaker->on = NGX_HTTP_WEIR_BREAKER_ON_ERROR
                  |NGX_HTTP_WEIR_BREAKER_ON_TIMEOUT
                  |NGX_HTTP_WEIR_BREAKER_ON_500
                  |NGX_HTTP_WEIR_BREAKER_ON_502
                  |NGX_HTTP_WEIR_BREAKER_ON_503
                  |NGX_HTTP_WEIR_BREAKER_ON_504;

    return breaker;
}


ngx_int_t
ngx_http_weir_breaker_check_zones(ngx_conf_t *cf)
{
    ngx_uint_t                          i;
    ngx_http_weir_breaker_t           **breaker;
    ngx_http_weir_breaker_main_conf_t  *bmcf;

    bmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_breaker_module);
    breaker = bmcf->breakers.elts;

    for (i = 0; i < bmcf->breakers.nelts; i++) {
        if (breaker[i]->zone && breaker[i]->zone->data == NULL) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "unknown zone \"%V\" in \"weir_breaker\": no"
                          " \"weir_breaker_zone\" of that name in %V",
                          &breaker[i]->zone->shm.name, &breaker[i]->place);
            return NGX_ERROR;
        }

        if (breaker[i]->settings.hint
            && ngx_http_weir_breaker_zone_redis(breaker[i]->zone) == NULL)
        {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"weir_breaker\" with share=hint needs redis= of its"
                          " \"weir_breaker_zone\" \"%V\", in %V",
                          &breaker[i]->zone->shm.name, &breaker[i]->place);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}
