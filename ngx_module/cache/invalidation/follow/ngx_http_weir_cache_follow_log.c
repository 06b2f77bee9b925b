/*
 * Evaluation of what the follower has read: the messages, and whether they are
 * complete.  See ngx_http_weir_cache_follow.c.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "cache/invalidation/follow/ngx_http_weir_cache_follow_private.h"
#include "cache/invalidation/ngx_http_weir_cache_invalidation.h"
#include "http/ngx_http_weir_assert.h"
#include "http/ngx_http_weir_clock.h"


/* Approximate bytes that a message takes in the stream beside its texts. */
#define NGX_HTTP_WEIR_CACHE_FOLLOW_MESSAGE  64


static ngx_int_t ngx_http_weir_cache_follow_compare(
    ngx_http_weir_cache_follower_t *f);
static weir_invalidations_t *ngx_http_weir_cache_follow_lock(
    ngx_http_weir_cache_follower_t *f);


/* The server has identified itself. */

ngx_int_t
ngx_http_weir_cache_follow_met(ngx_http_weir_cache_follower_t *f)
{
    uint64_t                             former;
    weir_invalidations_t                *table;
    ngx_http_weir_redis_reply_t         *value;
    ngx_http_weir_follow_info_t         *info;
    ngx_http_weir_cache_invalidation_t  *inv;

    inv = f->zone->invalidation;
    info = &f->stream.info;
    value = f->stream.replies[NGX_HTTP_WEIR_CACHE_FOLLOW_ERA];

    ngx_http_weir_assert(!f->known && value != NULL);

    if (ngx_http_weir_cache_follow_era_read_server(f) != NGX_OK) {
        return ngx_http_weir_follow_complain(&f->stream,
                          "INFO server replication",
                          f->stream.replies[NGX_HTTP_WEIR_CACHE_FOLLOW_INFO]);
    }

    if (value->type != NGX_HTTP_WEIR_REDIS_STRING) {
        return ngx_http_weir_follow_complain(&f->stream, "GET weir:era", value);
    }

    if (ngx_http_weir_cache_follow_era_compare(f, value) != NGX_OK) {
        return NGX_ERROR;
    }

    f->era = ngx_http_weir_cache_follow_era_of(f, value);
    f->known = 1;
    former = 0;

    table = ngx_http_weir_cache_invalidation_lock(f->zone);

    if (inv->role.pid == (ngx_atomic_uint_t) ngx_pid && table->era != f->era) {

        former = table->era;
        weir_invalidations_begin(table, f->era,
                                 ngx_http_weir_follow_floor(info));
        inv->read = info->added - info->length;
        inv->synced = 0;

        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "weir_cache_zone \"%V\" reads the invalidations of era"
                      " %016xL from the start of the stream, which has %uL"
                      " messages", &f->zone->name, f->era, info->length);
    }

    ngx_http_weir_cache_invalidation_unlock(f->zone);

    if (former) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "weir_cache_zone \"%V\": Redis was restarted or emptied;"
                      " all responses stored before now are invalid",
                      &f->zone->name);
    }

    return NGX_OK;
}


/*
 * A part of the stream was read, together with the replies that show whether
 * the read was complete.
 */

ngx_int_t
ngx_http_weir_cache_follow_was_read(ngx_http_weir_cache_follower_t *f)
{
    uint64_t                      era;
    ngx_http_weir_redis_reply_t  *value;

    value = f->stream.replies[NGX_HTTP_WEIR_CACHE_FOLLOW_ERA];

    ngx_http_weir_assert(f->known && f->era != 0 && value != NULL);

    if (value->type == NGX_HTTP_WEIR_REDIS_STRING) {
        era = ngx_http_weir_cache_follow_era_of(f, value);

    } else if (value->type == NGX_HTTP_WEIR_REDIS_NIL) {
        era = 0;

    } else {
        return ngx_http_weir_follow_complain(&f->stream, "GET weir:era", value);
    }

    if (era != f->era) {
        /* the entries belong to another era */
        f->known = 0;
        return NGX_OK;
    }

    switch (ngx_http_weir_follow_each(&f->stream)) {

    case NGX_OK:
        return ngx_http_weir_cache_follow_compare(f);

    case NGX_DECLINED:
        /* the table has changed since the command was sent */
        f->known = 0;
        return NGX_OK;

    default:
        return NGX_ERROR;
    }
}


ngx_int_t
ngx_http_weir_cache_follow_message(ngx_http_weir_follow_stream_t *s,
    weir_position_t position, weir_str_t *texts, size_t n)
{
    size_t                           i;
    uint64_t                         size;
    const char                      *wrong;
    weir_invalidations_t            *table;
    ngx_http_weir_cache_follower_t  *f;

    f = s->data;
    size = NGX_HTTP_WEIR_CACHE_FOLLOW_MESSAGE;

    for (i = 0; i < n; i++) {
        size += texts[i].len;
    }

    table = ngx_http_weir_cache_follow_lock(f);
    if (table == NULL) {
        return NGX_DECLINED;
    }

    wrong = weir_invalidations_apply(table, position, texts, n);
    f->zone->invalidation->read++;

    ngx_http_weir_assert(weir_position_cmp(table->position, position) >= 0);

    ngx_http_weir_cache_invalidation_unlock(f->zone);

    f->from = position;
    f->message = f->message ? f->message + size / 64 - f->message / 64
                            : size;

    if (wrong) {
        (void) ngx_atomic_fetch_add(&f->zone->invalidation->malformed, 1);
    }

    if (wrong && !f->malformed) {
        f->malformed = 1;
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "malformed message in \"%s\", %uL-%uL: it has %s; later"
                      " ones are only counted in weir_status",
                      NGX_HTTP_WEIR_CACHE_STREAM, position.ms, position.seq,
                      wrong);
    }

    return NGX_OK;
}


/* Compares the entries read with XINFO STREAM. */

static ngx_int_t
ngx_http_weir_cache_follow_compare(ngx_http_weir_cache_follower_t *f)
{
    int                                  cmp;
    uint64_t                             missed;
    weir_invalidations_t                *table;
    ngx_http_weir_follow_info_t         *stream;
    ngx_http_weir_cache_invalidation_t  *inv;

    stream = &f->stream.info;
    inv = f->zone->invalidation;
    missed = 0;

    table = ngx_http_weir_cache_follow_lock(f);

    if (table == NULL) {
        f->known = 0;
        return NGX_OK;
    }

    cmp = weir_position_cmp(stream->last, table->position);

    if (cmp > 0 && f->stream.n == 0 && !f->stream.blocking
        && weir_position_cmp(stream->last, f->last) == 0)
    {
        /* the last ID is unchanged, and its entry was deleted */
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
        inv->synced = f->stream.until;
        inv->tried = 1;
    }

    ngx_http_weir_cache_invalidation_unlock(f->zone);

    f->last = stream->last;
    f->length = stream->length;

    if (cmp < 0) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "weir_cache_zone \"%V\": the stream \"%s\" was deleted"
                      " and created again; all stored responses are invalid",
                      &f->zone->name, NGX_HTTP_WEIR_CACHE_STREAM);

        ngx_http_weir_cache_follow_write_era(f, 0);
        return NGX_ERROR;
    }

    if (missed) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "weir_cache_zone \"%V\": %uL invalidations were trimmed"
                      " before they were read; all older responses are"
                      " invalid",
                      &f->zone->name, missed);
    }

    f->stream.caught_up = (cmp == 0);
    f->stream.complained = 0;

    return NGX_OK;
}


/* NULL: another worker has the role, or the table has changed since. */

static weir_invalidations_t *
ngx_http_weir_cache_follow_lock(ngx_http_weir_cache_follower_t *f)
{
    weir_invalidations_t  *table;

    table = ngx_http_weir_cache_invalidation_lock(f->zone);

    if (f->zone->invalidation->role.pid == (ngx_atomic_uint_t) ngx_pid
        && table->era == f->era
        && weir_position_cmp(table->position, f->from) == 0)
    {
        return table;
    }

    ngx_http_weir_cache_invalidation_unlock(f->zone);

    return NULL;
}
