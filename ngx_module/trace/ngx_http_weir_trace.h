/*
 * weir_trace: the trace of a request.
 *
 *     module     directives, phases, variables
 *     conf       weir_trace and weir_trace_context
 *     context    the context of a request: received, or new; whether sampled
 *     extract    the context that the client sent
 *     inject     the context that is sent to upstreams, one span id per try
 *     direct     the same for proxy_pass over HTTP/1, with less work
 *     end        whether the trace is kept, at the end of the request
 *     refresh    the trace of a background refresh
 *     server     the server span of a kept request
 *     client     the client spans of its upstreams, the spans of its waits
 *     redact     queries without credentials
 *     known      what these have in common with those of other requests
 *     publish    the ids of traces that are kept late
 *
 * Calls go from module to context and end, and down in this list.
 *
 * A request has one server span, which ends in the log phase: nginx calls that
 * exactly once for each end of each request.  A request that has sent no
 * context and used no variable has no context until then; if it is not kept,
 * nothing was allocated for it.
 *
 * The background refresh of a stale response is no part of the request that
 * started it: it has a trace of its own, whose first span links that request.
 */

#ifndef _NGX_HTTP_WEIR_TRACE_H_INCLUDED_
#define _NGX_HTTP_WEIR_TRACE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "common/trace/context.h"
#include "common/trace/ids.h"
#include "common/trace/sampling.h"
#include "http/forward/ngx_http_weir_forward.h"


typedef enum {
    NGX_HTTP_WEIR_TRACE_OFF = 0,
    NGX_HTTP_WEIR_TRACE_RATIO,       /* threshold */
    NGX_HTTP_WEIR_TRACE_PARENT,      /* the sampled flag that was received */
    NGX_HTTP_WEIR_TRACE_VARIABLE     /* of these, by the value of sampling */
} ngx_http_weir_trace_mode_e;


typedef struct ngx_http_weir_trace_known_s  ngx_http_weir_trace_known_t;


#define NGX_HTTP_WEIR_TRACE_EXTRACT   0x0001
#define NGX_HTTP_WEIR_TRACE_INJECT    0x0002
#define NGX_HTTP_WEIR_TRACE_B3        0x0004
#define NGX_HTTP_WEIR_TRACE_B3MULTI   0x0008


typedef struct {
    ngx_uint_t                   mode;     /* NGX_CONF_UNSET_UINT: inherited */
    uint64_t                     threshold; /* see common/trace/sampling.h */
    ngx_str_t                    tracestate; /* of a new trace that is sampled
                                                by the threshold */
    ngx_http_complex_value_t    *sampling;
    ngx_msec_t                   slow;     /* requests from then on are kept;
                                              0: none */
    ngx_uint_t                   percentile; /* requests above it are kept, too:
                                                ngx_http_weir_percentile_e, or
                                                NGX_HTTP_WEIR_PERCENTILES:
                                                none */
    ngx_flag_t                   errors;   /* failed requests are kept */
    ngx_uint_t                   keeps;    /* bool: by one of these three */
    time_t                       refused;  /* of this process: the second in
                                              which the last request was kept
                                              that a breaker had refused */
    ngx_uint_t                   late;     /* bool: of traces that are not
                                              sampled, some are kept and their
                                              ids published */
    ngx_uint_t                   context;  /* NGX_HTTP_WEIR_TRACE_... */
    ngx_http_upstream_conf_t    *direct;   /* of proxy_pass, whose requests get
                                              the context from direct; NULL: by
                                              inject */
    ngx_http_upstream_init_peer_pt  init;  /* with direct: that of its upstream */
    ngx_http_weir_trace_known_t  *known;   /* an array, of this process; NULL:
                                              off */
} ngx_http_weir_trace_loc_conf_t;


/* An upstream whose initialization is ngx_http_weir_trace_direct_init(). */
typedef struct {
    ngx_http_upstream_srv_conf_t    *upstream;
    ngx_http_upstream_init_peer_pt   init;  /* its own one */
} ngx_http_weir_trace_direct_t;


typedef struct ngx_http_weir_trace_publish_s  ngx_http_weir_trace_publish_t;


typedef struct {
    ngx_http_weir_trace_publish_t  *publish;  /* NULL: no ids are published */
    ngx_uint_t                   used;     /* bool: by a weir_trace */
    ngx_array_t                  direct;   /* of ngx_http_weir_trace_direct_t */

    /* of this process */
    struct ngx_http_weir_exporter_s  *exporter;  /* NULL: none */
    ngx_http_variable_t         *version;  /* of Weir */
    ngx_http_variable_t         *cache_status;
} ngx_http_weir_trace_main_conf_t;


/* A span id that was sent to an upstream. */
typedef struct {
    uint8_t                      id[WEIR_SPAN_ID_LEN];
    ngx_uint_t                   state;    /* the first try with it, an index
                                              of r->upstream_states */
} ngx_http_weir_trace_try_t;


typedef struct ngx_http_weir_trace_ctx_s  ngx_http_weir_trace_ctx_t;
typedef struct ngx_http_weir_trace_call_s  ngx_http_weir_trace_call_t;

/* The upstream of a location, of the request or of a subrequest. */
struct ngx_http_weir_trace_call_s {
    ngx_http_request_t          *request;
    ngx_http_weir_trace_ctx_t   *ctx;      /* that has it */
    ngx_http_weir_forward_t      forward;
    ngx_http_weir_trace_try_t    first;
    ngx_array_t                 *more;     /* ..._try_t; NULL: none */
    ngx_http_upstream_t         *upstream; /* NULL: not asked */
    uint64_t                     start;    /* ngx_http_weir_ticks() */
    ngx_uint_t                   context;  /* NGX_HTTP_WEIR_TRACE_... */
    ngx_http_weir_trace_call_t  *next;     /* earlier */
    ngx_int_t                  (*reinit)(ngx_http_request_t *r); /* direct: that
                                              of the upstream */
    char                         traceparent[WEIR_CONTEXT_LEN]; /* as it was
                                              first sent */
};


typedef struct ngx_http_weir_trace_refresh_s  ngx_http_weir_trace_refresh_t;

struct ngx_http_weir_trace_ctx_s {
    ngx_http_request_t          *request;  /* the main one, or a background
                                              refresh */
    weir_context_t               context;  /* our server span; the flags are
                                              those that are sent */
    uint8_t                      parent_id[WEIR_SPAN_ID_LEN]; /* zero: none */
    ngx_str_t                    tracestate; /* as it is sent; len 0: none */
    ngx_http_weir_trace_call_t  *calls;    /* the last one */
    ngx_http_weir_trace_refresh_t  *refreshes; /* of a main request: the last
                                                  that it has started */
    unsigned                     sampled:1;
    unsigned                     late:1;   /* upstreams are told that the trace
                                              may be kept late */
    ngx_http_weir_trace_call_t   first;    /* memory of the first call */
};


/* Times are ngx_http_weir_ticks(). */
struct ngx_http_weir_trace_refresh_s {
    ngx_http_weir_trace_ctx_t    ctx;      /* of the subrequest; first member */
    weir_context_t               origin;   /* the span that started it */
    uint64_t                     start;
    uint64_t                     end;      /* 0: not ended */
    ngx_http_weir_trace_refresh_t  *next;  /* earlier */
};


/* The context that the client sent. */
typedef struct {
    weir_context_t               context;
    weir_tracestate_t            state;    /* of a traceparent only */
    unsigned                     found:1;
    unsigned                     sampled:1; /* B3 may decide without ids */
} ngx_http_weir_trace_received_t;


extern ngx_module_t  ngx_http_weir_trace_module;


/* conf: for the table of directives. */
char *ngx_http_weir_trace_set(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_weir_trace_set_context(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
void *ngx_http_weir_trace_create_loc_conf(ngx_conf_t *cf);
char *ngx_http_weir_trace_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);

/* known: empty; NULL: no memory. */
ngx_http_weir_trace_known_t *ngx_http_weir_trace_known_create(ngx_pool_t *pool);

/*
 * conf: reads "on", "off", "parent", or a ratio from 0 to 1; NGX_DECLINED if
 * the value is none of them.
 */
ngx_int_t ngx_http_weir_trace_read_mode(ngx_str_t *value, ngx_uint_t *mode,
    uint64_t *threshold);

/*
 * context: that of the background refresh that r is or belongs to, or else of
 * the main request; NULL: it has none yet.
 */
ngx_http_weir_trace_ctx_t *ngx_http_weir_trace_find(ngx_http_request_t *r);

/* context: that of this very request, main or not; NULL: it has none yet. */
static ngx_inline ngx_http_weir_trace_ctx_t *ngx_http_weir_trace_find_own(
    ngx_http_request_t *r);

/* context: the same where the contexts of modules were cleared. */
ngx_http_weir_trace_ctx_t *ngx_http_weir_trace_restore(ngx_http_request_t *r);

/*
 * context: as find, which is created if there is none.  NULL if the location
 * of the request has no weir_trace, or without memory.
 */
ngx_http_weir_trace_ctx_t *ngx_http_weir_trace_get(ngx_http_request_t *r);

/*
 * context: the same for a main request.  If it is created, *place is so many bytes
 * that live as long, for a text; NULL: there are none.
 */
ngx_http_weir_trace_ctx_t *ngx_http_weir_trace_get_main(ngx_http_request_t *r,
    size_t size, u_char **place);

/*
 * context: begins the trace of a main request, into *ctx; drawn is the result
 * of weir_trace_ids_draw().  NGX_OK, or NGX_DECLINED if weir_trace is off for
 * it, also by its variable, or without memory.
 */
ngx_int_t ngx_http_weir_trace_begin(ngx_http_request_t *r,
    ngx_http_weir_trace_loc_conf_t *tlcf, uint64_t drawn,
    ngx_http_weir_trace_ctx_t *ctx);

/* context: ngx_http_weir_record_identity of requests that are traced. */
void ngx_http_weir_trace_identity(ngx_http_request_t *r,
    weir_context_t *context);

/*
 * extract: the context of the client, by traceparent, or by the headers of B3
 * that are allowed (NGX_HTTP_WEIR_TRACE_B3...).
 */
void ngx_http_weir_trace_extract(ngx_http_request_t *r, ngx_uint_t allowed,
    ngx_http_weir_trace_received_t *received);

/*
 * refresh: begins the trace of a background refresh; refresh->ctx.request is
 * set.  The trace is sampled if that of its request is.
 */
void ngx_http_weir_trace_refresh_begin(ngx_http_weir_trace_refresh_t *refresh,
    ngx_http_weir_trace_ctx_t *origin);

/* inject: the handler of the precontent phase. */
ngx_int_t ngx_http_weir_trace_content_handler(ngx_http_request_t *r);

/*
 * inject: a new call, which is not in its context's list yet; NULL: no memory, or
 * ctx is NULL.
 */
static ngx_inline ngx_http_weir_trace_call_t *ngx_http_weir_trace_call_create(
    ngx_http_request_t *r, ngx_http_weir_trace_loc_conf_t *tlcf,
    ngx_http_weir_trace_ctx_t *ctx);

/*
 * inject: the request is made again from the same buffers, for another server;
 * data is the call.
 */
void ngx_http_weir_trace_inject_again(ngx_http_request_t *r, void *data);

/*
 * direct: finds out whether the location that is being merged is asked by it.
 * NGX_OK or NGX_ERROR (no memory).
 */
ngx_int_t ngx_http_weir_trace_direct_merge(ngx_conf_t *cf,
    ngx_http_weir_trace_loc_conf_t *tlcf);

/* end: the handler of the log phase. */
ngx_int_t ngx_http_weir_trace_log_handler(ngx_http_request_t *r);

/* publish: for the table of directives. */
char *ngx_http_weir_trace_set_publish(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/*
 * publish: lets the id of the request's trace be published, or be dropped and
 * counted if there is no room.  The configuration has weir_trace_publish.
 */
void ngx_http_weir_trace_publish(ngx_http_request_t *r,
    ngx_http_weir_trace_ctx_t *ctx);

/* publish: the process ends; ids that wait are dropped and counted. */
void ngx_http_weir_trace_publish_exit(ngx_http_weir_trace_main_conf_t *tmcf);


static ngx_inline ngx_http_weir_trace_ctx_t *
ngx_http_weir_trace_find_own(ngx_http_request_t *r)
{
    ngx_http_weir_trace_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_weir_trace_module);

    /* a redirect, or a filter that replaces the response, clears contexts */

    return ctx || !(r->internal || r->filter_finalize)
           ? ctx : ngx_http_weir_trace_restore(r);
}


static ngx_inline ngx_http_weir_trace_call_t *
ngx_http_weir_trace_call_create(ngx_http_request_t *r,
    ngx_http_weir_trace_loc_conf_t *tlcf, ngx_http_weir_trace_ctx_t *ctx)
{
    ngx_http_weir_trace_call_t  *call;

    if (ctx == NULL) {
        return NULL;
    }

    if (ctx->calls == NULL) {
        call = &ctx->first;
        weir_trace_ids_child(ctx->context.span_id, call->first.id);

    } else {
        call = ngx_palloc(r->pool, sizeof(ngx_http_weir_trace_call_t));
        if (call == NULL) {
            return NULL;
        }

        weir_trace_ids_span(call->first.id);
    }

    call->request = r;
    call->ctx = ctx;
    call->more = NULL;
    call->upstream = NULL;
    call->context = tlcf->context;

    return call;
}


#endif /* _NGX_HTTP_WEIR_TRACE_H_INCLUDED_ */
