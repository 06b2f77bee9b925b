/* What a response, a try or a missing one says of the upstream. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "breaker/ngx_http_weir_breaker.h"
#include "http/ngx_http_weir.h"


#define NGX_HTTP_WEIR_BREAKER_ON_ANY_GRPC                                     \
    (NGX_HTTP_WEIR_BREAKER_ON_GRPC(0) * 0xffff)


static ngx_table_elt_t *ngx_http_weir_breaker_grpc_status(ngx_list_t *lines);
static weir_breaker_outcome_t ngx_http_weir_breaker_outcome_slow(
    ngx_http_weir_breaker_t *breaker);
static ngx_uint_t ngx_http_weir_breaker_on_status(ngx_uint_t status);
static ngx_uint_t ngx_http_weir_breaker_was_slow(ngx_http_request_t *r,
    ngx_http_weir_breaker_t *breaker);


weir_breaker_outcome_t
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
            && ngx_http_weir_breaker_outcome_grpc(r, breaker, cause) == NGX_OK)
        {
            return WEIR_BREAKER_FAILURE;
        }

        if (!(breaker->on & what)
            && ngx_http_weir_breaker_was_slow(r, breaker))
        {
            *cause = NGX_HTTP_WEIR_BREAKER_SLOW;
            return ngx_http_weir_breaker_outcome_slow(breaker);
        }

        break;

    default:
        return WEIR_BREAKER_ABANDONED;
    }

    if (!(breaker->on & what)) {
        return WEIR_BREAKER_SUCCESS;
    }

    return (what == NGX_HTTP_WEIR_BREAKER_ON_TIMEOUT) ? WEIR_BREAKER_TIMEOUT
                                                      : WEIR_BREAKER_FAILURE;
}


/*
 * nginx records 504 for a timeout and 502 for an error, unless the header has
 * arrived.
 */

weir_breaker_outcome_t
ngx_http_weir_breaker_outcome_of_try(ngx_http_upstream_state_t *state,
    ngx_http_weir_breaker_t *breaker, ngx_uint_t *cause)
{
    if (state->header_time != (ngx_msec_t) -1) {
        *cause = state->status;
        return (breaker->on & ngx_http_weir_breaker_on_status(state->status))
               ? WEIR_BREAKER_FAILURE : WEIR_BREAKER_SUCCESS;
    }

    if (state->status == NGX_HTTP_GATEWAY_TIME_OUT) {
        *cause = NGX_HTTP_WEIR_BREAKER_TIMEOUT;
        return (breaker->on & NGX_HTTP_WEIR_BREAKER_ON_TIMEOUT)
               ? WEIR_BREAKER_TIMEOUT : WEIR_BREAKER_SUCCESS;
    }

    *cause = NGX_HTTP_WEIR_BREAKER_ERROR;
    return (breaker->on & NGX_HTTP_WEIR_BREAKER_ON_ERROR)
           ? WEIR_BREAKER_FAILURE : WEIR_BREAKER_SUCCESS;
}


/*
 * The server is not trusted: a status that is no number from 0 to 16 is 2
 * (unknown), as gRPC's clients take it.  16 (unauthenticated) is the caller's
 * fault.
 */

ngx_int_t
ngx_http_weir_breaker_outcome_grpc(ngx_http_request_t *r,
    ngx_http_weir_breaker_t *breaker, ngx_uint_t *cause)
{
    ngx_int_t         status;
    ngx_table_elt_t  *line;

    if (!(breaker->on & NGX_HTTP_WEIR_BREAKER_ON_ANY_GRPC)
        || r->upstream == NULL)
    {
        return NGX_DECLINED;
    }

    line = ngx_http_weir_breaker_grpc_status(&r->upstream->headers_in.trailers);

    if (line == NULL) {
        line = ngx_http_weir_breaker_grpc_status(
                                             &r->upstream->headers_in.headers);
    }

    if (line == NULL) {
        return NGX_DECLINED;
    }

    status = ngx_atoi(line->value.data, line->value.len);

    if (status == NGX_ERROR || status > 16) {
        status = 2;
    }

    if (status > 15 || !(breaker->on & NGX_HTTP_WEIR_BREAKER_ON_GRPC(status))) {
        return NGX_DECLINED;
    }

    *cause = NGX_HTTP_WEIR_BREAKER_GRPC + status;

    return NGX_OK;
}


/* The line grpc-status, or NULL. */

static ngx_table_elt_t *
ngx_http_weir_breaker_grpc_status(ngx_list_t *lines)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *line;

    static ngx_str_t  name = ngx_string("grpc-status");

    for (part = &lines->part; part; part = part->next) {

        line = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (line[i].hash && line[i].key.len == name.len
                && ngx_strncasecmp(line[i].key.data, name.data, name.len) == 0)
            {
                return &line[i];
            }
        }
    }

    return NULL;
}


weir_breaker_outcome_t
ngx_http_weir_breaker_outcome_left(ngx_http_request_t *r,
    ngx_http_weir_breaker_t *breaker)
{
    return ngx_http_weir_breaker_was_slow(r, breaker)
           ? ngx_http_weir_breaker_outcome_slow(breaker)
           : WEIR_BREAKER_ABANDONED;
}


/* Without slow_ratio=, a slow call is a failure. */

static weir_breaker_outcome_t
ngx_http_weir_breaker_outcome_slow(ngx_http_weir_breaker_t *breaker)
{
    return breaker->settings.slow_ratio ? WEIR_BREAKER_SLOW
                                        : WEIR_BREAKER_FAILURE;
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
