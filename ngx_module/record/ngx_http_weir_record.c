/* The record of a request; see ngx_http_weir_record.h. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "http/block/ngx_http_weir_block.h"
#include "http/ngx_http_weir_clock.h"
#include "record/ngx_http_weir_record.h"
#include "record/ngx_http_weir_record_private.h"


/* A record of a request's own. */
typedef struct {
    ngx_http_weir_block_t        block;
    ngx_http_weir_record_t       record;
} ngx_http_weir_record_own_t;


static ngx_inline void ngx_http_weir_record_clear(
    ngx_http_weir_record_t *record);
static ngx_http_weir_phase_e ngx_http_weir_record_now(ngx_http_request_t *r);
static void ngx_http_weir_record_cleanup(void *data);


static ngx_str_t  ngx_http_weir_record_phases[NGX_HTTP_WEIR_PHASES] = {
    ngx_string("nginx"),
    ngx_string("version"),
    ngx_string("lookup"),
    ngx_string("redis"),
    ngx_string("turn"),
    ngx_string("breaker"),
    ngx_string("limit"),
    ngx_string("upstream"),
    ngx_string("response"),
    ngx_string("send")
};


void (*ngx_http_weir_record_identity)(ngx_http_request_t *r,
    weir_context_t *context);

ngx_http_weir_record_t  ngx_http_weir_record_fresh;

/* Of this process. */
static ngx_http_weir_record_kept_pt   ngx_http_weir_record_kept_handler;

static ngx_http_weir_blocks_t  ngx_http_weir_record_blocks = {
    sizeof(ngx_http_weir_record_own_t), ngx_http_weir_record_cleanup, NULL, 0
};


void
ngx_http_weir_record_keep(void)
{
    uint64_t                     tick;
    ngx_http_request_t          *r;
    ngx_http_weir_record_t      *record;
    ngx_http_weir_record_own_t  *own;

    r = ngx_http_weir_record_fresh.request;
    ngx_http_weir_record_fresh.request = NULL;

    own = ngx_http_weir_block_take(&ngx_http_weir_record_blocks, r->pool);
    if (own == NULL) {
        return;
    }

    record = &own->record;
    tick = ngx_http_weir_ticks_from(ngx_http_weir_record_fresh.start);

    record->request = r;
    record->phase = ngx_http_weir_record_now(r);
    record->start = ngx_http_weir_record_fresh.start;
    record->tick = tick;
    record->method = ngx_http_weir_record_fresh.method;

    ngx_http_weir_record_clear(record);

    record->spent[NGX_HTTP_WEIR_PHASE_NGINX] = tick - record->start;
    record->ran.ticks = tick - record->start;
    ngx_http_weir_usage_run(&record->ran, tick);

    ngx_http_set_ctx(r, record, ngx_http_weir_record_module);
}


/* Piece by piece, with a few stores; all at once takes longer. */

static ngx_inline void
ngx_http_weir_record_clear(ngx_http_weir_record_t *record)
{
    u_char      *p;
    ngx_uint_t   i;

    p = (u_char *) record->spent;

#pragma GCC unroll 5

    for (i = 0; i < 5; i++) {
        ngx_memzero(p + i * 32, 32);
    }

    ngx_memzero(p + 5 * 32, sizeof(ngx_http_weir_record_t)
                            - offsetof(ngx_http_weir_record_t, spent) - 5 * 32);
}


/* The phase that a request is in of which none was recorded. */

static ngx_http_weir_phase_e
ngx_http_weir_record_now(ngx_http_request_t *r)
{
    ngx_http_core_main_conf_t  *cmcf;

    if (r->out) {
        return NGX_HTTP_WEIR_PHASE_SEND;
    }

    cmcf = ngx_http_get_module_main_conf(r, ngx_http_core_module);

    return r->content_handler
           && cmcf->phase_engine.handlers[r->phase_handler].checker
              == ngx_http_core_content_phase
           ? NGX_HTTP_WEIR_PHASE_UPSTREAM : NGX_HTTP_WEIR_PHASE_NGINX;
}


ngx_http_weir_record_t *
ngx_http_weir_record_restore(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t          *cln;
    ngx_http_weir_record_t      *record;
    ngx_http_weir_record_own_t  *own;

    if (r != r->main) {
        return NULL;
    }

    for (cln = r->pool->cleanup; cln; cln = cln->next) {

        if (cln->handler != ngx_http_weir_record_cleanup) {
            continue;
        }

        own = cln->data;
        record = &own->record;

        if (record->request == r) {
            ngx_http_set_ctx(r, record, ngx_http_weir_record_module);
            ngx_http_weir_record_change(record, NGX_HTTP_WEIR_PHASE_NGINX);
            return record;
        }

        /* HTTP/2: of another stream */
    }

    return NULL;
}


ngx_http_weir_record_t *
ngx_http_weir_record(ngx_http_request_t *r)
{
    if (ngx_http_weir_record_fresh.request == r->main) {
        ngx_http_weir_record_keep();
    }

    return ngx_http_weir_record_get(r->main);
}


/*
 * The function pointer identifies the record in the pool.  A request that has
 * ended does not run any more.
 */

static void
ngx_http_weir_record_cleanup(void *data)
{
    ngx_http_weir_record_own_t *own = data;

    if (ngx_http_weir_usage_process.running == &own->record.ran) {
        ngx_http_weir_usage_process.running = NULL;
    }

    ngx_http_weir_block_give(&ngx_http_weir_record_blocks, &own->block);
}


void
ngx_http_weir_record_link(ngx_http_request_t *r, weir_context_t *context)
{
    ngx_http_weir_record_t  *record;

    static u_char  none[WEIR_TRACE_ID_LEN];

    record = ngx_http_weir_record(r);

    if (record == NULL || record->ended
        || record->waits == NGX_HTTP_WEIR_RECORD_WAITS)
    {
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
 * for the same request: that is one wait, however long the worker was busy in
 * between.  One that has asked the upstream itself waits for something else.
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
        && ((record->phase == NGX_HTTP_WEIR_PHASE_TURN
             && record->spent[NGX_HTTP_WEIR_PHASE_UPSTREAM] == 0)
            || ngx_http_weir_clock_ns(record->tick - wait[-1].end)
               < NGX_HTTP_WEIR_RECORD_SAME_WAIT))
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
    ngx_http_weir_record_t  *record;

    record = ngx_http_weir_record(r);

    if (record) {
        record->refresh = sr;
    }
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

    if (record == NULL || record->ended
        || (record->events
            && ngx_strcmp(record->event[record->events - 1].name, name) == 0))
    {
        return;
    }

    if (record->event == NULL) {
        record->event = ngx_palloc(record->request->pool,
                                   NGX_HTTP_WEIR_RECORD_EVENTS
                                   * sizeof(ngx_http_weir_record_event_t));
    }

    if (record->event && record->events < NGX_HTTP_WEIR_RECORD_EVENTS) {
        event = &record->event[record->events++];
        event->name = name;
        event->time = ngx_http_weir_ticks();
    }
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
