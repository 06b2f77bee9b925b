/*
 * The identity of a request in the cache: the key and its digest, the names in
 * Redis, and the request's own Cache-Control.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/invalidation/ngx_http_weir_cache_invalidation.h"
#include "cache/lookup/key/ngx_http_weir_cache_key.h"
#include "cache/lookup/key/ngx_http_weir_cache_key_text.h"
#include "cache/lookup/key/ngx_http_weir_cache_redirect.h"
#include "cache/lookup/key/ngx_http_weir_cache_sent.h"
#include "cache/policy/tags.h"
#include "cache/policy/vary.h"
#include "compat/ngx_http_weir_compat_nginx.h"
#include "http/ngx_http_weir_headers.h"
#include "version/ngx_http_weir_version.h"

#include "common/hash/blake2b.h"


static u_char *ngx_http_weir_cache_key_name(u_char *p, ngx_str_t *key,
    ngx_str_t *vary);


static ngx_str_t  ngx_http_weir_cache_cache_control =
                                                  ngx_string("Cache-Control");
static ngx_str_t  ngx_http_weir_cache_pragma = ngx_string("Pragma");


/*
 * The key is the negotiated version, which may be empty, a space, and the text
 * that invalidations name.  So versions of an API are separate, whatever the
 * text.  The default text contains the URI as requested.  If nginx changed the
 * URI (rewrite, set $args, an internal redirect) by something that the text
 * does not contain, the changed URI follows in a line of its own.  The partition
 * of a request with a token comes first, then the place to which an internal
 * redirect led, whatever the text.
 */

ngx_int_t
ngx_http_weir_cache_key_make(ngx_http_weir_cache_ctx_t *ctx)
{
    u_char              *p;
    ngx_str_t            version, place, *text;
    ngx_uint_t           rewritten;
    ngx_http_request_t  *r;

    r = ctx->request;
    text = &ctx->key_text;

    if (ngx_http_weir_cache_key_text(r, ctx->conf, text) != NGX_OK) {
        return NGX_ERROR;
    }

    ctx->key.len = 0;

    if (text->len == 0) {
        return NGX_OK;
    }

    if (ngx_http_weir_version_get(r, &version) == NGX_ERROR
        || ngx_http_weir_cache_redirect_place(r, &place) != NGX_OK)
    {
        return NGX_ERROR;
    }

    rewritten = (ctx->conf->key == NULL && !r->valid_unparsed_uri);

    p = ngx_pnalloc(r->pool, ctx->partition.len + place.len + version.len + 1 + text->len
                             + (rewritten ? 1 + r->uri.len + 1 + r->args.len
                                          : 0));
    if (p == NULL) {
        return NGX_ERROR;
    }

    ctx->key.data = p;
    p = ngx_cpymem(p, ctx->partition.data, ctx->partition.len);
    p = ngx_cpymem(p, place.data, place.len);
    p = ngx_cpymem(p, version.data, version.len);
    *p++ = ' ';
    p = ngx_cpymem(p, text->data, text->len);

    if (rewritten) {
        *p++ = '\n';
        p = ngx_cpymem(p, r->uri.data, r->uri.len);
        *p++ = '\0';
        p = ngx_cpymem(p, r->args.data, r->args.len);
    }

    ctx->key.len = p - ctx->key.data;

    ngx_http_weir_cache_key_digest(ctx->conf->zone, &ctx->key, ctx->digest);

    return NGX_OK;
}


void
ngx_http_weir_cache_key_digest(ngx_http_weir_cache_zone_t *zone,
    ngx_str_t *text, u_char *digest)
{
    uint64_t            hash[2];
    weir_str_t          s;
    weir_siphash_key_t  secret;

    s.data = (char *) text->data;
    s.len = text->len;

    secret = zone->invalidation->table->secret;

    if (zone->mac) {
        secret.k0 ^= zone->mac->id.k0;
        secret.k1 ^= zone->mac->id.k1;
    }

    weir_siphash128(secret, s, hash);
    ngx_memcpy(digest, hash, NGX_HTTP_WEIR_CACHE_DIGEST_LEN);
}


/* The digest of the text on all edges, in hexadecimal digits. */

static u_char *
ngx_http_weir_cache_key_name(u_char *p, ngx_str_t *key, ngx_str_t *vary)
{
    uint8_t         hash[NGX_HTTP_WEIR_CACHE_DIGEST_LEN];
    weir_blake2b_t  b;

    weir_blake2b_begin(&b, sizeof(hash), WEIR_STR(""),
                       WEIR_STR("weir name"));
    weir_blake2b_add(&b, (weir_str_t) { (char *) key->data, key->len });

    if (vary) {
        /* the lengths separate key and variant, whatever they contain */
        weir_blake2b_add(&b, (weir_str_t) { (char *) &key->len, 8 });
        weir_blake2b_add(&b, (weir_str_t) { (char *) vary->data, vary->len });
    }

    weir_blake2b_end(&b, hash);

    return ngx_hex_dump(p, hash, sizeof(hash));
}


uint64_t
ngx_http_weir_cache_key_hash(ngx_http_weir_cache_ctx_t *ctx, u_char *entry)
{
    weir_str_t  text;

    if (weir_entry_is_pointer((char *) entry)) {
        return 0;
    }

    text.data = (char *) ctx->key_text.data;
    text.len = ctx->key_text.len;

    return weir_key_hash(text);
}


ngx_str_t
ngx_http_weir_cache_key_in_redis(ngx_http_weir_cache_ctx_t *ctx, char *kind,
    ngx_uint_t variant)
{
    u_char     *p;
    ngx_str_t   key, *zone;

    zone = &ctx->conf->zone->name;

    key.len = sizeof("weir:::{}") - 1 + ngx_strlen(kind) + zone->len
              + NGX_HTTP_WEIR_CACHE_DIGEST_LEN * (variant ? 4 : 2);

    key.data = ngx_pnalloc(ctx->request->pool, key.len);

    if (key.data) {
        p = ngx_sprintf(key.data, "weir:%s:%V:{", kind, zone);
        p = ngx_http_weir_cache_key_name(p, &ctx->key, NULL);
        *p++ = '}';

        if (variant) {
            (void) ngx_http_weir_cache_key_name(p, &ctx->key, &ctx->vary);
        }
    }

    return key;
}


/* Cache-Control; without it Pragma: no-cache (RFC 9111 section 5.4) */

ngx_int_t
ngx_http_weir_cache_key_read_request(ngx_http_weir_cache_ctx_t *ctx)
{
    weir_str_t            *line;
    ngx_uint_t             i;
    ngx_array_t           *lines, *pragma;
    weir_cache_control_t   old;
    ngx_http_request_t    *r;

    r = ctx->request;

    weir_cache_control_init(&ctx->request_cc);

    if (ctx->conf->ignore & NGX_HTTP_WEIR_CACHE_IGNORE_CACHE_CONTROL) {
        return NGX_OK;
    }

    lines = ngx_http_weir_header_lines(r, &r->headers_in.headers,
                                       &ngx_http_weir_cache_cache_control);

    pragma = ngx_http_weir_header_lines(r, &r->headers_in.headers,
                                        &ngx_http_weir_cache_pragma);

    if (lines == NULL || pragma == NULL) {
        return NGX_ERROR;
    }

    line = lines->elts;

    for (i = 0; i < lines->nelts; i++) {
        (void) weir_cache_control_parse(&ctx->request_cc, line[i]);
    }

    if (lines->nelts == 0) {
        weir_cache_control_init(&old);
        line = pragma->elts;

        for (i = 0; i < pragma->nelts; i++) {
            (void) weir_cache_control_parse(&old, line[i]);
        }

        ctx->request_cc.flags = old.flags & WEIR_CC_NO_CACHE;
    }

    if (ctx->conf->request_control == NGX_HTTP_WEIR_CACHE_CONTROL_IGNORE) {

        /* these two reduce upstream requests or ask for privacy */

        old = ctx->request_cc;
        weir_cache_control_init(&ctx->request_cc);
        ctx->request_cc.flags = old.flags
                                & (WEIR_CC_NO_STORE|WEIR_CC_ONLY_IF_CACHED);
    }

    return NGX_OK;
}


ngx_uint_t
ngx_http_weir_cache_key_has_authorization(ngx_http_weir_cache_ctx_t *ctx)
{
    return ctx->request->headers_in.authorization && !ctx->authorized;
}


ngx_uint_t
ngx_http_weir_cache_key_credentials(ngx_http_weir_cache_ctx_t *ctx)
{
    return (ngx_http_weir_cache_key_has_authorization(ctx) ? 1 : 0)
           + (ngx_http_weir_has_cookie(ctx->request) ? 2 : 0);
}
