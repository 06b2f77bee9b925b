/*
 * A weir_api block as read from the configuration.  It is constant, except its
 * cache of recent results, which each worker has of its own.
 */

#ifndef _NGX_HTTP_WEIR_VERSION_API_H_INCLUDED_
#define _NGX_HTTP_WEIR_VERSION_API_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "version/negotiate.h"


/* One version with all data for its responses. */
typedef struct {
    ngx_str_t              name;           /* "2" */
    ngx_str_t              media_type;     /* "application/vnd.shop.v2+json" */
    ngx_str_t              offered;        /* media_type as a JSON string */

    unsigned               deprecated:1;
    unsigned               gone_after_sunset:1;

    time_t                 sunset;         /* 0: none */
    ngx_str_t              deprecation;    /* "@1767225600", RFC 9745 */
    ngx_str_t              sunset_value;   /* an HTTP-date, RFC 8594 */
    ngx_str_t              link;
    weir_str_t             gone;           /* detail of the 410 */
} ngx_http_weir_version_item_t;


/*
 * Clients of an API send few different Accept headers: the results of the most
 * recent ones are cached by the bytes of the header alone.
 */

#define NGX_HTTP_WEIR_VERSION_LATE      32    /* a power of two */
#define NGX_HTTP_WEIR_VERSION_LATE_LEN  120   /* bytes; longer ones are not
                                                 cached */

typedef struct {
    size_t                         len;        /* 0: free */
    u_char                         accept[NGX_HTTP_WEIR_VERSION_LATE_LEN];
    weir_negotiate_result_t        result;
    weir_negotiated_t              what;
} ngx_http_weir_version_late_t;


typedef struct {
    ngx_str_t                      name;
    ngx_str_t                      header;     /* empty: only Accept is read */
    weir_negotiate_api_t           core;
    ngx_http_weir_version_item_t  *items;      /* array of core.nversions */
    ngx_str_t                      unversioned;  /* "application/vnd.shop+json" */
    weir_str_t                     unknown_version;
    ngx_http_weir_version_late_t   late[NGX_HTTP_WEIR_VERSION_LATE];
} ngx_http_weir_version_api_t;


/*
 * Reads the block that follows in the configuration.  NULL after an error,
 * which was logged.
 */
ngx_http_weir_version_api_t *ngx_http_weir_version_parse_api(ngx_conf_t *cf,
    ngx_str_t *name);


/*
 * The JSON member "offered": the types of all versions that are not gone,
 * allocated from the request's pool; NULL: no memory.
 */
const char *ngx_http_weir_version_offered(ngx_http_request_t *r,
    ngx_http_weir_version_api_t *api);


/*
 * True if the version's sunset has passed and its requests are answered with
 * 410.
 */
static ngx_inline ngx_uint_t
ngx_http_weir_version_is_gone(ngx_http_weir_version_item_t *item)
{
    return item->gone_after_sunset && item->sunset <= ngx_time();
}


#endif /* _NGX_HTTP_WEIR_VERSION_API_H_INCLUDED_ */
