/*
 * The table of a worker's parts, and what happens once for each of them: the
 * tree in shared memory is asked.  What has no room in the zone is counted by
 * the part for others.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/ngx_http_weir_cache.h"
#include "http/ngx_http_weir_assert.h"
#include "http/route/ngx_http_weir_route.h"
#include "metrics/series/ngx_http_weir_series_table.h"


/* Of the table, at first; a power of two. */
#define NGX_HTTP_WEIR_SERIES_KEYS  256

/* Keys that a worker keeps, in 4 MiB; a zone of 8m has room for far fewer series.
   Requests with other keys are counted by the parts for others. */
#define NGX_HTTP_WEIR_SERIES_KEYS_MAX  65536


static ngx_http_weir_series_part_t *ngx_http_weir_series_table_create(
    ngx_str_t *route, ngx_http_weir_series_key_t *key, ngx_str_t *version);
static void ngx_http_weir_series_table_label(uint64_t packed,
    ngx_http_weir_series_t *labels);
static ngx_int_t ngx_http_weir_series_table_keep(
    ngx_http_weir_series_key_t *key, ngx_http_weir_series_part_t *part);
static ngx_int_t ngx_http_weir_series_table_grow(void);


ngx_http_weir_series_table_t  ngx_http_weir_series_table;


/* The known methods of the HTTP conventions; all others are the first one. */

static struct {
    ngx_uint_t  method;
    ngx_str_t   name;
} ngx_http_weir_series_methods[] = {
    { 0, ngx_string("_OTHER") },
    { NGX_HTTP_GET, ngx_string("GET") },
    { NGX_HTTP_HEAD, ngx_string("HEAD") },
    { NGX_HTTP_POST, ngx_string("POST") },
    { NGX_HTTP_PUT, ngx_string("PUT") },
    { NGX_HTTP_DELETE, ngx_string("DELETE") },
    { NGX_HTTP_CONNECT, ngx_string("CONNECT") },
    { NGX_HTTP_OPTIONS, ngx_string("OPTIONS") },
    { NGX_HTTP_TRACE, ngx_string("TRACE") },
    { NGX_HTTP_PATCH, ngx_string("PATCH") }
};

#define NGX_HTTP_WEIR_SERIES_METHODS                                          \
    (sizeof(ngx_http_weir_series_methods)                                     \
     / sizeof(ngx_http_weir_series_methods[0]))


ngx_http_weir_series_part_t *
ngx_http_weir_series_table_open(ngx_http_request_t *r,
    ngx_http_weir_counted_t *last, uint64_t labels, void *by,
    ngx_str_t *version)
{
    ngx_str_t                    *route;
    ngx_http_weir_series_key_t    key;
    ngx_http_weir_series_part_t  *part;

    route = ngx_http_weir_route(r);

    key.route = route->data;
    key.by = by;
    key.labels = labels;

    part = ngx_http_weir_series_table_find(&key)->part;

    if (part == NULL) {
        part = ngx_http_weir_series_table_create(route, &key, version);
    }

    if (ngx_http_weir_usage(r)) {
        last->labels = labels;
        last->by = by;
        last->part = part;
    }

    return part;
}


static ngx_http_weir_series_part_t *
ngx_http_weir_series_table_create(ngx_str_t *route,
    ngx_http_weir_series_key_t *key, ngx_str_t *version)
{
    ngx_http_weir_series_id_t      id;
    ngx_http_weir_series_part_t   *part;
    ngx_http_upstream_srv_conf_t  *uscf;
    ngx_http_weir_series_table_t  *process;

    static ngx_str_t  other = ngx_string("_other");

    process = &ngx_http_weir_series_table;

    ngx_memzero(&id, sizeof(ngx_http_weir_series_id_t));
    id.kind = key->labels >> 26 & 0x3f;

    if (process->used >= NGX_HTTP_WEIR_SERIES_KEYS_MAX) {
        return process->other[id.kind];
    }

    id.route = route;
    ngx_http_weir_series_table_label(key->labels, &id.labels);

    if (id.kind == NGX_HTTP_WEIR_SERIES_ROUTE) {
        id.version = *version;

    } else {
        /* a host that the configuration does not name may be any */
        uscf = key->by;
        id.upstream = uscf ? &uscf->host : &other;
        id.port = uscf ? uscf->port : 0;
    }

    part = ngx_http_weir_series_zone_part(process->zone, process->slot, &id);

    if (part == NULL) {
        part = process->other[id.kind];
    }

    if (ngx_http_weir_series_table_keep(key, part) != NGX_OK) {
        part = process->other[id.kind];
    }

    return part;
}


ngx_http_weir_series_part_t *
ngx_http_weir_series_table_full(ngx_http_weir_series_part_t *part,
    ngx_http_weir_series_kind_e kind, double seconds)
{
    ngx_http_weir_series_table_t  *process;

    process = &ngx_http_weir_series_table;

    ngx_http_weir_series_zone_full(process->zone, part);

    part = process->other[kind];

    (void) weir_histogram_record(&part->durations, seconds, &process->memory);

    return part;
}


static void
ngx_http_weir_series_table_label(uint64_t packed,
    ngx_http_weir_series_t *labels)
{
    ngx_uint_t  i, method;

    method = packed >> 32;

    for (i = 1; i < NGX_HTTP_WEIR_SERIES_METHODS; i++) {
        if (method == ngx_http_weir_series_methods[i].method) {
            labels->method = i;
        }
    }

    labels->status = packed & 0xffff;
    labels->cache = packed >> 16 & 0xff;

    /* what has the same name is one series */

    switch (labels->cache) {

    case NGX_HTTP_WEIR_CACHE_VARY_MISS:
        labels->cache = NGX_HTTP_WEIR_CACHE_MISS;
        break;

    case NGX_HTTP_WEIR_CACHE_REQUEST:
    case NGX_HTTP_WEIR_CACHE_METHOD:
        labels->cache = NGX_HTTP_WEIR_CACHE_BYPASS;
        break;

    default:
        break;
    }

    labels->secure = packed >> 24 & 1;
    labels->failed = packed >> 25 & 1;

    if (labels->failed && labels->status != NGX_HTTP_GATEWAY_TIME_OUT) {
        labels->status = 0;
    }
}


/* Adds to the table; NGX_OK or NGX_ERROR (no memory). */

static ngx_int_t
ngx_http_weir_series_table_keep(ngx_http_weir_series_key_t *key,
    ngx_http_weir_series_part_t *part)
{
    ngx_http_weir_series_entry_t  *entry;
    ngx_http_weir_series_table_t  *process;

    process = &ngx_http_weir_series_table;

    if (2 * (process->used + 1) > process->size
        && ngx_http_weir_series_table_grow() != NGX_OK)
    {
        return NGX_ERROR;
    }

    entry = ngx_http_weir_series_table_find(key);
    ngx_http_weir_assert(entry->part == NULL);

    entry->key = *key;
    entry->part = part;
    process->used++;

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_series_table_grow(void)
{
    ngx_uint_t                     i, size;
    ngx_http_weir_series_entry_t  *old;
    ngx_http_weir_series_table_t  *process;

    process = &ngx_http_weir_series_table;
    old = process->entries;
    size = process->size;

    process->entries = ngx_calloc(2 * size
                                  * sizeof(ngx_http_weir_series_entry_t),
                                  ngx_cycle->log);
    if (process->entries == NULL) {
        process->entries = old;
        return NGX_ERROR;
    }

    process->size = 2 * size;

    for (i = 0; i < size; i++) {
        if (old[i].part) {
            *ngx_http_weir_series_table_find(&old[i].key) = old[i];
        }
    }

    ngx_free(old);

    return NGX_OK;
}


void
ngx_http_weir_series_table_slow(ngx_http_weir_series_part_t *part,
    ngx_http_weir_series_cause_e phase, ngx_str_t *dependency)
{
    uint64_t                     *tail;
    ngx_uint_t                    cause;
    ngx_http_weir_series_zone_t  *zone;

    zone = ngx_http_weir_series_table.zone;
    tail = part->tail;

    if (tail == NULL) {
        tail = ngx_http_weir_series_zone_memory(zone,
                                       WEIR_WINDOW_CAUSES * sizeof(uint64_t));
        if (tail == NULL) {
            ngx_http_weir_series_zone_full(zone, part);
            return;
        }

        __atomic_store_n(&part->tail, tail, __ATOMIC_RELEASE);
    }

    cause = ngx_http_weir_series_zone_cause(zone, part->view->group, phase,
                                            dependency);
    weir_count_add(&tail[cause], 1);
}


ngx_int_t
ngx_http_weir_series_table_begin(ngx_http_weir_series_zone_t *zone,
    ngx_uint_t workers, ngx_log_t *log)
{
    ngx_int_t                      rc;
    ngx_http_weir_series_table_t  *process;

    process = &ngx_http_weir_series_table;

    ngx_http_weir_series_table_end();

    process->entries = ngx_calloc(NGX_HTTP_WEIR_SERIES_KEYS
                                  * sizeof(ngx_http_weir_series_entry_t), log);
    if (process->entries == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_http_weir_series_zone_claim(zone, &process->slot, process->other,
                                         workers);
    if (rc != NGX_OK) {
        ngx_free(process->entries);
        process->entries = NULL;

        if (rc == NGX_BUSY) {
            ngx_log_error(NGX_LOG_ERR, log, 0,
                          "weir_metrics_zone has slots for %d processes, which"
                          " are all taken: the requests of this worker are not"
                          " counted", NGX_HTTP_WEIR_SERIES_SLOTS);

        } else {
            ngx_log_error(NGX_LOG_ERR, log, 0,
                          "weir_metrics_zone has no room for this worker, whose"
                          " requests are not counted: make the zone larger");
        }

        return NGX_ERROR;
    }

    process->size = NGX_HTTP_WEIR_SERIES_KEYS;
    process->used = 0;
    process->memory.zeroed = ngx_http_weir_series_zone_memory;
    process->memory.data = zone;
    process->zone = zone;

    return NGX_OK;
}


void
ngx_http_weir_series_table_end(void)
{
    ngx_http_weir_series_table_t  *process;

    process = &ngx_http_weir_series_table;

    if (process->zone == NULL) {
        return;
    }

    ngx_http_weir_series_zone_free(process->zone, process->slot);
    ngx_free(process->entries);
    process->entries = NULL;
    process->zone = NULL;
}


ngx_str_t *
ngx_http_weir_series_table_method(ngx_uint_t method)
{
    return &ngx_http_weir_series_methods[method].name;
}
