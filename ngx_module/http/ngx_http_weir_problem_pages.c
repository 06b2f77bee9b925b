/*
 * weir_problem_pages: nginx's own error pages as problem documents (RFC 9457).
 *
 * nginx answers an error with a page of its own in
 * ngx_http_special_response_handler(), which no module can replace.  An
 * error_page would also apply to the upstream's responses, fail for requests
 * that have no URI yet, and lose the location's headers.  So a pair of filters
 * detects those pages.  The header alone does not distinguish such a page from
 * the result of an operator's error_page, which has the same status and may
 * have the same type.  The header is therefore kept until the body arrives,
 * within the same call of nginx; the beginning of the body identifies the page.
 * Then either the document is sent with its own header, or both are sent
 * unchanged.
 *
 * The page's text becomes the document: its heading the title, and its title,
 * if it has more text ("400 The plain HTTP request was sent to HTTPS port"),
 * the detail.  The status, the fields already in the response (Retry-After,
 * Allow, WWW-Authenticate ...), and the handling of the connection remain
 * nginx's.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "http/forward/ngx_http_weir_ctx.h"


typedef struct {
    ngx_uint_t   status;
    char        *title;
} ngx_http_weir_problem_title_t;


static ngx_int_t ngx_http_weir_problem_pages_header_filter(
    ngx_http_request_t *r);
static ngx_uint_t ngx_http_weir_problem_pages_may_be(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_problem_pages_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
static ngx_uint_t ngx_http_weir_problem_pages_read(ngx_http_request_t *r,
    ngx_buf_t *b, weir_problem_t *problem);
static char *ngx_http_weir_problem_pages_text(ngx_http_request_t *r,
    ngx_buf_t *b, char *begin, char *end);
static char *ngx_http_weir_problem_pages_title(ngx_uint_t status);


/* Statuses without a page in nginx: RFC 9110, RFC 6585, RFC 7725 ... */

static ngx_http_weir_problem_title_t  ngx_http_weir_problem_titles[] = {
    { 417, "Expectation Failed" },
    { 422, "Unprocessable Content" },
    { 423, "Locked" },
    { 424, "Failed Dependency" },
    { 425, "Too Early" },
    { 426, "Upgrade Required" },
    { 428, "Precondition Required" },
    { 431, "Request Header Fields Too Large" },
    { 451, "Unavailable For Legal Reasons" },
    { 506, "Variant Also Negotiates" },
    { 508, "Loop Detected" },
    { 511, "Network Authentication Required" },
    { 0, NULL }
};


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


void
ngx_http_weir_problem_pages_init(void)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_weir_problem_pages_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_weir_problem_pages_body_filter;
}


static ngx_int_t
ngx_http_weir_problem_pages_header_filter(ngx_http_request_t *r)
{
    ngx_http_weir_ctx_t  *ctx;

    if (r->err_status < NGX_HTTP_BAD_REQUEST
        || !ngx_http_weir_problem_pages_may_be(r))
    {
        return ngx_http_next_header_filter(r);
    }

    ctx = ngx_http_weir_ctx(r);
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    ctx->kept = 1;

    return NGX_OK;
}


/* True for the properties that all pages share with few other responses. */

static ngx_uint_t
ngx_http_weir_problem_pages_may_be(ngx_http_request_t *r)
{
    ngx_str_t                 *type;
    ngx_http_weir_loc_conf_t  *wlcf;

    static ngx_str_t  html = ngx_string("text/html");

    wlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_module);

    if (!wlcf->problem_pages || r != r->main || r->header_only
        || r->headers_out.content_length || r->headers_out.etag
        || r->headers_out.last_modified_time != -1 || r->allow_ranges)
    {
        return 0;
    }

    type = &r->headers_out.content_type;

    if (type->len == 0) {
        return r->headers_out.content_length_n == 0;
    }

    return r->headers_out.content_length_n > 0 && type->len == html.len
           && ngx_strncmp(type->data, html.data, html.len) == 0;
}


static ngx_int_t
ngx_http_weir_problem_pages_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_int_t             rc;
    ngx_uint_t            finalized;
    weir_problem_t        problem;
    ngx_http_weir_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_weir_module);

    if (ctx == NULL || !ctx->kept || in == NULL) {
        return ngx_http_next_body_filter(r, in);
    }

    ctx->kept = 0;

    ngx_memzero(&problem, sizeof(weir_problem_t));

    if (ngx_http_weir_problem_pages_read(r, in->buf, &problem)) {
        in = ngx_http_weir_problem_body(r, &problem);
        if (in == NULL) {
            return NGX_ERROR;
        }
    }

    finalized = r->filter_finalize;

    rc = ngx_http_next_header_filter(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only
        || r->filter_finalize != finalized)
    {
        return rc;
    }

    return ngx_http_next_body_filter(r, in);
}


/*
 * Decides whether the body is a page of nginx, and reads its text.  A page is
 *
 *     <html>
 *     <head><title>404 Not Found</title></head>
 *     <body>
 *     <center><h1>404 Not Found</h1></center>
 *
 * and a status without a page has an empty buffer without an address, unlike
 * "return 418 '';".
 */

static ngx_uint_t
ngx_http_weir_problem_pages_read(ngx_http_request_t *r, ngx_buf_t *b,
    weir_problem_t *problem)
{
    char  *title;

    static char  begin[] = "<html>" CRLF "<head><title>";

    problem->status = r->err_status;

    if (r->headers_out.content_type.len == 0) {

        if (b->pos != NULL || b->in_file) {
            return 0;
        }

        problem->title = ngx_http_weir_problem_pages_title(r->err_status);

        return 1;
    }

    if (!b->memory || b->last - b->pos < (ssize_t) sizeof(begin) - 1
        || ngx_strncmp(b->pos, begin, sizeof(begin) - 1) != 0)
    {
        return 0;
    }

    title = ngx_http_weir_problem_pages_text(r, b, "<title>", "</title>");
    problem->title = ngx_http_weir_problem_pages_text(r, b, "<h1>", "</h1>");

    if (title == NULL || problem->title == NULL) {
        return 0;
    }

    if (ngx_strcmp(title, problem->title) != 0) {
        problem->detail.data = title;
        problem->detail.len = ngx_strlen(title);
    }

    return 1;
}


/*
 * The text between begin and end, without the status and the space before it;
 * NUL-terminated, in the request's pool.  NULL if it is not found.
 */

static char *
ngx_http_weir_problem_pages_text(ngx_http_request_t *r, ngx_buf_t *b,
    char *begin, char *end)
{
    u_char  *p, *last, *text;

    p = ngx_strnstr(b->pos, begin, b->last - b->pos);
    if (p == NULL) {
        return NULL;
    }

    p += ngx_strlen(begin);

    last = ngx_strnstr(p, end, b->last - p);

    if (last == NULL || last - p < 5 || ngx_atoi(p, 3) == NGX_ERROR
        || p[3] != ' ')
    {
        return NULL;
    }

    p += 4;

    text = ngx_pnalloc(r->pool, last - p + 1);
    if (text == NULL) {
        return NULL;
    }

    *ngx_cpymem(text, p, last - p) = '\0';

    return (char *) text;
}


static char *
ngx_http_weir_problem_pages_title(ngx_uint_t status)
{
    ngx_http_weir_problem_title_t  *t;

    for (t = ngx_http_weir_problem_titles; t->title; t++) {
        if (t->status == status) {
            return t->title;
        }
    }

    return status < NGX_HTTP_INTERNAL_SERVER_ERROR ? "Client Error"
                                                   : "Server Error";
}
