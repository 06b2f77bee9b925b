/*
 * weir_cache: responses of the upstream kept in shared memory and in Redis.
 * What a request does here is told in ngx_http_weir_cache.h.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/ngx_http_weir_cache.h"


typedef struct {
    ngx_array_t                  zones;  /* ngx_http_weir_cache_zone_t * */
} ngx_http_weir_cache_main_conf_t;


static ngx_int_t ngx_http_weir_cache_status_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_weir_cache_add_variables(ngx_conf_t *cf);
static void *ngx_http_weir_cache_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_weir_cache_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_weir_cache_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static char *ngx_http_weir_cache_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_weir_cache_directive(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static ngx_http_weir_cache_zone_t *ngx_http_weir_cache_find_zone(
    ngx_http_weir_cache_main_conf_t *cmcf, ngx_str_t *name);
static char *ngx_http_weir_cache_valid(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_weir_cache_set_heuristic(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static char *ngx_http_weir_cache_control_headers(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static ngx_int_t ngx_http_weir_cache_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_weir_cache_init_process(ngx_cycle_t *cycle);
static void ngx_http_weir_cache_exit_process(ngx_cycle_t *cycle);


static ngx_conf_bitmask_t  ngx_http_weir_cache_ignore[] = {
    { ngx_string("Cache-Control"), NGX_HTTP_WEIR_CACHE_IGNORE_CACHE_CONTROL },
    { ngx_string("Expires"), NGX_HTTP_WEIR_CACHE_IGNORE_EXPIRES },
    { ngx_string("Set-Cookie"), NGX_HTTP_WEIR_CACHE_IGNORE_SET_COOKIE },
    { ngx_string("Vary"), NGX_HTTP_WEIR_CACHE_IGNORE_VARY },
    { ngx_null_string, 0 }
};


static ngx_conf_bitmask_t  ngx_http_weir_cache_use_stale[] = {
    { ngx_string("off"), NGX_CONF_BITMASK_SET },
    { ngx_string("error"), NGX_HTTP_WEIR_CACHE_STALE_ERROR },
    { ngx_string("timeout"), NGX_HTTP_WEIR_CACHE_STALE_TIMEOUT },
    { ngx_string("updating"), NGX_HTTP_WEIR_CACHE_STALE_UPDATING },
    { ngx_string("breaker"), NGX_HTTP_WEIR_CACHE_STALE_BREAKER },
    { ngx_string("http_500"), NGX_HTTP_WEIR_CACHE_STALE_500 },
    { ngx_string("http_502"), NGX_HTTP_WEIR_CACHE_STALE_502 },
    { ngx_string("http_503"), NGX_HTTP_WEIR_CACHE_STALE_503 },
    { ngx_string("http_504"), NGX_HTTP_WEIR_CACHE_STALE_504 },
    { ngx_string("http_5xx"), NGX_HTTP_WEIR_CACHE_STALE_500
                              |NGX_HTTP_WEIR_CACHE_STALE_502
                              |NGX_HTTP_WEIR_CACHE_STALE_503
                              |NGX_HTTP_WEIR_CACHE_STALE_504 },
    { ngx_null_string, 0 }
};


/* more than that are not counted */

static ngx_conf_num_bounds_t  ngx_http_weir_cache_min_uses = {
    ngx_conf_check_num_bounds, 1, 255
};


static ngx_command_t  ngx_http_weir_cache_commands[] = {

    { ngx_string("weir_cache_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE23,
      ngx_http_weir_cache_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("weir_cache"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE12,
      ngx_http_weir_cache_directive,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("weir_cache_key"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_set_complex_value_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_weir_cache_loc_conf_t, key),
      NULL },

    { ngx_string("weir_cache_valid"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_weir_cache_valid,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("weir_cache_bypass"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_set_predicate_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_weir_cache_loc_conf_t, bypass),
      NULL },

    { ngx_string("weir_cache_no_store"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_set_predicate_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_weir_cache_loc_conf_t, no_store),
      NULL },

    { ngx_string("weir_cache_max_size"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_weir_cache_loc_conf_t, max_size),
      NULL },

    { ngx_string("weir_cache_min_uses"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_weir_cache_loc_conf_t, min_uses),
      &ngx_http_weir_cache_min_uses },

    { ngx_string("weir_cache_use_stale"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_conf_set_bitmask_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_weir_cache_loc_conf_t, use_stale),
      &ngx_http_weir_cache_use_stale },

    { ngx_string("weir_cache_heuristic"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_weir_cache_set_heuristic,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("weir_cache_keep"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_sec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_weir_cache_loc_conf_t, keep),
      NULL },

    { ngx_string("weir_cache_lock_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_weir_cache_loc_conf_t, lock_timeout),
      NULL },

    { ngx_string("weir_cache_control_headers"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_weir_cache_control_headers,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("weir_cache_ignore_headers"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_conf_set_bitmask_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_weir_cache_loc_conf_t, ignore),
      &ngx_http_weir_cache_ignore },

    { ngx_string("weir_cache_tags"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_set_complex_value_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_weir_cache_loc_conf_t, tags),
      NULL },

    { ngx_string("weir_cache_staleness"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_weir_cache_set_staleness,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("weir_cache_invalidate"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_weir_cache_loc_conf_t, invalidate),
      NULL },

    { ngx_string("weir_cache_purge"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_weir_cache_loc_conf_t, purge),
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_weir_cache_module_ctx = {
    ngx_http_weir_cache_add_variables,     /* preconfiguration */
    ngx_http_weir_cache_init,              /* postconfiguration */

    ngx_http_weir_cache_create_main_conf,  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_weir_cache_create_loc_conf,   /* create location configuration */
    ngx_http_weir_cache_merge_loc_conf     /* merge location configuration */
};


ngx_module_t  ngx_http_weir_cache_module = {
    NGX_MODULE_V1,
    &ngx_http_weir_cache_module_ctx,       /* module context */
    ngx_http_weir_cache_commands,          /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_weir_cache_init_process,      /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_weir_cache_exit_process,      /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_str_t  ngx_http_weir_cache_cdn_cache_control =
                                            ngx_string("CDN-Cache-Control");

static ngx_array_t  ngx_http_weir_cache_targeted = {
    &ngx_http_weir_cache_cdn_cache_control, 1, sizeof(ngx_str_t), 1, NULL
};


static ngx_str_t  ngx_http_weir_cache_default_key =
                                     ngx_string("$scheme$host$request_uri");


ngx_array_t *
ngx_http_weir_cache_zones(ngx_http_request_t *r)
{
    ngx_http_weir_cache_main_conf_t  *cmcf;

    cmcf = ngx_http_get_module_main_conf(r, ngx_http_weir_cache_module);

    return &cmcf->zones;
}


static ngx_int_t
ngx_http_weir_cache_status_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t                  *name;
    ngx_http_weir_cache_ctx_t  *ctx;

    static ngx_str_t  names[] = {
        ngx_null_string,             /* NONE */
        ngx_string("HIT"),
        ngx_string("MISS"),
        ngx_string("MISS"),          /* VARY_MISS */
        ngx_string("EXPIRED"),
        ngx_string("BYPASS"),        /* REQUEST */
        ngx_string("BYPASS"),
        ngx_string("BYPASS"),        /* METHOD */
        ngx_string("STALE"),
        ngx_string("REVALIDATED")
    };

    ctx = ngx_http_get_module_ctx(r, ngx_http_weir_cache_module);

    if (ctx == NULL || ctx->status == NGX_HTTP_WEIR_CACHE_NONE) {
        v->not_found = 1;
        return NGX_OK;
    }

    name = &names[ctx->status];

    v->data = name->data;
    v->len = name->len;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_cache_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var;

    static ngx_str_t  name = ngx_string("weir_cache_status");

    var = ngx_http_add_variable(cf, &name, NGX_HTTP_VAR_NOCACHEABLE);
    if (var == NULL) {
        return NGX_ERROR;
    }

    var->get_handler = ngx_http_weir_cache_status_variable;

    return NGX_OK;
}


static void *
ngx_http_weir_cache_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_weir_cache_main_conf_t  *cmcf;

    cmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_cache_main_conf_t));
    if (cmcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&cmcf->zones, cf->pool, 2,
                       sizeof(ngx_http_weir_cache_zone_t *))
        != NGX_OK)
    {
        return NULL;
    }

    return cmcf;
}


static void *
ngx_http_weir_cache_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_weir_cache_loc_conf_t  *clcf;

    clcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_cache_loc_conf_t));
    if (clcf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     clcf->key = NULL;
     *     clcf->tags = NULL;
     *     clcf->ignore = 0;
     */

    clcf->zone = NGX_CONF_UNSET_PTR;
    clcf->valid = NGX_CONF_UNSET_PTR;
    clcf->bypass = NGX_CONF_UNSET_PTR;
    clcf->no_store = NGX_CONF_UNSET_PTR;
    clcf->max_size = NGX_CONF_UNSET_SIZE;
    clcf->min_uses = NGX_CONF_UNSET_UINT;
    clcf->keep = NGX_CONF_UNSET;
    clcf->heuristic = NGX_CONF_UNSET_UINT;
    clcf->lock_timeout = NGX_CONF_UNSET_MSEC;
    clcf->targeted = NGX_CONF_UNSET_PTR;
    clcf->staleness = NGX_CONF_UNSET_MSEC;
    clcf->invalidate = NGX_CONF_UNSET;
    clcf->purge = NGX_CONF_UNSET;

    return clcf;
}


static char *
ngx_http_weir_cache_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_weir_cache_loc_conf_t  *prev = parent;
    ngx_http_weir_cache_loc_conf_t  *conf = child;

    ngx_http_compile_complex_value_t  ccv;

    if (conf->zone == NGX_CONF_UNSET_PTR) {
        conf->zone = (prev->zone == NGX_CONF_UNSET_PTR) ? NULL : prev->zone;
        conf->l1 = prev->l1;
    }

    ngx_conf_merge_uint_value(conf->min_uses, prev->min_uses, 1);
    ngx_conf_merge_bitmask_value(conf->use_stale, prev->use_stale,
                                 NGX_CONF_BITMASK_SET);
    ngx_conf_merge_value(conf->keep, prev->keep, 600);
    ngx_conf_merge_uint_value(conf->heuristic, prev->heuristic, 0);
    ngx_conf_merge_msec_value(conf->lock_timeout, prev->lock_timeout, 5000);
    ngx_conf_merge_ptr_value(conf->targeted, prev->targeted,
                             &ngx_http_weir_cache_targeted);
    ngx_conf_merge_ptr_value(conf->valid, prev->valid, NULL);
    ngx_conf_merge_ptr_value(conf->bypass, prev->bypass, NULL);
    ngx_conf_merge_ptr_value(conf->no_store, prev->no_store, NULL);
    ngx_conf_merge_size_value(conf->max_size, prev->max_size, 1024 * 1024);
    ngx_conf_merge_bitmask_value(conf->ignore, prev->ignore,
                                 NGX_CONF_BITMASK_SET);

    ngx_conf_merge_msec_value(conf->staleness, prev->staleness, 2000);
    ngx_conf_merge_value(conf->invalidate, prev->invalidate, 1);
    ngx_conf_merge_value(conf->purge, prev->purge, 0);

    if (conf->tags == NULL) {
        conf->tags = prev->tags;
    }

    if (conf->zone) {
        conf->zone->staleness = ngx_min(conf->zone->staleness,
                                        conf->staleness);
    }

    if (conf->key == NULL) {
        conf->key = prev->key;
    }

    if (conf->zone && conf->key == NULL) {
        conf->key = ngx_palloc(cf->pool, sizeof(ngx_http_complex_value_t));
        if (conf->key == NULL) {
            return NGX_CONF_ERROR;
        }

        ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));
        ccv.cf = cf;
        ccv.value = &ngx_http_weir_cache_default_key;
        ccv.complex_value = conf->key;

        if (ngx_http_compile_complex_value(&ccv) != NGX_OK) {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_weir_cache_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_cache_main_conf_t  *cmcf = conf;

    ssize_t                       size;
    ngx_str_t                    *value, redis;
    ngx_http_weir_cache_zone_t   *zone, **zones;

    value = cf->args->elts;

    if (value[1].len == 0 || ngx_strcmp(value[1].data, "off") == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid name \"%V\" in \"weir_cache_zone\"",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    if (ngx_http_weir_cache_find_zone(cmcf, &value[1])) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "duplicate \"weir_cache_zone\" \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    size = ngx_parse_size(&value[2]);

    if (size == NGX_ERROR || size < (ssize_t) (8 * ngx_pagesize)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid size \"%V\" in \"weir_cache_zone\"; it must"
                           " be at least %uz", &value[2], 8 * ngx_pagesize);
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

    zone->shm_zone = ngx_shared_memory_add(cf, &value[1], size,
                                           &ngx_http_weir_cache_module);
    if (zone->shm_zone == NULL) {
        return NGX_CONF_ERROR;
    }

    zone->shm_zone->init = ngx_http_weir_cache_zone_init;
    zone->shm_zone->data = zone;

    if (cf->args->nelts == 3) {
        return NGX_CONF_OK;
    }

    if (ngx_strncmp(value[3].data, "redis=", 6) != 0 || value[3].len == 6) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\" in \"weir_cache_zone\"; it"
                           " takes redis=name", &value[3]);
        return NGX_CONF_ERROR;
    }

    redis.data = value[3].data + 6;
    redis.len = value[3].len - 6;

    zone->redis = ngx_http_weir_redis_get(cf, &redis);

    return zone->redis ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static ngx_http_weir_cache_zone_t *
ngx_http_weir_cache_find_zone(ngx_http_weir_cache_main_conf_t *cmcf,
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


static char *
ngx_http_weir_cache_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
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

    clcf->zone = ngx_http_weir_cache_find_zone(cmcf, &value[1]);

    if (clcf->zone == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "unknown zone \"%V\" in \"weir_cache\": no"
                           " \"weir_cache_zone\" of that name stands before it",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    if (!clcf->l1 && clcf->zone->redis == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"weir_cache\" with l1=off needs a zone with"
                           " redis=, which \"%V\" is not", &value[1]);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* [code ...] time; without codes those that nginx takes too: 200, 301, 302. */

static char *
ngx_http_weir_cache_valid(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_cache_loc_conf_t  *clcf = conf;

    time_t                   valid;
    ngx_int_t                status;
    ngx_str_t               *value;
    ngx_uint_t               i, n, last;
    ngx_http_cache_valid_t  *v;

    static ngx_uint_t  statuses[] = { 200, 301, 302 };

    if (clcf->valid == NGX_CONF_UNSET_PTR) {
        clcf->valid = ngx_array_create(cf->pool, 3,
                                       sizeof(ngx_http_cache_valid_t));
        if (clcf->valid == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    value = cf->args->elts;
    last = cf->args->nelts - 1;

    valid = ngx_parse_time(&value[last], 1);

    if (valid == (time_t) NGX_ERROR || valid > (time_t) WEIR_CACHE_SECONDS_MAX)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid time \"%V\" in \"weir_cache_valid\"; it"
                           " must be like 10s or 1h", &value[last]);
        return NGX_CONF_ERROR;
    }

    n = (last == 1) ? 3 : last - 1;

    for (i = 0; i < n; i++) {

        if (last == 1) {
            status = statuses[i];

        } else if (ngx_strcmp(value[i + 1].data, "any") == 0) {
            status = 0;

        } else {
            status = ngx_atoi(value[i + 1].data, value[i + 1].len);

            if (status < 200 || status > 599) {
                ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                                   "invalid status \"%V\" in"
                                   " \"weir_cache_valid\"; it must be between"
                                   " 200 and 599, or \"any\"", &value[i + 1]);
                return NGX_CONF_ERROR;
            }
        }

        v = ngx_array_push(clcf->valid);
        if (v == NULL) {
            return NGX_CONF_ERROR;
        }

        v->status = status;
        v->valid = valid;
    }

    return NGX_CONF_OK;
}


/* off, or a percentage */

static char *
ngx_http_weir_cache_set_heuristic(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_weir_cache_loc_conf_t  *clcf = conf;

    ngx_int_t   percent;
    ngx_str_t  *value;

    if (clcf->heuristic != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        clcf->heuristic = 0;
        return NGX_CONF_OK;
    }

    percent = (value[1].len > 1 && value[1].data[value[1].len - 1] == '%')
              ? ngx_atoi(value[1].data, value[1].len - 1) : NGX_ERROR;

    if (percent < 1 || percent > 100) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"weir_cache_heuristic\";"
                           " it must be \"off\" or between 1%% and 100%%",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    clcf->heuristic = percent;

    return NGX_CONF_OK;
}


static char *
ngx_http_weir_cache_control_headers(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_weir_cache_loc_conf_t  *clcf = conf;

    ngx_str_t   *value, *name;
    ngx_uint_t   i;

    if (clcf->targeted != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {
        clcf->targeted = NULL;
        return NGX_CONF_OK;
    }

    clcf->targeted = ngx_array_create(cf->pool, cf->args->nelts,
                                      sizeof(ngx_str_t));
    if (clcf->targeted == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 1; i < cf->args->nelts; i++) {
        name = ngx_array_push(clcf->targeted);
        if (name == NULL) {
            return NGX_CONF_ERROR;
        }

        *name = value[i];
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_weir_cache_init(ngx_conf_t *cf)
{
    ngx_http_handler_pt              *h;
    ngx_http_core_main_conf_t        *cmcf;
    ngx_http_weir_cache_main_conf_t  *wmcf;

    wmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_cache_module);

    if (wmcf->zones.nelts == 0) {
        return NGX_OK;
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PRECONTENT_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_weir_cache_handler;

    /* the last one is asked first */

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PRECONTENT_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_weir_cache_invalidate_handler;

    ngx_http_weir_cache_init_invalidate_filter();
    ngx_http_weir_cache_init_filters();

    return NGX_OK;
}


/* Also of helper processes, which have no requests and so no pins. */

static ngx_int_t
ngx_http_weir_cache_init_process(ngx_cycle_t *cycle)
{
    ngx_uint_t                        i;
    ngx_http_weir_cache_zone_t      **zones;
    ngx_http_weir_cache_main_conf_t  *cmcf;

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    cmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_weir_cache_module);
    if (cmcf == NULL) {
        return NGX_OK;
    }

    zones = cmcf->zones.elts;

    for (i = 0; i < cmcf->zones.nelts; i++) {
        if (ngx_http_weir_cache_zone_init_worker(zones[i]) != NGX_OK
            || ngx_http_weir_cache_follow_init_worker(zones[i]) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static void
ngx_http_weir_cache_exit_process(ngx_cycle_t *cycle)
{
    ngx_uint_t                        i;
    ngx_http_weir_cache_zone_t      **zones;
    ngx_http_weir_cache_main_conf_t  *cmcf;

    cmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_weir_cache_module);
    if (cmcf == NULL) {
        return;
    }

    zones = cmcf->zones.elts;

    for (i = 0; i < cmcf->zones.nelts; i++) {
        ngx_http_weir_cache_follow_exit_worker(zones[i]);
        ngx_http_weir_cache_zone_exit_worker(zones[i]);
    }
}
