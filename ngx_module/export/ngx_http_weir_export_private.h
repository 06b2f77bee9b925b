/*
 * Shared by the files of weir_exporter; private to it.
 *
 *     module    the directive; the life of a process; finished spans
 *     conf      the URL
 *     parameter what follows it
 *     drain     when a batch is sent, and what becomes of it
 *     metrics   the same for metrics
 *     send      a request to the collector, by client/
 *     batch     the body of a request, made of the spans of all rings
 *     log       the collector's state in words
 *     zone      slots, rings and counts in shared memory
 *     ring      plain core
 *
 * Each file calls those below it only.
 */

#ifndef _NGX_HTTP_WEIR_EXPORT_PRIVATE_H_INCLUDED_
#define _NGX_HTTP_WEIR_EXPORT_PRIVATE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "client/ngx_http_weir_client.h"
#include "common/trace/partial.h"
#include "export/ngx_http_weir_export.h"
#include "export/ring.h"
#include "record/ngx_http_weir_record.h"


/* Limit of an answer, bytes with all its framing. */
#define NGX_HTTP_WEIR_EXPORT_ANSWER_MAX  65536

/* Limit of bytes of the spans in one request. */
#define NGX_HTTP_WEIR_EXPORT_BATCH_MAX   (1024 * 1024)

/* Slots of a zone at least: workers of two generations, and some to spare. */
#define NGX_HTTP_WEIR_EXPORT_SLOTS_MIN   8
#define NGX_HTTP_WEIR_EXPORT_SLOTS_MAX   1024

/* How often the exporter looks at the rings, and another worker at it; ms. */
#define NGX_HTTP_WEIR_EXPORT_TICK        100
#define NGX_HTTP_WEIR_EXPORT_WATCH       1000

/* An exporter that has not looked at the rings for so long is replaced; ms. */
#define NGX_HTTP_WEIR_EXPORT_STALE       15000

/* How long a process that ends goes on to send what is left; ms. */
#define NGX_HTTP_WEIR_EXPORT_LINGER      3000

/* Least interval between log lines about rings that are full, ms. */
#define NGX_HTTP_WEIR_EXPORT_OVERFLOW    60000

/* Limit of what a collector may ask for by Retry-After, s. */
#define NGX_HTTP_WEIR_EXPORT_RETRY_AFTER_MAX  3600

/* Delay before a batch is sent again: first and longest, ms. */
#define NGX_HTTP_WEIR_EXPORT_BACKOFF_MIN 1000
#define NGX_HTTP_WEIR_EXPORT_BACKOFF_MAX 30000


/* The collector as it was seen last; in shared memory. */
typedef enum {
    NGX_HTTP_WEIR_EXPORT_UP = 0,
    NGX_HTTP_WEIR_EXPORT_PARTIAL,      /* accepts a part of the spans */
    NGX_HTTP_WEIR_EXPORT_REFUSING,     /* refuses requests */
    NGX_HTTP_WEIR_EXPORT_AWAY          /* requests fail, and are sent again */
} ngx_http_weir_export_state_e;


/* A process' place in the zone. */
typedef struct {
    /* taken by compare-and-swap, freed by the owner; 0: free */
    _Alignas(64) _Atomic uint64_t   pid;
    _Atomic uint64_t                leaving;       /* bool: the owner ends */

    /* written by the owner; they go on to count with the next one */
    _Atomic uint64_t                ended;
    _Atomic uint64_t                dropped_full;

    weir_ring_words_t               words;
} ngx_http_weir_export_slot_t;


/* The counts are of all processes, since the zone was created. */
typedef struct {
    uint64_t                        layout;        /* first member */
    uint32_t                        slots;
    uint32_t                        units;         /* of each ring */
    char                           *rings;         /* behind the slots */

    _Atomic uint64_t                exporter;      /* pid; 0: none */
    _Atomic uint64_t                beat;          /* ms, monotonic: its last
                                                      look at the rings */

    /* written by the exporter */
    _Atomic uint64_t                sent;
    _Atomic uint64_t                dropped_refused;
    _Atomic uint64_t                dropped_unsent;
    _Atomic uint64_t                dropped_corrupt;
    _Atomic uint64_t                failures;
    _Atomic uint64_t                points_sent;
    _Atomic uint64_t                points_refused;
    _Atomic uint64_t                points_unsent;
    _Atomic uint64_t                metrics_due;   /* ms, monotonic */
    _Atomic uint64_t                metrics_failing;  /* bool: logged */
    _Atomic uint64_t                state;         /* export_state_e */
    _Atomic uint64_t                dropped_before;  /* when the state began */
    _Atomic uint64_t                overflows;     /* dropped_full of all slots
                                                      as of the last log line */
    _Atomic uint64_t                overflow_logged;  /* ms, monotonic */

    /* by any process without a slot */
    _Atomic uint64_t                unslotted;     /* ended, and dropped */

    /* ids of traces that were kept late; by any process */
    _Atomic uint64_t                ids_published;
    _Atomic uint64_t                ids_dropped;

    ngx_http_weir_export_slot_t     slot[1];
} ngx_http_weir_export_sh_t;


/* The spans of one request, while it is under way. */
typedef struct {
    u_char                         *buf;           /* malloc'ed; NULL: none */
    weir_ring_cursor_t             *cursors;       /* one for each slot */
    u_char                         *body;          /* in buf or zipped */
    size_t                          len;
    u_char                         *zipped;        /* malloc'ed; NULL: none */
    uint32_t                        spans;
} ngx_http_weir_export_batch_t;


/* The metrics of one interval are sent in one request or more. */
typedef struct {
    void                           *position;      /* of the source; NULL:
                                                      nothing is under way */
    u_char                         *buf;           /* malloc'ed; NULL: none */
    u_char                         *zipped;        /* malloc'ed; NULL: none */
    weir_otlp_t                     otlp;
    ngx_http_weir_client_request_t  request;
    ngx_event_t                     timer;         /* for the next points */
    uint64_t                        since;         /* Unix time, ns: the last
                                                      interval */
    unsigned                        complete:1;    /* the request is */
    unsigned                        last:1;        /* it is the last one */
    unsigned                        sending:1;
    unsigned                        looked:1;      /* at when it is due */
} ngx_http_weir_export_metrics_t;


struct ngx_http_weir_exporter_s {
    /* configuration */

    weir_span_format_t              format;
    ngx_http_weir_client_server_t   server;
    ngx_str_t                       path;
    ngx_str_t                       head;          /* of each request, without
                                                      its last lines */
    ngx_msec_t                      metrics_interval;  /* 0: off */
    ngx_str_t                       metrics_path;
    ngx_str_t                       metrics_head;
    ngx_str_t                       headers;       /* lines of header= */
    ngx_array_t                     attributes;    /* weir_attribute_t */
    weir_span_resource_t                 resource;
    ngx_msec_t                      interval;
    ngx_msec_t                      retry;
    ngx_uint_t                      batch_spans;
    size_t                          buffer;        /* of each ring, bytes */
    ngx_uint_t                      gzip;          /* bool */
    ngx_shm_zone_t                 *zone;
    uint32_t                        slots;

    /* this process; see module */

    ngx_http_weir_export_sh_t      *sh;
    ngx_http_weir_export_slot_t    *slot;          /* NULL: none */
    weir_ring_t                     ring;          /* of the slot */
    ngx_connection_t               *watcher;       /* tells that nginx ends */
    unsigned                        started:1;
    unsigned                        stopped:1;     /* for good */
    unsigned                        timed:1;       /* started after the process
                                                      began: it has no task */

    /* see drain */

    unsigned                        exporting:1;   /* the claim is ours */
    unsigned                        exiting:1;
    ngx_http_weir_record_task_t     task;
    ngx_msec_t                      delay;         /* of the task's next call */
    ngx_event_t                     tick;          /* in place of the task while
                                                      the process ends */
    ngx_msec_t                      exit_deadline;
    ngx_msec_t                      last;          /* start of the last batch */
    ngx_msec_t                      not_before;    /* of the next one */
    ngx_uint_t                      failures;      /* in a row */
    ngx_uint_t                      tries;         /* of this batch, that have
                                                      failed */
    ngx_msec_t                      first_try;     /* with tries */
    ngx_uint_t                      turn;          /* first ring of a batch */
    ngx_http_weir_export_batch_t    batch;
    ngx_http_weir_export_metrics_t  metrics;
    ngx_http_weir_client_t          client;
};


typedef struct {
    ngx_http_weir_exporter_t       *exporter;      /* NULL: no weir_exporter */
} ngx_http_weir_export_main_conf_t;


extern ngx_module_t  ngx_http_weir_export_module;


/* conf: handler of weir_exporter. */
char *ngx_http_weir_export_conf(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/*
 * parameter: one behind the URL; NGX_CONF_OK, or NGX_CONF_ERROR if the fault was
 * logged.
 */
char *ngx_http_weir_export_parameter(ngx_conf_t *cf,
    ngx_http_weir_exporter_t *ex, ngx_str_t *arg);

/*
 * parameter: replaces the attribute of that name in the resource, or adds it;
 * NGX_CONF_OK, or NGX_CONF_ERROR (no memory).
 */
char *ngx_http_weir_export_parameter_attribute(ngx_http_weir_exporter_t *ex,
    const char *name, ngx_str_t *value);

/*
 * conf: resolves the URL's name, with the configuration complete; NGX_OK, or
 * NGX_ERROR if the reason was logged.
 */
ngx_int_t ngx_http_weir_export_conf_complete(ngx_conf_t *cf,
    ngx_http_weir_exporter_t *ex);


/* drain: starts what this process does again and again. */
void ngx_http_weir_export_drain_start(ngx_http_weir_exporter_t *ex);

/*
 * drain: nginx ends this process gracefully.  What is in the rings is left to
 * another process, or is sent if there is none.
 */
void ngx_http_weir_export_drain_leave(ngx_http_weir_exporter_t *ex);

/* drain: a span was added while the process ends. */
void ngx_http_weir_export_drain_linger(ngx_http_weir_exporter_t *ex);

/* drain: gives up claim, timers and connection, without waiting. */
void ngx_http_weir_export_drain_stop(ngx_http_weir_exporter_t *ex);


/*
 * send: sends a request to the collector; see ngx_http_weir_client_send().
 */
void ngx_http_weir_export_send(ngx_http_weir_exporter_t *ex,
    const ngx_http_weir_client_request_t *request,
    ngx_http_weir_client_done_pt done);

/* send: what an answer of 2xx says by partial_success. */
void ngx_http_weir_export_partial(ngx_http_weir_exporter_t *ex,
    weir_partial_t *partial);

/*
 * batch: takes spans from the rings without freeing them there; NGX_OK,
 * NGX_DECLINED if there are none, or NGX_ERROR (no memory).
 */
ngx_int_t ngx_http_weir_export_batch_make(ngx_http_weir_exporter_t *ex);

/*
 * batch: the body compressed, with *len bytes then, malloc'ed; NULL: no memory,
 * nothing was changed.
 */
u_char *ngx_http_weir_export_batch_gzip(u_char *body, size_t *len);

/*
 * batch: frees the batch, and its spans in the rings.  Of them so many were
 * sent; the others are counted as dropped.
 */
void ngx_http_weir_export_batch_commit(ngx_http_weir_exporter_t *ex,
    uint32_t sent, _Atomic uint64_t *dropped);

/* batch: frees the batch; its spans remain in the rings. */
void ngx_http_weir_export_batch_free(ngx_http_weir_exporter_t *ex);


/* log: the collector's state after a request; logs changes. */
void ngx_http_weir_export_log(ngx_http_weir_exporter_t *ex,
    ngx_http_weir_export_state_e state, uint32_t spans,
    ngx_http_weir_client_outcome_t *outcome, const char *message);

/* log: whether the collector takes metrics; logs changes. */
void ngx_http_weir_export_log_metrics(ngx_http_weir_exporter_t *ex,
    ngx_http_weir_client_outcome_t *outcome, ngx_uint_t taken,
    const char *message);

/* log: spans that were dropped because rings are full. */
void ngx_http_weir_export_log_overflow(ngx_http_weir_exporter_t *ex);


/* zone: adds the shared memory to the configuration; NGX_OK or NGX_ERROR. */
ngx_int_t ngx_http_weir_export_zone_add(ngx_conf_t *cf,
    ngx_http_weir_exporter_t *ex);

/* zone: takes a slot for this process, if there is one. */
void ngx_http_weir_export_zone_enter(ngx_http_weir_exporter_t *ex);

/* zone: frees the slot; its spans remain. */
void ngx_http_weir_export_zone_leave(ngx_http_weir_exporter_t *ex);

/* zone: the ring of a slot. */
weir_ring_t ngx_http_weir_export_zone_ring(ngx_http_weir_export_sh_t *sh,
    ngx_uint_t slot);

/*
 * zone: true if this process is the exporter, or became it because the last one
 * is gone.
 */
ngx_uint_t ngx_http_weir_export_zone_claim(ngx_http_weir_export_sh_t *sh);

/* zone: lets another process be the exporter. */
void ngx_http_weir_export_zone_release(ngx_http_weir_export_sh_t *sh);

/* zone: true if another process of this zone lives that does not end. */
ngx_uint_t ngx_http_weir_export_zone_has_heir(ngx_http_weir_export_sh_t *sh);

/*
 * zone: the spans in all rings, their bytes, and whether a ring is more than
 * half full.
 */
uint64_t ngx_http_weir_export_zone_queued(ngx_http_weir_export_sh_t *sh,
    uint64_t *bytes, ngx_uint_t *half);

/* zone: spans that found no room. */
uint64_t ngx_http_weir_export_zone_overflows(ngx_http_weir_export_sh_t *sh);

/* zone: all counts. */
void ngx_http_weir_export_zone_counts(ngx_http_weir_export_sh_t *sh,
    ngx_http_weir_export_counts_t *counts);


static ngx_inline void
ngx_http_weir_export_add(_Atomic uint64_t *count, uint64_t n)
{
    (void) atomic_fetch_add_explicit(count, n, memory_order_relaxed);
}


/* The same, if no other process writes. */
static ngx_inline void
ngx_http_weir_export_count(_Atomic uint64_t *count)
{
    atomic_store_explicit(count,
                          atomic_load_explicit(count, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}


static ngx_inline uint64_t
ngx_http_weir_export_get(_Atomic uint64_t *count)
{
    return atomic_load_explicit(count, memory_order_relaxed);
}


#endif /* _NGX_HTTP_WEIR_EXPORT_PRIVATE_H_INCLUDED_ */
