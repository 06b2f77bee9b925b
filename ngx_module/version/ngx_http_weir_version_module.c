/*
 * weir_api, weir_version: header-based version negotiation.
 *
 * A phase handler refuses what can't be served, a header filter names the
 * version in the answer.  Both ask the plain core in negotiate.c; its result
 * is kept in the request's context, so that a request is negotiated once
 * however many variables, phases and modules ask.  Everything that an answer
 * may need is put together when the configuration is read.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "http/ngx_http_weir.h"
#include "version/ngx_http_weir_version.h"
#include "version/ngx_http_weir_version_api.h"


typedef struct {
    ngx_array_t                  apis;    /* of ngx_http_weir_version_api_t * */
} ngx_http_weir_version_main_conf_t;


typedef struct {
    ngx_http_weir_version_api_t  *api;    /* NULL: off */
} ngx_http_weir_version_loc_conf_t;


typedef struct {
    ngx_http_weir_version_api_t  *api;    /* that the result belongs to */
    weir_negotiate_result_t       result;
    weir_negotiated_t             what;
} ngx_http_weir_version_ctx_t;


static ngx_http_weir_version_ctx_t *ngx_http_weir_version_negotiate(
    ngx_http_request_t *r);
static void ngx_http_weir_version_by_accept(ngx_http_weir_version_ctx_t *ctx,
    weir_negotiate_request_t *request);
static ngx_int_t ngx_http_weir_version_join(ngx_http_request_t *r,
    ngx_str_t *name, weir_str_t *value);
static ngx_int_t ngx_http_weir_version_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_version_refuse(ngx_http_request_t *r,
    ngx_http_weir_version_ctx_t *ctx);
static ngx_int_t ngx_http_weir_version_add_varies(ngx_http_request_t *r,
    ngx_http_weir_version_api_t *api);
static ngx_int_t ngx_http_weir_version_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_version_add_deprecation(ngx_http_request_t *r,
    ngx_http_weir_version_item_t *item);
static ngx_uint_t ngx_http_weir_version_is_json(ngx_http_request_t *r);

static ngx_int_t ngx_http_weir_version_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_weir_version_add_variables(ngx_conf_t *cf);
static void *ngx_http_weir_version_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_weir_version_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_weir_version_merge_loc_conf(ngx_conf_t *cf,
    void *parent, void *child);
static char *ngx_http_weir_version_api_directive(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static char *ngx_http_weir_version_directive(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static ngx_int_t ngx_http_weir_version_init(ngx_conf_t *cf);


static ngx_command_t  ngx_http_weir_version_commands[] = {

    { ngx_string("weir_api"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_BLOCK|NGX_CONF_TAKE1,
      ngx_http_weir_version_api_directive,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("weir_version"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_weir_version_directive,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_weir_version_module_ctx = {
    ngx_http_weir_version_add_variables,       /* preconfiguration */
    ngx_http_weir_version_init,                /* postconfiguration */

    ngx_http_weir_version_create_main_conf,    /* create main configuration */
    NULL,                                      /* init main configuration */

    NULL,                                      /* create server configuration */
    NULL,                                      /* merge server configuration */

    ngx_http_weir_version_create_loc_conf,     /* create location configuration */
    ngx_http_weir_version_merge_loc_conf       /* merge location configuration */
};


ngx_module_t  ngx_http_weir_version_module = {
    NGX_MODULE_V1,
    &ngx_http_weir_version_module_ctx,         /* module context */
    ngx_http_weir_version_commands,            /* module directives */
    NGX_HTTP_MODULE,                           /* module type */
    NULL,                                      /* init master */
    NULL,                                      /* init module */
    NULL,                                      /* init process */
    NULL,                                      /* init thread */
    NULL,                                      /* exit thread */
    NULL,                                      /* exit process */
    NULL,                                      /* exit master */
    NGX_MODULE_V1_PADDING
};


typedef enum {
    NGX_HTTP_WEIR_VERSION_NAME = 0,
    NGX_HTTP_WEIR_VERSION_MEDIA_TYPE,
    NGX_HTTP_WEIR_VERSION_STATUS
} ngx_http_weir_version_variable_e;


/* Not cacheable: an internal redirect may lead to another weir_version. */

static ngx_http_variable_t  ngx_http_weir_version_vars[] = {

    { ngx_string("weir_version"), NULL, ngx_http_weir_version_variable,
      NGX_HTTP_WEIR_VERSION_NAME, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("weir_media_type"), NULL, ngx_http_weir_version_variable,
      NGX_HTTP_WEIR_VERSION_MEDIA_TYPE, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("weir_version_status"), NULL, ngx_http_weir_version_variable,
      NGX_HTTP_WEIR_VERSION_STATUS, NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


static ngx_str_t  ngx_http_weir_version_json = ngx_string("application/json");
static ngx_str_t  ngx_http_weir_version_accept = ngx_string("Accept");
static ngx_str_t  ngx_http_weir_version_deprecation = ngx_string("Deprecation");
static ngx_str_t  ngx_http_weir_version_sunset = ngx_string("Sunset");
static ngx_str_t  ngx_http_weir_version_link = ngx_string("Link");

static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;


ngx_int_t
ngx_http_weir_version_get(ngx_http_request_t *r, ngx_str_t *version)
{
    ngx_http_weir_version_ctx_t  *ctx;

    ctx = ngx_http_weir_version_negotiate(r);

    if (ctx == NULL || ctx->result != WEIR_NEGOTIATE_OK) {
        ngx_str_null(version);
        return NGX_DECLINED;
    }

    *version = ctx->api->items[ctx->what.version].name;

    return NGX_OK;
}


/* NULL when the location has no weir_version, or when memory ran out. */

static ngx_http_weir_version_ctx_t *
ngx_http_weir_version_negotiate(ngx_http_request_t *r)
{
    weir_negotiate_request_t           request;
    ngx_http_weir_version_ctx_t       *ctx;
    ngx_http_weir_version_loc_conf_t  *wlcf;

    wlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_version_module);
    if (wlcf->api == NULL) {
        return NULL;
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_weir_version_module);

    if (ctx && ctx->api == wlcf->api) {
        return ctx;
    }

    if (ctx == NULL) {
        ctx = ngx_palloc(r->pool, sizeof(ngx_http_weir_version_ctx_t));
        if (ctx == NULL) {
            return NULL;
        }
    }

    ngx_memzero(&request, sizeof(weir_negotiate_request_t));

    if (ngx_http_weir_version_join(r, &ngx_http_weir_version_accept,
                                   &request.accept)
        != NGX_OK)
    {
        return NULL;
    }

    if (wlcf->api->header.len
        && ngx_http_weir_version_join(r, &wlcf->api->header,
                                      &request.version_header)
           != NGX_OK)
    {
        return NULL;
    }

    /* a body has a length or is chunked, RFC 9112 section 6.3 */

    if (r->headers_in.content_type
        && (r->headers_in.content_length_n > 0 || r->headers_in.chunked))
    {
        request.content_type.data =
                            (char *) r->headers_in.content_type->value.data;
        request.content_type.len = r->headers_in.content_type->value.len;
    }

    ctx->api = wlcf->api;

    if (request.version_header.data || request.content_type.data) {
        ctx->result = weir_negotiate(&wlcf->api->core, &request, &ctx->what);

    } else {
        ngx_http_weir_version_by_accept(ctx, &request);
    }

    ngx_http_set_ctx(r, ctx, ngx_http_weir_version_module);

    return ctx;
}


/* Where Accept alone decides. */

static void
ngx_http_weir_version_by_accept(ngx_http_weir_version_ctx_t *ctx,
    weir_negotiate_request_t *request)
{
    size_t                         len;
    weir_str_t                    *accept;
    ngx_http_weir_version_late_t  *late;

    accept = &request->accept;
    len = accept->len;

    if (len == 0 || len > NGX_HTTP_WEIR_VERSION_LATE_LEN) {
        ctx->result = weir_negotiate(&ctx->api->core, request, &ctx->what);
        return;
    }

    /* the versions differ near the end, the types near the beginning */

    late = &ctx->api->late[(len * 31 + (u_char) accept->data[len / 2] * 7
                            + (u_char) accept->data[len - ngx_min(len, 6)])
                           & (NGX_HTTP_WEIR_VERSION_LATE - 1)];

    if (late->len == len && ngx_memcmp(late->accept, accept->data, len) == 0) {
        ctx->result = late->result;
        ctx->what = late->what;
        return;
    }

    ctx->result = weir_negotiate(&ctx->api->core, request, &ctx->what);

    late->len = len;
    ngx_memcpy(late->accept, accept->data, len);
    late->result = ctx->result;
    late->what = ctx->what;
}


/*
 * The value of a request header; of several lines of that name, their values
 * joined by commas (RFC 9110 section 5.3).  data stays NULL when there is none.
 */

static ngx_int_t
ngx_http_weir_version_join(ngx_http_request_t *r, ngx_str_t *name,
    weir_str_t *value)
{
    u_char           *p;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (h[i].key.len != name->len
                || ngx_strncasecmp(h[i].key.data, name->data, name->len) != 0)
            {
                continue;
            }

            if (value->data == NULL) {
                value->data = (char *) h[i].value.data;
                value->len = h[i].value.len;
                continue;
            }

            p = ngx_pnalloc(r->pool, value->len + 1 + h[i].value.len);
            if (p == NULL) {
                return NGX_ERROR;
            }

            ngx_memcpy(p, value->data, value->len);
            p[value->len] = ',';
            ngx_memcpy(p + value->len + 1, h[i].value.data, h[i].value.len);

            value->data = (char *) p;
            value->len += 1 + h[i].value.len;
        }
    }

    return NGX_OK;
}


/*
 * Runs in the preaccess phase: before anything is spent on the request, after
 * rewrite has chosen the location.  A request that is being turned into an
 * error page is never refused again.
 */

static ngx_int_t
ngx_http_weir_version_handler(ngx_http_request_t *r)
{
    ngx_http_weir_version_ctx_t  *ctx;

    if (r != r->main || r->error_page) {
        return NGX_DECLINED;
    }

    ctx = ngx_http_weir_version_negotiate(r);

    if (ctx == NULL) {
        return NGX_DECLINED;
    }

    if (ctx->result == WEIR_NEGOTIATE_OK
        && !ngx_http_weir_version_is_gone(
                                   &ctx->api->items[ctx->what.version]))
    {
        return NGX_DECLINED;
    }

    return ngx_http_weir_version_refuse(r, ctx);
}


static ngx_int_t
ngx_http_weir_version_refuse(ngx_http_request_t *r,
    ngx_http_weir_version_ctx_t *ctx)
{
    weir_problem_t  problem;

    ngx_memzero(&problem, sizeof(weir_problem_t));

    problem.extensions = ctx->api->offered;

    switch (ctx->result) {

    case WEIR_NEGOTIATE_MALFORMED_ACCEPT:
        problem.status = NGX_HTTP_BAD_REQUEST;
        problem.title = "Malformed Accept";
        problem.detail = WEIR_STR("No element of the Accept header is a media"
                                  " range.");
        break;

    case WEIR_NEGOTIATE_CONFLICT:
        problem.status = NGX_HTTP_BAD_REQUEST;
        problem.title = "Conflicting versions";
        problem.detail = WEIR_STR("The request names two versions of the API;"
                                  " name one.");
        break;

    case WEIR_NEGOTIATE_UNSUPPORTED_BODY:
        problem.status = NGX_HTTP_UNSUPPORTED_MEDIA_TYPE;
        problem.title = "Unsupported media type";
        problem.detail = WEIR_STR("The Content-Type names a version or a"
                                  " format that is not offered.");
        break;

    case WEIR_NEGOTIATE_UNKNOWN_VERSION:
        problem.status = 406;
        problem.title = "Version not offered";
        problem.detail = ctx->api->unknown_version;
        break;

    case WEIR_NEGOTIATE_NOT_ACCEPTABLE:
        problem.status = 406;
        problem.title = "Not acceptable";
        problem.detail = WEIR_STR("None of the media types that are offered"
                                  " satisfies the Accept header.");
        break;

    case WEIR_NEGOTIATE_OK:
        problem.status = 410;
        problem.title = "Version gone";
        problem.detail = ctx->api->items[ctx->what.version].gone;
        break;
    }

    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                  "weir_version \"%V\" refused the request: %s",
                  &ctx->api->name, problem.title);

    return ngx_http_weir_send_problem(r, &problem);
}


/*
 * Every answer of a negotiated location depends on these headers, a refusal
 * and a 304 too (RFC 9110 section 12.5.5).
 */

static ngx_int_t
ngx_http_weir_version_add_varies(ngx_http_request_t *r,
    ngx_http_weir_version_api_t *api)
{
    if (ngx_http_weir_add_vary(r, &ngx_http_weir_version_accept) != NGX_OK) {
        return NGX_ERROR;
    }

    if (api->header.len == 0) {
        return NGX_OK;
    }

    return ngx_http_weir_add_vary(r, &api->header);
}


static ngx_int_t
ngx_http_weir_version_header_filter(ngx_http_request_t *r)
{
    ngx_http_weir_version_ctx_t   *ctx;
    ngx_http_weir_version_item_t  *item;

    if (r != r->main) {
        return ngx_http_next_header_filter(r);
    }

    ctx = ngx_http_weir_version_negotiate(r);
    if (ctx == NULL) {
        return ngx_http_next_header_filter(r);
    }

    if (ngx_http_weir_version_add_varies(r, ctx->api) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ctx->result != WEIR_NEGOTIATE_OK) {
        return ngx_http_next_header_filter(r);
    }

    item = &ctx->api->items[ctx->what.version];

    if (!ctx->what.plain_json && ngx_http_weir_version_is_json(r)) {
        r->headers_out.content_type = item->media_type;
        r->headers_out.content_type_len = item->media_type.len;
        r->headers_out.content_type_lowcase = NULL;
    }

    if (item->deprecated
        && ngx_http_weir_version_add_deprecation(r, item) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_next_header_filter(r);
}


/* Deprecation: RFC 9745; Sunset: RFC 8594; Link: RFC 8288. */

static ngx_int_t
ngx_http_weir_version_add_deprecation(ngx_http_request_t *r,
    ngx_http_weir_version_item_t *item)
{
    if (ngx_http_weir_add_header(r, &ngx_http_weir_version_deprecation,
                                 &item->deprecation)
        == NULL)
    {
        return NGX_ERROR;
    }

    if (item->sunset_value.len
        && ngx_http_weir_add_header(r, &ngx_http_weir_version_sunset,
                                    &item->sunset_value)
           == NULL)
    {
        return NGX_ERROR;
    }

    if (item->link.len
        && ngx_http_weir_add_header(r, &ngx_http_weir_version_link,
                                    &item->link)
           == NULL)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* Whether the answer is application/json, whatever its parameters. */

static ngx_uint_t
ngx_http_weir_version_is_json(ngx_http_request_t *r)
{
    size_t      len;
    ngx_str_t  *type;

    type = &r->headers_out.content_type;
    len = ngx_http_weir_version_json.len;

    if (type->len < len
        || ngx_strncasecmp(type->data, ngx_http_weir_version_json.data, len)
           != 0)
    {
        return 0;
    }

    return type->len == len || type->data[len] == ';'
           || type->data[len] == ' ' || type->data[len] == '\t';
}


static ngx_int_t
ngx_http_weir_version_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t                      value;
    ngx_http_weir_version_ctx_t   *ctx;
    ngx_http_weir_version_item_t  *item;

    ctx = ngx_http_weir_version_negotiate(r);

    if (ctx == NULL || ctx->result != WEIR_NEGOTIATE_OK) {
        v->not_found = 1;
        return NGX_OK;
    }

    item = &ctx->api->items[ctx->what.version];

    switch (data) {

    case NGX_HTTP_WEIR_VERSION_NAME:
        value = item->name;
        break;

    case NGX_HTTP_WEIR_VERSION_MEDIA_TYPE:
        value = ctx->what.plain_json ? ngx_http_weir_version_json
                                     : item->media_type;
        break;

    default: /* NGX_HTTP_WEIR_VERSION_STATUS */
        if (!item->deprecated) {
            ngx_str_set(&value, "current");

        } else if (item->sunset && item->sunset <= ngx_time()) {
            ngx_str_set(&value, "sunset");

        } else {
            ngx_str_set(&value, "deprecated");
        }
    }

    v->data = value.data;
    v->len = value.len;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_version_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_weir_version_vars; v->name.len; v++) {
        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


static void *
ngx_http_weir_version_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_weir_version_main_conf_t  *wmcf;

    wmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_version_main_conf_t));
    if (wmcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&wmcf->apis, cf->pool, 4,
                       sizeof(ngx_http_weir_version_api_t *))
        != NGX_OK)
    {
        return NULL;
    }

    return wmcf;
}


static void *
ngx_http_weir_version_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_weir_version_loc_conf_t  *wlcf;

    wlcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_version_loc_conf_t));
    if (wlcf == NULL) {
        return NULL;
    }

    wlcf->api = NGX_CONF_UNSET_PTR;

    return wlcf;
}


static char *
ngx_http_weir_version_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_weir_version_loc_conf_t  *prev = parent;
    ngx_http_weir_version_loc_conf_t  *conf = child;

    ngx_conf_merge_ptr_value(conf->api, prev->api, NULL);

    return NGX_CONF_OK;
}


static char *
ngx_http_weir_version_api_directive(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_weir_version_main_conf_t  *wmcf = conf;

    ngx_str_t                     *value;
    ngx_uint_t                     i;
    ngx_http_weir_version_api_t   *api, **apis;

    value = cf->args->elts;

    if (value[1].len == 0 || ngx_strcmp(value[1].data, "off") == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid name \"%V\" in \"weir_api\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    apis = wmcf->apis.elts;

    for (i = 0; i < wmcf->apis.nelts; i++) {
        if (apis[i]->name.len == value[1].len
            && ngx_strncmp(apis[i]->name.data, value[1].data, value[1].len)
               == 0)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "duplicate \"weir_api\" \"%V\"", &value[1]);
            return NGX_CONF_ERROR;
        }
    }

    api = ngx_http_weir_version_parse_api(cf, &value[1]);
    if (api == NULL) {
        return NGX_CONF_ERROR;
    }

    apis = ngx_array_push(&wmcf->apis);
    if (apis == NULL) {
        return NGX_CONF_ERROR;
    }

    *apis = api;

    return NGX_CONF_OK;
}


static char *
ngx_http_weir_version_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_version_loc_conf_t  *wlcf = conf;

    ngx_str_t                          *value;
    ngx_uint_t                          i;
    ngx_http_weir_version_api_t       **apis;
    ngx_http_weir_version_main_conf_t  *wmcf;

    if (wlcf->api != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        wlcf->api = NULL;
        return NGX_CONF_OK;
    }

    wmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_version_module);
    apis = wmcf->apis.elts;

    for (i = 0; i < wmcf->apis.nelts; i++) {
        if (apis[i]->name.len == value[1].len
            && ngx_strncmp(apis[i]->name.data, value[1].data, value[1].len)
               == 0)
        {
            wlcf->api = apis[i];
            return NGX_CONF_OK;
        }
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "unknown API \"%V\" in \"weir_version\": no \"weir_api\""
                       " of that name stands before it", &value[1]);

    return NGX_CONF_ERROR;
}


static ngx_int_t
ngx_http_weir_version_init(ngx_conf_t *cf)
{
    ngx_http_handler_pt                *h;
    ngx_http_core_main_conf_t          *cmcf;
    ngx_http_weir_version_main_conf_t  *wmcf;

    wmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_version_module);

    if (wmcf->apis.nelts == 0) {
        return NGX_OK;
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PREACCESS_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_weir_version_handler;

    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_weir_version_header_filter;

    return NGX_OK;
}
