/* The record of a request: see ngx_http_weir_record.h. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "http/ngx_http_weir.h"
#include "http/ngx_http_weir_assert.h"
#include "http/ngx_http_weir_clock.h"
#include "record/ngx_http_weir_record.h"
#include "record/ngx_http_weir_record_private.h"


static ngx_int_t ngx_http_weir_record_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_record_log_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_record_add_first(ngx_conf_t *cf);
static ngx_int_t ngx_http_weir_record_content_handler(ngx_http_request_t *r);
static void ngx_http_weir_record_cleanup(void *data);
static ngx_int_t ngx_http_weir_record_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_record_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
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


static ngx_str_t  ngx_http_weir_record_phases[NGX_HTTP_WEIR_PHASES] = {
    ngx_string("nginx"),
    ngx_string("version"),
    ngx_string("lookup"),
    ngx_string("redis"),
    ngx_string("turn"),
    ngx_string("breaker"),
    ngx_string("upstream"),
    ngx_string("response"),
    ngx_string("send")
};


void (*ngx_http_weir_record_identity)(ngx_http_request_t *r,
    weir_context_t *context);

static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;

ngx_http_weir_record_t  ngx_http_weir_record_fresh;

/* Of this process. */
static ngx_http_weir_record_kept_pt   ngx_http_weir_record_kept_handler;
static ngx_http_weir_record_ended_pt  ngx_http_weir_record_ended_handler;
static ngx_uint_t                     ngx_http_weir_record_brief;  /* bool */


/* The first phase handler of all: a request that ends before it has no record. */

static ngx_int_t
ngx_http_weir_record_handler(ngx_http_request_t *r)
{
    ngx_http_weir_record_t  *record;

    if (r != r->main || r->internal) {
        return NGX_DECLINED;
    }

    record = &ngx_http_weir_record_fresh;

    if (record->request) {
        ngx_http_weir_record_keep();
    }

    if (!record->brief) {
        ngx_memzero(record, sizeof(ngx_http_weir_record_t));
    }

    record->request = r;
    record->phase = NGX_HTTP_WEIR_PHASE_NGINX;
    record->start = ngx_http_weir_ticks();
    record->tick = record->start;
    record->spent[NGX_HTTP_WEIR_PHASE_NGINX] = 0;
    record->ran.ticks = 0;
    record->ran.times = 0;
    record->method = r->method;
    record->percentiles = NULL;
    record->brief = ngx_http_weir_record_brief;
    record->asked = 0;
    record->ended = 0;
    record->slow = 0;
    record->endless = 0;

    ngx_http_weir_usage_run(&record->ran, record->start);

    ngx_http_set_ctx(r, record, ngx_http_weir_record_module);

    return NGX_DECLINED;
}


void
ngx_http_weir_record_keep(void)
{
    ngx_http_request_t      *r;
    ngx_pool_cleanup_t      *cln;
    ngx_http_weir_record_t  *fresh, *record;

    fresh = &ngx_http_weir_record_fresh;
    r = fresh->request;

    /* ngx_pool_cleanup_add() with one allocation */

    cln = ngx_palloc(r->pool, sizeof(ngx_pool_cleanup_t)
                              + sizeof(ngx_http_weir_record_t));
    record = NULL;

    if (cln) {
        record = (ngx_http_weir_record_t *) (cln + 1);

        *record = *fresh;

        if (record->brief) {
            record->brief = 0;
            ngx_http_weir_record_change(record, r->out
                                                ? NGX_HTTP_WEIR_PHASE_SEND
                                                : record->asked
                                                ? NGX_HTTP_WEIR_PHASE_UPSTREAM
                                                : NGX_HTTP_WEIR_PHASE_NGINX);
        }

        cln->handler = ngx_http_weir_record_cleanup;
        cln->data = record;
        cln->next = r->pool->cleanup;
        r->pool->cleanup = cln;
    }

    fresh->request = NULL;

    if (ngx_http_weir_usage_process.running == &fresh->ran) {
        ngx_http_weir_usage_process.running = record ? &record->ran : NULL;
    }

    if (ngx_http_get_module_ctx(r, ngx_http_weir_record_module)) {
        ngx_http_set_ctx(r, record, ngx_http_weir_record_module);
    }
}


/*
 * An internal redirect, also to a named location, clears the contexts of modules.
 */

ngx_http_weir_record_t *
ngx_http_weir_record_restore(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t      *cln;
    ngx_http_weir_record_t  *record;

    if (r != r->main) {
        return NULL;
    }

    record = NULL;

    if (ngx_http_weir_record_fresh.request == r) {
        record = &ngx_http_weir_record_fresh;
    }

    for (cln = r->pool->cleanup; cln && record == NULL; cln = cln->next) {

        if (cln->handler == ngx_http_weir_record_cleanup) {
            record = cln->data;

            if (record->request != r) {
                /* HTTP/2: of another stream */
                record = NULL;
            }
        }
    }

    if (record) {
        ngx_http_set_ctx(r, record, ngx_http_weir_record_module);

        if (!record->brief) {
            ngx_http_weir_record_change(record, NGX_HTTP_WEIR_PHASE_NGINX);
        }
    }

    return record;
}


static ngx_inline ngx_http_weir_record_t *
ngx_http_weir_record_get(ngx_http_request_t *r)
{
    ngx_http_weir_record_t  *record;

    r = r->main;
    record = ngx_http_get_module_ctx(r, ngx_http_weir_record_module);

    return record || !r->internal ? record : ngx_http_weir_record_restore(r);
}


ngx_http_weir_record_t *
ngx_http_weir_record(ngx_http_request_t *r)
{
    return ngx_http_weir_record_get(r);
}


/*
 * The last handler before the content phase, for requests of which neither
 * cache nor breaker has recorded that the upstream is asked.
 */

static ngx_int_t
ngx_http_weir_record_content_handler(ngx_http_request_t *r)
{
    ngx_http_weir_record_t  *record;

    if (r != r->main || r->content_handler == NULL) {
        return NGX_DECLINED;
    }

    record = ngx_http_weir_record_get(r);

    if (record && record->phase == NGX_HTTP_WEIR_PHASE_NGINX) {

        if (record->brief) {
            record->asked = 1;

        } else {
            ngx_http_weir_record_change(record, NGX_HTTP_WEIR_PHASE_UPSTREAM);
        }
    }

    return NGX_DECLINED;
}


/*
 * The function pointer identifies the record in the pool.  A request that has
 * ended does not run any more.
 */

static void
ngx_http_weir_record_cleanup(void *data)
{
    ngx_http_weir_record_t *record = data;

    if (ngx_http_weir_usage_process.running == &record->ran) {
        ngx_http_weir_usage_process.running = NULL;
    }
}


/* A filter of the request, or of a subrequest, is called: it runs. */

static ngx_inline void
ngx_http_weir_record_run(ngx_http_weir_record_t *record)
{
    if (!record->ended
        && ngx_http_weir_usage_process.running != &record->ran)
    {
        ngx_http_weir_usage_run(&record->ran, ngx_http_weir_ticks());
    }
}


void
ngx_http_weir_record_link(ngx_http_request_t *r, weir_context_t *context)
{
    ngx_http_weir_record_t  *record;

    static u_char  none[WEIR_TRACE_ID_LEN];

    record = ngx_http_weir_record(r);

    if (record == NULL || record->waits == NGX_HTTP_WEIR_RECORD_WAITS) {
        /* no other wait is kept */
        return;
    }

    if (ngx_memcmp(context->trace_id, none, sizeof(none)) == 0) {
        record->link = NULL;
        return;
    }

    if (record->link
        && ngx_memcmp(record->link, context, sizeof(weir_context_t)) == 0)
    {
        return;
    }

    record->brief = 0;
    record->link = ngx_palloc(record->request->pool, sizeof(weir_context_t));

    if (record->link) {
        *record->link = *context;
    }
}


/*
 * A request that waits for its turn wakes up now and then, and goes on waiting
 * for the same request: that is one wait.
 */

void
ngx_http_weir_record_keep_wait(ngx_http_weir_record_t *record, uint64_t end)
{
    weir_context_t               *link;
    ngx_http_weir_record_wait_t  *wait;

    link = record->phase == NGX_HTTP_WEIR_PHASE_TURN ? record->link : NULL;

    if (record->wait == NULL) {
        record->wait = ngx_palloc(record->request->pool,
                                  NGX_HTTP_WEIR_RECORD_WAITS
                                  * sizeof(ngx_http_weir_record_wait_t));
        if (record->wait == NULL) {
            return;
        }
    }

    wait = &record->wait[record->waits];

    if (record->waits && wait[-1].phase == record->phase
        && wait[-1].link == link
        && ngx_http_weir_clock_ns(record->tick - wait[-1].end)
           < NGX_HTTP_WEIR_RECORD_SAME_WAIT)
    {
        wait[-1].end = end;
        return;
    }

    if (record->waits < NGX_HTTP_WEIR_RECORD_WAITS) {
        record->waits++;
        wait->phase = record->phase;
        wait->start = record->tick;
        wait->end = end;
        wait->link = link;
    }
}


void
ngx_http_weir_record_refresh(ngx_http_request_t *r, ngx_http_request_t *sr)
{
    ngx_http_weir_record_t          *record;
    ngx_http_weir_record_refresh_t  *refresh;

    record = ngx_http_weir_record(r);

    if (record == NULL) {
        return;
    }

    refresh = ngx_palloc(r->pool, sizeof(ngx_http_weir_record_refresh_t));

    if (refresh) {
        record->brief = 0;
        refresh->request = sr;
        refresh->next = record->refreshes;
        record->refreshes = refresh;
    }
}


/*
 * The first handler of the log phase, which nginx calls once for each request,
 * however it ended.
 */

static ngx_int_t
ngx_http_weir_record_log_handler(ngx_http_request_t *r)
{
    ngx_http_weir_record_t  *record;

    if (r != r->main) {
        return NGX_OK;
    }

    record = ngx_http_weir_record_get(r);

    if (record) {

        if (record->brief) {
            record->tick = ngx_max(ngx_http_weir_ticks(), record->start);
            record->spent[NGX_HTTP_WEIR_PHASE_NGINX] = record->tick
                                                       - record->start;

        } else {
            ngx_http_weir_record_change(record, record->phase);
        }

        ngx_http_weir_usage_stop(record->tick);

        record->ended = 1;
        record->seconds = (int64_t) (record->tick - record->start)
                          * ngx_http_weir_clock_tick * 1e-9;

        if (record == &ngx_http_weir_record_fresh) {
            record->request = NULL;
        }
    }

    if (ngx_http_weir_record_ended_handler) {
        ngx_http_weir_record_ended_handler(r, record);
    }

    return NGX_OK;
}


void
ngx_http_weir_record_on_end(ngx_http_weir_record_ended_pt handler)
{
    ngx_http_weir_record_ended_handler = handler;
}


void
ngx_http_weir_record_on_kept(ngx_http_weir_record_kept_pt handler)
{
    ngx_http_weir_record_kept_handler = handler;
}


void
ngx_http_weir_record_kept(ngx_http_request_t *r,
    ngx_http_weir_record_t *record, const u_char *trace_id, uint64_t end)
{
    if (ngx_http_weir_record_kept_handler) {
        ngx_http_weir_record_kept_handler(r, record, trace_id, end);
    }
}


ngx_str_t *
ngx_http_weir_record_phase(ngx_http_weir_phase_e phase)
{
    return &ngx_http_weir_record_phases[phase];
}


void
ngx_http_weir_record_event(ngx_http_request_t *r, char *name)
{
    ngx_http_weir_record_t        *record;
    ngx_http_weir_record_event_t  *event;

    record = ngx_http_weir_record(r);

    if (record && record->events
        && ngx_strcmp(record->event[record->events - 1].name, name) == 0)
    {
        return;
    }

    if (record && record->event == NULL) {
        record->brief = 0;
        record->event = ngx_palloc(record->request->pool,
                                   NGX_HTTP_WEIR_RECORD_EVENTS
                                   * sizeof(ngx_http_weir_record_event_t));
    }

    if (record && record->event
        && record->events < NGX_HTTP_WEIR_RECORD_EVENTS)
    {
        event = &record->event[record->events++];
        event->name = name;
        event->time = ngx_http_weir_ticks();
    }
}


static ngx_int_t
ngx_http_weir_record_header_filter(ngx_http_request_t *r)
{
    ngx_http_weir_record_t  *record;

    record = ngx_http_weir_record_get(r);

    if (record && !record->brief) {
        ngx_http_weir_record_run(record);

        if (r == r->main && record->phase != NGX_HTTP_WEIR_PHASE_RESPONSE) {
            ngx_http_weir_record_change(record, NGX_HTTP_WEIR_PHASE_RESPONSE);
        }
    }

    return ngx_http_next_header_filter(r);
}


static ngx_int_t
ngx_http_weir_record_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_chain_t             *cl;
    ngx_http_weir_record_t  *record;

    record = ngx_http_weir_record_get(r);

    if (record == NULL || record->brief) {
        return ngx_http_next_body_filter(r, in);
    }

    ngx_http_weir_record_run(record);

    if (record->phase == NGX_HTTP_WEIR_PHASE_SEND || r != r->main) {
        return ngx_http_next_body_filter(r, in);
    }

    for (cl = in; cl; cl = cl->next) {
        if (cl->buf->last_buf) {
            ngx_http_weir_record_change(record, NGX_HTTP_WEIR_PHASE_SEND);
            break;
        }
    }

    return ngx_http_next_body_filter(r, in);
}


ngx_msec_t
ngx_http_weir_record_connect(ngx_http_request_t *r, ngx_uint_t *tries)
{
    ngx_msec_t                  connect;
    ngx_uint_t                  i;
    ngx_http_upstream_state_t  *state;

    connect = 0;
    *tries = 0;

    if (r->upstream_states == NULL) {
        return 0;
    }

    state = r->upstream_states->elts;

    for (i = 0; i < r->upstream_states->nelts; i++) {

        if (state[i].peer == NULL) {
            /* separates the upstreams of two locations */
            continue;
        }

        (*tries)++;

        if (state[i].connect_time != (ngx_msec_t) -1) {
            connect += state[i].connect_time;
        }
    }

    return connect;
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
                                         ngx_http_weir_record_handler)
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
    ngx_http_weir_record_brief = !mcf->phases;

    return ngx_http_weir_record_turn_begin(cycle);
}
