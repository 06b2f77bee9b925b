/*
 * The parts that this worker has counted in, in a table with open addressing:
 * they are found by addresses and numbers, without a name compared and without a
 * lock.
 */

#ifndef _NGX_HTTP_WEIR_SERIES_TABLE_H_INCLUDED_
#define _NGX_HTTP_WEIR_SERIES_TABLE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "http/ngx_http_weir.h"
#include "metrics/series/ngx_http_weir_series.h"


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
    ngx_http_weir_series_entry_t  *entries;
    ngx_uint_t                     size;   /* a power of two */
    ngx_uint_t                     used;   /* at most half of size */
} ngx_http_weir_series_table_t;


extern weir_local ngx_http_weir_series_table_t
    ngx_http_weir_series_table;


/*
 * Lets this process count, or count nothing any more.  NGX_OK, or
 * NGX_ERROR after an error was logged: the process counts nothing.
 */
ngx_int_t ngx_http_weir_series_table_begin(ngx_http_weir_series_zone_t *zone,
    ngx_uint_t workers, ngx_log_t *log);
void ngx_http_weir_series_table_end(void);

/*
 * The part of a key, which is created if it is missing; that for others if it has
 * no room.  It is the location's last one then, if this process counts what the
 * location uses.  version is that of a route; NULL: none.
 */
ngx_http_weir_series_part_t *ngx_http_weir_series_table_open(
    ngx_http_request_t *r, ngx_http_weir_counted_t *last, uint64_t labels,
    void *by, ngx_str_t *version);

/* A duration for which the page of the part has no room: what has counted it. */
ngx_http_weir_series_part_t *ngx_http_weir_series_table_full(
    ngx_http_weir_series_part_t *part, ngx_http_weir_series_kind_e kind,
    double seconds);


/* ngx_http_weir_series_table_label() takes them out again. */
#define ngx_http_weir_series_table_pack(kind, method, status, cache, secure,   \
    failed)                                                                   \
    ((uint64_t) (method) << 32                                                \
     | (uint32_t) ((kind) << 26 | (failed) << 25 | (secure) << 24             \
                   | (cache) << 16 | (uint16_t) (status)))


static ngx_inline ngx_uint_t
ngx_http_weir_series_table_hash(ngx_http_weir_series_key_t *key)
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
ngx_http_weir_series_table_find(ngx_http_weir_series_key_t *key)
{
    ngx_uint_t                     i;
    ngx_http_weir_series_entry_t  *entry;
    ngx_http_weir_series_table_t  *process;

    process = &ngx_http_weir_series_table;

    for (i = ngx_http_weir_series_table_hash(key); /* void */ ; i++) {
        entry = &process->entries[i & (process->size - 1)];

        if ((entry->key.labels == key->labels && entry->key.by == key->by
             && entry->key.route == key->route)
            || entry->part == NULL)
        {
            return entry;
        }
    }
}


/*
 * The part that counts a request with these labels, of a route and version or to
 * an upstream.  Most are the same as the last one of their location.
 */

static ngx_inline ngx_http_weir_series_part_t *
ngx_http_weir_series_table_part(ngx_http_request_t *r,
    ngx_http_weir_counted_t *last, uint64_t labels, void *by,
    ngx_str_t *version)
{
    return last->labels == labels && last->by == by
           ? last->part
           : ngx_http_weir_series_table_open(r, last, labels, by, version);
}


/*
 * Adds a duration to a part, or to that for others if its page has no room.
 * Returns the part that has it.
 */

static ngx_inline ngx_http_weir_series_part_t *
ngx_http_weir_series_table_add(ngx_http_weir_series_part_t *part,
    ngx_http_weir_series_kind_e kind, double seconds)
{
    return weir_histogram_record(&part->durations, seconds,
                                 &ngx_http_weir_series_table.memory)
           ? part : ngx_http_weir_series_table_full(part, kind, seconds);
}


#endif /* _NGX_HTTP_WEIR_SERIES_TABLE_H_INCLUDED_ */
