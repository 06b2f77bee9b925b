/*
 * In the place of nginx' src/os/unix/ngx_shmem.c: shared memory whose bounds
 * AddressSanitizer keeps for all processes together.
 *
 * AddressSanitizer says in its shadow, a byte for each eight of memory, what may
 * be touched.  The shadow is each process's own, so what one worker frees in a
 * zone another would still hold for allocated.  Here the shadow of a zone is
 * shared memory, too; it is mapped by pages, so a zone begins and ends where a
 * page of the shadow does.
 */

#include <ngx_config.h>
#include <ngx_core.h>

#include <sanitizer/asan_interface.h>


static ngx_int_t
shadow_map(ngx_shm_t *shm, size_t size, int flags)
{
    char    *start;
    size_t   scale, offset;

    __asan_get_shadow_mapping(&scale, &offset);
    start = (char *) (((uintptr_t) shm->addr >> scale) + offset);

    if (mmap(start, size >> scale, PROT_READ|PROT_WRITE,
             MAP_ANON|MAP_FIXED|flags, -1, 0)
        == MAP_FAILED)
    {
        ngx_log_error(NGX_LOG_ALERT, shm->log, ngx_errno, "mmap() failed");
        return NGX_ERROR;
    }

    return NGX_OK;
}


static size_t
shadow_unit(void)
{
    size_t  scale, offset;

    __asan_get_shadow_mapping(&scale, &offset);

    return (size_t) sysconf(_SC_PAGESIZE) << scale;
}


ngx_int_t
ngx_shm_alloc(ngx_shm_t *shm)
{
    char    *p, *start;
    size_t   unit, size;

    unit = shadow_unit();
    size = ngx_align(shm->size, unit);

    p = mmap(NULL, size + unit, PROT_READ|PROT_WRITE, MAP_ANON|MAP_SHARED,
             -1, 0);

    if (p == MAP_FAILED) {
        ngx_log_error(NGX_LOG_ALERT, shm->log, ngx_errno,
                      "mmap(MAP_ANON|MAP_SHARED, %uz) failed", shm->size);
        return NGX_ERROR;
    }

    start = (char *) ngx_align_ptr(p, unit);

    if (start != p) {
        munmap(p, start - p);
    }

    munmap(start + size, p + unit - start);

    shm->addr = (u_char *) start;

    return shadow_map(shm, size, MAP_SHARED);
}


void
ngx_shm_free(ngx_shm_t *shm)
{
    size_t  size;

    size = ngx_align(shm->size, shadow_unit());

    if (munmap(shm->addr, size) == -1) {
        ngx_log_error(NGX_LOG_ALERT, shm->log, ngx_errno,
                      "munmap(%p, %uz) failed", shm->addr, shm->size);
    }

    (void) shadow_map(shm, size, MAP_PRIVATE|MAP_NORESERVE);
}
