/*
 * The memory of usage.  Groups are searched one after the other: that happens
 * once in a worker's life for each location, and their number is bounded by the
 * configuration.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "usage/ngx_http_weir_usage.h"


static ngx_http_weir_usage_group_t *ngx_http_weir_usage_zone_group(
    ngx_http_weir_usage_sh_t *sh, ngx_slab_pool_t *shpool, ngx_str_t *route);


/* Links an element that is complete, under the mutex. */
#define ngx_http_weir_usage_zone_link(list, element)                          \
    do {                                                                      \
        (element)->next = (list);                                             \
        __atomic_store_n(&(list), (element), __ATOMIC_RELEASE);               \
    } while (0)


ngx_http_weir_usage_part_t *
ngx_http_weir_usage_zone_part(ngx_http_weir_usage_sh_t *sh,
    ngx_slab_pool_t *shpool, ngx_uint_t slot, ngx_str_t *route)
{
    ngx_http_weir_usage_part_t   *part;
    ngx_http_weir_usage_group_t  *group;

    part = NULL;

    ngx_shmtx_lock(&shpool->mutex);

    group = ngx_http_weir_usage_zone_group(sh, shpool, route);

    if (group) {
        for (part = group->parts; part && part->slot != slot; part = part->next)
        {
            /* void */
        }
    }

    if (group && part == NULL) {
        part = ngx_slab_calloc_locked(shpool,
                                      sizeof(ngx_http_weir_usage_part_t));
        if (part) {
            part->slot = slot;
            ngx_http_weir_usage_zone_link(group->parts, part);
        }
    }

    ngx_shmtx_unlock(&shpool->mutex);

    return part;
}


static ngx_http_weir_usage_group_t *
ngx_http_weir_usage_zone_group(ngx_http_weir_usage_sh_t *sh,
    ngx_slab_pool_t *shpool, ngx_str_t *route)
{
    ngx_http_weir_usage_group_t  *group;

    for (group = sh->groups; group; group = group->next) {
        if (group->name.len == route->len
            && ngx_memcmp(group->name.data, route->data, route->len) == 0)
        {
            return group;
        }
    }

    group = ngx_slab_calloc_locked(shpool, sizeof(ngx_http_weir_usage_group_t)
                                           + route->len);
    if (group == NULL) {
        return NULL;
    }

    group->name.data = (u_char *) (group + 1);
    group->name.len = route->len;
    ngx_memcpy(group->name.data, route->data, route->len);

    ngx_http_weir_usage_zone_link(sh->groups, group);

    return group;
}
