/*
 * The body of a request: spans of all rings, with the head and the tail of the
 * format, compressed if configured.
 *
 * Spans are copied out of the rings and freed there when their end is known, so
 * an exporter that is killed loses none.  The next one may send them a second
 * time.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "export/ngx_http_weir_export_private.h"
#include "http/ngx_http_weir_assert.h"

#include <zlib.h>


/* The fastest: a batch is compressed while requests of its worker wait. */
#define NGX_HTTP_WEIR_EXPORT_GZIP_LEVEL  1

/* zlib's windowBits for a gzip header. */
#define NGX_HTTP_WEIR_EXPORT_GZIP_BITS   (15 + 16)


static u_char *ngx_http_weir_export_batch_collect(ngx_http_weir_exporter_t *ex,
    u_char *p);
static void ngx_http_weir_export_batch_ring(ngx_http_weir_exporter_t *ex,
    ngx_uint_t i, weir_ring_copy_t *copy);
static void ngx_http_weir_export_batch_corrupt(ngx_http_weir_exporter_t *ex,
    weir_ring_t *ring);


ngx_int_t
ngx_http_weir_export_batch_make(ngx_http_weir_exporter_t *ex)
{
    u_char                        *spans, *last;
    size_t                         cursors, head, len, size;
    uint64_t                       bytes;
    weir_str_t                     tail;
    ngx_uint_t                     half;
    ngx_http_weir_export_batch_t  *batch;

    batch = &ex->batch;

    ngx_http_weir_assert(batch->buf == NULL);

    if (ngx_http_weir_export_zone_queued(ex->sh, &bytes, &half) == 0) {
        return NGX_DECLINED;
    }

    tail = weir_span_tail(ex->format);
    cursors = ex->sh->slots * sizeof(weir_ring_cursor_t);

    /* longer lengths have longer encodings */
    head = weir_span_head(ex->format, &ex->resource,
                          4 * NGX_HTTP_WEIR_EXPORT_BATCH_MAX, NULL, 0);

    size = cursors + head + NGX_HTTP_WEIR_EXPORT_BATCH_MAX
           + ex->batch_spans * weir_span_separator(ex->format).len + tail.len;

    batch->buf = ngx_alloc(size, ngx_cycle->log);
    if (batch->buf == NULL) {
        return NGX_ERROR;
    }

    batch->cursors = (weir_ring_cursor_t *) batch->buf;
    ngx_memzero(batch->cursors, cursors);

    spans = batch->buf + cursors + head;
    last = ngx_http_weir_export_batch_collect(ex, spans);

    if (batch->spans == 0) {
        ngx_http_weir_export_batch_free(ex);
        return NGX_DECLINED;
    }

    batch->body = spans - head;
    len = weir_span_head(ex->format, &ex->resource, last - spans,
                         (char *) batch->body, head);
    ngx_http_weir_assert(len <= head);

    ngx_memmove(spans - len, batch->body, len);
    batch->body = spans - len;

    last = ngx_cpymem(last, tail.data, tail.len);
    batch->len = last - batch->body;

    ngx_http_weir_assert(last <= batch->buf + size);

    if (ex->gzip) {
        batch->zipped = ngx_http_weir_export_batch_gzip(batch->body,
                                                        &batch->len);
        if (batch->zipped) {
            batch->body = batch->zipped;
        }
    }

    return NGX_OK;
}


/*
 * Copies spans to p; returns their end.  Each batch begins with another ring, so
 * a busy ring does not keep the others waiting.
 */

static u_char *
ngx_http_weir_export_batch_collect(ngx_http_weir_exporter_t *ex, u_char *p)
{
    ngx_uint_t        i, n;
    weir_ring_copy_t  copy;

    copy.p = (char *) p;
    copy.bytes = NGX_HTTP_WEIR_EXPORT_BATCH_MAX;
    copy.records = ex->batch_spans;
    copy.separator = weir_span_separator(ex->format);
    copy.separated = 0;

    n = ex->sh->slots;

    for (i = 0; i < n && copy.records; i++) {
        ngx_http_weir_export_batch_ring(ex, (ex->turn + i) % n, &copy);
    }

    ex->turn = (ex->turn + 1) % n;
    ex->batch.spans = ex->batch_spans - copy.records;

    return (u_char *) copy.p;
}


static void
ngx_http_weir_export_batch_ring(ngx_http_weir_exporter_t *ex, ngx_uint_t i,
    weir_ring_copy_t *copy)
{
    weir_ring_t          ring;
    weir_ring_copy_t     before;
    weir_ring_cursor_t  *cursor;

    before = *copy;
    cursor = &ex->batch.cursors[i];
    ring = ngx_http_weir_export_zone_ring(ex->sh, i);

    if (!weir_ring_begin(&ring, cursor)
        || weir_ring_copy(&ring, cursor, NGX_HTTP_WEIR_EXPORT_SPAN_MAX, copy)
           == WEIR_RING_CORRUPT)
    {
        /* nor are the records before it trusted */
        ngx_http_weir_export_batch_corrupt(ex, &ring);
        ngx_memzero(cursor, sizeof(weir_ring_cursor_t));
        *copy = before;
    }
}


static void
ngx_http_weir_export_batch_corrupt(ngx_http_weir_exporter_t *ex,
    weir_ring_t *ring)
{
    uint32_t  n;

    if (!weir_ring_reset(ring, &n)) {
        return;
    }

    ngx_http_weir_export_add(&ex->sh->dropped_corrupt, n);

    ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                  "weir_exporter found a corrupt ring in shared memory; its %uD"
                  " spans are dropped", n);
}


u_char *
ngx_http_weir_export_batch_gzip(u_char *body, size_t *len)
{
    int        rc;
    size_t     size;
    u_char    *zipped;
    z_stream   z;

    ngx_memzero(&z, sizeof(z_stream));

    if (deflateInit2(&z, NGX_HTTP_WEIR_EXPORT_GZIP_LEVEL, Z_DEFLATED,
                     NGX_HTTP_WEIR_EXPORT_GZIP_BITS, MAX_MEM_LEVEL,
                     Z_DEFAULT_STRATEGY)
        != Z_OK)
    {
        return NULL;
    }

    size = deflateBound(&z, *len);
    zipped = ngx_alloc(size, ngx_cycle->log);

    if (zipped) {
        z.next_in = body;
        z.avail_in = *len;
        z.next_out = zipped;
        z.avail_out = size;

        rc = deflate(&z, Z_FINISH);
        ngx_http_weir_assert(rc == Z_STREAM_END);

        if (rc == Z_STREAM_END) {
            *len = z.total_out;

        } else {
            ngx_free(zipped);
            zipped = NULL;
        }
    }

    (void) deflateEnd(&z);

    return zipped;
}


void
ngx_http_weir_export_batch_commit(ngx_http_weir_exporter_t *ex, uint32_t sent,
    _Atomic uint64_t *dropped)
{
    uint32_t             n, total;
    ngx_uint_t           i;
    weir_ring_t          ring;
    weir_ring_cursor_t  *cursor;

    ngx_http_weir_assert(ex->batch.buf != NULL);

    total = 0;

    for (i = 0; i < ex->sh->slots; i++) {
        cursor = &ex->batch.cursors[i];

        if (cursor->next == cursor->start) {
            continue;
        }

        ring = ngx_http_weir_export_zone_ring(ex->sh, i);

        if (weir_ring_commit(&ring, cursor, &n)) {
            total += n;
        }
    }

    sent = ngx_min(sent, total);
    ngx_http_weir_export_add(&ex->sh->sent, sent);

    if (total > sent) {
        ngx_http_weir_export_add(dropped, total - sent);
    }

    ngx_http_weir_export_batch_free(ex);
}


void
ngx_http_weir_export_batch_free(ngx_http_weir_exporter_t *ex)
{
    ngx_http_weir_export_batch_t  *batch;

    batch = &ex->batch;

    if (batch->buf) {
        ngx_free(batch->buf);
        batch->buf = NULL;
    }

    if (batch->zipped) {
        ngx_free(batch->zipped);
        batch->zipped = NULL;
    }
}
