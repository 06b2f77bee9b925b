/*
 * The follower: one worker of the box reads the stream weir:invalidate of a
 * zone's Redis, on a connection of its own, and applies what it says to the
 * table that all workers look into.
 *
 * A cycle is three commands in one write: XREAD, blocking when there is nothing
 * to catch up with; then the era's key and XINFO STREAM, which tell whether what
 * was read is all there was:
 *
 *   - The era is the hash of the server's run_id, read with each connection, and
 *     of the key weir:era, which whoever finds it missing sets to a random value.
 *     All edges agree on it, and it changes when the server was restarted or
 *     emptied or another took its place.  Invalidations may have been lost then:
 *     what was stored in another era is not used.
 *   - read is how many entries had been added to the stream up to the position.
 *     When the position is the last ID of the stream and more were added than
 *     read, some were trimmed or deleted before they were read: everything older
 *     is invalid.  When the last ID lies before the position, the stream was
 *     deleted and begun anew, perhaps with IDs that were given before: a new era
 *     is made.
 *   - Only a cycle that ends with position and number in agreement moves synced,
 *     and to the moment at which its XREAD was sent (one that waited in vain: at
 *     which its wait was over).
 *
 * In a new era the stream is read from its beginning; what was trimmed before
 * raises the floor.
 *
 * The role: a worker takes it when its holder is dead, has left or hasn't moved
 * for a second.  Each entry is applied only by who has the role and sees the
 * table as it was when it asked; so two that both think they have it do no harm,
 * and a successor goes on at the position, which is in shared memory.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "cache/ngx_http_weir_cache.h"
#include "cache/tags.h"

#define XXH_INLINE_ALL
#include <xxhash.h>


#define NGX_HTTP_WEIR_CACHE_FOLLOW_TICK    100    /* ms */
#define NGX_HTTP_WEIR_CACHE_FOLLOW_LAPSE   1000   /* ms without a heartbeat */
#define NGX_HTTP_WEIR_CACHE_FOLLOW_BLOCK   1000   /* ms at most */
#define NGX_HTTP_WEIR_CACHE_FOLLOW_COUNT   1000   /* entries of one XREAD */
#define NGX_HTTP_WEIR_CACHE_FOLLOW_TRIM    60000  /* ms between two */
#define NGX_HTTP_WEIR_CACHE_FOLLOW_RESEND  1000   /* ms */
#define NGX_HTTP_WEIR_CACHE_FOLLOW_HASHES  128    /* in one message */

/* XREAD COUNT and XTRIM MAXLEN as text */
#define NGX_HTTP_WEIR_CACHE_FOLLOW_COUNT_TEXT   "1000"
#define NGX_HTTP_WEIR_CACHE_FOLLOW_LENGTH_TEXT  "100000"


typedef enum {
    NGX_HTTP_WEIR_CACHE_FOLLOW_INFO = 0,
    NGX_HTTP_WEIR_CACHE_FOLLOW_READ,
    NGX_HTTP_WEIR_CACHE_FOLLOW_ERA,
    NGX_HTTP_WEIR_CACHE_FOLLOW_STREAM,
    NGX_HTTP_WEIR_CACHE_FOLLOW_COMMANDS
} ngx_http_weir_cache_follow_e;


/* XINFO STREAM */
typedef struct {
    uint64_t                        added;
    uint64_t                        length;
    weir_position_t                 last;
    weir_position_t                 first;       /* 0-0 when it is empty */
    weir_position_t                 deleted;     /* the greatest by XDEL */
} ngx_http_weir_cache_stream_t;


struct ngx_http_weir_cache_follower_s {
    ngx_http_weir_cache_zone_t     *zone;
    ngx_http_weir_redis_t          *redis;       /* a connection of its own */
    ngx_event_t                     tick;
    ngx_msec_t                      block;

    /* one cycle */

    ngx_pool_t                     *pool;
    ngx_uint_t                      waiting;     /* commands without a reply */
    uint64_t                        sent;        /* ms */
    weir_position_t                 from;
    ngx_http_weir_redis_command_t   commands[NGX_HTTP_WEIR_CACHE_FOLLOW_COMMANDS];
    ngx_http_weir_redis_reply_t    *replies[NGX_HTTP_WEIR_CACHE_FOLLOW_COMMANDS];

    /* this connection's */

    ngx_str_t                       run_id;
    u_char                          run_id_buf[64];
    uint64_t                        era;
    weir_position_t                 last;        /* as the last XINFO had it */

    uint64_t                        trimmed;     /* ms */

    unsigned                        following:1;
    unsigned                        known:1;     /* run_id and era are */
    unsigned                        blocking:1;  /* this cycle's XREAD */
    unsigned                        caught_up:1;
    unsigned                        failed:1;    /* a command of the cycle */
    unsigned                        overdue:1;   /* its deadline passed */
    unsigned                        complained:1;
    unsigned                        malformed:1; /* said so */
};


static void ngx_http_weir_cache_follow_tick(ngx_event_t *ev);
static void ngx_http_weir_cache_follow_step(
    ngx_http_weir_cache_follower_t *f);
static ngx_uint_t ngx_http_weir_cache_follow_claim(
    ngx_http_weir_cache_follower_t *f, uint64_t now);
static void ngx_http_weir_cache_follow_leave(
    ngx_http_weir_cache_follower_t *f);
static void ngx_http_weir_cache_follow_cycle(
    ngx_http_weir_cache_follower_t *f);
static void ngx_http_weir_cache_follow_send(ngx_http_weir_cache_follower_t *f,
    ngx_http_weir_cache_follow_e which, ngx_uint_t argc, ngx_str_t *argv);
static void ngx_http_weir_cache_follow_tell(ngx_http_weir_cache_follower_t *f,
    ngx_uint_t argc, ngx_str_t *argv);
static void ngx_http_weir_cache_follow_set_era(
    ngx_http_weir_cache_follower_t *f, ngx_uint_t missing);
static void ngx_http_weir_cache_follow_resend(
    ngx_http_weir_cache_follower_t *f);
static void ngx_http_weir_cache_follow_handler(
    ngx_http_weir_redis_command_t *cmd, ngx_int_t rc,
    ngx_http_weir_redis_reply_t *reply);
static ngx_int_t ngx_http_weir_cache_follow_met(
    ngx_http_weir_cache_follower_t *f);
static ngx_int_t ngx_http_weir_cache_follow_was_read(
    ngx_http_weir_cache_follower_t *f);
static ngx_int_t ngx_http_weir_cache_follow_apply(
    ngx_http_weir_cache_follower_t *f, ngx_uint_t *n);
static ngx_int_t ngx_http_weir_cache_follow_entry(
    ngx_http_weir_cache_follower_t *f, ngx_http_weir_redis_reply_t *entry);
static ngx_int_t ngx_http_weir_cache_follow_compare(
    ngx_http_weir_cache_follower_t *f, ngx_http_weir_cache_stream_t *stream,
    ngx_uint_t n);
static weir_invalidations_t *ngx_http_weir_cache_follow_lock(
    ngx_http_weir_cache_follower_t *f);
static ngx_int_t ngx_http_weir_cache_follow_read_stream(
    ngx_http_weir_cache_follower_t *f, ngx_http_weir_cache_stream_t *stream);
static ngx_int_t ngx_http_weir_cache_follow_read_run_id(
    ngx_http_weir_cache_follower_t *f);
static ngx_int_t ngx_http_weir_cache_follow_complain(
    ngx_http_weir_cache_follower_t *f, char *what,
    ngx_http_weir_redis_reply_t *reply);


ngx_int_t
ngx_http_weir_cache_follow_init_worker(ngx_http_weir_cache_zone_t *zone)
{
    u_char                          *p;
    ngx_str_t                        name;
    ngx_http_weir_cache_follower_t  *f;

    if (zone->redis == NULL) {
        return NGX_OK;
    }

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
    now = ngx_http_weir_cache_ms();

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


/* Another worker may take over at once. */

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


/* Sends what there is to ask now. */

static void
ngx_http_weir_cache_follow_cycle(ngx_http_weir_cache_follower_t *f)
{
    ngx_uint_t             n;
    ngx_str_t              argv[8];
    weir_invalidations_t  *table;
    u_char                 block[NGX_INT_T_LEN], from[NGX_INT64_LEN * 2 + 1];

    f->pool = ngx_create_pool(4096, ngx_cycle->log);
    if (f->pool == NULL) {
        return;
    }

    ngx_memzero(f->replies, sizeof(f->replies));
    f->failed = 0;
    f->sent = ngx_http_weir_cache_ms();

    if (!f->known) {
        f->caught_up = 0;
        f->last.ms = 0;
        f->last.seq = 0;

        ngx_http_weir_cache_follow_set_era(f, 1);

        ngx_str_set(&argv[0], "INFO");
        ngx_str_set(&argv[1], "server");
        ngx_http_weir_cache_follow_send(f, NGX_HTTP_WEIR_CACHE_FOLLOW_INFO, 2,
                                        argv);
    } else {
        ngx_http_weir_cache_follow_resend(f);

        if (f->sent - f->trimmed >= NGX_HTTP_WEIR_CACHE_FOLLOW_TRIM) {
            f->trimmed = f->sent;

            ngx_str_set(&argv[0], "XTRIM");
            ngx_str_set(&argv[1], NGX_HTTP_WEIR_CACHE_STREAM);
            ngx_str_set(&argv[2], "MAXLEN");
            ngx_str_set(&argv[3], "~");
            ngx_str_set(&argv[4], NGX_HTTP_WEIR_CACHE_FOLLOW_LENGTH_TEXT);
            ngx_http_weir_cache_follow_tell(f, 5, argv);
        }

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

        ngx_http_weir_cache_follow_send(f, NGX_HTTP_WEIR_CACHE_FOLLOW_READ,
                                        n + 3, argv);
    }

    ngx_str_set(&argv[0], "GET");
    ngx_str_set(&argv[1], "weir:era");
    ngx_http_weir_cache_follow_send(f, NGX_HTTP_WEIR_CACHE_FOLLOW_ERA, 2,
                                    argv);

    ngx_str_set(&argv[0], "XINFO");
    ngx_str_set(&argv[1], "STREAM");
    ngx_str_set(&argv[2], NGX_HTTP_WEIR_CACHE_STREAM);
    ngx_http_weir_cache_follow_send(f, NGX_HTTP_WEIR_CACHE_FOLLOW_STREAM, 3,
                                    argv);

    if (f->waiting == 0) {
        /* Redis is known to be down; the next tick tries again */
        f->known = 0;
        f->zone->invalidation->tried = 1;

        ngx_destroy_pool(f->pool);
        f->pool = NULL;
    }
}


static void
ngx_http_weir_cache_follow_send(ngx_http_weir_cache_follower_t *f,
    ngx_http_weir_cache_follow_e which, ngx_uint_t argc, ngx_str_t *argv)
{
    ngx_http_weir_redis_command_t  *cmd;

    if (f->failed) {
        return;
    }

    cmd = &f->commands[which];

    cmd->pool = f->pool;
    cmd->handler = ngx_http_weir_cache_follow_handler;
    cmd->data = f;
    cmd->log = ngx_cycle->log;

    if (ngx_http_weir_redis_command(f->redis, cmd, argc, argv) == NGX_OK) {
        f->waiting++;

    } else {
        f->failed = 1;
    }
}


/* Nobody waits for the reply. */

static void
ngx_http_weir_cache_follow_tell(ngx_http_weir_cache_follower_t *f,
    ngx_uint_t argc, ngx_str_t *argv)
{
    ngx_http_weir_redis_command_t  cmd;

    ngx_memzero(&cmd, sizeof(ngx_http_weir_redis_command_t));
    cmd.log = ngx_cycle->log;

    (void) ngx_http_weir_redis_command(f->redis, &cmd, argc, argv);
}


static void
ngx_http_weir_cache_follow_set_era(ngx_http_weir_cache_follower_t *f,
    ngx_uint_t missing)
{
    u_char     text[16];
    ngx_str_t  argv[4];

    ngx_str_set(&argv[0], "SET");
    ngx_str_set(&argv[1], "weir:era");
    argv[2].data = text;
    argv[2].len = ngx_sprintf(text, "%016xL", ngx_http_weir_cache_random())
                  - text;
    ngx_str_set(&argv[3], "NX");

    ngx_http_weir_cache_follow_tell(f, missing ? 4 : 3, argv);
}


/* What this edge has invalidated and nobody else has heard of. */

static void
ngx_http_weir_cache_follow_resend(ngx_http_weir_cache_follower_t *f)
{
    bool                   soft, all;
    size_t                 i, n;
    u_char                *p, edge[16 + 1 + NGX_INT64_LEN];
    uint64_t               hashes[NGX_HTTP_WEIR_CACHE_FOLLOW_HASHES];
    ngx_str_t              argv[9];
    ngx_uint_t             argc;
    weir_invalidations_t  *table;

    static u_char          text[NGX_HTTP_WEIR_CACHE_FOLLOW_HASHES * 17];

    table = ngx_http_weir_cache_invalidation_lock(f->zone);

    n = weir_invalidations_unsent(table, f->sent,
                                  NGX_HTTP_WEIR_CACHE_FOLLOW_RESEND, hashes,
                                  NGX_HTTP_WEIR_CACHE_FOLLOW_HASHES, &soft,
                                  &all);

    p = ngx_sprintf(edge, "%016xL-%uL", table->origin, table->local);

    ngx_http_weir_cache_invalidation_unlock(f->zone);

    if (n == 0 && !all) {
        return;
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
        p = text;

        for (i = 0; i < n; i++) {
            p = ngx_sprintf(p, "%016xL ", hashes[i]);
        }

        ngx_str_set(&argv[5], "hashes");
        argv[6].data = text;
        argv[6].len = p - text - 1;

        if (soft) {
            ngx_str_set(&argv[7], "soft");
            ngx_str_set(&argv[8], "1");
            argc = 9;
        }
    }

    ngx_http_weir_cache_follow_tell(f, argc, argv);
}


static void
ngx_http_weir_cache_follow_handler(ngx_http_weir_redis_command_t *cmd,
    ngx_int_t rc, ngx_http_weir_redis_reply_t *reply)
{
    ngx_int_t                        result;
    ngx_http_weir_cache_follower_t  *f;

    f = cmd->data;

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

    ngx_destroy_pool(f->pool);
    f->pool = NULL;

    if (result == NGX_OK) {
        ngx_http_weir_cache_follow_cycle(f);
        return;
    }

    /* the next tick begins from the start */

    f->known = 0;
    f->zone->invalidation->tried = 1;
}


/* The server has told who it is. */

static ngx_int_t
ngx_http_weir_cache_follow_met(ngx_http_weir_cache_follower_t *f)
{
    uint64_t                             era;
    weir_position_t                      floor;
    weir_invalidations_t                *table;
    ngx_http_weir_redis_reply_t         *value;
    ngx_http_weir_cache_stream_t         stream;
    ngx_http_weir_cache_invalidation_t  *inv;

    inv = f->zone->invalidation;
    value = f->replies[NGX_HTTP_WEIR_CACHE_FOLLOW_ERA];

    if (ngx_http_weir_cache_follow_read_run_id(f) != NGX_OK) {
        return ngx_http_weir_cache_follow_complain(f, "INFO server",
                                f->replies[NGX_HTTP_WEIR_CACHE_FOLLOW_INFO]);
    }

    if (value->type != NGX_HTTP_WEIR_REDIS_STRING) {
        return ngx_http_weir_cache_follow_complain(f, "GET weir:era", value);
    }

    if (ngx_http_weir_cache_follow_read_stream(f, &stream) != NGX_OK) {
        return NGX_ERROR;
    }

    era = XXH3_64bits_withSeed(value->str.data, value->str.len,
                               XXH3_64bits(f->run_id.data, f->run_id.len));
    f->era = era ? era : 1;
    f->known = 1;

    table = ngx_http_weir_cache_invalidation_lock(f->zone);

    if (inv->pid == (ngx_atomic_uint_t) ngx_pid && table->era != f->era) {

        /* what is no more in the stream can't be known */

        floor = stream.deleted;

        if (stream.added > stream.length) {

            if (stream.length == 0) {
                floor = stream.last;

            } else if (weir_position_cmp(floor, stream.first) < 0) {
                floor = stream.first;
            }
        }

        weir_invalidations_begin(table, f->era, floor);
        inv->read = stream.added - stream.length;
        inv->synced = 0;

        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "weir_cache_zone \"%V\" follows invalidations in a new"
                      " era, %uL of them", &f->zone->name, stream.length);
    }

    ngx_http_weir_cache_invalidation_unlock(f->zone);

    return NGX_OK;
}


/* A part of the stream has been read, and what is needed to judge it. */

static ngx_int_t
ngx_http_weir_cache_follow_was_read(ngx_http_weir_cache_follower_t *f)
{
    uint64_t                       era;
    ngx_uint_t                     n;
    ngx_http_weir_redis_reply_t   *value;
    ngx_http_weir_cache_stream_t   stream;

    value = f->replies[NGX_HTTP_WEIR_CACHE_FOLLOW_ERA];

    if (value->type == NGX_HTTP_WEIR_REDIS_STRING) {
        era = XXH3_64bits_withSeed(value->str.data, value->str.len,
                                 XXH3_64bits(f->run_id.data, f->run_id.len));

    } else if (value->type == NGX_HTTP_WEIR_REDIS_NIL) {
        era = 0;

    } else {
        return ngx_http_weir_cache_follow_complain(f, "GET weir:era", value);
    }

    if (era != f->era) {
        /* what was read is of another one */
        f->known = 0;
        return NGX_OK;
    }

    if (ngx_http_weir_cache_follow_read_stream(f, &stream) != NGX_OK) {
        return NGX_ERROR;
    }

    switch (ngx_http_weir_cache_follow_apply(f, &n)) {

    case NGX_OK:
        return ngx_http_weir_cache_follow_compare(f, &stream, n);

    case NGX_DECLINED:
        f->known = 0;
        return NGX_OK;

    default:
        return NGX_ERROR;
    }
}


/*
 * Applies what XREAD brought, n entries.  NGX_DECLINED: the table isn't any more
 * as it was when the command was sent; NGX_ERROR: that is no reply.
 */

static ngx_int_t
ngx_http_weir_cache_follow_apply(ngx_http_weir_cache_follower_t *f,
    ngx_uint_t *n)
{
    ngx_int_t                     rc;
    ngx_uint_t                    i;
    ngx_http_weir_redis_reply_t  *reply, *entries;

    reply = f->replies[NGX_HTTP_WEIR_CACHE_FOLLOW_READ];
    *n = 0;

    if (reply->type == NGX_HTTP_WEIR_REDIS_NIL) {
        return NGX_OK;
    }

    if (reply->type != NGX_HTTP_WEIR_REDIS_ARRAY || reply->nelements != 1
        || reply->elements[0]->type != NGX_HTTP_WEIR_REDIS_ARRAY
        || reply->elements[0]->nelements != 2
        || reply->elements[0]->elements[1]->type != NGX_HTTP_WEIR_REDIS_ARRAY)
    {
        return ngx_http_weir_cache_follow_complain(f, "XREAD", reply);
    }

    entries = reply->elements[0]->elements[1];

    for (i = 0; i < entries->nelements; i++) {
        rc = ngx_http_weir_cache_follow_entry(f, entries->elements[i]);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    *n = entries->nelements;

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_cache_follow_entry(ngx_http_weir_cache_follower_t *f,
    ngx_http_weir_redis_reply_t *entry)
{
    weir_str_t                    id, *fields;
    ngx_uint_t                    i, n;
    const char                   *wrong;
    weir_position_t               position;
    weir_invalidations_t         *table;
    ngx_http_weir_redis_reply_t  *values;

    if (entry->type != NGX_HTTP_WEIR_REDIS_ARRAY || entry->nelements != 2) {
        return ngx_http_weir_cache_follow_complain(f, "XREAD", entry);
    }

    id.data = (char *) entry->elements[0]->str.data;
    id.len = entry->elements[0]->str.len;

    if (!weir_position_parse(id, &position)) {
        return ngx_http_weir_cache_follow_complain(f, "XREAD",
                                                   entry->elements[0]);
    }

    values = entry->elements[1];
    n = values->nelements;

    fields = ngx_palloc(f->pool, (n + 1) * sizeof(weir_str_t));
    if (fields == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        fields[i].data = (char *) values->elements[i]->str.data;
        fields[i].len = values->elements[i]->str.len;
    }

    table = ngx_http_weir_cache_follow_lock(f);
    if (table == NULL) {
        return NGX_DECLINED;
    }

    wrong = weir_invalidations_apply(table, position, fields, n);
    f->zone->invalidation->read++;

    ngx_http_weir_cache_invalidation_unlock(f->zone);

    f->from = position;

    if (wrong && !f->malformed) {
        f->malformed = 1;
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "a message in \"%s\", %uL-%uL, is malformed: it has %s;"
                      " others won't be logged",
                      NGX_HTTP_WEIR_CACHE_STREAM, position.ms, position.seq,
                      wrong);
    }

    return NGX_OK;
}


/*
 * Compares what was read with what the stream says of itself, n entries after
 * the position at which the cycle began.
 */

static ngx_int_t
ngx_http_weir_cache_follow_compare(ngx_http_weir_cache_follower_t *f,
    ngx_http_weir_cache_stream_t *stream, ngx_uint_t n)
{
    int                                  cmp;
    uint64_t                             missed, waited;
    weir_invalidations_t                *table;
    ngx_http_weir_cache_invalidation_t  *inv;

    inv = f->zone->invalidation;
    missed = 0;

    table = ngx_http_weir_cache_follow_lock(f);

    if (table == NULL) {
        f->known = 0;
        return NGX_OK;
    }

    cmp = weir_position_cmp(stream->last, table->position);

    if (cmp > 0 && n == 0 && !f->blocking
        && weir_position_cmp(stream->last, f->last) == 0)
    {
        /* it was the last ID before XREAD too, and is not to be had */
        cmp = 0;
    }

    if (cmp == 0 && (stream->added != inv->read
                     || weir_position_cmp(stream->last, table->position) != 0))
    {
        missed = stream->added > inv->read ? stream->added - inv->read : 1;
        weir_invalidations_skip(table, stream->last);
        inv->read = stream->added;
        inv->gaps++;
    }

    if (cmp == 0) {
        waited = f->sent + f->block;
        inv->synced = (f->blocking && n == 0
                       && waited <= ngx_http_weir_cache_ms())
                      ? waited : f->sent;
        inv->tried = 1;
    }

    ngx_http_weir_cache_invalidation_unlock(f->zone);

    f->last = stream->last;

    if (cmp < 0) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "weir_cache_zone \"%V\": the stream \"%s\" was begun"
                      " anew; nothing that is stored is used",
                      &f->zone->name, NGX_HTTP_WEIR_CACHE_STREAM);

        ngx_http_weir_cache_follow_set_era(f, 0);
        return NGX_ERROR;
    }

    if (missed) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "weir_cache_zone \"%V\": %uL invalidations were trimmed"
                      " before they were read; nothing older is used",
                      &f->zone->name, missed);
    }

    f->caught_up = (cmp == 0);
    f->complained = 0;

    return NGX_OK;
}


/* NULL: the role is another's, or the table isn't as it was left. */

static weir_invalidations_t *
ngx_http_weir_cache_follow_lock(ngx_http_weir_cache_follower_t *f)
{
    weir_invalidations_t  *table;

    table = ngx_http_weir_cache_invalidation_lock(f->zone);

    if (f->zone->invalidation->pid == (ngx_atomic_uint_t) ngx_pid
        && table->era == f->era
        && weir_position_cmp(table->position, f->from) == 0)
    {
        return table;
    }

    ngx_http_weir_cache_invalidation_unlock(f->zone);

    return NULL;
}


/* A stream that isn't there is an empty one. */

static ngx_int_t
ngx_http_weir_cache_follow_read_stream(ngx_http_weir_cache_follower_t *f,
    ngx_http_weir_cache_stream_t *stream)
{
    ngx_uint_t                    i, found;
    weir_str_t                    s;
    ngx_str_t                    *name;
    ngx_http_weir_redis_reply_t  *reply, *value;

    ngx_memzero(stream, sizeof(ngx_http_weir_cache_stream_t));

    reply = f->replies[NGX_HTTP_WEIR_CACHE_FOLLOW_STREAM];

    if (reply->type == NGX_HTTP_WEIR_REDIS_ERROR
        && ngx_strnstr(reply->str.data, "no such key", reply->str.len))
    {
        return NGX_OK;
    }

    if (reply->type != NGX_HTTP_WEIR_REDIS_ARRAY) {
        return ngx_http_weir_cache_follow_complain(f, "XINFO STREAM", reply);
    }

    found = 0;

#define is(text)  (name->len == sizeof(text) - 1                              \
                   && ngx_memcmp(name->data, text, sizeof(text) - 1) == 0)

    for (i = 0; i + 1 < reply->nelements; i += 2) {
        name = &reply->elements[i]->str;
        value = reply->elements[i + 1];

        if (is("entries-added")) {
            stream->added = value->integer;
            found++;
            continue;
        }

        if (is("length")) {
            stream->length = value->integer;
            found++;
            continue;
        }

        s.data = (char *) value->str.data;
        s.len = value->str.len;

        if (is("last-generated-id")) {
            found += weir_position_parse(s, &stream->last);

        } else if (is("max-deleted-entry-id")) {
            (void) weir_position_parse(s, &stream->deleted);

        } else if (is("first-entry")
                   && value->type == NGX_HTTP_WEIR_REDIS_ARRAY
                   && value->nelements == 2)
        {
            s.data = (char *) value->elements[0]->str.data;
            s.len = value->elements[0]->str.len;
            (void) weir_position_parse(s, &stream->first);
        }
    }

#undef is

    if (found != 3 || stream->length > stream->added) {
        return ngx_http_weir_cache_follow_complain(f, "XINFO STREAM"
                                                   " (Redis 7 is needed)",
                                                   reply);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_cache_follow_read_run_id(ngx_http_weir_cache_follower_t *f)
{
    u_char                       *p, *last;
    ngx_http_weir_redis_reply_t  *reply;

    reply = f->replies[NGX_HTTP_WEIR_CACHE_FOLLOW_INFO];

    if (reply->type != NGX_HTTP_WEIR_REDIS_STRING) {
        return NGX_ERROR;
    }

    last = reply->str.data + reply->str.len;
    p = ngx_strnstr(reply->str.data, "run_id:", reply->str.len);

    if (p == NULL) {
        return NGX_ERROR;
    }

    p += sizeof("run_id:") - 1;

    f->run_id.data = f->run_id_buf;
    f->run_id.len = 0;

    while (p < last && *p > ' ' && f->run_id.len < sizeof(f->run_id_buf)) {
        f->run_id_buf[f->run_id.len++] = *p++;
    }

    return f->run_id.len ? NGX_OK : NGX_ERROR;
}


/* The stream can't be followed; said once until it can.  Returns NGX_ERROR. */

static ngx_int_t
ngx_http_weir_cache_follow_complain(ngx_http_weir_cache_follower_t *f,
    char *what, ngx_http_weir_redis_reply_t *reply)
{
    ngx_str_t  text;

    if (f->complained) {
        return NGX_ERROR;
    }

    f->complained = 1;

    ngx_str_set(&text, "an unexpected reply");

    if (reply->str.len) {
        text.data = reply->str.data;
        text.len = ngx_min(reply->str.len, 256);
    }

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "weir_cache_zone \"%V\" can't follow invalidations: %s was"
                  " answered with \"%V\"; what has tags is not served",
                  &f->zone->name, what, &text);

    return NGX_ERROR;
}
