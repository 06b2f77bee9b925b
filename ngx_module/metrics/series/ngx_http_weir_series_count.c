/*
 * A request that ends is counted: its series is found in a table of the worker
 * by addresses and numbers, without a name compared and without a lock.  The
 * tree in shared memory is asked for a series that the worker has not counted
 * before.
 *
 * What has no room in the zone is counted by the part for others.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/ngx_http_weir_cache.h"
#include "http/ngx_http_weir.h"
#include "http/ngx_http_weir_assert.h"
#include "http/ngx_http_weir_clock.h"
#include "http/route/ngx_http_weir_route.h"
#include "metrics/series/ngx_http_weir_series.h"
#include "version/ngx_http_weir_version.h"


/* Of the table, at first; a power of two. */
#define NGX_HTTP_WEIR_SERIES_KEYS  256


/* Addresses are of the configuration, which lives as long as the table. */
typedef struct {
    u_char                        *route;
    void                          *by;     /* name of the version, or
                                              configuration of the upstream */
    uint64_t                       labels; /* and the kind */
} ngx_http_weir_series_key_t;


typedef struct {
    ngx_http_weir_series_key_t     key;
    ngx_http_weir_series_part_t   *part;   /* NULL: free */
} ngx_http_weir_series_entry_t;


/* Of this process. */
typedef struct {
    ngx_http_weir_series_zone_t   *zone;   /* NULL: the process counts nothing */
    ngx_uint_t                     slot;
    ngx_http_weir_series_part_t   *other[NGX_HTTP_WEIR_SERIES_KINDS];
    weir_histogram_memory_t        memory;
    ngx_http_weir_series_entry_t  *table;  /* open addressing */
    ngx_uint_t                     size;   /* a power of two */
    ngx_uint_t                     used;   /* at most half of size */
} ngx_http_weir_series_process_t;


static ngx_http_weir_series_part_t *ngx_http_weir_series_count_request(
    ngx_http_request_t *r, ngx_http_weir_record_t *record, double seconds);
static void ngx_http_weir_series_count_upstreams(ngx_http_request_t *r,
    ngx_http_weir_record_t *record);
static void ngx_http_weir_series_count_try(ngx_http_request_t *r,
    ngx_http_upstream_t *u, ngx_http_upstream_state_t *state, uint64_t ns);
static uint64_t ngx_http_weir_series_count_ns(ngx_http_weir_record_t *record,
    ngx_msec_t ms);
static ngx_msec_t ngx_http_weir_series_count_age(ngx_http_request_t *r);
static ngx_http_weir_series_part_t *ngx_http_weir_series_count_open(
    ngx_http_request_t *r, ngx_http_weir_series_key_t *key,
    ngx_str_t *version);
static void ngx_http_weir_series_count_label(uint64_t packed,
    ngx_http_weir_series_t *labels);
static ngx_int_t ngx_http_weir_series_count_keep(
    ngx_http_weir_series_key_t *key, ngx_http_weir_series_part_t *part);
static ngx_int_t ngx_http_weir_series_count_grow(void);


static ngx_http_weir_series_process_t  ngx_http_weir_series_process;


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


/* ngx_http_weir_series_count_label() takes them out again. */
#define ngx_http_weir_series_pack(kind, method, status, cache, secure, failed)\
    ((uint64_t) (method) | (uint64_t) ((status) & 0xffff) << 32               \
     | (uint64_t) (cache) << 48 | (uint64_t) (secure) << 56                   \
     | (uint64_t) (failed) << 57 | (uint64_t) (kind) << 58)


static ngx_inline ngx_uint_t
ngx_http_weir_series_hash(ngx_http_weir_series_key_t *key)
{
    uint64_t  hash;

    hash = (uint64_t) (uintptr_t) key->route
           + ((uint64_t) (uintptr_t) key->by << 7) + (key->labels << 3);
    hash ^= hash >> 29;
    hash *= 0x9e3779b97f4a7c15;

    return hash >> 32;
}


/* The entry of the key, or the free one that it may have. */

static ngx_inline ngx_http_weir_series_entry_t *
ngx_http_weir_series_lookup(ngx_http_weir_series_key_t *key)
{
    ngx_uint_t                       i;
    ngx_http_weir_series_entry_t    *entry;
    ngx_http_weir_series_process_t  *process;

    process = &ngx_http_weir_series_process;

    for (i = ngx_http_weir_series_hash(key); /* void */ ; i++) {
        entry = &process->table[i & (process->size - 1)];

        if ((entry->key.labels == key->labels && entry->key.by == key->by
             && entry->key.route == key->route)
            || entry->part == NULL)
        {
            return entry;
        }
    }
}


/*
 * Adds a duration to a part, or to that for others if its page has no room.
 * Returns the part that has it.
 */

static ngx_inline ngx_http_weir_series_part_t *
ngx_http_weir_series_add(ngx_http_weir_series_part_t *part,
    ngx_http_weir_series_kind_e kind, double seconds)
{
    ngx_http_weir_series_process_t  *process;

    process = &ngx_http_weir_series_process;

    if (weir_histogram_record(&part->durations, seconds, &process->memory)) {
        return part;
    }

    ngx_http_weir_series_zone_full(process->zone, part);

    part = process->other[kind];

    (void) weir_histogram_record(&part->durations, seconds, &process->memory);

    return part;
}


/*
 * The first handler of the log phase, which nginx calls once for each request,
 * however it ended.
 */

ngx_int_t
ngx_http_weir_series_count(ngx_http_request_t *r)
{
    double                        seconds;
    ngx_uint_t                    i;
    ngx_http_weir_record_t       *record;
    ngx_http_weir_series_part_t  *part;

    if (ngx_http_weir_series_process.zone == NULL || r != r->main) {
        return NGX_OK;
    }

    record = ngx_http_get_module_ctx(r, ngx_http_weir_record_module);

    if (record == NULL) {
        record = ngx_http_weir_record(r);
    }

    if (record) {
        ngx_http_weir_record_end(record);
        seconds = (int64_t) (record->since - record->start) * 1e-9;

    } else {
        seconds = ngx_http_weir_series_count_age(r) * 1e-3;
    }

    part = ngx_http_weir_series_count_request(r, record, seconds);

    weir_histogram_add_to(&part->received, r->request_length);
    weir_histogram_add_to(&part->sent, r->connection->sent);

    if (record) {
        for (i = 0; i < NGX_HTTP_WEIR_PHASES; i++) {
            weir_histogram_add_to(&part->phase[i], record->spent[i]);
        }

        if (seconds > part->view->slow) {
            record->slow = 1;
            i = ngx_http_weir_series_cause(r, record);
            weir_histogram_add_to(&part->tail[i], 1);
        }
    }

    if (r->upstream_states) {
        ngx_http_weir_series_count_upstreams(r, record);
    }

    return NGX_OK;
}


/*
 * Counts the request's duration.  A request without a record ended before its
 * header was read; it has nginx's milliseconds and no version.
 */

static ngx_http_weir_series_part_t *
ngx_http_weir_series_count_request(ngx_http_request_t *r,
    ngx_http_weir_record_t *record, double seconds)
{
    ngx_str_t                      version;
    ngx_uint_t                     status, method, secure;
    ngx_http_weir_loc_conf_t      *wlcf;
    ngx_http_weir_cache_ctx_t     *cache;
    ngx_http_weir_series_key_t     key;
    ngx_http_weir_series_entry_t  *entry;

    ngx_str_null(&version);

    if (record) {
        method = record->method;

        (void) ngx_http_weir_version_get(r, &version);

    } else {
        method = r->method;
    }

    status = r->err_status ? r->err_status : r->headers_out.status;
    cache = ngx_http_get_module_ctx(r, ngx_http_weir_cache_module);

#if (NGX_HTTP_SSL)
    secure = r->connection->ssl != NULL;
#else
    secure = 0;
#endif

    wlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_module);

    key.route = wlcf->route.data;
    key.by = version.data;
    key.labels = ngx_http_weir_series_pack(NGX_HTTP_WEIR_SERIES_ROUTE, method,
                                           status, cache ? cache->status : 0,
                                           secure, 0);

    entry = ngx_http_weir_series_lookup(&key);

    return ngx_http_weir_series_add(entry->part
                                    ? entry->part
                                    : ngx_http_weir_series_count_open(r, &key,
                                                                      &version),
                                    NGX_HTTP_WEIR_SERIES_ROUTE, seconds);
}


/* $request_time. */

static ngx_msec_t
ngx_http_weir_series_count_age(ngx_http_request_t *r)
{
    ngx_time_t      *tp;
    ngx_msec_int_t   ms;

    tp = ngx_timeofday();

    ms = (ngx_msec_int_t) ((tp->sec - r->start_sec) * 1000
                           + (ngx_msec_int_t) (tp->msec - r->start_msec));

    return ngx_max(ms, 0);
}


/*
 * Each server that was tried counts as a request to its upstream.  Of servers of
 * a location that led to this one, the upstream is not known any more.
 */

static void
ngx_http_weir_series_count_upstreams(ngx_http_request_t *r,
    ngx_http_weir_record_t *record)
{
    uint64_t                    ns;
    ngx_int_t                   i;
    ngx_http_upstream_t        *u;
    ngx_http_upstream_state_t  *state;

    u = r->upstream;
    state = r->upstream_states->elts;

    for (i = r->upstream_states->nelts - 1; i >= 0; i--) {

        if (state[i].peer == NULL) {
            /* separates the upstreams of two locations */
            u = NULL;
            continue;
        }

        if (state[i].response_time == (ngx_msec_t) -1) {
            continue;
        }

        if (record && r->upstream_states->nelts == 1) {
            ns = ngx_http_weir_series_count_ns(record,
                                               state[i].response_time);
        } else {
            ns = (uint64_t) state[i].response_time * 1000000;
        }

        ngx_http_weir_series_count_try(r, u, &state[i], ns);
    }
}


/*
 * If one server was tried, the clock of the phases knows its time better than
 * nginx's milliseconds, unless the upstream was not asked for all of that time:
 * while the body of the request was read, or the client was waited for.
 */

static uint64_t
ngx_http_weir_series_count_ns(ngx_http_weir_record_t *record, ngx_msec_t ms)
{
    uint64_t  ns, rounded;

    ns = record->spent[NGX_HTTP_WEIR_PHASE_UPSTREAM]
         + record->spent[NGX_HTTP_WEIR_PHASE_RESPONSE];
    rounded = (uint64_t) ms * 1000000;

    return ns + 2000000 > rounded && ns < rounded + 2000000 ? ns : rounded;
}


static void
ngx_http_weir_series_count_try(ngx_http_request_t *r,
    ngx_http_upstream_t *u, ngx_http_upstream_state_t *state, uint64_t ns)
{
    ngx_uint_t                     failed, secure, method;
    ngx_http_weir_record_t        *record;
    ngx_http_weir_series_key_t     key;
    ngx_http_weir_series_part_t   *part;
    ngx_http_weir_series_entry_t  *entry;

    record = ngx_http_weir_record(r);
    method = record ? record->method : r->method;
    failed = state->header_time == (ngx_msec_t) -1;

#if (NGX_HTTP_SSL)
    secure = u && u->ssl;
#else
    secure = 0;
#endif

    key.route = ngx_http_weir_route(r)->data;
    key.by = u ? u->upstream : NULL;
    key.labels = ngx_http_weir_series_pack(NGX_HTTP_WEIR_SERIES_UPSTREAM,
                                           method, state->status, 0, secure,
                                           failed);

    entry = ngx_http_weir_series_lookup(&key);
    part = entry->part ? entry->part
                       : ngx_http_weir_series_count_open(r, &key, NULL);

    part = ngx_http_weir_series_add(part, NGX_HTTP_WEIR_SERIES_UPSTREAM,
                                    (int64_t) ns * 1e-9);

    weir_histogram_add_to(&part->received, state->bytes_received);
    weir_histogram_add_to(&part->sent, state->bytes_sent);
}


/*
 * The part of a key that is not in the table yet; that for others if it has no
 * room.
 */

static ngx_http_weir_series_part_t *
ngx_http_weir_series_count_open(ngx_http_request_t *r,
    ngx_http_weir_series_key_t *key, ngx_str_t *version)
{
    ngx_http_weir_series_id_t        id;
    ngx_http_weir_series_part_t     *part;
    ngx_http_upstream_srv_conf_t    *uscf;
    ngx_http_weir_series_process_t  *process;

    static ngx_str_t  other = ngx_string("_other");

    process = &ngx_http_weir_series_process;

    ngx_memzero(&id, sizeof(ngx_http_weir_series_id_t));
    id.kind = key->labels >> 58;
    id.route = ngx_http_weir_route(r);
    ngx_http_weir_series_count_label(key->labels, &id.labels);

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

    if (ngx_http_weir_series_count_keep(key, part) != NGX_OK) {
        part = process->other[id.kind];
    }

    return part;
}


static void
ngx_http_weir_series_count_label(uint64_t packed,
    ngx_http_weir_series_t *labels)
{
    ngx_uint_t  i, method;

    method = packed & 0xffffffff;

    for (i = 1; i < NGX_HTTP_WEIR_SERIES_METHODS; i++) {
        if (method == ngx_http_weir_series_methods[i].method) {
            labels->method = i;
        }
    }

    labels->status = packed >> 32 & 0xffff;
    labels->cache = packed >> 48 & 0xff;

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

    labels->secure = packed >> 56 & 1;
    labels->failed = packed >> 57 & 1;
}


/* Adds to the table; NGX_OK or NGX_ERROR (no memory). */

static ngx_int_t
ngx_http_weir_series_count_keep(ngx_http_weir_series_key_t *key,
    ngx_http_weir_series_part_t *part)
{
    ngx_http_weir_series_entry_t    *entry;
    ngx_http_weir_series_process_t  *process;

    process = &ngx_http_weir_series_process;

    if (2 * (process->used + 1) > process->size
        && ngx_http_weir_series_count_grow() != NGX_OK)
    {
        return NGX_ERROR;
    }

    entry = ngx_http_weir_series_lookup(key);
    ngx_http_weir_assert(entry->part == NULL);

    entry->key = *key;
    entry->part = part;
    process->used++;

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_series_count_grow(void)
{
    ngx_uint_t                       i, size;
    ngx_http_weir_series_entry_t    *old;
    ngx_http_weir_series_process_t  *process;

    process = &ngx_http_weir_series_process;
    old = process->table;
    size = process->size;

    process->table = ngx_calloc(2 * size * sizeof(ngx_http_weir_series_entry_t),
                                ngx_cycle->log);
    if (process->table == NULL) {
        process->table = old;
        return NGX_ERROR;
    }

    process->size = 2 * size;

    for (i = 0; i < size; i++) {
        if (old[i].part) {
            *ngx_http_weir_series_lookup(&old[i].key) = old[i];
        }
    }

    ngx_free(old);

    return NGX_OK;
}


ngx_int_t
ngx_http_weir_series_count_begin(ngx_http_weir_series_zone_t *zone,
    ngx_log_t *log)
{
    ngx_http_weir_series_process_t  *process;

    process = &ngx_http_weir_series_process;

    ngx_http_weir_series_count_end();

    process->table = ngx_calloc(NGX_HTTP_WEIR_SERIES_KEYS
                                * sizeof(ngx_http_weir_series_entry_t), log);
    if (process->table == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_weir_series_zone_claim(zone, &process->slot, process->other)
        != NGX_OK)
    {
        ngx_free(process->table);
        process->table = NULL;

        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "weir_metrics_zone has no room for this worker, whose"
                      " requests are not counted: make the zone larger");
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
ngx_http_weir_series_count_end(void)
{
    ngx_http_weir_series_process_t  *process;

    process = &ngx_http_weir_series_process;

    if (process->zone == NULL) {
        return;
    }

    ngx_http_weir_series_zone_free(process->zone, process->slot);
    ngx_free(process->table);
    process->table = NULL;
    process->zone = NULL;
}


ngx_str_t *
ngx_http_weir_series_method(ngx_uint_t method)
{
    return &ngx_http_weir_series_methods[method].name;
}
