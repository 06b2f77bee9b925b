/*
 * The set of this process.  It is taken from shared memory when its generation
 * has changed: without the expensive checks, because the process that has
 * stored the document has made them.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "auth/keys/ngx_http_weir_jwt_keys_private.h"
#include "common/hash/blake2b.h"


void
ngx_http_weir_jwt_keys_take(ngx_http_weir_jwt_keys_t *keys)
{
    char          why[WEIR_JWKS_WHY_MAX];
    size_t        len;
    u_char       *buf;
    u_char        digest[NGX_HTTP_WEIR_JWT_KEYS_DIGEST];
    uint64_t      generation;
    weir_str_t    document;
    weir_jwks_t   set;

    buf = ngx_alloc(WEIR_JWKS_MAX, ngx_cycle->log);
    if (buf == NULL) {
        return;
    }

    len = 0;
    generation = ngx_http_weir_jwt_keys_zone_get(keys, buf, &len, digest);

    document.data = (char *) buf;
    document.len = len;

    if (generation) {

        if (weir_jwks_read(document, &set, why)) {
            ngx_http_weir_jwt_keys_adopt(keys, &set, digest, generation);

        } else if (keys->untaken != generation) {
            /* it was read in another process: there is no memory */
            keys->untaken = generation;
            ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                          "weir_jwt_issuer \"%V\" cannot take the keys that"
                          " another process has fetched: %s", &keys->name,
                          why);
        }
    }

    ngx_free(buf);
}


void
ngx_http_weir_jwt_keys_adopt(ngx_http_weir_jwt_keys_t *keys, weir_jwks_t *set,
    const u_char *digest, uint64_t generation)
{
    weir_jwks_release(&keys->token->keys);

    keys->token->keys = *set;
    keys->generation = generation;

    ngx_memcpy(keys->digest, digest, NGX_HTTP_WEIR_JWT_KEYS_DIGEST);
    ngx_memzero(set, sizeof(weir_jwks_t));
}


void
ngx_http_weir_jwt_keys_digest(weir_str_t document,
    u_char digest[NGX_HTTP_WEIR_JWT_KEYS_DIGEST])
{
    weir_str_t  none;

    ngx_memzero(&none, sizeof(weir_str_t));

    weir_blake2b(digest, NGX_HTTP_WEIR_JWT_KEYS_DIGEST, none,
                 WEIR_STR("weir jwks"), document);
}


ngx_uint_t
ngx_http_weir_jwt_keys_fit(ngx_http_weir_jwt_keys_t *keys,
    const weir_jwks_t *set, char why[WEIR_JWKS_WHY_MAX])
{
    if (weir_jwks_algorithms(set) & keys->token->algorithms) {
        return 1;
    }

    (void) ngx_cpystrn((u_char *) why,
                       (u_char *) "no key is for one of its algorithms",
                       WEIR_JWKS_WHY_MAX);

    return 0;
}
