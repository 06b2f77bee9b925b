/*
 * What a stale response is still good for: to be validated with the upstream
 * (RFC 9111 section 4.3), to be served while that happens behind the client's
 * back (RFC 5861 section 3), or to be served when the upstream fails (section
 * 4).
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/ngx_http_weir_cache.h"
#include "compat/ngx_http_weir_compat_nginx.h"


static ngx_uint_t ngx_http_weir_cache_is_condition(ngx_table_elt_t *h);
static ngx_int_t ngx_http_weir_cache_push_condition(ngx_list_t *headers,
    char *name, char *lowcase, weir_str_t *value);


/*
 * The client's conditions and ranges make way for those of the stored response
 * (section 4.3.1): it is the whole response that is validated.  The client's
 * are looked at again when its answer is known.  The list is a copy, as nginx
 * holds pointers into the client's own.
 */

ngx_int_t
ngx_http_weir_cache_make_conditional(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_uint_t           i;
    ngx_list_t           headers;
    weir_str_t           etag, modified;
    ngx_list_part_t     *part;
    ngx_table_elt_t     *h, *copy;
    ngx_http_request_t  *r;

    r = ctx->request;

    etag = ngx_http_weir_cache_entry_header(&ctx->stale, "ETag");
    modified = ngx_http_weir_cache_entry_header(&ctx->stale, "Last-Modified");

    if (etag.len == 0 && modified.len == 0) {
        return NGX_OK;
    }

    if (ngx_list_init(&headers, r->pool, 16, sizeof(ngx_table_elt_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (ngx_http_weir_cache_is_condition(&h[i])) {
                continue;
            }

            copy = ngx_list_push(&headers);
            if (copy == NULL) {
                return NGX_ERROR;
            }

            *copy = h[i];
        }
    }

    if (etag.len
        && ngx_http_weir_cache_push_condition(&headers, "If-None-Match",
                                              "if-none-match", &etag)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (modified.len
        && ngx_http_weir_cache_push_condition(&headers, "If-Modified-Since",
                                              "if-modified-since", &modified)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    ctx->headers_in = r->headers_in.headers;
    ctx->conditional = 1;

    r->headers_in.headers = headers;

    return NGX_OK;
}


static ngx_uint_t
ngx_http_weir_cache_is_condition(ngx_table_elt_t *h)
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
        if (h->key.len == names[i].len
            && ngx_strncasecmp(h->key.data, names[i].data, names[i].len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


static ngx_int_t
ngx_http_weir_cache_push_condition(ngx_list_t *headers, char *name,
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
 * A subrequest that nobody sees: it goes through the same location, and what
 * the upstream says goes to the store only.  It takes over the flight.
 *
 * Until it ends nginx reads no other request from an HTTP/1 connection.  So that
 * the client waits for no upstream with its next one it is told to come on
 * another connection.
 */

ngx_int_t
ngx_http_weir_cache_refresh(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_http_request_t         *r, *sr;
    ngx_pool_cleanup_t         *cln, *own;
    ngx_http_weir_cache_ctx_t  *refresh;

    r = ctx->request;

    for (own = r->pool->cleanup; own->data != ctx; own = own->next) {
        /* void */
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_weir_cache_ctx_t));
    if (cln == NULL) {
        return NGX_ERROR;
    }

    refresh = cln->data;
    ngx_memzero(refresh, sizeof(ngx_http_weir_cache_ctx_t));

    if (ngx_http_subrequest(r, &r->uri, &r->args, &sr, NULL,
                            NGX_HTTP_SUBREQUEST_CLONE
                            |NGX_HTTP_SUBREQUEST_BACKGROUND)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (r->http_version < NGX_HTTP_VERSION_20) {
        r->keepalive = 0;
    }

    sr->error_page = 1;  /* no page for an error that nobody sees */
    sr->method = NGX_HTTP_GET;
    ngx_str_set(&sr->method_name, "GET");

    /* the stale entry stays pinned by the main request, which ends later */

    refresh->request = sr;
    refresh->conf = ctx->conf;
    refresh->key = ctx->key;
    refresh->key_text = ctx->key_text;
    refresh->vary = ctx->vary;
    ngx_memcpy(refresh->digest, ctx->digest, NGX_HTTP_WEIR_CACHE_DIGEST_LEN);
    ngx_memcpy(refresh->variant, ctx->variant, NGX_HTTP_WEIR_CACHE_DIGEST_LEN);
    refresh->varies = ctx->varies;
    refresh->stale = ctx->stale;
    refresh->have_stale = 1;
    refresh->background = 1;
    refresh->status = NGX_HTTP_WEIR_CACHE_EXPIRED;
    refresh->request_time = ngx_time();
    ngx_http_weir_cache_stamp(refresh);
    weir_cache_control_init(&refresh->request_cc);

    ngx_memcpy(refresh->flight, ctx->flight, NGX_HTTP_WEIR_CACHE_DIGEST_LEN);
    refresh->flight_token = ctx->flight_token;
    refresh->in_flight = 1;
    ctx->in_flight = 0;

    cln->handler = own->handler;

    ngx_http_set_ctx(sr, refresh, ngx_http_weir_cache_module);

    return ngx_http_weir_cache_make_conditional(refresh);
}


char *
ngx_http_weir_cache_instead_of_error(ngx_http_weir_cache_ctx_t *ctx)
{
    int64_t                 window;
    ngx_uint_t              status, mask;
    ngx_http_request_t     *r;
    ngx_http_upstream_t    *u;
    weir_cache_freshness_t  freshness;

    r = ctx->request;
    u = r->upstream;

    if (u == NULL) {
        /* refused before the upstream was asked */
        status = r->err_status ? r->err_status : r->headers_out.status;
        mask = (status == NGX_HTTP_SERVICE_UNAVAILABLE)
               ? NGX_HTTP_WEIR_CACHE_STALE_BREAKER : 0;

    } else if (u->headers_in.status_n == 0) {
        /* no header came: nginx notes why */
        status = u->state ? u->state->status : 0;

        if (status == 0) {
            /* no server was tried: its name has no address, say */
            status = r->err_status ? r->err_status : r->headers_out.status;
        }

        mask = (status == NGX_HTTP_GATEWAY_TIME_OUT)
               ? NGX_HTTP_WEIR_CACHE_STALE_TIMEOUT
               : (status == NGX_HTTP_BAD_GATEWAY)
               ? NGX_HTTP_WEIR_CACHE_STALE_ERROR : 0;

    } else {
        switch (u->headers_in.status_n) {
        case NGX_HTTP_INTERNAL_SERVER_ERROR:
            mask = NGX_HTTP_WEIR_CACHE_STALE_500;
            break;
        case NGX_HTTP_BAD_GATEWAY:
            mask = NGX_HTTP_WEIR_CACHE_STALE_502;
            break;
        case NGX_HTTP_SERVICE_UNAVAILABLE:
            mask = NGX_HTTP_WEIR_CACHE_STALE_503;
            break;
        case NGX_HTTP_GATEWAY_TIME_OUT:
            mask = NGX_HTTP_WEIR_CACHE_STALE_504;
            break;
        default:
            mask = 0;
        }
    }

    if (mask == 0) {
        return NULL;
    }

    ngx_http_weir_cache_freshness(&ctx->stale, &freshness);

    window = freshness.stale_if_error;

    if (ctx->request_cc.stale_if_error > window) {
        window = ctx->request_cc.stale_if_error;
    }

    if (ctx->conf->use_stale & mask) {
        window = INT64_MAX;
    }

    /*
     * What is fresh is here only because the request didn't want it, or because
     * it was invalidated softly.
     */

    if ((window == 0 && !ctx->stale_soft)
        || !weir_cache_may_be_stale(&freshness,
                                    ngx_http_weir_cache_age(&ctx->stale),
                                    window))
    {
        return NULL;
    }

    /* it may have been invalidated while the upstream was asked */

    ngx_http_weir_cache_take_stale(ctx);

    return ngx_http_weir_cache_outlived(ctx) ? "stale-if-error" : NULL;
}
