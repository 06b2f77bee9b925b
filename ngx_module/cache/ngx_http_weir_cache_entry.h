/*
 * Age, freshness and header values of a stored entry; see entry.h for its
 * format.
 */

#ifndef _NGX_HTTP_WEIR_CACHE_ENTRY_H_INCLUDED_
#define _NGX_HTTP_WEIR_CACHE_ENTRY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "cache/entry.h"
#include "cache/policy/rules.h"


/* current_age of the entry in seconds (RFC 9111 section 4.2.3). */
time_t ngx_http_weir_cache_entry_age(weir_entry_t *entry);

/* Fills in the freshness with which the entry was stored. */
void ngx_http_weir_cache_entry_freshness(weir_entry_t *entry,
    weir_cache_freshness_t *freshness);

/* Value of a header in the entry; data is NULL if the header is absent. */
weir_str_t ngx_http_weir_cache_entry_header(weir_entry_t *entry,
    const char *name);


#endif /* _NGX_HTTP_WEIR_CACHE_ENTRY_H_INCLUDED_ */
