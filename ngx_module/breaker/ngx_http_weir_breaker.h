/*
 * What the files of weir_breaker share.
 *
 *     module  directives, the question before an upstream is asked, variables
 *     conf    what weir_breaker takes
 *     debt    the result that a request owes once it was let pass
 *     zone    the breakers in shared memory
 */

#ifndef _NGX_HTTP_WEIR_BREAKER_H_INCLUDED_
#define _NGX_HTTP_WEIR_BREAKER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "breaker/ngx_http_weir_breaker_zone.h"


#define NGX_HTTP_WEIR_BREAKER_ON_ERROR    0x0001
#define NGX_HTTP_WEIR_BREAKER_ON_TIMEOUT  0x0002
#define NGX_HTTP_WEIR_BREAKER_ON_500      0x0004
#define NGX_HTTP_WEIR_BREAKER_ON_502      0x0008
#define NGX_HTTP_WEIR_BREAKER_ON_503      0x0010
#define NGX_HTTP_WEIR_BREAKER_ON_504      0x0020
#define NGX_HTTP_WEIR_BREAKER_ON_429      0x0040


typedef struct {
    ngx_shm_zone_t              *zone;
    ngx_http_complex_value_t    *key;      /* NULL: the upstream's name */
    weir_breaker_settings_t      settings;
    ngx_msec_t                   slow;     /* 0: none */
    ngx_uint_t                   on;
} ngx_http_weir_breaker_t;


typedef struct {
    ngx_http_weir_breaker_t     *breaker;  /* NULL: off */
} ngx_http_weir_breaker_loc_conf_t;


/* A result that is owed; the data of a cleanup of the request's pool. */
typedef struct {
    ngx_http_request_t          *request;
    ngx_http_weir_breaker_t     *breaker;
    ngx_str_t                    key;
    uint64_t                     generation;
    ngx_http_upstream_t         *upstream; /* whose header was counted */
    off_t                        body;     /* bytes of its body that came */
    unsigned                     counted:1; /* body is known */
    unsigned                     reported:1;
    unsigned                     failed:1;
} ngx_http_weir_breaker_debt_t;


extern ngx_module_t  ngx_http_weir_breaker_module;


/* conf: for the module's context and its table of directives */
void *ngx_http_weir_breaker_create_loc_conf(ngx_conf_t *cf);
char *ngx_http_weir_breaker_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
char *ngx_http_weir_breaker_set(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* debt: installs the filter that sees the upstream's answer */
void ngx_http_weir_breaker_init_filter(void);

/* debt: the cleanup; whoever still owes tells what is known, for the last time */
void ngx_http_weir_breaker_cleanup(void *data);


/* What the request's last pass owes, or NULL; older ones are settled. */
static ngx_inline ngx_http_weir_breaker_debt_t *
ngx_http_weir_breaker_debt(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t  *cln;

    for (cln = r->pool->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_http_weir_breaker_cleanup) {
            return cln->data;
        }
    }

    return NULL;
}


#endif /* _NGX_HTTP_WEIR_BREAKER_H_INCLUDED_ */
