/*
 * Changes the header lines of an upstream request; see ngx_http_weir_forward.h.
 * Lines that are added follow the client's in a part of the list that is in it
 * for one call; the list is copied only if a line of the client is left out.
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
#if (NGX_HTTP_CACHE)
static ngx_int_t ngx_http_weir_forward_process_header(ngx_http_request_t *r);
static void ngx_http_weir_forward_clones(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx);
#endif
static ngx_int_t ngx_http_weir_forward_call(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx, ngx_list_part_t *added);
static uint64_t ngx_http_weir_forward_lengths(ngx_http_weir_ctx_t *ctx);
static ngx_uint_t ngx_http_weir_forward_leaves_any_out(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx);
static ngx_int_t ngx_http_weir_forward_copy_rest(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx, ngx_list_t *client);
static ngx_uint_t ngx_http_weir_forward_leaves_out(ngx_http_weir_ctx_t *ctx,
    ngx_str_t *name);
static ngx_uint_t ngx_http_weir_forward_is_same(ngx_str_t *one,
    ngx_str_t *other);
static u_char ngx_http_weir_forward_fold(u_char c);
static void ngx_http_weir_forward_forget_variables(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx);


/* More added lines than these take memory of the request's pool. */
#define NGX_HTTP_WEIR_FORWARD_LINES  8

/* A bit for each length of a name; names longer than 63 share bits. */
#define ngx_http_weir_forward_bit(len)  ((uint64_t) 1 << ((len) & 63))


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

#if (NGX_HTTP_CACHE)

    if (u->conf->cache) {
        ctx->process_header = u->process_header;
        u->process_header = ngx_http_weir_forward_process_header;
    }

#endif

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
    ngx_list_t                added, client;
    ngx_table_elt_t           lines[NGX_HTTP_WEIR_FORWARD_LINES];
    ngx_http_weir_ctx_t      *ctx;
    ngx_http_weir_forward_t  *forward;

    ctx = ngx_http_get_module_ctx(r, ngx_http_weir_module);

    added.part.elts = lines;
    added.part.nelts = 0;
    added.part.next = NULL;
    added.last = &added.part;
    added.size = sizeof(ngx_table_elt_t);
    added.nalloc = NGX_HTTP_WEIR_FORWARD_LINES;
    added.pool = r->pool;

    for (forward = ctx->forward; forward; forward = forward->next) {
        if (forward->add
            && forward->add(r, &added, forward->data) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (ngx_http_weir_forward_leaves_any_out(r, ctx)) {

        /*
         * The list points into itself (list->last): a copy can be restored to
         * the original place, but the copy itself cannot be used as a list.
         */

        client = r->headers_in.headers;

        rc = ngx_http_weir_forward_copy_rest(r, ctx, &client);

        if (rc == NGX_OK) {
            rc = ngx_http_weir_forward_call(r, ctx, &added.part);
        }

        r->headers_in.headers = client;

    } else {
        rc = ngx_http_weir_forward_call(r, ctx, &added.part);
    }

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


/*
 * Makes the upstream request with the added lines behind the list.  The last
 * part of a subrequest's list is not list->last, which is of its parent's.
 */

static ngx_int_t
ngx_http_weir_forward_call(ngx_http_request_t *r, ngx_http_weir_ctx_t *ctx,
    ngx_list_part_t *added)
{
    ngx_int_t         rc;
    ngx_list_part_t  *last;

    for (last = &r->headers_in.headers.part; last->next; last = last->next) {
        /* void */
    }

    /* nginx reads the first line of each part but the first */
    last->next = added->nelts ? added : NULL;

    ngx_http_weir_forward_forget_variables(r, ctx);
    rc = ctx->create_request(r);
    ngx_http_weir_forward_forget_variables(r, ctx);

    last->next = NULL;

    return rc;
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


#if (NGX_HTTP_CACHE)


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

    if (r->cached && r->cache->background) {
        ngx_http_weir_forward_clones(r, ctx);
    }

    return ctx->process_header(r);
}


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


/* The lengths of all names that are left out, as bits. */

static uint64_t
ngx_http_weir_forward_lengths(ngx_http_weir_ctx_t *ctx)
{
    uint64_t                  lengths;
    ngx_uint_t                n;
    ngx_http_weir_forward_t  *forward;

    lengths = 0;

    for (forward = ctx->forward; forward; forward = forward->next) {
        for (n = 0; n < forward->n; n++) {
            lengths |= ngx_http_weir_forward_bit(forward->names[n].len);
        }
    }

    return lengths;
}


/* True if the client has sent a line that is left out. */

static ngx_uint_t
ngx_http_weir_forward_leaves_any_out(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx)
{
    uint64_t          lengths;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    lengths = ngx_http_weir_forward_lengths(ctx);

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if ((lengths & ngx_http_weir_forward_bit(h[i].key.len))
                && ngx_http_weir_forward_leaves_out(ctx, &h[i].key))
            {
                return 1;
            }
        }
    }

    return 0;
}


/* Replaces the request's list by one of the client's other lines. */

static ngx_int_t
ngx_http_weir_forward_copy_rest(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx, ngx_list_t *client)
{
    ngx_uint_t        i;
    ngx_list_t       *headers;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h, *copy;

    headers = &r->headers_in.headers;

    if (ngx_list_init(headers, r->pool, 16, sizeof(ngx_table_elt_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (part = &client->part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (ngx_http_weir_forward_leaves_out(ctx, &h[i].key)) {
                continue;
            }

            copy = ngx_list_push(headers);
            if (copy == NULL) {
                return NGX_ERROR;
            }

            *copy = h[i];
        }
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_http_weir_forward_leaves_out(ngx_http_weir_ctx_t *ctx, ngx_str_t *name)
{
    ngx_uint_t                n;
    ngx_http_weir_forward_t  *forward;

    for (forward = ctx->forward; forward; forward = forward->next) {

        for (n = 0; n < forward->n; n++) {
            if (ngx_http_weir_forward_is_same(&forward->names[n], name)) {
                return 1;
            }
        }
    }

    return 0;
}


/*
 * Names that are one for FastCGI, uwsgi and SCGI, or for programs behind them:
 * "-" is "_" there, and "." is, too, in PHP.
 */

static ngx_uint_t
ngx_http_weir_forward_is_same(ngx_str_t *one, ngx_str_t *other)
{
    size_t  i;

    if (one->len != other->len) {
        return 0;
    }

    for (i = 0; i < one->len; i++) {
        if (ngx_http_weir_forward_fold(one->data[i])
            != ngx_http_weir_forward_fold(other->data[i]))
        {
            return 0;
        }
    }

    return 1;
}


static u_char
ngx_http_weir_forward_fold(u_char c)
{
    return (c == '_' || c == '.') ? '-' : ngx_tolower(c);
}


ngx_int_t
ngx_http_weir_forward_push(ngx_list_t *headers,
    ngx_http_weir_forward_name_t *name, u_char *value, size_t len)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    if (name->hash == 0) {
        name->hash = ngx_hash_key(name->lowcase, name->name.len);
    }

    h->key = name->name;
    h->lowcase_key = name->lowcase;
    h->hash = name->hash;
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
    ngx_uint_t                      i, n;
    ngx_http_weir_main_conf_t      *wmcf;
    ngx_http_weir_http_variable_t  *v;

    wmcf = ngx_http_get_module_main_conf(r, ngx_http_weir_module);

    v = wmcf->http_variables.elts;
    n = wmcf->http_variables.nelts;

    for (i = 0; i < n; i++) {
        if (ngx_http_weir_forward_leaves_out(ctx, &v[i].header)) {
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
