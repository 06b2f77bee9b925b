/*
 * What the follower sends: a command of its cycle, messages that this edge made
 * and has not read back, and the era's key.  See ngx_http_weir_cache_follow.c.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "cache/invalidation/follow/ngx_http_weir_cache_follow_private.h"
#include "cache/invalidation/ngx_http_weir_cache_invalidation.h"
#include "http/ngx_http_weir_assert.h"
#include "http/ngx_http_weir_clock.h"


#define NGX_HTTP_WEIR_CACHE_FOLLOW_RESEND   1000  /* ms until a pending message
                                                     is sent again */
#define NGX_HTTP_WEIR_CACHE_FOLLOW_PROBE    250   /* ms between two test
                                                     writes */
#define NGX_HTTP_WEIR_CACHE_FOLLOW_HASHES   128   /* hashes in one message */
#define NGX_HTTP_WEIR_CACHE_FOLLOW_ERA_LEN  16    /* hexadecimal digits */


static void ngx_http_weir_cache_follow_write_set(ngx_str_t *argv,
    u_char *text);
static ngx_str_t ngx_http_weir_cache_follow_write_hashes(uint64_t *hashes,
    size_t n);


void
ngx_http_weir_cache_follow_write_era(ngx_http_weir_cache_follower_t *f,
    ngx_uint_t missing)
{
    u_char     text[NGX_HTTP_WEIR_CACHE_FOLLOW_ERA_LEN];
    ngx_str_t  argv[4];

    ngx_http_weir_cache_follow_write_set(argv, text);

    ngx_http_weir_follow_tell(&f->stream, missing ? 4 : 3, argv);
}


/* SET weir:era random NX; the text of the random number is in the buffer. */

static void
ngx_http_weir_cache_follow_write_set(ngx_str_t *argv, u_char *text)
{
    ngx_str_set(&argv[0], "SET");
    ngx_str_set(&argv[1], "weir:era");
    argv[2].data = text;
    argv[2].len = ngx_sprintf(text, "%016xL", ngx_http_weir_random()) - text;
    ngx_str_set(&argv[3], "NX");
}


/* A write that changes nothing while the era exists. */

void
ngx_http_weir_cache_follow_write_probe(ngx_http_weir_cache_follower_t *f)
{
    u_char     text[NGX_HTTP_WEIR_CACHE_FOLLOW_ERA_LEN];
    ngx_str_t  argv[4];

    if (f->stream.sent - f->probed < NGX_HTTP_WEIR_CACHE_FOLLOW_PROBE) {
        return;
    }

    f->probed = f->stream.sent;
    f->told = 0;

    ngx_http_weir_cache_follow_write_set(argv, text);

    ngx_http_weir_follow_send(&f->stream, NGX_HTTP_WEIR_CACHE_FOLLOW_WRITE, 4,
                              argv);
}


ngx_uint_t
ngx_http_weir_cache_follow_write_resend(ngx_http_weir_cache_follower_t *f)
{
    bool                   soft, all;
    size_t                 n;
    u_char                *p, edge[16 + 1 + NGX_INT64_LEN];
    uint64_t               hashes[NGX_HTTP_WEIR_CACHE_FOLLOW_HASHES];
    ngx_str_t              argv[9];
    ngx_uint_t             argc, client;
    weir_invalidations_t  *table;

    table = ngx_http_weir_cache_invalidation_lock(f->zone);

    client = 0;
    n = weir_invalidations_unsent(table, f->stream.sent,
                                  NGX_HTTP_WEIR_CACHE_FOLLOW_RESEND, hashes,
                                  NGX_HTTP_WEIR_CACHE_FOLLOW_HASHES, &soft,
                                  &all);

    if (n == 0 && !all) {
        client = 1;
        n = weir_invalidations_unsent_clients(table, f->stream.sent,
                                        NGX_HTTP_WEIR_CACHE_FOLLOW_RESEND,
                                        hashes, WEIR_INVALIDATION_FORGOTTEN);
    }

    p = ngx_sprintf(edge, "%016xL-%uL", table->origin, table->local);

    ngx_http_weir_cache_invalidation_unlock(f->zone);

    if (n == 0 && !all) {
        return 0;
    }

    ngx_str_set(&argv[0], "XADD");
    ngx_str_set(&argv[1], NGX_HTTP_WEIR_CACHE_STREAM);
    ngx_str_set(&argv[2], "*");
    ngx_str_set(&argv[3], "edge");
    argv[4].data = edge;
    argv[4].len = p - edge;
    argc = 7;

    if (all) {
        ngx_str_set(&argv[5], "all");
        ngx_str_set(&argv[6], "1");

    } else {
        ngx_str_set(&argv[5], "hashes");
        argv[6] = ngx_http_weir_cache_follow_write_hashes(hashes, n);

        if (soft) {
            ngx_str_set(&argv[7], "soft");
            ngx_str_set(&argv[8], "1");
            argc = 9;
        }

        if (client) {
            ngx_str_set(&argv[7], "client");
            ngx_str_set(&argv[8], "1");
            argc = 9;
        }
    }

    ngx_http_weir_assert(argc <= sizeof(argv) / sizeof(argv[0]));

    f->told = 1;
    ngx_http_weir_follow_send(&f->stream, NGX_HTTP_WEIR_CACHE_FOLLOW_WRITE,
                              argc, argv);

    return 1;
}


/* The hashes as text of a message; valid until the next call. */

static ngx_str_t
ngx_http_weir_cache_follow_write_hashes(uint64_t *hashes, size_t n)
{
    u_char     *p;
    size_t      i;
    ngx_str_t   s;

    ngx_http_weir_assert(n != 0 && n <= NGX_HTTP_WEIR_CACHE_FOLLOW_HASHES);

    static u_char  text[NGX_HTTP_WEIR_CACHE_FOLLOW_HASHES * 17];

    p = text;

    for (i = 0; i < n; i++) {
        p = ngx_sprintf(p, "%016xL ", hashes[i]);
    }

    s.data = text;
    s.len = p - text - 1;

    return s;
}


/*
 * Redis may answer reads and refuse writes (READONLY, NOREPLICAS, OOM …), or
 * accept writes and refuse messages (no right to XADD, IDs used up).  So a
 * successful test write ends the second state only if no message waits to be
 * sent.
 */

void
ngx_http_weir_cache_follow_write_done(ngx_http_weir_cache_follower_t *f)
{
    ngx_uint_t                           refusing;
    weir_invalidations_t                *table;
    ngx_http_weir_redis_reply_t         *reply;
    ngx_http_weir_cache_invalidation_t  *inv;

    inv = f->zone->invalidation;
    reply = f->stream.replies[NGX_HTTP_WEIR_CACHE_FOLLOW_WRITE];

    if (reply == NULL) {
        return;
    }

    table = inv->table;
    refusing = 0;

    if (reply->type == NGX_HTTP_WEIR_REDIS_ERROR) {
        refusing = f->told ? NGX_HTTP_WEIR_CACHE_REFUSES_MESSAGES
                           : NGX_HTTP_WEIR_CACHE_REFUSES_ALL;

    } else if (inv->refusing == NGX_HTTP_WEIR_CACHE_REFUSES_MESSAGES
               && !f->told
               && (table->npending || table->pending_all
                   || table->client_pending))
    {
        return;
    }

    if (refusing == inv->refusing) {
        return;
    }

    if (refusing && inv->refusing) {
        inv->refusing = refusing;
        return;
    }

    inv->refusing = refusing;

    if (refusing) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "weir_cache_zone \"%V\": Redis refuses %s (%V);"
                      " invalidations made here reach other edges when Redis"
                      " accepts them again", &f->zone->name,
                      f->told ? "messages" : "writes", &reply->str);
    } else {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "weir_cache_zone \"%V\": Redis accepts invalidations"
                      " again",
                      &f->zone->name);
    }
}
