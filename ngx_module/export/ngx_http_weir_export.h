/*
 * Export of finished spans.  Workers append encoded spans to rings in shared
 * memory, one ring for each worker; one worker of the machine drains all rings
 * and sends batches to the collector.  So a worker that is killed loses no
 * finished span.
 *
 * Nothing waits for the collector: a span for which its ring has no room is
 * dropped and counted.
 */

#ifndef _NGX_HTTP_WEIR_EXPORT_H_INCLUDED_
#define _NGX_HTTP_WEIR_EXPORT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "common/metrics/otlp/otlp.h"
#include "common/trace/span.h"


/*
 * The longest encoded span, in bytes; longer ones are dropped and counted.  No
 * client may choose to be dropped: the limits of attributes in trace/ are of
 * what was received, of which a byte takes up to 3 in a URL (U+FFFD) and up to
 * 6 in other texts (JSON).
 */
#define NGX_HTTP_WEIR_EXPORT_SPAN_MAX  32768


typedef struct ngx_http_weir_exporter_s  ngx_http_weir_exporter_t;


/* Counted since the zone was created; spans ended = sent + dropped + queued. */
typedef struct {
    uint64_t    ended;
    uint64_t    sent;                      /* accepted by the collector */
    uint64_t    dropped_full;              /* a ring had no room, or the span
                                              was too long */
    uint64_t    dropped_refused;           /* by the collector */
    uint64_t    dropped_unsent;            /* given up after retries */
    uint64_t    dropped_corrupt;           /* in damaged shared memory */
    uint64_t    queued;                    /* in the rings now */
    uint64_t    queued_bytes;
    uint64_t    failures;                  /* requests to the collector that
                                              failed */
    uint64_t    ids_published;             /* of traces that were kept late */
    uint64_t    ids_dropped;

    /* points of metrics; others were not made */
    uint64_t    points_sent;               /* accepted by the collector */
    uint64_t    points_refused;            /* by the collector */
    uint64_t    points_unsent;             /* the collector was away */
} ngx_http_weir_export_counts_t;


/* Where metrics come from; functions of a part above this one. */
typedef struct {
    /* the position of the first point; NULL: there are no metrics */
    void       *(*begin)(void);

    /*
     * Adds some points, in less than a millisecond.  NGX_OK: there are no more;
     * NGX_AGAIN: there are; NGX_DECLINED: there are, and the request has no room
     * for them.
     */
    ngx_int_t   (*next)(void *position, weir_otlp_t *otlp);
} ngx_http_weir_export_source_t;

/* Of this process, which sends its metrics if it is the exporter. */
void ngx_http_weir_export_set_source(
    const ngx_http_weir_export_source_t *source);

/* True if the configuration that was read has metrics= in weir_exporter. */
ngx_uint_t ngx_http_weir_export_has_metrics(ngx_conf_t *cf);

/* The counts of this process' configuration. */
void ngx_http_weir_export_cycle_counts(ngx_http_weir_export_counts_t *counts);

/* True if the configuration has weir_exporter. */
ngx_uint_t ngx_http_weir_export_enabled(ngx_http_request_t *r);

/*
 * Appends a finished span to the ring of this worker.  NGX_OK, or NGX_DECLINED
 * if it was dropped, which is counted.  Takes no lock and never waits.
 */
ngx_int_t ngx_http_weir_export_span(ngx_http_request_t *r,
    const weir_span_t *span);

/*
 * The same for a span that the caller encodes, in protobuf: begin returns the place
 * for it, and the bytes of room; NULL: there is little room, or none, and nothing was
 * counted.  It ends with its length, or is given up without a call.
 */
char *ngx_http_weir_export_begin(ngx_http_weir_exporter_t *ex, size_t *room);
void ngx_http_weir_export_end(ngx_http_weir_exporter_t *ex, char *span,
    size_t len);

/* True if there is an exporter, which sends spans in protobuf. */
ngx_uint_t ngx_http_weir_export_has_frames(ngx_http_request_t *r);

/* The exporter of the configuration; NULL: none. */
ngx_http_weir_exporter_t *ngx_http_weir_export_exporter(ngx_http_request_t *r);
ngx_http_weir_exporter_t *ngx_http_weir_export_cycle_exporter(
    ngx_cycle_t *cycle);

/* The same as ngx_http_weir_export_span() where there is no request. */
ngx_int_t ngx_http_weir_export_span_to(ngx_http_weir_exporter_t *ex,
    const weir_span_t *span);

/* Counts ids of traces that were kept late (trace/). */
void ngx_http_weir_export_ids(ngx_http_weir_exporter_t *ex,
    ngx_uint_t published, ngx_uint_t dropped);

/* Reads the counts of all workers, without a lock. */
void ngx_http_weir_export_counts(ngx_http_request_t *r,
    ngx_http_weir_export_counts_t *counts);


#endif /* _NGX_HTTP_WEIR_EXPORT_H_INCLUDED_ */
