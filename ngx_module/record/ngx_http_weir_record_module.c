/*
 * The record of a request (ngx_http_weir_record.h): created as soon as the
 * request's header was read, and printed by $weir_times.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "http/ngx_http_weir.h"
#include "http/ngx_http_weir_assert.h"
#include "http/ngx_http_weir_clock.h"
#include "record/ngx_http_weir_record.h"


/* Digits of a time in milliseconds, with the point and three decimals. */
#define NGX_HTTP_WEIR_RECORD_TIME_LEN  (NGX_INT64_LEN + sizeof(".000") - 1)


static ngx_int_t ngx_http_weir_record_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_record_rewrite_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_record_content_handler(ngx_http_request_t *r);
static void ngx_http_weir_record_cleanup(void *data);
static ngx_int_t ngx_http_weir_record_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_record_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
static ngx_int_t ngx_http_weir_record_times(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static u_char *ngx_http_weir_record_print(u_char *p, ngx_str_t *name,
    uint64_t ns);
static void *ngx_http_weir_record_create_main_conf(ngx_conf_t *cf);
static ngx_int_t ngx_http_weir_record_add_variables(ngx_conf_t *cf);
static ngx_int_t ngx_http_weir_record_init(ngx_conf_t *cf);
static ngx_uint_t ngx_http_weir_record_is_printed(ngx_conf_t *cf);
static ngx_int_t ngx_http_weir_record_init_process(ngx_cycle_t *cycle);


typedef struct {
    unsigned    required:1;                /* by ngx_http_weir_record_require() */
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


static ngx_str_t  ngx_http_weir_record_name = ngx_string("weir_times");

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

/* Of this process. */
static ngx_http_weir_record_kept_pt  ngx_http_weir_record_kept_handler;


/*
 * The first phase handler of all: a request that ends before it has no record,
 * nor has a request without memory for one.
 */

static ngx_int_t
ngx_http_weir_record_handler(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t      *cln;
    ngx_http_weir_record_t  *record;

    if (r != r->main || r->internal) {
        return NGX_DECLINED;
    }

    /* ngx_pool_cleanup_add() with one allocation */

    cln = ngx_pcalloc(r->pool, sizeof(ngx_pool_cleanup_t)
                               + sizeof(ngx_http_weir_record_t));
    if (cln == NULL) {
        return NGX_DECLINED;
    }

    record = (ngx_http_weir_record_t *) (cln + 1);

    cln->handler = ngx_http_weir_record_cleanup;
    cln->data = record;
    cln->next = r->pool->cleanup;
    r->pool->cleanup = cln;

    record->request = r;
    record->method = r->method;
    record->start = ngx_http_weir_ns();
    record->since = record->start;
    record->tick = ngx_http_weir_ticks();

    ngx_http_weir_usage_run(&record->ran, record->tick);

    ngx_http_set_ctx(r, record, ngx_http_weir_record_module);

    return NGX_DECLINED;
}


/*
 * An internal redirect clears the contexts of modules, and leads to this phase
 * again, also to that of a named location.
 */

static ngx_int_t
ngx_http_weir_record_rewrite_handler(ngx_http_request_t *r)
{
    ngx_http_weir_record_t  *record;

    if (!r->internal || r != r->main
        || ngx_http_get_module_ctx(r, ngx_http_weir_record_module))
    {
        return NGX_DECLINED;
    }

    record = ngx_http_weir_record(r);

    if (record) {
        ngx_http_set_ctx(r, record, ngx_http_weir_record_module);
        ngx_http_weir_record_change(record, NGX_HTTP_WEIR_PHASE_NGINX);
    }

    return NGX_DECLINED;
}


ngx_http_weir_record_t *
ngx_http_weir_record(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t      *cln;
    ngx_http_weir_record_t  *record;

    r = r->main;
    record = ngx_http_get_module_ctx(r, ngx_http_weir_record_module);

    if (record) {
        return record;
    }

    for (cln = r->pool->cleanup; cln; cln = cln->next) {

        if (cln->handler != ngx_http_weir_record_cleanup) {
            continue;
        }

        record = cln->data;

        if (record->request == r) {
            return record;
        }
    }

    return NULL;
}


/*
 * The last handler before the content phase, for requests of which neither
 * cache nor breaker has recorded that the upstream is asked.
 */

static ngx_int_t
ngx_http_weir_record_content_handler(ngx_http_request_t *r)
{
    ngx_http_weir_record_t  *record;

    record = ngx_http_get_module_ctx(r, ngx_http_weir_record_module);

    if (record && r->content_handler
        && record->phase == NGX_HTTP_WEIR_PHASE_NGINX)
    {
        ngx_http_weir_record_change(record, NGX_HTTP_WEIR_PHASE_UPSTREAM);
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
ngx_http_weir_record_run(ngx_http_request_t *r)
{
    ngx_http_weir_record_t  *record;

    record = ngx_http_get_module_ctx(r->main, ngx_http_weir_record_module);

    if (record && !record->ended
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
        && record->since - wait[-1].end < NGX_HTTP_WEIR_RECORD_SAME_WAIT)
    {
        wait[-1].end = end;
        return;
    }

    if (record->waits < NGX_HTTP_WEIR_RECORD_WAITS) {
        record->waits++;
        wait->phase = record->phase;
        wait->start = record->since;
        wait->end = end;
        wait->link = link;
    }
}


void
ngx_http_weir_record_end(ngx_http_weir_record_t *record)
{
    ngx_http_weir_record_change(record, record->phase);
    record->ended = 1;
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
        record->event = ngx_palloc(record->request->pool,
                                   NGX_HTTP_WEIR_RECORD_EVENTS
                                   * sizeof(ngx_http_weir_record_event_t));
    }

    if (record && record->event
        && record->events < NGX_HTTP_WEIR_RECORD_EVENTS)
    {
        event = &record->event[record->events++];
        event->name = name;
        event->time = ngx_http_weir_ns();
    }
}


static ngx_int_t
ngx_http_weir_record_header_filter(ngx_http_request_t *r)
{
    ngx_http_weir_record_run(r);
    ngx_http_weir_record_enter(r, NGX_HTTP_WEIR_PHASE_RESPONSE);

    return ngx_http_next_header_filter(r);
}


static ngx_int_t
ngx_http_weir_record_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_chain_t  *cl;

    ngx_http_weir_record_run(r);

    if (r == r->main) {
        for (cl = in; cl; cl = cl->next) {
            if (cl->buf->last_buf) {
                ngx_http_weir_record_enter(r, NGX_HTTP_WEIR_PHASE_SEND);
                break;
            }
        }
    }

    return ngx_http_next_body_filter(r, in);
}


/*
 * "name=milliseconds" of each phase that took time, in their order. Then the
 * time of connecting, which is a part of upstream, if it took a millisecond of
 * nginx's time; the number of servers tried, if more than one; and the sum.
 */

static ngx_int_t
ngx_http_weir_record_times(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                  *p;
    uint64_t                 total;
    ngx_uint_t               i, tries;
    ngx_msec_t               connect;
    ngx_http_weir_record_t  *record;

    static ngx_str_t  connecting = ngx_string("connect");
    static ngx_str_t  sum = ngx_string("total");

    record = ngx_http_get_module_ctx(r->main, ngx_http_weir_record_module);

    if (record == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, (NGX_HTTP_WEIR_PHASES + 2)
                             * (sizeof("response= ")
                                + NGX_HTTP_WEIR_RECORD_TIME_LEN)
                             + sizeof("tries= ") + NGX_INT_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    v->data = p;

    ngx_http_weir_record_change(record, record->phase);

    total = 0;

    for (i = 0; i < NGX_HTTP_WEIR_PHASES; i++) {
        total += record->spent[i];

        if (record->spent[i]) {
            p = ngx_http_weir_record_print(p, &ngx_http_weir_record_phases[i],
                                           record->spent[i]);
        }
    }

    connect = ngx_http_weir_record_connect(r->main, &tries);

    if (connect) {
        p = ngx_http_weir_record_print(p, &connecting,
                                       (uint64_t) connect * 1000000);
    }

    if (tries > 1) {
        p = ngx_sprintf(p, "tries=%ui ", tries);
    }

    p = ngx_http_weir_record_print(p, &sum, total);

    v->len = p - 1 - v->data;
    v->valid = 1;
    v->no_cacheable = 1;
    v->not_found = 0;

    return NGX_OK;
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


static u_char *
ngx_http_weir_record_print(u_char *p, ngx_str_t *name, uint64_t ns)
{
    return ngx_sprintf(p, "%V=%uL.%03uL ", name, ns / 1000000,
                       ns / 1000 % 1000);
}


static ngx_int_t
ngx_http_weir_record_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var;

    var = ngx_http_add_variable(cf, &ngx_http_weir_record_name,
                                NGX_HTTP_VAR_NOCACHEABLE);
    if (var == NULL) {
        return NGX_ERROR;
    }

    var->get_handler = ngx_http_weir_record_times;

    return NGX_OK;
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


/* True if the configuration uses $weir_times. */

static ngx_uint_t
ngx_http_weir_record_is_printed(ngx_conf_t *cf)
{
    ngx_uint_t                  i;
    ngx_http_variable_t        *v;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);
    v = cmcf->variables.elts;

    for (i = 0; i < cmcf->variables.nelts; i++) {
        if (v[i].name.len == ngx_http_weir_record_name.len
            && ngx_strncmp(v[i].name.data, ngx_http_weir_record_name.data,
                           v[i].name.len)
               == 0)
        {
            return 1;
        }
    }

    return 0;
}


/* Installs nothing if nothing needs records. */

static ngx_int_t
ngx_http_weir_record_init(ngx_conf_t *cf)
{
    ngx_http_weir_record_main_conf_t  *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_record_module);

    if (!mcf->required && !ngx_http_weir_record_is_printed(cf)) {
        return NGX_OK;
    }

    ngx_http_weir_clock_begin();

    if (ngx_http_weir_add_handler(cf, NGX_HTTP_POST_READ_PHASE,
                                         ngx_http_weir_record_handler)
        != NGX_OK
        || ngx_http_weir_add_handler(cf, NGX_HTTP_REWRITE_PHASE,
                                          ngx_http_weir_record_rewrite_handler)
           != NGX_OK
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


/* Measures nothing if no configuration needs records. */

static ngx_int_t
ngx_http_weir_record_init_process(ngx_cycle_t *cycle)
{
    ngx_http_weir_clock_measure();

    return NGX_OK;
}
