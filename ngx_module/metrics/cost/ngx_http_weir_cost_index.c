/*
 * What routes have used is a list in shared memory.  A document that has all
 * routes sorts it once: a search of the list for each route would take a worker
 * most of the time of a long document.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "metrics/cost/ngx_http_weir_cost.h"

#include <stdlib.h>


static int ngx_http_weir_cost_index_compare(const void *one, const void *two);
static int ngx_http_weir_cost_index_match(const void *route,
    const void *element);


/* The list may grow at its head meanwhile. */

ngx_int_t
ngx_http_weir_cost_index(ngx_http_weir_cost_index_t *index,
    ngx_http_weir_usage_sh_t *sh, ngx_pool_t *pool)
{
    ngx_uint_t                    n;
    ngx_http_weir_usage_group_t  *first, *group;

    first = ngx_http_weir_usage_load(sh->groups);
    n = 0;

    for (group = first; group; group = group->next) {
        n++;
    }

    index->n = 0;
    index->groups = ngx_palloc(pool,
                               (n + 1) * sizeof(ngx_http_weir_usage_group_t *));

    if (index->groups == NULL) {
        return NGX_ERROR;
    }

    for (group = first; group; group = group->next) {
        index->groups[index->n++] = group;
    }

    qsort(index->groups, index->n, sizeof(ngx_http_weir_usage_group_t *),
          ngx_http_weir_cost_index_compare);

    return NGX_OK;
}


ngx_http_weir_usage_group_t *
ngx_http_weir_cost_index_find(ngx_http_weir_cost_index_t *index,
    ngx_str_t *route)
{
    ngx_http_weir_usage_group_t  **found;

    found = bsearch(route, index->groups, index->n,
                    sizeof(ngx_http_weir_usage_group_t *),
                    ngx_http_weir_cost_index_match);

    return found ? *found : NULL;
}


static int
ngx_http_weir_cost_index_compare(const void *one, const void *two)
{
    ngx_http_weir_usage_group_t *const *group = one;

    return ngx_http_weir_cost_index_match(&(*group)->name, two);
}


static int
ngx_http_weir_cost_index_match(const void *route, const void *element)
{
    const ngx_str_t                    *name = route;
    ngx_http_weir_usage_group_t *const *group = element;

    return (int) ngx_memn2cmp(name->data, (*group)->name.data, name->len,
                              (*group)->name.len);
}
