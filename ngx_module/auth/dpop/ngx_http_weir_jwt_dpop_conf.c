/* The arguments of weir_jwt_dpop, and its shared memory. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "auth/dpop/ngx_http_weir_jwt_dpop.h"
#include "common/ids/random.h"
#include "common/token/dpop/dpop_url.h"
#include "object/ngx_http_weir_object.h"


/* seconds */
#define NGX_HTTP_WEIR_JWT_DPOP_WINDOW_MAX  600
#define NGX_HTTP_WEIR_JWT_DPOP_NONCE_MAX   3600


static char *ngx_http_weir_jwt_dpop_conf_argument(ngx_conf_t *cf,
    ngx_http_weir_jwt_dpop_conf_t *conf, ngx_str_t *value);
static ngx_uint_t ngx_http_weir_jwt_dpop_conf_time(ngx_str_t *value,
    size_t prefix, time_t max, time_t *seconds);
static char *ngx_http_weir_jwt_dpop_conf_add_origin(ngx_conf_t *cf,
    ngx_http_weir_jwt_dpop_conf_t *conf, ngx_str_t *value);
static char *ngx_http_weir_jwt_dpop_conf_algorithms(ngx_conf_t *cf,
    ngx_http_weir_jwt_dpop_conf_t *conf, ngx_str_t *value);
static ngx_int_t ngx_http_weir_jwt_dpop_conf_describe(ngx_conf_t *cf,
    ngx_http_weir_jwt_dpop_conf_t *conf);
static ngx_int_t ngx_http_weir_jwt_dpop_init_memory(ngx_shm_zone_t *shm_zone,
    void *data);


ngx_http_weir_jwt_dpop_conf_t *
ngx_http_weir_jwt_dpop_conf_default(ngx_conf_t *cf)
{
    ngx_http_weir_jwt_dpop_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_jwt_dpop_conf_t));

    if (conf == NULL) {
        return NULL;
    }

    conf->window = NGX_HTTP_WEIR_JWT_DPOP_WINDOW;
    conf->algorithms = WEIR_TOKEN_ALL_ALGORITHMS;

    return ngx_http_weir_jwt_dpop_conf_describe(cf, conf) == NGX_OK ? conf : NULL;
}


char *
ngx_http_weir_jwt_dpop_conf_set(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char                            *rv;
    ngx_str_t                       *value;
    ngx_uint_t                       i;
    ngx_http_weir_jwt_dpop_conf_t   *dpop, **field;

    field = (ngx_http_weir_jwt_dpop_conf_t **) ((char *) conf + cmd->offset);

    if (*field) {
        return "is duplicate";
    }

    dpop = ngx_http_weir_jwt_dpop_conf_default(cf);
    if (dpop == NULL) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {
        rv = ngx_http_weir_jwt_dpop_conf_argument(cf, dpop, &value[i]);

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    *field = dpop;

    return ngx_http_weir_jwt_dpop_conf_describe(cf, dpop) == NGX_OK
           ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static char *
ngx_http_weir_jwt_dpop_conf_argument(ngx_conf_t *cf,
    ngx_http_weir_jwt_dpop_conf_t *conf, ngx_str_t *value)
{
    if (ngx_strncmp(value->data, "window=", 7) == 0) {
        return ngx_http_weir_jwt_dpop_conf_time(value, 7,
                                            NGX_HTTP_WEIR_JWT_DPOP_WINDOW_MAX,
                                                &conf->window)
               ? NGX_CONF_OK : "has a \"window=\" that is no time from 1s to"
                               " 10m";
    }

    if (ngx_strncmp(value->data, "nonce=", 6) == 0) {
        return ngx_http_weir_jwt_dpop_conf_time(value, 6,
                                             NGX_HTTP_WEIR_JWT_DPOP_NONCE_MAX,
                                                &conf->nonce)
               ? NGX_CONF_OK : "has a \"nonce=\" that is no time from 1s to"
                               " 1h";
    }

    if (ngx_strncmp(value->data, "origin=", 7) == 0) {
        return ngx_http_weir_jwt_dpop_conf_add_origin(cf, conf, value);
    }

    if (ngx_strncmp(value->data, "algorithms=", 11) == 0) {
        return ngx_http_weir_jwt_dpop_conf_algorithms(cf, conf, value);
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid value \"%V\" in \"weir_jwt_dpop\"; it takes"
                       " window=, nonce=, origin=, algorithms=", value);

    return NGX_CONF_ERROR;
}


static ngx_uint_t
ngx_http_weir_jwt_dpop_conf_time(ngx_str_t *value, size_t prefix, time_t max,
    time_t *seconds)
{
    ngx_str_t  text;

    text.data = value->data + prefix;
    text.len = value->len - prefix;

    *seconds = ngx_parse_time(&text, 1);

    return *seconds != (time_t) NGX_ERROR && *seconds > 0 && *seconds <= max;
}


/* origin=https://api.example.com:8443 */

static char *
ngx_http_weir_jwt_dpop_conf_add_origin(ngx_conf_t *cf,
    ngx_http_weir_jwt_dpop_conf_t *conf, ngx_str_t *value)
{
    char        *text;
    size_t       len, end;
    weir_str_t   url, *origin;

    url.data = (char *) value->data + sizeof("origin=") - 1;
    url.len = value->len - (sizeof("origin=") - 1);

    text = ngx_pnalloc(cf->pool, WEIR_DPOP_URL_MAX(url.len));
    if (text == NULL) {
        return NGX_CONF_ERROR;
    }

    if (!weir_dpop_url(url, text, &len, &end) || len != end + 1
        || memchr(url.data, '?', url.len) || memchr(url.data, '#', url.len))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"weir_jwt_dpop\"; an"
                           " origin has a scheme, a host and no path, as"
                           " https://api.example.com", value);
        return NGX_CONF_ERROR;
    }

    if (conf->origins == NULL) {
        conf->origins = ngx_array_create(cf->pool, 1, sizeof(weir_str_t));
        if (conf->origins == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    origin = ngx_array_push(conf->origins);
    if (origin == NULL) {
        return NGX_CONF_ERROR;
    }

    origin->data = text;
    origin->len = end;

    return NGX_CONF_OK;
}


/* algorithms=ES256,EdDSA */

static char *
ngx_http_weir_jwt_dpop_conf_algorithms(ngx_conf_t *cf,
    ngx_http_weir_jwt_dpop_conf_t *conf, ngx_str_t *value)
{
    u_char                        *p, *last, *end;
    const weir_token_algorithm_t  *algorithm;

    p = value->data + sizeof("algorithms=") - 1;
    last = value->data + value->len;
    conf->algorithms = 0;

    for ( ;; ) {
        end = ngx_strlchr(p, last, ',');

        algorithm = weir_token_algorithm((weir_str_t) {
                          (const char *) p, (end ? end : last) - p });

        if (algorithm == NULL) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid value \"%V\" in \"weir_jwt_dpop\"; the"
                               " algorithms are RS256, RS384, RS512, PS256,"
                               " PS384, PS512, ES256, ES384, ES512, EdDSA,"
                               " with \",\" between them", value);
            return NGX_CONF_ERROR;
        }

        conf->algorithms |= algorithm->bit;

        if (end == NULL) {
            return NGX_CONF_OK;
        }

        p = end + 1;
    }
}


static ngx_int_t
ngx_http_weir_jwt_dpop_conf_describe(ngx_conf_t *cf,
    ngx_http_weir_jwt_dpop_conf_t *conf)
{
    u_char                        *p;
    ngx_uint_t                     i;
    const weir_token_algorithm_t  *algorithm;

    p = ngx_pnalloc(cf->pool, WEIR_TOKEN_ALGORITHMS * sizeof("RS256"));
    if (p == NULL) {
        return NGX_ERROR;
    }

    conf->names.data = p;

    for (i = 0; i < WEIR_TOKEN_ALGORITHMS; i++) {
        algorithm = &weir_token_algorithms[i];

        if (conf->algorithms & algorithm->bit) {
            p = ngx_sprintf(p, "%s%s", p == conf->names.data ? "" : " ",
                            algorithm->name);
        }
    }

    conf->names.len = p - conf->names.data;

    return NGX_OK;
}


/*
 * nginx frees its own list when the configuration has been read.  A name that is
 * none ("", "_") is never that of a request.
 */

ngx_array_t *
ngx_http_weir_jwt_dpop_conf_names(ngx_conf_t *cf,
    ngx_http_core_srv_conf_t *cscf)
{
    size_t                   len;
    ngx_str_t               *copy;
    ngx_uint_t               i;
    ngx_array_t             *names;
    ngx_http_server_name_t  *name;

    names = ngx_array_create(cf->pool, 2, sizeof(ngx_str_t));
    if (names == NULL) {
        return NULL;
    }

    name = cscf->server_names.elts;

    for (i = 0; i < cscf->server_names.nelts; i++) {
        len = name[i].name.len;

        if (len < 2 || name[i].name.data[0] == '~'
            || name[i].name.data[len - 1] == '*')
        {
            continue;
        }

        copy = ngx_array_push(names);
        if (copy == NULL) {
            return NULL;
        }

        *copy = name[i].name;
    }

    return names;
}


ngx_int_t
ngx_http_weir_jwt_dpop_add_memory(ngx_conf_t *cf, size_t size,
    ngx_http_weir_jwt_dpop_memory_t **memory, void *tag)
{
    ngx_str_t        name;
    ngx_shm_zone_t  *shm_zone;

    name.data = ngx_pnalloc(cf->pool,
                            sizeof("weir_jwt_dpop:0123456789abcdef"));
    if (name.data == NULL) {
        return NGX_ERROR;
    }

    /* another build of the module makes memory of its own */

    name.len = ngx_sprintf(name.data, "weir_jwt_dpop:%016xL",
                           ngx_http_weir_layout())
               - name.data;

    shm_zone = ngx_shared_memory_add(cf, &name, size, tag);
    if (shm_zone == NULL) {
        return NGX_ERROR;
    }

    shm_zone->init = ngx_http_weir_jwt_dpop_init_memory;
    shm_zone->data = memory;

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_jwt_dpop_init_memory(ngx_shm_zone_t *shm_zone, void *data)
{
    size_t                             size;
    uint64_t                           sets;
    ngx_slab_pool_t                   *shpool;
    ngx_http_weir_jwt_dpop_memory_t  **memory, *sh;

    memory = shm_zone->data;
    shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    if (data || shm_zone->shm.exists) {
        sh = shpool->data;
        *memory = sh;
        return ngx_http_weir_check_layout(shm_zone, sh->layout);
    }

    sh = ngx_slab_calloc(shpool, sizeof(ngx_http_weir_jwt_dpop_memory_t));
    if (sh == NULL) {
        return NGX_ERROR;
    }

    size = shpool->pfree * ngx_pagesize;
    sets = weir_dpop_seen_sets(size);

    sh->layout = ngx_http_weir_layout();
    sh->shpool = shpool;
    sh->seen = ngx_slab_alloc(shpool, weir_dpop_seen_size(sets));

    if (sh->seen == NULL) {
        return NGX_ERROR;
    }

    weir_dpop_seen_init(sh->seen, sets);
    weir_random(sh->secret, sizeof(sh->secret));

    shpool->data = sh;
    *memory = sh;

    return NGX_OK;
}
