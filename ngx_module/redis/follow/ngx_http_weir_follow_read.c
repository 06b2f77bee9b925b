/*
 * What a cycle has read: the messages, and XINFO STREAM.  See
 * ngx_http_weir_follow.h.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "http/ngx_http_weir_assert.h"
#include "http/ngx_http_weir_clock.h"
#include "redis/follow/ngx_http_weir_follow.h"
#include "redis/follow/ngx_http_weir_follow_private.h"


static ngx_int_t ngx_http_weir_follow_read_info(
    ngx_http_weir_follow_stream_t *s);
static ngx_int_t ngx_http_weir_follow_read_apart(
    ngx_http_weir_follow_stream_t *s);
static ngx_int_t ngx_http_weir_follow_read_message(
    ngx_http_weir_follow_stream_t *s, ngx_http_weir_redis_reply_t *entry);


/* Anything but an array of pairs of a key and its messages is an error. */

static ngx_uint_t
ngx_http_weir_follow_is_read(ngx_http_weir_redis_reply_t *reply)
{
    ngx_uint_t                    i;
    ngx_http_weir_redis_reply_t  *stream;

    if (reply->type == NGX_HTTP_WEIR_REDIS_NIL) {
        return 1;
    }

    if (reply->type != NGX_HTTP_WEIR_REDIS_ARRAY) {
        return 0;
    }

    for (i = 0; i < reply->nelements; i++) {
        stream = reply->elements[i];

        if (stream->type != NGX_HTTP_WEIR_REDIS_ARRAY
            || stream->nelements != 2
            || stream->elements[1]->type != NGX_HTTP_WEIR_REDIS_ARRAY)
        {
            return 0;
        }
    }

    return 1;
}


ngx_int_t
ngx_http_weir_follow_read_shared(ngx_http_weir_follower_t *f)
{
    uint64_t                        until;
    ngx_str_t                      *key;
    ngx_uint_t                      i;
    ngx_queue_t                    *q;
    ngx_http_weir_redis_reply_t    *reply;
    ngx_http_weir_follow_stream_t  *s;

    reply = f->reply;

    ngx_http_weir_assert(reply != NULL);

    if (!ngx_http_weir_follow_is_read(reply)) {

        if (f->nshared > 1) {
            return NGX_DECLINED;
        }

        /* it is about that stream */
        reply = NULL;
    }

    until = f->sent;

    if (reply && reply->type == NGX_HTTP_WEIR_REDIS_NIL && f->wait
        && f->sent + f->wait <= ngx_http_weir_ms())
    {
        /* nothing was added while it waited */
        until = f->sent + f->wait;
    }

    for (q = ngx_queue_head(&f->streams);
         q != ngx_queue_sentinel(&f->streams);
         q = ngx_queue_next(q))
    {
        s = ngx_queue_data(q, ngx_http_weir_follow_stream_t, queue);

        if (!s->asked || !s->shared) {
            continue;
        }

        if (reply == NULL) {
            s->read = f->reply;
            continue;
        }

        s->until = until;

        for (i = 0; i < reply->nelements; i++) {
            key = &reply->elements[i]->elements[0]->str;

            if (key->len == s->name.len
                && ngx_memcmp(key->data, s->name.data, key->len) == 0)
            {
                s->entries = reply->elements[i]->elements[1];
                s->n = s->entries->nelements;
                break;
            }
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_weir_follow_read(ngx_http_weir_follow_stream_t *s)
{
    if (ngx_http_weir_follow_read_info(s) != NGX_OK) {
        return NGX_ERROR;
    }

    return s->read ? ngx_http_weir_follow_read_apart(s) : NGX_OK;
}


static ngx_int_t
ngx_http_weir_follow_read_apart(ngx_http_weir_follow_stream_t *s)
{
    if (!ngx_http_weir_follow_is_read(s->read) || s->read->nelements > 1) {
        return ngx_http_weir_follow_complain(s, "XREAD", s->read);
    }

    if (s->read->nelements) {
        s->entries = s->read->elements[0]->elements[1];
        s->n = s->entries->nelements;
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_http_weir_follow_read_id(ngx_str_t *text, weir_position_t *id)
{
    weir_str_t  s;

    s.data = (char *) text->data;
    s.len = text->len;

    return weir_position_parse(s, id);
}


static ngx_int_t
ngx_http_weir_follow_read_info(ngx_http_weir_follow_stream_t *s)
{
    ngx_uint_t                    i, found;
    ngx_str_t                    *name;
    ngx_http_weir_redis_reply_t  *reply, *value;
    ngx_http_weir_follow_info_t  *info;

    info = &s->info;
    reply = s->xinfo;

    ngx_http_weir_assert(reply != NULL);

    ngx_memzero(info, sizeof(ngx_http_weir_follow_info_t));

    if (reply->type == NGX_HTTP_WEIR_REDIS_ERROR
        && ngx_strnstr(reply->str.data, "no such key", reply->str.len))
    {
        return NGX_OK;
    }

    if (reply->type != NGX_HTTP_WEIR_REDIS_ARRAY) {
        return ngx_http_weir_follow_complain(s, "XINFO STREAM", reply);
    }

    found = 0;

#define is(text)  (name->len == sizeof(text) - 1                              \
                   && ngx_memcmp(name->data, text, sizeof(text) - 1) == 0)

    for (i = 0; i + 1 < reply->nelements; i += 2) {
        name = &reply->elements[i]->str;
        value = reply->elements[i + 1];

        if (is("entries-added")) {
            info->added = value->integer;
            found++;

        } else if (is("length")) {
            info->length = value->integer;
            found++;

        } else if (is("last-generated-id")) {
            found += ngx_http_weir_follow_read_id(&value->str, &info->last);

        } else if (is("max-deleted-entry-id")) {
            (void) ngx_http_weir_follow_read_id(&value->str, &info->deleted);

        } else if (is("first-entry")
                   && value->type == NGX_HTTP_WEIR_REDIS_ARRAY
                   && value->nelements == 2)
        {
            (void) ngx_http_weir_follow_read_id(&value->elements[0]->str,
                                                &info->first);
        }
    }

#undef is

    if (found != 3 || info->length > info->added) {
        return ngx_http_weir_follow_complain(s, "XINFO STREAM (Redis 7 is"
                                             " needed)", reply);
    }

    return NGX_OK;
}


weir_position_t
ngx_http_weir_follow_floor(const ngx_http_weir_follow_info_t *info)
{
    if (info->added <= info->length) {
        return info->deleted;
    }

    if (info->length == 0) {
        return info->last;
    }

    return weir_position_cmp(info->deleted, info->first) < 0 ? info->first
                                                             : info->deleted;
}


ngx_int_t
ngx_http_weir_follow_each(ngx_http_weir_follow_stream_t *s)
{
    ngx_int_t   rc;
    ngx_uint_t  i;

    for (i = 0; i < s->n; i++) {
        rc = ngx_http_weir_follow_read_message(s, s->entries->elements[i]);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_follow_read_message(ngx_http_weir_follow_stream_t *s,
    ngx_http_weir_redis_reply_t *entry)
{
    weir_str_t                   *texts;
    ngx_uint_t                    i, n;
    weir_position_t               position;
    ngx_http_weir_redis_reply_t  *values;

    if (entry->type != NGX_HTTP_WEIR_REDIS_ARRAY || entry->nelements != 2) {
        return ngx_http_weir_follow_complain(s, "XREAD", entry);
    }

    if (!ngx_http_weir_follow_read_id(&entry->elements[0]->str, &position)) {
        return ngx_http_weir_follow_complain(s, "XREAD", entry->elements[0]);
    }

    values = entry->elements[1];
    n = values->nelements;

    texts = ngx_palloc(s->pool, (n + 1) * sizeof(weir_str_t));
    if (texts == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        texts[i].data = (char *) values->elements[i]->str.data;
        texts[i].len = values->elements[i]->str.len;
    }

    return s->owner->message(s, position, texts, n);
}


ngx_int_t
ngx_http_weir_follow_complain(ngx_http_weir_follow_stream_t *s, char *what,
    ngx_http_weir_redis_reply_t *reply)
{
    ngx_str_t  text;

    ngx_str_set(&text, "an unexpected reply");

    if (reply->str.len) {
        text.data = reply->str.data;
        text.len = ngx_min(reply->str.len, 256);
    }

    s->refused = (reply->type == NGX_HTTP_WEIR_REDIS_ERROR);

    if (!s->complained) {
        s->complained = 1;
        s->owner->complain(s, what, &text);
    }

    return NGX_ERROR;
}
