/*
 * In the place of nginx' src/core/ngx_slab.c, which it includes under other
 * names: behind each allocation AddressSanitizer forbids at least GUARD bytes,
 * and the first bytes of what is freed.
 *
 * This file is compiled without checks: the pool keeps lists and maps in memory
 * that it has freed.
 */

#define ngx_slab_alloc          pool_alloc
#define ngx_slab_alloc_locked   pool_alloc_locked
#define ngx_slab_calloc         pool_calloc
#define ngx_slab_calloc_locked  pool_calloc_locked
#define ngx_slab_free           pool_free
#define ngx_slab_free_locked    pool_free_locked

#include "ngx_slab_of_nginx.c"

#undef ngx_slab_alloc
#undef ngx_slab_alloc_locked
#undef ngx_slab_calloc
#undef ngx_slab_calloc_locked
#undef ngx_slab_free
#undef ngx_slab_free_locked

#include <sanitizer/asan_interface.h>

#define GUARD  16


void *
ngx_slab_alloc_locked(ngx_slab_pool_t *pool, size_t size)
{
    void    *p;
    size_t   guard, room;

    guard = GUARD;

    if (size > ngx_slab_max_size
        && ngx_align(size + guard, ngx_pagesize)
           > pool->pfree * ngx_pagesize)
    {
        guard = 0;  /* who asks for all that is left gets it */
    }

    p = pool_alloc_locked(pool, size + guard);
    if (p == NULL) {
        return NULL;
    }

    /* bytes that the pool gives for as many */

    if (size + guard > ngx_slab_max_size) {
        room = ngx_align(size + guard, ngx_pagesize);

    } else {
        for (room = pool->min_size; room < size + guard; room *= 2) {
            /* void */
        }
    }

    __asan_unpoison_memory_region(p, size);
    ngx_memset(p, 0xa5, size);  /* nobody reads what he has not written */
    __asan_poison_memory_region((u_char *) p + size, room - size);

    return p;
}


void *
ngx_slab_alloc(ngx_slab_pool_t *pool, size_t size)
{
    void  *p;

    ngx_shmtx_lock(&pool->mutex);
    p = ngx_slab_alloc_locked(pool, size);
    ngx_shmtx_unlock(&pool->mutex);

    return p;
}


void *
ngx_slab_calloc_locked(ngx_slab_pool_t *pool, size_t size)
{
    void  *p;

    p = ngx_slab_alloc_locked(pool, size);
    if (p) {
        ngx_memzero(p, size);
    }

    return p;
}


void *
ngx_slab_calloc(ngx_slab_pool_t *pool, size_t size)
{
    void  *p;

    ngx_shmtx_lock(&pool->mutex);
    p = ngx_slab_calloc_locked(pool, size);
    ngx_shmtx_unlock(&pool->mutex);

    return p;
}


void
ngx_slab_free_locked(ngx_slab_pool_t *pool, void *p)
{
    pool_free_locked(pool, p);
    __asan_poison_memory_region(p, pool->min_size);
}


void
ngx_slab_free(ngx_slab_pool_t *pool, void *p)
{
    ngx_shmtx_lock(&pool->mutex);
    ngx_slab_free_locked(pool, p);
    ngx_shmtx_unlock(&pool->mutex);
}
