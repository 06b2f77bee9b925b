/*
 * The set for a request; and requests whose token has a key that is not in the
 * set, or for which there is no set.  They wait for one fetch that begins after
 * them: the issuer may have published the key a moment ago.  The bounds are
 * those of the list, and one fetch in NGX_HTTP_WEIR_JWT_KEYS_INTERVAL for all of
 * them.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "auth/keys/ngx_http_weir_jwt_keys_private.h"
#include "http/ngx_http_weir_clock.h"


ngx_int_t
ngx_http_weir_jwt_keys_use(ngx_http_weir_jwt_keys_t *keys,
    uint64_t *generation)
{
    if (!keys->started && !keys->stopped) {
        /* "master_process off" does not initialize what it reads later */
        ngx_http_weir_jwt_keys_start(keys);
    }

    if (ngx_http_weir_jwt_keys_get(&keys->sh->generation) != keys->generation) {
        ngx_http_weir_jwt_keys_take(keys);
    }

    *generation = keys->generation;

    if (keys->generation == 0) {
        return NGX_DECLINED;
    }

    if (keys->remote
        && ngx_http_weir_ms()
           > ngx_http_weir_jwt_keys_get(&keys->sh->confirmed) + keys->keep)
    {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_weir_jwt_keys_wait(ngx_http_request_t *r,
    ngx_http_weir_jwt_keys_t *keys, ngx_http_weir_jwt_keys_wait_t *wait,
    weir_token_reason_t reason, uint64_t generation)
{
    if (!keys->remote || !keys->started || r != r->main) {
        /* a file is looked at by its timer */
        return NGX_DECLINED;
    }

    if (!wait->began) {
        wait->began = 1;
        wait->since = ngx_current_msec;
        wait->asked = ngx_http_weir_jwt_keys_get(&keys->sh->begun);
    }

    if (keys->generation != generation) {
        return NGX_OK;
    }

    if (ngx_http_weir_jwt_keys_get(&keys->sh->ended) > wait->asked) {

        if (reason == WEIR_TOKEN_NO_KEYS && !wait->fetched) {
            /* the same set may have been confirmed */
            wait->fetched = 1;
            return NGX_OK;
        }

        return NGX_DECLINED;
    }

    if (ngx_current_msec - wait->since >= NGX_HTTP_WEIR_JWT_KEYS_WAIT) {
        return NGX_DECLINED;
    }

    keys->wanted = ngx_max(keys->wanted, wait->asked + 1);

    if (ngx_http_weir_jwt_wait(r, &wait->wait, &keys->waits) != NGX_AGAIN) {
        return NGX_DECLINED;
    }

    ngx_http_weir_jwt_keys_want(keys);

    return NGX_AGAIN;
}


time_t
ngx_http_weir_jwt_keys_retry(ngx_http_weir_jwt_keys_t *keys)
{
    uint64_t  due, now;

    now = ngx_http_weir_ms();
    due = ngx_http_weir_jwt_keys_get(&keys->sh->due);

    return due > now ? (time_t) ngx_min((due - now + 999) / 1000, 60) : 1;
}
