/*
 * The cause of a slow request: the phase that it has spent most of its time in.
 * The phase UPSTREAM of the record is divided by what nginx knows of each try.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "http/ngx_http_weir_assert.h"
#include "metrics/series/ngx_http_weir_series.h"


static void ngx_http_weir_series_cause_upstream(ngx_http_request_t *r,
    uint64_t spent, uint64_t *times);


/* In the order of ngx_http_weir_series_cause_e. */
static ngx_str_t  ngx_http_weir_series_causes[NGX_HTTP_WEIR_SERIES_CAUSES] = {
    ngx_string("nginx"),
    ngx_string("version"),
    ngx_string("lookup"),
    ngx_string("redis"),
    ngx_string("turn"),
    ngx_string("breaker"),
    ngx_string("receive"),
    ngx_string("connect"),
    ngx_string("upstream"),
    ngx_string("response"),
    ngx_string("send")
};


ngx_str_t *
ngx_http_weir_series_cause_name(ngx_http_weir_series_cause_e cause)
{
    ngx_http_weir_assert(cause < NGX_HTTP_WEIR_SERIES_CAUSES);

    return &ngx_http_weir_series_causes[cause];
}


ngx_http_weir_series_cause_e
ngx_http_weir_series_cause(ngx_http_request_t *r,
    ngx_http_weir_record_t *record)
{
    uint64_t                      times[NGX_HTTP_WEIR_SERIES_CAUSES];
    uint64_t                     *spent;
    ngx_uint_t                    i;
    ngx_http_weir_series_cause_e  cause;

    spent = record->spent;

    times[NGX_HTTP_WEIR_SERIES_NGINX] = spent[NGX_HTTP_WEIR_PHASE_NGINX];
    times[NGX_HTTP_WEIR_SERIES_VERSION] = spent[NGX_HTTP_WEIR_PHASE_VERSION];
    times[NGX_HTTP_WEIR_SERIES_LOOKUP] = spent[NGX_HTTP_WEIR_PHASE_LOOKUP];
    times[NGX_HTTP_WEIR_SERIES_REDIS] = spent[NGX_HTTP_WEIR_PHASE_REDIS];
    times[NGX_HTTP_WEIR_SERIES_TURN] = spent[NGX_HTTP_WEIR_PHASE_TURN];
    times[NGX_HTTP_WEIR_SERIES_BREAKER] = spent[NGX_HTTP_WEIR_PHASE_BREAKER];
    times[NGX_HTTP_WEIR_SERIES_RESPONSE] = spent[NGX_HTTP_WEIR_PHASE_RESPONSE];
    times[NGX_HTTP_WEIR_SERIES_SEND] = spent[NGX_HTTP_WEIR_PHASE_SEND];

    ngx_http_weir_series_cause_upstream(r, spent[NGX_HTTP_WEIR_PHASE_UPSTREAM],
                                        times);

    cause = NGX_HTTP_WEIR_SERIES_NGINX;

    for (i = 1; i < NGX_HTTP_WEIR_SERIES_CAUSES; i++) {
        if (times[i] > times[cause]) {
            cause = i;
        }
    }

    return cause;
}


/*
 * Time before the first server was connected to is that of reading the request's
 * body.  A server that was not connected to has taken all its time for that.
 */

static void
ngx_http_weir_series_cause_upstream(ngx_http_request_t *r, uint64_t spent,
    uint64_t *times)
{
    uint64_t                    connect, asked;
    ngx_uint_t                  i;
    ngx_msec_t                  header;
    ngx_http_upstream_state_t  *state;

    connect = 0;
    asked = 0;

    if (r->upstream_states) {
        state = r->upstream_states->elts;

        for (i = 0; i < r->upstream_states->nelts; i++) {

            header = state[i].header_time != (ngx_msec_t) -1
                     ? state[i].header_time : state[i].response_time;

            if (state[i].peer == NULL || header == (ngx_msec_t) -1) {
                continue;
            }

            asked += (uint64_t) header * 1000000;
            connect += (uint64_t) (state[i].connect_time != (ngx_msec_t) -1
                                   ? state[i].connect_time : header)
                       * 1000000;
        }
    }

    if (r->headers_in.content_length_n <= 0 && !r->headers_in.chunked) {
        asked = spent;
    }

    asked = ngx_min(asked, spent);
    connect = ngx_min(connect, asked);

    times[NGX_HTTP_WEIR_SERIES_RECEIVE] = spent - asked;
    times[NGX_HTTP_WEIR_SERIES_CONNECT] = connect;
    times[NGX_HTTP_WEIR_SERIES_WAIT] = asked - connect;
}
