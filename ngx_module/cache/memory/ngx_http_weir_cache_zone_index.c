/*
 * Where an entry stands while it is linked: in the bucket of its digest, in the
 * chain of its key, and in a queue of eviction.
 *
 * Between two calls an entry is linked, or pinned, or both; when neither holds,
 * its block is freed.
 *
 * All versions and variants of one URI are in the chain of one key, in addition
 * to the buckets by digest that look-ups use.  The chain is walked only when a
 * client's invalidation record is evicted.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/memory/ngx_http_weir_cache_zone_private.h"
#include "http/ngx_http_weir_assert.h"


static ngx_http_weir_cache_node_t **ngx_http_weir_cache_zone_bucket(
    ngx_http_weir_cache_sh_t *sh, u_char *digest);
static ngx_http_weir_cache_node_t **ngx_http_weir_cache_zone_chain(
    ngx_http_weir_cache_sh_t *sh, uint64_t key);
static void ngx_http_weir_cache_zone_link_key(ngx_http_weir_cache_sh_t *sh,
    ngx_http_weir_cache_node_t *node);
static void ngx_http_weir_cache_zone_unlink_key(
    ngx_http_weir_cache_node_t *node);


static ngx_http_weir_cache_node_t **
ngx_http_weir_cache_zone_bucket(ngx_http_weir_cache_sh_t *sh, u_char *digest)
{
    uint32_t  n;

    ngx_memcpy(&n, digest, sizeof(uint32_t));

    return &sh->buckets[n & sh->mask];
}


ngx_http_weir_cache_node_t *
ngx_http_weir_cache_zone_find(ngx_http_weir_cache_sh_t *sh, u_char *digest)
{
    ngx_http_weir_cache_node_t  *node;

    for (node = *ngx_http_weir_cache_zone_bucket(sh, digest);
         node;
         node = node->next)
    {
        if (ngx_memcmp(node->digest, digest, NGX_HTTP_WEIR_CACHE_DIGEST_LEN)
            == 0)
        {
            return node;
        }
    }

    return NULL;
}


static ngx_http_weir_cache_node_t **
ngx_http_weir_cache_zone_chain(ngx_http_weir_cache_sh_t *sh, uint64_t key)
{
    return &sh->keys[weir_siphash_word(sh->secret, key)
                     & sh->mask];
}


ngx_http_weir_cache_node_t *
ngx_http_weir_cache_zone_first(ngx_http_weir_cache_sh_t *sh, uint64_t key)
{
    return *ngx_http_weir_cache_zone_chain(sh, key);
}


void
ngx_http_weir_cache_zone_link(ngx_http_weir_cache_sh_t *sh,
    ngx_http_weir_cache_node_t *node)
{
    ngx_http_weir_cache_node_t  **bucket;

    ngx_http_weir_assert(!node->linked);
    ngx_http_weir_assert((u_char *) node > sh->memory
                         && (u_char *) node < sh->memory + sh->size);

    bucket = ngx_http_weir_cache_zone_bucket(sh, node->digest);
    node->next = *bucket;
    *bucket = node;

    ngx_http_weir_cache_zone_link_key(sh, node);

    if (node->main) {
        ngx_queue_insert_head(&sh->main, &node->queue);

    } else {
        ngx_queue_insert_head(&sh->small, &node->queue);
        sh->small_bytes += weir_arena_block_size(node);
    }

    node->linked = 1;
    sh->entries++;
}


void
ngx_http_weir_cache_zone_unlink(ngx_http_weir_cache_sh_t *sh,
    ngx_http_weir_cache_node_t *node)
{
    ngx_http_weir_cache_node_t  **p;

    ngx_http_weir_assert(node->linked && sh->entries != 0);

    for (p = ngx_http_weir_cache_zone_bucket(sh, node->digest);
         *p != node;
         p = &(*p)->next)
    {
        /* void */
    }

    *p = node->next;

    ngx_http_weir_cache_zone_unlink_key(node);
    ngx_queue_remove(&node->queue);

    if (!node->main) {
        ngx_http_weir_assert(sh->small_bytes >= weir_arena_block_size(node));

        sh->small_bytes -= weir_arena_block_size(node);
    }

    node->linked = 0;
    sh->entries--;

    if (node->refs == 0) {
        weir_arena_free(&sh->arena, node);
    }
}


static void
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


static void
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
