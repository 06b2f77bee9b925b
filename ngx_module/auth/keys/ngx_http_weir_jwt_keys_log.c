/*
 * The issuer's state in words: one line when fetches begin to fail, one when
 * they succeed again, and one for each new set.  The state is in shared memory,
 * so that another process does not repeat what the last one said.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "auth/keys/ngx_http_weir_jwt_keys_private.h"
#include "http/ngx_http_weir_clock.h"


static void ngx_http_weir_jwt_keys_log_failing(ngx_http_weir_jwt_keys_t *keys,
    const char *fault, const char *detail, ngx_err_t err);


void
ngx_http_weir_jwt_keys_log(ngx_http_weir_jwt_keys_t *keys,
    ngx_http_weir_jwt_fetch_e result, const char *fault, const char *detail,
    ngx_err_t err)
{
    uint64_t  before, now;

    now = (result == NGX_HTTP_WEIR_JWT_FETCH_CHANGED
           || result == NGX_HTTP_WEIR_JWT_FETCH_UNCHANGED)
          ? NGX_HTTP_WEIR_JWT_KEYS_GOOD : NGX_HTTP_WEIR_JWT_KEYS_FAILING;

    before = ngx_http_weir_jwt_keys_get(&keys->sh->state);
    ngx_http_weir_jwt_keys_set(&keys->sh->state, now);

    if (result == NGX_HTTP_WEIR_JWT_FETCH_CHANGED) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "weir_jwt_issuer \"%V\" uses the set of %uz keys that is"
                      " at %V now", &keys->name, keys->token->keys.n,
                      &keys->source);

    } else if (result == NGX_HTTP_WEIR_JWT_FETCH_UNCHANGED) {

        if (before == NGX_HTTP_WEIR_JWT_KEYS_FAILING) {
            ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                          "weir_jwt_issuer \"%V\" can read its keys at %V again,"
                          " which are the same", &keys->name, &keys->source);
        }

    } else if (before != NGX_HTTP_WEIR_JWT_KEYS_FAILING) {
        ngx_http_weir_jwt_keys_log_failing(keys, fault, detail, err);
    }
}


static void
ngx_http_weir_jwt_keys_log_failing(ngx_http_weir_jwt_keys_t *keys,
    const char *fault, const char *detail, ngx_err_t err)
{
    uint64_t  age;

    if (ngx_http_weir_jwt_keys_get(&keys->sh->generation) == 0) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, err,
                      "weir_jwt_issuer \"%V\" has no keys yet, and cannot use"
                      " those at %V: %s%s%s; its tokens are answered with 503",
                      &keys->name, &keys->source, fault, detail ? ": " : "",
                      detail ? detail : "");
        return;
    }

    if (!keys->remote) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, err,
                      "weir_jwt_issuer \"%V\" keeps its keys, and cannot use"
                      " those of the file %V: %s%s%s", &keys->name,
                      &keys->source, fault, detail ? ": " : "",
                      detail ? detail : "");
        return;
    }

    age = ngx_http_weir_ms() - ngx_http_weir_jwt_keys_get(&keys->sh->confirmed);

    ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, err,
                  "weir_jwt_issuer \"%V\" keeps its keys for %uL s at most, and"
                  " cannot use those at %V: %s%s%s", &keys->name,
                  age < keys->keep ? (keys->keep - age) / 1000 : 0,
                  &keys->source, fault, detail ? ": " : "",
                  detail ? detail : "");
}
