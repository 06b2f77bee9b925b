/*
 * After a zone was created, its stream has not been read yet, and a response
 * stored now could not be used afterwards.  Requests wait for the first read,
 * at most as long as for any reply of Redis.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/invalidation/ngx_http_weir_cache_first_read.h"
#include "cache/invalidation/ngx_http_weir_cache_invalidation.h"
#include "http/ngx_http_weir_clock.h"
#include "http/ngx_http_weir_park.h"


/* Interval of the checks whether the stream was read, ms. */
#define NGX_HTTP_WEIR_CACHE_FIRST_READ_POLL  2


typedef struct {
    ngx_http_request_t  *request;
    ngx_event_t          poll;
} ngx_http_weir_cache_first_read_t;


static void ngx_http_weir_cache_first_read_handler(ngx_event_t *ev);
static void ngx_http_weir_cache_first_read_cleanup(void *data);


ngx_int_t
ngx_http_weir_cache_first_read(ngx_http_request_t *r,
    ngx_http_weir_cache_zone_t *zone)
{
    uint64_t                           waited;
    ngx_int_t                          rc;
    ngx_pool_cleanup_t                *cln;
    ngx_http_weir_cache_first_read_t  *first;

    waited = ngx_http_weir_ms() - zone->invalidation->created;

    if (waited >= ngx_http_weir_redis_timeout(zone->redis)) {
        return NGX_DECLINED;
    }

    for (cln = r->pool->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_http_weir_cache_first_read_cleanup) {
            break;
        }
    }

    if (cln == NULL) {
        cln = ngx_pool_cleanup_add(r->pool,
                                   sizeof(ngx_http_weir_cache_first_read_t));
        if (cln == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        ngx_memzero(cln->data, sizeof(ngx_http_weir_cache_first_read_t));
        cln->handler = ngx_http_weir_cache_first_read_cleanup;
    }

    first = cln->data;

    first->request = r;
    first->poll.handler = ngx_http_weir_cache_first_read_handler;
    first->poll.data = first;
    first->poll.log = r->connection->log;

    rc = ngx_http_weir_park(r);

    if (rc == NGX_AGAIN) {
        ngx_add_timer(&first->poll, NGX_HTTP_WEIR_CACHE_FIRST_READ_POLL);
    }

    return rc;
}


static void
ngx_http_weir_cache_first_read_handler(ngx_event_t *ev)
{
    ngx_http_weir_cache_first_read_t  *first = ev->data;

    ngx_http_weir_resume(first->request);
}


static void
ngx_http_weir_cache_first_read_cleanup(void *data)
{
    ngx_http_weir_cache_first_read_t  *first = data;

    if (first->poll.timer_set) {
        ngx_del_timer(&first->poll);
    }
}
