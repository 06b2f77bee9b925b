/*
 * What an upstream's response invalidates: the tags of Weir-Invalidate, and the
 * target of a successful request with an unsafe method.  A response with
 * Weir-Position says that the upstream has written the message itself.
 *
 * A response that does not reach the client (it led to another location, or it
 * is that of a background refresh) invalidates the same as one that does.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/invalidation/ngx_http_weir_cache_invalidation.h"
#include "cache/lookup/key/ngx_http_weir_cache_key_text.h"
#include "cache/lookup/key/ngx_http_weir_cache_uri.h"
#include "cache/lookup/ngx_http_weir_cache_ctx.h"
#include "cache/policy/tags.h"
#include "cache/purge/ngx_http_weir_cache_purge.h"
#include "flag/ngx_http_weir_flag.h"
#include "http/ngx_http_weir.h"


/*
 * Occurrences of the URI in a weir_cache_key that Location and Content-Location
 * may replace, and the keys of one response: the target and three references,
 * in a location and the enclosing one.
 */
#define NGX_HTTP_WEIR_CACHE_OCCURRENCES  4
#define NGX_HTTP_WEIR_CACHE_TARGETS                                           \
    (2 * (1 + 3 * NGX_HTTP_WEIR_CACHE_OCCURRENCES))


typedef struct {
    ngx_str_t    keys[NGX_HTTP_WEIR_CACHE_TARGETS];
    ngx_uint_t   n;
} ngx_http_weir_cache_targets_t;


static ngx_int_t ngx_http_weir_cache_invalidate_filter_header(ngx_http_request_t *r);
static ngx_uint_t ngx_http_weir_cache_invalidate_filter_heeded(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_cache_invalidate_filter_heed(ngx_http_request_t *r,
    ngx_http_weir_cache_loc_conf_t *clcf, ngx_uint_t changes, ngx_str_t *key);
static ngx_int_t ngx_http_weir_cache_invalidate_filter_mark(ngx_http_request_t *r,
    ngx_http_weir_cache_zone_t *zone);
static void ngx_http_weir_cache_invalidate_filter_hide_tags(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_cache_invalidate_filter_position(ngx_http_request_t *r,
    weir_position_t *position);
static ngx_uint_t ngx_http_weir_cache_invalidate_filter_is_due(ngx_uint_t method,
    ngx_uint_t status);
static ngx_int_t ngx_http_weir_cache_invalidate_filter_target(ngx_http_request_t *r,
    ngx_http_weir_cache_loc_conf_t *clcf, ngx_str_t *key,
    weir_position_t *position);
static ngx_int_t ngx_http_weir_cache_invalidate_filter_add_targets(
    ngx_http_request_t *r, ngx_http_weir_cache_loc_conf_t *clcf, ngx_str_t *key,
    ngx_http_weir_cache_targets_t *targets);
static ngx_int_t ngx_http_weir_cache_invalidate_filter_named(ngx_http_request_t *r,
    ngx_http_weir_cache_zone_t *zone, weir_position_t *position);


static ngx_str_t  ngx_http_weir_cache_weir_invalidate =
                                                ngx_string("Weir-Invalidate");
static ngx_str_t  ngx_http_weir_cache_position = ngx_string("Weir-Position");


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;


void
ngx_http_weir_cache_invalidate_filter_init(void)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_weir_cache_invalidate_filter_header;
}


static ngx_int_t
ngx_http_weir_cache_invalidate_filter_header(ngx_http_request_t *r)
{
    ngx_uint_t                       changes;
    ngx_http_weir_cache_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_cache_module);

    if (clcf->zone && !clcf->expose_tags && r == r->main) {
        ngx_http_weir_cache_invalidate_filter_hide_tags(r);
    }

    if (clcf->zone == NULL || !clcf->invalidate || r != r->main
        || r->upstream == NULL || r->method == NGX_HTTP_CONNECT
        || ngx_http_weir_cache_invalidate_filter_heeded(r))
    {
        return ngx_http_next_header_filter(r);
    }

    changes = ngx_http_weir_upstream_status(r) == r->headers_out.status
              && ngx_http_weir_cache_invalidate_filter_is_due(r->method,
                                                       r->headers_out.status);

    if (ngx_http_weir_cache_invalidate_filter_heed(r, clcf, changes, NULL) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_next_header_filter(r);
}


void
ngx_http_weir_cache_invalidate_unseen(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_uint_t           changes;
    ngx_http_request_t  *r;

    r = ctx->request;

    if (ctx->left) {
        return;
    }

    ctx->left = 1;

    if (!ctx->conf->invalidate || r->upstream == NULL
        || r->upstream == ctx->earlier)
    {
        return;
    }

    ctx->heeded = r->upstream;

    changes = ngx_http_weir_cache_invalidate_filter_is_due(ctx->method,
                                          ngx_http_weir_upstream_status(r));

    /* without memory for the mark, the response that follows has none */
    (void) ngx_http_weir_cache_invalidate_filter_heed(r, ctx->conf, changes,
                                               &ctx->key_text);
}


/* True if the response of r->upstream has led here, and was heeded then. */

static ngx_uint_t
ngx_http_weir_cache_invalidate_filter_heeded(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t         *cln;
    ngx_http_weir_cache_ctx_t  *ctx;

    if (!r->internal) {
        return 0;
    }

    cln = r->pool->cleanup;

    while ((ctx = ngx_http_weir_cache_ctx_next(r, &cln)) != NULL) {
        if (ctx->heeded == r->upstream) {
            return 1;
        }
    }

    return 0;
}


/*
 * Applies what the response of r->upstream invalidates.  changes: its target,
 * too, whose key is key; NULL: that of the request.  NGX_OK, or NGX_ERROR: no
 * memory for a header line.
 */

static ngx_int_t
ngx_http_weir_cache_invalidate_filter_heed(ngx_http_request_t *r,
    ngx_http_weir_cache_loc_conf_t *clcf, ngx_uint_t changes, ngx_str_t *key)
{
    ngx_uint_t        named;
    weir_position_t   position, *written;

    named = ngx_http_weir_find_header(&r->upstream->headers_in.headers,
                                      &ngx_http_weir_cache_weir_invalidate)
            != NULL;

    if (!changes && !named) {
        return NGX_OK;
    }

    /* an upstream that sends a position has written the message itself */

    written = (ngx_http_weir_cache_invalidate_filter_position(r, &position) == NGX_OK)
              ? &position : NULL;

    if ((changes
         && ngx_http_weir_cache_invalidate_filter_target(r, clcf, key, written)
            != NGX_OK)
        || (named
            && ngx_http_weir_cache_invalidate_filter_named(r, clcf->zone, written)
               != NGX_OK))
    {
        ngx_http_weir_cache_invalidate_all(r, clcf->zone, written);
    }

    return written == NULL && r == r->main
           ? ngx_http_weir_cache_invalidate_filter_mark(r, clcf->zone) : NGX_OK;
}


/* Other edges do not learn of it for now; the response tells the client. */

static ngx_int_t
ngx_http_weir_cache_invalidate_filter_mark(ngx_http_request_t *r,
    ngx_http_weir_cache_zone_t *zone)
{
    static ngx_str_t  name = ngx_string("Weir-Invalidation");
    static ngx_str_t  value = ngx_string("pending");

    if (ngx_http_weir_cache_invalidation_is_heard(zone)) {
        return NGX_OK;
    }

    return ngx_http_weir_add_header(r, &name, &value) ? NGX_OK : NGX_ERROR;
}


/*
 * Tags and flags are between upstream and edge.  The filter runs after those that store
 * the response, so that the stored response keeps its tags.
 */

static void
ngx_http_weir_cache_invalidate_filter_hide_tags(ngx_http_request_t *r)
{
    ngx_uint_t        i, n;
    ngx_table_elt_t  *h;

    static ngx_str_t  names[] = {
        ngx_string("Cache-Tag"),
        ngx_string("Weir-Invalidate"),
        ngx_string("Weir-Vary-Flags")
    };

    /* the last one only where there are flags */
    n = sizeof(names) / sizeof(names[0]) - !ngx_http_weir_flag_request_any(r);

    for (i = 0; i < n; i++) {
        while ((h = ngx_http_weir_find_header(&r->headers_out.headers,
                                              &names[i]))
               != NULL)
        {
            h->hash = 0;
        }
    }
}


/* Weir-Position of the upstream's response; NGX_DECLINED: none. */

static ngx_int_t
ngx_http_weir_cache_invalidate_filter_position(ngx_http_request_t *r,
    weir_position_t *position)
{
    weir_str_t        value;
    ngx_table_elt_t  *h;

    h = ngx_http_weir_find_header(&r->upstream->headers_in.headers,
                                  &ngx_http_weir_cache_position);
    if (h == NULL) {
        return NGX_DECLINED;
    }

    value.data = (char *) h->value.data;
    value.len = h->value.len;

    if (weir_position_parse(value, position)) {
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "upstream sent an invalid Weir-Position \"%V\", which is"
                  " ignored; it must be like 1700000000000-0", &h->value);

    return NGX_DECLINED;
}


/* True for a successful request with an unsafe method, RFC 9111 section 4.4. */

static ngx_uint_t
ngx_http_weir_cache_invalidate_filter_is_due(ngx_uint_t method, ngx_uint_t status)
{
    return !(method & (NGX_HTTP_GET|NGX_HTTP_HEAD|NGX_HTTP_OPTIONS
                       |NGX_HTTP_PROPFIND|NGX_HTTP_TRACE))
           && status >= 200 && status < 400;
}


/*
 * Invalidates the target, Location and Content-Location.  NGX_OK or NGX_ERROR
 * (no memory).
 */

static ngx_int_t
ngx_http_weir_cache_invalidate_filter_target(ngx_http_request_t *r,
    ngx_http_weir_cache_loc_conf_t *clcf, ngx_str_t *key,
    weir_position_t *position)
{
    uint64_t                       hashes[NGX_HTTP_WEIR_CACHE_TARGETS];
    ngx_uint_t                     i;
    ngx_http_weir_cache_targets_t  targets;

    targets.n = 0;

    if (ngx_http_weir_cache_invalidate_filter_add_targets(r, clcf, key, &targets)
        != NGX_OK
        || (clcf->enclosing
            && ngx_http_weir_cache_invalidate_filter_add_targets(r, clcf->enclosing,
                                                          NULL, &targets)
               != NGX_OK))
    {
        return NGX_ERROR;
    }

    for (i = 0; i < targets.n; i++) {
        hashes[i] = weir_key_hash((weir_str_t) {
                                              (char *) targets.keys[i].data,
                                              targets.keys[i].len });
    }

    ngx_http_weir_cache_invalidate_of_client(r, clcf->zone, hashes, targets.n,
                                             targets.n == 1
                                             ? &targets.keys[0] : NULL,
                                             position);

    return NGX_OK;
}


/*
 * Adds the keys of the target, Location and Content-Location in that location.
 * key is that of the target, or NULL if it is still to be made.  NGX_OK or
 * NGX_ERROR (no memory).
 */

static ngx_int_t
ngx_http_weir_cache_invalidate_filter_add_targets(ngx_http_request_t *r,
    ngx_http_weir_cache_loc_conf_t *clcf, ngx_str_t *key,
    ngx_http_weir_cache_targets_t *targets)
{
    ngx_int_t         rc;
    ngx_str_t        *own;
    ngx_uint_t        i, nth;
    ngx_table_elt_t  *h[3];

    static ngx_str_t  location = ngx_string("Location");
    static ngx_str_t  content_location = ngx_string("Content-Location");

    own = &targets->keys[targets->n];

    if (key) {
        *own = *key;

    } else if (ngx_http_weir_cache_key_text(r, clcf, own) != NGX_OK) {
        return NGX_ERROR;
    }

    targets->n++;

    /* Location also as the client sees it, after proxy_redirect */

    h[0] = ngx_http_weir_find_header(&r->upstream->headers_in.headers,
                                     &location);
    h[1] = h[0] ? r->headers_out.location : NULL;
    h[2] = ngx_http_weir_find_header(&r->upstream->headers_in.headers,
                                     &content_location);

    for (i = 0; i < 3; i++) {
        for (nth = 0; h[i] && nth < NGX_HTTP_WEIR_CACHE_OCCURRENCES; nth++) {

            rc = ngx_http_weir_cache_uri_key(r, clcf, own, &h[i]->value, nth,
                                             &targets->keys[targets->n]);

            if (rc == NGX_ERROR) {
                return NGX_ERROR;
            }

            if (rc != NGX_OK) {
                break;
            }

            targets->n++;
        }
    }

    return NGX_OK;
}


/* Invalidates the tags of Weir-Invalidate.  NGX_OK or NGX_ERROR (no memory). */

static ngx_int_t
ngx_http_weir_cache_invalidate_filter_named(ngx_http_request_t *r,
    ngx_http_weir_cache_zone_t *zone, weir_position_t *position)
{
    ngx_array_t  *lines;

    lines = ngx_http_weir_header_lines(r, &r->upstream->headers_in.headers,
                                       &ngx_http_weir_cache_weir_invalidate);

    return lines
           && ngx_http_weir_cache_invalidate_tags(r, zone, lines, 0, position)
              != NGX_ERROR
           ? NGX_OK : NGX_ERROR;
}
