/*
 * Refusals, and the header fields about the version in every response of a
 * negotiated location.
 *
 * All texts are built when the configuration is read.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "http/ngx_http_weir.h"
#include "version/ngx_http_weir_version_private.h"


static ngx_int_t ngx_http_weir_version_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_version_add_varies(ngx_http_request_t *r,
    ngx_http_weir_version_api_t *api);
static ngx_int_t ngx_http_weir_version_add_deprecation(ngx_http_request_t *r,
    ngx_http_weir_version_item_t *item);
static ngx_uint_t ngx_http_weir_version_is_json(ngx_http_request_t *r);
static ngx_uint_t ngx_http_weir_version_is_file(ngx_http_request_t *r);
static void ngx_http_weir_version_refused_mark(void *data);


static ngx_str_t  ngx_http_weir_version_deprecation = ngx_string("Deprecation");
static ngx_str_t  ngx_http_weir_version_sunset = ngx_string("Sunset");
static ngx_str_t  ngx_http_weir_version_link = ngx_string("Link");

static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;


ngx_int_t
ngx_http_weir_version_refuse(ngx_http_request_t *r,
    ngx_http_weir_version_ctx_t *ctx)
{
    weir_problem_t       problem;
    ngx_pool_cleanup_t  *cln;

    ngx_memzero(&problem, sizeof(weir_problem_t));

    problem.extensions = ngx_http_weir_version_offered(r, ctx->api);
    if (problem.extensions == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    /* the redirect to an error_page clears module contexts, but not cleanups */

    cln = ngx_pool_cleanup_add(r->pool, 0);
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln->handler = ngx_http_weir_version_refused_mark;

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


/* Does nothing; its presence marks a request that was refused. */

static void
ngx_http_weir_version_refused_mark(void *data)
{
    /* void */
}


ngx_uint_t
ngx_http_weir_version_was_refused(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t  *cln;

    for (cln = r->pool->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_http_weir_version_refused_mark) {
            return 1;
        }
    }

    return 0;
}


void
ngx_http_weir_version_init_filter(void)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_weir_version_header_filter;
}


static ngx_int_t
ngx_http_weir_version_header_filter(ngx_http_request_t *r)
{
    ngx_int_t                      rc;
    ngx_str_t                     *type;
    ngx_http_weir_version_ctx_t   *ctx;
    ngx_http_weir_version_item_t  *item;

    if (r != r->main || ngx_http_weir_answers_itself(r)
        || ngx_http_weir_version_is_file(r))
    {
        return ngx_http_next_header_filter(r);
    }

    rc = ngx_http_weir_version_negotiate(r, &ctx);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? ngx_http_next_header_filter(r) : NGX_ERROR;
    }

    if (ngx_http_weir_version_add_varies(r, ctx->api) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ctx->result != WEIR_NEGOTIATE_OK) {
        return ngx_http_next_header_filter(r);
    }

    item = &ctx->api->items[ctx->what.version];

    if (ctx->what.form != WEIR_NEGOTIATED_JSON
        && ngx_http_weir_version_is_json(r))
    {
        type = ngx_http_weir_version_type(ctx);
        r->headers_out.content_type = *type;
        r->headers_out.content_type_len = type->len;
        r->headers_out.content_type_lowcase = NULL;
    }

    if (item->deprecated
        && ngx_http_weir_version_add_deprecation(r, item) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_next_header_filter(r);
}


/*
 * Every response of a negotiated location depends on these headers, including
 * refusals and 304 (RFC 9110 section 12.5.5).
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


/* True if the response is application/json, with any parameters. */

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


/*
 * True if the response is a file: the location has no content handler, and the
 * request is in the content phase. "return" responds earlier.
 */

static ngx_uint_t
ngx_http_weir_version_is_file(ngx_http_request_t *r)
{
    ngx_http_core_main_conf_t  *cmcf;

    if (r->content_handler) {
        return 0;
    }

    cmcf = ngx_http_get_module_main_conf(r, ngx_http_core_module);

    return cmcf->phase_engine.handlers
           && cmcf->phase_engine.handlers[r->phase_handler].checker
              == ngx_http_core_content_phase;
}
