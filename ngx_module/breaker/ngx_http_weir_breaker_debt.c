/*
 * The result that a request owes its breaker.
 *
 * The result is reported by the first header filter, which sees the upstream's
 * own response, or nginx's 502 or 504 in its place.  So a client that reads the
 * body slowly has no influence.  A body that the upstream breaks off is
 * reported as a failure when the request ends, and so is a failure that gRPC
 * tells in the trailers.
 *
 * The debt is the data of a cleanup of the request's pool, because an internal
 * redirect clears module contexts.  So every debt is settled, at the latest
 * when the request ends.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "breaker/ngx_http_weir_breaker.h"
#include "http/ngx_http_weir.h"
#include "http/ngx_http_weir_assert.h"


static ngx_int_t ngx_http_weir_breaker_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_breaker_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
static void ngx_http_weir_breaker_debt_give(void *data);
static void ngx_http_weir_breaker_settle(ngx_http_weir_breaker_debt_t *debt,
    ngx_uint_t final);
static ngx_uint_t ngx_http_weir_breaker_is_failure(
    weir_breaker_outcome_t outcome);


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


static ngx_http_weir_blocks_t  ngx_http_weir_breaker_debt_blocks = {
    sizeof(ngx_http_weir_breaker_debt_t), ngx_http_weir_breaker_debt_give, NULL,
    0
};


ngx_http_weir_breaker_debt_t *
ngx_http_weir_breaker_debt_new(ngx_http_request_t *r)
{
    return ngx_http_weir_block_take(&ngx_http_weir_breaker_debt_blocks,
                                    r->pool);
}


void
ngx_http_weir_breaker_debt_owe(ngx_http_weir_breaker_debt_t *debt,
    ngx_http_request_t *r, ngx_http_weir_breaker_t *breaker,
    ngx_http_weir_breaker_ticket_t *ticket)
{
    ngx_memzero(&debt->block + 1,
                sizeof(ngx_http_weir_breaker_debt_t)
                - sizeof(ngx_http_weir_block_t));
    debt->request = r;
    debt->breaker = breaker;
    debt->ticket = *ticket;
    debt->earlier = r->upstream;
    debt->tries = r->upstream_states ? r->upstream_states->nelts : 0;

    debt->block.cleanup.handler = ngx_http_weir_breaker_debt_end;
}


static void
ngx_http_weir_breaker_debt_give(void *data)
{
    ngx_http_weir_block_give(&ngx_http_weir_breaker_debt_blocks, data);
}


void
ngx_http_weir_breaker_debt_end(void *data)
{
    ngx_http_weir_breaker_settle(data, 1);
    ngx_http_weir_breaker_debt_give(data);
}


void
ngx_http_weir_breaker_init_filter(void)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_weir_breaker_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_weir_breaker_body_filter;
}


static ngx_int_t
ngx_http_weir_breaker_header_filter(ngx_http_request_t *r)
{
    ngx_http_weir_breaker_debt_t  *debt;

    if (r == r->main && r->upstream) {
        debt = ngx_http_weir_breaker_debt(r);

        if (debt) {
            ngx_http_weir_breaker_settle(debt, 0);
        }
    }

    return ngx_http_next_header_filter(r);
}


/*
 * Counts the body if the upstream module does not compare it with its
 * Content-Length: FastCGI has an end marker of its own.
 */

static ngx_int_t
ngx_http_weir_breaker_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_chain_t                   *cl;
    ngx_http_upstream_t           *u;
    ngx_http_weir_breaker_debt_t  *debt;

    u = r->upstream;

    if (in && u && r == r->main && u->headers_in.content_length_n > 0
        && (u->buffering ? u->pipe && u->pipe->length == -1 : u->length == -1))
    {
        debt = ngx_http_weir_breaker_debt(r);

        if (debt) {
            debt->counted = 1;

            for (cl = in; cl; cl = cl->next) {
                debt->body += ngx_buf_special(cl->buf) ? 0
                                                       : ngx_buf_size(cl->buf);
            }
        }
    }

    return ngx_http_next_body_filter(r, in);
}


/*
 * Reports what is known.  Not final: an upstream that has not answered may
 * still do so.  Final: the upstream is abandoned, or its body has broken off.  That
 * of an earlier pass says nothing, while this pass has none (weir_limit).
 */

static void
ngx_http_weir_breaker_settle(ngx_http_weir_breaker_debt_t *debt,
    ngx_uint_t final)
{
    ngx_http_request_t              *r;
    ngx_uint_t                       cause, missing;
    weir_breaker_outcome_t           outcome;
    ngx_http_weir_breaker_change_t   change;

    r = debt->request;

    ngx_http_weir_assert(debt->breaker && debt->ticket.node);

    cause = NGX_HTTP_WEIR_BREAKER_CUT;
    missing = 0;

    if (debt->counted && r->upstream) {
        missing = debt->body < r->upstream->headers_in.content_length_n;
    }

    if (!debt->reported) {
        outcome = WEIR_BREAKER_ABANDONED;

        if (r->upstream != debt->earlier) {
            outcome = ngx_http_weir_breaker_outcome(r, debt->breaker, &cause);
        }

        if (outcome == WEIR_BREAKER_ABANDONED) {

            if (!final) {
                return;
            }

            if (r->upstream != debt->earlier) {
                outcome = ngx_http_weir_breaker_outcome_left(r, debt->breaker);
            }

            cause = NGX_HTTP_WEIR_BREAKER_LEFT;
        }

        if (ngx_http_weir_breaker_has_tries(debt)) {
            ngx_http_weir_breaker_debt_tries(debt, 0);
        }

    } else if (final && !debt->failed && r->upstream
               && r->upstream == debt->upstream
               && (((debt->breaker->on & NGX_HTTP_WEIR_BREAKER_ON_ERROR)
                    && ngx_http_weir_outcome_broke_off(r, missing))
                   || ngx_http_weir_breaker_outcome_grpc(r, debt->breaker,
                                                         &cause)
                      == NGX_OK))
    {
        outcome = WEIR_BREAKER_FAILURE;

    } else {
        return;
    }

    ngx_http_weir_assert(!debt->reported
                         || ngx_http_weir_breaker_is_failure(outcome));
    ngx_http_weir_assert(final || outcome != WEIR_BREAKER_ABANDONED);

    debt->reported = 1;
    debt->failed = outcome == WEIR_BREAKER_ABANDONED
                   || ngx_http_weir_breaker_is_failure(outcome);
    debt->upstream = r->upstream;

    ngx_http_weir_breaker_zone_report(debt->breaker->zone, &debt->ticket,
                                      outcome, cause, &debt->success, &change);

    ngx_http_weir_breaker_changed(r, debt->breaker, &change);
}


void
ngx_http_weir_breaker_debt_tries(ngx_http_weir_breaker_debt_t *debt,
    ngx_uint_t reused)
{
    ngx_uint_t                       cause, n;
    ngx_http_request_t              *r;
    weir_breaker_outcome_t           outcome;
    ngx_http_upstream_state_t       *state;
    ngx_http_weir_breaker_change_t   change;

    r = debt->request;

    if (r->upstream_states == NULL) {
        return;
    }

    n = r->upstream_states->nelts;

    while (debt->tries + 1 < n) {

        state = (ngx_http_upstream_state_t *) r->upstream_states->elts
                + debt->tries++;

        /* an empty one is between those of two locations */

        if (state->peer == NULL || state->status == 0
            || (reused && debt->tries + 1 == n
                && state->header_time == (ngx_msec_t) -1))
        {
            continue;
        }

        outcome = ngx_http_weir_breaker_outcome_of_try(state, debt->breaker,
                                                       &cause);

        if (outcome == WEIR_BREAKER_SUCCESS) {
            continue;
        }

        ngx_http_weir_breaker_zone_tried(debt->breaker->zone, &debt->ticket,
                                         outcome, cause, &change);

        ngx_http_weir_breaker_changed(r, debt->breaker, &change);
    }
}


static ngx_uint_t
ngx_http_weir_breaker_is_failure(weir_breaker_outcome_t outcome)
{
    return outcome == WEIR_BREAKER_FAILURE || outcome == WEIR_BREAKER_TIMEOUT;
}


void
ngx_http_weir_breaker_cleanup(void *data)
{
    ngx_http_weir_breaker_settle(data, 1);
}
