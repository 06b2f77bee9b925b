/* The configuration of weir_limit: its defaults, and inheritance. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "http/ngx_http_weir.h"
#include "limit/ngx_http_weir_limit_zone.h"


/* Bounds of concurrent=auto. */
#define NGX_HTTP_WEIR_LIMIT_MIN  10
#define NGX_HTTP_WEIR_LIMIT_MAX  1000


static ngx_http_weir_limit_t *ngx_http_weir_limit_create(ngx_conf_t *cf);
static ngx_int_t ngx_http_weir_limit_bounds(ngx_conf_t *cf,
    ngx_http_weir_limit_t *limit);
static ngx_int_t ngx_http_weir_limit_check_one(ngx_conf_t *cf,
    ngx_http_weir_limit_t *limit);


void *
ngx_http_weir_limit_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_weir_limit_main_conf_t  *lmcf;

    lmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_limit_main_conf_t));
    if (lmcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&lmcf->limits, cf->pool, 4,
                       sizeof(ngx_http_weir_limit_t *))
        != NGX_OK
        || ngx_array_init(&lmcf->zones, cf->pool, 2, sizeof(ngx_shm_zone_t *))
           != NGX_OK
        || ngx_array_init(&lmcf->keys, cf->pool, 4,
                          sizeof(ngx_http_weir_limit_use_t))
           != NGX_OK)
    {
        return NULL;
    }

    return lmcf;
}


void *
ngx_http_weir_limit_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_weir_limit_loc_conf_t  *llcf;

    llcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_limit_loc_conf_t));
    if (llcf == NULL) {
        return NULL;
    }

    llcf->limit = NGX_CONF_UNSET_PTR;
    llcf->priority = NGX_CONF_UNSET_PTR;

    return llcf;
}


char *
ngx_http_weir_limit_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_weir_limit_loc_conf_t  *prev = parent;
    ngx_http_weir_limit_loc_conf_t  *conf = child;

    ngx_uint_t                 own, urgent;
    ngx_http_core_loc_conf_t  *clcf;
    ngx_http_weir_loc_conf_t  *wlcf;

    own = (conf->limit != NGX_CONF_UNSET_PTR);
    urgent = (conf->priority != NGX_CONF_UNSET_PTR);

    ngx_conf_merge_ptr_value(conf->limit, prev->limit, NULL);
    ngx_conf_merge_ptr_value(conf->priority, prev->priority, NULL);

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (conf->limit == NULL) {

        if (urgent && clcf->handler && clcf->locations == NULL) {
            ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                          "\"weir_priority\" has no effect in location \"%V\","
                          " which has no \"weir_limit\"", &clcf->name);
        }

        return NGX_CONF_OK;
    }

    wlcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_weir_module);
    wlcf->limit = 1;

    if (own && ngx_http_weir_is_idle(clcf)) {
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "\"weir_limit\" has no effect in location \"%V\","
                      " which has no *_pass, in %V", &clcf->name,
                      &conf->limit->place);
    }

    return ngx_http_weir_limit_key_merge(cf, prev, conf);
}


char *
ngx_http_weir_limit_set(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_limit_loc_conf_t  *llcf = conf;

    ngx_str_t              *value;
    ngx_uint_t              i, given;
    ngx_http_weir_limit_t  *limit;

    if (llcf->limit != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {
        llcf->limit = NULL;
        return NGX_CONF_OK;
    }

    limit = ngx_http_weir_limit_create(cf);
    if (limit == NULL) {
        return NGX_CONF_ERROR;
    }

    given = 0;

    for (i = 1; i < cf->args->nelts; i++) {
        if (ngx_http_weir_limit_parameter_read(cf, limit, &value[i], &given)
            != NGX_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    if (limit->zone == NULL
        || (limit->settings.concurrent == 0 && !limit->adaptive))
    {
        return "must have zone=name and concurrent=number or auto, or be"
               " \"off\"";
    }

    if (ngx_http_weir_limit_bounds(cf, limit) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    llcf->limit = limit;

    return NGX_CONF_OK;
}


/* The bounds of concurrent=auto, and the reserved slots; NGX_OK or NGX_ERROR. */

static ngx_int_t
ngx_http_weir_limit_bounds(ngx_conf_t *cf, ngx_http_weir_limit_t *limit)
{
    uint32_t                  n, reserved, least;
    weir_slots_settings_t    *settings;

    settings = &limit->settings;
    reserved = 0;

    for (n = 0; n < settings->nflows; n++) {
        reserved += settings->flows[n].reserve;
    }

    if (!limit->adaptive && (settings->min || settings->max)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "min= and max= of \"weir_limit\" are for"
                           " concurrent=auto");
        return NGX_ERROR;
    }

    if (limit->adaptive) {
        if (settings->min == 0) {
            settings->min = ngx_max(NGX_HTTP_WEIR_LIMIT_MIN, reserved + 1);
        }

        if (settings->max == 0) {
            settings->max = ngx_max(NGX_HTTP_WEIR_LIMIT_MAX, settings->min);
        }

        if (settings->min > settings->max) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "min=%uD of \"weir_limit\" is more than max=%uD",
                               settings->min, settings->max);
            return NGX_ERROR;
        }
    }

    least = limit->adaptive ? settings->min : settings->concurrent;

    if (reserved >= least) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"weir_limit\" reserves %uD slots of %uD; at least"
                           " one must be left for other requests", reserved,
                           least);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* With its defaults; NULL: no memory. */

static ngx_http_weir_limit_t *
ngx_http_weir_limit_create(ngx_conf_t *cf)
{
    ngx_http_weir_limit_t            *limit, **list;
    ngx_http_weir_limit_main_conf_t  *lmcf;

    lmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_limit_module);
    limit = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_limit_t));
    list = ngx_array_push(&lmcf->limits);

    if (limit == NULL || list == NULL) {
        return NULL;
    }

    *list = limit;

    if (ngx_http_weir_place(cf, &limit->place) != NGX_OK) {
        return NULL;
    }

    limit->settings.queue = 50;
    limit->settings.wait = 100;

    return limit;
}


char *
ngx_http_weir_limit_priority(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_limit_loc_conf_t  *llcf = conf;

    ngx_str_t  *value, late;

    if (llcf->priority != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_http_weir_late_variable(&value[1], &late)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"weir_priority\": \"$%V\""
                           " has no value before the request is passed",
                           &value[1], &late);
        return NGX_CONF_ERROR;
    }

    llcf->priority = ngx_http_weir_compile(cf, &value[1]);

    return llcf->priority ? NGX_CONF_OK : NGX_CONF_ERROR;
}


ngx_int_t
ngx_http_weir_limit_check(ngx_conf_t *cf)
{
    ngx_uint_t                         i;
    ngx_http_weir_limit_t            **limit;
    ngx_http_weir_limit_main_conf_t   *lmcf;

    lmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_limit_module);
    limit = lmcf->limits.elts;

    for (i = 0; i < lmcf->limits.nelts; i++) {
        if (limit[i]->zone
            && ngx_http_weir_limit_check_one(cf, limit[i]) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_limit_check_one(ngx_conf_t *cf, ngx_http_weir_limit_t *limit)
{
    uint32_t    i, slots;
    ngx_uint_t  room;

    if (limit->zone->data == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "unknown zone \"%V\" in \"weir_limit\": no"
                      " \"weir_limit_zone\" of that name in %V",
                      &limit->zone->shm.name, &limit->place);
        return NGX_ERROR;
    }

    room = ngx_http_weir_limit_zone_room(limit->zone->shm.size);

    slots = limit->adaptive ? limit->settings.max : limit->settings.concurrent;

    if (slots + limit->settings.queue > room) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"weir_limit_zone\" \"%V\" has room for %ui requests,"
                      " but %uD slots and queue=%uD of \"weir_limit\" need"
                      " more: make it larger, in %V", &limit->zone->shm.name,
                      room, slots, limit->settings.queue, &limit->place);
        return NGX_ERROR;
    }

    for (i = 0; i < limit->settings.nflows; i++) {
        if (!(limit->used & ((ngx_uint_t) 1 << i))) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"weir_limit\" reserves slots for \"%V\", but no"
                          " location with a \"weir_limit\" of zone \"%V\" and a"
                          " *_pass has that \"weir_route\" or name, in %V",
                          &limit->flows[i], &limit->zone->shm.name,
                          &limit->place);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}
