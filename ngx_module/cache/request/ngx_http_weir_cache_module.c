/*
 * weir_cache: upstream responses stored in shared memory and in Redis.
 * ngx_http_weir_cache.h describes the way of a request;
 * ngx_http_weir_cache_conf.c the arguments of directives with a syntax of their
 * own.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/invalidation/follow/ngx_http_weir_cache_follow.h"
#include "cache/lookup/key/ngx_http_weir_cache_key_text.h"
#include "cache/lookup/key/ngx_http_weir_cache_port.h"
#include "cache/purge/ngx_http_weir_cache_purge.h"
#include "cache/request/ngx_http_weir_cache_request.h"
#include "cache/store/ngx_http_weir_cache_store.h"
#include "http/ngx_http_weir.h"
#include "http/ngx_http_weir_assert.h"


static ngx_int_t ngx_http_weir_cache_status_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static char *ngx_http_weir_cache_set_bitmask(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static char *ngx_http_weir_cache_set_enum(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static ngx_int_t ngx_http_weir_cache_check_words(ngx_conf_t *cf,
    ngx_command_t *cmd);
static char *ngx_http_weir_cache_set_min_uses(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static ngx_int_t ngx_http_weir_cache_add_variables(ngx_conf_t *cf);
static ngx_int_t ngx_http_weir_cache_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_weir_cache_init_process(ngx_cycle_t *cycle);
static void ngx_http_weir_cache_exit_process(ngx_cycle_t *cycle);


static ngx_conf_bitmask_t  ngx_http_weir_cache_ignore[] = {
    { ngx_string("Cache-Control"), NGX_HTTP_WEIR_CACHE_IGNORE_CACHE_CONTROL },
    { ngx_string("Expires"), NGX_HTTP_WEIR_CACHE_IGNORE_EXPIRES },
    { ngx_string("Set-Cookie"), NGX_HTTP_WEIR_CACHE_IGNORE_SET_COOKIE },
    { ngx_string("Vary"), NGX_HTTP_WEIR_CACHE_IGNORE_VARY },
    { ngx_string("X-Accel-Expires"),
      NGX_HTTP_WEIR_CACHE_IGNORE_X_ACCEL_EXPIRES },
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


static ngx_conf_enum_t  ngx_http_weir_cache_get_body[] = {
    { ngx_string("refuse"), NGX_HTTP_WEIR_CACHE_BODY_REFUSE },
    { ngx_string("bypass"), NGX_HTTP_WEIR_CACHE_BODY_BYPASS },
    { ngx_null_string, 0 }
};


/* the counters' limit */
#define NGX_HTTP_WEIR_CACHE_MIN_USES_MAX  255


static ngx_command_t  ngx_http_weir_cache_commands[] = {

    { ngx_string("weir_cache_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE23|NGX_CONF_TAKE4,
      ngx_http_weir_cache_conf_zone_set,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("weir_cache"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE12,
      ngx_http_weir_cache_conf_zone_set_cache,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("weir_cache_key"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_weir_cache_key_text_set_key,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_weir_cache_loc_conf_t, key),
      NULL },

    { ngx_string("weir_cache_valid"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_weir_cache_conf_set_valid,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("weir_cache_bypass"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_weir_cache_key_text_set_bypass,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_weir_cache_loc_conf_t, bypass),
      NULL },

    { ngx_string("weir_cache_get_body"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_weir_cache_set_enum,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_weir_cache_loc_conf_t, get_body),
      &ngx_http_weir_cache_get_body },

    { ngx_string("weir_cache_request_control"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_weir_cache_conf_set_request_control,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("weir_cache_expose_tags"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_weir_cache_loc_conf_t, expose_tags),
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
      ngx_http_weir_cache_set_min_uses,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_weir_cache_loc_conf_t, min_uses),
      NULL },

    { ngx_string("weir_cache_use_stale"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_weir_cache_set_bitmask,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_weir_cache_loc_conf_t, use_stale),
      &ngx_http_weir_cache_use_stale },

    { ngx_string("weir_cache_heuristic"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_weir_cache_conf_set_heuristic,
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

    { ngx_string("weir_cache_uncacheable"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_weir_cache_conf_set_uncacheable,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("weir_cache_control_headers"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_weir_cache_conf_set_control_headers,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("weir_cache_ignore_headers"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_weir_cache_set_bitmask,
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
      ngx_http_weir_cache_conf_set_staleness,
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

    ngx_http_weir_cache_conf_create_main,  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_weir_cache_conf_create_loc,   /* create location configuration */
    ngx_http_weir_cache_conf_merge_loc     /* merge location configuration */
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


/* nginx's own setters name neither the directive nor its allowed values. */

static char *
ngx_http_weir_cache_set_bitmask(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_http_weir_cache_check_words(cf, cmd) == NGX_OK
           ? ngx_conf_set_bitmask_slot(cf, cmd, conf) : NGX_CONF_ERROR;
}


static char *
ngx_http_weir_cache_set_enum(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_http_weir_cache_check_words(cf, cmd) == NGX_OK
           ? ngx_conf_set_enum_slot(cf, cmd, conf) : NGX_CONF_ERROR;
}


/* ngx_conf_enum_t and ngx_conf_bitmask_t have the same layout. */

static ngx_int_t
ngx_http_weir_cache_check_words(ngx_conf_t *cf, ngx_command_t *cmd)
{
    u_char              *p, *last, names[256];
    ngx_str_t           *value;
    ngx_uint_t           i;
    ngx_conf_bitmask_t  *mask;

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        for (mask = cmd->post; mask->name.len; mask++) {
            if (mask->name.len == value[i].len
                && ngx_strcasecmp(mask->name.data, value[i].data) == 0)
            {
                break;
            }
        }

        if (mask->name.len) {
            continue;
        }

        p = names;
        last = names + sizeof(names) - 1;

        for (mask = cmd->post; mask->name.len; mask++) {
            p = ngx_slprintf(p, last, "%s%V", p == names ? "" : ", ",
                             &mask->name);
        }

        *p = '\0';

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"%V\"; it takes %s",
                           &value[i], &cmd->name, names);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static char *
ngx_http_weir_cache_set_min_uses(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_int_t   n;
    ngx_str_t  *value;

    value = cf->args->elts;
    n = ngx_atoi(value[1].data, value[1].len);

    if (n < 1 || n > NGX_HTTP_WEIR_CACHE_MIN_USES_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid number \"%V\" in \"weir_cache_min_uses\";"
                           " it must be from 1 to %d", &value[1],
                           NGX_HTTP_WEIR_CACHE_MIN_USES_MAX);
        return NGX_CONF_ERROR;
    }

    return ngx_conf_set_num_slot(cf, cmd, conf);
}


ngx_array_t *
ngx_http_weir_cache_zones(ngx_http_request_t *r)
{
    ngx_http_weir_cache_main_conf_t  *cmcf;

    cmcf = ngx_http_get_module_main_conf(r, ngx_http_weir_cache_module);

    return &cmcf->zones;
}


ngx_str_t *
ngx_http_weir_cache_status_name(ngx_http_weir_cache_status_e status)
{
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

    ngx_http_weir_assert(status < sizeof(names) / sizeof(names[0]));

    return &names[status];
}


static ngx_int_t
ngx_http_weir_cache_status_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t                  *name;
    ngx_http_weir_cache_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_weir_cache_module);

    if (ctx == NULL || ctx->status == NGX_HTTP_WEIR_CACHE_NONE) {
        v->not_found = 1;
        return NGX_OK;
    }

    name = ngx_http_weir_cache_status_name(ctx->status);

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
    static ngx_http_variable_t  vars[] = {

        { ngx_string("weir_cache_status"), NULL,
          ngx_http_weir_cache_status_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

          ngx_http_null_variable
    };

    return ngx_http_weir_add_variables(cf, vars);
}


static ngx_int_t
ngx_http_weir_cache_init(ngx_conf_t *cf)
{
    ngx_http_weir_cache_main_conf_t  *wmcf;

    wmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_cache_module);

    if (wmcf->zones.nelts == 0) {
        return NGX_OK;
    }

    /* nginx calls the handler added last first */

    if (ngx_http_weir_add_handler(cf, NGX_HTTP_PRECONTENT_PHASE,
                                  ngx_http_weir_cache_request_handler)
        != NGX_OK
        || ngx_http_weir_add_handler(cf, NGX_HTTP_PRECONTENT_PHASE,
                                     ngx_http_weir_cache_purge_handler)
           != NGX_OK
        || ngx_http_weir_cache_port_find_all(cf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_weir_cache_check_all(cf);

    ngx_http_weir_cache_invalidate_filter_init();
    ngx_http_weir_cache_filter_init();

    return NGX_OK;
}


/* Called in helper processes, too, which have no requests and so no pins. */

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
