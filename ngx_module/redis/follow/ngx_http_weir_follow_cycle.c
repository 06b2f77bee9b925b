/*
 * The commands of a cycle, and what follows when all replies are there.  See
 * ngx_http_weir_follow.h.
 *
 * XREAD answers an error if one of its keys is no stream, or may not be read.
 * Then each stream is read by a command of its own (apart), so that the others
 * go on.  A stream with an error rests for a tick, and others wait no longer
 * than that for messages.
 *
 * Two owners may follow the same stream.  It is named once, for those that are
 * at the same position; who is at another one reads apart.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "http/ngx_http_weir_assert.h"
#include "http/ngx_http_weir_clock.h"
#include "redis/follow/ngx_http_weir_follow.h"
#include "redis/follow/ngx_http_weir_follow_private.h"


/* XREAD COUNT as text: messages of a stream. */
#define NGX_HTTP_WEIR_FOLLOW_COUNT  "1000"

/* The commands beside those of the owner. */
#define NGX_HTTP_WEIR_FOLLOW_READ   NGX_HTTP_WEIR_FOLLOW_OWN
#define NGX_HTTP_WEIR_FOLLOW_XINFO  (NGX_HTTP_WEIR_FOLLOW_OWN + 1)


static void ngx_http_weir_follow_cycle_begin(ngx_http_weir_follower_t *f,
    ngx_uint_t ticked);
static void ngx_http_weir_follow_cycle_share(ngx_http_weir_follower_t *f);
static void ngx_http_weir_follow_cycle_read(ngx_http_weir_follower_t *f);
static void ngx_http_weir_follow_cycle_read_apart(
    ngx_http_weir_follow_stream_t *s);
static void ngx_http_weir_follow_cycle_position(
    ngx_http_weir_follow_stream_t *s, ngx_str_t *text);
static void ngx_http_weir_follow_cycle_send(ngx_http_weir_follower_t *f,
    ngx_http_weir_redis_command_t *cmd, ngx_uint_t argc, ngx_str_t *argv);
static ngx_uint_t ngx_http_weir_follow_cycle_end(ngx_http_weir_follower_t *f);
static ngx_uint_t ngx_http_weir_follow_cycle_evaluate(
    ngx_http_weir_follower_t *f, ngx_http_weir_follow_stream_t *s,
    ngx_uint_t refused);


void
ngx_http_weir_follow_cycle(ngx_http_weir_follower_t *f, ngx_uint_t ticked)
{
    ngx_str_t                       argv[3];
    ngx_http_weir_follow_stream_t  *s;

    ngx_http_weir_assert(f->pool == NULL && f->waiting == 0);

    f->pool = ngx_create_pool(4096, ngx_cycle->log);
    if (f->pool == NULL) {
        return;
    }

    f->failed = 0;
    f->reply = NULL;
    f->sent = ngx_http_weir_ms();

    ngx_http_weir_follow_cycle_begin(f, ticked);
    ngx_http_weir_follow_cycle_share(f);

    for (s = ngx_http_weir_follow_next_asked(f, NULL);
         s;
         s = ngx_http_weir_follow_next_asked(f, s))
    {
        if (s->reading && !s->shared) {
            ngx_http_weir_follow_cycle_read_apart(s);
        }
    }

    if (f->nshared) {
        ngx_http_weir_follow_cycle_read(f);
    }

    ngx_str_set(&argv[0], "XINFO");
    ngx_str_set(&argv[1], "STREAM");

    for (s = ngx_http_weir_follow_next_asked(f, NULL);
         s;
         s = ngx_http_weir_follow_next_asked(f, s))
    {
        if (s->owner->ask) {
            s->owner->ask(s);
        }

        argv[2] = s->name;
        ngx_http_weir_follow_cycle_send(f,
                           &s->commands[NGX_HTTP_WEIR_FOLLOW_XINFO], 3, argv);
    }

    if (f->waiting == 0) {
        /* Redis is known to be down; the next tick tries again */
        (void) ngx_http_weir_follow_cycle_end(f);
    }
}


/* Chooses the streams, and sends what their owners send first. */

static void
ngx_http_weir_follow_cycle_begin(ngx_http_weir_follower_t *f,
    ngx_uint_t ticked)
{
    ngx_http_weir_follow_stream_t  *s;

    for (s = ngx_http_weir_follow_next(f, NULL);
         s;
         s = ngx_http_weir_follow_next(f, s))
    {
        if (ticked || f->sent - s->rests >= NGX_HTTP_WEIR_FOLLOW_TICK) {
            s->resting = 0;
        }

        s->asked = s->following && !s->resting;
        s->shared = 0;
        s->listed = 0;

        if (!s->asked) {
            continue;
        }

        if (!s->met) {
            s->caught_up = 0;
        }

        s->pool = f->pool;
        s->sent = f->sent;
        s->until = f->sent;
        s->n = 0;
        s->entries = NULL;
        s->read = NULL;
        s->xinfo = NULL;
        s->failed = 0;
        s->refused = 0;
        ngx_memzero(s->replies, sizeof(s->replies));

        s->reading = (s->owner->prepare(s) == NGX_OK);
    }
}


/* Which streams are in the XREAD for all, and how long it waits. */

static void
ngx_http_weir_follow_cycle_share(ngx_http_weir_follower_t *f)
{
    ngx_http_weir_follow_stream_t  *s, *other;

    f->nshared = 0;
    f->wait = f->block;

    for (s = ngx_http_weir_follow_next(f, NULL);
         s;
         s = ngx_http_weir_follow_next(f, s))
    {
        if (s->following && s->resting) {
            f->wait = ngx_min(f->wait, NGX_HTTP_WEIR_FOLLOW_TICK);
        }

        if (!s->asked) {
            continue;
        }

        s->shared = s->reading && !s->apart;
        s->listed = s->shared;

        for (other = ngx_http_weir_follow_next(f, NULL);
             other != s && s->listed;
             other = ngx_http_weir_follow_next(f, other))
        {
            if (other->asked && other->listed
                && other->name.len == s->name.len
                && ngx_memcmp(other->name.data, s->name.data, s->name.len) == 0)
            {
                s->listed = 0;
                s->shared = (weir_position_cmp(other->from, s->from) == 0);
            }
        }

        f->nshared += s->listed;

        if (!s->shared || !s->caught_up) {
            f->wait = 0;
        }
    }

    for (s = ngx_http_weir_follow_next_asked(f, NULL);
         s;
         s = ngx_http_weir_follow_next_asked(f, s))
    {
        s->blocking = f->wait != 0;
    }
}


/* Reads the next messages of all; the command waits if there are none. */

static void
ngx_http_weir_follow_cycle_read(ngx_http_weir_follower_t *f)
{
    u_char                         *block;
    ngx_str_t                      *argv;
    ngx_uint_t                      i, n;
    ngx_http_weir_follow_stream_t  *s;

    argv = ngx_palloc(f->pool, (6 + 2 * f->nshared) * sizeof(ngx_str_t));
    block = ngx_pnalloc(f->pool, NGX_INT64_LEN);

    if (argv == NULL || block == NULL) {
        f->failed = 1;
        return;
    }

    ngx_str_set(&argv[0], "XREAD");
    ngx_str_set(&argv[1], "COUNT");
    ngx_str_set(&argv[2], NGX_HTTP_WEIR_FOLLOW_COUNT);
    n = 3;

    if (f->wait) {
        ngx_str_set(&argv[3], "BLOCK");
        argv[4].data = block;
        argv[4].len = ngx_sprintf(block, "%M", f->wait) - block;
        n = 5;
    }

    ngx_str_set(&argv[n], "STREAMS");
    n++;
    i = 0;

    for (s = ngx_http_weir_follow_next_asked(f, NULL);
         s;
         s = ngx_http_weir_follow_next_asked(f, s))
    {
        if (s->listed) {
            argv[n + i] = s->name;
            ngx_http_weir_follow_cycle_position(s, &argv[n + f->nshared + i]);
            i++;
        }
    }

    ngx_http_weir_follow_cycle_send(f, &f->command, n + 2 * f->nshared, argv);
}


static void
ngx_http_weir_follow_cycle_read_apart(ngx_http_weir_follow_stream_t *s)
{
    ngx_str_t  argv[6];

    ngx_str_set(&argv[0], "XREAD");
    ngx_str_set(&argv[1], "COUNT");
    ngx_str_set(&argv[2], NGX_HTTP_WEIR_FOLLOW_COUNT);
    ngx_str_set(&argv[3], "STREAMS");
    argv[4] = s->name;
    ngx_http_weir_follow_cycle_position(s, &argv[5]);

    ngx_http_weir_follow_cycle_send(s->follower,
                            &s->commands[NGX_HTTP_WEIR_FOLLOW_READ], 6, argv);
}


static void
ngx_http_weir_follow_cycle_position(ngx_http_weir_follow_stream_t *s,
    ngx_str_t *text)
{
    ngx_str_null(text);

    text->data = ngx_pnalloc(s->pool, NGX_INT64_LEN * 2 + 1);

    if (text->data == NULL) {
        s->follower->failed = 1;
        return;
    }

    text->len = ngx_sprintf(text->data, "%uL-%uL", s->from.ms, s->from.seq)
                - text->data;
}


static void
ngx_http_weir_follow_cycle_send(ngx_http_weir_follower_t *f,
    ngx_http_weir_redis_command_t *cmd, ngx_uint_t argc, ngx_str_t *argv)
{
    if (f->failed) {
        return;
    }

    ngx_http_weir_assert(f->pool != NULL && cmd->handler != NULL);
    ngx_http_weir_assert(cmd->slot == NULL);

    cmd->pool = f->pool;

    if (ngx_http_weir_redis_command(f->redis, cmd, argc, argv) == NGX_OK) {
        f->waiting++;

    } else {
        f->failed = 1;
    }
}


void
ngx_http_weir_follow_send(ngx_http_weir_follow_stream_t *s, ngx_uint_t which,
    ngx_uint_t argc, ngx_str_t *argv)
{
    ngx_http_weir_assert(which < NGX_HTTP_WEIR_FOLLOW_OWN);

    ngx_http_weir_follow_cycle_send(s->follower, &s->commands[which], argc,
                                    argv);
}


void
ngx_http_weir_follow_tell(ngx_http_weir_follow_stream_t *s, ngx_uint_t argc,
    ngx_str_t *argv)
{
    ngx_http_weir_redis_command_t  cmd;

    ngx_memzero(&cmd, sizeof(ngx_http_weir_redis_command_t));
    cmd.log = ngx_cycle->log;

    (void) ngx_http_weir_redis_command(s->follower->redis, &cmd, argc, argv);
}


void
ngx_http_weir_follow_cycle_handler(ngx_http_weir_redis_command_t *cmd,
    ngx_int_t rc, ngx_http_weir_redis_reply_t *reply)
{
    ngx_uint_t                      i;
    ngx_http_weir_follower_t       *f;
    ngx_http_weir_follow_stream_t  *s;

    f = cmd->data;

    ngx_http_weir_assert(f->pool != NULL && f->waiting != 0);

    if (rc != NGX_OK) {
        f->failed = 1;

        if (rc == NGX_ABORT) {
            f->overdue = 1;
        }
    }

    if (cmd == &f->command) {
        f->reply = reply;
    }

    for (s = ngx_http_weir_follow_next_asked(f, NULL);
         s;
         s = ngx_http_weir_follow_next_asked(f, s))
    {
        if (cmd < s->commands
            || cmd >= s->commands + NGX_HTTP_WEIR_FOLLOW_OWN + 2)
        {
            continue;
        }

        i = cmd - s->commands;

        if (i == NGX_HTTP_WEIR_FOLLOW_READ) {
            s->read = reply;

        } else if (i == NGX_HTTP_WEIR_FOLLOW_XINFO) {
            s->xinfo = reply;

        } else {
            s->replies[i] = reply;
        }
    }

    if (--f->waiting) {
        return;
    }

    if (ngx_http_weir_follow_cycle_end(f)) {
        ngx_http_weir_follow_cycle(f, 0);
    }
}


/* True if the next cycle may follow at once. */

static ngx_uint_t
ngx_http_weir_follow_cycle_end(ngx_http_weir_follower_t *f)
{
    ngx_uint_t                      next, refused;
    ngx_http_weir_follow_stream_t  *s;

    next = 0;
    refused = 0;

    if (!f->failed && f->nshared) {
        refused = (ngx_http_weir_follow_read_shared(f) != NGX_OK);
    }

    for (s = ngx_http_weir_follow_next_asked(f, NULL);
         s;
         s = ngx_http_weir_follow_next_asked(f, s))
    {
        next |= ngx_http_weir_follow_cycle_evaluate(f, s, refused);
        s->asked = 0;
    }

    ngx_destroy_pool(f->pool);
    f->pool = NULL;

    return next;
}


static ngx_uint_t
ngx_http_weir_follow_cycle_evaluate(ngx_http_weir_follower_t *f,
    ngx_http_weir_follow_stream_t *s, ngx_uint_t refused)
{
    if (!f->failed && s->shared && refused) {
        s->apart = 1;
        return 1;
    }

    if (!f->failed && s->following
        && s->role->pid == (ngx_atomic_uint_t) ngx_pid
        && ngx_http_weir_follow_read(s) == NGX_OK)
    {
        s->apart = 0;

        if (s->owner->evaluate(s) == NGX_OK) {
            s->met = 1;
            return 1;
        }
    }

    s->failed = f->failed;
    s->met = 0;
    s->resting = 1;
    s->rests = f->sent;

    s->owner->missed(s);

    return 0;
}
