/* The context that the client sent. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "common/trace/b3.h"
#include "trace/ngx_http_weir_trace.h"


/* The lines of tracestate that are read; more of them are one too many. */
#define NGX_HTTP_WEIR_TRACE_LINES  WEIR_TRACESTATE_MEMBERS


/* The lines of the headers that matter, as they were received. */
typedef struct {
    weir_str_t       traceparent;
    weir_str_t       b3;
    weir_b3_multi_t  multi;
    weir_str_t       tracestate[NGX_HTTP_WEIR_TRACE_LINES];
    ngx_uint_t       traceparents;
    ngx_uint_t       tracestates;          /* all, also those not kept */
} ngx_http_weir_trace_lines_t;


static void ngx_http_weir_trace_extract_lines(ngx_http_request_t *r,
    ngx_http_weir_trace_lines_t *lines);
static void ngx_http_weir_trace_extract_line(ngx_table_elt_t *h,
    ngx_http_weir_trace_lines_t *lines);
static ngx_uint_t ngx_http_weir_trace_extract_is(ngx_table_elt_t *h,
    char *name, size_t len);
static void ngx_http_weir_trace_extract_b3(ngx_uint_t allowed,
    ngx_http_weir_trace_lines_t *lines,
    ngx_http_weir_trace_received_t *received);


/*
 * W3C Trace Context, section 4.3: a traceparent that is invalid, or that comes
 * twice, is as none, and tracestate is not read then.
 */

void
ngx_http_weir_trace_extract(ngx_http_request_t *r, ngx_uint_t allowed,
    ngx_http_weir_trace_received_t *received)
{
    ngx_http_weir_trace_lines_t  lines;

    received->found = 0;
    received->sampled = 0;
    received->state.n = 0;

    ngx_http_weir_trace_extract_lines(r, &lines);

    if (lines.traceparents == 1
        && weir_context_parse(lines.traceparent, &received->context) == 0)
    {
        received->found = 1;
        received->sampled = received->context.flags & WEIR_CONTEXT_SAMPLED;

        if (lines.tracestates
            && lines.tracestates <= NGX_HTTP_WEIR_TRACE_LINES)
        {
            (void) weir_tracestate_parse(lines.tracestate, lines.tracestates,
                                         &received->state);
        }

        return;
    }

    ngx_http_weir_trace_extract_b3(allowed, &lines, received);
}


static void
ngx_http_weir_trace_extract_lines(ngx_http_request_t *r,
    ngx_http_weir_trace_lines_t *lines)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    ngx_memzero(lines, offsetof(ngx_http_weir_trace_lines_t, tracestate));
    lines->traceparents = 0;
    lines->tracestates = 0;

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].key.len < 2 || h[i].hash == 0) {
                continue;
            }

            /* "traceparent", "tracestate", "b3", "X-B3-..." */

            switch (h[i].key.data[0] | 0x20) {
            case 't':
            case 'b':
            case 'x':
                ngx_http_weir_trace_extract_line(&h[i], lines);
            }
        }
    }
}


static void
ngx_http_weir_trace_extract_line(ngx_table_elt_t *h,
    ngx_http_weir_trace_lines_t *lines)
{
    weir_str_t  value;

#define is(name)  ngx_http_weir_trace_extract_is(h, name, sizeof(name) - 1)

    value.data = (char *) h->value.data;
    value.len = h->value.len;

    if (is("traceparent")) {
        lines->traceparent = value;
        lines->traceparents++;

    } else if (is("tracestate")) {

        if (lines->tracestates < NGX_HTTP_WEIR_TRACE_LINES) {
            lines->tracestate[lines->tracestates] = value;
        }

        lines->tracestates++;

    } else if (is("b3")) {
        lines->b3 = value;

    } else if (is("x-b3-traceid")) {
        lines->multi.trace_id = value;

    } else if (is("x-b3-spanid")) {
        lines->multi.span_id = value;

    } else if (is("x-b3-sampled")) {
        lines->multi.sampled = value;

    } else if (is("x-b3-flags")) {
        lines->multi.flags = value;
    }

#undef is
}


static ngx_uint_t
ngx_http_weir_trace_extract_is(ngx_table_elt_t *h, char *name, size_t len)
{
    return h->key.len == len
           && ngx_strncasecmp(h->key.data, (u_char *) name, len) == 0;
}


static void
ngx_http_weir_trace_extract_b3(ngx_uint_t allowed,
    ngx_http_weir_trace_lines_t *lines,
    ngx_http_weir_trace_received_t *received)
{
    int                 rc;
    weir_b3_sampling_t  sampling;

    rc = -1;

    if ((allowed & NGX_HTTP_WEIR_TRACE_B3) && lines->b3.len) {
        rc = weir_b3_parse(lines->b3, &received->context, &sampling);
    }

    if (rc < 0 && (allowed & NGX_HTTP_WEIR_TRACE_B3MULTI)) {
        rc = weir_b3_parse_multi(&lines->multi, &received->context, &sampling);
    }

    if (rc >= 0) {
        received->found = (rc == 0);
        received->sampled = (sampling >= WEIR_B3_ACCEPTED);
    }
}
