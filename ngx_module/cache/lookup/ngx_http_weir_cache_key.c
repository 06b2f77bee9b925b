/*
 * The identity of a request in the cache: the key and its digest, the variant
 * that its headers select (RFC 9111 section 4.1), the Redis keys of both, and
 * the request's own Cache-Control.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/invalidation/ngx_http_weir_cache_invalidation.h"
#include "cache/lookup/ngx_http_weir_cache_lookup.h"
#include "cache/policy/tags.h"
#include "cache/policy/vary.h"
#include "compat/ngx_http_weir_compat_nginx.h"
#include "http/ngx_http_weir_headers.h"
#include "version/ngx_http_weir_version.h"

#include "common/hash/blake2b.h"


static void ngx_http_weir_cache_key_digest(ngx_http_weir_cache_zone_t *zone,
    ngx_str_t *text, u_char *digest);
static u_char *ngx_http_weir_cache_key_name(u_char *p, ngx_str_t *key,
    ngx_str_t *vary);
static ngx_int_t ngx_http_weir_cache_put_vary(ngx_http_weir_cache_ctx_t *ctx,
    weir_str_t list);
static ngx_int_t ngx_http_weir_cache_vary_lines(
    ngx_http_weir_cache_ctx_t *ctx, weir_str_t list, ngx_array_t **lines,
    size_t *len);
static ngx_int_t ngx_http_weir_cache_key_hide_vary(
    ngx_http_weir_cache_ctx_t *ctx);
static u_char *ngx_http_weir_cache_key_put_list(u_char *p, weir_str_t field,
    ngx_array_t *lines, u_char *buf);
static u_char *ngx_http_weir_cache_key_put_lines(u_char *p, weir_str_t field,
    ngx_array_t *lines);


static ngx_str_t  ngx_http_weir_cache_cache_control =
                                                  ngx_string("Cache-Control");
static ngx_str_t  ngx_http_weir_cache_pragma = ngx_string("Pragma");


/*
 * The key is the negotiated version, which may be empty, a space, and the text
 * that invalidations name.  So versions of an API are separate, whatever the
 * text.  The default text contains the URI as requested.  If nginx changed the
 * URI (rewrite, set $args, an internal redirect) by something that the text
 * does not contain, the changed URI follows in a line of its own.  The place to
 * which an internal redirect led comes first, whatever the text.
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

    p = ngx_pnalloc(r->pool, place.len + version.len + 1 + text->len
                             + (rewritten ? 1 + r->uri.len + 1 + r->args.len
                                          : 0));
    if (p == NULL) {
        return NGX_ERROR;
    }

    ctx->key.data = p;
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


/*
 * The digest of the text on this edge, by which entries, flights and misses are
 * found.  It has a secret, so that clients cannot construct texts with the same
 * digest.  Memory is kept when the configuration is read again; entries stored
 * under another weir_cache_zone secret are not found any more then.
 */

static void
ngx_http_weir_cache_key_digest(ngx_http_weir_cache_zone_t *zone,
    ngx_str_t *text,
    u_char *digest)
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


/*
 * The variant's text has a line "name: value" for each line of each field, as
 * the request has it.  Lines of a field that is known to be a list are joined
 * by commas first, and normalized (RFC 9111 section 4.1).  An absent field has
 * no line, unlike an empty one.  A field that the upstream gets as negotiated
 * has a line "name=value", which no field of a request can produce.
 */

ngx_int_t
ngx_http_weir_cache_key_variant(ngx_http_weir_cache_ctx_t *ctx,
    ngx_str_t *fields)
{
    u_char      *p;
    ngx_str_t    text;
    weir_str_t   list;

    list.data = (char *) fields->data;
    list.len = fields->len;

    if (ngx_http_weir_cache_put_vary(ctx, list) != NGX_OK
        || ngx_http_weir_cache_key_hide_vary(ctx) != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* the variant's digest covers the key's digest and the text */

    text.len = NGX_HTTP_WEIR_CACHE_DIGEST_LEN + ctx->vary.len;
    text.data = ngx_pnalloc(ctx->request->pool, text.len);
    if (text.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(text.data, ctx->digest, NGX_HTTP_WEIR_CACHE_DIGEST_LEN);
    ngx_memcpy(p, ctx->vary.data, ctx->vary.len);

    ngx_http_weir_cache_key_digest(ctx->conf->zone, &text, ctx->variant);
    ctx->varies = 1;

    return NGX_OK;
}


/* Writes the text into ctx->vary.  NGX_OK or NGX_ERROR (no memory). */

static ngx_int_t
ngx_http_weir_cache_put_vary(ngx_http_weir_cache_ctx_t *ctx, weir_str_t list)
{
    size_t        pos, len;
    u_char       *p, *value;
    ngx_str_t     sent;
    weir_str_t    field;
    ngx_uint_t    n;
    ngx_array_t  *lines[WEIR_VARY_FIELDS_MAX];

    if (ngx_http_weir_cache_vary_lines(ctx, list, lines, &len) != NGX_OK) {
        return NGX_ERROR;
    }

    /* values are assembled at the end of the buffer first */

    p = ngx_pnalloc(ctx->request->pool, len * 2);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ctx->vary.data = p;
    value = p + len;
    n = 0;

    for (pos = 0; n < WEIR_VARY_FIELDS_MAX
                  && weir_vary_next(list, &pos, &field); n++)
    {
        /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): as in the first round */
        if (lines[n] == NULL) {
            (void) ngx_http_weir_cache_sent(ctx, &field, &sent);
            p = ngx_cpymem(p, field.data, field.len);
            *p++ = '=';
            p = ngx_cpymem(p, sent.data, sent.len);
            *p++ = '\n';
            continue;
        }

        p = weir_vary_is_list(field)
            ? ngx_http_weir_cache_key_put_list(p, field, lines[n], value)
            : ngx_http_weir_cache_key_put_lines(p, field, lines[n]);
    }

    ctx->vary.len = p - ctx->vary.data;

    return NGX_OK;
}


/*
 * The request's lines of each field, NULL for a field that the upstream gets as
 * negotiated, and the upper limit of the text's length.  NGX_OK or NGX_ERROR
 * (no memory).
 */

static ngx_int_t
ngx_http_weir_cache_vary_lines(ngx_http_weir_cache_ctx_t *ctx, weir_str_t list,
    ngx_array_t **lines, size_t *len)
{
    size_t               pos;
    ngx_str_t            name, sent;
    weir_str_t           field, *line;
    ngx_uint_t           i, n;
    ngx_http_request_t  *r;

    r = ctx->request;
    *len = 0;
    n = 0;

    for (pos = 0; n < WEIR_VARY_FIELDS_MAX
                  && weir_vary_next(list, &pos, &field); n++)
    {
        if (ngx_http_weir_cache_sent(ctx, &field, &sent)) {
            lines[n] = NULL;
            *len += field.len + sizeof("=\n") - 1 + sent.len;
            continue;
        }

        name.data = (u_char *) field.data;
        name.len = field.len;

        lines[n] = ngx_http_weir_header_lines(r, &r->headers_in.headers, &name);
        if (lines[n] == NULL) {
            return NGX_ERROR;
        }

        line = lines[n]->elts;

        for (i = 0; i < lines[n]->nelts; i++) {
            *len += field.len + sizeof(": \n") - 1 + line[i].len;
        }
    }

    return NGX_OK;
}


/* With a secret, a digest replaces the header values: no cookie is in Redis. */

static ngx_int_t
ngx_http_weir_cache_key_hide_vary(ngx_http_weir_cache_ctx_t *ctx)
{
    u_char      *p;
    weir_str_t   key, vary;

    if (ctx->conf->zone->mac == NULL) {
        return NGX_OK;
    }

    p = ngx_pnalloc(ctx->request->pool, WEIR_ENTRY_MAC_VARY_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    key.data = (char *) ctx->key.data;
    key.len = ctx->key.len;
    vary.data = (char *) ctx->vary.data;
    vary.len = ctx->vary.len;

    weir_entry_mac_vary(ctx->conf->zone->mac, key, vary, (char *) p);

    ctx->vary.data = p;
    ctx->vary.len = WEIR_ENTRY_MAC_VARY_LEN;

    return NGX_OK;
}


/* buf must have room for the joined lines. */

static u_char *
ngx_http_weir_cache_key_put_list(u_char *p, weir_str_t field,
    ngx_array_t *lines,
    u_char *buf)
{
    u_char      *last;
    weir_str_t  *line, value;
    ngx_uint_t   i;

    if (lines->nelts == 0) {
        return p;
    }

    line = lines->elts;
    last = buf;

    for (i = 0; i < lines->nelts; i++) {
        last = ngx_cpymem(last, line[i].data, line[i].len);
        *last++ = ',';
    }

    value.data = (char *) buf;
    value.len = last - buf - 1;

    p = ngx_cpymem(p, field.data, field.len);
    *p++ = ':';
    *p++ = ' ';
    p += weir_vary_normalize_field(field, value, (char *) p);
    *p++ = '\n';

    return p;
}


static u_char *
ngx_http_weir_cache_key_put_lines(u_char *p, weir_str_t field,
    ngx_array_t *lines)
{
    weir_str_t  *line;
    ngx_uint_t   i;

    line = lines->elts;

    for (i = 0; i < lines->nelts; i++) {
        p = ngx_cpymem(p, field.data, field.len);
        *p++ = ':';
        *p++ = ' ';
        p = ngx_cpymem(p, line[i].data, line[i].len);
        *p++ = '\n';
    }

    return p;
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
ngx_http_weir_cache_key_credentials(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_http_request_t  *r;

    r = ctx->request;

    return (r->headers_in.authorization ? 1 : 0)
           + (ngx_http_weir_has_cookie(r) ? 2 : 0);
}
