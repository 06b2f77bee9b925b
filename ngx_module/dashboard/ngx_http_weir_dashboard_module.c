/*
 * weir_dashboard: a page for operators with the numbers of weir_status; with the
 * query "events" the event stream from which the page has them, with "history"
 * those of the last quarter of an hour.
 *
 * The page is one document without any other resource.  Its policy allows its
 * own script and style by their hashes, and requests to its own origin.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "common/problem.h"
#include "dashboard/ngx_http_weir_dashboard.h"
#include "http/ngx_http_weir.h"
#include "metrics/ngx_http_weir_metrics_parts.h"
#include "metrics/ngx_http_weir_status.h"
#include "metrics/series/ngx_http_weir_series.h"


static ngx_int_t ngx_http_weir_dashboard_handler(ngx_http_request_t *r);
static ngx_uint_t ngx_http_weir_dashboard_asks(ngx_http_request_t *r,
    char *query);
static ngx_int_t ngx_http_weir_dashboard_send_page(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_dashboard_send_history(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_dashboard_send_events(ngx_http_request_t *r,
    ngx_http_weir_dashboard_loc_conf_t *dlcf);
static ngx_int_t ngx_http_weir_dashboard_add(ngx_http_request_t *r,
    ngx_keyval_t *fields);
static void *ngx_http_weir_dashboard_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_weir_dashboard(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_weir_dashboard_parameter(ngx_conf_t *cf,
    ngx_http_weir_dashboard_loc_conf_t *dlcf, ngx_str_t *value);
static char *ngx_http_weir_dashboard_hello(ngx_conf_t *cf,
    ngx_http_weir_dashboard_loc_conf_t *dlcf);


static ngx_command_t  ngx_http_weir_dashboard_commands[] = {

    { ngx_string("weir_dashboard"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE12,
      ngx_http_weir_dashboard,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_weir_dashboard_module_ctx = {
    NULL,                                  /* preconfiguration */
    NULL,                                  /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_weir_dashboard_create_loc_conf, /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_weir_dashboard_module = {
    NGX_MODULE_V1,
    &ngx_http_weir_dashboard_module_ctx,   /* module context */
    ngx_http_weir_dashboard_commands,      /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


/* Of all responses. */

static ngx_keyval_t  ngx_http_weir_dashboard_headers[] = {
    { ngx_string("Cache-Control"), ngx_string("no-store") },
    { ngx_string("X-Content-Type-Options"), ngx_string("nosniff") },
    { ngx_string("Cross-Origin-Resource-Policy"), ngx_string("same-origin") },
    { ngx_null_string, ngx_null_string }
};


static ngx_keyval_t  ngx_http_weir_dashboard_page_headers[] = {
    { ngx_string("X-Frame-Options"), ngx_string("DENY") },
    { ngx_string("Referrer-Policy"), ngx_string("no-referrer") },
    { ngx_null_string, ngx_null_string }
};


/* For another nginx in front of this one. */

static ngx_keyval_t  ngx_http_weir_dashboard_event_headers[] = {
    { ngx_string("X-Accel-Buffering"), ngx_string("no") },
    { ngx_null_string, ngx_null_string }
};


static ngx_keyval_t  ngx_http_weir_dashboard_allow[] = {
    { ngx_string("Allow"), ngx_string("GET, HEAD") },
    { ngx_null_string, ngx_null_string }
};


static ngx_keyval_t  ngx_http_weir_dashboard_later[] = {
    { ngx_string("Retry-After"), ngx_string("10") },
    { ngx_null_string, ngx_null_string }
};


static ngx_int_t
ngx_http_weir_dashboard_handler(ngx_http_request_t *r)
{
    ngx_int_t                            rc;
    ngx_http_weir_dashboard_loc_conf_t  *dlcf;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        rc = ngx_http_weir_dashboard_add(r, ngx_http_weir_dashboard_allow);

        return rc == NGX_OK ? NGX_HTTP_NOT_ALLOWED
                            : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_http_weir_dashboard_add(r, ngx_http_weir_dashboard_headers)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_weir_dashboard_asks(r, "history")) {
        return ngx_http_weir_dashboard_send_history(r);
    }

    /* a part of another page has no events */
    if (r == r->main && ngx_http_weir_dashboard_asks(r, "events")) {
        dlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_dashboard_module);

        return ngx_http_weir_dashboard_send_events(r, dlcf);
    }

    return ngx_http_weir_dashboard_send_page(r);
}


static ngx_uint_t
ngx_http_weir_dashboard_asks(ngx_http_request_t *r, char *query)
{
    return r->args.len == ngx_strlen(query)
           && ngx_strncmp(r->args.data, query, r->args.len) == 0;
}


static ngx_int_t
ngx_http_weir_dashboard_send_page(ngx_http_request_t *r)
{
    ngx_buf_t    *b;
    ngx_str_t     value;
    ngx_chain_t   out;

    static ngx_str_t  policy = ngx_string("Content-Security-Policy");

    value.data = (u_char *) ngx_http_weir_dashboard_policy;
    value.len = ngx_strlen(value.data);

    b = ngx_calloc_buf(r->pool);

    if (b == NULL
        || ngx_http_weir_add_header(r, &policy, &value) == NULL
        || ngx_http_weir_dashboard_add(r, ngx_http_weir_dashboard_page_headers)
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = ngx_http_weir_dashboard_page_len;
    ngx_str_set(&r->headers_out.content_type, "text/html");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;
    ngx_str_set(&r->headers_out.charset, "utf-8");

    b->pos = (u_char *) ngx_http_weir_dashboard_page;
    b->last = b->pos + ngx_http_weir_dashboard_page_len;
    b->memory = 1;
    b->last_buf = (r == r->main);
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_weir_send_response(r, &out);
}


/* What the page's curves begin with. */

static ngx_int_t
ngx_http_weir_dashboard_send_history(ngx_http_request_t *r)
{
    ngx_buf_t                      *b;
    ngx_http_weir_status_series_t  *series;

    b = ngx_http_weir_status_begin(r, 1, &series);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->headers_out.status = NGX_HTTP_OK;
    ngx_str_set(&r->headers_out.content_type, "application/json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;

    return ngx_http_weir_metrics_parts_send(r, b,
                                            series
                                            ? ngx_http_weir_status_series_next
                                            : NULL,
                                            series);
}


static ngx_int_t
ngx_http_weir_dashboard_send_events(ngx_http_request_t *r,
    ngx_http_weir_dashboard_loc_conf_t *dlcf)
{
    ngx_int_t  rc;

    if (ngx_http_weir_dashboard_is_full()) {
        rc = ngx_http_weir_dashboard_add(r, ngx_http_weir_dashboard_later);

        return rc == NGX_OK ? NGX_HTTP_SERVICE_UNAVAILABLE
                            : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_weir_dashboard_add(r, ngx_http_weir_dashboard_event_headers)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = -1;
    ngx_str_set(&r->headers_out.content_type, "text/event-stream");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    return ngx_http_weir_dashboard_listen(r, &dlcf->hello);
}


/* Adds header fields up to the one without a name; NGX_OK or NGX_ERROR. */

static ngx_int_t
ngx_http_weir_dashboard_add(ngx_http_request_t *r, ngx_keyval_t *fields)
{
    for ( /* void */ ; fields->key.len; fields++) {
        if (ngx_http_weir_add_header(r, &fields->key, &fields->value) == NULL) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static void *
ngx_http_weir_dashboard_create_loc_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_dashboard_loc_conf_t));
}


static char *
ngx_http_weir_dashboard(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_dashboard_loc_conf_t *dlcf = conf;

    char                      *rv;
    ngx_str_t                 *value;
    ngx_uint_t                 i;
    ngx_http_core_loc_conf_t  *clcf;
    ngx_http_weir_loc_conf_t  *wlcf;

    if (dlcf->hello.len) {
        return "is duplicate";
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {
        rv = ngx_http_weir_dashboard_parameter(cf, dlcf, &value[i]);

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_weir_dashboard_handler;

    wlcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_weir_module);
    wlcf->status = 1;

    ngx_http_weir_series_require(cf);

    return ngx_http_weir_dashboard_hello(cf, dlcf);
}


static char *
ngx_http_weir_dashboard_parameter(ngx_conf_t *cf,
    ngx_http_weir_dashboard_loc_conf_t *dlcf, ngx_str_t *value)
{
    u_char      *p, *last;
    ngx_str_t   *uri;

    p = value->data;
    last = p + value->len;

    if (value->len >= 8 && ngx_strncmp(p, "backend=", 8) == 0) {
        uri = &dlcf->backend;
        p += 8;

    } else if (value->len >= 7 && ngx_strncmp(p, "traces=", 7) == 0) {
        uri = &dlcf->traces;
        p += 7;

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\" in \"weir_dashboard\";"
                           " it takes backend=uri and traces=uri", value);
        return NGX_CONF_ERROR;
    }

    if (uri->len) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "duplicate parameter \"%V\" in"
                           " \"weir_dashboard\"", value);
        return NGX_CONF_ERROR;
    }

    /* the page requests it from its own origin; //host would be another one */

    if (p == last || p[0] != '/' || (last - p > 1 && p[1] == '/')
        || ngx_strlchr(p, last, '$'))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\" in \"weir_dashboard\"; it"
                           " must be a URI of this server, like /metrics, and"
                           " without variables", value);
        return NGX_CONF_ERROR;
    }

    uri->data = p;
    uri->len = last - p;

    return NGX_CONF_OK;
}


/* The first event, which says what only the configuration knows. */

static char *
ngx_http_weir_dashboard_hello(ngx_conf_t *cf,
    ngx_http_weir_dashboard_loc_conf_t *dlcf)
{
    size_t      size;
    u_char     *p, *last;
    ngx_uint_t  i;

    struct {
        const char  *name;
        ngx_str_t   *value;
    } member[] = {
        { "{\"host\":", &cf->cycle->hostname },
        { ",\"backend\":", &dlcf->backend },
        { ",\"traces\":", &dlcf->traces }
    };

    weir_str_t  text[sizeof(member) / sizeof(member[0])];

    size = sizeof("retry: 2000\nevent: hello\ndata: }\n\n");

    for (i = 0; i < sizeof(member) / sizeof(member[0]); i++) {
        text[i].data = (char *) member[i].value->data;
        text[i].len = member[i].value->len;

        size += ngx_strlen(member[i].name) + weir_json_string(NULL, 0, text[i]);
    }

    p = ngx_pnalloc(cf->pool, size);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    dlcf->hello.data = p;
    last = p + size;

    p = ngx_slprintf(p, last, "retry: 2000\nevent: hello\ndata: ");

    for (i = 0; i < sizeof(member) / sizeof(member[0]); i++) {
        p = ngx_slprintf(p, last, "%s", member[i].name);
        p += weir_json_string((char *) p, last - p, text[i]);
    }

    p = ngx_slprintf(p, last, "}\n\n");
    dlcf->hello.len = p - dlcf->hello.data;

    return NGX_CONF_OK;
}
