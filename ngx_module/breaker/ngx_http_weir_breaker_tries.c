/*
 * The tries of a request at several servers (proxy_next_upstream).
 *
 * nginx asks the balancer of an upstream for a server by u->peer.get, for each
 * try.  That function is called through one of ours: when it is called again, the
 * try before has failed, and is counted then and not when the request ends.
 * Where nginx makes the servers itself, from the addresses of a name with
 * variables, the tries are counted with the result of the request.
 *
 * The last try is not counted here: it has the result of the request.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "breaker/ngx_http_weir_breaker.h"
#include "http/ngx_http_weir_assert.h"


static ngx_int_t ngx_http_weir_breaker_tries_begin(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us);
static ngx_int_t ngx_http_weir_breaker_tries_get(ngx_peer_connection_t *pc,
    void *data);


ngx_int_t
ngx_http_weir_breaker_tries_init(ngx_conf_t *cf)
{
    ngx_uint_t                           i;
    ngx_http_weir_breaker_init_t        *init;
    ngx_http_upstream_srv_conf_t       **us;
    ngx_http_upstream_main_conf_t       *umcf;
    ngx_http_weir_breaker_main_conf_t   *bmcf;

    bmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_breaker_module);
    umcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_upstream_module);

    if (bmcf->breakers.nelts == 0) {
        return NGX_OK;
    }

    us = umcf->upstreams.elts;

    for (i = 0; i < umcf->upstreams.nelts; i++) {

        if (us[i]->srv_conf == NULL || us[i]->peer.init == NULL) {
            continue;
        }

        init = ngx_array_push(&bmcf->inits);
        if (init == NULL) {
            return NGX_ERROR;
        }

        init->upstream = us[i];
        init->init = us[i]->peer.init;
        us[i]->peer.init = ngx_http_weir_breaker_tries_begin;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_breaker_tries_begin(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us)
{
    ngx_uint_t                          i;
    ngx_http_upstream_t                *u;
    ngx_http_weir_breaker_init_t       *init;
    ngx_http_weir_breaker_debt_t       *debt;
    ngx_http_weir_breaker_main_conf_t  *bmcf;

    bmcf = ngx_http_get_module_main_conf(r, ngx_http_weir_breaker_module);
    init = bmcf->inits.elts;

    for (i = 0; init[i].upstream != us; i++) {
        ngx_http_weir_assert(i + 1 < bmcf->inits.nelts);
    }

    if (init[i].init(r, us) != NGX_OK) {
        return NGX_ERROR;
    }

    u = r->upstream;

    if (r != r->main || u->cleanup == NULL) {
        return NGX_OK;
    }

    debt = ngx_http_weir_breaker_debt(r);

    if (debt && !debt->reported) {
        debt->get = u->peer.get;
        u->peer.get = ngx_http_weir_breaker_tries_get;
    }

    return NGX_OK;
}


/*
 * pc is part of the upstream, whose cleanup is that of a request
 * (ngx_http_upstream_init_request()).
 */

static ngx_int_t
ngx_http_weir_breaker_tries_get(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_upstream_t           *u;
    ngx_http_request_t            *r;
    ngx_http_cleanup_t            *cln;
    ngx_http_weir_breaker_debt_t  *debt;

    u = (ngx_http_upstream_t *)
                         ((u_char *) pc - offsetof(ngx_http_upstream_t, peer));
    cln = (ngx_http_cleanup_t *)
                 ((u_char *) u->cleanup - offsetof(ngx_http_cleanup_t, handler));
    r = cln->data;

    ngx_http_weir_assert(r->upstream == u);

    debt = ngx_http_weir_breaker_debt(r);

    /*
     * An error of a connection that was kept may only mean that the server has
     * closed it in time; nginx does not count the try either.
     */
    if (ngx_http_weir_breaker_has_tries(debt)) {
        ngx_http_weir_breaker_debt_tries(debt, pc->cached);
    }

    return debt->get(pc, data);
}
