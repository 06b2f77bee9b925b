/*
 * What is asked of an entry (entry.h) while it is used.
 */

#ifndef _NGX_HTTP_WEIR_CACHE_ENTRY_H_INCLUDED_
#define _NGX_HTTP_WEIR_CACHE_ENTRY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "cache/entry/entry.h"
#include "cache/policy/rules.h"


/* the age of an entry now, seconds (RFC 9111 section 4.2.3) */
time_t ngx_http_weir_cache_age(weir_entry_t *entry);

/* the freshness that an entry was stored with */
void ngx_http_weir_cache_freshness(weir_entry_t *entry,
    weir_cache_freshness_t *freshness);

/* the value of a header in an entry; data NULL when there is none */
weir_str_t ngx_http_weir_cache_entry_header(weir_entry_t *entry,
    const char *name);


#endif /* _NGX_HTTP_WEIR_CACHE_ENTRY_H_INCLUDED_ */
