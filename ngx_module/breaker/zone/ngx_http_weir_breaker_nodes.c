/* The memory of a zone's breakers; see ngx_http_weir_breaker_nodes.h. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "breaker/zone/ngx_http_weir_breaker_nodes.h"
#include "http/ngx_http_weir_assert.h"
#include "http/ngx_http_weir_clock.h"
#include "object/ngx_http_weir_object.h"


static ngx_http_weir_breaker_node_t *ngx_http_weir_breaker_nodes_take(
    ngx_http_weir_breaker_zone_t *zone);
static ngx_http_weir_breaker_node_t *ngx_http_weir_breaker_nodes_evictable(
    ngx_http_weir_breaker_zone_t *zone);
static void ngx_http_weir_breaker_nodes_publish(
    ngx_http_weir_breaker_node_t *node);


ngx_int_t
ngx_http_weir_breaker_nodes_init(ngx_http_weir_breaker_zone_t *zone,
    ngx_str_t *name)
{
    size_t                         len;
    ngx_uint_t                     i, n;
    ngx_http_weir_breaker_node_t  *node;

    zone->sh = ngx_slab_calloc(zone->shpool,
                               sizeof(ngx_http_weir_breaker_sh_t));
    if (zone->sh == NULL) {
        return NGX_ERROR;
    }

    zone->shpool->data = zone->sh;
    zone->sh->layout = ngx_http_weir_layout();
    zone->sh->edge = ngx_http_weir_random();

    ngx_rbtree_init(&zone->sh->rbtree, &zone->sh->sentinel,
                    ngx_str_rbtree_insert_value);
    ngx_queue_init(&zone->sh->closed);
    ngx_queue_init(&zone->sh->tripped);
    ngx_queue_init(&zone->sh->free);

    len = sizeof(" in weir_breaker_zone \"\"") + name->len;

    zone->shpool->log_ctx = ngx_slab_alloc(zone->shpool, len);
    if (zone->shpool->log_ctx == NULL) {
        return NGX_ERROR;
    }

    ngx_sprintf(zone->shpool->log_ctx, " in weir_breaker_zone \"%V\"%Z", name);

    /* all that is left, in one piece */

    len = zone->shpool->pfree * ngx_pagesize;
    n = len / sizeof(ngx_http_weir_breaker_node_t);

    node = n ? ngx_slab_calloc(zone->shpool, len) : NULL;
    if (node == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        ngx_queue_insert_tail(&zone->sh->free, &node[i].queue);
    }

    return NGX_OK;
}


void
ngx_http_weir_breaker_nodes_remember(ngx_http_weir_breaker_zone_t *zone,
    ngx_http_weir_breaker_node_t *node)
{
    ngx_http_weir_breaker_seen_t  *seen;

    if (node->breaker.state != WEIR_BREAKER_CLOSED) {
        return;
    }

    seen = &zone->seen[node->sn.node.key % NGX_HTTP_WEIR_BREAKER_SEEN];

    seen->node = node;
    seen->word = node->word;
    seen->generation = node->breaker.generation;
    seen->len = node->sn.str.len;
    ngx_memcpy(seen->key, node->key, seen->len);
}


ngx_http_weir_breaker_node_t *
ngx_http_weir_breaker_nodes_find(ngx_http_weir_breaker_zone_t *zone,
    ngx_http_weir_breaker_key_t *key)
{
    return (ngx_http_weir_breaker_node_t *)
                         ngx_str_rbtree_lookup(&zone->sh->rbtree, &key->text,
                                               key->hash);
}


ngx_http_weir_breaker_node_t *
ngx_http_weir_breaker_nodes_get(ngx_http_weir_breaker_zone_t *zone,
    ngx_http_weir_breaker_key_t *key, weir_breaker_settings_t *settings)
{
    ngx_http_weir_breaker_node_t  *node;

    node = ngx_http_weir_breaker_nodes_find(zone, key);

    if (node) {
        if (node->configuration < zone->configuration) {
            node->configuration = zone->configuration;
            node->settings = *settings;
        }

        return node;
    }

    node = ngx_http_weir_breaker_nodes_take(zone);

    if (node == NULL) {
        zone->sh->uncounted++;
        return NULL;
    }

    ngx_memzero(node, sizeof(ngx_http_weir_breaker_node_t));
    ngx_memcpy(node->key, key->text.data, key->text.len);
    node->sn.str.data = node->key;
    node->sn.str.len = key->text.len;
    node->sn.node.key = key->hash;
    node->configuration = zone->configuration;
    node->settings = *settings;

    weir_breaker_init(&node->breaker, ngx_current_msec,
                      ++zone->sh->generation);
    ngx_http_weir_breaker_nodes_publish(node);

    ngx_rbtree_insert(&zone->sh->rbtree, &node->sn.node);
    ngx_queue_insert_head(&zone->sh->closed, &node->queue);
    zone->sh->breakers++;

    return node;
}


/*
 * A node that is in no queue.  Its word is 0 before its key changes, so a worker
 * that has remembered it takes no other key's breaker for it.
 */

static ngx_http_weir_breaker_node_t *
ngx_http_weir_breaker_nodes_take(ngx_http_weir_breaker_zone_t *zone)
{
    ngx_queue_t                   *q;
    ngx_http_weir_breaker_node_t  *node;

    if (!ngx_queue_empty(&zone->sh->free)) {
        q = ngx_queue_head(&zone->sh->free);
        ngx_queue_remove(q);

        return ngx_queue_data(q, ngx_http_weir_breaker_node_t, queue);
    }

    zone->sh->full = ngx_max(zone->sh->full, 1);

    node = ngx_http_weir_breaker_nodes_evictable(zone);

    if (node == NULL) {
        return NULL;
    }

    ngx_http_weir_assert(zone->sh->breakers != 0);
    ngx_http_weir_assert(zone->sh->not_closed <= zone->sh->breakers);

    zone->sh->forgotten++;
    zone->sh->breakers--;
    zone->sh->not_closed -= (node->breaker.state != WEIR_BREAKER_CLOSED);

    node->word = 0;
    ngx_memory_barrier();

    ngx_queue_remove(&node->queue);
    ngx_rbtree_delete(&zone->sh->rbtree, &node->sn.node);

    return node;
}


/*
 * Selects the breaker to evict: clients that create keys must not cause the
 * eviction of open breakers.  NULL: none can be evicted.
 */

static ngx_http_weir_breaker_node_t *
ngx_http_weir_breaker_nodes_evictable(ngx_http_weir_breaker_zone_t *zone)
{
    ngx_queue_t                   *q;
    ngx_http_weir_breaker_node_t  *node;

    if (!ngx_queue_empty(&zone->sh->closed)) {
        q = ngx_queue_last(&zone->sh->closed);
        return ngx_queue_data(q, ngx_http_weir_breaker_node_t, queue);
    }

    if (ngx_queue_empty(&zone->sh->tripped)) {
        return NULL;
    }

    q = ngx_queue_last(&zone->sh->tripped);
    node = ngx_queue_data(q, ngx_http_weir_breaker_node_t, queue);

    /* half-open and ramping breakers are asked, or their upstream is not */

    return ngx_current_msec > node->breaker.since
                              + ngx_max(2 * node->breaker.open_for,
                                        2 * node->settings.open)
                              + node->settings.ramp
           ? node : NULL;
}


void
ngx_http_weir_breaker_nodes_used(ngx_http_weir_breaker_zone_t *zone,
    ngx_http_weir_breaker_node_t *node, weir_breaker_state_t was)
{
    weir_breaker_state_t  is;

    is = node->breaker.state;

    if (is == WEIR_BREAKER_CLOSED && was == WEIR_BREAKER_CLOSED
        && ngx_queue_head(&zone->sh->closed) == &node->queue)
    {
        ngx_http_weir_breaker_nodes_publish(node);
        return;
    }

    zone->sh->not_closed += (is != WEIR_BREAKER_CLOSED);
    zone->sh->not_closed -= (was != WEIR_BREAKER_CLOSED);
    node->openings += (is == WEIR_BREAKER_OPEN
                       && (was == WEIR_BREAKER_CLOSED
                           || was == WEIR_BREAKER_RAMPING));

    ngx_http_weir_assert(zone->sh->not_closed <= zone->sh->breakers);

    ngx_queue_remove(&node->queue);
    ngx_queue_insert_head(is == WEIR_BREAKER_CLOSED ? &zone->sh->closed
                                                    : &zone->sh->tripped,
                          &node->queue);

    ngx_http_weir_breaker_nodes_publish(node);
}


void
ngx_http_weir_breaker_nodes_change(ngx_http_weir_breaker_change_t *change,
    ngx_http_weir_breaker_node_t *node, weir_breaker_state_t was)
{
    change->was = was;
    change->is = node->breaker.state;

    if (change->was == change->is) {
        return;
    }

    change->heard = 0;
    change->rule = node->breaker.rule;
    change->counts = node->breaker.opened;
    change->window = node->settings.window;
    change->open = node->breaker.open_for;
    change->reopened = node->breaker.reopened;
    change->cause = node->cause;
    change->len = node->sn.str.len;
    ngx_memcpy(change->key, node->key, change->len);
}


static void
ngx_http_weir_breaker_nodes_publish(ngx_http_weir_breaker_node_t *node)
{
    node->word = node->breaker.generation * 4 + node->breaker.state;
}
