/*
 * Entries by the key of the request: all versions and variants of one URI are
 * in one chain, in addition to the chains by digest that look-ups use.  The
 * chain is walked only when a client's invalidation record is evicted: the
 * entries of its key are removed from memory then, and the record is no longer
 * needed for them.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/entry.h"
#include "cache/memory/ngx_http_weir_cache_zone_private.h"
#include "http/ngx_http_weir_assert.h"


static ngx_http_weir_cache_node_t **ngx_http_weir_cache_zone_chain(
    ngx_http_weir_cache_sh_t *sh, uint64_t key);
static ngx_uint_t ngx_http_weir_cache_zone_is_newer(
    ngx_http_weir_cache_node_t *node, uint64_t origin, uint64_t local);


static ngx_http_weir_cache_node_t **
ngx_http_weir_cache_zone_chain(ngx_http_weir_cache_sh_t *sh, uint64_t key)
{
    return &sh->keys[weir_siphash_word(sh->secret, key)
                     & sh->mask];
}


void
ngx_http_weir_cache_zone_link_key(ngx_http_weir_cache_sh_t *sh,
    ngx_http_weir_cache_node_t *node)
{
    ngx_http_weir_cache_node_t  **chain;

    node->key_prev = NULL;

    if (node->key == 0) {
        return;
    }

    chain = ngx_http_weir_cache_zone_chain(sh, node->key);

    ngx_http_weir_assert(*chain == NULL || (*chain)->key_prev == chain);

    node->key_next = *chain;
    node->key_prev = chain;

    if (*chain) {
        (*chain)->key_prev = &node->key_next;
    }

    *chain = node;
}


void
ngx_http_weir_cache_zone_unlink_key(ngx_http_weir_cache_node_t *node)
{
    if (node->key_prev == NULL) {
        return;
    }

    ngx_http_weir_assert(*node->key_prev == node);
    ngx_http_weir_assert(node->key_next == NULL
                         || node->key_next->key_prev == &node->key_next);

    *node->key_prev = node->key_next;

    if (node->key_next) {
        node->key_next->key_prev = node->key_prev;
    }

    node->key_prev = NULL;
}


void
ngx_http_weir_cache_zone_remove_key(ngx_http_weir_cache_zone_t *zone,
    uint64_t key, uint64_t origin, uint64_t local)
{
    ngx_http_weir_cache_sh_t    *sh;
    ngx_http_weir_cache_node_t  *node, *next;

    sh = zone->sh;

    for (node = *ngx_http_weir_cache_zone_chain(sh, key); node; node = next) {
        next = node->key_next;

        if (node->key == key
            && !ngx_http_weir_cache_zone_is_newer(node, origin, local))
        {
            ngx_http_weir_cache_zone_unlink(sh, node);
        }
    }
}


/*
 * True if the entry is of that origin and was asked for at that local number or
 * later.
 */

static ngx_uint_t
ngx_http_weir_cache_zone_is_newer(ngx_http_weir_cache_node_t *node,
    uint64_t origin, uint64_t local)
{
    weir_str_t    data;
    weir_entry_t  entry;

    data.data = (char *) node->data;
    data.len = node->len;

    return weir_entry_view(data, &entry) == NULL
           && entry.origin == origin && entry.local >= local;
}
