/*
 * The record of a request: the time it spent in each phase, and its waits.
 *
 * A phase clock: at any time a request is in one phase, and entering another
 * one adds the time since the last change to the phase that ends.  So the
 * phases add up to the request's time, and each change reads the clock once (see
 * ngx_http_weir_ticks()).  nginx's own time does not advance while a worker is
 * busy, and has a resolution of one millisecond.
 *
 * Records exist only if the configuration uses $weir_times or a directive that
 * needs records (ngx_http_weir_record_require), and only for requests of clients
 * whose header was read, not for subrequests.  Without a record, entering a
 * phase costs one access to the request.
 *
 * Many requests end in the turn of the event loop in which they began; they are
 * answered from the cache's memory, or refused.  Until a request has waited, all
 * its time is that of nginx, and the time at which it began is all that must be
 * kept of it.  So a request begins as the fresh one, of which a worker has one at
 * a time, and gets a record of its own (ngx_http_weir_record_keep) when it waits,
 * is still there at the end of the turn, or when another one begins; or when there
 * is more to record.  One that ends before has ngx_http_weir_record_fresh as its
 * record in the log phase, and so has the next one.
 *
 * A request that gets its record at the end of a turn waits for the upstream if
 * its content handler was called, and for the client if that does not take what
 * was sent.
 */

#ifndef _NGX_HTTP_WEIR_RECORD_H_INCLUDED_
#define _NGX_HTTP_WEIR_RECORD_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "common/trace/context.h"
#include "http/ngx_http_weir_assert.h"
#include "http/ngx_http_weir_clock.h"
#include "usage/ngx_http_weir_usage.h"


/* Their names in $weir_times are in ngx_http_weir_record_module.c. */
typedef enum {
    NGX_HTTP_WEIR_PHASE_NGINX = 0,  /* nginx's own phases and other modules */
    NGX_HTTP_WEIR_PHASE_VERSION,    /* version negotiation */
    NGX_HTTP_WEIR_PHASE_LOOKUP,     /* the cache looks into memory and decides */
    NGX_HTTP_WEIR_PHASE_REDIS,      /* waiting for a reply of Redis */
    NGX_HTTP_WEIR_PHASE_TURN,       /* waiting for another request's fetch */
    NGX_HTTP_WEIR_PHASE_BREAKER,    /* asking the breaker */
    NGX_HTTP_WEIR_PHASE_LIMIT,      /* waiting for a slot of weir_limit */
    NGX_HTTP_WEIR_PHASE_UPSTREAM,   /* from then to the upstream's header */
    NGX_HTTP_WEIR_PHASE_RESPONSE,   /* until the last byte was generated */
    NGX_HTTP_WEIR_PHASE_SEND,       /* until the client has received it */
    NGX_HTTP_WEIR_PHASES
} ngx_http_weir_phase_e;


/* The waits of a request that are kept with their times; later ones only add
   to the time of their phase. */
#define NGX_HTTP_WEIR_RECORD_WAITS  4

/* Waits for Redis are the same wait if so many ns at most are between. */
#define NGX_HTTP_WEIR_RECORD_SAME_WAIT  1000000


/* All times are ngx_http_weir_ticks(). */
typedef struct {
    ngx_http_weir_phase_e   phase;      /* REDIS, TURN or LIMIT */
    uint64_t                start;
    uint64_t                end;
    weir_context_t         *link;       /* TURN: the request that fetched; NULL:
                                           not known */
} ngx_http_weir_record_wait_t;


/* What the time of a request can be compared with, by its route's requests. */
typedef enum {
    NGX_HTTP_WEIR_PERCENTILE_50 = 0,
    NGX_HTTP_WEIR_PERCENTILE_90,
    NGX_HTTP_WEIR_PERCENTILE_95,
    NGX_HTTP_WEIR_PERCENTILE_99,
    NGX_HTTP_WEIR_PERCENTILE_999,
    NGX_HTTP_WEIR_PERCENTILES
} ngx_http_weir_percentile_e;


/* The events of a request that are kept; later ones are not. */
#define NGX_HTTP_WEIR_RECORD_EVENTS  4


typedef struct {
    char                   *name;       /* a constant: "weir.breaker.refused" */
    uint64_t                time;       /* ngx_http_weir_ticks() */
} ngx_http_weir_record_event_t;


typedef struct ngx_http_weir_record_subrequest_s
    ngx_http_weir_record_subrequest_t;

/* Subrequests exist as long as their main request. */
struct ngx_http_weir_record_subrequest_s {
    ngx_http_request_t                 *request;
    ngx_http_weir_record_subrequest_t  *next;
};


typedef struct {
    ngx_http_request_t     *request;
    ngx_http_weir_phase_e   phase;
    uint64_t                start;      /* tick: the request's header was read */
    uint64_t                tick;       /* start of the current phase; when it
                                           has ended: the end */
    double                  seconds;    /* when it has ended: its time */
    ngx_uint_t              method;     /* of the client; an error_page may
                                           change r->method */

    /* a record begins with these all zero */

    uint64_t                spent[NGX_HTTP_WEIR_PHASES];  /* ticks */
    ngx_http_weir_usage_run_t  ran;
    ngx_http_weir_record_subrequest_t  *subrequests;  /* that may have asked an
                                           upstream, its refresh too; the newest
                                           first */
    ngx_http_request_t     *refresh;    /* its background refresh, a subrequest;
                                           NULL: none.  Only main requests are
                                           looked up, so there is one at most */
    ngx_http_weir_record_wait_t  *wait; /* NULL without one; most requests wait
                                           for nothing */
    ngx_uint_t              waits;
    weir_context_t         *link;       /* of the next wait; NULL: none */
    ngx_http_weir_record_event_t  *event;  /* NULL without one */
    ngx_uint_t              events;
    const double           *percentiles; /* s: of its route, in the order of
                                            ngx_http_weir_percentile_e; NULL:
                                            not counted (metrics/) */
    unsigned                ended:1;
    unsigned                endless:1;  /* it lasts as long as the client wants:
                                           no metric and no trace has it */
} ngx_http_weir_record_t;


extern weir_local ngx_module_t  ngx_http_weir_record_module;


/*
 * request is the fresh one, or NULL; of the record only its start and method are
 * valid until it ends, and the record's end with it.
 */
extern weir_local ngx_http_weir_record_t  ngx_http_weir_record_fresh;


/*
 * Client requests get records.  To be called while the configuration is
 * read, before any module's postconfiguration: by the handler of a directive.
 */
void ngx_http_weir_record_require(ngx_conf_t *cf);

/*
 * The same, and records tell their percentiles: metrics/series counts requests
 * then, also if nothing shows what it has counted.
 */
ngx_int_t ngx_http_weir_record_require_percentiles(ngx_conf_t *cf);

/* The first place that has required them, "file:line"; NULL: none has. */
ngx_str_t *ngx_http_weir_record_needs_percentiles(ngx_conf_t *cf);

/*
 * True if the request has taken longer than that percentile of its route; false
 * as long as too few requests of the route are known.  For handlers of the log
 * phase.
 */
static ngx_inline ngx_uint_t ngx_http_weir_record_is_above(
    ngx_http_weir_record_t *record, ngx_http_weir_percentile_e percentile);

/* The same, and each request has a record of its own from its beginning. */
void ngx_http_weir_record_require_phases(ngx_conf_t *cf);

/*
 * The record of the request, also if r is a subrequest of it or was redirected
 * internally; NULL without one.  A request that has not ended gets one of its own.
 */
ngx_http_weir_record_t *ngx_http_weir_record(ngx_http_request_t *r);

/*
 * True if the contexts of modules may have been cleared: by an internal redirect,
 * or when a filter has replaced the response by an error.
 */
static ngx_inline ngx_uint_t ngx_http_weir_record_is_cleared(
    ngx_http_request_t *r);

/* The record of a main request whose context is empty, which has it again then. */
ngx_http_weir_record_t *ngx_http_weir_record_restore(ngx_http_request_t *r);

/*
 * The fresh request, which there must be, gets a record of its own, or none
 * without memory.
 */
void ngx_http_weir_record_keep(void);

/*
 * Ends the current phase, and begins another, or the same one again.  Does
 * nothing after the end.
 */
static ngx_inline void ngx_http_weir_record_change(
    ngx_http_weir_record_t *record, ngx_http_weir_phase_e phase);
static ngx_inline void ngx_http_weir_record_change_at(
    ngx_http_weir_record_t *record, ngx_http_weir_phase_e phase, uint64_t tick);

/*
 * The context of a request's own span, for the links of requests that wait for
 * it; all zero without one.  Set by trace/, NULL if nothing is traced.
 */
extern void (*ngx_http_weir_record_identity)(ngx_http_request_t *r,
    weir_context_t *context);

/* Calls it, and fills the context in any case. */
static ngx_inline void ngx_http_weir_record_identify(ngx_http_request_t *r,
    weir_context_t *context);

/*
 * Records the request for whose fetch r waits from now on; its context is all
 * zero if it is not known.
 */
void ngx_http_weir_record_link(ngx_http_request_t *r, weir_context_t *context);

/* Keeps the wait that ends now, if there is room. */
void ngx_http_weir_record_keep_wait(ngx_http_weir_record_t *record,
    uint64_t end);

/*
 * The handler of the log phase that comes first ends the record, so that all of
 * them find the same times, and calls one of these, which return NGX_OK: fresh, with
 * ngx_http_weir_record_fresh, or other, with NULL if the request has no record.
 * None is called for an endless one.  At most one part of this process counts
 * requests; NULL: none does any more.  Each sets the percentiles.
 */
typedef ngx_int_t (*ngx_http_weir_record_ended_pt)(ngx_http_request_t *r,
    ngx_http_weir_record_t *record);

void ngx_http_weir_record_on_end(ngx_http_weir_record_ended_pt fresh,
    ngx_http_weir_record_ended_pt other);

/* Keeps that r has started sr as its background refresh. */
void ngx_http_weir_record_refresh(ngx_http_request_t *r,
    ngx_http_request_t *sr);

/*
 * The time of connecting, summed over all servers that were tried, in nginx's
 * own milliseconds; and their number.
 */
ngx_msec_t ngx_http_weir_record_connect(ngx_http_request_t *r,
    ngx_uint_t *tries);

/*
 * The trace of a main request with a record that has ended is kept: its server
 * span waits to be sent.  trace_id has 16 bytes, end is ngx_http_weir_unix_ns().
 * The trace tells it to the part of this process that wants to know; at most one
 * does.  A handler that is NULL is none.
 */
typedef void (*ngx_http_weir_record_kept_pt)(ngx_http_request_t *r,
    ngx_http_weir_record_t *record, const u_char *trace_id, uint64_t end);

void ngx_http_weir_record_on_kept(ngx_http_weir_record_kept_pt handler);
void ngx_http_weir_record_kept(ngx_http_request_t *r,
    ngx_http_weir_record_t *record, const u_char *trace_id, uint64_t end);

/*
 * What this process does again and again between turns of the event loop, also if
 * nothing else happens.  The handler returns how many ms later it is to be called
 * again.
 */
typedef struct ngx_http_weir_record_task_s  ngx_http_weir_record_task_t;

struct ngx_http_weir_record_task_s {
    ngx_http_weir_record_task_t  *next;
    ngx_msec_t                    due;      /* ngx_current_msec */
    ngx_msec_t                  (*handler)(ngx_http_weir_record_task_t *task);
};

/*
 * Begins it, in so many ms, or changes when it is due next; the caller keeps the
 * task until the end.  NGX_OK, or NGX_DECLINED if the configuration with which this
 * process began has no records: nothing will be called.
 */
ngx_int_t ngx_http_weir_record_repeat(ngx_http_weir_record_task_t *task,
    ngx_msec_t ms);

/* Ends it; not to be called by a task. */
void ngx_http_weir_record_cease(ngx_http_weir_record_task_t *task);

/* The name of a phase in $weir_times. */
ngx_str_t *ngx_http_weir_record_phase(ngx_http_weir_phase_e phase);


/* True if a request waits in that phase, and another one begins it. */

static ngx_inline ngx_uint_t
ngx_http_weir_record_waits(ngx_http_weir_phase_e phase)
{
    return phase == NGX_HTTP_WEIR_PHASE_REDIS
           || phase == NGX_HTTP_WEIR_PHASE_TURN
           || phase == NGX_HTTP_WEIR_PHASE_LIMIT;
}


static ngx_inline ngx_uint_t
ngx_http_weir_record_is_cleared(ngx_http_request_t *r)
{
    return r->internal || r->filter_finalize;
}


static ngx_inline void
ngx_http_weir_record_change(ngx_http_weir_record_t *record,
    ngx_http_weir_phase_e phase)
{
    if (!record->ended) {
        ngx_http_weir_record_change_at(record, phase,
                                       ngx_http_weir_ticks_from(record->tick));
    }
}


/* The same at that tick, for a record that has not ended. */

static ngx_inline void
ngx_http_weir_record_change_at(ngx_http_weir_record_t *record,
    ngx_http_weir_phase_e phase, uint64_t tick)
{
    ngx_http_weir_assert(phase < NGX_HTTP_WEIR_PHASES
                         && record->phase < NGX_HTTP_WEIR_PHASES
                         && tick >= record->tick);

    if (ngx_http_weir_record_waits(record->phase))
    {
        ngx_http_weir_record_keep_wait(record, tick);
    }

    record->spent[record->phase] += tick - record->tick;
    record->tick = tick;
    record->phase = phase;
}


static ngx_inline ngx_uint_t
ngx_http_weir_record_is_above(ngx_http_weir_record_t *record,
    ngx_http_weir_percentile_e percentile)
{
    return record->percentiles
           && record->seconds > record->percentiles[percentile];
}


static ngx_inline void
ngx_http_weir_record_identify(ngx_http_request_t *r, weir_context_t *context)
{
    ngx_memzero(context, sizeof(weir_context_t));

    if (ngx_http_weir_record_identity) {
        ngx_http_weir_record_identity(r, context);
    }
}


/*
 * Records an event of the request, or of the request that it is a subrequest
 * of, if there is a record.  The same event in a row is recorded once.
 */
void ngx_http_weir_record_event(ngx_http_request_t *r, char *name);


/*
 * Records that the request enters a phase, if it is not in that phase.  That of a
 * fresh one does not matter until it waits.
 */
static ngx_inline void
ngx_http_weir_record_enter(ngx_http_request_t *r, ngx_http_weir_phase_e phase)
{
    ngx_http_weir_record_t  *record;

    if (ngx_http_weir_record_fresh.request == r) {

        if (!ngx_http_weir_record_waits(phase)) {
            return;
        }

        ngx_http_weir_record_keep();
    }

    record = ngx_http_get_module_ctx(r, ngx_http_weir_record_module);

    if (record == NULL && ngx_http_weir_record_is_cleared(r)) {
        record = ngx_http_weir_record_restore(r);
    }

    if (record && record->phase != phase) {
        ngx_http_weir_record_change(record, phase);
    }
}


#endif /* _NGX_HTTP_WEIR_RECORD_H_INCLUDED_ */
