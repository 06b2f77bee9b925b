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


/* The fields of XINFO STREAM that are used. */
typedef struct {
    uint64_t                        added;
    uint64_t                        length;
    weir_position_t                 last;
    weir_position_t                 first;       /* 0-0 if the stream is empty */
    weir_position_t                 deleted;     /* greatest ID removed by XDEL */
} ngx_http_weir_cache_stream_t;


static weir_position_t ngx_http_weir_cache_follow_floor(
    ngx_http_weir_cache_stream_t *stream);
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
static ngx_int_t ngx_http_weir_cache_follow_complain(
    ngx_http_weir_cache_follower_t *f, char *what,
    ngx_http_weir_redis_reply_t *reply);


/* The server has identified itself. */

ngx_int_t
ngx_http_weir_cache_follow_met(ngx_http_weir_cache_follower_t *f)
{
    uint64_t                             former;
    weir_invalidations_t                *table;
    ngx_http_weir_redis_reply_t         *value;
    ngx_http_weir_cache_stream_t         stream;
    ngx_http_weir_cache_invalidation_t  *inv;

    inv = f->zone->invalidation;
    value = f->replies[NGX_HTTP_WEIR_CACHE_FOLLOW_ERA];

    ngx_http_weir_assert(!f->known && value != NULL);

    if (ngx_http_weir_cache_follow_era_read_server(f) != NGX_OK) {
        return ngx_http_weir_cache_follow_complain(f, "INFO server replication",
                                f->replies[NGX_HTTP_WEIR_CACHE_FOLLOW_INFO]);
    }

    if (value->type != NGX_HTTP_WEIR_REDIS_STRING) {
        return ngx_http_weir_cache_follow_complain(f, "GET weir:era", value);
    }

    if (ngx_http_weir_cache_follow_read_stream(f, &stream) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_http_weir_cache_follow_era_compare(f, value) != NGX_OK) {
        return NGX_ERROR;
    }

    f->era = ngx_http_weir_cache_follow_era_of(f, value);
    f->known = 1;
    former = 0;

    table = ngx_http_weir_cache_invalidation_lock(f->zone);

    if (inv->pid == (ngx_atomic_uint_t) ngx_pid && table->era != f->era) {

        former = table->era;
        weir_invalidations_begin(table, f->era,
                                 ngx_http_weir_cache_follow_floor(&stream));
        inv->read = stream.added - stream.length;
        inv->synced = 0;

        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "weir_cache_zone \"%V\" reads the invalidations of era"
                      " %016xL from the start of the stream, which has %uL"
                      " messages", &f->zone->name, f->era, stream.length);
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
 * The position up to which entries of the stream were deleted and are unknown.
 */

static weir_position_t
ngx_http_weir_cache_follow_floor(ngx_http_weir_cache_stream_t *stream)
{
    if (stream->added <= stream->length) {
        return stream->deleted;
    }

    if (stream->length == 0) {
        return stream->last;
    }

    return weir_position_cmp(stream->deleted, stream->first) < 0
           ? stream->first : stream->deleted;
}


/*
 * A part of the stream was read, together with the replies that show whether
 * the read was complete.
 */

ngx_int_t
ngx_http_weir_cache_follow_was_read(ngx_http_weir_cache_follower_t *f)
{
    uint64_t                       era;
    ngx_uint_t                     n;
    ngx_http_weir_redis_reply_t   *value;
    ngx_http_weir_cache_stream_t   stream;

    value = f->replies[NGX_HTTP_WEIR_CACHE_FOLLOW_ERA];

    ngx_http_weir_assert(f->known && f->era != 0 && value != NULL);

    if (value->type == NGX_HTTP_WEIR_REDIS_STRING) {
        era = ngx_http_weir_cache_follow_era_of(f, value);

    } else if (value->type == NGX_HTTP_WEIR_REDIS_NIL) {
        era = 0;

    } else {
        return ngx_http_weir_cache_follow_complain(f, "GET weir:era", value);
    }

    if (era != f->era) {
        /* the entries belong to another era */
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
 * Applies the n entries of XREAD.  NGX_DECLINED: the table has changed since
 * the command was sent; NGX_ERROR: the reply is malformed.
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

    ngx_http_weir_assert(reply != NULL);

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
    uint64_t                      size;
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

    size = NGX_HTTP_WEIR_CACHE_FOLLOW_MESSAGE;

    for (i = 0; i < n; i++) {
        fields[i].data = (char *) values->elements[i]->str.data;
        fields[i].len = values->elements[i]->str.len;
        size += fields[i].len;
    }

    table = ngx_http_weir_cache_follow_lock(f);
    if (table == NULL) {
        return NGX_DECLINED;
    }

    wrong = weir_invalidations_apply(table, position, fields, n);
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


/*
 * Compares the entries read with XINFO STREAM; n is the number of entries after
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
        waited = f->sent + f->block;
        inv->synced = (f->blocking && n == 0
                       && waited <= ngx_http_weir_ms())
                      ? waited : f->sent;
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

    f->caught_up = (cmp == 0);
    f->complained = 0;

    return NGX_OK;
}


/* NULL: another worker has the role, or the table has changed since. */

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


/* Reads XINFO STREAM; a missing stream counts as an empty one. */

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


/*
 * Logs once, until it can be followed again, that the stream cannot be
 * followed.  Returns NGX_ERROR.
 */

static ngx_int_t
ngx_http_weir_cache_follow_complain(ngx_http_weir_cache_follower_t *f,
    char *what, ngx_http_weir_redis_reply_t *reply)
{
    ngx_str_t  text;

    if (reply->type == NGX_HTTP_WEIR_REDIS_ERROR) {
        /* whether Redis accepts messages is unknown */
        f->zone->invalidation->refusing = NGX_HTTP_WEIR_CACHE_REFUSES_ALL;
    }

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
                  "weir_cache_zone \"%V\" cannot read invalidations: Redis"
                  " answered %s with \"%V\"; responses with tags are not"
                  " served from the cache",
                  &f->zone->name, what, &text);

    return NGX_ERROR;
}
