/*
 * Rules for a request after an internal redirect (X-Accel-Redirect, error_page,
 * rewrite, try_files, redirects by other modules).
 *
 * The redirect may depend on the client: an application may have checked a
 * cookie before it sent X-Accel-Redirect.  So the response after the redirect
 * is stored under a key of its own, which the client's URI alone does not
 * select.  A response on the way that is private or no-store applies to it,
 * too.  Header lines that nginx took from that response are not stored with it.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/lookup/key/ngx_http_weir_cache_redirect.h"
#include "http/ngx_http_weir.h"


/*
 * Data of a cleanup of the pool, because an internal redirect clears module
 * contexts.
 */
typedef struct {
    ngx_http_request_t  *request;
    ngx_uint_t           forbidden;
} ngx_http_weir_cache_redirect_t;


static ngx_int_t ngx_http_weir_cache_redirect_forbids(ngx_http_request_t *r,
    ngx_http_weir_cache_loc_conf_t *left);
static ngx_int_t ngx_http_weir_cache_redirect_read(ngx_http_request_t *r,
    ngx_str_t *names, ngx_uint_t n, weir_cache_control_t *cc);
static void ngx_http_weir_cache_redirect_cleanup(void *data);


/*
 * Begins with a line feed, with which no client's key can begin, and contains
 * the length of each part, so that different places have different texts.
 */

ngx_int_t
ngx_http_weir_cache_redirect_place(ngx_http_request_t *r, ngx_str_t *place)
{
    ngx_http_core_loc_conf_t  *clcf;

    ngx_str_null(place);

    if (!r->internal) {
        return NGX_OK;
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    place->data = ngx_pnalloc(r->pool, sizeof("\n::: ") + 3 * NGX_SIZE_T_LEN
                                       + clcf->name.len + r->uri.len
                                       + r->args.len);
    if (place->data == NULL) {
        return NGX_ERROR;
    }

    place->len = ngx_sprintf(place->data, "\n%uz:%V%uz:%V%uz:%V ",
                             clcf->name.len, &clcf->name, r->uri.len, &r->uri,
                             r->args.len, &r->args)
                 - place->data;

    return NGX_OK;
}


ngx_int_t
ngx_http_weir_cache_redirect_forbidden(ngx_http_request_t *r,
    ngx_http_weir_cache_loc_conf_t *left)
{
    ngx_int_t                        forbids;
    ngx_pool_cleanup_t              *cln;
    ngx_http_weir_cache_redirect_t  *redirect;

    forbids = (r->upstream && r->upstream->headers_in.status_n)
              ? ngx_http_weir_cache_redirect_forbids(r, left) : 0;

    if (forbids == NGX_ERROR) {
        return NGX_ERROR;
    }

    for (cln = r->pool->cleanup; cln; cln = cln->next) {

        if (cln->handler != ngx_http_weir_cache_redirect_cleanup) {
            continue;
        }

        redirect = cln->data;

        if (redirect->request == r) {
            redirect->forbidden |= forbids;
            return redirect->forbidden;
        }
    }

    if (!forbids) {
        return 0;
    }

    cln = ngx_pool_cleanup_add(r->pool,
                               sizeof(ngx_http_weir_cache_redirect_t));
    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_weir_cache_redirect_cleanup;

    redirect = cln->data;
    redirect->request = r;
    redirect->forbidden = 1;

    return 1;
}


/*
 * True if the last upstream's response forbids storing in a shared cache, by a
 * field that the location left or this one reads.
 */

static ngx_int_t
ngx_http_weir_cache_redirect_forbids(ngx_http_request_t *r,
    ngx_http_weir_cache_loc_conf_t *left)
{
    int64_t                          seconds;
    weir_cache_control_t             cc;
    ngx_http_weir_cache_loc_conf_t  *clcf;

    static ngx_str_t  names[] = {
        ngx_string("Cache-Control"),
        ngx_string("CDN-Cache-Control")
    };

    if (ngx_http_weir_cache_redirect_accel_expires(r, &seconds) == NGX_OK
        && seconds == 0)
    {
        return 1;
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_cache_module);
    weir_cache_control_init(&cc);

    if (ngx_http_weir_cache_redirect_read(r, names, 2, &cc) != NGX_OK
        || (clcf->targeted
            && ngx_http_weir_cache_redirect_read(r, clcf->targeted->elts,
                                                 clcf->targeted->nelts, &cc)
               != NGX_OK)
        || (left && left->targeted
            && ngx_http_weir_cache_redirect_read(r, left->targeted->elts,
                                                 left->targeted->nelts, &cc)
               != NGX_OK))
    {
        return NGX_ERROR;
    }

    return (cc.flags & (WEIR_CC_NO_STORE|WEIR_CC_PRIVATE)) ? 1 : 0;
}


/*
 * Adds the directives of these fields of the upstream's response.  NGX_OK or
 * NGX_ERROR (no memory).
 */

static ngx_int_t
ngx_http_weir_cache_redirect_read(ngx_http_request_t *r, ngx_str_t *names,
    ngx_uint_t n, weir_cache_control_t *cc)
{
    weir_str_t   *line;
    ngx_uint_t    i, j;
    ngx_array_t  *lines;

    for (i = 0; i < n; i++) {

        lines = ngx_http_weir_header_lines(r, &r->upstream->headers_in.headers,
                                           &names[i]);
        if (lines == NULL) {
            return NGX_ERROR;
        }

        line = lines->elts;

        for (j = 0; j < lines->nelts; j++) {
            (void) weir_cache_control_parse(cc, line[j]);
        }
    }

    return NGX_OK;
}


/*
 * Seconds, or "@" and seconds since the epoch, as nginx's own caches read it.
 * The first of several lines counts.
 */

ngx_int_t
ngx_http_weir_cache_redirect_accel_expires(ngx_http_request_t *r,
    int64_t *seconds)
{
    weir_str_t        value;
    ngx_table_elt_t  *h;

    static ngx_str_t  name = ngx_string("X-Accel-Expires");

    h = ngx_http_weir_find_header(&r->upstream->headers_in.headers, &name);
    if (h == NULL) {
        return NGX_DECLINED;
    }

    value.data = (char *) h->value.data;
    value.len = h->value.len;

    if (value.len == 0 || value.data[0] != '@') {
        *seconds = weir_cache_delta_seconds(value);
        return *seconds < 0 ? NGX_DECLINED : NGX_OK;
    }

    value.data++;
    value.len--;

    if (weir_cache_delta_seconds(value) < 0) {
        return NGX_DECLINED;
    }

    /* a time may be after 2^31 */

    *seconds = ngx_atotm((u_char *) value.data, value.len);

    if (*seconds < 0) {
        *seconds = WEIR_CACHE_SECONDS_MAX;
        return NGX_OK;
    }

    *seconds = ngx_max(*seconds - (int64_t) ngx_time(), 0);
    *seconds = ngx_min(*seconds, WEIR_CACHE_SECONDS_MAX);

    return NGX_OK;
}


/*
 * The record needs no cleanup; the function pointer identifies it in the pool.
 */

static void
ngx_http_weir_cache_redirect_cleanup(void *data)
{
}


void
ngx_http_weir_cache_redirect_note_lines(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_list_part_t     *part;
    ngx_http_request_t  *r;

    r = ctx->request;

    ctx->lines = 0;
    ctx->content_type = r->headers_out.content_type.data;

    for (part = &r->headers_out.headers.part; part; part = part->next) {
        ctx->lines += part->nelts;
    }
}
