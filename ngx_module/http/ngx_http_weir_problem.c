/*
 * Responses that Weir makes itself: problem documents (RFC 9457), and how they
 * are sent.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "http/ngx_http_weir.h"


static ngx_int_t ngx_http_weir_add_trace(ngx_http_request_t *r,
    weir_problem_t *problem);
static ngx_uint_t ngx_http_weir_has_error_page(ngx_http_request_t *r,
    ngx_uint_t status);


ngx_int_t
ngx_http_weir_send_problem(ngx_http_request_t *r, weir_problem_t *problem)
{
    ngx_chain_t  *body;

    if (ngx_http_weir_has_error_page(r, problem->status)) {
        return problem->status;
    }

    body = ngx_http_weir_problem_body(r, problem);
    if (body == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_discard_request_body(r) != NGX_OK) {
        r->keepalive = 0;
    }

    r->headers_out.status = problem->status;
    r->headers_out.status_line.len = 0;

    if (r->err_status) {
        /* of the error_page that led here, which would replace the status */
        r->err_status = problem->status;
    }

    ngx_http_finalize_request(r, ngx_http_weir_send_response(r, body));

    return NGX_DONE;
}


ngx_int_t
ngx_http_weir_send_response(ngx_http_request_t *r, ngx_chain_t *body)
{
    ngx_int_t   rc;
    ngx_uint_t  finalized;

    finalized = r->filter_finalize;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only
        || r->filter_finalize != finalized)
    {
        return rc;
    }

    return ngx_http_output_filter(r, body);
}


/* True if the location has an error_page for the status. */

static ngx_uint_t
ngx_http_weir_has_error_page(ngx_http_request_t *r, ngx_uint_t status)
{
    ngx_uint_t                 i;
    ngx_http_err_page_t       *pages;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (r->error_page || clcf->error_pages == NULL || r->uri_changes == 0) {
        return 0;
    }

    pages = clcf->error_pages->elts;

    for (i = 0; i < clcf->error_pages->nelts; i++) {
        if (pages[i].status == (ngx_int_t) status) {
            return 1;
        }
    }

    return 0;
}


ngx_chain_t *
ngx_http_weir_problem_body(ngx_http_request_t *r, weir_problem_t *problem)
{
    size_t        len;
    ngx_buf_t    *b;
    ngx_chain_t  *out;

    if (ngx_http_weir_add_trace(r, problem) != NGX_OK) {
        return NULL;
    }

    len = weir_problem_json(NULL, 0, problem);

    b = ngx_create_temp_buf(r->pool, len);
    out = ngx_alloc_chain_link(r->pool);

    if (b == NULL || out == NULL) {
        return NULL;
    }

    b->last += weir_problem_json((char *) b->pos, len, problem);
    b->last_buf = (r == r->main);
    b->last_in_chain = 1;

    out->buf = b;
    out->next = NULL;

    ngx_http_clear_accept_ranges(r);
    ngx_http_clear_last_modified(r);
    ngx_http_clear_etag(r);

    r->headers_out.content_length_n = len;
    ngx_str_set(&r->headers_out.content_type, WEIR_PROBLEM_MEDIA_TYPE);
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;
    ngx_str_null(&r->headers_out.charset);

    return out;
}


/* Adds the member trace_id if the request has a trace. */

static ngx_int_t
ngx_http_weir_add_trace(ngx_http_request_t *r, weir_problem_t *problem)
{
    u_char                     *p, *members;
    size_t                      len;
    ngx_uint_t                  key;
    ngx_http_variable_value_t  *v;

    static ngx_str_t  name = ngx_string("weir_trace_id");

    /* of the module trace, which is above this one */

    key = ngx_hash_key(name.data, name.len);
    v = ngx_http_get_variable(r, &name, key);

    if (v == NULL || v->not_found) {
        return NGX_OK;
    }

    len = problem->extensions ? ngx_strlen(problem->extensions) + 1 : 0;

    members = ngx_pnalloc(r->pool, len + sizeof("\"trace_id\":\"\"") + v->len);
    if (members == NULL) {
        return NGX_ERROR;
    }

    p = members;

    if (len) {
        p = ngx_cpymem(p, problem->extensions, len - 1);
        *p++ = ',';
    }

    *ngx_sprintf(p, "\"trace_id\":\"%v\"", v) = '\0';
    problem->extensions = (char *) members;

    return NGX_OK;
}
