/*
 * Age, freshness and header values of a stored entry; see entry.h for its
 * format.
 */

#include <ngx_config.h>
#include <ngx_core.h>

#include "cache/ngx_http_weir_cache_entry.h"


weir_str_t
ngx_http_weir_cache_entry_header(weir_entry_t *entry, const char *name)
{
    size_t      pos;
    weir_str_t  n, value, wanted, none;

    wanted.data = name;
    wanted.len = ngx_strlen(name);
    none.data = NULL;
    none.len = 0;

    pos = 0;

    while (weir_entry_next_header(entry->headers, &pos, &n, &value)) {
        if (weir_str_caseeq(n, wanted)) {
            return value;
        }
    }

    return none;
}


void
ngx_http_weir_cache_entry_freshness(weir_entry_t *entry,
    weir_cache_freshness_t *freshness)
{
    freshness->initial_age = entry->initial_age;
    freshness->lifetime = entry->lifetime;
    freshness->stale_while_revalidate = entry->stale_while_revalidate;
    freshness->stale_if_error = entry->stale_if_error;
    freshness->must_revalidate = (entry->flags & WEIR_ENTRY_MUST_REVALIDATE)
                                 != 0;
    freshness->no_cache = (entry->flags & WEIR_ENTRY_NO_CACHE) != 0;
}


time_t
ngx_http_weir_cache_entry_age(weir_entry_t *entry)
{
    int64_t      resident;
    ngx_time_t  *tp;

    tp = ngx_timeofday();
    resident = (int64_t) tp->sec * 1000 + tp->msec - entry->stored;

    return entry->initial_age + (resident > 0 ? resident / 1000 : 0);
}
