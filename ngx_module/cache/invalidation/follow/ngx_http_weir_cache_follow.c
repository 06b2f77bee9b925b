/*
 * The follower: one worker of the edge reads the stream weir:invalidate of a
 * zone's Redis on a connection of its own, and applies the messages to the
 * table that all workers check.
 *
 * A cycle is three commands in one write: XREAD, which blocks if there is
 * nothing to catch up with, then GET of the era's key and XINFO STREAM, which
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
 * The role: a worker takes the role if its holder is dead, has exited, or has
 * sent no heartbeat for a second.  An entry is applied only by the worker that
 * has the role and finds the table unchanged since its XREAD was sent.  So two
 * workers that both believe to have the role do no harm.  The position is in
 * shared memory, so a successor continues there.
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


#define NGX_HTTP_WEIR_CACHE_FOLLOW_TICK    100    /* ms between two ticks */
#define NGX_HTTP_WEIR_CACHE_FOLLOW_LAPSE   1000   /* ms without a heartbeat */
#define NGX_HTTP_WEIR_CACHE_FOLLOW_BLOCK   1000   /* ms, upper limit of XREAD
                                                     BLOCK */
#define NGX_HTTP_WEIR_CACHE_FOLLOW_TRIM    60000  /* ms between two XTRIM */

/* Limits of the stream: messages, and bytes by their average size. */
#define NGX_HTTP_WEIR_CACHE_FOLLOW_LENGTH       100000
#define NGX_HTTP_WEIR_CACHE_FOLLOW_BYTES        (32 * 1024 * 1024)

/* XREAD COUNT as text. */
#define NGX_HTTP_WEIR_CACHE_FOLLOW_COUNT_TEXT   "1000"


static void ngx_http_weir_cache_follow_tick(ngx_event_t *ev);
static void ngx_http_weir_cache_follow_step(
    ngx_http_weir_cache_follower_t *f);
static ngx_uint_t ngx_http_weir_cache_follow_claim(
    ngx_http_weir_cache_follower_t *f, uint64_t now);
static void ngx_http_weir_cache_follow_leave(
    ngx_http_weir_cache_follower_t *f);
static void ngx_http_weir_cache_follow_cycle(
    ngx_http_weir_cache_follower_t *f);
static void ngx_http_weir_cache_follow_read(ngx_http_weir_cache_follower_t *f);
static void ngx_http_weir_cache_follow_trim(ngx_http_weir_cache_follower_t *f);
static void ngx_http_weir_cache_follow_missed(
    ngx_http_weir_cache_follower_t *f);
static void ngx_http_weir_cache_follow_handler(
    ngx_http_weir_redis_command_t *cmd, ngx_int_t rc,
    ngx_http_weir_redis_reply_t *reply);


ngx_int_t
ngx_http_weir_cache_follow_init_worker(ngx_http_weir_cache_zone_t *zone)
{
    u_char                          *p;
    ngx_str_t                        name;
    ngx_uint_t                       i;
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
    f->block = ngx_min(zone->staleness / 4, NGX_HTTP_WEIR_CACHE_FOLLOW_BLOCK);

    name.len = sizeof("invalidations of ") - 1 + zone->name.len;
    name.data = ngx_pnalloc(ngx_cycle->pool, name.len);
    if (name.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(name.data, "invalidations of ",
                   sizeof("invalidations of ") - 1);
    ngx_memcpy(p, zone->name.data, zone->name.len);

    f->redis = ngx_http_weir_redis_dedicate(zone->redis, &name, f->block,
                                            ngx_cycle->pool, ngx_cycle->log);
    if (f->redis == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < NGX_HTTP_WEIR_CACHE_FOLLOW_COMMANDS; i++) {
        f->commands[i].handler = ngx_http_weir_cache_follow_handler;
        f->commands[i].data = f;
        f->commands[i].log = ngx_cycle->log;
    }

    f->tick.handler = ngx_http_weir_cache_follow_tick;
    f->tick.data = f;
    f->tick.log = ngx_cycle->log;
    f->tick.cancelable = 1;

    zone->follower = f;

    ngx_http_weir_cache_follow_tick(&f->tick);

    return NGX_OK;
}


void
ngx_http_weir_cache_follow_exit_worker(ngx_http_weir_cache_zone_t *zone)
{
    ngx_http_weir_cache_follower_t  *f;

    f = zone->follower;

    if (f == NULL) {
        return;
    }

    ngx_http_weir_cache_follow_leave(f);
    ngx_http_weir_redis_release(f->redis);

    if (f->tick.timer_set) {
        ngx_del_timer(&f->tick);
    }

    zone->follower = NULL;
}


static void
ngx_http_weir_cache_follow_tick(ngx_event_t *ev)
{
    ngx_http_weir_cache_follower_t  *f = ev->data;

    if (ngx_exiting) {
        ngx_http_weir_cache_follow_leave(f);
        return;
    }

    ngx_http_weir_cache_follow_step(f);

    ngx_add_timer(&f->tick, NGX_HTTP_WEIR_CACHE_FOLLOW_TICK);
}


static void
ngx_http_weir_cache_follow_step(ngx_http_weir_cache_follower_t *f)
{
    uint64_t                             now;
    ngx_http_weir_cache_invalidation_t  *inv;

    inv = f->zone->invalidation;
    now = ngx_http_weir_ms();

    if (f->following && inv->pid != (ngx_atomic_uint_t) ngx_pid) {
        f->following = 0;
        ngx_http_weir_redis_drop(f->redis, NULL);
    }

    if (f->following) {
        inv->heartbeat = now;

    } else if (!ngx_http_weir_cache_follow_claim(f, now)) {
        return;
    }

    if (f->overdue) {
        f->overdue = 0;
        ngx_http_weir_redis_drop(f->redis, "does not answer");
    }

    if (f->waiting == 0) {
        ngx_http_weir_cache_follow_cycle(f);
    }
}


static ngx_uint_t
ngx_http_weir_cache_follow_is_free(ngx_http_weir_cache_invalidation_t *inv,
    uint64_t now)
{
    ngx_pid_t  pid;

    pid = inv->pid;

    return pid == 0 || pid == ngx_pid
           || (kill(pid, 0) == -1 && ngx_errno == ESRCH)
           || (now > inv->heartbeat
               && now - inv->heartbeat > NGX_HTTP_WEIR_CACHE_FOLLOW_LAPSE);
}


static ngx_uint_t
ngx_http_weir_cache_follow_claim(ngx_http_weir_cache_follower_t *f,
    uint64_t now)
{
    ngx_http_weir_cache_invalidation_t  *inv;

    inv = f->zone->invalidation;

    ngx_http_weir_assert(!f->following);

    if (!ngx_http_weir_cache_follow_is_free(inv, now)) {
        return 0;
    }

    (void) ngx_http_weir_cache_invalidation_lock(f->zone);

    if (ngx_http_weir_cache_follow_is_free(inv, now)) {
        inv->pid = ngx_pid;
        inv->heartbeat = now;
        f->following = 1;
        f->known = 0;
    }

    ngx_http_weir_cache_invalidation_unlock(f->zone);

    return f->following;
}


/* Gives up the role; another worker may take it at once. */

static void
ngx_http_weir_cache_follow_leave(ngx_http_weir_cache_follower_t *f)
{
    ngx_http_weir_cache_invalidation_t  *inv;

    inv = f->zone->invalidation;

    if (!f->following) {
        return;
    }

    f->following = 0;

    (void) ngx_http_weir_cache_invalidation_lock(f->zone);

    if (inv->pid == (ngx_atomic_uint_t) ngx_pid) {
        inv->pid = 0;
    }

    ngx_http_weir_cache_invalidation_unlock(f->zone);

    ngx_http_weir_redis_drop(f->redis, NULL);
}


/* Sends the commands that are due now. */

static void
ngx_http_weir_cache_follow_cycle(ngx_http_weir_cache_follower_t *f)
{
    ngx_str_t  argv[3];

    ngx_http_weir_assert(f->pool == NULL && f->waiting == 0);

    f->pool = ngx_create_pool(4096, ngx_cycle->log);
    if (f->pool == NULL) {
        return;
    }

    ngx_memzero(f->replies, sizeof(f->replies));
    f->failed = 0;
    f->sent = ngx_http_weir_ms();

    if (!f->known) {
        f->caught_up = 0;
        f->last.ms = 0;
        f->last.seq = 0;

        ngx_http_weir_cache_follow_write_era(f, 1);

        ngx_str_set(&argv[0], "INFO");
        ngx_str_set(&argv[1], "server");
        ngx_str_set(&argv[2], "replication");
        ngx_http_weir_cache_follow_write_send(f,
                                              NGX_HTTP_WEIR_CACHE_FOLLOW_INFO,
                                              3, argv);
    } else {
        if (!ngx_http_weir_cache_follow_write_resend(f)) {
            ngx_http_weir_cache_follow_write_probe(f);
        }

        ngx_http_weir_cache_follow_trim(f);
        ngx_http_weir_cache_follow_read(f);
    }

    ngx_str_set(&argv[0], "GET");
    ngx_str_set(&argv[1], "weir:era");
    ngx_http_weir_cache_follow_write_send(f, NGX_HTTP_WEIR_CACHE_FOLLOW_ERA,
                                          2, argv);

    ngx_str_set(&argv[0], "XINFO");
    ngx_str_set(&argv[1], "STREAM");
    ngx_str_set(&argv[2], NGX_HTTP_WEIR_CACHE_STREAM);
    ngx_http_weir_cache_follow_write_send(f, NGX_HTTP_WEIR_CACHE_FOLLOW_STREAM,
                                          3, argv);

    if (f->waiting == 0) {
        /* Redis is known to be down; the next tick tries again */
        ngx_http_weir_cache_follow_missed(f);

        ngx_destroy_pool(f->pool);
        f->pool = NULL;
    }
}


/* Reads the next messages; the command blocks if there are none. */

static void
ngx_http_weir_cache_follow_read(ngx_http_weir_cache_follower_t *f)
{
    u_char                 block[NGX_INT_T_LEN], from[NGX_INT64_LEN * 2 + 1];
    ngx_str_t              argv[8];
    ngx_uint_t             n;
    weir_invalidations_t  *table;

    ngx_http_weir_assert(f->known && f->pool != NULL);

    table = ngx_http_weir_cache_invalidation_lock(f->zone);
    f->from = table->position;
    ngx_http_weir_cache_invalidation_unlock(f->zone);

    f->blocking = f->caught_up;

    ngx_str_set(&argv[0], "XREAD");
    ngx_str_set(&argv[1], "COUNT");
    ngx_str_set(&argv[2], NGX_HTTP_WEIR_CACHE_FOLLOW_COUNT_TEXT);
    n = 3;

    if (f->blocking) {
        ngx_str_set(&argv[3], "BLOCK");
        argv[4].data = block;
        argv[4].len = ngx_sprintf(block, "%M", f->block) - block;
        n = 5;
    }

    ngx_str_set(&argv[n], "STREAMS");
    ngx_str_set(&argv[n + 1], NGX_HTTP_WEIR_CACHE_STREAM);
    argv[n + 2].data = from;
    argv[n + 2].len = ngx_sprintf(from, "%uL-%uL", f->from.ms, f->from.seq)
                      - from;

    ngx_http_weir_cache_follow_write_send(f, NGX_HTTP_WEIR_CACHE_FOLLOW_READ,
                                          n + 3, argv);
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
        && f->sent - f->trimmed < NGX_HTTP_WEIR_CACHE_FOLLOW_TRIM)
    {
        return;
    }

    f->trimmed = f->sent;

    ngx_str_set(&argv[0], "XTRIM");
    ngx_str_set(&argv[1], NGX_HTTP_WEIR_CACHE_STREAM);
    ngx_str_set(&argv[2], "MAXLEN");
    ngx_str_set(&argv[3], "~");
    argv[4].data = text;
    argv[4].len = ngx_sprintf(text, "%uL", most) - text;

    ngx_http_weir_cache_follow_write_tell(f, 5, argv);
}


static void
ngx_http_weir_cache_follow_handler(ngx_http_weir_redis_command_t *cmd,
    ngx_int_t rc, ngx_http_weir_redis_reply_t *reply)
{
    ngx_int_t                        result;
    ngx_http_weir_cache_follower_t  *f;

    f = cmd->data;

    ngx_http_weir_assert(f->pool != NULL && f->waiting != 0);

    if (rc != NGX_OK) {
        f->failed = 1;

        if (rc == NGX_ABORT) {
            f->overdue = 1;
        }
    }

    f->replies[cmd - f->commands] = reply;

    if (--f->waiting) {
        return;
    }

    result = NGX_ERROR;

    if (f->following && !f->failed
        && f->zone->invalidation->pid == (ngx_atomic_uint_t) ngx_pid)
    {
        result = f->known ? ngx_http_weir_cache_follow_was_read(f)
                          : ngx_http_weir_cache_follow_met(f);
    }

    if (f->following && !f->failed) {
        ngx_http_weir_cache_follow_write_done(f);
    }

    ngx_destroy_pool(f->pool);
    f->pool = NULL;

    if (result == NGX_OK) {
        ngx_http_weir_cache_follow_cycle(f);
        return;
    }

    ngx_http_weir_cache_follow_missed(f);
}


/*
 * The cycle failed; the next tick begins from the start.  If Redis is
 * unavailable when a zone is created, the zone may replace that of an nginx
 * that was restarted, or reloaded with another size, and that had pending
 * messages.  So everything is invalid when Redis is back.
 */

static void
ngx_http_weir_cache_follow_missed(ngx_http_weir_cache_follower_t *f)
{
    ngx_uint_t                           doubt;
    weir_invalidations_t                *table;
    ngx_http_weir_cache_invalidation_t  *inv;

    inv = f->zone->invalidation;
    f->known = 0;
    inv->tried = 1;

    if (inv->met || !f->following || !f->failed) {
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
