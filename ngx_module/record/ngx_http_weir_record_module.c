/*
 * The handlers and filters that begin, change and end the records of requests;
 * see ngx_http_weir_record.h.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "http/ngx_http_weir.h"
#include "http/ngx_http_weir_assert.h"
#include "http/ngx_http_weir_clock.h"
#include "record/ngx_http_weir_record.h"
#include "record/ngx_http_weir_record_private.h"


static ngx_int_t ngx_http_weir_record_handler(ngx_http_request_t *r);
static ngx_inline void ngx_http_weir_record_begin(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_record_begin_behind(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_record_phased_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_record_log_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_record_end(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_record_end_any(ngx_http_request_t *r);
static ngx_inline void ngx_http_weir_record_fresh_end(ngx_http_request_t *r,
    uint64_t tick);
static ngx_int_t ngx_http_weir_record_end_fresh(ngx_http_request_t *r);
static ngx_inline double ngx_http_weir_record_seconds(
    ngx_http_weir_record_t *record);
static ngx_int_t ngx_http_weir_record_add_first(ngx_conf_t *cf);
static ngx_int_t ngx_http_weir_record_content_handler(ngx_http_request_t *r);
static void ngx_http_weir_record_subrequest(ngx_http_request_t *sr);
static ngx_int_t ngx_http_weir_record_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_record_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
static ngx_inline ngx_uint_t ngx_http_weir_record_is_last(ngx_chain_t *in);
static ngx_inline ngx_uint_t ngx_http_weir_record_can_step(
    ngx_http_weir_record_t *record);
static ngx_inline void ngx_http_weir_record_step(
    ngx_http_weir_record_t *record, ngx_http_weir_phase_e phase);
static ngx_int_t ngx_http_weir_record_respond(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_record_send(ngx_http_request_t *r,
    ngx_chain_t *in);
static ngx_http_weir_record_t *ngx_http_weir_record_run(ngx_http_request_t *r);
static void *ngx_http_weir_record_create_main_conf(ngx_conf_t *cf);
static ngx_int_t ngx_http_weir_record_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_weir_record_init_process(ngx_cycle_t *cycle);


typedef struct {
    unsigned    required:1;                /* by ngx_http_weir_record_require() */
    unsigned    phases:1;                  /* ngx_http_weir_record_require_phases() */
    ngx_str_t   percentiles;               /* the place that requires them; data
                                              NULL: none */
} ngx_http_weir_record_main_conf_t;


static ngx_http_module_t  ngx_http_weir_record_module_ctx = {
    ngx_http_weir_record_add_variables,    /* preconfiguration */
    ngx_http_weir_record_init,             /* postconfiguration */

    ngx_http_weir_record_create_main_conf, /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_weir_record_module = {
    NGX_MODULE_V1,
    &ngx_http_weir_record_module_ctx,      /* module context */
    NULL,                                  /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_weir_record_init_process,     /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;

/* Of this process. */
static ngx_http_weir_record_ended_pt  ngx_http_weir_record_fresh_ended;
static ngx_http_weir_record_ended_pt  ngx_http_weir_record_other_ended;


/*
 * The first phase handler of all: a request that ends before it has no record.
 * Subrequests and internal redirects begin in a later phase.
 */

static ngx_int_t
ngx_http_weir_record_handler(ngx_http_request_t *r)
{
    ngx_http_weir_assert(r == r->main && !r->internal);

    if (ngx_http_weir_record_fresh.request
        || ngx_http_weir_usage_process.running)
    {
        return ngx_http_weir_record_begin_behind(r);
    }

    ngx_http_weir_record_begin(r);

    return NGX_DECLINED;
}


static ngx_inline void
ngx_http_weir_record_begin(ngx_http_request_t *r)
{
    ngx_http_weir_record_fresh.request = r;
    ngx_http_weir_record_fresh.method = r->method;
    ngx_http_weir_record_fresh.start = ngx_http_weir_ticks();
}


/* Another request is fresh, or runs. */

static weir_apart ngx_int_t
ngx_http_weir_record_begin_behind(ngx_http_request_t *r)
{
    if (ngx_http_weir_record_fresh.request) {
        ngx_http_weir_record_keep();
    }

    ngx_http_weir_record_begin(r);
    ngx_http_weir_usage_stop(ngx_http_weir_record_fresh.start);

    return NGX_DECLINED;
}


/* The same handler, where each request has a record of its own. */

static ngx_int_t
ngx_http_weir_record_phased_handler(ngx_http_request_t *r)
{
    (void) ngx_http_weir_record_begin_behind(r);

    ngx_http_weir_record_keep();

    return NGX_DECLINED;
}


/*
 * The last handler before the content phase, for requests of which neither
 * cache nor breaker has recorded that the upstream is asked.
 */

static ngx_int_t
ngx_http_weir_record_content_handler(ngx_http_request_t *r)
{
    ngx_http_weir_record_t  *record;

    if (ngx_http_weir_record_fresh.request == r || r->content_handler == NULL)
    {
        return NGX_DECLINED;
    }

    if (r != r->main) {
        ngx_http_weir_record_subrequest(r);
        return NGX_DECLINED;
    }

    record = ngx_http_weir_record_get(r);

    if (record && record->phase == NGX_HTTP_WEIR_PHASE_NGINX) {
        ngx_http_weir_record_change(record, NGX_HTTP_WEIR_PHASE_UPSTREAM);
    }

    return NGX_DECLINED;
}


/* One that is led to another location comes here again. */

static void
ngx_http_weir_record_subrequest(ngx_http_request_t *sr)
{
    ngx_http_weir_record_t             *record;
    ngx_http_weir_record_subrequest_t  *subrequest;

    record = ngx_http_weir_record(sr);

    if (record == NULL
        || (record->subrequests && record->subrequests->request == sr))
    {
        return;
    }

    for (subrequest = record->subrequests;
         sr->internal && subrequest;
         subrequest = subrequest->next)
    {
        if (subrequest->request == sr) {
            return;
        }
    }

    subrequest = ngx_palloc(sr->pool,
                            sizeof(ngx_http_weir_record_subrequest_t));

    if (subrequest) {
        subrequest->request = sr;
        subrequest->next = record->subrequests;
        record->subrequests = subrequest;
    }
}


/*
 * The first handler of the log phase, which nginx calls once for each request,
 * however it ended: no request is fresh any more behind it.
 */

static ngx_int_t
ngx_http_weir_record_log_handler(ngx_http_request_t *r)
{
    ngx_http_weir_record_t  *record;

    record = &ngx_http_weir_record_fresh;

    if (record->request != r) {
        return r == r->main ? ngx_http_weir_record_end(r) : NGX_OK;
    }

    if (!ngx_http_weir_clock_has_tsc) {
        return ngx_http_weir_record_end_fresh(r);
    }

    ngx_http_weir_record_fresh_end(r, ngx_http_weir_ticks_from(record->start));

    return ngx_http_weir_record_fresh_ended
           ? ngx_http_weir_record_fresh_ended(r, record) : NGX_OK;
}


static ngx_inline void
ngx_http_weir_record_fresh_end(ngx_http_request_t *r, uint64_t tick)
{
    ngx_http_weir_record_t  *record;

    record = &ngx_http_weir_record_fresh;

    record->request = NULL;
    record->tick = tick;
    record->spent[NGX_HTTP_WEIR_PHASE_NGINX] = tick - record->start;
    record->seconds = ngx_http_weir_record_seconds(record);

    ngx_http_set_ctx(r, record, ngx_http_weir_record_module);
}


/* The same where reading the clock is a call. */

static weir_apart ngx_int_t
ngx_http_weir_record_end_fresh(ngx_http_request_t *r)
{
    ngx_http_weir_record_t  *record;

    record = &ngx_http_weir_record_fresh;

    ngx_http_weir_record_fresh_end(r, ngx_http_weir_ticks_from(record->start));

    return ngx_http_weir_record_fresh_ended
           ? ngx_http_weir_record_fresh_ended(r, record) : NGX_OK;
}


static ngx_inline double
ngx_http_weir_record_seconds(ngx_http_weir_record_t *record)
{
    return (int64_t) (record->tick - record->start)
           * ngx_http_weir_clock_seconds;
}


/*
 * Ends a record of the request's own, if it has one.  Like the filters, it calls
 * nothing for most of them.
 */

static weir_apart ngx_int_t
ngx_http_weir_record_end(ngx_http_request_t *r)
{
    ngx_http_weir_record_t  *record;

    record = ngx_http_get_module_ctx(r, ngx_http_weir_record_module);

    if (record == NULL || record->ended || record->endless
        || !ngx_http_weir_record_can_step(record))
    {
        return ngx_http_weir_record_end_any(r);
    }

    ngx_http_weir_record_step(record, record->phase);
    ngx_http_weir_usage_stop(record->tick);

    record->ended = 1;
    record->seconds = ngx_http_weir_record_seconds(record);

    return ngx_http_weir_record_other_ended
           ? ngx_http_weir_record_other_ended(r, record) : NGX_OK;
}


static weir_apart ngx_int_t
ngx_http_weir_record_end_any(ngx_http_request_t *r)
{
    ngx_http_weir_record_t  *record;

    record = ngx_http_get_module_ctx(r, ngx_http_weir_record_module);

    if (record == NULL) {
        record = ngx_http_weir_record_restore(r);
    }

    if (record) {
        ngx_http_weir_record_change(record, record->phase);
        ngx_http_weir_usage_stop(record->tick);

        record->ended = 1;
        record->seconds = ngx_http_weir_record_seconds(record);
    }

    return ngx_http_weir_record_other_ended && !(record && record->endless)
           ? ngx_http_weir_record_other_ended(r, record) : NGX_OK;
}


void
ngx_http_weir_record_on_end(ngx_http_weir_record_ended_pt fresh,
    ngx_http_weir_record_ended_pt other)
{
    ngx_http_weir_record_fresh_ended = fresh;
    ngx_http_weir_record_other_ended = other;
    ngx_http_weir_record_fresh.percentiles = NULL;
}


/* The record whose request runs, which has not ended. */
#define ngx_http_weir_record_of(running)                                      \
    ((ngx_http_weir_record_t *) ((u_char *) (running)                         \
                                 - offsetof(ngx_http_weir_record_t, ran)))


/*
 * The filters call no function where most requests come by, so that they save no
 * registers: once with a header, and for each part of a body, the last one too.
 */

static ngx_int_t
ngx_http_weir_record_header_filter(ngx_http_request_t *r)
{
    ngx_http_weir_record_t  *record;

    if (ngx_http_weir_record_fresh.request == r->main) {
        return ngx_http_next_header_filter(r);
    }

    record = ngx_http_get_module_ctx(r->main, ngx_http_weir_record_module);

    if (r != r->main || record == NULL || record->ended
        || !ngx_http_weir_record_can_step(record)
        || ngx_http_weir_record_fresh.request
        || ngx_http_weir_usage_process.running)
    {
        return ngx_http_weir_record_respond(r);
    }

    ngx_http_weir_record_step(record, NGX_HTTP_WEIR_PHASE_RESPONSE);
    ngx_http_weir_usage_run(&record->ran, record->tick);

    return ngx_http_next_header_filter(r);
}


static ngx_int_t
ngx_http_weir_record_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_http_weir_record_t  *record;

    if (ngx_http_weir_record_fresh.request == r->main) {
        return ngx_http_next_body_filter(r, in);
    }

    if (ngx_http_weir_usage_process.running == NULL) {
        return ngx_http_weir_record_send(r, in);
    }

    record = ngx_http_weir_record_of(ngx_http_weir_usage_process.running);

    if (record->request != r || !ngx_http_weir_record_can_step(record)) {
        return ngx_http_weir_record_send(r, in);
    }

    if (ngx_http_weir_record_is_last(in)) {
        ngx_http_weir_record_step(record, NGX_HTTP_WEIR_PHASE_SEND);
    }

    return ngx_http_next_body_filter(r, in);
}


static ngx_inline ngx_uint_t
ngx_http_weir_record_is_last(ngx_chain_t *in)
{
    ngx_chain_t  *cl;

    for (cl = in; cl; cl = cl->next) {
        if (cl->buf->last_buf) {
            return 1;
        }
    }

    return 0;
}


/* The phases of waits have ended before, as a rule. */

static ngx_inline ngx_uint_t
ngx_http_weir_record_can_step(ngx_http_weir_record_t *record)
{
    return record->phase >= NGX_HTTP_WEIR_PHASE_BREAKER
           && ngx_http_weir_clock_has_tsc;
}


/* ngx_http_weir_record_change() if it can. */

static ngx_inline void
ngx_http_weir_record_step(ngx_http_weir_record_t *record,
    ngx_http_weir_phase_e phase)
{
    uint64_t  tick;

    tick = ngx_http_weir_ticks_from(record->tick);

    record->spent[record->phase] += tick - record->tick;
    record->tick = tick;
    record->phase = phase;
}


/* The two filters for any request that is not fresh. */

static weir_apart ngx_int_t
ngx_http_weir_record_respond(ngx_http_request_t *r)
{
    ngx_http_weir_record_t  *record;

    record = ngx_http_weir_record_run(r);

    if (record && r == r->main && record->phase != NGX_HTTP_WEIR_PHASE_RESPONSE)
    {
        ngx_http_weir_record_change(record, NGX_HTTP_WEIR_PHASE_RESPONSE);
    }

    return ngx_http_next_header_filter(r);
}


static weir_apart ngx_int_t
ngx_http_weir_record_send(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_http_weir_record_t  *record;

    record = ngx_http_weir_record_run(r);

    if (record && r == r->main && record->phase != NGX_HTTP_WEIR_PHASE_SEND
        && ngx_http_weir_record_is_last(in))
    {
        ngx_http_weir_record_change(record, NGX_HTTP_WEIR_PHASE_SEND);
    }

    return ngx_http_next_body_filter(r, in);
}


/*
 * A filter of the request, or of a subrequest, is called: it runs.  Returns its
 * record, or NULL.
 */

static ngx_http_weir_record_t *
ngx_http_weir_record_run(ngx_http_request_t *r)
{
    ngx_http_weir_record_t  *record;

    record = ngx_http_weir_record_get(r->main);

    if (record && !record->ended
        && ngx_http_weir_usage_process.running != &record->ran)
    {
        if (ngx_http_weir_record_fresh.request) {
            ngx_http_weir_record_keep();
        }

        ngx_http_weir_usage_run(&record->ran, ngx_http_weir_ticks());
    }

    return record;
}


static void *
ngx_http_weir_record_create_main_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_record_main_conf_t));
}


void
ngx_http_weir_record_require(ngx_conf_t *cf)
{
    ngx_http_weir_record_main_conf_t  *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_record_module);
    mcf->required = 1;
}


void
ngx_http_weir_record_require_phases(ngx_conf_t *cf)
{
    ngx_http_weir_record_main_conf_t  *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_record_module);
    mcf->required = 1;
    mcf->phases = 1;
}


ngx_int_t
ngx_http_weir_record_require_percentiles(ngx_conf_t *cf)
{
    ngx_http_weir_record_main_conf_t  *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_record_module);
    mcf->required = 1;

    return mcf->percentiles.data
           ? NGX_OK : ngx_http_weir_place(cf, &mcf->percentiles);
}


ngx_str_t *
ngx_http_weir_record_needs_percentiles(ngx_conf_t *cf)
{
    ngx_http_weir_record_main_conf_t  *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_record_module);

    return mcf->percentiles.data ? &mcf->percentiles : NULL;
}


/* Installs nothing if nothing needs records. */

static ngx_int_t
ngx_http_weir_record_init(ngx_conf_t *cf)
{
    ngx_http_weir_record_main_conf_t  *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_record_module);

    if (ngx_http_weir_record_is_printed(cf)) {
        ngx_http_weir_record_require_phases(cf);
    }

    if (!mcf->required) {
        return NGX_OK;
    }

    ngx_http_weir_clock_begin();

    if (ngx_http_weir_add_handler(cf, NGX_HTTP_POST_READ_PHASE,
                                  mcf->phases
                                  ? ngx_http_weir_record_phased_handler
                                  : ngx_http_weir_record_handler)
        != NGX_OK
        || ngx_http_weir_record_add_first(cf) != NGX_OK
        || ngx_http_weir_add_handler(cf, NGX_HTTP_PRECONTENT_PHASE,
                                          ngx_http_weir_record_content_handler)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_weir_record_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_weir_record_body_filter;

    return NGX_OK;
}


/* Handlers of the log phase are called in their order. */

static ngx_int_t
ngx_http_weir_record_add_first(ngx_conf_t *cf)
{
    ngx_array_t                *handlers;
    ngx_http_handler_pt        *h;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);
    handlers = &cmcf->phases[NGX_HTTP_LOG_PHASE].handlers;

    if (ngx_array_push(handlers) == NULL) {
        return NGX_ERROR;
    }

    h = handlers->elts;
    ngx_memmove(h + 1, h, (handlers->nelts - 1) * sizeof(ngx_http_handler_pt));
    h[0] = ngx_http_weir_record_log_handler;

    return NGX_OK;
}


/* Called in helper processes, too, which have no requests. */

static ngx_int_t
ngx_http_weir_record_init_process(ngx_cycle_t *cycle)
{
    ngx_http_weir_record_main_conf_t  *mcf;

    mcf = ngx_http_cycle_get_module_main_conf(cycle,
                                              ngx_http_weir_record_module);

    if (mcf == NULL || !mcf->required
        || (ngx_process != NGX_PROCESS_WORKER
            && ngx_process != NGX_PROCESS_SINGLE))
    {
        return NGX_OK;
    }

    ngx_http_weir_clock_measure();
    ngx_http_weir_record_fresh.ended = 1;

    ngx_http_weir_declines(cycle, mcf->phases
                                  ? ngx_http_weir_record_phased_handler
                                  : ngx_http_weir_record_handler);
    ngx_http_weir_declines(cycle, ngx_http_weir_record_content_handler);

    return ngx_http_weir_record_turn_begin(cycle);
}
