/*
 * Changes the header lines of an upstream request; see ngx_http_weir_forward.h.
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

#include "compat/ngx_http_weir_compat_nginx.h"
#include "http/forward/ngx_http_weir_ctx.h"


static ngx_int_t ngx_http_weir_forward_content_handler(ngx_http_request_t *r);
static ngx_uint_t ngx_http_weir_forward_waits_for_body(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_forward_create_request(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_forward_reinit_request(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_forward_process_header(ngx_http_request_t *r);
#if (NGX_HTTP_CACHE)
static void ngx_http_weir_forward_clones(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx);
#endif
static ngx_int_t ngx_http_weir_forward_make_headers(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx, ngx_list_t *client);
static ngx_uint_t ngx_http_weir_forward_leaves_out(ngx_http_weir_ctx_t *ctx,
    u_char *name, size_t len);
static void ngx_http_weir_forward_forget_variables(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx);


/* The request whose content handler runs with r->aio set, or NULL. */
static ngx_http_request_t  *ngx_http_weir_forward_held;


ngx_int_t
ngx_http_weir_forward(ngx_http_request_t *r, ngx_http_weir_forward_t *forward)
{
    ngx_http_weir_ctx_t       *ctx;
    ngx_http_weir_forward_t  **last;

    ctx = ngx_http_weir_ctx(r);
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    for (last = &ctx->forward; *last; last = &(*last)->next) {
        if (*last == forward) {
            return NGX_OK;
        }
    }

    forward->next = NULL;
    *last = forward;

    if (r->content_handler != ngx_http_weir_forward_content_handler) {
        ctx->content_handler = r->content_handler;
        r->content_handler = ngx_http_weir_forward_content_handler;
    }

    return NGX_OK;
}


void
ngx_http_weir_forward_release(ngx_http_request_t *r)
{
    if (ngx_http_weir_forward_held == r) {
        ngx_http_weir_forward_held = NULL;
        r->aio = 0;
    }
}


static ngx_int_t
ngx_http_weir_forward_content_handler(ngx_http_request_t *r)
{
    ngx_int_t             rc;
    ngx_http_upstream_t  *earlier, *u;
    ngx_http_weir_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_weir_module);

    r->content_handler = ctx->content_handler;
    earlier = r->upstream;

    ngx_http_weir_forward_held = r;
    r->aio = 1;

    rc = r->content_handler(r);

    if (ngx_http_weir_forward_held != r) {
        /* another location took over; its upstream is asked as usual */
        return rc;
    }

    ngx_http_weir_forward_release(r);

    u = r->upstream;

    if (u == NULL || u == earlier
        || ngx_http_get_module_ctx(r, ngx_http_weir_module) != ctx)
    {
        /* no upstream is asked; r->aio may have delayed output */
        ngx_post_event(r->connection->write, &ngx_posted_events);
        return rc;
    }

    if (rc != NGX_DONE) {
        return rc;
    }

    ctx->create_request = u->create_request;
    u->create_request = ngx_http_weir_forward_create_request;

    ctx->reinit_request = u->reinit_request;
    u->reinit_request = ngx_http_weir_forward_reinit_request;

    ctx->process_header = u->process_header;
    u->process_header = ngx_http_weir_forward_process_header;

    if (!ngx_http_weir_forward_waits_for_body(r)) {
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
ngx_http_weir_forward_waits_for_body(ngx_http_request_t *r)
{
    ngx_http_request_body_t  *rb;

    rb = r->request_body;

    return r == r->main && rb && rb->rest >= 0 && !r->reading_body
           && !(rb->rest == 0 && rb->last_saved);
}


static ngx_int_t
ngx_http_weir_forward_create_request(ngx_http_request_t *r)
{
    ngx_int_t                 rc;
    ngx_list_t                client;
    ngx_http_weir_ctx_t      *ctx;
    ngx_http_weir_forward_t  *forward;

    ctx = ngx_http_get_module_ctx(r, ngx_http_weir_module);

    /*
     * The list points into itself (list->last): a copy can be restored to the
     * original place, but the copy itself cannot be used as a list.
     */

    client = r->headers_in.headers;

    rc = ngx_http_weir_forward_make_headers(r, ctx, &client);

    if (rc == NGX_OK) {
        ngx_http_weir_forward_forget_variables(r, ctx);
        rc = ctx->create_request(r);
        ngx_http_weir_forward_forget_variables(r, ctx);
    }

    r->headers_in.headers = client;

    if (rc != NGX_OK) {
        return rc;
    }

    for (forward = ctx->forward; forward; forward = forward->next) {
        if (forward->made) {
            forward->made(r, forward->data);
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_forward_reinit_request(ngx_http_request_t *r)
{
    ngx_http_weir_ctx_t      *ctx;
    ngx_http_weir_forward_t  *forward;

    ctx = ngx_http_get_module_ctx(r, ngx_http_weir_module);

    for (forward = ctx->forward; forward; forward = forward->next) {
        if (forward->again) {
            forward->again(r, forward->data);
        }
    }

    return ctx->reinit_request(r);
}


/*
 * Called for the header of the upstream's response, or of one in nginx's own
 * cache: if that is stale, nginx has just made a clone of the request, which will
 * run from the content phase on, with the content handler of the location.
 */

static ngx_int_t
ngx_http_weir_forward_process_header(ngx_http_request_t *r)
{
    ngx_http_weir_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_weir_module);

#if (NGX_HTTP_CACHE)

    if (r->cached && r->cache->background) {
        ngx_http_weir_forward_clones(r, ctx);
    }

#endif

    return ctx->process_header(r);
}


#if (NGX_HTTP_CACHE)


static void
ngx_http_weir_forward_clones(ngx_http_request_t *r, ngx_http_weir_ctx_t *ctx)
{
    ngx_http_request_t         *clone;
    ngx_http_weir_forward_t    *forward;
    ngx_http_posted_request_t  *posted;

    for (posted = r->main->posted_requests; posted; posted = posted->next) {
        clone = posted->request;

        if (clone->parent != r || !clone->background
            || clone->content_handler == NULL
            || ngx_http_get_module_ctx(clone, ngx_http_weir_module))
        {
            continue;
        }

        for (forward = ctx->forward; forward; forward = forward->next) {
            if (forward->cloned) {
                forward->cloned(clone, forward->data);
            }
        }
    }
}


#endif


static ngx_int_t
ngx_http_weir_forward_make_headers(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx, ngx_list_t *client)
{
    ngx_uint_t                i;
    ngx_list_t               *headers;
    ngx_list_part_t          *part;
    ngx_table_elt_t          *h, *copy;
    ngx_http_weir_forward_t  *forward;

    headers = &r->headers_in.headers;

    if (ngx_list_init(headers, r->pool, 16, sizeof(ngx_table_elt_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (part = &client->part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (ngx_http_weir_forward_leaves_out(ctx, h[i].key.data,
                                                 h[i].key.len))
            {
                continue;
            }

            copy = ngx_list_push(headers);
            if (copy == NULL) {
                return NGX_ERROR;
            }

            *copy = h[i];
        }
    }

    for (forward = ctx->forward; forward; forward = forward->next) {
        if (forward->add
            && forward->add(r, headers, forward->data) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* Compares names without regard to case. */

static ngx_uint_t
ngx_http_weir_forward_leaves_out(ngx_http_weir_ctx_t *ctx, u_char *name,
    size_t len)
{
    ngx_uint_t                n;
    ngx_http_weir_forward_t  *forward;

    for (forward = ctx->forward; forward; forward = forward->next) {

        for (n = 0; n < forward->n; n++) {
            if (forward->names[n].len == len
                && ngx_strncasecmp(forward->names[n].data, name, len) == 0)
            {
                return 1;
            }
        }
    }

    return 0;
}


ngx_int_t
ngx_http_weir_forward_push(ngx_list_t *headers, char *name, char *lowcase,
    u_char *value, size_t len)
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
    h->value.data = value;
    h->value.len = len;
    ngx_http_weir_header_init(h);

    return NGX_OK;
}


/*
 * nginx caches the value of $http_if_none_match; with another list it must be
 * evaluated again.
 */

static void
ngx_http_weir_forward_forget_variables(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx)
{
    ngx_uint_t                       i, n;
    ngx_http_weir_main_conf_t       *wmcf;
    ngx_http_weir_http_variable_t   *v;

    wmcf = ngx_http_get_module_main_conf(r, ngx_http_weir_module);

    v = wmcf->http_variables.elts;
    n = wmcf->http_variables.nelts;

    for (i = 0; i < n; i++) {
        if (ngx_http_weir_forward_leaves_out(ctx, v[i].header.data,
                                             v[i].header.len))
        {
            r->variables[v[i].index].valid = 0;
            r->variables[v[i].index].not_found = 0;
        }
    }
}


/* All variables have their index when the configuration is complete. */

ngx_int_t
ngx_http_weir_forward_init_module(ngx_cycle_t *cycle)
{
    u_char                         *p;
    ngx_uint_t                      i, j;
    ngx_http_variable_t            *v;
    ngx_http_weir_main_conf_t      *wmcf;
    ngx_http_core_main_conf_t      *cmcf;
    ngx_http_weir_http_variable_t  *http;

    cmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_core_module);
    if (cmcf == NULL) {
        return NGX_OK;
    }

    wmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_weir_module);

    if (ngx_array_init(&wmcf->http_variables, cycle->pool, 8,
                       sizeof(ngx_http_weir_http_variable_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    v = cmcf->variables.elts;

    for (i = 0; i < cmcf->variables.nelts; i++) {
        if (v[i].name.len <= 5
            || ngx_strncmp(v[i].name.data, "http_", 5) != 0)
        {
            continue;
        }

        http = ngx_array_push(&wmcf->http_variables);
        if (http == NULL) {
            return NGX_ERROR;
        }

        http->index = i;
        http->header.len = v[i].name.len - 5;

        p = ngx_pnalloc(cycle->pool, http->header.len);
        if (p == NULL) {
            return NGX_ERROR;
        }

        http->header.data = p;

        for (j = 0; j < http->header.len; j++) {
            p[j] = v[i].name.data[5 + j];

            if (p[j] == '_') {
                p[j] = '-';
            }
        }
    }

    return NGX_OK;
}
