/*
 * Replaces the client's conditions in the upstream request: by those of the
 * stored response (RFC 9111 section 4.3.1), or by none.
 *
 * The request itself is never changed.  The upstream request is made from
 * r->headers_in by one call, u->create_request(), which starts nothing and ends
 * nothing; the list of header lines is replaced only during that call.  So all
 * later processing (error_page, X-Accel-Redirect, a failure before the first
 * header) finds the client's own header, and nothing must be restored later.
 *
 * The content handler sets u->create_request and calls ngx_http_upstream_init()
 * at its end.  That function does nothing while r->aio is set.  So the content
 * handler is called with r->aio set, then u->create_request is replaced, then
 * ngx_http_upstream_init() is called again.  A content handler that waits for
 * the end of the body has not called it yet, and calls it later itself: over
 * HTTP/2 and HTTP/3 nginx waits for the end of a request even if its header
 * says that the body is empty.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/ngx_http_weir_cache_entry.h"
#include "cache/serve/ngx_http_weir_cache_serve.h"
#include "compat/ngx_http_weir_compat_nginx.h"


static ngx_int_t ngx_http_weir_cache_condition_content_handler(
    ngx_http_request_t *r);
static ngx_uint_t ngx_http_weir_cache_condition_waits_for_body(
    ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_cache_condition_create_request(
    ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_cache_condition_make_headers(
    ngx_http_weir_cache_ctx_t *ctx, ngx_list_t *client);
static ngx_uint_t ngx_http_weir_cache_condition_is_one(ngx_str_t *name);
static ngx_int_t ngx_http_weir_cache_condition_push(ngx_list_t *headers,
    char *name, char *lowcase, weir_str_t *value);
static void ngx_http_weir_cache_condition_forget_variables(
    ngx_http_request_t *r);


void
ngx_http_weir_cache_condition_replace(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_http_request_t  *r;

    r = ctx->request;

    if (r->content_handler == ngx_http_weir_cache_condition_content_handler) {
        return;
    }

    ctx->content_handler = r->content_handler;
    r->content_handler = ngx_http_weir_cache_condition_content_handler;
}


static ngx_int_t
ngx_http_weir_cache_condition_content_handler(ngx_http_request_t *r)
{
    ngx_int_t                   rc;
    ngx_http_upstream_t        *earlier, *u;
    ngx_http_weir_cache_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_weir_cache_module);

    r->content_handler = ctx->content_handler;
    earlier = r->upstream;

    ctx->holding = 1;
    r->aio = 1;

    rc = r->content_handler(r);

    if (!ctx->holding) {
        /* another location took over; its upstream is asked as usual */
        return rc;
    }

    ctx->holding = 0;
    r->aio = 0;

    u = r->upstream;

    if (u == NULL || u == earlier
        || ngx_http_get_module_ctx(r, ngx_http_weir_cache_module) != ctx)
    {
        /* no upstream is asked; r->aio may have delayed output */
        ngx_post_event(r->connection->write, &ngx_posted_events);
        return rc;
    }

    if (rc != NGX_DONE) {
        return rc;
    }

    ctx->create_request = u->create_request;
    u->create_request = ngx_http_weir_cache_condition_create_request;

    if (!ngx_http_weir_cache_condition_waits_for_body(r)) {
        ngx_http_upstream_init(r);
    }

    return NGX_DONE;
}


/*
 * True if ngx_http_read_client_request_body() has left the call of its handler
 * to a later event.  It reads a body only if the header announces one, which
 * sets rest.
 */

static ngx_uint_t
ngx_http_weir_cache_condition_waits_for_body(ngx_http_request_t *r)
{
    ngx_http_request_body_t  *rb;

    rb = r->request_body;

    return r == r->main && rb && rb->rest >= 0 && !r->reading_body
           && !(rb->rest == 0 && rb->last_saved);
}


static ngx_int_t
ngx_http_weir_cache_condition_create_request(ngx_http_request_t *r)
{
    ngx_int_t                   rc;
    ngx_list_t                  client;
    ngx_http_weir_cache_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_weir_cache_module);

    /*
     * The list points into itself (list->last): a copy can be restored to the
     * original place, but the copy itself cannot be used as a list.
     */

    client = r->headers_in.headers;

    rc = ngx_http_weir_cache_condition_make_headers(ctx, &client);

    if (rc == NGX_OK) {
        ngx_http_weir_cache_condition_forget_variables(r);
        rc = ctx->create_request(r);
        ngx_http_weir_cache_condition_forget_variables(r);
    }

    r->headers_in.headers = client;

    return rc;
}


/*
 * The client's header without its conditions, with those of ctx->stale added.
 */

static ngx_int_t
ngx_http_weir_cache_condition_make_headers(ngx_http_weir_cache_ctx_t *ctx,
    ngx_list_t *client)
{
    ngx_uint_t           i;
    weir_str_t           etag, modified;
    ngx_list_t          *headers;
    ngx_list_part_t     *part;
    ngx_table_elt_t     *h, *copy;
    ngx_http_request_t  *r;

    r = ctx->request;
    headers = &r->headers_in.headers;

    if (ngx_list_init(headers, r->pool, 16, sizeof(ngx_table_elt_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (part = &client->part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (ngx_http_weir_cache_condition_is_one(&h[i].key)) {
                continue;
            }

            copy = ngx_list_push(headers);
            if (copy == NULL) {
                return NGX_ERROR;
            }

            *copy = h[i];
        }
    }

    if (!ctx->have_stale) {
        return NGX_OK;
    }

    etag = ngx_http_weir_cache_entry_header(&ctx->stale, "ETag");
    modified = ngx_http_weir_cache_entry_header(&ctx->stale, "Last-Modified");

    ctx->conditional = (etag.len || modified.len);

    if (etag.len
        && ngx_http_weir_cache_condition_push(headers, "If-None-Match",
                                              "if-none-match", &etag)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return modified.len
           ? ngx_http_weir_cache_condition_push(headers, "If-Modified-Since",
                                                "if-modified-since", &modified)
           : NGX_OK;
}


static ngx_uint_t
ngx_http_weir_cache_condition_is_one(ngx_str_t *name)
{
    ngx_uint_t  i;

    static ngx_str_t  names[] = {
        ngx_string("If-None-Match"),
        ngx_string("If-Modified-Since"),
        ngx_string("If-Match"),
        ngx_string("If-Unmodified-Since"),
        ngx_string("If-Range"),
        ngx_string("Range")
    };

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (name->len == names[i].len
            && ngx_strncasecmp(name->data, names[i].data, names[i].len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


static ngx_int_t
ngx_http_weir_cache_condition_push(ngx_list_t *headers, char *name,
    char *lowcase, weir_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->key.data = (u_char *) name;
    h->key.len = ngx_strlen(name);
    h->lowcase_key = (u_char *) lowcase;
    h->hash = ngx_hash_key(h->lowcase_key, h->key.len);
    h->value.data = (u_char *) value->data;
    h->value.len = value->len;
    ngx_http_weir_header_init(h);

    return NGX_OK;
}


/*
 * nginx caches the value of $http_if_none_match; with another list it must be
 * evaluated again.
 */

static void
ngx_http_weir_cache_condition_forget_variables(ngx_http_request_t *r)
{
    u_char                     *p;
    ngx_str_t                   name;
    ngx_uint_t                  i, j;
    ngx_http_variable_t        *v;
    ngx_http_core_main_conf_t  *cmcf;
    u_char                      text[sizeof("If-Unmodified-Since")];

    cmcf = ngx_http_get_module_main_conf(r, ngx_http_core_module);
    v = cmcf->variables.elts;

    for (i = 0; i < cmcf->variables.nelts; i++) {

        if (v[i].name.len <= 5 || v[i].name.len - 5 > sizeof(text)
            || ngx_strncmp(v[i].name.data, "http_", 5) != 0)
        {
            continue;
        }

        p = v[i].name.data + 5;
        name.data = text;
        name.len = v[i].name.len - 5;

        for (j = 0; j < name.len; j++) {
            text[j] = (p[j] == '_') ? '-' : p[j];
        }

        if (ngx_http_weir_cache_condition_is_one(&name)) {
            r->variables[i].valid = 0;
            r->variables[i].not_found = 0;
        }
    }
}
