/*
 * Counts of recent misses per key, for weir_cache_min_uses and for eviction: an
 * entry that was missed before goes to the main queue.
 *
 * Counts are in sets of places that the digest selects, the most recent first;
 * the least recent one is replaced.  Two keys with the same set and the same 24
 * bits of mark share a count.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/memory/ngx_http_weir_cache_zone_private.h"
#include "http/ngx_http_weir_assert.h"


/*
 * Places in a set, a power of two.  With a single place, two keys could reset
 * each other's count for ever.
 */
#define NGX_HTTP_WEIR_CACHE_MISS_WAYS  8


static uint32_t *ngx_http_weir_cache_zone_misses(ngx_http_weir_cache_sh_t *sh,
    u_char *digest, uint32_t *mark);


/* Finds the set of a key, and its mark in it. */

static uint32_t *
ngx_http_weir_cache_zone_misses(ngx_http_weir_cache_sh_t *sh, u_char *digest,
    uint32_t *mark)
{
    uint32_t  n;

    ngx_http_weir_assert(sh->mask >= NGX_HTTP_WEIR_CACHE_MISS_WAYS);

    ngx_memcpy(mark, digest + 4, sizeof(uint32_t));
    ngx_memcpy(&n, digest + 8, sizeof(uint32_t));

    *mark &= 0xffffff00;

    return &sh->misses[n & sh->mask & ~(NGX_HTTP_WEIR_CACHE_MISS_WAYS - 1)];
}


void
ngx_http_weir_cache_zone_missed(ngx_http_weir_cache_zone_t *zone,
    u_char *digest)
{
    uint32_t    mark, *miss, count;
    ngx_uint_t  i;

    ngx_http_weir_cache_zone_lock(zone);

    miss = ngx_http_weir_cache_zone_misses(zone->sh, digest, &mark);

    /* to the front */

    for (i = 0; i < NGX_HTTP_WEIR_CACHE_MISS_WAYS - 1; i++) {
        if ((miss[i] & 0xffffff00) == mark) {
            break;
        }
    }

    count = (miss[i] & 0xffffff00) == mark ? miss[i] & 0xff : 0;

    ngx_memmove(&miss[1], &miss[0], i * sizeof(uint32_t));
    miss[0] = mark | ngx_min(count + 1, 255);

    ngx_http_weir_cache_zone_unlock(zone);
}


ngx_uint_t
ngx_http_weir_cache_zone_uses(ngx_http_weir_cache_zone_t *zone, u_char *digest)
{
    uint32_t    mark, *miss;
    ngx_uint_t  i;

    miss = ngx_http_weir_cache_zone_misses(zone->sh, digest, &mark);

    for (i = 0; i < NGX_HTTP_WEIR_CACHE_MISS_WAYS; i++) {
        if ((miss[i] & 0xffffff00) == mark) {
            return miss[i] & 0xff;
        }
    }

    return 0;
}
