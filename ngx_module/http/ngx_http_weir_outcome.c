/*
 * The outcome of a request's upstream; see ngx_http_weir_outcome.h.
 *
 * u->state belongs to the last server that was tried.  If its header did not
 * arrive completely, nginx records the reason there: 504 for a timeout, 502 or
 * another code for an error, 0 if it was not abandoned.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "http/ngx_http_weir_outcome.h"


ngx_http_weir_outcome_e
ngx_http_weir_outcome(ngx_http_request_t *r, ngx_http_upstream_t *earlier,
    ngx_uint_t *status)
{
    ngx_uint_t            why;
    ngx_http_upstream_t  *u;

    u = r->upstream;
    *status = 0;

    if (u == NULL || u == earlier) {
        return NGX_HTTP_WEIR_OUTCOME_NONE;
    }

    *status = ngx_http_weir_upstream_status(r);

    if (*status) {
        return NGX_HTTP_WEIR_OUTCOME_ANSWERED;
    }

    why = u->state ? u->state->status : 0;

    if (why == 0) {

        if (u->state && u->state->peer) {
            /*
             * a server was chosen and not given up: r->err_status may be that
             * of an earlier location, which an error_page left
             */
            return NGX_HTTP_WEIR_OUTCOME_PENDING;
        }

        if (r->headers_out.status == NGX_HTTP_CLIENT_CLOSED_REQUEST) {
            return NGX_HTTP_WEIR_OUTCOME_PENDING;
        }

        /* no server was tried, for example because the name has no address */
        why = r->err_status ? r->err_status : r->headers_out.status;

        if (why != NGX_HTTP_BAD_GATEWAY && why != NGX_HTTP_GATEWAY_TIME_OUT) {
            return NGX_HTTP_WEIR_OUTCOME_PENDING;
        }
    }

    return why == NGX_HTTP_GATEWAY_TIME_OUT ? NGX_HTTP_WEIR_OUTCOME_TIMEOUT
                                            : NGX_HTTP_WEIR_OUTCOME_ERROR;
}


ngx_msec_t
ngx_http_weir_outcome_took(ngx_http_request_t *r)
{
    ngx_http_upstream_t  *u;

    u = r->upstream;

    if (u == NULL || u->state == NULL) {
        return (ngx_msec_t) -1;
    }

    return u->state->header_time != (ngx_msec_t) -1 ? u->state->header_time
                                                    : u->state->response_time;
}


ngx_uint_t
ngx_http_weir_upstream_status(ngx_http_request_t *r)
{
    ngx_http_upstream_t  *u;

    u = r->upstream;

    return u && (u->state == NULL || u->state->header_time != (ngx_msec_t) -1)
           ? u->headers_in.status_n : 0;
}


ngx_uint_t
ngx_http_weir_outcome_broke_off(ngx_http_request_t *r, ngx_uint_t missing)
{
    ngx_event_pipe_t     *p;
    ngx_http_upstream_t  *u;

    u = r->upstream;

    if (u == NULL || r->header_only || r->connection->error
        || r->connection->timedout)
    {
        return 0;
    }

    if (!u->buffering) {
        return u->error || u->length > 0 || missing;
    }

    p = u->pipe;

    if (p == NULL || p->downstream_error) {
        return 0;
    }

    return p->upstream_error
           || (p->upstream_eof && (p->length > 0 || missing));
}
