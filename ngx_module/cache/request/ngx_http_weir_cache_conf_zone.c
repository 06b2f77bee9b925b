/* weir_cache_zone, and weir_cache, which names a zone. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/invalidation/ngx_http_weir_cache_invalidation.h"
#include "cache/request/ngx_http_weir_cache_request.h"


static char *ngx_http_weir_cache_conf_zone_level2(ngx_conf_t *cf,
    ngx_http_weir_cache_zone_t *zone);
static ngx_http_weir_cache_zone_t *ngx_http_weir_cache_conf_zone_find(
    ngx_http_weir_cache_main_conf_t *cmcf, ngx_str_t *name);


char *
ngx_http_weir_cache_conf_zone_set(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_weir_cache_main_conf_t  *cmcf = conf;

    ssize_t                       size;
    ngx_str_t                    *value;
    ngx_http_weir_cache_zone_t   *zone, **zones;

    value = cf->args->elts;

    if (value[1].len == 0 || ngx_strcmp(value[1].data, "off") == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid name \"%V\" in \"weir_cache_zone\"",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    if (ngx_http_weir_cache_conf_zone_find(cmcf, &value[1])) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "duplicate \"weir_cache_zone\" \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    size = ngx_parse_size(&value[2]);

    if (size == NGX_ERROR || size < (ssize_t) (8 * ngx_pagesize)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid size \"%V\" in \"weir_cache_zone\"; it must"
                           " be like 64m or 512k, and at least %uzk with one"
                           " worker process", &value[2],
                           ngx_http_weir_cache_zone_least(1,
                                &ngx_http_weir_cache_invalidation_tenant)
                           / 1024);
        return NGX_CONF_ERROR;
    }

    zone = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_cache_zone_t));
    zones = ngx_array_push(&cmcf->zones);

    if (zone == NULL || zones == NULL) {
        return NGX_CONF_ERROR;
    }

    *zones = zone;
    zone->name = value[1];
    zone->staleness = NGX_MAX_INT_T_VALUE;
    zone->cycle = cf->cycle;
    zone->tenant = &ngx_http_weir_cache_invalidation_tenant;

    zone->shm_zone = ngx_shared_memory_add(cf, &value[1], size,
                                           &ngx_http_weir_cache_module);
    if (zone->shm_zone == NULL) {
        return NGX_CONF_ERROR;
    }

    zone->shm_zone->init = ngx_http_weir_cache_zone_init;
    zone->shm_zone->data = zone;

    return ngx_http_weir_cache_conf_zone_level2(cf, zone);
}


/* redis=name and secret_file=path, in any order. */

static char *
ngx_http_weir_cache_conf_zone_level2(ngx_conf_t *cf,
    ngx_http_weir_cache_zone_t *zone)
{
    ngx_str_t   *value, redis, file;
    ngx_uint_t   i;

    value = cf->args->elts;
    ngx_str_null(&redis);
    ngx_str_null(&file);

    for (i = 3; i < cf->args->nelts; i++) {

        if (redis.len == 0 && value[i].len > 6
            && ngx_strncmp(value[i].data, "redis=", 6) == 0)
        {
            redis.data = value[i].data + 6;
            redis.len = value[i].len - 6;
            continue;
        }

        if (file.len == 0 && value[i].len > 12
            && ngx_strncmp(value[i].data, "secret_file=", 12) == 0)
        {
            file.data = value[i].data + 12;
            file.len = value[i].len - 12;
            continue;
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\" in \"weir_cache_zone\"; it"
                           " takes redis=name and secret_file=path, each once",
                           &value[i]);
        return NGX_CONF_ERROR;
    }

    if (redis.len) {
        zone->redis = ngx_http_weir_redis_get(cf, &redis);

        if (zone->redis == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    if (file.len == 0) {
        return NGX_CONF_OK;
    }

    if (zone->redis == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"weir_cache_zone\" with secret_file= needs"
                           " redis=, which \"%V\" does not have", &zone->name);
        return NGX_CONF_ERROR;
    }

    return ngx_http_weir_cache_secret_read(cf, zone, &file);
}


static ngx_http_weir_cache_zone_t *
ngx_http_weir_cache_conf_zone_find(ngx_http_weir_cache_main_conf_t *cmcf,
    ngx_str_t *name)
{
    ngx_uint_t                    i;
    ngx_http_weir_cache_zone_t  **zones;

    zones = cmcf->zones.elts;

    for (i = 0; i < cmcf->zones.nelts; i++) {
        if (zones[i]->name.len == name->len
            && ngx_strncmp(zones[i]->name.data, name->data, name->len) == 0)
        {
            return zones[i];
        }
    }

    return NULL;
}


char *
ngx_http_weir_cache_conf_zone_set_cache(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_weir_cache_loc_conf_t  *clcf = conf;

    ngx_str_t                        *value;
    ngx_http_weir_cache_main_conf_t  *cmcf;

    if (clcf->zone != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {
        clcf->zone = NULL;
        return NGX_CONF_OK;
    }

    clcf->l1 = 1;

    if (cf->args->nelts == 3) {

        if (ngx_strcmp(value[2].data, "l1=off") == 0) {
            clcf->l1 = 0;

        } else if (ngx_strcmp(value[2].data, "l1=on") != 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\" in \"weir_cache\"; it"
                               " takes l1=on or l1=off", &value[2]);
            return NGX_CONF_ERROR;
        }
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_cache_module);

    clcf->zone = ngx_http_weir_cache_conf_zone_find(cmcf, &value[1]);

    if (clcf->zone == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "unknown zone \"%V\" in \"weir_cache\": no"
                           " \"weir_cache_zone\" of that name comes before it",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    if (!clcf->l1 && clcf->zone->redis == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"weir_cache\" with l1=off needs a zone with"
                           " redis=, which \"%V\" does not have", &value[1]);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}
