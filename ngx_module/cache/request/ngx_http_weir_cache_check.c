/*
 * Checks the combination of a location's directives.  A combination that would
 * give one client the response for another, or serve invalidated responses, is
 * refused.  A directive without effect causes a warning when the configuration
 * is read.  Messages name the line of the location's block, because its
 * directives may be inherited.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/lookup/key/ngx_http_weir_cache_key_text.h"
#include "cache/request/ngx_http_weir_cache_request.h"
#include "http/ngx_http_weir.h"
#include "http/ngx_http_weir_pass.h"


/* One entry may take this fraction of a zone. */
#define NGX_HTTP_WEIR_CACHE_ENTRY_PART  8


static char *ngx_http_weir_cache_check_key(ngx_conf_t *cf,
    ngx_http_weir_cache_loc_conf_t *conf);
static char *ngx_http_weir_cache_check_others(ngx_conf_t *cf,
    ngx_http_weir_cache_loc_conf_t *conf);
static void ngx_http_weir_cache_check_size(ngx_conf_t *cf,
    ngx_http_weir_cache_loc_conf_t *conf);
static void ngx_http_weir_cache_check_stale(ngx_conf_t *cf,
    ngx_http_weir_cache_loc_conf_t *conf, ngx_uint_t has_stale);


char *
ngx_http_weir_cache_check_own_directive(ngx_http_weir_cache_loc_conf_t *conf)
{
    return conf->purge == 1 ? "weir_cache_purge"
           : conf->key ? "weir_cache_key"
           : conf->valid != NGX_CONF_UNSET_PTR ? "weir_cache_valid"
           : conf->use_stale ? "weir_cache_use_stale"
           : conf->bypass != NGX_CONF_UNSET_PTR ? "weir_cache_bypass"
           : conf->no_store != NGX_CONF_UNSET_PTR ? "weir_cache_no_store"
           : conf->tags ? "weir_cache_tags"
           : conf->ignore ? "weir_cache_ignore_headers"
           : conf->max_size != NGX_CONF_UNSET_SIZE ? "weir_cache_max_size"
           : conf->min_uses != NGX_CONF_UNSET_UINT ? "weir_cache_min_uses"
           : conf->keep != NGX_CONF_UNSET ? "weir_cache_keep"
           : conf->heuristic != NGX_CONF_UNSET_UINT ? "weir_cache_heuristic"
           : conf->staleness != NGX_CONF_UNSET_MSEC ? "weir_cache_staleness"
           : conf->request_control != NGX_CONF_UNSET_MSEC
             ? "weir_cache_request_control"
           : NULL;
}


char *
ngx_http_weir_cache_check(ngx_conf_t *cf, ngx_http_weir_cache_loc_conf_t *conf,
    char *own, ngx_uint_t has_zone, ngx_uint_t has_stale)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (conf->zone == NULL) {

        if (own && clcf->name.len && !clcf->noname && clcf->locations == NULL)
        {
            ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                          "\"%s\" has no effect in location \"%V\", where"
                          " \"weir_cache\" is not on, in %V", own, &clcf->name,
                          &conf->place);
        }

        return NGX_CONF_OK;
    }

    if (has_zone && !conf->purge && ngx_http_weir_is_idle(clcf)) {
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "\"weir_cache\" has no effect in location \"%V\", which"
                      " has no *_pass, in %V", &clcf->name, &conf->place);
    }

    ngx_http_weir_cache_check_size(cf, conf);
    ngx_http_weir_cache_check_stale(cf, conf, has_stale);

    return ngx_http_weir_cache_check_key(cf, conf) == NGX_CONF_OK
           ? ngx_http_weir_cache_check_others(cf, conf) : NGX_CONF_ERROR;
}


/*
 * The default key contains the upstream.  If variables name the upstream, or
 * the URI it is asked for, the key contains the value of the *_pass text.
 */

static char *
ngx_http_weir_cache_check_key(ngx_conf_t *cf,
    ngx_http_weir_cache_loc_conf_t *conf)
{
    ngx_str_t                  name;
    ngx_http_core_loc_conf_t  *clcf;
    ngx_http_weir_loc_conf_t  *wlcf;

    if (conf->key) {
        return NGX_CONF_OK;
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    wlcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_weir_module);

    if (ngx_http_script_variables_count(&wlcf->pass) == 0) {
        return ngx_http_weir_cache_key_text_read_upstream(cf, &conf->upstream)
           == NGX_OK ? NGX_CONF_OK : NGX_CONF_ERROR;
    }

    if (ngx_http_weir_late_variable(&wlcf->pass, &name)) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"weir_cache\" needs a \"weir_cache_key\" for location"
                      " \"%V\": variable \"$%V\" of its *_pass has no value"
                      " yet when the key is made, in %V",
                      &clcf->name, &name, &conf->place);
        return NGX_CONF_ERROR;
    }

    conf->pass = ngx_http_weir_compile(cf, &wlcf->pass);

    return conf->pass ? NGX_CONF_OK : NGX_CONF_ERROR;
}


/*
 * A second cache between the upstream and this one would return invalidated
 * responses as new ones.
 */

static char *
ngx_http_weir_cache_check_others(ngx_conf_t *cf,
    ngx_http_weir_cache_loc_conf_t *conf)
{
#if (NGX_HTTP_CACHE)
    ngx_module_t              *module;
    ngx_http_conf_ctx_t       *ctx;
    ngx_http_weir_pass_t      *pass;
    ngx_http_upstream_conf_t  *ucf;
    ngx_http_core_loc_conf_t  *clcf;

    ctx = cf->ctx;
    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    pass = clcf->handler ? ngx_http_weir_find_pass(cf, clcf->handler) : NULL;

    if (pass == NULL) {
        return NGX_CONF_OK;
    }

    module = ngx_http_weir_find_module(cf, pass->module);
    ucf = ctx->loc_conf[module->ctx_index];

    if (ucf->cache != 1) {
        return NGX_CONF_OK;
    }

    ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                  "\"weir_cache\" and nginx's own cache are both on in"
                  " location \"%V\"; nginx's cache would return invalidated"
                  " responses; switch one of them off, in %V", &clcf->name, &conf->place);

    return NGX_CONF_ERROR;
#else
    return NGX_CONF_OK;
#endif
}


/* Logged once per zone; Redis may hold larger entries. */

static void
ngx_http_weir_cache_check_size(ngx_conf_t *cf,
    ngx_http_weir_cache_loc_conf_t *conf)
{
    size_t                       largest;
    ngx_http_weir_cache_zone_t  *zone;

    zone = conf->zone;
    largest = zone->shm_zone->shm.size / NGX_HTTP_WEIR_CACHE_ENTRY_PART;

    if (zone->redis || zone->warned || conf->max_size <= largest
        || conf->max_size == NGX_HTTP_WEIR_CACHE_MAX_SIZE)
    {
        return;
    }

    zone->warned = 1;

    ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                  "\"weir_cache_max_size\" of %uz bytes is too large: without"
                  " redis= a response can take at most an eighth of"
                  " \"weir_cache_zone\" \"%V\", which is %uz bytes; in %V",
                  conf->max_size, &zone->name, largest, &conf->place);
}


static void
ngx_http_weir_cache_check_stale(ngx_conf_t *cf,
    ngx_http_weir_cache_loc_conf_t *conf, ngx_uint_t has_stale)
{
    ngx_http_core_loc_conf_t         *clcf;
    ngx_http_weir_loc_conf_t         *wlcf;
    ngx_http_weir_cache_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_cache_module);
    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    wlcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_weir_module);

    if (wlcf->breaker_stale == 2 && clcf->name.len && clcf->locations == NULL
        && conf->zone == NULL)
    {
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "\"weir_breaker_fallback stale\" has no effect in"
                      " location \"%V\", which has no \"weir_cache\"",
                      &clcf->name);
    }

    if (wlcf->breaker || wlcf->limit) {
        cmcf->breaker = 1;
        return;
    }

    if (!(conf->use_stale & NGX_HTTP_WEIR_CACHE_STALE_BREAKER)) {
        return;
    }

    if (!has_stale || clcf->locations) {
        cmcf->stale_breaker = conf->place;
        return;
    }

    ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                  "\"weir_cache_use_stale breaker\" has no effect in location"
                  " \"%V\", which has no \"weir_breaker\", in %V", &clcf->name,
                  &conf->place);
}


void
ngx_http_weir_cache_check_all(ngx_conf_t *cf)
{
    ngx_http_weir_cache_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_cache_module);

    if (cmcf->stale_breaker.len && !cmcf->breaker) {
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "\"weir_cache_use_stale breaker\" has no effect: no"
                      " location with \"weir_cache\" has a \"weir_breaker\";"
                      " it is set in %V", &cmcf->stale_breaker);
    }
}
