/*
 * Where the token of a request is: in Authorization, in another header, or in a
 * cookie (ngx_http_weir_jwt_cookie.c).
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "auth/ngx_http_weir_jwt_private.h"
#include "common/text/token.h"


static ngx_int_t ngx_http_weir_jwt_find_header(ngx_http_request_t *r,
    ngx_http_weir_jwt_loc_conf_t *conf, weir_str_t *text,
    ngx_http_weir_jwt_scheme_e *scheme);
static ngx_inline ngx_uint_t ngx_http_weir_jwt_find_count(
    ngx_http_request_t *r, const ngx_str_t *name, weir_str_t *value);
static ngx_inline ngx_uint_t ngx_http_weir_jwt_find_skip_bearer(
    weir_str_t *text);
static ngx_inline ngx_uint_t ngx_http_weir_jwt_find_skip_scheme(
    weir_str_t *text, const char *scheme, size_t len);
static ngx_inline ngx_uint_t ngx_http_weir_jwt_find_is_same(const u_char *a,
    const u_char *b, size_t len);


ngx_int_t
ngx_http_weir_jwt_find(ngx_http_request_t *r,
    ngx_http_weir_jwt_loc_conf_t *conf, weir_str_t *text,
    ngx_http_weir_jwt_scheme_e *scheme)
{
    *scheme = NGX_HTTP_WEIR_JWT_BEARER;

    return conf->source == NGX_HTTP_WEIR_JWT_COOKIE
           ? ngx_http_weir_jwt_cookie(r, conf, text)
           : ngx_http_weir_jwt_find_header(r, conf, text, scheme);
}


/*
 * RFC 6750 section 2.1; the scheme may be absent in a header of another name.
 * RFC 9449 section 7.1, where proofs are asked for.
 */

static ngx_int_t
ngx_http_weir_jwt_find_header(ngx_http_request_t *r,
    ngx_http_weir_jwt_loc_conf_t *conf, weir_str_t *text,
    ngx_http_weir_jwt_scheme_e *scheme)
{
    ngx_str_t   *name;
    ngx_uint_t   bearer, n;

    static ngx_str_t  authorization = ngx_string("authorization");

    name = conf->source == NGX_HTTP_WEIR_JWT_HEADER ? &conf->name
                                                    : &authorization;

    n = ngx_http_weir_jwt_find_count(r, name, text);

    if (n != 1) {
        return n ? NGX_ABORT : NGX_DECLINED;
    }

    if (conf->bound >= NGX_HTTP_WEIR_JWT_BOUND_DPOP
        && ngx_http_weir_jwt_find_skip_scheme(text, "dpop", 4))
    {
        *scheme = NGX_HTTP_WEIR_JWT_DPOP;
        return NGX_OK;
    }

    bearer = ngx_http_weir_jwt_find_skip_bearer(text)
             || ngx_http_weir_jwt_find_skip_scheme(text, "bearer", 6);

    if (conf->source == NGX_HTTP_WEIR_JWT_AUTHORIZATION) {
        return bearer ? NGX_OK : NGX_DECLINED;
    }

    return text->len || bearer ? NGX_OK : NGX_DECLINED;
}


ngx_uint_t
ngx_http_weir_jwt_find_lines(ngx_http_request_t *r, ngx_str_t *name,
    weir_str_t *value)
{
    return ngx_http_weir_jwt_find_count(r, name, value);
}


static ngx_inline ngx_uint_t
ngx_http_weir_jwt_find_count(ngx_http_request_t *r, const ngx_str_t *name,
    weir_str_t *value)
{
    size_t            len;
    ngx_uint_t        n;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h, *last;

    n = 0;
    len = name->len;

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (last = h + part->nelts; h < last; h++) {

            if (h->key.len != len || h->hash == 0) {
                continue;
            }

            /* a line that a module has added may have its name only */

            if (h->lowcase_key
                ? ngx_http_weir_jwt_find_is_same(h->lowcase_key, name->data,
                                                 len)
                : ngx_strncasecmp(h->key.data, name->data, len) == 0)
            {
                value->data = (char *) h->value.data;
                value->len = h->value.len;
                n++;
            }
        }
    }

    return n;
}


/* Names have few characters: two words have all of "authorization". */

static ngx_inline ngx_uint_t
ngx_http_weir_jwt_find_is_same(const u_char *a, const u_char *b, size_t len)
{
    uint64_t  words[4];

    if (len < 8 || len > 16) {
        return ngx_memcmp(a, b, len) == 0;
    }

    ngx_memcpy(&words[0], a, 8);
    ngx_memcpy(&words[1], b, 8);
    ngx_memcpy(&words[2], a + len - 8, 8);
    ngx_memcpy(&words[3], b + len - 8, 8);

    return ((words[0] ^ words[1]) | (words[2] ^ words[3])) == 0;
}


/* The same as below for what nearly all clients send: "Bearer", one space. */

static ngx_inline ngx_uint_t
ngx_http_weir_jwt_find_skip_bearer(weir_str_t *text)
{
    uint64_t  is, case_bits, mask, wanted;

    if (text->len < 8) {
        return 0;
    }

    ngx_memcpy(&is, text->data, 8);
    ngx_memcpy(&case_bits, "      \0", 8);
    ngx_memcpy(&mask, "\377\377\377\377\377\377\377", 8);
    ngx_memcpy(&wanted, "bearer ", 8);

    if (((is | case_bits) & mask) != wanted || text->data[7] == ' ') {
        return 0;
    }

    text->data += 7;
    text->len -= 7;

    return 1;
}


/*
 * That scheme, without regard to case, and the spaces behind it (RFC 9110
 * section 11.4); false if it is absent, or only begins the name of another
 * scheme.  Whatever else follows is a token that is refused: the upstream may
 * read one.
 */

static ngx_inline ngx_uint_t
ngx_http_weir_jwt_find_skip_scheme(weir_str_t *text, const char *scheme,
    size_t len)
{
    uint32_t     is, wanted;
    const char  *p;

    p = text->data;

    /* four letters at once; both names have the case bit in each letter */

    if (text->len < len) {
        return 0;
    }

    ngx_memcpy(&is, p, 4);
    ngx_memcpy(&wanted, scheme, 4);

    if ((is | 0x20202020) != wanted
        || (len == 6 && ((p[4] | 0x20) != scheme[4]
                         || (p[5] | 0x20) != scheme[5]))
        || (text->len > len && weir_is_tchar(p[len])))
    {
        return 0;
    }

    while (len < text->len && p[len] == ' ') {
        len++;
    }

    text->data += len;
    text->len -= len;

    return 1;
}
