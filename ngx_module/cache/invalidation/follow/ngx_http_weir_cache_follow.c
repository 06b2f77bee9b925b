/*
 * The follower: one worker of the edge reads the stream weir:invalidate of a
 * zone's Redis (redis/follow/), and applies the messages to the table that all
 * workers check.
 *
 * A cycle has, behind the XREAD, GET of the era's key and XINFO STREAM, which
 * show whether the read was complete:
 *
 *   - GET shows whether the stream is still that of the era in which the edge
 *     reads it (ngx_http_weir_cache_follow_era.c).  In a new era nothing that
 *     was stored before is used.
 *   - read is the number of entries that had been added to the stream up to the
 *     position.  If the position is the last ID of the stream and more entries
 *     were added than read, some were trimmed or deleted before they were read:
 *     everything older is invalid.  If the last ID is before the position, the
 *     stream was deleted and created again, possibly with IDs that were used
 *     before: a new era begins.
 *   - synced advances only after a cycle that ends with position and number in
 *     agreement.  Its new value is the time at which the XREAD was sent; after
 *     an XREAD that timed out without entries, the time at which its wait
 *     ended.
 *
 * In a new era the stream is read from its beginning.  Messages that were
 * trimmed before raise the floor.
 *
 * An entry is applied only by the worker that has the role and finds the table
 * unchanged since its XREAD was sent.  So two workers that both believe to have
 * the role do no harm.  The position is in shared memory, so a successor
 * continues there.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "cache/invalidation/follow/ngx_http_weir_cache_follow.h"
#include "cache/invalidation/follow/ngx_http_weir_cache_follow_private.h"
#include "cache/invalidation/ngx_http_weir_cache_invalidation.h"
#include "http/ngx_http_weir_assert.h"
#include "http/ngx_http_weir_clock.h"


#define NGX_HTTP_WEIR_CACHE_FOLLOW_BLOCK   1000   /* ms, upper limit of XREAD
                                                     BLOCK */
#define NGX_HTTP_WEIR_CACHE_FOLLOW_TRIM    60000  /* ms between two XTRIM */

/* Limits of the stream: messages, and bytes by their average size. */
#define NGX_HTTP_WEIR_CACHE_FOLLOW_LENGTH       100000
#define NGX_HTTP_WEIR_CACHE_FOLLOW_BYTES        (32 * 1024 * 1024)


static ngx_int_t ngx_http_weir_cache_follow_prepare(
    ngx_http_weir_follow_stream_t *s);
static void ngx_http_weir_cache_follow_ask(ngx_http_weir_follow_stream_t *s);
static void ngx_http_weir_cache_follow_trim(ngx_http_weir_cache_follower_t *f);
static ngx_int_t ngx_http_weir_cache_follow_evaluate(
    ngx_http_weir_follow_stream_t *s);
static void ngx_http_weir_cache_follow_missed(
    ngx_http_weir_follow_stream_t *s);
static void ngx_http_weir_cache_follow_complain(
    ngx_http_weir_follow_stream_t *s, char *what, ngx_str_t *text);


static const ngx_http_weir_follow_owner_t  ngx_http_weir_cache_follow_owner = {
    ngx_http_weir_cache_follow_prepare,
    ngx_http_weir_cache_follow_ask,
    ngx_http_weir_cache_follow_evaluate,
    ngx_http_weir_cache_follow_message,
    ngx_http_weir_cache_follow_missed,
    ngx_http_weir_cache_follow_complain
};


ngx_int_t
ngx_http_weir_cache_follow_init_worker(ngx_http_weir_cache_zone_t *zone)
{
    ngx_http_weir_cache_follower_t  *f;

    if (zone->redis == NULL) {
        return NGX_OK;
    }

    ngx_http_weir_assert(zone->follower == NULL);

    f = ngx_pcalloc(ngx_cycle->pool, sizeof(ngx_http_weir_cache_follower_t));
    if (f == NULL) {
        return NGX_ERROR;
    }

    f->zone = zone;
    zone->follower = f;

    ngx_str_set(&f->stream.name, NGX_HTTP_WEIR_CACHE_STREAM);
    f->stream.owner = &ngx_http_weir_cache_follow_owner;
    f->stream.role = &zone->invalidation->role;
    f->stream.block = ngx_min(zone->staleness / 4,
                              NGX_HTTP_WEIR_CACHE_FOLLOW_BLOCK);
    f->stream.data = f;

    return ngx_http_weir_follow_add(zone->redis, &f->stream);
}


void
ngx_http_weir_cache_follow_exit_worker(ngx_http_weir_cache_zone_t *zone)
{
    if (zone->follower) {
        ngx_http_weir_follow_remove(&zone->follower->stream);
        zone->follower = NULL;
    }
}


static ngx_int_t
ngx_http_weir_cache_follow_prepare(ngx_http_weir_follow_stream_t *s)
{
    ngx_str_t                        argv[3];
    weir_invalidations_t            *table;
    ngx_http_weir_cache_follower_t  *f = s->data;

    if (!s->met) {
        f->known = 0;
    }

    if (!f->known) {
        s->caught_up = 0;
        f->last.ms = 0;
        f->last.seq = 0;

        ngx_http_weir_cache_follow_write_era(f, 1);

        ngx_str_set(&argv[0], "INFO");
        ngx_str_set(&argv[1], "server");
        ngx_str_set(&argv[2], "replication");
        ngx_http_weir_follow_send(s, NGX_HTTP_WEIR_CACHE_FOLLOW_INFO, 3, argv);

        return NGX_DECLINED;
    }

    if (!ngx_http_weir_cache_follow_write_resend(f)) {
        ngx_http_weir_cache_follow_write_probe(f);
    }

    ngx_http_weir_cache_follow_trim(f);

    table = ngx_http_weir_cache_invalidation_lock(f->zone);
    f->from = table->position;
    ngx_http_weir_cache_invalidation_unlock(f->zone);

    s->from = f->from;

    return NGX_OK;
}


static void
ngx_http_weir_cache_follow_ask(ngx_http_weir_follow_stream_t *s)
{
    ngx_str_t  argv[2];

    ngx_str_set(&argv[0], "GET");
    ngx_str_set(&argv[1], "weir:era");
    ngx_http_weir_follow_send(s, NGX_HTTP_WEIR_CACHE_FOLLOW_ERA, 2, argv);
}


/* Trims once a minute, and at once if the stream is a tenth above its limit. */

static void
ngx_http_weir_cache_follow_trim(ngx_http_weir_cache_follower_t *f)
{
    u_char     text[NGX_INT64_LEN];
    uint64_t   most;
    ngx_str_t  argv[5];

    ngx_http_weir_assert(f->known);

    most = NGX_HTTP_WEIR_CACHE_FOLLOW_LENGTH;

    if (f->message) {
        most = ngx_min(most, NGX_HTTP_WEIR_CACHE_FOLLOW_BYTES / f->message + 1);
    }

    if (f->length <= most + most / 10
        && f->stream.sent - f->trimmed < NGX_HTTP_WEIR_CACHE_FOLLOW_TRIM)
    {
        return;
    }

    f->trimmed = f->stream.sent;

    ngx_str_set(&argv[0], "XTRIM");
    ngx_str_set(&argv[1], NGX_HTTP_WEIR_CACHE_STREAM);
    ngx_str_set(&argv[2], "MAXLEN");
    ngx_str_set(&argv[3], "~");
    argv[4].data = text;
    argv[4].len = ngx_sprintf(text, "%uL", most) - text;

    ngx_http_weir_follow_tell(&f->stream, 5, argv);
}


static ngx_int_t
ngx_http_weir_cache_follow_evaluate(ngx_http_weir_follow_stream_t *s)
{
    ngx_int_t                        rc;
    ngx_http_weir_cache_follower_t  *f = s->data;

    rc = f->known ? ngx_http_weir_cache_follow_was_read(f)
                  : ngx_http_weir_cache_follow_met(f);

    ngx_http_weir_cache_follow_write_done(f);

    return rc;
}


/*
 * The cycle failed; the next tick begins from the start.  If Redis is
 * unavailable when a zone is created, the zone may replace that of an nginx
 * that was restarted, or reloaded with another size, and that had pending
 * messages.  So everything is invalid when Redis is back.
 */

static void
ngx_http_weir_cache_follow_missed(ngx_http_weir_follow_stream_t *s)
{
    ngx_uint_t                           doubt;
    weir_invalidations_t                *table;
    ngx_http_weir_cache_follower_t      *f = s->data;
    ngx_http_weir_cache_invalidation_t  *inv;

    inv = f->zone->invalidation;
    f->known = 0;
    inv->tried = 1;

    if (s->refused) {
        /* whether Redis accepts messages is unknown */
        inv->refusing = NGX_HTTP_WEIR_CACHE_REFUSES_ALL;
    }

    if (inv->met || !s->following || !s->failed) {
        return;
    }

    table = ngx_http_weir_cache_invalidation_lock(f->zone);

    doubt = !inv->met;
    inv->met = 1;

    if (doubt) {
        weir_invalidations_doubt(table);
    }

    ngx_http_weir_cache_invalidation_unlock(f->zone);

    if (doubt) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "weir_cache_zone \"%V\": the zone is new and Redis"
                      " cannot be reached; earlier invalidations may not have"
                      " reached other edges, so all responses become invalid"
                      " when Redis is back", &f->zone->name);
    }
}


static void
ngx_http_weir_cache_follow_complain(ngx_http_weir_follow_stream_t *s,
    char *what, ngx_str_t *text)
{
    ngx_http_weir_cache_follower_t  *f = s->data;

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "weir_cache_zone \"%V\" cannot read invalidations: Redis"
                  " answered %s with \"%V\"; responses with tags are not"
                  " served from the cache",
                  &f->zone->name, what, text);
}
