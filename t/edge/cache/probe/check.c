/* Whether the zone's lists, counts, pins and blocks agree. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "http/ngx_http_weir_clock.h"
#include "probe.h"
#include "redis/ngx_http_weir_redis_server.h"


static ngx_uint_t
probe_pins_of(ngx_http_weir_cache_sh_t *sh, ngx_http_weir_cache_node_t *node)
{
    ngx_uint_t  i, k, n;

    n = 0;

    for (i = 0; i < sh->nworkers; i++) {
        for (k = 0; k < NGX_HTTP_WEIR_CACHE_PINS; k++) {
            n += (sh->workers[i].pins[k] == node);
        }
    }

    return n;
}


/* Bytes of the entries that stand under a key. */

static const char *
probe_check_buckets(ngx_http_weir_cache_sh_t *sh, size_t *bytes)
{
    uint32_t                     n;
    ngx_uint_t                   i, entries;
    ngx_http_weir_cache_node_t  *node, *other;

    entries = 0;

    for (i = 0; i <= sh->mask; i++) {
        for (node = sh->buckets[i]; node; node = node->next) {

            if (++entries > sh->entries) {
                return "more entries in buckets than counted";
            }

            ngx_memcpy(&n, node->digest, sizeof(uint32_t));

            if ((n & sh->mask) != i) {
                return "an entry in another's bucket";
            }

            if (!node->linked) {
                return "an entry in a bucket that says it is in none";
            }

            for (other = node->next; other; other = other->next) {
                if (ngx_memcmp(node->digest, other->digest,
                               NGX_HTTP_WEIR_CACHE_DIGEST_LEN)
                    == 0)
                {
                    return "two entries of one key";
                }
            }

            if (node->refs != probe_pins_of(sh, node)) {
                return "an entry with more or fewer references than pins";
            }

            if (node->len + offsetof(ngx_http_weir_cache_node_t, data)
                > weir_arena_block_size(node))
            {
                return "an entry larger than its block";
            }

            *bytes += weir_arena_block_size(node);
        }
    }

    return entries == sh->entries ? NULL
                                  : "fewer entries in buckets than counted";
}


static const char *
probe_check_queues(ngx_http_weir_cache_sh_t *sh)
{
    size_t                       small_bytes;
    ngx_uint_t                   i, entries;
    ngx_queue_t                 *q, *queue;
    ngx_http_weir_cache_node_t  *node;

    entries = 0;
    small_bytes = 0;

    for (i = 0; i < 2; i++) {
        queue = i ? &sh->main : &sh->small;

        for (q = ngx_queue_head(queue); q != queue; q = ngx_queue_next(q)) {

            node = ngx_queue_data(q, ngx_http_weir_cache_node_t, queue);

            if (++entries > sh->entries) {
                return "more entries in queues than counted";
            }

            if (!node->linked || node->main != i) {
                return "an entry in a queue that is not its own";
            }

            if (i == 0) {
                small_bytes += weir_arena_block_size(node);
            }
        }
    }

    return entries != sh->entries ? "fewer entries in queues than counted"
           : small_bytes != sh->small_bytes ? "wrong bytes of the small queue"
           : NULL;
}


static const char *
probe_check_pins(ngx_http_weir_cache_sh_t *sh, size_t *bytes,
    probe_report_t *report)
{
    ngx_uint_t                   i, k, first;
    ngx_http_weir_cache_node_t  *node, **pins;

    for (i = 0; i < sh->nworkers; i++) {
        pins = sh->workers[i].pins;

        report->tables += (sh->workers[i].pid != 0);

        for (k = 0; k < NGX_HTTP_WEIR_CACHE_PINS; k++) {
            node = pins[k];

            if (node == NULL) {
                continue;
            }

            if (sh->workers[i].pid == 0) {
                return "a pin of nobody";
            }

            report->pins++;

            if (node->linked) {
                continue;
            }

            if (node->refs != probe_pins_of(sh, node)) {
                return "an orphan with more or fewer references than pins";
            }

            /* counted where its first pin stands */

            for (first = 0; first < i; first++) {
                if (sh->workers[first].pins[k] == node) {
                    break;
                }
            }

            if (first == i) {
                report->orphans++;
                *bytes += weir_arena_block_size(node);
            }
        }
    }

    return NULL;
}


static ngx_uint_t
probe_count_flights(ngx_http_weir_cache_sh_t *sh)
{
    uint64_t                       now;
    ngx_uint_t                     i, n;
    ngx_http_weir_cache_flight_t  *flight;

    now = ngx_http_weir_ms();
    flight = sh->flights;
    n = 0;

    for (i = 0; i < sh->nflights; i++) {
        n += (flight[i].pid != 0 && flight[i].until > now);
    }

    return n;
}


static ngx_uint_t
probe_count_commands(ngx_http_weir_redis_t *redis)
{
    ngx_uint_t                   n;
    ngx_queue_t                 *q;
    ngx_http_weir_redis_slot_t  *slot;

    n = 0;

    for (q = ngx_queue_head(&redis->slots);
         q != ngx_queue_sentinel(&redis->slots);
         q = ngx_queue_next(q))
    {
        slot = ngx_queue_data(q, ngx_http_weir_redis_slot_t, queue);
        n += (slot->cmd != NULL);
    }

    return n;
}


void
probe_check(ngx_http_weir_cache_zone_t *zone, probe_report_t *report)
{
    size_t                     bytes;
    const char                *wrong;
    ngx_http_weir_cache_sh_t  *sh;

    sh = zone->sh;
    bytes = 0;

    ngx_memzero(report, sizeof(probe_report_t));

    ngx_http_weir_cache_zone_lock(zone);

    report->entries = sh->entries;
    report->bytes = sh->arena.used;
    report->size = sh->size;
    report->recovered = sh->counters.recovered;
    report->flights = probe_count_flights(sh);
    report->commands = zone->redis ? probe_count_commands(zone->redis) : 0;

    wrong = weir_arena_check(&sh->arena) ? NULL : "the arena disagrees";

    if (wrong == NULL) {
        wrong = probe_check_buckets(sh, &bytes);
    }

    if (wrong == NULL) {
        wrong = probe_check_queues(sh);
    }

    if (wrong == NULL) {
        wrong = probe_check_pins(sh, &bytes, report);
    }

    if (wrong == NULL && bytes != sh->arena.used) {
        wrong = "blocks that belong to no entry";
    }

    report->wrong = wrong;

    ngx_http_weir_cache_zone_unlock(zone);
}
