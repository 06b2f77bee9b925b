/*
 * The key of a location's requests, the flow that they belong to, and who asks.
 *
 * Without key= the slots belong to the upstream: the key is the name and port in
 * *_pass.  With variables in *_pass there is no such name, and key= is required.
 * A location without *_pass asks no upstream, and takes no slot, even if it
 * inherits a weir_limit.
 *
 * The flow of a location is its route (weir_route, or its own name).
 *
 * The numbers belong to the key.  Directives with the same key and zone but
 * different numbers are refused if the configuration shows it: for keys without
 * variables, and for keys of the same text.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_md5.h>

#include "http/ngx_http_weir.h"
#include "http/ngx_http_weir_pass.h"
#include "limit/ngx_http_weir_limit_zone.h"


static char *ngx_http_weir_limit_key_named(ngx_conf_t *cf,
    ngx_http_weir_limit_t *limit, ngx_str_t *key);
static ngx_int_t ngx_http_weir_limit_key_unnamed(ngx_conf_t *cf,
    ngx_str_t *name);
static char *ngx_http_weir_limit_key_use(ngx_conf_t *cf,
    ngx_http_weir_limit_t *limit, ngx_str_t *key, ngx_uint_t variable);
static ngx_uint_t ngx_http_weir_limit_key_is_same(weir_slots_settings_t *a,
    weir_slots_settings_t *b);
static void ngx_http_weir_limit_key_route(ngx_conf_t *cf,
    ngx_http_weir_limit_loc_conf_t *conf);
static ngx_int_t ngx_http_weir_limit_key_shorten(ngx_pool_t *pool,
    ngx_str_t *key);


char *
ngx_http_weir_limit_key_merge(ngx_conf_t *cf,
    ngx_http_weir_limit_loc_conf_t *prev,
    ngx_http_weir_limit_loc_conf_t *conf)
{
    ngx_int_t                  rc;
    ngx_str_t                  key;
    ngx_http_weir_pass_t      *pass;
    ngx_http_weir_limit_t     *limit;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    limit = conf->limit;

    if (limit->key
        && ngx_http_weir_limit_key_named(cf, limit, &key) != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    /* an if block has the handler and upstream of the enclosing location */

    if (clcf->handler == NULL) {
        if (clcf->noname) {
            conf->pass = prev->pass;
            conf->name = prev->name;
            conf->flow = prev->flow;
        }

        return NGX_CONF_OK;
    }

    pass = NULL;
    rc = ngx_http_weir_pass_upstream(cf, &pass, &conf->name);

    if (rc == NGX_ERROR
        || (rc == NGX_OK
            && ngx_http_weir_limit_key_shorten(cf->pool, &conf->name)
               != NGX_OK))
    {
        return NGX_CONF_ERROR;
    }

    conf->pass = rc == NGX_OK
                 || ngx_http_weir_find_pass(cf, clcf->handler) != NULL;

    if (!conf->pass) {
        return NGX_CONF_OK;
    }

    ngx_http_weir_limit_key_route(cf, conf);

    if (limit->key && limit->key->lengths == NULL) {
        conf->name = key;
        return NGX_CONF_OK;
    }

    if (rc == NGX_OK) {
        return limit->key ? NGX_CONF_OK
                          : ngx_http_weir_limit_key_use(cf, limit, &conf->name,
                                                        0);
    }

    if (limit->key == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"weir_limit\" must have key=string for location \"%V\","
                      " whose upstream has variables, in %V", &clcf->name,
                      &limit->place);
        return NGX_CONF_ERROR;
    }

    return ngx_http_weir_limit_key_unnamed(cf, &conf->name) == NGX_OK
           ? NGX_CONF_OK : NGX_CONF_ERROR;
}


/* The text of key=, recorded; without variables it is the key. */

static char *
ngx_http_weir_limit_key_named(ngx_conf_t *cf, ngx_http_weir_limit_t *limit,
    ngx_str_t *key)
{
    ngx_uint_t  variable;

    *key = limit->key->value;
    variable = (limit->key->lengths != NULL);

    if (!variable && ngx_http_weir_limit_key_shorten(cf->pool, key) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return ngx_http_weir_limit_key_use(cf, limit, key, variable);
}


/*
 * A unique name for requests of a location whose upstream has none, if key= is
 * empty.
 */

static ngx_int_t
ngx_http_weir_limit_key_unnamed(ngx_conf_t *cf, ngx_str_t *name)
{
    ngx_http_core_loc_conf_t         *clcf;
    ngx_http_core_srv_conf_t         *cscf;
    ngx_http_weir_limit_main_conf_t  *lmcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    cscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_core_module);
    lmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_limit_module);

    name->data = ngx_pnalloc(cf->pool, cscf->server_name.len + clcf->name.len
                                       + sizeof(" #") - 1 + NGX_INT_T_LEN);
    if (name->data == NULL) {
        return NGX_ERROR;
    }

    name->len = ngx_sprintf(name->data, "%V%V #%ui", &cscf->server_name,
                            &clcf->name, ++lmcf->unnamed)
                - name->data;

    return ngx_http_weir_limit_key_shorten(cf->pool, name);
}


/* Records the use of a key, and refuses different numbers. */

static char *
ngx_http_weir_limit_key_use(ngx_conf_t *cf, ngx_http_weir_limit_t *limit,
    ngx_str_t *key, ngx_uint_t variable)
{
    ngx_uint_t                        i;
    ngx_http_weir_limit_use_t        *use;
    ngx_http_weir_limit_main_conf_t  *lmcf;

    lmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_limit_module);
    use = lmcf->keys.elts;

    for (i = 0; i < lmcf->keys.nelts; i++) {

        if (use[i].limit->zone != limit->zone || use[i].variable != variable
            || use[i].key.len != key->len
            || ngx_strncmp(use[i].key.data, key->data, key->len) != 0)
        {
            continue;
        }

        if (ngx_http_weir_limit_key_is_same(&use[i].limit->settings,
                                            &limit->settings))
        {
            return NGX_CONF_OK;
        }

        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"weir_limit\" gives the key \"%V\" of zone \"%V\" other"
                      " numbers than in %V: concurrent, min, max, queue, wait and"
                      " reserve must be equal, or key=string different, in %V", key,
                      &limit->zone->shm.name, &use[i].limit->place,
                      &limit->place);
        return NGX_CONF_ERROR;
    }

    use = ngx_array_push(&lmcf->keys);
    if (use == NULL) {
        return NGX_CONF_ERROR;
    }

    use->limit = limit;
    use->key = *key;
    use->variable = variable;

    return NGX_CONF_OK;
}


static ngx_uint_t
ngx_http_weir_limit_key_is_same(weir_slots_settings_t *a,
    weir_slots_settings_t *b)
{
    uint32_t  i;

    for (i = 0; i < WEIR_SLOTS_FLOWS; i++) {
        if (a->flows[i].name != b->flows[i].name
            || a->flows[i].reserve != b->flows[i].reserve)
        {
            return 0;
        }
    }

    return a->concurrent == b->concurrent
           && a->min == b->min
           && a->max == b->max
           && a->queue == b->queue
           && a->wait == b->wait;
}


/* Any weir_limit of the zone may reserve slots for the route. */

static void
ngx_http_weir_limit_key_route(ngx_conf_t *cf,
    ngx_http_weir_limit_loc_conf_t *conf)
{
    ngx_uint_t                         i, k;
    ngx_http_weir_limit_t            **limit;
    ngx_http_weir_loc_conf_t          *wlcf;
    ngx_http_weir_limit_main_conf_t   *lmcf;

    lmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_limit_module);
    wlcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_weir_module);

    if (wlcf->route.len == 0) {
        return;
    }

    conf->flow = ngx_http_weir_limit_key_flow(&wlcf->route);
    limit = lmcf->limits.elts;

    for (i = 0; i < lmcf->limits.nelts; i++) {
        for (k = 0; k < limit[i]->settings.nflows; k++) {
            if (limit[i]->zone == conf->limit->zone
                && limit[i]->settings.flows[k].name == conf->flow)
            {
                limit[i]->used |= (ngx_uint_t) 1 << k;
            }
        }
    }
}


uint32_t
ngx_http_weir_limit_key_flow(ngx_str_t *name)
{
    return ngx_max(ngx_crc32_long(name->data, name->len), 1);
}


ngx_int_t
ngx_http_weir_limit_key(ngx_http_request_t *r,
    ngx_http_weir_limit_loc_conf_t *llcf, ngx_str_t *key, uint64_t *hash)
{
    ngx_shm_zone_t  *zone;

    zone = llcf->limit->zone;

    if (llcf->limit->key && llcf->limit->key->lengths) {

        if (ngx_http_complex_value(r, llcf->limit->key, key) != NGX_OK
            || ngx_http_weir_limit_key_shorten(r->pool, key) != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (key->len) {
            *hash = ngx_http_weir_limit_zone_hash(zone, key);
            return NGX_OK;
        }
    }

    *key = llcf->name;

    if (llcf->hash == 0 && key->len) {
        llcf->hash = ngx_http_weir_limit_zone_hash(zone, key);
    }

    *hash = llcf->hash;

    return key->len ? NGX_OK : NGX_DECLINED;
}


/*
 * An address of IPv4, also if a socket of IPv6 shows it within one of its own, or
 * the network of an address of IPv6, as hosts have /64.
 */

uint64_t
ngx_http_weir_limit_key_source(ngx_http_request_t *r, ngx_shm_zone_t *zone)
{
    uint32_t          four;
    uint64_t          word;
    struct sockaddr  *sa;
#if (NGX_HAVE_INET6)
    struct in6_addr  *in6;
#endif

    sa = r->connection->sockaddr;
    word = 0;
    four = 0;

    switch (sa->sa_family) {

#if (NGX_HAVE_INET6)
    case AF_INET6:
        in6 = &((struct sockaddr_in6 *) sa)->sin6_addr;

        if (IN6_IS_ADDR_V4MAPPED(in6)) {
            ngx_memcpy(&four, &in6->s6_addr[12], 4);

        } else {
            ngx_memcpy(&word, in6, 8);
        }

        break;
#endif

    case AF_INET:
        ngx_memcpy(&four, &((struct sockaddr_in *) sa)->sin_addr, 4);
        break;

    default:
        break;
    }

    if (four) {
        /* no network of IPv6 begins like that */
        word = (uint64_t) 0xff00000000000000 | four;
    }

    return ngx_http_weir_limit_zone_mix(zone, word);
}


/*
 * A key that is too long is replaced by its beginning and a digest of all of
 * it.
 */

static ngx_int_t
ngx_http_weir_limit_key_shorten(ngx_pool_t *pool, ngx_str_t *key)
{
    u_char     *p, digest[16];
    size_t      len;
    ngx_md5_t   md5;

    if (key->len <= WEIR_SLOTS_KEY_MAX) {
        return NGX_OK;
    }

    p = ngx_pnalloc(pool, WEIR_SLOTS_KEY_MAX);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_md5_init(&md5);
    ngx_md5_update(&md5, key->data, key->len);
    ngx_md5_final(digest, &md5);

    len = WEIR_SLOTS_KEY_MAX - 1 - 2 * sizeof(digest);

    ngx_memcpy(p, key->data, len);
    p[len] = '#';
    ngx_hex_dump(p + len + 1, digest, sizeof(digest));

    key->data = p;
    key->len = WEIR_SLOTS_KEY_MAX;

    return NGX_OK;
}
