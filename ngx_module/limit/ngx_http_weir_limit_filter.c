/*
 * The slot is given back when the upstream has finished its response, not when a
 * slow client has received it: with the last part of the body that the upstream
 * has sent, or with the header if there is no body, or if the response is not
 * that of an upstream.  An upgraded connection and an upstream that is still
 * sending keep it.  Where no filter sees the end, the request's pool ends it.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "http/ngx_http_weir_clock.h"
#include "http/ngx_http_weir_outcome.h"
#include "limit/ngx_http_weir_limit.h"


static ngx_int_t ngx_http_weir_limit_filter_header(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_limit_filter_body(ngx_http_request_t *r,
    ngx_chain_t *in);
static uint32_t ngx_http_weir_limit_filter_took(ngx_http_request_t *r,
    ngx_http_weir_limit_hold_t *hold);
static ngx_uint_t ngx_http_weir_limit_filter_has_ended(ngx_http_request_t *r,
    ngx_chain_t *in);


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


void
ngx_http_weir_limit_filter_init(void)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_weir_limit_filter_header;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_weir_limit_filter_body;
}


static ngx_int_t
ngx_http_weir_limit_filter_header(ngx_http_request_t *r)
{
    ngx_http_upstream_t         *u;
    ngx_http_weir_limit_hold_t  *hold;

    hold = ngx_http_weir_limit_hold(r);

    if (hold && hold->ticketed) {
        u = r->upstream;

        if (hold->since) {
            hold->us = ngx_http_weir_limit_filter_took(r, hold);
        }

        if (u == NULL || u->peer.connection == NULL || r->header_only
            || r->method == NGX_HTTP_HEAD
            || r->headers_out.status == NGX_HTTP_NO_CONTENT
            || r->headers_out.status == NGX_HTTP_NOT_MODIFIED)
        {
            ngx_http_weir_limit_hold_leave(hold);
        }
    }

    return ngx_http_next_header_filter(r);
}


/*
 * Microseconds until the upstream answered, or gave no answer in time.  0 for
 * errors, which may be faster than any answer, and where the client's own pace is
 * in it.
 */

static uint32_t
ngx_http_weir_limit_filter_took(ngx_http_request_t *r,
    ngx_http_weir_limit_hold_t *hold)
{
    uint64_t                  us;
    ngx_uint_t                status;
    ngx_http_weir_outcome_e   outcome;

    outcome = ngx_http_weir_outcome(r, hold->earlier, &status);

    if (r->request_body_no_buffering
        || (outcome != NGX_HTTP_WEIR_OUTCOME_TIMEOUT
            && (outcome != NGX_HTTP_WEIR_OUTCOME_ANSWERED
                || status < NGX_HTTP_OK
                || status >= NGX_HTTP_INTERNAL_SERVER_ERROR)))
    {
        return 0;
    }

    us = ngx_http_weir_clock_ns(ngx_http_weir_ticks_from(hold->since)
                                - hold->since)
         / 1000;

    return (uint32_t) ngx_min(ngx_max(us, 1), UINT32_MAX);
}


static ngx_int_t
ngx_http_weir_limit_filter_body(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_http_weir_limit_hold_t  *hold;

    hold = ngx_http_weir_limit_hold(r);

    if (hold && hold->ticketed && ngx_http_weir_limit_filter_has_ended(r, in)) {
        ngx_http_weir_limit_hold_leave(hold);
    }

    return ngx_http_next_body_filter(r, in);
}


/* True if nothing more comes from the upstream. */

static ngx_uint_t
ngx_http_weir_limit_filter_has_ended(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_chain_t          *cl;
    ngx_event_pipe_t     *p;
    ngx_http_upstream_t  *u;

    u = r->upstream;

    if (u == NULL || u->peer.connection == NULL) {
        return 1;
    }

    if (u->upgrade) {
        return 0;
    }

    p = u->pipe;

    if (u->buffering && p) {
        if (p->upstream_done || p->upstream_eof || p->upstream_error) {
            return 1;
        }

    } else if (u->length == 0) {
        return 1;
    }

    for (cl = in; cl; cl = cl->next) {
        if (cl->buf->last_buf || cl->buf->last_in_chain) {
            return 1;
        }
    }

    return 0;
}
