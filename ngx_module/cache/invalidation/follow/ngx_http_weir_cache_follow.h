/* The follower of a zone's invalidations, see ngx_http_weir_cache_follow.c. */

#ifndef _NGX_HTTP_WEIR_CACHE_FOLLOW_H_INCLUDED_
#define _NGX_HTTP_WEIR_CACHE_FOLLOW_H_INCLUDED_


#include "cache/memory/ngx_http_weir_cache_zone.h"


/* Called once in each worker for each zone.  NGX_OK or NGX_ERROR. */
ngx_int_t ngx_http_weir_cache_follow_init_worker(
    ngx_http_weir_cache_zone_t *zone);

/* Called when the worker exits. */
void ngx_http_weir_cache_follow_exit_worker(ngx_http_weir_cache_zone_t *zone);


#endif /* _NGX_HTTP_WEIR_CACHE_FOLLOW_H_INCLUDED_ */
