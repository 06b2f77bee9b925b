/*
 * The little of nginx's core that targets need: nginx-dev has headers only.  Each block of a pool
 * is malloc's own, so that AddressSanitizer sees where it ends.
 */
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

volatile ngx_cycle_t *ngx_cycle;
volatile ngx_msec_t ngx_current_msec = 1000000;
ngx_queue_t ngx_posted_events;
ngx_rbtree_t ngx_event_timer_rbtree;
ngx_pid_t ngx_pid = 1;
static ngx_time_t now = {1700000000, 0, 0};
volatile ngx_time_t *ngx_cached_time = &now;

void ngx_log_error_core(ngx_uint_t level, ngx_log_t *log, ngx_err_t err, const char *fmt, ...)
{
    (void)level, (void)log, (void)err, (void)fmt;
}

void ngx_rbtree_delete(ngx_rbtree_t *tree, ngx_rbtree_node_t *node)
{
    (void)tree, (void)node;
}

/* --- pools ----------------------------------------------------------------------------- */

ngx_pool_t *ngx_create_pool(size_t size, ngx_log_t *log)
{
    ngx_pool_t *pool = calloc(1, sizeof(*pool));

    (void)size;
    if (pool != NULL)
        pool->log = log;
    return pool;
}

void ngx_destroy_pool(ngx_pool_t *pool)
{
    for (ngx_pool_large_t *l = pool->large, *next; l != NULL; l = next) {
        next = l->next;
        free(l->alloc);
        free(l);
    }
    free(pool);
}

void *ngx_palloc(ngx_pool_t *pool, size_t size)
{
    ngx_pool_large_t *l = malloc(sizeof(*l));

    if (l == NULL || (l->alloc = malloc(size)) == NULL)
        abort();
    l->next = pool->large;
    pool->large = l;
    return l->alloc;
}

void *ngx_pnalloc(ngx_pool_t *pool, size_t size)
{
    return ngx_palloc(pool, size);
}

void *ngx_pcalloc(ngx_pool_t *pool, size_t size)
{
    void *p = ngx_palloc(pool, size);

    memset(p, 0, size);
    return p;
}

ngx_int_t ngx_pfree(ngx_pool_t *pool, void *p)
{
    for (ngx_pool_large_t *l = pool->large; l != NULL; l = l->next) {
        if (l->alloc == p) {
            free(p);
            l->alloc = NULL;
            return NGX_OK;
        }
    }
    return NGX_DECLINED;
}

/* --- strings --------------------------------------------------------------------------- */

/* As nginx's: up to a NUL of s1 or len bytes. */
u_char *ngx_strnstr(u_char *s1, char *s2, size_t len)
{
    size_t n = strlen(s2);
    u_char *end = memchr(s1, '\0', len);

    return memmem(s1, end != NULL ? (size_t)(end - s1) : len, s2, n);
}

ngx_int_t ngx_atoi(u_char *line, size_t n)
{
    ngx_int_t value = 0;

    for (; n > 0; n--, line++) {
        if (*line < '0' || *line > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, *line - '0', &value))
            return NGX_ERROR;
    }
    return value;
}

ngx_int_t ngx_strncasecmp(u_char *s1, u_char *s2, size_t n)
{
    return strncasecmp((char *)s1, (char *)s2, n);
}

time_t ngx_atotm(u_char *line, size_t n)
{
    return ngx_atoi(line, n);
}

/* --- arrays ---------------------------------------------------------------------------- */

ngx_array_t *ngx_array_create(ngx_pool_t *p, ngx_uint_t n, size_t size)
{
    ngx_array_t *a = ngx_palloc(p, sizeof(*a));

    *a = (ngx_array_t){ngx_palloc(p, n * size), 0, size, n, p};
    return a;
}

void *ngx_array_push(ngx_array_t *a)
{
    if (a->nelts == a->nalloc) {
        void *elts = ngx_palloc(a->pool, 2 * a->nalloc * a->size);

        memcpy(elts, a->elts, a->nelts * a->size);
        (void)ngx_pfree(a->pool, a->elts);
        a->elts = elts;
        a->nalloc *= 2;
    }
    return (u_char *)a->elts + a->size * a->nelts++;
}
