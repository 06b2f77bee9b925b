/*
 * The trace of a background refresh: an internal span that links the span of the
 * request that started the refresh, and the client spans of its upstream.
 *
 * The two traces are kept or left out together, here and by all other services:
 * what decides are the last bytes of a trace id, and they are the same.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "common/trace/ids.h"
#include "common/trace/late/late.h"
#include "common/trace/tracestate.h"
#include "export/ngx_http_weir_export.h"
#include "http/ngx_http_weir.h"
#include "http/ngx_http_weir_clock.h"
#include "http/route/ngx_http_weir_route.h"
#include "trace/ngx_http_weir_trace_private.h"


static void ngx_http_weir_trace_refresh_state(ngx_http_request_t *r,
    ngx_str_t *from, ngx_str_t *to);
static ngx_uint_t ngx_http_weir_trace_refresh_keeps(weir_str_t key);
static ngx_int_t ngx_http_weir_trace_refresh_done(ngx_http_request_t *r,
    void *data, ngx_int_t rc);


void
ngx_http_weir_trace_refresh_begin(ngx_http_weir_trace_refresh_t *refresh,
    ngx_http_weir_trace_ctx_t *origin)
{
    uint64_t                     drawn;
    ngx_http_request_t          *r;
    ngx_http_post_subrequest_t  *ps;

    r = refresh->ctx.request;

    ngx_memcpy(&drawn, origin->context.trace_id + WEIR_TRACE_ID_LEN
                       - sizeof(drawn), sizeof(drawn));
    weir_trace_ids_complete(drawn, &refresh->ctx.context);

    refresh->origin = origin->context;
    refresh->start = ngx_http_weir_ticks();
    refresh->ctx.context.flags = origin->context.flags;
    refresh->ctx.sampled = origin->sampled;
    refresh->ctx.late = origin->late;

    ngx_http_weir_trace_refresh_state(r, &origin->tracestate,
                                      &refresh->ctx.tracestate);

    if (r->post_subrequest) {
        return;
    }

    ps = ngx_palloc(r->pool, sizeof(ngx_http_post_subrequest_t));

    if (ps) {
        ps->handler = ngx_http_weir_trace_refresh_done;
        ps->data = refresh;
        r->post_subrequest = ps;
    }
}


/* Others than our own members are of the other trace. */

static void
ngx_http_weir_trace_refresh_state(ngx_http_request_t *r, ngx_str_t *from,
    ngx_str_t *to)
{
    u_char             *p;
    size_t              i, n;
    weir_str_t          line;
    weir_tracestate_t   state;

    line.data = (char *) from->data;
    line.len = from->len;

    if (line.len == 0 || weir_tracestate_parse(&line, 1, &state) != 0) {
        return;
    }

    for (i = 0, n = 0; i < state.n; i++) {
        if (ngx_http_weir_trace_refresh_keeps(state.members[i].key)) {
            state.members[n++] = state.members[i];
        }
    }

    state.n = n;

    p = n ? ngx_pnalloc(r->pool, WEIR_TRACESTATE_ROOM) : NULL;

    if (p) {
        to->data = p;
        to->len = weir_tracestate_format(&state, WEIR_STR(""), WEIR_STR(""),
                                         (char *) p);
    }
}


/* "ot" has the threshold; the other one says that the trace may be kept late. */

static ngx_uint_t
ngx_http_weir_trace_refresh_keeps(weir_str_t key)
{
    return weir_str_eq(key, WEIR_STR("ot"))
           || weir_str_eq(key, WEIR_STR(WEIR_TRACE_LATE_KEY));
}


static ngx_int_t
ngx_http_weir_trace_refresh_done(ngx_http_request_t *r, void *data,
    ngx_int_t rc)
{
    ngx_http_weir_trace_refresh_t *refresh = data;

    refresh->end = ngx_http_weir_ticks();

    return rc;
}


void
ngx_http_weir_trace_refresh(ngx_http_weir_trace_kept_t *kept,
    ngx_http_weir_trace_refresh_t *refresh)
{
    u_char                            *p;
    weir_span_t                        span;
    ngx_http_request_t                *r;
    weir_span_link_t                   link;
    ngx_http_weir_loc_conf_t          *wlcf;
    ngx_http_weir_trace_attributes_t   attributes;
    u_char                             name[NGX_HTTP_WEIR_ROUTE_MAX + 16];

    r = kept->request;

    ngx_http_weir_trace_child(kept->ctx, &span);
    ngx_memcpy(span.span_id, kept->ctx->context.span_id, WEIR_SPAN_ID_LEN);
    ngx_memzero(span.parent_id, WEIR_SPAN_ID_LEN);

    span.kind = WEIR_SPAN_INTERNAL;
    span.start = kept->start;
    span.end = kept->end;

    ngx_http_weir_trace_link(&span, &link, &refresh->origin);

    attributes.n = 0;
    p = ngx_cpymem(name, "refresh", sizeof("refresh") - 1);

    wlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_module);

    if (wlcf->route.len) {
        ngx_http_weir_trace_text(&attributes, "http.route", &wlcf->route,
                                 NGX_HTTP_WEIR_ROUTE_MAX);
        *p++ = ' ';
        p = ngx_cpymem(p, wlcf->route.data, wlcf->route.len);
    }

    span.name.data = (char *) name;
    span.name.len = p - name;
    span.attributes.elts = attributes.elts;
    span.attributes.n = attributes.n;

    if (ngx_http_weir_trace_status(r) >= NGX_HTTP_INTERNAL_SERVER_ERROR) {
        span.status = WEIR_SPAN_STATUS_ERROR;
    }

    (void) ngx_http_weir_export_span(r, &span);

    ngx_http_weir_trace_clients(kept);
}
