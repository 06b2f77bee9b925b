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


extern ngx_http_weir_series_table_t  ngx_http_weir_series_table;


/*
 * The part of a key that is not in the table yet, which has it then; that for
 * others if it has no room.  version is used for routes only.
 */
ngx_http_weir_series_part_t *ngx_http_weir_series_table_open(
    ngx_http_request_t *r, ngx_http_weir_series_key_t *key,
    ngx_str_t *version);


/* ngx_http_weir_series_table_label() takes them out again. */
#define ngx_http_weir_series_table_pack(kind, method, status, cache, secure,   \
    failed)                                                                   \
    ((uint64_t) (method) | (uint64_t) ((status) & 0xffff) << 32               \
     | (uint64_t) (cache) << 48 | (uint64_t) (secure) << 56                   \
     | (uint64_t) (failed) << 57 | (uint64_t) (kind) << 58)


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
    ngx_uint_t                       i;
    ngx_http_weir_series_entry_t    *entry;
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
 * Adds a duration to a part, or to that for others if its page has no room.
 * Returns the part that has it.
 */

static ngx_inline ngx_http_weir_series_part_t *
ngx_http_weir_series_table_add(ngx_http_weir_series_part_t *part,
    ngx_http_weir_series_kind_e kind, double seconds)
{
    ngx_http_weir_series_table_t  *process;

    process = &ngx_http_weir_series_table;

    if (weir_histogram_record(&part->durations, seconds, &process->memory)) {
        return part;
    }

    ngx_http_weir_series_zone_full(process->zone, part);

    part = process->other[kind];

    (void) weir_histogram_record(&part->durations, seconds, &process->memory);

    return part;
}


#endif /* _NGX_HTTP_WEIR_SERIES_TABLE_H_INCLUDED_ */
