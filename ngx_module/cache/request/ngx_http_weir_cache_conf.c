/*
 * The cache's configuration: defaults, inheritance, and the directives for
 * which nginx has no setter.
 *
 * A location's zone is known when the location is merged, so values that depend
 * on all locations of a zone (the shortest weir_cache_staleness) are collected
 * there.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/entry_check.h"
#include "cache/lookup/key/ngx_http_weir_cache_sent.h"
#include "cache/request/ngx_http_weir_cache_request.h"
#include "http/ngx_http_weir.h"


/* Milliseconds; the shortest time that allows four reads within it. */
#define NGX_HTTP_WEIR_CACHE_STALENESS_MIN  100


static ngx_http_weir_cache_loc_conf_t *ngx_http_weir_cache_conf_enclosing(
    ngx_conf_t *cf, ngx_http_weir_cache_loc_conf_t *prev,
    ngx_http_weir_cache_loc_conf_t *conf);
static char *ngx_http_weir_cache_conf_set_time(ngx_conf_t *cf,
    ngx_msec_t *time, ngx_int_t least, char *shown);
static ngx_int_t ngx_http_weir_cache_conf_add_valid(
    ngx_http_weir_cache_loc_conf_t *clcf, ngx_uint_t status, time_t valid);


static ngx_str_t  ngx_http_weir_cache_cdn_cache_control =
                                            ngx_string("CDN-Cache-Control");

static ngx_array_t  ngx_http_weir_cache_targeted = {
    &ngx_http_weir_cache_cdn_cache_control, 1, sizeof(ngx_str_t), 1, NULL
};


void *
ngx_http_weir_cache_conf_create_main(ngx_conf_t *cf)
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


void *
ngx_http_weir_cache_conf_create_loc(ngx_conf_t *cf)
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

    if (ngx_http_weir_place(cf, &clcf->place) != NGX_OK) {
        return NULL;
    }

    clcf->zone = NGX_CONF_UNSET_PTR;
    clcf->valid = NGX_CONF_UNSET_PTR;
    clcf->bypass = NGX_CONF_UNSET_PTR;
    clcf->no_store = NGX_CONF_UNSET_PTR;
    clcf->max_size = NGX_CONF_UNSET_SIZE;
    clcf->min_uses = NGX_CONF_UNSET_UINT;
    clcf->keep = NGX_CONF_UNSET;
    clcf->heuristic = NGX_CONF_UNSET_UINT;
    clcf->lock_timeout = NGX_CONF_UNSET_MSEC;
    clcf->uncacheable = NGX_CONF_UNSET_MSEC;
    clcf->targeted = NGX_CONF_UNSET_PTR;
    clcf->staleness = NGX_CONF_UNSET_MSEC;
    clcf->invalidate = NGX_CONF_UNSET;
    clcf->purge = NGX_CONF_UNSET;
    clcf->get_body = NGX_CONF_UNSET_UINT;
    clcf->expose_tags = NGX_CONF_UNSET;
    clcf->request_control = NGX_CONF_UNSET_MSEC;

    return clcf;
}


char *
ngx_http_weir_cache_conf_merge_loc(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_weir_cache_loc_conf_t  *prev = parent;
    ngx_http_weir_cache_loc_conf_t  *conf = child;

    char                      *own, *rv;
    ngx_uint_t                 has_zone, has_stale;
    ngx_http_weir_loc_conf_t  *wlcf;

    own = ngx_http_weir_cache_check_own_directive(conf);
    has_zone = (conf->zone != NGX_CONF_UNSET_PTR && conf->zone);
    has_stale = (conf->use_stale != 0);

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
    ngx_conf_merge_msec_value(conf->uncacheable, prev->uncacheable, 300000);
    ngx_conf_merge_ptr_value(conf->targeted, prev->targeted,
                             &ngx_http_weir_cache_targeted);
    ngx_conf_merge_ptr_value(conf->valid, prev->valid, NULL);
    ngx_conf_merge_ptr_value(conf->bypass, prev->bypass, NULL);
    ngx_conf_merge_ptr_value(conf->no_store, prev->no_store, NULL);
    ngx_conf_merge_size_value(conf->max_size, prev->max_size, NGX_HTTP_WEIR_CACHE_MAX_SIZE);
    ngx_conf_merge_bitmask_value(conf->ignore, prev->ignore,
                                 NGX_CONF_BITMASK_SET);

    ngx_conf_merge_msec_value(conf->staleness, prev->staleness, 2000);
    ngx_conf_merge_value(conf->invalidate, prev->invalidate, 1);
    ngx_conf_merge_value(conf->purge, prev->purge, 0);
    ngx_conf_merge_uint_value(conf->get_body, prev->get_body,
                              NGX_HTTP_WEIR_CACHE_BODY_REFUSE);
    ngx_conf_merge_value(conf->expose_tags, prev->expose_tags, 0);
    ngx_conf_merge_msec_value(conf->request_control, prev->request_control,
                              NGX_HTTP_WEIR_CACHE_CONTROL_IGNORE);

    wlcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_weir_module);
    conf->fallback = (wlcf->breaker_stale != 0);
    wlcf->purges = conf->purge && conf->zone;

    if (conf->tags == NULL) {
        conf->tags = prev->tags;
    }

    if (conf->zone) {
        conf->zone->staleness = ngx_min(conf->zone->staleness,
                                        conf->staleness);
    }

    if (conf->key == NULL) {
        conf->key = prev->key;
        conf->sliced = prev->sliced;
    }

    ngx_http_weir_cache_sent_configure(cf, conf);

    rv = ngx_http_weir_cache_check(cf, conf, own, has_zone, has_stale);

    /* after the check, which makes the default key */
    conf->enclosing = ngx_http_weir_cache_conf_enclosing(cf, prev, conf);

    return rv;
}


/*
 * An `if` or limit_except may send requests that change a resource to another
 * upstream than those that read it.  Returns the enclosing location if it has
 * other default keys for the same URIs, otherwise NULL.
 */

static ngx_http_weir_cache_loc_conf_t *
ngx_http_weir_cache_conf_enclosing(ngx_conf_t *cf,
    ngx_http_weir_cache_loc_conf_t *prev, ngx_http_weir_cache_loc_conf_t *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (!clcf->noname || conf->zone == NULL || conf->zone != prev->zone
        || conf->key)
    {
        return NULL;
    }

    if (conf->pass == NULL && prev->pass == NULL
        && conf->upstream.len == prev->upstream.len
        && ngx_strncmp(conf->upstream.data, prev->upstream.data,
                       conf->upstream.len)
           == 0)
    {
        return NULL;
    }

    return prev;
}


/* [code ...] time; without codes 200, 301, 302, as in nginx. */

char *
ngx_http_weir_cache_conf_set_valid(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_weir_cache_loc_conf_t  *clcf = conf;

    time_t       valid;
    ngx_int_t    status;
    ngx_str_t   *value;
    ngx_uint_t   i, last;

    static ngx_int_t  statuses[] = { 200, 301, 302 };

    if (clcf->valid == NGX_CONF_UNSET_PTR) {
        clcf->valid = ngx_array_create(cf->pool, 3,
                                       sizeof(ngx_http_cache_valid_t));
        if (clcf->valid == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    value = cf->args->elts;
    last = cf->args->nelts - 1;

    status = ngx_atoi(value[last].data, value[last].len);

    if (status >= 100 && status <= 599) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid time \"%V\" in \"weir_cache_valid\"; it"
                           " looks like a status, so it must have a unit, like"
                           " %Vs, or a time must follow it", &value[last],
                           &value[last]);
        return NGX_CONF_ERROR;
    }

    valid = ngx_parse_time(&value[last], 1);

    if (valid == (time_t) NGX_ERROR || valid > (time_t) WEIR_CACHE_SECONDS_MAX)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid time \"%V\" in \"weir_cache_valid\"; it"
                           " must be like 10s or 1h", &value[last]);
        return NGX_CONF_ERROR;
    }

    for (i = 0; last == 1 && i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        if (ngx_http_weir_cache_conf_add_valid(clcf, statuses[i], valid) != NGX_OK) {
            return NGX_CONF_ERROR;
        }
    }

    for (i = 1; i < last; i++) {
        status = ngx_atoi(value[i].data, value[i].len);

        if (ngx_strcmp(value[i].data, "any") == 0) {
            status = 0;

        } else if (status < 200 || status > 599) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid status \"%V\" in \"weir_cache_valid\";"
                               " it must be between 200 and 599, or \"any\"",
                               &value[i]);
            return NGX_CONF_ERROR;
        }

        if (ngx_http_weir_cache_conf_add_valid(clcf, status, valid) != NGX_OK) {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


/* NGX_OK or NGX_ERROR (no memory). */

static ngx_int_t
ngx_http_weir_cache_conf_add_valid(ngx_http_weir_cache_loc_conf_t *clcf,
    ngx_uint_t status, time_t valid)
{
    ngx_http_cache_valid_t  *v;

    v = ngx_array_push(clcf->valid);
    if (v == NULL) {
        return NGX_ERROR;
    }

    v->status = status;
    v->valid = valid;

    return NGX_OK;
}


/* off, or a percentage. */

char *
ngx_http_weir_cache_conf_set_heuristic(ngx_conf_t *cf, ngx_command_t *cmd,
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


char *
ngx_http_weir_cache_conf_set_control_headers(ngx_conf_t *cf, ngx_command_t *cmd,
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

        if (!weir_entry_field_is_sound((weir_str_t) { (char *) name->data,
                                                      name->len },
                                       WEIR_STR("")))
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid name \"%V\" in"
                               " \"weir_cache_control_headers\"; it must be"
                               " that of a response header field, like"
                               " CDN-Cache-Control", name);
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


char *
ngx_http_weir_cache_conf_set_staleness(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_weir_cache_loc_conf_t  *clcf = conf;

    return ngx_http_weir_cache_conf_set_time(cf, &clcf->staleness,
                                             NGX_HTTP_WEIR_CACHE_STALENESS_MIN,
                                             "100ms");
}


/* Results by chance are remembered for one second. */

char *
ngx_http_weir_cache_conf_set_uncacheable(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_weir_cache_loc_conf_t  *clcf = conf;

    return ngx_http_weir_cache_conf_set_time(cf, &clcf->uncacheable, 2000,
                                             "2s");
}


/* A time of at least so many milliseconds; shown is how messages write it. */

static char *
ngx_http_weir_cache_conf_set_time(ngx_conf_t *cf, ngx_msec_t *time,
    ngx_int_t least, char *shown)
{
    ngx_int_t   ms;
    ngx_str_t  *value;

    if (*time != NGX_CONF_UNSET_MSEC) {
        return "is duplicate";
    }

    value = cf->args->elts;
    ms = ngx_parse_time(&value[1], 0);

    if (ms == NGX_ERROR || ms < least) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid time \"%V\" in \"%V\"; it must be at"
                           " least %s", &value[1], &value[0], shown);
        return NGX_CONF_ERROR;
    }

    *time = ms;

    return NGX_CONF_OK;
}


/* obey, ignore, or refresh=time. */

char *
ngx_http_weir_cache_conf_set_request_control(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_weir_cache_loc_conf_t  *clcf = conf;

    ngx_int_t   ms;
    ngx_str_t  *value, time;

    if (clcf->request_control != NGX_CONF_UNSET_MSEC) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "obey") == 0) {
        clcf->request_control = NGX_HTTP_WEIR_CACHE_CONTROL_OBEY;
        return NGX_CONF_OK;
    }

    if (ngx_strcmp(value[1].data, "ignore") == 0) {
        clcf->request_control = NGX_HTTP_WEIR_CACHE_CONTROL_IGNORE;
        return NGX_CONF_OK;
    }

    if (ngx_strncmp(value[1].data, "refresh=", 8) != 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in"
                           " \"weir_cache_request_control\"; it must be"
                           " \"obey\", \"ignore\" or refresh=time", &value[1]);
        return NGX_CONF_ERROR;
    }

    time.data = value[1].data + 8;
    time.len = value[1].len - 8;

    ms = ngx_parse_time(&time, 0);

    if (ms == NGX_ERROR || ms == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid time \"%V\" in"
                           " \"weir_cache_request_control\"; it must be like"
                           " refresh=5s", &time);
        return NGX_CONF_ERROR;
    }

    clcf->request_control = ms;

    return NGX_CONF_OK;
}
