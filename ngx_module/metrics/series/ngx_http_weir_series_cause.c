/*
 * The cause of a slow request: the phase that it has spent most of its time in,
 * and the upstream or Redis that it has waited for then.  The phase UPSTREAM of
 * the record is divided by what nginx knows of each try.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/ngx_http_weir_cache.h"
#include "http/ngx_http_weir_assert.h"
#include "metrics/series/ngx_http_weir_series.h"


static void ngx_http_weir_series_cause_dependency(ngx_http_request_t *r,
    ngx_http_weir_series_cause_e cause, ngx_str_t *dependency, u_char *buf);
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
    ngx_string("limit"),
    ngx_string("receive"),
    ngx_string("connect"),
    ngx_string("upstream"),
    ngx_string("response"),
    ngx_string("send")
};


/* The same in words: without a name, and before one. */
static ngx_str_t
    ngx_http_weir_series_words[NGX_HTTP_WEIR_SERIES_CAUSES][2] =
{
    { ngx_string("nginx itself"), ngx_null_string },
    { ngx_string("version negotiation"), ngx_null_string },
    { ngx_string("cache lookup"), ngx_null_string },
    { ngx_string("waiting for Redis"), ngx_string("Redis ") },
    { ngx_string("waiting for another request"), ngx_null_string },
    { ngx_string("the breaker"), ngx_null_string },
    { ngx_string("waiting for a slot"), ngx_null_string },
    { ngx_string("receiving the request"), ngx_null_string },
    { ngx_string("connecting to an upstream"), ngx_string("connecting to ") },
    { ngx_string("waiting for an upstream"), ngx_string("waiting for ") },
    { ngx_string("receiving the response"), ngx_string("receiving from ") },
    { ngx_string("sending to the client"), ngx_null_string }
};


ngx_str_t *
ngx_http_weir_series_cause_name(ngx_http_weir_series_cause_e cause)
{
    ngx_http_weir_assert(cause < NGX_HTTP_WEIR_SERIES_CAUSES);

    return &ngx_http_weir_series_causes[cause];
}


ngx_str_t *
ngx_http_weir_series_cause_words(ngx_http_weir_series_cause_e cause,
    ngx_uint_t named)
{
    ngx_http_weir_assert(cause < NGX_HTTP_WEIR_SERIES_CAUSES);

    return &ngx_http_weir_series_words[cause][named ? 1 : 0];
}


ngx_http_weir_series_blame_t *
ngx_http_weir_series_cause_of(ngx_http_weir_series_group_t *route,
    ngx_uint_t number, ngx_http_weir_series_cause_e *phase)
{
    ngx_http_weir_series_blame_t  *blame;

    if (number < NGX_HTTP_WEIR_SERIES_CAUSES) {
        *phase = number;
        return NULL;
    }

    for (blame = ngx_http_weir_series_load(route->blames);
         blame->number != number;
         blame = blame->next)
    {
        /* it was linked before anything was counted */
        ngx_http_weir_assert(blame->next);
    }

    *phase = blame->phase;

    return blame;
}


ngx_http_weir_series_cause_e
ngx_http_weir_series_cause(ngx_http_request_t *r,
    ngx_http_weir_record_t *record, ngx_str_t *dependency, u_char *buf)
{
    uint64_t                      times[NGX_HTTP_WEIR_SERIES_CAUSES];
    uint64_t                      spent[NGX_HTTP_WEIR_PHASES];
    ngx_uint_t                    i;
    ngx_http_weir_series_cause_e  cause;

    for (i = 0; i < NGX_HTTP_WEIR_PHASES; i++) {
        spent[i] = ngx_http_weir_clock_ns(record->spent[i]);
    }

    times[NGX_HTTP_WEIR_SERIES_NGINX] = spent[NGX_HTTP_WEIR_PHASE_NGINX];
    times[NGX_HTTP_WEIR_SERIES_VERSION] = spent[NGX_HTTP_WEIR_PHASE_VERSION];
    times[NGX_HTTP_WEIR_SERIES_LOOKUP] = spent[NGX_HTTP_WEIR_PHASE_LOOKUP];
    times[NGX_HTTP_WEIR_SERIES_REDIS] = spent[NGX_HTTP_WEIR_PHASE_REDIS];
    times[NGX_HTTP_WEIR_SERIES_TURN] = spent[NGX_HTTP_WEIR_PHASE_TURN];
    times[NGX_HTTP_WEIR_SERIES_BREAKER] = spent[NGX_HTTP_WEIR_PHASE_BREAKER];
    times[NGX_HTTP_WEIR_SERIES_LIMIT] = spent[NGX_HTTP_WEIR_PHASE_LIMIT];
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

    ngx_http_weir_series_cause_dependency(r, cause, dependency, buf);

    return cause;
}


/* A request that has asked several upstreams has waited for the last one. */

static void
ngx_http_weir_series_cause_dependency(ngx_http_request_t *r,
    ngx_http_weir_series_cause_e cause, ngx_str_t *dependency, u_char *buf)
{
    u_char                        *p, *last;
    ngx_str_t                     *name;
    ngx_http_weir_cache_ctx_t     *cache;
    ngx_http_upstream_srv_conf_t  *uscf;

    dependency->len = 0;
    dependency->data = buf;
    last = buf + NGX_HTTP_WEIR_SERIES_BLAME;

    switch (cause) {

    case NGX_HTTP_WEIR_SERIES_REDIS:
        cache = ngx_http_get_module_ctx(r, ngx_http_weir_cache_module);

        if (cache && cache->conf && cache->conf->zone
            && cache->conf->zone->redis)
        {
            name = ngx_http_weir_redis_name(cache->conf->zone->redis);
            dependency->len = ngx_slprintf(buf, last, "%V", name) - buf;
        }

        return;

    case NGX_HTTP_WEIR_SERIES_CONNECT:
    case NGX_HTTP_WEIR_SERIES_WAIT:
    case NGX_HTTP_WEIR_SERIES_RESPONSE:
        uscf = r->upstream ? r->upstream->upstream : NULL;

        if (uscf == NULL) {
            /* a name that the configuration does not have may be any */
            return;
        }

        p = ngx_slprintf(buf, last, "%V", &uscf->host);

        if (uscf->port) {
            p = ngx_slprintf(p, last, ":%ui", (ngx_uint_t) uscf->port);
        }

        dependency->len = p - buf;
        return;

    default:
        return;
    }
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
