/*
 * Works the zone without a pause, so that a kill hits it in the middle of a
 * change as often as not.  Every entry tells its key and is filled with one
 * byte, and its checksum is looked at whenever it is read.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/entry.h"
#include "probe.h"


#define HAMMER_KEYS  97
#define HAMMER_HELD  24


static uint64_t
hammer_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;

    return *state;
}


static void
hammer_digest(ngx_uint_t key, u_char *digest)
{
    uint64_t  n;

    n = (key + 1) * 0x9e3779b97f4a7c15u;

    ngx_memcpy(digest, &n, sizeof(n));
    ngx_memcpy(digest + sizeof(n), &n, sizeof(n));
}


static void
hammer_put(ngx_http_weir_cache_zone_t *zone, ngx_uint_t key, u_char *buf,
    size_t len, u_char fill)
{
    char          text[32];
    u_char        digest[NGX_HTTP_WEIR_CACHE_DIGEST_LEN];
    size_t        head;
    weir_entry_t  entry;

    ngx_memzero(&entry, sizeof(weir_entry_t));
    entry.status = 200;
    entry.stored = 1;
    entry.key.data = text;
    entry.key.len = snprintf(text, sizeof(text), "hammer %lu",
                             (unsigned long) key);

    head = weir_entry_head_size(&entry);
    len = ngx_max(len, head);

    ngx_memset(weir_entry_begin((char *) buf, &entry), fill, len - head);
    weir_entry_finish((char *) buf, len);

    hammer_digest(key, digest);
    (void) ngx_http_weir_cache_zone_put(zone, digest, key % 50 + 2, 0, buf, len);
}


static const char *
hammer_verify(ngx_http_weir_cache_pin_t *pin, ngx_uint_t key)
{
    char           text[32];
    size_t         i;
    weir_str_t     data;
    const char    *wrong;
    weir_entry_t   entry;

    data.data = (char *) pin->data;
    data.len = pin->len;

    wrong = weir_entry_decode(data, &entry);
    if (wrong) {
        return wrong;
    }

    snprintf(text, sizeof(text), "hammer %lu", (unsigned long) key);

    if (entry.key.len != ngx_strlen(text)
        || ngx_memcmp(entry.key.data, text, entry.key.len) != 0)
    {
        return "another's key";
    }

    for (i = 1; i < entry.body.len; i++) {
        if (entry.body.data[i] != entry.body.data[0]) {
            return "mixed bytes";
        }
    }

    return NULL;
}


const char *
probe_hammer(ngx_http_weir_cache_zone_t *zone, ngx_uint_t seed,
    ngx_uint_t rounds)
{
    u_char                      *buf, digest[NGX_HTTP_WEIR_CACHE_DIGEST_LEN];
    size_t                       max;
    uint64_t                     state;
    ngx_int_t                    rc;
    ngx_uint_t                   i, n, key, held_key[HAMMER_HELD];
    ngx_pool_t                  *pool;
    const char                  *wrong;
    ngx_http_weir_cache_pin_t    held[HAMMER_HELD];

    max = zone->sh->size / 8;
    state = seed * 0x9e3779b97f4a7c15u + 1;
    buf = ngx_alloc(max + 1024, ngx_cycle->log);
    pool = ngx_create_pool(4096, ngx_cycle->log);

    if (buf == NULL || pool == NULL) {
        return "no memory";
    }

    ngx_memzero(held, sizeof(held));
    wrong = NULL;

    for (i = 0; i < rounds && wrong == NULL; i++) {

        n = hammer_random(&state) % HAMMER_HELD;
        key = hammer_random(&state) % HAMMER_KEYS;
        hammer_digest(key, digest);

        switch (hammer_random(&state) % 8) {

        case 0:
            ngx_http_weir_cache_zone_remove(zone, digest, INT64_MAX);
            break;

        case 1:
        case 2:
        case 3:
            /* small ones mostly: more changes, shorter copies */
            hammer_put(zone, key, buf,
                       hammer_random(&state) % (i % 16 ? 400 : max), i);
            break;

        default:
            if (held[n].data) {
                wrong = hammer_verify(&held[n], held_key[n]);
                ngx_http_weir_cache_zone_release(zone, &held[n]);
                held[n].data = NULL;
            }

            rc = ngx_http_weir_cache_zone_get(zone, digest, pool, &held[n]);

            if (rc == NGX_OK) {
                held_key[n] = key;

                if (wrong == NULL) {
                    wrong = hammer_verify(&held[n], key);
                }

                if (held[n].node == NULL) {
                    /* a copy, of the pool */
                    ngx_reset_pool(pool);
                    held[n].data = NULL;
                }

            } else {
                held[n].data = NULL;
                held[n].node = NULL;
            }
        }
    }

    for (n = 0; n < HAMMER_HELD; n++) {
        ngx_http_weir_cache_zone_release(zone, &held[n]);
    }

    ngx_destroy_pool(pool);
    ngx_free(buf);

    return wrong;
}
