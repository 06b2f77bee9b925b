/*
 * Lets allocations of the module fail, for allocations.t.
 *
 * The module is linked with this file and with --wrap for each function below
 * (scripts/build/asan.sh reads their names here), so what Weir's own code calls
 * comes here first, and what nginx calls does not.  Among them are functions of
 * nginx and hiredis that allocate for their caller; those fail before they have
 * done anything.  In memory that the processes share slabs and the cache's arena
 * are meant.
 *
 * The probe of the cache says which are to fail.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_event_connect.h>
#include <ngx_http.h>

#include <dlfcn.h>
#include <execinfo.h>
#include <hiredis/hiredis.h>
#include <zlib.h>

#include "cache/memory/arena.h"


/* Callers that the log names. */
#define FRAMES  10


/* Those of this process from the nth on, up to the last one; none with 0. */
void weir_allocations_fail(ngx_uint_t nth, ngx_uint_t onward);

/* How many there were since then, and how many of them have failed. */
void weir_allocations_count(ngx_uint_t *allocations, ngx_uint_t *failed);


static ngx_uint_t  first;
static ngx_uint_t  last;
static ngx_uint_t  nallocations;
static ngx_uint_t  nfailed;


void
weir_allocations_fail(ngx_uint_t nth, ngx_uint_t onward)
{
    first = nth;
    last = onward ? (ngx_uint_t) -1 : nth;
    nallocations = 0;
    nfailed = 0;
}


void
weir_allocations_count(ngx_uint_t *allocations, ngx_uint_t *failed)
{
    *allocations = nallocations;
    *failed = nfailed;
}


/* Whether this one fails; the log says where, as addresses in the module. */

static ngx_uint_t
fails(const char *name)
{
    int       i, n;
    void     *frame[FRAMES];
    u_char    text[FRAMES * 20], *p;
    Dl_info   module, caller;

    if (first == 0) {
        return 0;
    }

    nallocations++;

    if (nallocations < first || nallocations > last) {
        return 0;
    }

    nfailed++;

    if (dladdr(&first, &module) == 0) {
        return 1;
    }

    n = backtrace(frame, FRAMES);
    p = text;

    /* behind those of the interceptor, of this function, and of the wrapper */

    for (i = 3; i < n; i++) {
        if (dladdr(frame[i], &caller) == 0
            || caller.dli_fbase != module.dli_fbase)
        {
            break;
        }

        p = ngx_sprintf(p, " %xz", (size_t) ((char *) frame[i] - 1
                                             - (char *) module.dli_fbase));
    }

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "allocation %ui fails: %s called at%*s", nallocations, name,
                  (size_t) (p - text), text);

    return 1;
}


#define FAILS(type, name, parameters, arguments, failure)                     \
                                                                              \
    type __real_##name parameters;                                            \
    type __wrap_##name parameters;                                            \
                                                                              \
    type                                                                      \
    __wrap_##name parameters                                                  \
    {                                                                         \
        return fails(#name) ? failure : __real_##name arguments;              \
    }


FAILS(void *, ngx_palloc, (ngx_pool_t *pool, size_t size), (pool, size), NULL)
FAILS(void *, ngx_pnalloc, (ngx_pool_t *pool, size_t size), (pool, size), NULL)
FAILS(void *, ngx_pcalloc, (ngx_pool_t *pool, size_t size), (pool, size), NULL)
FAILS(void *, ngx_alloc, (size_t size, ngx_log_t *log), (size, log), NULL)
FAILS(void *, ngx_calloc, (size_t size, ngx_log_t *log), (size, log), NULL)
FAILS(void *, realloc, (void *p, size_t size), (p, size), NULL)
FAILS(ngx_pool_t *, ngx_create_pool, (size_t size, ngx_log_t *log),
      (size, log), NULL)
FAILS(ngx_pool_cleanup_t *, ngx_pool_cleanup_add,
      (ngx_pool_t *pool, size_t size), (pool, size), NULL)
FAILS(u_char *, ngx_pstrdup, (ngx_pool_t *pool, ngx_str_t *src), (pool, src),
      NULL)
FAILS(void *, ngx_list_push, (ngx_list_t *list), (list), NULL)
FAILS(void *, ngx_array_push, (ngx_array_t *array), (array), NULL)
FAILS(ngx_array_t *, ngx_array_create,
      (ngx_pool_t *pool, ngx_uint_t n, size_t size), (pool, n, size), NULL)
FAILS(ngx_buf_t *, ngx_create_temp_buf, (ngx_pool_t *pool, size_t size),
      (pool, size), NULL)
FAILS(ngx_chain_t *, ngx_alloc_chain_link, (ngx_pool_t *pool), (pool), NULL)

FAILS(void *, ngx_slab_alloc, (ngx_slab_pool_t *pool, size_t size),
      (pool, size), NULL)
FAILS(void *, ngx_slab_calloc, (ngx_slab_pool_t *pool, size_t size),
      (pool, size), NULL)
FAILS(void *, ngx_slab_calloc_locked, (ngx_slab_pool_t *pool, size_t size),
      (pool, size), NULL)
FAILS(void *, weir_arena_alloc, (weir_arena_t *arena, size_t size),
      (arena, size), NULL)

FAILS(ngx_int_t, ngx_http_complex_value,
      (ngx_http_request_t *r, ngx_http_complex_value_t *val, ngx_str_t *value),
      (r, val, value), NGX_ERROR)
FAILS(ngx_int_t, ngx_http_test_predicates,
      (ngx_http_request_t *r, ngx_array_t *predicates), (r, predicates),
      NGX_ERROR)
FAILS(ngx_int_t, ngx_http_discard_request_body, (ngx_http_request_t *r), (r),
      NGX_HTTP_INTERNAL_SERVER_ERROR)
FAILS(ngx_int_t, ngx_http_read_client_request_body,
      (ngx_http_request_t *r, ngx_http_client_body_handler_pt handler),
      (r, handler), NGX_HTTP_INTERNAL_SERVER_ERROR)
FAILS(ngx_int_t, ngx_http_subrequest,
      (ngx_http_request_t *r, ngx_str_t *uri, ngx_str_t *args,
       ngx_http_request_t **sr, ngx_http_post_subrequest_t *ps,
       ngx_uint_t flags),
      (r, uri, args, sr, ps, flags), NGX_ERROR)
FAILS(ngx_int_t, ngx_event_connect_peer, (ngx_peer_connection_t *pc), (pc),
      NGX_ERROR)
FAILS(ngx_int_t, ngx_handle_read_event, (ngx_event_t *rev, ngx_uint_t flags),
      (rev, flags), NGX_ERROR)
FAILS(ngx_int_t, ngx_ssl_create_connection,
      (ngx_ssl_t *ssl, ngx_connection_t *c, ngx_uint_t flags),
      (ssl, c, flags), NGX_ERROR)

FAILS(ngx_resolver_ctx_t *, ngx_resolve_start,
      (ngx_resolver_t *r, ngx_resolver_ctx_t *temp), (r, temp), NULL)

FAILS(int, deflateInit2_,
      (z_streamp z, int level, int method, int bits, int memory, int strategy,
       const char *version, int size),
      (z, level, method, bits, memory, strategy, version, size), Z_MEM_ERROR)

FAILS(redisReader *, redisReaderCreateWithFunctions,
      (redisReplyObjectFunctions *functions), (functions), NULL)
FAILS(int, redisReaderFeed, (redisReader *reader, const char *buf, size_t len),
      (reader, buf, len), REDIS_ERR)
