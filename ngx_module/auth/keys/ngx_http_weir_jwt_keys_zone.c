/*
 * The shared memory of an issuer's keys.  Its name has the issuer's name and the
 * hash of the source, so that a reload keeps a set, and does not take that of
 * another source for it.
 *
 * Invariants:
 *
 * - A document is written where the last generation but one was, under the
 *   mutex, and its generation is set last: a process that is killed while it
 *   writes leaves the current document as it was.
 * - The process whose pid is in sh->fetcher fetches, no other.  It is taken with
 *   a compare-and-swap from 0, from the pid of a process that is gone, or from
 *   one whose time has passed.  That one may live, stopped by a debugger say: it
 *   asks ngx_http_weir_jwt_keys_zone_owns() before it stores what it has.
 * - Fetches are numbered as they begin, and no two begin within
 *   NGX_HTTP_WEIR_JWT_KEYS_INTERVAL.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "auth/keys/ngx_http_weir_jwt_keys_private.h"
#include "auth/ngx_http_weir_jwt_private.h"
#include "common/hash/blake2b.h"
#include "http/ngx_http_weir_assert.h"
#include "http/ngx_http_weir_clock.h"
#include "object/ngx_http_weir_object.h"

#include <signal.h>


static ngx_int_t ngx_http_weir_jwt_keys_zone_init(ngx_shm_zone_t *zone,
    void *data);
static void ngx_http_weir_jwt_keys_zone_file(ngx_http_weir_jwt_keys_t *keys);
static ngx_slab_pool_t *ngx_http_weir_jwt_keys_zone_pool(
    ngx_http_weir_jwt_keys_t *keys);
static ngx_uint_t ngx_http_weir_jwt_keys_zone_early(
    ngx_http_weir_jwt_keys_t *keys);


ngx_int_t
ngx_http_weir_jwt_keys_zone_add(ngx_conf_t *cf, ngx_http_weir_jwt_keys_t *keys)
{
    size_t      size;
    uint64_t    hash;
    ngx_str_t   name;
    weir_str_t  none, source;

    ngx_memzero(&none, sizeof(weir_str_t));
    source.data = (char *) keys->source.data;
    source.len = keys->source.len;

    weir_blake2b((uint8_t *) &hash, sizeof(hash), none, WEIR_STR("weir jwks"),
                 source);

    name.len = sizeof("weir_jwt_issuer::") - 1 + keys->name.len + 16;
    name.data = ngx_pnalloc(cf->pool, name.len + 1);
    if (name.data == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_sprintf(name.data, "weir_jwt_issuer:%V:%016xL%Z", &keys->name,
                       hash);

    /* nginx' slab pool needs a description of each page, and some more */

    size = ngx_align(sizeof(ngx_http_weir_jwt_keys_sh_t), ngx_pagesize);
    size += size / ngx_pagesize * 2 * sizeof(ngx_slab_page_t)
            + 16 * ngx_pagesize;

    keys->zone = ngx_shared_memory_add(cf, &name, size,
                                       &ngx_http_weir_jwt_module);
    if (keys->zone == NULL) {
        return NGX_ERROR;
    }

    keys->zone->init = ngx_http_weir_jwt_keys_zone_init;
    keys->zone->data = keys;

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_jwt_keys_zone_init(ngx_shm_zone_t *zone, void *data)
{
    ngx_slab_pool_t              *shpool;
    ngx_http_weir_jwt_keys_t     *keys;
    ngx_http_weir_jwt_keys_sh_t  *sh;

    keys = zone->data;
    shpool = (ngx_slab_pool_t *) zone->shm.addr;

    if (data || zone->shm.exists) {
        sh = shpool->data;

        if (ngx_http_weir_check_layout(zone, sh->layout) != NGX_OK) {
            return NGX_ERROR;
        }

    } else {
        /* the documents are not cleared, so that they take no memory yet */

        sh = ngx_slab_alloc(shpool, sizeof(ngx_http_weir_jwt_keys_sh_t));
        if (sh == NULL) {
            return NGX_ERROR;
        }

        ngx_memzero(sh, offsetof(ngx_http_weir_jwt_keys_sh_t, documents));

        sh->layout = ngx_http_weir_layout();
        shpool->data = sh;
    }

    keys->sh = sh;

    if (!keys->remote) {
        ngx_http_weir_jwt_keys_zone_file(keys);
    }

    return NGX_OK;
}


/* The file that was read with the configuration. */

static void
ngx_http_weir_jwt_keys_zone_file(ngx_http_weir_jwt_keys_t *keys)
{
    uint64_t    now;
    weir_str_t  document;

    if (ngx_http_weir_jwt_keys_zone_has(keys, keys->digest)) {
        keys->generation = ngx_http_weir_jwt_keys_get(&keys->sh->generation);

    } else {
        document.data = (char *) keys->text.data;
        document.len = keys->text.len;

        keys->generation = ngx_http_weir_jwt_keys_zone_put(keys, document,
                                                           keys->digest,
                                                           keys->token->keys.n);
    }

    ngx_http_weir_jwt_keys_zone_stat(keys, &keys->stat, 1);

    now = ngx_http_weir_ms();
    ngx_http_weir_jwt_keys_set(&keys->sh->confirmed, now);
    ngx_http_weir_jwt_keys_set(&keys->sh->due, now + keys->refresh);
}


static ngx_slab_pool_t *
ngx_http_weir_jwt_keys_zone_pool(ngx_http_weir_jwt_keys_t *keys)
{
    return (ngx_slab_pool_t *) keys->zone->shm.addr;
}


uint64_t
ngx_http_weir_jwt_keys_zone_put(ngx_http_weir_jwt_keys_t *keys,
    weir_str_t document, const u_char *digest, ngx_uint_t n)
{
    uint64_t                            generation;
    ngx_slab_pool_t                    *shpool;
    ngx_http_weir_jwt_keys_document_t  *place;

    ngx_http_weir_assert(document.len <= WEIR_JWKS_MAX);

    shpool = ngx_http_weir_jwt_keys_zone_pool(keys);

    ngx_shmtx_lock(&shpool->mutex);

    generation = ngx_http_weir_jwt_keys_get(&keys->sh->generation) + 1;
    place = &keys->sh->documents[generation % 2];

    ngx_memcpy(place->digest, digest, NGX_HTTP_WEIR_JWT_KEYS_DIGEST);
    ngx_memcpy(place->text, document.data, document.len);
    place->len = document.len;
    place->keys = n;

    ngx_http_weir_jwt_keys_set(&keys->sh->generation, generation);

    ngx_shmtx_unlock(&shpool->mutex);

    return generation;
}


uint64_t
ngx_http_weir_jwt_keys_zone_get(ngx_http_weir_jwt_keys_t *keys, u_char *buf,
    size_t *len, u_char *digest)
{
    uint64_t                            generation;
    ngx_slab_pool_t                    *shpool;
    ngx_http_weir_jwt_keys_document_t  *place;

    shpool = ngx_http_weir_jwt_keys_zone_pool(keys);

    ngx_shmtx_lock(&shpool->mutex);

    generation = ngx_http_weir_jwt_keys_get(&keys->sh->generation);

    if (generation) {
        place = &keys->sh->documents[generation % 2];
        *len = ngx_min(place->len, WEIR_JWKS_MAX);
        ngx_memcpy(buf, place->text, *len);
        ngx_memcpy(digest, place->digest, NGX_HTTP_WEIR_JWT_KEYS_DIGEST);
    }

    ngx_shmtx_unlock(&shpool->mutex);

    return generation;
}


ngx_uint_t
ngx_http_weir_jwt_keys_zone_has(ngx_http_weir_jwt_keys_t *keys,
    const u_char *digest)
{
    uint64_t          generation;
    ngx_uint_t        has;
    ngx_slab_pool_t  *shpool;

    shpool = ngx_http_weir_jwt_keys_zone_pool(keys);

    ngx_shmtx_lock(&shpool->mutex);

    generation = ngx_http_weir_jwt_keys_get(&keys->sh->generation);

    has = generation
          && ngx_memcmp(keys->sh->documents[generation % 2].digest, digest,
                        NGX_HTTP_WEIR_JWT_KEYS_DIGEST)
             == 0;

    ngx_shmtx_unlock(&shpool->mutex);

    return has;
}


void
ngx_http_weir_jwt_keys_zone_stat(ngx_http_weir_jwt_keys_t *keys,
    ngx_http_weir_jwt_keys_stat_t *stat, ngx_uint_t set)
{
    ngx_slab_pool_t  *shpool;

    shpool = ngx_http_weir_jwt_keys_zone_pool(keys);

    ngx_shmtx_lock(&shpool->mutex);

    if (set) {
        keys->sh->stat = *stat;

    } else {
        *stat = keys->sh->stat;
    }

    ngx_shmtx_unlock(&shpool->mutex);
}


ngx_uint_t
ngx_http_weir_jwt_keys_zone_claim(ngx_http_weir_jwt_keys_t *keys)
{
    uint64_t                      pid, now;
    ngx_http_weir_jwt_keys_sh_t  *sh;

    ngx_http_weir_assert(keys->number == 0);

    sh = keys->sh;
    now = ngx_http_weir_ms();
    pid = ngx_http_weir_jwt_keys_get(&sh->fetcher);

    if (ngx_http_weir_jwt_keys_zone_early(keys)
        || (pid != 0 && pid != (uint64_t) ngx_pid
            && now < ngx_http_weir_jwt_keys_get(&sh->claimed)
            && !(kill((pid_t) pid, 0) == -1 && ngx_errno == NGX_ESRCH)))
    {
        return 0;
    }

    /* before the claim, which otherwise looks for a moment as if it had ended */

    ngx_http_weir_jwt_keys_set(&sh->claimed,
                               now + keys->server.timeout
                               + NGX_HTTP_WEIR_JWT_KEYS_CHECKS);

    if (!atomic_compare_exchange_strong_explicit(&sh->fetcher, &pid,
                                                 (uint64_t) ngx_pid,
                                                 memory_order_acq_rel,
                                                 memory_order_relaxed))
    {
        return 0;
    }

    if (ngx_http_weir_jwt_keys_zone_early(keys)) {
        /* another process has fetched since the first look */
        ngx_http_weir_jwt_keys_set(&sh->fetcher, 0);
        return 0;
    }

    ngx_http_weir_jwt_keys_set(&sh->started, now);

    keys->number = ngx_http_weir_jwt_keys_get(&sh->begun) + 1;
    ngx_http_weir_jwt_keys_set(&sh->begun, keys->number);

    return 1;
}


/* True if the last fetch began a moment ago. */

static ngx_uint_t
ngx_http_weir_jwt_keys_zone_early(ngx_http_weir_jwt_keys_t *keys)
{
    uint64_t  started;

    started = ngx_http_weir_jwt_keys_get(&keys->sh->started);

    return started
           && ngx_http_weir_ms() < started + NGX_HTTP_WEIR_JWT_KEYS_INTERVAL;
}


ngx_uint_t
ngx_http_weir_jwt_keys_zone_owns(ngx_http_weir_jwt_keys_t *keys)
{
    return keys->number
           && ngx_http_weir_jwt_keys_get(&keys->sh->fetcher)
              == (uint64_t) ngx_pid
           && ngx_http_weir_jwt_keys_get(&keys->sh->begun) == keys->number;
}


void
ngx_http_weir_jwt_keys_zone_release(ngx_http_weir_jwt_keys_t *keys,
    ngx_uint_t abandoned)
{
    uint64_t  pid;

    pid = (uint64_t) ngx_pid;

    if (ngx_http_weir_jwt_keys_zone_owns(keys)) {

        if (!abandoned) {
            ngx_http_weir_jwt_keys_set(&keys->sh->ended, keys->number);
        }

        (void) atomic_compare_exchange_strong_explicit(&keys->sh->fetcher, &pid,
                                                       0, memory_order_acq_rel,
                                                       memory_order_relaxed);
    }

    keys->number = 0;
}


void
ngx_http_weir_jwt_keys_count(ngx_http_weir_jwt_keys_t *keys, ngx_uint_t count)
{
    ngx_http_weir_assert(count < NGX_HTTP_WEIR_JWT_COUNTS);

    if (keys->sh) {
        ngx_http_weir_jwt_keys_add(&keys->sh->tokens[count]);
    }
}


void
ngx_http_weir_jwt_keys_counts(ngx_http_weir_jwt_keys_t *keys,
    ngx_http_weir_jwt_keys_counts_t *counts)
{
    uint64_t                      generation;
    ngx_uint_t                    i;
    ngx_http_weir_jwt_keys_sh_t  *sh;

    sh = keys->sh;

    ngx_memzero(counts, sizeof(ngx_http_weir_jwt_keys_counts_t));

    for (i = 0; i < NGX_HTTP_WEIR_JWT_COUNTS; i++) {
        counts->tokens[i] = ngx_http_weir_jwt_keys_get(&sh->tokens[i]);
    }

    for (i = 0; i < NGX_HTTP_WEIR_JWT_FETCHES; i++) {
        counts->fetches[i] = ngx_http_weir_jwt_keys_get(&sh->fetches[i]);
    }

    counts->failing = ngx_http_weir_jwt_keys_get(&sh->failures) != 0;

    generation = ngx_http_weir_jwt_keys_get(&sh->generation);

    if (generation) {
        counts->keys = sh->documents[generation % 2].keys;
        counts->age = ngx_http_weir_ms()
                      - ngx_http_weir_jwt_keys_get(&sh->confirmed);
    }
}


const char *
ngx_http_weir_jwt_keys_count_name(ngx_uint_t count)
{
    switch (count) {

    case WEIR_TOKEN_OK:
        return "verified";

    case NGX_HTTP_WEIR_JWT_COUNT_ABSENT:
        return "no_token";

    case NGX_HTTP_WEIR_JWT_COUNT_SEVERAL:
        return "several_tokens";

    case NGX_HTTP_WEIR_JWT_COUNT_FORBIDDEN:
        return "insufficient_scope";

    default:
        return weir_token_reason_name(count);
    }
}


const char *
ngx_http_weir_jwt_keys_fetch_name(ngx_uint_t fetch)
{
    static const char  *names[] = {
        "changed", "unchanged", "failed", "refused"
    };

    return names[fetch];
}
