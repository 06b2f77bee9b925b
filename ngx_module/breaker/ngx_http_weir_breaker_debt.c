/*
 * The result that a request owes its breaker.
 *
 * The result is reported by the first header filter, which sees the upstream's
 * own response, or nginx's 502 or 504 in its place.  So a client that reads the
 * body slowly has no influence.  A body that the upstream breaks off is
 * reported as a failure when the request ends.
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
static void ngx_http_weir_breaker_settle(ngx_http_weir_breaker_debt_t *debt,
    ngx_uint_t final);
static weir_breaker_outcome_t ngx_http_weir_breaker_outcome(
    ngx_http_request_t *r, ngx_http_weir_breaker_t *breaker,
    ngx_uint_t *cause);
static ngx_uint_t ngx_http_weir_breaker_on_status(ngx_uint_t status);
static ngx_uint_t ngx_http_weir_breaker_was_slow(ngx_http_request_t *r,
    ngx_http_weir_breaker_t *breaker);


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


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
 * still do so.  Final: the upstream is abandoned, or its body has broken off.
 */

static void
ngx_http_weir_breaker_settle(ngx_http_weir_breaker_debt_t *debt,
    ngx_uint_t final)
{
    ngx_http_request_t      *r;
    ngx_uint_t               cause, missing;
    weir_breaker_outcome_t   outcome;

    r = debt->request;

    ngx_http_weir_assert(debt->breaker && debt->key.len != 0);

    cause = NGX_HTTP_WEIR_BREAKER_CUT;
    missing = 0;

    if (debt->counted && r->upstream) {
        missing = debt->body < r->upstream->headers_in.content_length_n;
    }

    if (!debt->reported) {
        outcome = ngx_http_weir_breaker_outcome(r, debt->breaker, &cause);

        if (outcome == WEIR_BREAKER_ABANDONED && final
            && ngx_http_weir_breaker_was_slow(r, debt->breaker))
        {
            outcome = WEIR_BREAKER_FAILURE;
            cause = NGX_HTTP_WEIR_BREAKER_LEFT;
        }

        if (outcome == WEIR_BREAKER_ABANDONED && !final) {
            return;
        }

    } else if (final && !debt->failed && r->upstream
               && r->upstream == debt->upstream
               && (debt->breaker->on & NGX_HTTP_WEIR_BREAKER_ON_ERROR)
               && ngx_http_weir_outcome_broke_off(r, missing))
    {
        outcome = WEIR_BREAKER_FAILURE;

    } else {
        return;
    }

    ngx_http_weir_assert(!debt->reported || outcome == WEIR_BREAKER_FAILURE);
    ngx_http_weir_assert(final || outcome != WEIR_BREAKER_ABANDONED);

    debt->reported = 1;
    debt->failed = (outcome != WEIR_BREAKER_SUCCESS);
    debt->upstream = r->upstream;

    ngx_http_weir_breaker_zone_report(debt->breaker->zone, &debt->key,
                                      debt->generation, outcome, cause,
                                      &debt->success, r->connection->log);
}


static weir_breaker_outcome_t
ngx_http_weir_breaker_outcome(ngx_http_request_t *r,
    ngx_http_weir_breaker_t *breaker, ngx_uint_t *cause)
{
    ngx_uint_t  what, status;

    switch (ngx_http_weir_outcome(r, NULL, &status)) {

    case NGX_HTTP_WEIR_OUTCOME_ERROR:
        what = NGX_HTTP_WEIR_BREAKER_ON_ERROR;
        *cause = NGX_HTTP_WEIR_BREAKER_ERROR;
        break;

    case NGX_HTTP_WEIR_OUTCOME_TIMEOUT:
        what = NGX_HTTP_WEIR_BREAKER_ON_TIMEOUT;
        *cause = NGX_HTTP_WEIR_BREAKER_TIMEOUT;
        break;

    case NGX_HTTP_WEIR_OUTCOME_ANSWERED:
        what = ngx_http_weir_breaker_on_status(status);
        *cause = status;

        if (!(breaker->on & what)
            && ngx_http_weir_breaker_was_slow(r, breaker))
        {
            *cause = NGX_HTTP_WEIR_BREAKER_SLOW;
            return WEIR_BREAKER_FAILURE;
        }

        break;

    default:
        return WEIR_BREAKER_ABANDONED;
    }

    return (breaker->on & what) ? WEIR_BREAKER_FAILURE : WEIR_BREAKER_SUCCESS;
}


/* The bit of on= for the status, or 0. */

static ngx_uint_t
ngx_http_weir_breaker_on_status(ngx_uint_t status)
{
    switch (status) {
    case 429:
        return NGX_HTTP_WEIR_BREAKER_ON_429;
    case NGX_HTTP_INTERNAL_SERVER_ERROR:
        return NGX_HTTP_WEIR_BREAKER_ON_500;
    case NGX_HTTP_BAD_GATEWAY:
        return NGX_HTTP_WEIR_BREAKER_ON_502;
    case NGX_HTTP_SERVICE_UNAVAILABLE:
        return NGX_HTTP_WEIR_BREAKER_ON_503;
    case NGX_HTTP_GATEWAY_TIME_OUT:
        return NGX_HTTP_WEIR_BREAKER_ON_504;
    default:
        return (status >= 500 && status <= 599)
               ? NGX_HTTP_WEIR_BREAKER_ON_5XX : 0;
    }
}


/*
 * True if the upstream's header took longer than slow=, also if the client left
 * before it arrived.  The time begins with the connection.  If the client's
 * body is passed on as it arrives, the time depends on the client and is not
 * counted.
 */

static ngx_uint_t
ngx_http_weir_breaker_was_slow(ngx_http_request_t *r,
    ngx_http_weir_breaker_t *breaker)
{
    ngx_msec_t  took;

    if (breaker->slow == 0 || r->request_body_no_buffering) {
        return 0;
    }

    took = ngx_http_weir_outcome_took(r);

    return took != (ngx_msec_t) -1 && took > breaker->slow;
}


void
ngx_http_weir_breaker_cleanup(void *data)
{
    ngx_http_weir_breaker_settle(data, 1);
}
