/*
 * The breaker of a location's requests.
 *
 * Without key= the breaker belongs to the upstream: its key is the name and
 * port in *_pass; $proxy_host is unknown before the content phase.  With
 * variables in *_pass there is no such name, and key= is required.
 *
 * A location without *_pass (weir_status, return, content_by_lua ...)  has no
 * result to report.  It uses no breaker, even if it inherits one or key= names
 * one: it would be refused together with the upstream, and use up its probes.
 *
 * The thresholds belong to the breaker.  Directives with the same key and zone
 * but different thresholds are refused if the configuration shows it: for keys
 * without variables, and for keys of the same text.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_md5.h>

#include "breaker/ngx_http_weir_breaker.h"
#include "http/ngx_http_weir_pass.h"


static char *ngx_http_weir_breaker_named(ngx_conf_t *cf,
    ngx_http_weir_breaker_t *breaker, ngx_str_t *key);
static ngx_int_t ngx_http_weir_breaker_upstream(ngx_conf_t *cf,
    ngx_str_t *name);
static ngx_int_t ngx_http_weir_breaker_unnamed(ngx_conf_t *cf,
    ngx_str_t *name);
static char *ngx_http_weir_breaker_use(ngx_conf_t *cf,
    ngx_http_weir_breaker_t *breaker, ngx_str_t *key, ngx_uint_t variable);
static ngx_uint_t ngx_http_weir_breaker_same(weir_breaker_settings_t *a,
    weir_breaker_settings_t *b);
static ngx_int_t ngx_http_weir_breaker_shorten(ngx_pool_t *pool,
    ngx_str_t *key);


char *
ngx_http_weir_breaker_merge_key(ngx_conf_t *cf,
    ngx_http_weir_breaker_loc_conf_t *prev,
    ngx_http_weir_breaker_loc_conf_t *conf)
{
    ngx_int_t                  rc;
    ngx_str_t                  key;
    ngx_http_weir_breaker_t   *breaker;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    breaker = conf->breaker;

    if (breaker->key
        && ngx_http_weir_breaker_named(cf, breaker, &key) != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    /* an if block has the handler and upstream of the enclosing location */

    if (clcf->handler == NULL) {
        if (clcf->noname) {
            conf->pass = prev->pass;
            conf->name = prev->name;
        }

        return NGX_CONF_OK;
    }

    rc = ngx_http_weir_breaker_upstream(cf, &conf->name.text);

    if (rc == NGX_ERROR) {
        return NGX_CONF_ERROR;
    }

    conf->pass = rc == NGX_OK
                 || ngx_http_weir_find_pass(cf, clcf->handler) != NULL;

    if (!conf->pass) {
        return NGX_CONF_OK;
    }

    if (breaker->key && breaker->key->lengths == NULL) {
        conf->name.text = key;
        return NGX_CONF_OK;
    }

    if (rc == NGX_OK) {
        return breaker->key ? NGX_CONF_OK
                            : ngx_http_weir_breaker_use(cf, breaker,
                                                        &conf->name.text, 0);
    }

    if (breaker->key == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"weir_breaker\" must have key=string for location"
                      " \"%V\", whose upstream has variables, in %V",
                      &clcf->name, &breaker->place);
        return NGX_CONF_ERROR;
    }

    return ngx_http_weir_breaker_unnamed(cf, &conf->name.text) == NGX_OK
           ? NGX_CONF_OK : NGX_CONF_ERROR;
}


/* The text of key=, recorded; without variables it is the breaker's key. */

static char *
ngx_http_weir_breaker_named(ngx_conf_t *cf, ngx_http_weir_breaker_t *breaker,
    ngx_str_t *key)
{
    ngx_uint_t  variable;

    *key = breaker->key->value;
    variable = (breaker->key->lengths != NULL);

    if (!variable && ngx_http_weir_breaker_shorten(cf->pool, key) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return ngx_http_weir_breaker_use(cf, breaker, key, variable);
}


/* The upstream of the location's *_pass; NGX_DECLINED if it has no name. */

static ngx_int_t
ngx_http_weir_breaker_upstream(ngx_conf_t *cf, ngx_str_t *name)
{
    ngx_int_t              rc;
    ngx_http_weir_pass_t  *pass;

    pass = NULL;
    rc = ngx_http_weir_pass_upstream(cf, &pass, name);

    return rc == NGX_OK ? ngx_http_weir_breaker_shorten(cf->pool, name) : rc;
}


/*
 * A unique name for a location whose upstream has none, unique also among
 * servers without names.
 */

static ngx_int_t
ngx_http_weir_breaker_unnamed(ngx_conf_t *cf, ngx_str_t *name)
{
    ngx_http_core_loc_conf_t           *clcf;
    ngx_http_core_srv_conf_t           *cscf;
    ngx_http_weir_breaker_main_conf_t  *bmcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    cscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_core_module);
    bmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_breaker_module);

    name->data = ngx_pnalloc(cf->pool, cscf->server_name.len + clcf->name.len
                                       + sizeof(" #") - 1 + NGX_INT_T_LEN);
    if (name->data == NULL) {
        return NGX_ERROR;
    }

    name->len = ngx_sprintf(name->data, "%V%V #%ui", &cscf->server_name,
                            &clcf->name, ++bmcf->unnamed)
                - name->data;

    return ngx_http_weir_breaker_shorten(cf->pool, name);
}


/* Records the use of a key, and refuses different thresholds. */

static char *
ngx_http_weir_breaker_use(ngx_conf_t *cf, ngx_http_weir_breaker_t *breaker,
    ngx_str_t *key, ngx_uint_t variable)
{
    ngx_uint_t                          i;
    ngx_http_weir_breaker_use_t        *use;
    ngx_http_weir_breaker_main_conf_t  *bmcf;

    bmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_breaker_module);
    use = bmcf->keys.elts;

    for (i = 0; i < bmcf->keys.nelts; i++) {

        if (use[i].breaker->zone != breaker->zone
            || use[i].variable != variable
            || use[i].key.len != key->len
            || ngx_strncmp(use[i].key.data, key->data, key->len) != 0)
        {
            continue;
        }

        if (ngx_http_weir_breaker_same(&use[i].breaker->settings,
                                       &breaker->settings))
        {
            return NGX_CONF_OK;
        }

        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"weir_breaker\" gives the breaker \"%V\" of zone"
                      " \"%V\" other thresholds than in %V: failures, window,"
                      " counting, ratio, min, open, probes, slow_ratio,"
                      " max_open, ramp and share must be equal, or key=string"
                      " different, in %V", key,
                      &breaker->zone->shm.name, &use[i].breaker->place,
                      &breaker->place);
        return NGX_CONF_ERROR;
    }

    use = ngx_array_push(&bmcf->keys);
    if (use == NULL) {
        return NGX_CONF_ERROR;
    }

    use->breaker = breaker;
    use->key = *key;
    use->variable = variable;

    return NGX_CONF_OK;
}


static ngx_uint_t
ngx_http_weir_breaker_same(weir_breaker_settings_t *a,
    weir_breaker_settings_t *b)
{
    return a->counting == b->counting
           && a->failures == b->failures
           && a->ratio == b->ratio
           && a->min == b->min
           && a->probes == b->probes
           && a->window == b->window
           && a->open == b->open
           && a->slow_ratio == b->slow_ratio
           && a->max_open == b->max_open
           && a->ramp == b->ramp
           && a->hint == b->hint;
}


ngx_int_t
ngx_http_weir_breaker_key(ngx_http_request_t *r,
    ngx_http_weir_breaker_loc_conf_t *blcf, ngx_http_weir_breaker_key_t *key)
{
    if (!blcf->pass) {
        return NGX_DECLINED;
    }

    if (blcf->breaker->key && blcf->breaker->key->lengths) {

        if (ngx_http_complex_value(r, blcf->breaker->key, &key->text)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (key->text.len) {

            if (ngx_http_weir_breaker_shorten(r->pool, &key->text) != NGX_OK) {
                return NGX_ERROR;
            }

            key->hash = ngx_crc32_short(key->text.data, key->text.len);

            return NGX_OK;
        }
    }

    *key = blcf->name;

    return key->text.len ? NGX_OK : NGX_DECLINED;
}


/*
 * A key that is too long is replaced by its beginning and a digest of all of
 * it.
 */

static ngx_int_t
ngx_http_weir_breaker_shorten(ngx_pool_t *pool, ngx_str_t *key)
{
    u_char     *p, digest[16];
    size_t      len;
    ngx_md5_t   md5;

    if (key->len <= NGX_HTTP_WEIR_BREAKER_KEY_MAX) {
        return NGX_OK;
    }

    p = ngx_pnalloc(pool, NGX_HTTP_WEIR_BREAKER_KEY_MAX);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_md5_init(&md5);
    ngx_md5_update(&md5, key->data, key->len);
    ngx_md5_final(digest, &md5);

    len = NGX_HTTP_WEIR_BREAKER_KEY_MAX - 1 - 2 * sizeof(digest);

    ngx_memcpy(p, key->data, len);
    p[len] = '#';
    ngx_hex_dump(p + len + 1, digest, sizeof(digest));

    key->data = p;
    key->len = NGX_HTTP_WEIR_BREAKER_KEY_MAX;

    return NGX_OK;
}
