/* weir_breaker_zone, and what calls ask and report. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "breaker/ngx_http_weir_breaker.h"
#include "breaker/zone/ngx_http_weir_breaker_nodes.h"
#include "http/ngx_http_weir.h"
#include "http/ngx_http_weir_assert.h"
#include "object/ngx_http_weir_object.h"


static ngx_int_t ngx_http_weir_breaker_zone_set_redis(ngx_conf_t *cf,
    ngx_http_weir_breaker_zone_t *zone, ngx_str_t *value);
static ngx_int_t ngx_http_weir_breaker_zone_init(ngx_shm_zone_t *shm_zone,
    void *data);
static ngx_int_t ngx_http_weir_breaker_zone_agree(
    ngx_http_weir_breaker_zone_t *zone, ngx_http_weir_breaker_node_t *node,
    ngx_http_weir_breaker_ticket_t *ticket, ngx_msec_t *retry_after);
static ngx_int_t ngx_http_weir_breaker_zone_ask(
    ngx_http_weir_breaker_zone_t *zone, ngx_http_weir_breaker_node_t *node,
    ngx_http_weir_breaker_ticket_t *ticket, ngx_msec_t *retry_after);


char *
ngx_http_weir_breaker_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ssize_t                             size;
    ngx_str_t                          *value;
    ngx_shm_zone_t                     *shm_zone, **all;
    ngx_http_weir_breaker_zone_t       *zone;
    ngx_http_weir_breaker_main_conf_t  *bmcf;

    value = cf->args->elts;

    size = ngx_parse_size(&value[2]);

    if (size == NGX_ERROR || size < (ssize_t) (8 * ngx_pagesize)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid size \"%V\" in \"weir_breaker_zone\";"
                           " it must be like 1m or 512k, and at least %uzk",
                           &value[2], 8 * ngx_pagesize / 1024);
        return NGX_CONF_ERROR;
    }

    shm_zone = ngx_shared_memory_add(cf, &value[1], size,
                                     &ngx_http_weir_breaker_module);
    if (shm_zone == NULL) {
        return NGX_CONF_ERROR;
    }

    if (shm_zone->data) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "duplicate \"weir_breaker_zone\" \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    zone = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_breaker_zone_t));
    if (zone == NULL) {
        return NGX_CONF_ERROR;
    }

    zone->seen = ngx_pcalloc(cf->pool, NGX_HTTP_WEIR_BREAKER_SEEN
                                       * sizeof(ngx_http_weir_breaker_seen_t));
    if (zone->seen == NULL) {
        return NGX_CONF_ERROR;
    }

    if (cf->args->nelts == 4
        && ngx_http_weir_breaker_zone_set_redis(cf, zone, &value[3]) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    bmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_breaker_module);

    all = ngx_array_push(&bmcf->zones);
    if (all == NULL) {
        return NGX_CONF_ERROR;
    }

    *all = shm_zone;

    shm_zone->init = ngx_http_weir_breaker_zone_init;
    shm_zone->data = zone;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_weir_breaker_zone_set_redis(ngx_conf_t *cf,
    ngx_http_weir_breaker_zone_t *zone, ngx_str_t *value)
{
    ngx_str_t  name;

    if (value->len <= 6 || ngx_strncmp(value->data, "redis=", 6) != 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\" in \"weir_breaker_zone\";"
                           " it takes redis=name", value);
        return NGX_ERROR;
    }

    name.data = value->data + 6;
    name.len = value->len - 6;

    zone->redis = ngx_http_weir_redis_get(cf, &name);

    return zone->redis ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_weir_breaker_zone_init(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_http_weir_breaker_zone_t  *zone;

    zone = shm_zone->data;

    zone->shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    if (data || shm_zone->shm.exists) {
        zone->sh = zone->shpool->data;

        if (ngx_http_weir_check_layout(shm_zone, zone->sh->layout) != NGX_OK) {
            return NGX_ERROR;
        }

    } else if (ngx_http_weir_breaker_nodes_init(zone, &shm_zone->shm.name)
               != NGX_OK)
    {
        return NGX_ERROR;
    }

    zone->configuration = ++zone->sh->configuration;

    return NGX_OK;
}


ngx_int_t
ngx_http_weir_breaker_zone_admit(ngx_shm_zone_t *shm_zone,
    ngx_http_weir_breaker_key_t *key, weir_breaker_settings_t *settings,
    ngx_http_weir_breaker_ticket_t *ticket, ngx_msec_t *retry_after,
    ngx_http_weir_breaker_change_t *change, ngx_log_t *log)
{
    ngx_int_t                      rc;
    ngx_uint_t                     full;
    weir_breaker_state_t           was;
    ngx_http_weir_breaker_node_t  *node;
    ngx_http_weir_breaker_zone_t  *zone;

    zone = shm_zone->data;
    change->was = change->is = WEIR_BREAKER_CLOSED;

    if (ngx_http_weir_breaker_nodes_seen(zone, key, ticket) == NGX_OK) {
        return NGX_OK;
    }

    rc = NGX_DECLINED;

    ngx_shmtx_lock(&zone->shpool->mutex);

    node = ngx_http_weir_breaker_nodes_get(zone, key, settings);

    full = zone->sh->full == 1;
    if (full) {
        zone->sh->full = 2;
    }

    if (node) {
        was = node->breaker.state;
        rc = ngx_http_weir_breaker_zone_agree(zone, node, ticket, retry_after);

        if (rc == NGX_OK) {
            rc = ngx_http_weir_breaker_zone_ask(zone, node, ticket,
                                                retry_after);
        }

        ngx_http_weir_breaker_nodes_used(zone, node, was);
        ngx_http_weir_breaker_nodes_remember(zone, node);
        ngx_http_weir_breaker_nodes_change(change, node, was);
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    if (full) {
        ngx_log_error(NGX_LOG_WARN, log, 0,
                      "weir_breaker_zone \"%V\" is full: the least recently"
                      " used closed breakers are evicted; while all breakers"
                      " are open, calls of new keys are not counted",
                      &shm_zone->shm.name);
    }

    return rc;
}


/*
 * The mutex is held.  NGX_OK: there is nothing to agree on; otherwise returns as
 * ngx_http_weir_breaker_zone_admit().
 */

static ngx_int_t
ngx_http_weir_breaker_zone_agree(ngx_http_weir_breaker_zone_t *zone,
    ngx_http_weir_breaker_node_t *node, ngx_http_weir_breaker_ticket_t *ticket,
    ngx_msec_t *retry_after)
{
    ngx_msec_t  timeout;

    if (zone->redis == NULL
        || !weir_breaker_is_due(&node->breaker, ngx_current_msec)
        || !ngx_http_weir_redis_is_up(zone->redis))
    {
        return NGX_OK;
    }

    timeout = 2 * ngx_http_weir_redis_timeout(zone->redis);

    /* a time that is too far away is another process's, or of another boot */

    if (node->asking > ngx_current_msec
        && node->asking <= ngx_current_msec + timeout)
    {
        node->refused++;
        *retry_after = 1;
        return NGX_BUSY;
    }

    node->asking = ngx_current_msec + timeout;

    ticket->node = node;
    ticket->generation = node->breaker.generation;

    return NGX_AGAIN;
}


ngx_int_t
ngx_http_weir_breaker_zone_probe(ngx_shm_zone_t *shm_zone,
    ngx_http_weir_breaker_verdict_t *verdict,
    ngx_http_weir_breaker_ticket_t *ticket, ngx_msec_t *retry_after,
    ngx_http_weir_breaker_change_t *change)
{
    ngx_int_t                      rc;
    weir_breaker_t                *breaker;
    weir_breaker_state_t           was;
    ngx_http_weir_breaker_node_t  *node;
    ngx_http_weir_breaker_zone_t  *zone;

    zone = shm_zone->data;
    node = ticket->node;
    breaker = &node->breaker;
    change->was = change->is = WEIR_BREAKER_CLOSED;

    rc = NGX_BUSY;
    *retry_after = 1;

    ngx_shmtx_lock(&zone->shpool->mutex);

    if (breaker->generation == ticket->generation) {

        was = breaker->state;
        node->asking = 0;

        if (verdict->who == NGX_HTTP_WEIR_BREAKER_OTHERS) {
            weir_breaker_wait(breaker, ngx_current_msec,
                              ++zone->sh->generation, verdict->ms,
                              verdict->reopened);

        } else if (verdict->who == NGX_HTTP_WEIR_BREAKER_RECOVERED) {
            weir_breaker_recover(breaker, &node->settings, ngx_current_msec,
                                 ++zone->sh->generation, verdict->ms);
        }

        rc = ngx_http_weir_breaker_zone_ask(zone, node, ticket, retry_after);

        ngx_http_weir_breaker_nodes_used(zone, node, was);
        ngx_http_weir_breaker_nodes_change(change, node, was);
        change->heard = (verdict->who != NGX_HTTP_WEIR_BREAKER_OURS);
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    return rc;
}


ngx_http_weir_redis_t *
ngx_http_weir_breaker_zone_redis(ngx_shm_zone_t *shm_zone)
{
    ngx_http_weir_breaker_zone_t  *zone;

    zone = shm_zone->data;

    return zone->redis;
}


uint64_t
ngx_http_weir_breaker_zone_edge(ngx_shm_zone_t *shm_zone)
{
    ngx_http_weir_breaker_zone_t  *zone;

    zone = shm_zone->data;

    return zone->sh->edge;
}


/* The mutex is held. */

static ngx_int_t
ngx_http_weir_breaker_zone_ask(ngx_http_weir_breaker_zone_t *zone,
    ngx_http_weir_breaker_node_t *node, ngx_http_weir_breaker_ticket_t *ticket,
    ngx_msec_t *retry_after)
{
    if (weir_breaker_admit(&node->breaker, &node->settings, ngx_current_msec,
                           ++zone->sh->generation, &ticket->generation))
    {
        ticket->node = node;
        node->probes += (node->breaker.state == WEIR_BREAKER_HALF_OPEN);

        return NGX_OK;
    }

    node->refused++;
    *retry_after = weir_breaker_retry_after(&node->breaker, ngx_current_msec);

    return NGX_BUSY;
}


void
ngx_http_weir_breaker_zone_report(ngx_shm_zone_t *shm_zone,
    ngx_http_weir_breaker_ticket_t *ticket, weir_breaker_outcome_t outcome,
    ngx_uint_t cause, uint64_t *success,
    ngx_http_weir_breaker_change_t *change)
{
    uint64_t                       generation;
    weir_breaker_t                *breaker;
    weir_breaker_state_t           was;
    ngx_http_weir_breaker_node_t  *node;
    ngx_http_weir_breaker_zone_t  *zone;

    zone = shm_zone->data;
    node = ticket->node;
    breaker = &node->breaker;
    change->was = change->is = WEIR_BREAKER_CLOSED;

    ngx_shmtx_lock(&zone->shpool->mutex);

    was = breaker->state;
    generation = breaker->generation;

    if (*success) {
        weir_breaker_take_back(breaker, &node->settings, ngx_current_msec,
                               ++zone->sh->generation, ticket->generation,
                               *success);
    } else {
        weir_breaker_report(breaker, &node->settings, ngx_current_msec,
                            ++zone->sh->generation, ticket->generation,
                            outcome);
    }

    if (generation == ticket->generation) {

        if (outcome == WEIR_BREAKER_SUCCESS || outcome == WEIR_BREAKER_SLOW) {
            *success = breaker->successes;
        }

        if (outcome != WEIR_BREAKER_SUCCESS
            && outcome != WEIR_BREAKER_ABANDONED)
        {
            node->cause = cause;
        }
    }

    if (generation == ticket->generation || breaker->generation != generation) {
        ngx_http_weir_breaker_nodes_used(zone, node, was);
        ngx_http_weir_breaker_nodes_change(change, node, was);
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);
}


void
ngx_http_weir_breaker_zone_tried(ngx_shm_zone_t *shm_zone,
    ngx_http_weir_breaker_ticket_t *ticket, weir_breaker_outcome_t outcome,
    ngx_uint_t cause, ngx_http_weir_breaker_change_t *change)
{
    weir_breaker_state_t           was;
    ngx_http_weir_breaker_node_t  *node;
    ngx_http_weir_breaker_zone_t  *zone;

    zone = shm_zone->data;
    node = ticket->node;
    change->was = change->is = WEIR_BREAKER_CLOSED;

    ngx_shmtx_lock(&zone->shpool->mutex);

    if (node->breaker.generation == ticket->generation) {
        was = node->breaker.state;
        node->cause = cause;

        weir_breaker_tried(&node->breaker, &node->settings, ngx_current_msec,
                           ++zone->sh->generation, ticket->generation,
                           outcome);

        ngx_http_weir_breaker_nodes_used(zone, node, was);
        ngx_http_weir_breaker_nodes_change(change, node, was);
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);
}


weir_breaker_state_t
ngx_http_weir_breaker_zone_state(ngx_shm_zone_t *shm_zone,
    ngx_http_weir_breaker_key_t *key)
{
    weir_breaker_state_t             state;
    ngx_http_weir_breaker_node_t    *node;
    ngx_http_weir_breaker_zone_t    *zone;
    ngx_http_weir_breaker_ticket_t   ticket;

    zone = shm_zone->data;

    if (ngx_http_weir_breaker_nodes_seen(zone, key, &ticket) == NGX_OK) {
        return WEIR_BREAKER_CLOSED;
    }

    ngx_shmtx_lock(&zone->shpool->mutex);

    node = ngx_http_weir_breaker_nodes_find(zone, key);
    state = node ? weir_breaker_state(&node->breaker, &node->settings,
                                      ngx_current_msec)
                 : WEIR_BREAKER_CLOSED;

    ngx_shmtx_unlock(&zone->shpool->mutex);

    return state;
}
