/* The parts of the probe; see ngx_http_weir_cache_probe_module.c. */

#ifndef _WEIR_CACHE_PROBE_H_INCLUDED_
#define _WEIR_CACHE_PROBE_H_INCLUDED_


#include "cache/memory/ngx_http_weir_cache_zone_private.h"


typedef struct {
    ngx_uint_t   entries;
    size_t       bytes;      /* in allocated blocks */
    size_t       size;
    ngx_uint_t   pins;       /* in the tables of all workers */
    ngx_uint_t   orphans;    /* pinned, and under no key any more */
    ngx_uint_t   tables;     /* that belong to a worker */
    ngx_uint_t   flights;    /* of requests that fetch */
    ngx_uint_t   commands;   /* of this worker, for whose reply somebody waits */
    ngx_uint_t   recovered;
    const char  *wrong;      /* NULL: lists, counts, pins and blocks agree */
} probe_report_t;


/* Looks at everything under the zone's mutex. */
void probe_check(ngx_http_weir_cache_zone_t *zone, probe_report_t *report);

/*
 * Puts, gets, pins, releases and removes entries as fast as it can, for at
 * most that many rounds.  Returns what was wrong with an entry, or NULL.
 */
const char *probe_hammer(ngx_http_weir_cache_zone_t *zone, ngx_uint_t seed,
    ngx_uint_t rounds);


#endif /* _WEIR_CACHE_PROBE_H_INCLUDED_ */
