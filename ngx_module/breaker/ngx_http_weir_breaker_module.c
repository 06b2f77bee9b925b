/*
 * weir_breaker: a circuit breaker before any *_pass.
 *
 * A precontent handler asks the breaker.  An admitted request owes it a result
 * (see ngx_http_weir_breaker_debt.c); a refused one is answered here.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "breaker/ngx_http_weir_breaker.h"
#include "breaker/fleet/ngx_http_weir_breaker_follow.h"
#include "breaker/fleet/ngx_http_weir_breaker_lease.h"
#include "breaker/zone/ngx_http_weir_breaker_log.h"
#include "http/ngx_http_weir.h"
#include "record/ngx_http_weir_record.h"


static ngx_int_t ngx_http_weir_breaker_rewrite_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_breaker_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_breaker_ask(ngx_http_request_t *r,
    ngx_http_weir_breaker_loc_conf_t *blcf, ngx_http_weir_breaker_key_t *key);
static ngx_int_t ngx_http_weir_breaker_state_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_weir_breaker_add_variables(ngx_conf_t *cf);
static ngx_int_t ngx_http_weir_breaker_init(ngx_conf_t *cf);


static ngx_command_t  ngx_http_weir_breaker_commands[] = {

    { ngx_string("weir_breaker_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE23,
      ngx_http_weir_breaker_zone,
      0,
      0,
      NULL },

    { ngx_string("weir_breaker"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_weir_breaker_set,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("weir_breaker_fallback"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_weir_breaker_fallback_set,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_weir_breaker_module_ctx = {
    ngx_http_weir_breaker_add_variables,       /* preconfiguration */
    ngx_http_weir_breaker_init,                /* postconfiguration */

    ngx_http_weir_breaker_create_main_conf,    /* create main configuration */
    NULL,                                      /* init main configuration */

    NULL,                                      /* create server configuration */
    NULL,                                      /* merge server configuration */

    ngx_http_weir_breaker_create_loc_conf,     /* create location configuration */
    ngx_http_weir_breaker_merge_loc_conf       /* merge location configuration */
};


ngx_module_t  ngx_http_weir_breaker_module = {
    NGX_MODULE_V1,
    &ngx_http_weir_breaker_module_ctx,         /* module context */
    ngx_http_weir_breaker_commands,            /* module directives */
    NGX_HTTP_MODULE,                           /* module type */
    NULL,                                      /* init master */
    NULL,                                      /* init module */
    ngx_http_weir_breaker_follow,              /* init process */
    NULL,                                      /* init thread */
    NULL,                                      /* exit thread */
    ngx_http_weir_breaker_follow_exit,         /* exit process */
    NULL,                                      /* exit master */
    NGX_MODULE_V1_PADDING
};


/*
 * Called at the beginning of each pass of a request through a location: settles
 * the debt of an earlier pass (error_page, X-Accel-Redirect), while r->upstream
 * is still that of the earlier pass, and before the request waits for anything
 * in this one: a probe has had its result.
 */

static ngx_int_t
ngx_http_weir_breaker_rewrite_handler(ngx_http_request_t *r)
{
    ngx_http_weir_breaker_debt_t  *debt;

    if (r->internal && r == r->main) {
        debt = ngx_http_weir_breaker_debt(r);

        if (debt) {
            ngx_http_weir_breaker_cleanup(debt);
        }
    }

    return NGX_DECLINED;
}


/* Only requests of clients are counted, no subrequests. */

static ngx_int_t
ngx_http_weir_breaker_handler(ngx_http_request_t *r)
{
    ngx_int_t                          rc;
    ngx_http_weir_breaker_key_t        key;
    ngx_http_weir_breaker_loc_conf_t  *blcf;

    if (r != r->main) {
        return NGX_DECLINED;
    }

    blcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_breaker_module);

    if (blcf->breaker == NULL || r->content_handler == NULL) {
        return NGX_DECLINED;
    }

    ngx_http_weir_record_enter(r, NGX_HTTP_WEIR_PHASE_BREAKER);

    rc = ngx_http_weir_breaker_key(r, blcf, &key);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_DECLINED
                                  : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_weir_breaker_ask(r, blcf, &key);
}


/* Returns the value for the phase handler. */

static ngx_int_t
ngx_http_weir_breaker_ask(ngx_http_request_t *r,
    ngx_http_weir_breaker_loc_conf_t *blcf, ngx_http_weir_breaker_key_t *key)
{
    ngx_int_t                        rc;
    ngx_msec_t                       retry_after;
    ngx_http_weir_breaker_t         *breaker;
    ngx_http_weir_breaker_debt_t    *debt;
    ngx_http_weir_breaker_change_t   change;
    ngx_http_weir_breaker_ticket_t   ticket;
    ngx_http_weir_breaker_verdict_t  verdict;

    /* before asking the breaker: an admitted request must be able to report */

    debt = ngx_http_weir_breaker_debt_new(r);
    if (debt == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    breaker = blcf->breaker;
    retry_after = 0;

    switch (ngx_http_weir_breaker_lease_read(r, &ticket, &verdict)) {

    case NGX_AGAIN:
        return NGX_AGAIN;

    case NGX_OK:
        rc = NGX_AGAIN;
        break;

    default:
        rc = ngx_http_weir_breaker_zone_admit(breaker->zone, key,
                                              &breaker->settings, &ticket,
                                              &retry_after, &change,
                                              r->connection->log);

        if (rc == NGX_AGAIN) {
            rc = ngx_http_weir_breaker_lease_ask(r, breaker, key, &ticket);

            if (rc != NGX_DECLINED) {
                return rc;
            }

            ngx_memzero(&verdict, sizeof(ngx_http_weir_breaker_verdict_t));
            rc = NGX_AGAIN;
        }
    }

    if (rc == NGX_AGAIN) {
        rc = ngx_http_weir_breaker_zone_probe(breaker->zone, &verdict, &ticket,
                                              &retry_after, &change);
    }

    ngx_http_weir_breaker_changed(r, breaker, &change);

    if (rc == NGX_BUSY) {
        return ngx_http_weir_breaker_fallback(r, blcf, retry_after);
    }

    if (rc == NGX_OK) {
        ngx_http_weir_breaker_debt_owe(debt, r, breaker, &ticket);
    }

    ngx_http_weir_record_enter(r, NGX_HTTP_WEIR_PHASE_UPSTREAM);

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_weir_breaker_state_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t                         *name;
    ngx_http_weir_breaker_t           *breaker;
    ngx_http_weir_breaker_key_t        key;
    ngx_http_weir_breaker_loc_conf_t  *blcf;

    blcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_breaker_module);
    breaker = blcf->breaker;

    if (breaker == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    switch (ngx_http_weir_breaker_key(r, blcf, &key)) {

    case NGX_OK:
        break;

    case NGX_DECLINED:
        v->not_found = 1;
        return NGX_OK;

    default:
        return NGX_ERROR;
    }

    name = ngx_http_weir_breaker_log_state(
                     ngx_http_weir_breaker_zone_state(breaker->zone, &key));

    v->data = name->data;
    v->len = name->len;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_breaker_add_variables(ngx_conf_t *cf)
{
    static ngx_http_variable_t  vars[] = {

        { ngx_string("weir_breaker_state"), NULL,
          ngx_http_weir_breaker_state_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

          ngx_http_null_variable
    };

    return ngx_http_weir_add_variables(cf, vars);
}


static ngx_int_t
ngx_http_weir_breaker_init(ngx_conf_t *cf)
{
    if (ngx_http_weir_breaker_check_zones(cf) != NGX_OK
        || ngx_http_weir_breaker_fallback_check(cf) != NGX_OK
        || ngx_http_weir_breaker_tries_init(cf) != NGX_OK
        || ngx_http_weir_add_handler(cf, NGX_HTTP_REWRITE_PHASE,
                                     ngx_http_weir_breaker_rewrite_handler)
           != NGX_OK
        || ngx_http_weir_add_handler(cf, NGX_HTTP_PRECONTENT_PHASE,
                                     ngx_http_weir_breaker_handler)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_weir_breaker_init_filter();

    return NGX_OK;
}
