/*
 * The era of a stream: its life on one server.
 *
 * It is a hash of the server's run_id and master_replid, read on each
 * connection, and of the key weir:era.  An edge that finds the key missing
 * sets it to a random value.  All edges compute the same era.  It changes
 * when the server was restarted, emptied or replaced.  Invalidations may
 * have been lost then, so responses of another era are not used.
 *
 * No era occurs twice.  An edge that connects to another server than the
 * last time gives weir:era a new value there.  So after a failback, when
 * the edge returns to the first server, responses stored before are of
 * another era.  If the value cannot be written, the edge adds a random
 * number of its own (salt) to the era, and uses only responses that it
 * stored itself.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "cache/invalidation/follow/ngx_http_weir_cache_follow_private.h"
#include "cache/invalidation/ngx_http_weir_cache_invalidation.h"
#include "http/ngx_http_weir_assert.h"
#include "common/hash/blake2b.h"
#include "http/ngx_http_weir_clock.h"


static uint64_t ngx_http_weir_cache_follow_era_hash(uint64_t before,
    u_char *text, size_t len);
static ngx_int_t ngx_http_weir_cache_follow_era_read_line(ngx_str_t *info,
    char *name, uint64_t *hash);


/* Hash of a text and of the hash before it; never 0. */

static uint64_t
ngx_http_weir_cache_follow_era_hash(uint64_t before, u_char *text, size_t len)
{
    uint64_t        hash;
    weir_blake2b_t  b;

    weir_blake2b_begin(&b, sizeof(hash), WEIR_STR(""),
                       WEIR_STR("weir era"));
    weir_blake2b_add(&b, (weir_str_t) { (char *) &before, sizeof(before) });
    weir_blake2b_add(&b, (weir_str_t) { (char *) text, len });
    weir_blake2b_end(&b, (uint8_t *) &hash);

    return hash ? hash : 1;
}


uint64_t
ngx_http_weir_cache_follow_era_of(ngx_http_weir_cache_follower_t *f,
    ngx_http_weir_redis_reply_t *value)
{
    return ngx_http_weir_cache_follow_era_hash(f->server
                                               ^ f->zone->invalidation->salt,
                                               value->str.data,
                                               value->str.len);
}


ngx_int_t
ngx_http_weir_cache_follow_era_compare(ngx_http_weir_cache_follower_t *f,
    ngx_http_weir_redis_reply_t *value)
{
    uint64_t                             word;
    ngx_uint_t                           renew;
    ngx_http_weir_cache_invalidation_t  *inv;

    inv = f->zone->invalidation;
    word = ngx_http_weir_cache_follow_era_hash(0, value->str.data,
                                               value->str.len);
    renew = 0;

    ngx_http_weir_assert(f->server != 0);

    (void) ngx_http_weir_cache_invalidation_lock(f->zone);

    if (inv->role.pid == (ngx_atomic_uint_t) ngx_pid) {

        if (inv->server && inv->server != f->server) {
            inv->salt = ngx_http_weir_random();
            inv->salt_word = word;
            renew = 1;

        } else if (inv->salt && inv->salt_word != word) {
            inv->salt = 0;
        }

        inv->server = f->server;
        inv->met = 1;
    }

    ngx_http_weir_cache_invalidation_unlock(f->zone);

    if (renew) {
        ngx_http_weir_cache_follow_write_era(f, 0);
        return NGX_AGAIN;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_weir_cache_follow_era_read_server(ngx_http_weir_cache_follower_t *f)
{
    ngx_http_weir_redis_reply_t  *reply;

    reply = f->stream.replies[NGX_HTTP_WEIR_CACHE_FOLLOW_INFO];
    f->server = 0;

    ngx_http_weir_assert(reply != NULL);

    if (reply->type != NGX_HTTP_WEIR_REDIS_STRING
        || ngx_http_weir_cache_follow_era_read_line(&reply->str, "run_id:",
                                                    &f->server)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_weir_cache_follow_era_read_line(&reply->str,
                                                    "master_replid:",
                                                    &f->server);
}


/* Adds the value of the line to the hash. */

static ngx_int_t
ngx_http_weir_cache_follow_era_read_line(ngx_str_t *info, char *name,
    uint64_t *hash)
{
    u_char  *p, *value, *last;

    last = info->data + info->len;
    p = ngx_strnstr(info->data, name, info->len);

    if (p == NULL) {
        return NGX_ERROR;
    }

    value = p + ngx_strlen(name);

    for (p = value; p < last && *p > ' '; p++) { /* void */ }

    if (p == value) {
        return NGX_ERROR;
    }

    *hash = ngx_http_weir_cache_follow_era_hash(*hash, value, p - value);

    return NGX_OK;
}
