/*
 * The roles: which worker of the edge follows a stream.  See
 * ngx_http_weir_follow.h.
 *
 * Each worker looks ten times a second whether a stream has a follower.  The one
 * that follows another stream of the same Redis comes first, so that one
 * connection is enough: the others wait some ticks more, unless nobody follows
 * any.  If two workers follow streams of one Redis nevertheless, the one with the
 * smaller pid leaves them to the other.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "http/ngx_http_weir_assert.h"
#include "http/ngx_http_weir_clock.h"
#include "redis/follow/ngx_http_weir_follow.h"
#include "redis/follow/ngx_http_weir_follow_private.h"


#define NGX_HTTP_WEIR_FOLLOW_LAPSE     1000   /* ms without a heartbeat */
#define NGX_HTTP_WEIR_FOLLOW_HESITATE  3      /* ticks */
#define NGX_HTTP_WEIR_FOLLOW_SPLIT     10     /* ticks */


static ngx_http_weir_follower_t *ngx_http_weir_follow_get(
    ngx_http_weir_redis_t *redis);
static void ngx_http_weir_follow_tick(ngx_event_t *ev);
static void ngx_http_weir_follow_step(ngx_http_weir_follower_t *f);
static ngx_int_t ngx_http_weir_follow_connect(ngx_http_weir_follower_t *f);
static ngx_uint_t ngx_http_weir_follow_is_free(
    ngx_http_weir_follow_role_t *role, uint64_t now);
static ngx_uint_t ngx_http_weir_follow_claim(ngx_http_weir_follower_t *f,
    uint64_t now);
static void ngx_http_weir_follow_leave(ngx_http_weir_follower_t *f);


/* Of this worker: one for each Redis; lives as long as the process. */
static ngx_array_t  *ngx_http_weir_followers;


ngx_int_t
ngx_http_weir_follow_add(ngx_http_weir_redis_t *redis,
    ngx_http_weir_follow_stream_t *s)
{
    ngx_uint_t                 i;
    ngx_http_weir_follower_t  *f;

    ngx_http_weir_assert(s->follower == NULL && s->block != 0);

    f = ngx_http_weir_follow_get(redis);
    if (f == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < NGX_HTTP_WEIR_FOLLOW_OWN + 2; i++) {
        s->commands[i].handler = ngx_http_weir_follow_cycle_handler;
        s->commands[i].data = f;
        s->commands[i].log = ngx_cycle->log;
    }

    s->follower = f;
    ngx_queue_insert_tail(&f->streams, &s->queue);
    f->nstreams++;
    f->block = f->block ? ngx_min(f->block, s->block) : s->block;

    return NGX_OK;
}


static ngx_http_weir_follower_t *
ngx_http_weir_follow_get(ngx_http_weir_redis_t *redis)
{
    ngx_uint_t                  i;
    ngx_http_weir_follower_t   *f, **followers;

    if (ngx_http_weir_followers == NULL) {
        ngx_http_weir_followers = ngx_array_create(ngx_cycle->pool, 2,
                                           sizeof(ngx_http_weir_follower_t *));
        if (ngx_http_weir_followers == NULL) {
            return NULL;
        }
    }

    followers = ngx_http_weir_followers->elts;

    for (i = 0; i < ngx_http_weir_followers->nelts; i++) {
        if (followers[i]->server == redis) {
            return followers[i];
        }
    }

    f = ngx_pcalloc(ngx_cycle->pool, sizeof(ngx_http_weir_follower_t));
    if (f == NULL) {
        return NULL;
    }

    followers = ngx_array_push(ngx_http_weir_followers);
    if (followers == NULL) {
        return NULL;
    }

    *followers = f;

    f->server = redis;
    ngx_queue_init(&f->streams);

    f->command.handler = ngx_http_weir_follow_cycle_handler;
    f->command.data = f;
    f->command.log = ngx_cycle->log;

    f->tick.handler = ngx_http_weir_follow_tick;
    f->tick.data = f;
    f->tick.log = ngx_cycle->log;
    f->tick.cancelable = 1;

    /* when all streams were added */
    ngx_add_timer(&f->tick, 0);

    return f;
}


void
ngx_http_weir_follow_remove(ngx_http_weir_follow_stream_t *s)
{
    ngx_http_weir_follower_t  *f;

    f = s->follower;

    if (f == NULL) {
        return;
    }

    s->follower = NULL;

    if (f->closed) {
        return;
    }

    /* the worker exits */

    f->closed = 1;
    ngx_http_weir_follow_leave(f);

    if (f->redis) {
        ngx_http_weir_redis_release(f->redis);
    }

    if (f->tick.timer_set) {
        ngx_del_timer(&f->tick);
    }
}


static void
ngx_http_weir_follow_tick(ngx_event_t *ev)
{
    ngx_http_weir_follower_t  *f = ev->data;

    if (ngx_exiting) {
        ngx_http_weir_follow_leave(f);
        return;
    }

    ngx_http_weir_follow_step(f);

    ngx_add_timer(&f->tick, NGX_HTTP_WEIR_FOLLOW_TICK);
}


static void
ngx_http_weir_follow_step(ngx_http_weir_follower_t *f)
{
    uint64_t                        now;
    ngx_uint_t                      lost;
    ngx_http_weir_follow_stream_t  *s;

    if (f->redis == NULL && ngx_http_weir_follow_connect(f) != NGX_OK) {
        return;
    }

    now = ngx_http_weir_ms();
    lost = 0;

    for (s = ngx_http_weir_follow_next(f, NULL);
         s;
         s = ngx_http_weir_follow_next(f, s))
    {
        if (!s->following) {
            continue;
        }

        if (s->role->pid == (ngx_atomic_uint_t) ngx_pid) {
            s->role->heartbeat = now;

        } else {
            s->following = 0;
            s->asked = 0;
            lost = 1;
        }
    }

    if (!ngx_http_weir_follow_claim(f, now)) {

        if (lost) {
            ngx_http_weir_redis_drop(f->redis, NULL);
        }

        return;
    }

    if (f->overdue) {
        f->overdue = 0;
        ngx_http_weir_redis_drop(f->redis, "does not answer");
    }

    if (f->waiting == 0) {
        ngx_http_weir_follow_cycle(f, 1);
    }
}


static ngx_int_t
ngx_http_weir_follow_connect(ngx_http_weir_follower_t *f)
{
    static ngx_str_t  purpose = ngx_string("streams");

    f->redis = ngx_http_weir_redis_dedicate(f->server, &purpose, f->block,
                                            ngx_cycle->pool, ngx_cycle->log);

    return f->redis ? NGX_OK : NGX_ERROR;
}


static ngx_uint_t
ngx_http_weir_follow_is_free(ngx_http_weir_follow_role_t *role, uint64_t now)
{
    ngx_pid_t  pid;

    pid = role->pid;

    return pid == 0 || pid == ngx_pid
           || (kill(pid, 0) == -1 && ngx_errno == ESRCH)
           || (now > role->heartbeat
               && now - role->heartbeat > NGX_HTTP_WEIR_FOLLOW_LAPSE);
}


/* Takes the roles that are free.  False: this worker follows nothing. */

static ngx_uint_t
ngx_http_weir_follow_claim(ngx_http_weir_follower_t *f, uint64_t now)
{
    ngx_uint_t                      mine, others, greater;
    ngx_atomic_uint_t               pid;
    ngx_http_weir_follow_stream_t  *s;

    mine = 0;
    others = 0;
    greater = 0;

    for (s = ngx_http_weir_follow_next(f, NULL);
         s;
         s = ngx_http_weir_follow_next(f, s))
    {
        if (s->following) {
            mine++;

        } else if (ngx_http_weir_follow_is_free(s->role, now)) {
            s->free++;

        } else {
            s->free = 0;
            others++;
            greater += (s->role->pid > (ngx_atomic_uint_t) ngx_pid);
        }
    }

    f->split = (mine && greater) ? f->split + 1 : 0;

    if (f->split > NGX_HTTP_WEIR_FOLLOW_SPLIT) {
        f->split = 0;
        ngx_http_weir_follow_leave(f);
        return 0;
    }

    for (s = ngx_http_weir_follow_next(f, NULL);
         s;
         s = ngx_http_weir_follow_next(f, s))
    {
        if (s->following || s->free == 0
            || (mine == 0 && others != 0 && s->role->heartbeat != 0
                && s->free <= NGX_HTTP_WEIR_FOLLOW_HESITATE))
        {
            continue;
        }

        pid = s->role->pid;

        if (ngx_http_weir_follow_is_free(s->role, now)
            && ngx_atomic_cmp_set(&s->role->pid, pid, ngx_pid))
        {
            s->role->heartbeat = now;
            s->following = 1;
            s->met = 0;
            s->resting = 0;
            s->apart = 0;
            s->free = 0;
            mine++;
        }
    }

    return mine != 0;
}


/* Gives up the roles; other workers may take them at once. */

static void
ngx_http_weir_follow_leave(ngx_http_weir_follower_t *f)
{
    ngx_uint_t                      left;
    ngx_http_weir_follow_stream_t  *s;

    left = 0;

    for (s = ngx_http_weir_follow_next(f, NULL);
         s;
         s = ngx_http_weir_follow_next(f, s))
    {
        if (s->following) {
            s->following = 0;
            s->asked = 0;
            (void) ngx_atomic_cmp_set(&s->role->pid, ngx_pid, 0);
            left = 1;
        }
    }

    if (left && f->redis) {
        ngx_http_weir_redis_drop(f->redis, NULL);
    }
}
