/* weir_jwt_revocation: its arguments, its zone, and the check of a token. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "auth/revoked/ngx_http_weir_jwt_revocation.h"
#include "common/token/claims.h"
#include "common/token/json.h"
#include "http/ngx_http_weir_clock.h"
#include "object/ngx_http_weir_object.h"


#define NGX_HTTP_WEIR_JWT_REVOCATION_SIZE  (4 * 1024 * 1024)
#define NGX_HTTP_WEIR_JWT_REVOCATION_MIN   (64 * 1024)
#define NGX_HTTP_WEIR_JWT_REVOCATION_KEEP  86400


static char *ngx_http_weir_jwt_revocation_parameter(ngx_conf_t *cf,
    ngx_http_weir_jwt_revocation_t *revocation, ngx_str_t *value);
static ngx_int_t ngx_http_weir_jwt_revocation_init(ngx_shm_zone_t *shm_zone,
    void *data);
static weir_revoked_t *ngx_http_weir_jwt_revocation_table(
    ngx_slab_pool_t *shpool);
static ngx_uint_t ngx_http_weir_jwt_revocation_is_revoked(
    ngx_http_weir_jwt_revocation_t *revocation, const json_t *claims,
    int64_t issued);


char *
ngx_http_weir_jwt_revocation_set(ngx_conf_t *cf,
    ngx_http_weir_jwt_revocation_t **conf)
{
    char                            *rv;
    ngx_str_t                       *value;
    ngx_uint_t                       i;
    ngx_http_weir_jwt_revocation_t  *revocation;

    if (*conf) {
        return "is duplicate";
    }

    revocation = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_jwt_revocation_t));
    if (revocation == NULL) {
        return NGX_CONF_ERROR;
    }

    *conf = revocation;
    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {
        rv = ngx_http_weir_jwt_revocation_parameter(cf, revocation, &value[i]);

        if (rv == NULL) {
            continue;
        }

        if (rv != NGX_CONF_ERROR) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\" of"
                               " \"weir_jwt_revocation\": %s", &value[i], rv);
        }

        return NGX_CONF_ERROR;
    }

    if (revocation->redis == NULL) {
        return "has no \"redis=\"";
    }

    if (revocation->size == 0) {
        revocation->size = NGX_HTTP_WEIR_JWT_REVOCATION_SIZE;
    }

    if (revocation->keep == 0) {
        revocation->keep = NGX_HTTP_WEIR_JWT_REVOCATION_KEEP;
    }

    return NGX_CONF_OK;
}


/* NULL, or what is wrong. */

static char *
ngx_http_weir_jwt_revocation_parameter(ngx_conf_t *cf,
    ngx_http_weir_jwt_revocation_t *revocation, ngx_str_t *value)
{
    ssize_t    size;
    ngx_int_t  n;
    ngx_str_t  text;

    if (ngx_strncmp(value->data, "redis=", 6) == 0) {
        text.data = value->data + 6;
        text.len = value->len - 6;

        if (revocation->redis || text.len == 0) {
            return "it names one weir_redis";
        }

        revocation->redis = ngx_http_weir_redis_get(cf, &text);

        return revocation->redis ? NULL : NGX_CONF_ERROR;
    }

    if (ngx_strncmp(value->data, "keep=", 5) == 0) {
        text.data = value->data + 5;
        text.len = value->len - 5;
        n = ngx_parse_time(&text, 1);

        if (revocation->keep || n == NGX_ERROR || n < 60
            || n > 366 * 86400)
        {
            return "it is a time of 1m to 366d";
        }

        revocation->keep = n;

        return NULL;
    }

    if (ngx_strncmp(value->data, "staleness=", 10) == 0) {
        text.data = value->data + 10;
        text.len = value->len - 10;
        n = ngx_parse_time(&text, 0);

        if (revocation->staleness || n == NGX_ERROR || n < 2000
            || n > 86400000)
        {
            return "it is a time of 2s to 1d";
        }

        revocation->staleness = n;

        return NULL;
    }

    if (ngx_strncmp(value->data, "size=", 5) == 0) {
        text.data = value->data + 5;
        text.len = value->len - 5;
        size = ngx_parse_size(&text);

        if (revocation->size || size == NGX_ERROR
            || size < NGX_HTTP_WEIR_JWT_REVOCATION_MIN)
        {
            return "it is a size of at least 64k";
        }

        revocation->size = size;

        return NULL;
    }

    return "there are redis=, keep=, staleness= and size=";
}


ngx_int_t
ngx_http_weir_jwt_revocation_add_zone(ngx_conf_t *cf,
    ngx_http_weir_jwt_revocation_t *revocation, void *tag)
{
    u_char          *p;
    ngx_str_t        name, *redis;
    ngx_shm_zone_t  *shm_zone;

    redis = ngx_http_weir_redis_name(revocation->redis);

    name.data = ngx_pnalloc(cf->pool,
                            sizeof("weir_jwt_revocation:0123456789abcdef:")
                            + redis->len);
    if (name.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_sprintf(name.data, "weir_jwt_revocation:%016xL:%V",
                    ngx_http_weir_layout(), redis);
    name.len = p - name.data;

    shm_zone = ngx_shared_memory_add(cf, &name, revocation->size, tag);
    if (shm_zone == NULL) {
        return NGX_ERROR;
    }

    shm_zone->init = ngx_http_weir_jwt_revocation_init;
    shm_zone->data = revocation;

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_jwt_revocation_init(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_slab_pool_t                    *shpool;
    ngx_http_weir_jwt_revocation_t     *revocation;
    ngx_http_weir_jwt_revocation_sh_t  *sh;

    revocation = shm_zone->data;
    shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;
    revocation->shpool = shpool;

    if (data || shm_zone->shm.exists) {
        revocation->sh = shpool->data;
        return ngx_http_weir_check_layout(shm_zone, revocation->sh->layout);
    }

    sh = ngx_slab_calloc(shpool, sizeof(ngx_http_weir_jwt_revocation_sh_t));
    if (sh == NULL) {
        return NGX_ERROR;
    }

    sh->layout = ngx_http_weir_layout();
    sh->table = ngx_http_weir_jwt_revocation_table(shpool);

    if (sh->table == NULL) {
        return NGX_ERROR;
    }

    shpool->data = sh;
    revocation->sh = sh;

    return NGX_OK;
}


/* As many entries as seven eighths of the memory have room for. */

static weir_revoked_t *
ngx_http_weir_jwt_revocation_table(ngx_slab_pool_t *shpool)
{
    size_t           size;
    uint32_t         n;
    weir_revoked_t  *table;

    size = (shpool->end - shpool->start) / 8 * 7;
    n = size / sizeof(weir_revoked_entry_t);

    while (weir_revoked_size(n) > size) {
        n -= n / 16 + 1;
    }

    table = ngx_slab_alloc(shpool, weir_revoked_size(n));

    if (table) {
        weir_revoked_init(table, n);
    }

    return table;
}


ngx_http_weir_jwt_revocation_e
ngx_http_weir_jwt_revocation_check(ngx_http_weir_jwt_revocation_t *revocation,
    const json_t *claims, int64_t expires, uint64_t *revision)
{
    int64_t                             issued;
    uint64_t                            now;
    ngx_http_weir_jwt_revocation_sh_t  *sh;

    sh = revocation->sh;

    if (revocation->staleness) {
        /* ngx_current_msec is of the same clock as synced */
        now = ngx_current_msec;

        if (sh->log.synced == 0
            || (now > sh->log.synced
                && now - sh->log.synced > revocation->staleness))
        {
            return NGX_HTTP_WEIR_JWT_REVOCATION_STALE;
        }
    }

    now = weir_revoked_revision(sh->table) + 1;

    if (*revision == now) {
        return NGX_HTTP_WEIR_JWT_REVOCATION_NONE;
    }

    if (!weir_claims_issued(claims, &issued)
        || issued > ngx_time() + NGX_HTTP_WEIR_JWT_REVOKED_LEEWAY
        || expires - issued > (int64_t) revocation->keep
                              + NGX_HTTP_WEIR_JWT_REVOKED_LEEWAY)
    {
        return NGX_HTTP_WEIR_JWT_REVOCATION_OUTLIVES;
    }

    if (ngx_http_weir_jwt_revocation_is_revoked(revocation, claims, issued)) {
        return NGX_HTTP_WEIR_JWT_REVOCATION_REVOKED;
    }

    *revision = now;

    return NGX_HTTP_WEIR_JWT_REVOCATION_NONE;
}


static ngx_uint_t
ngx_http_weir_jwt_revocation_is_revoked(
    ngx_http_weir_jwt_revocation_t *revocation, const json_t *claims,
    int64_t issued)
{
    time_t           now;
    uint8_t          id[WEIR_REVOKED_DIGEST], subject[WEIR_REVOKED_DIGEST];
    ngx_uint_t       revoked;
    weir_str_t       iss, jti, sub;
    weir_revoked_t  *table;

    table = revocation->sh->table;
    now = ngx_time();

    (void) weir_token_json_text(claims, "iss", &iss);
    (void) weir_token_json_text(claims, "jti", &jti);
    (void) weir_token_json_text(claims, "sub", &sub);

    if (jti.data) {
        weir_revoked_digest(table, WEIR_REVOKED_ID, iss, jti, id);
    }

    if (sub.data) {
        weir_revoked_digest(table, WEIR_REVOKED_SUBJECT, iss, sub, subject);
    }

    ngx_shmtx_lock(&revocation->shpool->mutex);

    revoked = weir_revoked_is_below(table, issued, now)
              || (jti.data && weir_revoked_has(table, id, issued, now))
              || (sub.data && weir_revoked_has(table, subject, issued, now));

    ngx_shmtx_unlock(&revocation->shpool->mutex);

    return revoked;
}
