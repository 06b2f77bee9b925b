/*
 * The context of a request's trace: received or new, and whether the trace is
 * sampled.
 *
 * An internal redirect clears the contexts of modules.  The trace's context has a
 * cleanup in the request's pool, and is found there again.
 *
 * A background refresh is a subrequest, of Weir's cache or of nginx's own, that
 * is a clone of its request.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "common/trace/ids.h"
#include "common/trace/late/late.h"
#include "export/ngx_http_weir_export.h"
#include "http/block/ngx_http_weir_block.h"
#include "trace/ngx_http_weir_trace.h"


/* Longer texts are the pool's, bytes. */
#define NGX_HTTP_WEIR_TRACE_TEXT  1024


static ngx_uint_t ngx_http_weir_trace_is_refresh(ngx_http_request_t *r);
static ngx_http_weir_trace_ctx_t *ngx_http_weir_trace_get_refresh(
    ngx_http_request_t *r);
static void ngx_http_weir_trace_give(void *data);
static void ngx_http_weir_trace_cleanup(void *data);
static ngx_inline ngx_int_t ngx_http_weir_trace_begin_new(
    ngx_http_request_t *r, ngx_http_weir_trace_loc_conf_t *tlcf, uint64_t drawn,
    ngx_http_weir_trace_ctx_t *ctx);
static ngx_int_t ngx_http_weir_trace_begin_received(ngx_http_request_t *r,
    ngx_http_weir_trace_loc_conf_t *tlcf, ngx_http_weir_trace_ctx_t *ctx);
static ngx_int_t ngx_http_weir_trace_resolve(ngx_http_request_t *r,
    ngx_http_weir_trace_loc_conf_t *tlcf, ngx_uint_t *mode,
    uint64_t *threshold);
static ngx_int_t ngx_http_weir_trace_continue(ngx_http_weir_trace_ctx_t *ctx,
    ngx_http_weir_trace_received_t *received, ngx_uint_t mode,
    uint64_t threshold);
static void ngx_http_weir_trace_late(ngx_http_weir_trace_ctx_t *ctx,
    weir_tracestate_t *state);
static ngx_inline void ngx_http_weir_trace_sampled(
    ngx_http_weir_trace_ctx_t *ctx);
static ngx_int_t ngx_http_weir_trace_decide(ngx_http_weir_trace_ctx_t *ctx,
    weir_tracestate_t *state, uint64_t threshold);


/* The context of a main request, and the text of its request to an upstream. */
typedef struct {
    ngx_http_weir_block_t       block;
    ngx_http_weir_trace_ctx_t   ctx;
    u_char                      text[NGX_HTTP_WEIR_TRACE_TEXT];
} ngx_http_weir_trace_own_t;


static ngx_http_weir_blocks_t  ngx_http_weir_trace_blocks = {
    sizeof(ngx_http_weir_trace_own_t), ngx_http_weir_trace_give, NULL, 0
};


ngx_http_weir_trace_ctx_t *
ngx_http_weir_trace_find(ngx_http_request_t *r)
{
    ngx_http_weir_trace_ctx_t  *ctx;

    for ( /* void */ ; r != r->main; r = r->parent) {

        if (r->background) {
            ctx = ngx_http_weir_trace_find_own(r);

            if (ctx) {
                return ctx;
            }
        }
    }

    return ngx_http_weir_trace_find_own(r);
}


ngx_http_weir_trace_ctx_t *
ngx_http_weir_trace_restore(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t         *cln;
    ngx_http_weir_trace_own_t  *own;
    ngx_http_weir_trace_ctx_t  *ctx;

    for (cln = r->pool->cleanup; cln; cln = cln->next) {

        if (cln->handler == ngx_http_weir_trace_give) {
            own = cln->data;
            ctx = &own->ctx;

        } else if (cln->handler == ngx_http_weir_trace_cleanup) {
            ctx = cln->data;

        } else {
            continue;
        }

        if (ctx->request == r) {
            ngx_http_set_ctx(r, ctx, ngx_http_weir_trace_module);
            return ctx;
        }
    }

    return NULL;
}


ngx_http_weir_trace_ctx_t *
ngx_http_weir_trace_get(ngx_http_request_t *r)
{
    if (r == r->main) {
        return ngx_http_weir_trace_get_main(r, 0, NULL);
    }

    for ( /* void */ ; r != r->main; r = r->parent) {

        if (ngx_http_weir_trace_is_refresh(r)) {
            return ngx_http_weir_trace_get_refresh(r);
        }
    }

    return ngx_http_weir_trace_get_main(r, 0, NULL);
}


ngx_http_weir_trace_ctx_t *
ngx_http_weir_trace_get_main(ngx_http_request_t *r, size_t size,
    u_char **place)
{
    ngx_http_weir_trace_own_t       *own;
    ngx_http_weir_trace_ctx_t       *ctx;
    ngx_http_weir_trace_loc_conf_t  *tlcf;

    if (size) {
        *place = NULL;
    }

    ctx = ngx_http_weir_trace_find_own(r);
    if (ctx) {
        return ctx;
    }

    tlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_trace_module);

    if (tlcf->mode == NGX_HTTP_WEIR_TRACE_OFF || r->pool == NULL) {
        return NULL;
    }

    own = ngx_http_weir_block_take(&ngx_http_weir_trace_blocks, r->pool);
    if (own == NULL) {
        return NULL;
    }

    ctx = &own->ctx;

    if (ngx_http_weir_trace_begin_new(r, tlcf, weir_trace_ids_draw(), ctx)
        != NGX_OK)
    {
        if (r->pool->cleanup == &own->block.cleanup) {
            r->pool->cleanup = own->block.cleanup.next;
            ngx_http_weir_trace_give(own);

        } else {
            /* a variable has added another one; no request finds this */
            ctx->request = NULL;
        }

        return NULL;
    }

    if (size && size <= NGX_HTTP_WEIR_TRACE_TEXT) {
        *place = own->text;
    }

    ngx_http_set_ctx(r, ctx, ngx_http_weir_trace_module);

    return ctx;
}


/*
 * A clone that was not redirected since has the location and URI of its parent;
 * later its context is there.  A mirror is in the background, too, but has a URI
 * of its own.
 */

static ngx_uint_t
ngx_http_weir_trace_is_refresh(ngx_http_request_t *r)
{
    return r->background
           && ((r->uri.data == r->parent->uri.data
                && r->loc_conf == r->parent->loc_conf)
               || ngx_http_weir_trace_find_own(r));
}


static ngx_http_weir_trace_ctx_t *
ngx_http_weir_trace_get_refresh(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t             *cln;
    ngx_http_weir_trace_ctx_t      *ctx, *origin, *main;
    ngx_http_weir_trace_refresh_t  *refresh;

    ctx = ngx_http_weir_trace_find_own(r);
    if (ctx) {
        return ctx;
    }

    origin = ngx_http_weir_trace_get(r->parent);
    main = ngx_http_weir_trace_get(r->main);

    if (origin == NULL || main == NULL) {
        return NULL;
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_weir_trace_refresh_t));
    if (cln == NULL) {
        return NULL;
    }

    refresh = cln->data;
    ngx_memzero(refresh, sizeof(ngx_http_weir_trace_refresh_t));
    refresh->ctx.request = r;

    ngx_http_weir_trace_refresh_begin(refresh, origin);

    refresh->next = main->refreshes;
    main->refreshes = refresh;

    cln->handler = ngx_http_weir_trace_cleanup;
    ngx_http_set_ctx(r, &refresh->ctx, ngx_http_weir_trace_module);

    return &refresh->ctx;
}


void
ngx_http_weir_trace_identity(ngx_http_request_t *r, weir_context_t *context)
{
    ngx_http_weir_trace_ctx_t  *ctx;

    ctx = ngx_http_weir_trace_get(r);

    if (ctx) {
        *context = ctx->context;
    }
}


static void
ngx_http_weir_trace_give(void *data)
{
    ngx_http_weir_block_give(&ngx_http_weir_trace_blocks, data);
}


/* That of a refresh needs no cleanup; the function pointer identifies it. */

static void
ngx_http_weir_trace_cleanup(void *data)
{
}


ngx_int_t
ngx_http_weir_trace_begin(ngx_http_request_t *r,
    ngx_http_weir_trace_loc_conf_t *tlcf, uint64_t drawn,
    ngx_http_weir_trace_ctx_t *ctx)
{
    return ngx_http_weir_trace_begin_new(r, tlcf, drawn, ctx);
}


static ngx_inline ngx_int_t
ngx_http_weir_trace_begin_new(ngx_http_request_t *r,
    ngx_http_weir_trace_loc_conf_t *tlcf, uint64_t drawn,
    ngx_http_weir_trace_ctx_t *ctx)
{
    ctx->request = r;
    ngx_memzero(ctx->parent_id, WEIR_SPAN_ID_LEN);
    ngx_str_null(&ctx->tracestate);
    ctx->calls = NULL;
    ctx->refreshes = NULL;
    ctx->sampled = 0;

    weir_trace_ids_complete(drawn, &ctx->context);

    ctx->late = tlcf->late && ngx_http_weir_export_enabled(r);

    if (tlcf->mode == NGX_HTTP_WEIR_TRACE_VARIABLE
        || (tlcf->context & NGX_HTTP_WEIR_TRACE_EXTRACT))
    {
        return ngx_http_weir_trace_begin_received(r, tlcf, ctx);
    }

    if (tlcf->mode == NGX_HTTP_WEIR_TRACE_RATIO
        && weir_sampling_randomness_of(drawn) >= tlcf->threshold)
    {
        ngx_http_weir_trace_sampled(ctx);
        ctx->tracestate = tlcf->tracestate;

    } else if (ctx->late) {
        ngx_str_set(&ctx->tracestate, WEIR_TRACE_LATE_KEY "="
                                      WEIR_TRACE_LATE_VALUE);
    }

    return NGX_OK;
}


/* The same where the request decides. */

static ngx_int_t
ngx_http_weir_trace_begin_received(ngx_http_request_t *r,
    ngx_http_weir_trace_loc_conf_t *tlcf, ngx_http_weir_trace_ctx_t *ctx)
{
    uint64_t                        threshold;
    ngx_uint_t                      mode;
    weir_tracestate_t               none;
    ngx_http_weir_trace_received_t  received;

    mode = tlcf->mode;
    threshold = tlcf->threshold;

    if (mode == NGX_HTTP_WEIR_TRACE_VARIABLE
        && ngx_http_weir_trace_resolve(r, tlcf, &mode, &threshold) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    if (tlcf->context & NGX_HTTP_WEIR_TRACE_EXTRACT) {
        ngx_http_weir_trace_extract(r, tlcf->context, &received);

        return ngx_http_weir_trace_continue(ctx, &received, mode, threshold);
    }

    if (mode == NGX_HTTP_WEIR_TRACE_PARENT) {
        threshold = WEIR_SAMPLING_NEVER;
    }

    none.n = 0;

    return ngx_http_weir_trace_decide(ctx, &none, threshold);
}


/* The value of a variable; another one than those of the directive is off. */

static ngx_int_t
ngx_http_weir_trace_resolve(ngx_http_request_t *r,
    ngx_http_weir_trace_loc_conf_t *tlcf, ngx_uint_t *mode,
    uint64_t *threshold)
{
    ngx_str_t  value;

    if (ngx_http_complex_value(r, tlcf->sampling, &value) != NGX_OK) {
        return NGX_DECLINED;
    }

    return ngx_http_weir_trace_read_mode(&value, mode, threshold) == NGX_OK
           && *mode != NGX_HTTP_WEIR_TRACE_OFF
           ? NGX_OK : NGX_DECLINED;
}


static ngx_int_t
ngx_http_weir_trace_continue(ngx_http_weir_trace_ctx_t *ctx,
    ngx_http_weir_trace_received_t *received, ngx_uint_t mode,
    uint64_t threshold)
{
    size_t   len;
    u_char  *p;

    if (received->found) {
        ngx_memcpy(ctx->context.trace_id, received->context.trace_id,
                   WEIR_TRACE_ID_LEN);
        ngx_memcpy(ctx->parent_id, received->context.span_id,
                   WEIR_SPAN_ID_LEN);
        ctx->context.flags = received->context.flags & WEIR_CONTEXT_RANDOM;
    }

    if (mode != NGX_HTTP_WEIR_TRACE_PARENT) {
        return ngx_http_weir_trace_decide(ctx, &received->state, threshold);
    }

    if (received->sampled) {
        ngx_http_weir_trace_sampled(ctx);
    }

    ngx_http_weir_trace_late(ctx, &received->state);

    if (received->state.n == 0) {
        return NGX_OK;
    }

    p = ngx_pnalloc(ctx->request->pool, WEIR_TRACESTATE_ROOM);
    if (p == NULL) {
        return NGX_DECLINED;
    }

    /* all members, ours too: its threshold is that of who has decided */

    len = weir_tracestate_format(&received->state, WEIR_STR(""), WEIR_STR(""),
                                 (char *) p);

    ctx->tracestate.data = p;
    ctx->tracestate.len = len;

    return NGX_OK;
}


/*
 * Decides by the randomness of the trace, and puts the threshold into the
 * member "ot" of tracestate.  A trace that is always sampled gets no member if
 * the client sent none.
 */

static ngx_int_t
ngx_http_weir_trace_decide(ngx_http_weir_trace_ctx_t *ctx,
    weir_tracestate_t *state, uint64_t threshold)
{
    u_char      *p;
    weir_str_t   ot, member;
    char         room[WEIR_TRACESTATE_VALUE];

    ot = weir_tracestate_get(state, WEIR_STR("ot"));

    if (weir_sampling_randomness(ctx->context.trace_id, ot) >= threshold) {
        ngx_http_weir_trace_sampled(ctx);

    } else {
        threshold = WEIR_SAMPLING_NEVER;
    }

    ngx_http_weir_trace_late(ctx, state);

    member.data = room;
    member.len = 0;

    if (ot.len || (threshold != WEIR_SAMPLING_ALWAYS
                   && threshold != WEIR_SAMPLING_NEVER))
    {
        member.len = weir_sampling_member(ot, threshold, room);
    }

    if (member.len == 0 && state->n == 0) {
        return NGX_OK;
    }

    p = ngx_pnalloc(ctx->request->pool, WEIR_TRACESTATE_ROOM);
    if (p == NULL) {
        return NGX_DECLINED;
    }

    ctx->tracestate.data = p;
    ctx->tracestate.len = weir_tracestate_format(state, WEIR_STR("ot"), member,
                                                 (char *) p);
    return NGX_OK;
}


/* Puts our member into what is sent, if the trace may be kept late. */

static void
ngx_http_weir_trace_late(ngx_http_weir_trace_ctx_t *ctx,
    weir_tracestate_t *state)
{
    if (ctx->late && !ctx->sampled) {
        weir_tracestate_put(state, WEIR_STR(WEIR_TRACE_LATE_KEY),
                            WEIR_STR(WEIR_TRACE_LATE_VALUE));
    }
}


static ngx_inline void
ngx_http_weir_trace_sampled(ngx_http_weir_trace_ctx_t *ctx)
{
    ctx->sampled = 1;
    ctx->context.flags |= WEIR_CONTEXT_SAMPLED;
}
