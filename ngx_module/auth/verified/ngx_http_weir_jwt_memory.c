/* The shared memory of weir_jwt; see ngx_http_weir_jwt_memory.h. */

#include <ngx_config.h>
#include <ngx_core.h>

#include "auth/verified/ngx_http_weir_jwt_memory.h"
#include "object/ngx_http_weir_object.h"


static ngx_int_t ngx_http_weir_jwt_memory_init(ngx_shm_zone_t *shm_zone,
    void *data);
static weir_remembered_t *ngx_http_weir_jwt_memory_table(
    ngx_slab_pool_t *shpool, size_t size);


ngx_int_t
ngx_http_weir_jwt_memory_add(ngx_conf_t *cf, size_t size,
    ngx_http_weir_jwt_memory_t **memory, void *tag)
{
    ngx_str_t        name;
    ngx_shm_zone_t  *shm_zone;

    name.data = ngx_pnalloc(cf->pool, sizeof("weir_jwt:0123456789abcdef"));
    if (name.data == NULL) {
        return NGX_ERROR;
    }

    /* another build of the module makes memory of its own */

    name.len = ngx_sprintf(name.data, "weir_jwt:%016xL",
                           ngx_http_weir_layout())
               - name.data;

    shm_zone = ngx_shared_memory_add(cf, &name, size, tag);
    if (shm_zone == NULL) {
        return NGX_ERROR;
    }

    shm_zone->init = ngx_http_weir_jwt_memory_init;
    shm_zone->data = memory;

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_jwt_memory_init(ngx_shm_zone_t *shm_zone, void *data)
{
    size_t                        size;
    ngx_slab_pool_t              *shpool;
    ngx_http_weir_jwt_memory_t  **memory, *sh;

    memory = shm_zone->data;
    shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    if (data || shm_zone->shm.exists) {
        sh = shpool->data;
        *memory = sh;
        return ngx_http_weir_check_layout(shm_zone, sh->layout);
    }

    size = shpool->end - shpool->start;

    sh = ngx_slab_calloc(shpool, sizeof(ngx_http_weir_jwt_memory_t));
    if (sh == NULL) {
        return NGX_ERROR;
    }

    sh->layout = ngx_http_weir_layout();
    sh->verified = ngx_http_weir_jwt_memory_table(shpool, size / 4 * 3);
    sh->refused = ngx_http_weir_jwt_memory_table(shpool, size / 8);

    if (sh->verified == NULL || sh->refused == NULL) {
        return NGX_ERROR;
    }

    shpool->data = sh;
    *memory = sh;

    return NGX_OK;
}


/* The largest table that has at most that size. */

static weir_remembered_t *
ngx_http_weir_jwt_memory_table(ngx_slab_pool_t *shpool, size_t size)
{
    size_t              sets;
    weir_remembered_t  *table;

    sets = 1;

    while (weir_remembered_size(sets * 2) <= size) {
        sets *= 2;
    }

    table = ngx_slab_alloc(shpool, weir_remembered_size(sets));

    if (table) {
        weir_remembered_init(table, sets);
    }

    return table;
}
