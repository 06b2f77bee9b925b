/*
 * A followed stream whose messages may be applied again; see
 * ngx_http_weir_follow_log.h.
 *
 * XINFO STREAM shows what is missing: entries-added is the number of entries
 * that the stream has ever had.  Whoever removes entries that are of no use any
 * more lowers it by as many (XSETID), in the same script.  So what is missing
 * was removed by others, and the number belongs to the stream: it is deleted
 * with it.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "http/ngx_http_weir_assert.h"
#include "http/ngx_http_weir_clock.h"
#include "redis/follow/ngx_http_weir_follow_log.h"


#define NGX_HTTP_WEIR_FOLLOW_LOG_BLOCK  500    /* ms */
#define NGX_HTTP_WEIR_FOLLOW_LOG_TRIM   60000  /* ms between two XTRIM */

/* The owner's command of the cycle. */
#define NGX_HTTP_WEIR_FOLLOW_LOG_TRIMMED  0


static ngx_int_t ngx_http_weir_follow_log_prepare(
    ngx_http_weir_follow_stream_t *s);
static void ngx_http_weir_follow_log_trim(ngx_http_weir_follow_log_t *log);
static ngx_int_t ngx_http_weir_follow_log_evaluate(
    ngx_http_weir_follow_stream_t *s);
static void ngx_http_weir_follow_log_find_gap(ngx_http_weir_follow_log_t *log);
static void ngx_http_weir_follow_log_was_trimmed(
    ngx_http_weir_follow_log_t *log);
static ngx_int_t ngx_http_weir_follow_log_message(
    ngx_http_weir_follow_stream_t *s, weir_position_t position,
    weir_str_t *texts, size_t n);
static void ngx_http_weir_follow_log_missed(ngx_http_weir_follow_stream_t *s);
static void ngx_http_weir_follow_log_complain(ngx_http_weir_follow_stream_t *s,
    char *what, ngx_str_t *text);


static const ngx_http_weir_follow_owner_t  ngx_http_weir_follow_log_owner = {
    ngx_http_weir_follow_log_prepare,
    NULL,
    ngx_http_weir_follow_log_evaluate,
    ngx_http_weir_follow_log_message,
    ngx_http_weir_follow_log_missed,
    ngx_http_weir_follow_log_complain
};


ngx_int_t
ngx_http_weir_follow_log_add(ngx_http_weir_redis_t *redis,
    ngx_http_weir_follow_log_t *log)
{
    ngx_http_weir_follow_stream_t  *s;

    s = &log->stream;

    s->name = log->name;
    s->owner = &ngx_http_weir_follow_log_owner;
    s->role = &log->sh->role;
    s->block = NGX_HTTP_WEIR_FOLLOW_LOG_BLOCK;
    s->data = log;

    return ngx_http_weir_follow_add(redis, s);
}


void
ngx_http_weir_follow_log_remove(ngx_http_weir_follow_log_t *log)
{
    ngx_http_weir_follow_remove(&log->stream);
}


static ngx_int_t
ngx_http_weir_follow_log_prepare(ngx_http_weir_follow_stream_t *s)
{
    ngx_http_weir_follow_log_t  *log = s->data;

    if (!s->met) {
        log->at.ms = 0;
        log->at.seq = 0;
        log->whole = 0;
    }

    s->from = log->at;

    ngx_http_weir_follow_log_trim(log);

    return NGX_OK;
}


/*
 * The first XSETID changes nothing: who may not use it, trims nothing.
 */

static void
ngx_http_weir_follow_log_trim(ngx_http_weir_follow_log_t *log)
{
    u_char                          text[NGX_INT64_LEN];
    uint64_t                        before;
    ngx_str_t                       argv[5];
    ngx_http_weir_follow_stream_t  *s;

    static ngx_str_t  trim = ngx_string(
        "local i=redis.pcall('XINFO','STREAM',KEYS[1])"
        " if i.err then return 0 end"
        " local s={} for k=1,#i,2 do s[i[k]]=i[k+1] end"
        " redis.call('XSETID',KEYS[1],s['last-generated-id'])"
        " local n=redis.call('XTRIM',KEYS[1],'MINID','~',ARGV[1])"
        " if n>0 then redis.call('XSETID',KEYS[1],s['last-generated-id'],"
        "'ENTRIESADDED',s['entries-added']-n) end return n");

    s = &log->stream;

    if (log->keep == 0 || !s->caught_up
        || s->sent - log->trimmed < NGX_HTTP_WEIR_FOLLOW_LOG_TRIM)
    {
        return;
    }

    log->trimmed = s->sent;
    before = (uint64_t) ngx_max(ngx_time() - log->keep, 0) * 1000;

    ngx_str_set(&argv[0], "EVAL");
    argv[1] = trim;
    ngx_str_set(&argv[2], "1");
    argv[3] = log->name;
    argv[4].data = text;
    argv[4].len = ngx_sprintf(text, "%uL", before) - text;

    ngx_http_weir_follow_send(s, NGX_HTTP_WEIR_FOLLOW_LOG_TRIMMED, 5, argv);
}


static ngx_int_t
ngx_http_weir_follow_log_evaluate(ngx_http_weir_follow_stream_t *s)
{
    int                          compared;
    ngx_http_weir_follow_log_t  *log = s->data;

    ngx_http_weir_follow_log_was_trimmed(log);

    if (log->gap) {
        ngx_http_weir_follow_log_find_gap(log);
    }

    if (ngx_http_weir_follow_each(s) != NGX_OK) {
        return NGX_ERROR;
    }

    compared = weir_position_cmp(s->info.last, log->at);

    if (compared < 0) {

        ngx_shmtx_lock(log->mutex);
        log->sh->position = s->info.last;
        ngx_shmtx_unlock(log->mutex);

        if (log->restarted) {
            log->restarted(log);
        }

        return NGX_ERROR;
    }

    /* where nothing was read, the last entries were deleted, or are younger */
    s->caught_up = (compared == 0 || s->n == 0);
    s->complained = 0;

    if (!s->caught_up) {
        return NGX_OK;
    }

    log->sh->synced = compared == 0 ? s->until : s->sent;

    if (!log->whole) {
        log->whole = 1;

        if (log->caught_up) {
            log->caught_up(log);
        }
    }

    return NGX_OK;
}


/*
 * Entries are missing, and the last one that can be missing was never read here.
 */

static void
ngx_http_weir_follow_log_find_gap(ngx_http_weir_follow_log_t *log)
{
    uint64_t                            missing;
    ngx_uint_t                          found;
    weir_position_t                     floor;
    const ngx_http_weir_follow_info_t  *info;

    info = &log->stream.info;
    missing = info->added - info->length;

    if (missing == 0) {
        return;
    }

    floor = ngx_http_weir_follow_floor(info);
    found = 0;

    ngx_shmtx_lock(log->mutex);

    if (weir_position_cmp(log->sh->position, floor) < 0) {
        log->gap(log, floor);
        log->sh->position = floor;
        found = 1;
    }

    ngx_shmtx_unlock(log->mutex);

    if (found) {
        (void) ngx_atomic_fetch_add(&log->sh->gaps, 1);
        log->missing(log, missing);
    }
}


static void
ngx_http_weir_follow_log_was_trimmed(ngx_http_weir_follow_log_t *log)
{
    ngx_str_t                     text;
    ngx_http_weir_redis_reply_t  *reply;

    reply = log->stream.replies[NGX_HTTP_WEIR_FOLLOW_LOG_TRIMMED];

    if (reply == NULL) {
        return;
    }

    if (reply->type != NGX_HTTP_WEIR_REDIS_ERROR) {
        log->blamed = 0;
        return;
    }

    if (log->blamed) {
        return;
    }

    log->blamed = 1;
    text = reply->str;
    text.len = ngx_min(text.len, 256);

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "old entries of the stream \"%V\" cannot be removed: Redis"
                  " answered \"%V\"", &log->name, &text);
}


static ngx_int_t
ngx_http_weir_follow_log_message(ngx_http_weir_follow_stream_t *s,
    weir_position_t position, weir_str_t *texts, size_t n)
{
    ngx_http_weir_follow_log_t  *log = s->data;

    log->message(log, position, texts, n);

    log->at = position;

    ngx_shmtx_lock(log->mutex);

    if (weir_position_cmp(log->sh->position, position) < 0) {
        log->sh->position = position;
    }

    ngx_shmtx_unlock(log->mutex);

    return NGX_OK;
}


static void
ngx_http_weir_follow_log_missed(ngx_http_weir_follow_stream_t *s)
{
    ngx_http_weir_follow_log_t  *log = s->data;

    if (log->whole && log->lost) {
        log->lost(log);
    }

    log->whole = 0;
}


static void
ngx_http_weir_follow_log_complain(ngx_http_weir_follow_stream_t *s,
    char *what, ngx_str_t *text)
{
    ngx_http_weir_follow_log_t  *log = s->data;

    log->complain(log, what, text);
}
