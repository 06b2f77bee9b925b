/*
 * Evaluation of what the follower has read; see
 * ngx_http_weir_jwt_revocation_follow.c.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "auth/revoked/ngx_http_weir_jwt_revocation.h"
#include "auth/revoked/ngx_http_weir_jwt_revocation_private.h"
#include "auth/revoked/revoked_message.h"
#include "http/ngx_http_weir_clock.h"


#define NGX_HTTP_WEIR_JWT_REVOCATION_WARN  60000    /* ms between warnings */


/* The fields of XINFO STREAM that are used. */
typedef struct {
    uint64_t                        added;
    uint64_t                        length;
    ngx_http_weir_jwt_revoked_id_t  last;
    ngx_http_weir_jwt_revoked_id_t  first;    /* 0-0 if the stream is empty */
    ngx_http_weir_jwt_revoked_id_t  deleted;  /* greatest ID removed by XDEL */
} ngx_http_weir_jwt_revoked_stream_t;


static ngx_int_t ngx_http_weir_jwt_revocation_read_stream(
    ngx_http_weir_jwt_follower_t *f,
    ngx_http_weir_jwt_revoked_stream_t *stream);
static ngx_int_t ngx_http_weir_jwt_revocation_read_id(ngx_str_t *text,
    ngx_http_weir_jwt_revoked_id_t *id);
static ngx_int_t ngx_http_weir_jwt_revocation_compare_id(
    ngx_http_weir_jwt_revoked_id_t *a, ngx_http_weir_jwt_revoked_id_t *b);
static void ngx_http_weir_jwt_revocation_find_gap(
    ngx_http_weir_jwt_follower_t *f,
    ngx_http_weir_jwt_revoked_stream_t *stream, int64_t trimmed);
static ngx_int_t ngx_http_weir_jwt_revocation_apply(
    ngx_http_weir_jwt_follower_t *f);
static ngx_int_t ngx_http_weir_jwt_revocation_entry(
    ngx_http_weir_jwt_follower_t *f, ngx_http_weir_redis_reply_t *entry);
static void ngx_http_weir_jwt_revocation_check_issuer(
    ngx_http_weir_jwt_follower_t *f, weir_revoked_message_t *message,
    ngx_str_t *id);
static void ngx_http_weir_jwt_revocation_add(ngx_http_weir_jwt_follower_t *f,
    weir_revoked_message_t *message, ngx_http_weir_jwt_revoked_id_t *id);
static ngx_int_t ngx_http_weir_jwt_revocation_complain(
    ngx_http_weir_jwt_follower_t *f, char *what,
    ngx_http_weir_redis_reply_t *reply);


ngx_int_t
ngx_http_weir_jwt_revocation_was_read(ngx_http_weir_jwt_follower_t *f)
{
    int64_t                              trimmed;
    ngx_int_t                            compared;
    ngx_http_weir_redis_reply_t         *value;
    ngx_http_weir_jwt_revoked_stream_t   stream;

    value = f->replies[NGX_HTTP_WEIR_JWT_FOLLOW_TRIMMED];
    trimmed = 0;

    if (value->type == NGX_HTTP_WEIR_REDIS_STRING) {
        /* what is no number counts as one that is lost */
        trimmed = ngx_max(ngx_atoof(value->str.data, value->str.len), 0);

    } else if (value->type != NGX_HTTP_WEIR_REDIS_NIL) {
        return ngx_http_weir_jwt_revocation_complain(f, "GET "
                                   NGX_HTTP_WEIR_JWT_REVOKED_TRIMMED, value);
    }

    if (ngx_http_weir_jwt_revocation_read_stream(f, &stream) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_weir_jwt_revocation_find_gap(f, &stream, trimmed);

    if (ngx_http_weir_jwt_revocation_apply(f) != NGX_OK) {
        return NGX_ERROR;
    }

    compared = ngx_http_weir_jwt_revocation_compare_id(&stream.last, &f->from);

    if (compared < 0) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "weir_jwt_revocation: the stream \"%s\" was deleted, or"
                      " Redis has lost its end; what was revoked stays so here,"
                      " and the stream is read from its beginning",
                      NGX_HTTP_WEIR_JWT_REVOKED_STREAM);

        ngx_shmtx_lock(&f->revocation->shpool->mutex);
        f->sh->position = stream.last;
        ngx_shmtx_unlock(&f->revocation->shpool->mutex);

        return NGX_ERROR;
    }

    f->caught_up = (compared == 0);
    f->complained = 0;

    if (f->caught_up) {
        f->sh->synced = f->sent;
    }

    return NGX_OK;
}


/* A missing stream counts as an empty one. */

static ngx_int_t
ngx_http_weir_jwt_revocation_read_stream(ngx_http_weir_jwt_follower_t *f,
    ngx_http_weir_jwt_revoked_stream_t *stream)
{
    ngx_uint_t                    i, found;
    ngx_str_t                    *name;
    ngx_http_weir_redis_reply_t  *reply, *value;

    ngx_memzero(stream, sizeof(ngx_http_weir_jwt_revoked_stream_t));

    reply = f->replies[NGX_HTTP_WEIR_JWT_FOLLOW_STREAM];

    if (reply->type == NGX_HTTP_WEIR_REDIS_ERROR
        && ngx_strnstr(reply->str.data, "no such key", reply->str.len))
    {
        return NGX_OK;
    }

    if (reply->type != NGX_HTTP_WEIR_REDIS_ARRAY) {
        return ngx_http_weir_jwt_revocation_complain(f, "XINFO STREAM", reply);
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

        } else if (is("length")) {
            stream->length = value->integer;
            found++;

        } else if (is("last-generated-id")) {
            found += ngx_http_weir_jwt_revocation_read_id(&value->str,
                                                          &stream->last)
                     == NGX_OK;

        } else if (is("max-deleted-entry-id")) {
            (void) ngx_http_weir_jwt_revocation_read_id(&value->str,
                                                        &stream->deleted);

        } else if (is("first-entry")
                   && value->type == NGX_HTTP_WEIR_REDIS_ARRAY
                   && value->nelements == 2)
        {
            (void) ngx_http_weir_jwt_revocation_read_id(
                                  &value->elements[0]->str, &stream->first);
        }
    }

#undef is

    if (found != 3 || stream->length > stream->added) {
        return ngx_http_weir_jwt_revocation_complain(f, "XINFO STREAM"
                                                     " (Redis 7 is needed)",
                                                     reply);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_jwt_revocation_read_id(ngx_str_t *text,
    ngx_http_weir_jwt_revoked_id_t *id)
{
    off_t    ms, seq;
    u_char  *dash, *last;

    last = text->data + text->len;
    dash = ngx_strlchr(text->data, last, '-');

    if (dash == NULL) {
        return NGX_ERROR;
    }

    ms = ngx_atoof(text->data, dash - text->data);
    seq = ngx_atoof(dash + 1, last - (dash + 1));

    if (ms == NGX_ERROR || seq == NGX_ERROR) {
        return NGX_ERROR;
    }

    id->ms = ms;
    id->seq = seq;

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_jwt_revocation_compare_id(ngx_http_weir_jwt_revoked_id_t *a,
    ngx_http_weir_jwt_revoked_id_t *b)
{
    if (a->ms != b->ms) {
        return a->ms < b->ms ? -1 : 1;
    }

    return a->seq == b->seq ? 0 : a->seq < b->seq ? -1 : 1;
}


/*
 * More entries are missing than edges have trimmed, and the last one that can be
 * missing was never read here.
 */

static void
ngx_http_weir_jwt_revocation_find_gap(ngx_http_weir_jwt_follower_t *f,
    ngx_http_weir_jwt_revoked_stream_t *stream, int64_t trimmed)
{
    int64_t                         missing;
    ngx_uint_t                      raised;
    weir_revoked_t                 *table;
    ngx_http_weir_jwt_revoked_id_t  id;

    missing = (int64_t) (stream->added - stream->length);

    if (trimmed <= missing) {
        missing -= trimmed;
    }

    /* else the count is that of a stream before this one, which was deleted */

    if (missing <= 0) {
        return;
    }

    if (stream->length == 0) {
        id = stream->last;

    } else {
        id = ngx_http_weir_jwt_revocation_compare_id(&stream->deleted,
                                                     &stream->first) < 0
             ? stream->first : stream->deleted;
    }

    table = f->sh->table;
    raised = 0;

    ngx_shmtx_lock(&f->revocation->shpool->mutex);

    if (ngx_http_weir_jwt_revocation_compare_id(&f->sh->position, &id) < 0) {
        weir_revoked_raise(table, id.ms / 1000,
                           f->revocation->keep
                           + NGX_HTTP_WEIR_JWT_REVOKED_LEEWAY);
        f->sh->position = id;
        raised = 1;
    }

    ngx_shmtx_unlock(&f->revocation->shpool->mutex);

    if (!raised) {
        return;
    }

    (void) ngx_atomic_fetch_add(&f->sh->gaps, 1);

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "weir_jwt_revocation: %L entries were removed from the stream"
                  " \"%s\" before they were read; tokens that were issued up to"
                  " then are refused", missing,
                  NGX_HTTP_WEIR_JWT_REVOKED_STREAM);
}


static ngx_int_t
ngx_http_weir_jwt_revocation_apply(ngx_http_weir_jwt_follower_t *f)
{
    ngx_uint_t                    i;
    ngx_http_weir_redis_reply_t  *reply, *entries;

    reply = f->replies[NGX_HTTP_WEIR_JWT_FOLLOW_READ];

    if (reply->type == NGX_HTTP_WEIR_REDIS_NIL) {
        return NGX_OK;
    }

    if (reply->type != NGX_HTTP_WEIR_REDIS_ARRAY || reply->nelements != 1
        || reply->elements[0]->type != NGX_HTTP_WEIR_REDIS_ARRAY
        || reply->elements[0]->nelements != 2
        || reply->elements[0]->elements[1]->type != NGX_HTTP_WEIR_REDIS_ARRAY)
    {
        return ngx_http_weir_jwt_revocation_complain(f, "XREAD", reply);
    }

    entries = reply->elements[0]->elements[1];

    for (i = 0; i < entries->nelements; i++) {
        if (ngx_http_weir_jwt_revocation_entry(f, entries->elements[i])
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_jwt_revocation_entry(ngx_http_weir_jwt_follower_t *f,
    ngx_http_weir_redis_reply_t *entry)
{
    weir_str_t                      *texts;
    const char                      *wrong;
    ngx_uint_t                       i, n;
    weir_revoked_message_t           message;
    ngx_http_weir_redis_reply_t     *values;
    ngx_http_weir_jwt_revoked_id_t   id;

    if (entry->type != NGX_HTTP_WEIR_REDIS_ARRAY || entry->nelements != 2
        || ngx_http_weir_jwt_revocation_read_id(&entry->elements[0]->str, &id)
           != NGX_OK)
    {
        return ngx_http_weir_jwt_revocation_complain(f, "XREAD", entry);
    }

    values = entry->elements[1];
    n = values->nelements;

    texts = ngx_palloc(f->pool, (n + 1) * sizeof(weir_str_t));
    if (texts == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        texts[i].data = (char *) values->elements[i]->str.data;
        texts[i].len = values->elements[i]->str.len;
    }

    wrong = weir_revoked_message_read(texts, n, &message);

    if (wrong == NULL) {
        ngx_http_weir_jwt_revocation_check_issuer(f, &message,
                                                  &entry->elements[0]->str);
        ngx_http_weir_jwt_revocation_add(f, &message, &id);

    } else {
        (void) ngx_atomic_fetch_add(&f->sh->malformed, 1);

        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "weir_jwt_revocation: the entry \"%V\" of the stream"
                      " \"%s\" revokes nothing: %s", &entry->elements[0]->str,
                      NGX_HTTP_WEIR_JWT_REVOKED_STREAM, wrong);
    }

    f->from = id;

    ngx_shmtx_lock(&f->revocation->shpool->mutex);

    if (ngx_http_weir_jwt_revocation_compare_id(&f->sh->position, &id) < 0) {
        f->sh->position = id;
    }

    ngx_shmtx_unlock(&f->revocation->shpool->mutex);

    return NGX_OK;
}


/*
 * An issuer that is not written as in its tokens, without the "/" at its end
 * say, revokes nothing.  It may also be one that only other edges know, whose
 * many entries must not fill the log.
 */

static void
ngx_http_weir_jwt_revocation_check_issuer(ngx_http_weir_jwt_follower_t *f,
    weir_revoked_message_t *message, ngx_str_t *id)
{
    uint64_t    now;
    ngx_str_t   issuer;
    ngx_uint_t  i;

    for (i = 0; i < f->revocation->nissuers; i++) {
        if (weir_str_eq(f->revocation->issuers[i], message->issuer)) {
            return;
        }
    }

    now = ngx_http_weir_ms();

    if (f->warned && now - f->warned < NGX_HTTP_WEIR_JWT_REVOCATION_WARN) {
        return;
    }

    f->warned = now;

    issuer.data = (u_char *) message->issuer.data;
    issuer.len = ngx_min(message->issuer.len, 256);

    ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                  "weir_jwt_revocation: the entry \"%V\" of the stream \"%s\""
                  " names the issuer \"%V\", which no weir_jwt_issuer has: it"
                  " revokes nothing here", id, NGX_HTTP_WEIR_JWT_REVOKED_STREAM,
                  &issuer);
}


/*
 * A time that is not given is that of the entry; a later one is not believed,
 * beyond what clocks may differ.
 */

static void
ngx_http_weir_jwt_revocation_add(ngx_http_weir_jwt_follower_t *f,
    weir_revoked_message_t *message, ngx_http_weir_jwt_revoked_id_t *id)
{
    time_t           now, keep;
    uint8_t          digest[WEIR_REVOKED_DIGEST];
    int64_t          before, until, added;
    ngx_uint_t       room, covered;
    weir_revoked_t  *table;

    table = f->sh->table;
    now = ngx_time();
    keep = f->revocation->keep;
    added = id->ms / 1000;

    if (message->kind == WEIR_REVOKED_ID) {
        before = INT64_MAX;
        until = (message->time < 0 ? added + keep : message->time)
                + NGX_HTTP_WEIR_JWT_REVOKED_LEEWAY;

    } else {
        before = message->time < 0
                 ? added
                 : ngx_min(message->time,
                           added + NGX_HTTP_WEIR_JWT_REVOKED_LEEWAY);
        until = before + keep + NGX_HTTP_WEIR_JWT_REVOKED_LEEWAY;
    }

    if (until < now) {
        /* no such token is accepted any more */
        return;
    }

    weir_revoked_digest(table, message->kind, message->issuer, message->name,
                        digest);

    ngx_shmtx_lock(&f->revocation->shpool->mutex);

    covered = weir_revoked_covers(table, message->kind == WEIR_REVOKED_ID
                                         ? added : before, now);
    room = covered
           || weir_revoked_add(table, digest, before, until, now,
                               keep + NGX_HTTP_WEIR_JWT_REVOKED_LEEWAY);

    ngx_shmtx_unlock(&f->revocation->shpool->mutex);

    if (covered) {
        /* all such tokens are below the floor */
        return;
    }

    (void) ngx_atomic_fetch_add(&f->sh->applied, 1);

    if (!room) {
        (void) ngx_atomic_fetch_add(&f->sh->full, 1);

        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                      "weir_jwt_revocation: there is no room for another"
                      " revocation beside %uD; all tokens that were issued"
                      " up to now are refused; make \"size\" larger",
                      table->max);
    }
}


/* Logs once, until it can be followed again, that the stream cannot be read. */

static ngx_int_t
ngx_http_weir_jwt_revocation_complain(ngx_http_weir_jwt_follower_t *f,
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
                  "weir_jwt_revocation cannot read which tokens are revoked:"
                  " Redis answered %s with \"%V\"", what, &text);

    return NGX_ERROR;
}
