/*
 * weir_export_probe; ends a span, and answers with whether it found room, with
 * the pid and with all counts of the exporter: "name=value" in one line.  For
 * tests only.  Arguments:
 *
 *     n=NUMBER       of spans, 1 without it
 *     name=TEXT      of the spans
 *     trace=NUMBER   of the trace; the span's id counts the spans of the worker
 *     pad=BYTES      in an attribute
 *     die=1          the worker kills itself behind the last span
 *     corrupt=1      overwrites the words of all rings
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "export/ngx_http_weir_export_private.h"

#include <signal.h>


#define PROBE_PAD_MAX  65536


static char *probe_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);


static ngx_command_t  probe_commands[] = {

    { ngx_string("weir_export_probe"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      probe_directive,
      0,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  probe_ctx = {
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
};


ngx_module_t  ngx_http_weir_export_probe_module = {
    NGX_MODULE_V1,
    &probe_ctx,
    probe_commands,
    NGX_HTTP_MODULE,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NGX_MODULE_V1_PADDING
};


static ngx_int_t
probe_number(ngx_http_request_t *r, char *name, ngx_int_t absent)
{
    ngx_int_t  n;
    ngx_str_t  value;

    if (ngx_http_arg(r, (u_char *) name, ngx_strlen(name), &value) != NGX_OK) {
        return absent;
    }

    n = ngx_atoi(value.data, value.len);

    return n == NGX_ERROR ? absent : n;
}


static void
probe_put(uint8_t *p, size_t len, uint64_t n)
{
    while (len--) {
        p[len] = n & 0xff;
        n >>= 8;
    }
}


/* How many of the spans found room. */

static ngx_uint_t
probe_spans(ngx_http_request_t *r)
{
    ngx_int_t         i, n, trace;
    ngx_str_t         name;
    ngx_uint_t        taken;
    weir_span_t       span;
    weir_attribute_t  attributes[2];
    static uint64_t   ids;
    static char       pad[PROBE_PAD_MAX];

    n = probe_number(r, "n", 1);
    trace = probe_number(r, "trace", 1);

    if (ngx_http_arg(r, (u_char *) "name", 4, &name) != NGX_OK) {
        ngx_str_set(&name, "probe");
    }

    ngx_memset(pad, 'x', sizeof(pad));
    ngx_memzero(attributes, sizeof(attributes));
    ngx_memzero(&span, sizeof(weir_span_t));

    attributes[0].name = "probe.pid";
    attributes[0].type = WEIR_ATTRIBUTE_NUMBER;
    attributes[0].value.number = ngx_pid;

    attributes[1].name = "probe.pad";
    attributes[1].type = WEIR_ATTRIBUTE_TEXT;
    attributes[1].value.text.data = pad;
    attributes[1].value.text.len = ngx_min(probe_number(r, "pad", 0),
                                           PROBE_PAD_MAX);

    span.name.data = (char *) name.data;
    span.name.len = name.len;
    span.kind = WEIR_SPAN_SERVER;
    span.start = (uint64_t) ngx_time() * 1000000000;
    span.end = span.start + 1000000;
    span.attributes.elts = attributes;
    span.attributes.n = 2;
    probe_put(span.trace_id, WEIR_TRACE_ID_LEN, trace);

    taken = 0;

    for (i = 0; i < n; i++) {
        probe_put(span.span_id, WEIR_SPAN_ID_LEN,
                  (uint64_t) ngx_pid << 32 | ++ids);
        taken += (ngx_http_weir_export_span(r, &span) == NGX_OK);
    }

    return taken;
}


static void
probe_corrupt(ngx_http_request_t *r)
{
    ngx_uint_t                         i;
    weir_ring_t                        ring;
    ngx_http_weir_export_main_conf_t  *emcf;

    emcf = ngx_http_get_module_main_conf(r, ngx_http_weir_export_module);

    for (i = 0; i < emcf->exporter->sh->slots; i++) {
        ring = ngx_http_weir_export_zone_ring(emcf->exporter->sh, i);
        ngx_memset(ring.data, 0x5a, (size_t) ring.units * WEIR_RING_UNIT);
    }
}


static ngx_int_t
probe_handler(ngx_http_request_t *r)
{
    ngx_buf_t                      *b;
    ngx_int_t                       rc;
    ngx_uint_t                      taken;
    ngx_chain_t                     out;
    ngx_http_weir_export_counts_t   n;

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    taken = probe_spans(r);

    if (probe_number(r, "die", 0)) {
        (void) kill(ngx_pid, SIGKILL);
    }

    if (probe_number(r, "corrupt", 0)) {
        probe_corrupt(r);
    }

    b = ngx_create_temp_buf(r->pool, 1024);
    if (b == NULL) {
        return NGX_ERROR;
    }

    ngx_http_weir_export_counts(r, &n);

    b->last = ngx_slprintf(b->last, b->end, "pid=%P taken=%ui ended=%uL"
                           " sent=%uL full=%uL refused=%uL unsent=%uL"
                           " corrupt=%uL queued=%uL bytes=%uL failures=%uL\n",
                           ngx_pid, taken, n.ended, n.sent, n.dropped_full,
                           n.dropped_refused, n.dropped_unsent,
                           n.dropped_corrupt, n.queued, n.queued_bytes,
                           n.failures);
    b->last_buf = 1;

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = b->last - b->pos;

    rc = ngx_http_send_header(r);
    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


static char *
probe_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = probe_handler;

    return NGX_CONF_OK;
}
