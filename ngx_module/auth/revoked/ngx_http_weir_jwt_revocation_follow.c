/*
 * The follower of the stream weir:revoked.
 *
 * A cycle is three commands in one write: XREAD, which blocks if there is
 * nothing to catch up with, then GET of the number of entries that edges have
 * trimmed, and XINFO STREAM, which shows whether the read was complete:
 *
 *   - If the last ID is before the position, the stream was deleted, or the
 *     server lost its end.  The table keeps what it has, and the stream is read
 *     from its beginning.
 *   - If more entries are missing from the stream than edges have trimmed, others
 *     have removed some.  If the edge had not read so far yet, it cannot know who
 *     is revoked: the floor rises to the time of the last one that can be
 *     missing, and older tokens are refused.
 *
 * Edges trim what is older than the longest life of a token ("keep"), and
 * count what they have trimmed in a key beside the stream.  A count that is lost
 * raises the floor, and nothing else.  One that is greater than the number of
 * missing entries is that of a stream that was deleted, and does not count.
 *
 * The role of the follower is that of the cache's: a worker takes it if its
 * holder is dead, has exited, or has sent no heartbeat for a second.  Two workers
 * that both believe to have it do no harm: applying an entry twice changes
 * nothing.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "auth/revoked/ngx_http_weir_jwt_revocation.h"
#include "auth/revoked/ngx_http_weir_jwt_revocation_private.h"
#include "http/ngx_http_weir_assert.h"
#include "http/ngx_http_weir_clock.h"


#define NGX_HTTP_WEIR_JWT_FOLLOW_TICK    100    /* ms between two ticks */
#define NGX_HTTP_WEIR_JWT_FOLLOW_LAPSE   1000   /* ms without a heartbeat */
#define NGX_HTTP_WEIR_JWT_FOLLOW_BLOCK   500    /* ms, XREAD BLOCK */
#define NGX_HTTP_WEIR_JWT_FOLLOW_TRIM    60000  /* ms between two XTRIM */

/* XREAD COUNT as text. */
#define NGX_HTTP_WEIR_JWT_FOLLOW_COUNT   "1000"


static void ngx_http_weir_jwt_follow_tick(ngx_event_t *ev);
static ngx_uint_t ngx_http_weir_jwt_follow_is_free(
    ngx_http_weir_jwt_revocation_sh_t *sh, uint64_t now);
static void ngx_http_weir_jwt_follow_claim(ngx_http_weir_jwt_follower_t *f,
    uint64_t now);
static void ngx_http_weir_jwt_follow_cycle(ngx_http_weir_jwt_follower_t *f);
static void ngx_http_weir_jwt_follow_read(ngx_http_weir_jwt_follower_t *f);
static void ngx_http_weir_jwt_follow_trim(ngx_http_weir_jwt_follower_t *f);
static void ngx_http_weir_jwt_follow_send(ngx_http_weir_jwt_follower_t *f,
    ngx_uint_t which, ngx_uint_t argc, ngx_str_t *argv);
static void ngx_http_weir_jwt_follow_handler(
    ngx_http_weir_redis_command_t *cmd, ngx_int_t rc,
    ngx_http_weir_redis_reply_t *reply);


ngx_int_t
ngx_http_weir_jwt_revocation_follow(ngx_http_weir_jwt_revocation_t *revocation)
{
    ngx_uint_t                     i;
    ngx_http_weir_jwt_follower_t  *f;

    static ngx_str_t  purpose = ngx_string("revoked tokens");

    f = ngx_pcalloc(ngx_cycle->pool, sizeof(ngx_http_weir_jwt_follower_t));
    if (f == NULL) {
        return NGX_ERROR;
    }

    f->revocation = revocation;
    f->sh = revocation->sh;

    f->redis = ngx_http_weir_redis_dedicate(revocation->redis, &purpose,
                                            NGX_HTTP_WEIR_JWT_FOLLOW_BLOCK,
                                            ngx_cycle->pool, ngx_cycle->log);
    if (f->redis == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < NGX_HTTP_WEIR_JWT_FOLLOW_COMMANDS; i++) {
        f->commands[i].handler = ngx_http_weir_jwt_follow_handler;
        f->commands[i].data = f;
        f->commands[i].log = ngx_cycle->log;
    }

    f->tick.handler = ngx_http_weir_jwt_follow_tick;
    f->tick.data = f;
    f->tick.log = ngx_cycle->log;
    f->tick.cancelable = 1;

    revocation->follower = f;

    ngx_http_weir_jwt_follow_tick(&f->tick);

    return NGX_OK;
}


void
ngx_http_weir_jwt_revocation_leave(ngx_http_weir_jwt_revocation_t *revocation)
{
    ngx_http_weir_jwt_follower_t  *f;

    f = revocation->follower;

    if (f == NULL) {
        return;
    }

    revocation->follower = NULL;
    f->following = 0;

    (void) ngx_atomic_cmp_set(&f->sh->pid, ngx_pid, 0);

    ngx_http_weir_redis_release(f->redis);

    if (f->tick.timer_set) {
        ngx_del_timer(&f->tick);
    }
}


static void
ngx_http_weir_jwt_follow_tick(ngx_event_t *ev)
{
    uint64_t                       now;
    ngx_http_weir_jwt_follower_t  *f = ev->data;

    if (ngx_exiting) {
        if (f->following) {
            f->following = 0;
            (void) ngx_atomic_cmp_set(&f->sh->pid, ngx_pid, 0);
            ngx_http_weir_redis_drop(f->redis, NULL);
        }

        return;
    }

    now = ngx_http_weir_ms();

    if (f->following && f->sh->pid != (ngx_atomic_uint_t) ngx_pid) {
        f->following = 0;
        ngx_http_weir_redis_drop(f->redis, NULL);
    }

    if (!f->following) {
        ngx_http_weir_jwt_follow_claim(f, now);
    }

    if (f->following) {
        f->sh->heartbeat = now;

        if (f->overdue) {
            f->overdue = 0;
            ngx_http_weir_redis_drop(f->redis, "does not answer");
        }

        if (f->waiting == 0) {
            ngx_http_weir_jwt_follow_cycle(f);
        }
    }

    ngx_add_timer(ev, NGX_HTTP_WEIR_JWT_FOLLOW_TICK);
}


static ngx_uint_t
ngx_http_weir_jwt_follow_is_free(ngx_http_weir_jwt_revocation_sh_t *sh,
    uint64_t now)
{
    ngx_pid_t  pid;

    pid = sh->pid;

    return pid == 0 || pid == ngx_pid
           || (kill(pid, 0) == -1 && ngx_errno == ESRCH)
           || (now > sh->heartbeat
               && now - sh->heartbeat > NGX_HTTP_WEIR_JWT_FOLLOW_LAPSE);
}


static void
ngx_http_weir_jwt_follow_claim(ngx_http_weir_jwt_follower_t *f, uint64_t now)
{
    ngx_atomic_uint_t  pid;

    pid = f->sh->pid;

    if (ngx_http_weir_jwt_follow_is_free(f->sh, now)
        && ngx_atomic_cmp_set(&f->sh->pid, pid, ngx_pid))
    {
        f->sh->heartbeat = now;
        f->following = 1;
        f->known = 0;
    }
}


/* Sends the commands that are due now. */

static void
ngx_http_weir_jwt_follow_cycle(ngx_http_weir_jwt_follower_t *f)
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
        f->from.ms = 0;
        f->from.seq = 0;
        f->caught_up = 0;
    }

    ngx_http_weir_jwt_follow_trim(f);
    ngx_http_weir_jwt_follow_read(f);

    ngx_str_set(&argv[0], "GET");
    ngx_str_set(&argv[1], NGX_HTTP_WEIR_JWT_REVOKED_TRIMMED);
    ngx_http_weir_jwt_follow_send(f, NGX_HTTP_WEIR_JWT_FOLLOW_TRIMMED, 2, argv);

    ngx_str_set(&argv[0], "XINFO");
    ngx_str_set(&argv[1], "STREAM");
    ngx_str_set(&argv[2], NGX_HTTP_WEIR_JWT_REVOKED_STREAM);
    ngx_http_weir_jwt_follow_send(f, NGX_HTTP_WEIR_JWT_FOLLOW_STREAM, 3, argv);

    if (f->waiting == 0) {
        /* Redis is known to be down; the next tick tries again */
        f->known = 0;
        ngx_destroy_pool(f->pool);
        f->pool = NULL;
    }
}


static void
ngx_http_weir_jwt_follow_read(ngx_http_weir_jwt_follower_t *f)
{
    u_char      block[NGX_INT_T_LEN], from[NGX_INT64_LEN * 2 + 1];
    ngx_str_t   argv[8];
    ngx_uint_t  n;

    ngx_str_set(&argv[0], "XREAD");
    ngx_str_set(&argv[1], "COUNT");
    ngx_str_set(&argv[2], NGX_HTTP_WEIR_JWT_FOLLOW_COUNT);
    n = 3;

    if (f->caught_up) {
        ngx_str_set(&argv[3], "BLOCK");
        argv[4].data = block;
        argv[4].len = ngx_sprintf(block, "%i",
                                  (ngx_int_t) NGX_HTTP_WEIR_JWT_FOLLOW_BLOCK)
                      - block;
        n = 5;
    }

    ngx_str_set(&argv[n], "STREAMS");
    ngx_str_set(&argv[n + 1], NGX_HTTP_WEIR_JWT_REVOKED_STREAM);
    argv[n + 2].data = from;
    argv[n + 2].len = ngx_sprintf(from, "%uL-%uL", f->from.ms, f->from.seq)
                      - from;

    ngx_http_weir_jwt_follow_send(f, NGX_HTTP_WEIR_JWT_FOLLOW_READ, n + 3,
                                  argv);
}


/*
 * Removes entries that are older than any token that is accepted, and counts
 * them for all edges.  A script does both: what was removed and not counted would
 * look as if others had removed it.
 */

static void
ngx_http_weir_jwt_follow_trim(ngx_http_weir_jwt_follower_t *f)
{
    u_char     text[NGX_INT64_LEN];
    uint64_t   before;
    ngx_str_t  argv[6];

    static ngx_str_t  trim = ngx_string(
        "local n=redis.call('XTRIM',KEYS[1],'MINID','~',ARGV[1])"
        " if n>0 then redis.call('INCRBY',KEYS[2],n) end return n");

    if (!f->caught_up
        || f->sent - f->trimmed < NGX_HTTP_WEIR_JWT_FOLLOW_TRIM)
    {
        return;
    }

    f->trimmed = f->sent;
    before = (uint64_t) (ngx_time() - f->revocation->keep) * 1000;

    ngx_str_set(&argv[0], "EVAL");
    argv[1] = trim;
    ngx_str_set(&argv[2], "2");
    ngx_str_set(&argv[3], NGX_HTTP_WEIR_JWT_REVOKED_STREAM);
    ngx_str_set(&argv[4], NGX_HTTP_WEIR_JWT_REVOKED_TRIMMED);
    argv[5].data = text;
    argv[5].len = ngx_sprintf(text, "%uL", before) - text;

    ngx_http_weir_jwt_follow_send(f, NGX_HTTP_WEIR_JWT_FOLLOW_TRIM_REPLY, 6,
                                  argv);
}


static void
ngx_http_weir_jwt_follow_send(ngx_http_weir_jwt_follower_t *f,
    ngx_uint_t which, ngx_uint_t argc, ngx_str_t *argv)
{
    ngx_http_weir_redis_command_t  *cmd;

    if (f->failed) {
        return;
    }

    cmd = &f->commands[which];
    cmd->pool = f->pool;

    if (ngx_http_weir_redis_command(f->redis, cmd, argc, argv) == NGX_OK) {
        f->waiting++;

    } else {
        f->failed = 1;
    }
}


static void
ngx_http_weir_jwt_follow_handler(ngx_http_weir_redis_command_t *cmd,
    ngx_int_t rc, ngx_http_weir_redis_reply_t *reply)
{
    ngx_int_t                      result;
    ngx_http_weir_jwt_follower_t  *f;

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

    if (f->following && !f->failed) {
        result = ngx_http_weir_jwt_revocation_was_read(f);
    }

    ngx_destroy_pool(f->pool);
    f->pool = NULL;

    if (result == NGX_OK) {
        f->known = 1;
        ngx_http_weir_jwt_follow_cycle(f);
        return;
    }

    f->known = 0;
}
