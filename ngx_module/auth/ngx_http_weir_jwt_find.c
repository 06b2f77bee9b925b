/*
 * Where the token of a request is: in Authorization, in another header, or in a
 * cookie.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "auth/ngx_http_weir_jwt_private.h"
#include "common/text/token.h"
#include "http/ngx_http_weir.h"


static ngx_int_t ngx_http_weir_jwt_find_count_cookies(ngx_http_request_t *r,
    ngx_http_weir_jwt_loc_conf_t *conf);
static ngx_int_t ngx_http_weir_jwt_find_cookie(ngx_http_request_t *r,
    ngx_http_weir_jwt_loc_conf_t *conf, weir_str_t *text);
static ngx_int_t ngx_http_weir_jwt_find_header(ngx_http_request_t *r,
    ngx_http_weir_jwt_loc_conf_t *conf, weir_str_t *text,
    ngx_http_weir_jwt_scheme_e *scheme);
static ngx_inline ngx_uint_t ngx_http_weir_jwt_find_skip_scheme(
    weir_str_t *text, const char *scheme, size_t len);


ngx_int_t
ngx_http_weir_jwt_find(ngx_http_request_t *r,
    ngx_http_weir_jwt_loc_conf_t *conf, weir_str_t *text,
    ngx_http_weir_jwt_scheme_e *scheme)
{
    *scheme = NGX_HTTP_WEIR_JWT_BEARER;

    return conf->source == NGX_HTTP_WEIR_JWT_COOKIE
           ? ngx_http_weir_jwt_find_cookie(r, conf, text)
           : ngx_http_weir_jwt_find_header(r, conf, text, scheme);
}


/*
 * NGX_ABORT: there are several cookies of that name, of which the upstream
 * could read another one.  Names are compared as nginx does, without regard to
 * case; so are the ends of cookies, ";" and ",".
 */

static ngx_int_t
ngx_http_weir_jwt_find_count_cookies(ngx_http_request_t *r,
    ngx_http_weir_jwt_loc_conf_t *conf)
{
    const char   *p, *last;
    ngx_str_t     name;
    weir_str_t   *line;
    ngx_uint_t    i, n;
    ngx_array_t  *lines;

    static ngx_str_t  cookie = ngx_string("Cookie");

    name.data = conf->name.data + sizeof("cookie_") - 1;
    name.len = conf->name.len - (sizeof("cookie_") - 1);

    lines = ngx_http_weir_header_lines(r, &r->headers_in.headers, &cookie);
    if (lines == NULL) {
        return NGX_ERROR;
    }

    line = lines->elts;
    n = 0;

    for (i = 0; i < lines->nelts; i++) {
        p = line[i].data;
        last = p + line[i].len;

        while (p < last) {

            while (p < last && (*p == ' ' || *p == '\t')) {
                p++;
            }

            if ((size_t) (last - p) > name.len
                && ngx_strncasecmp((u_char *) p, name.data, name.len) == 0
                && (p[name.len] == '=' || p[name.len] == ' '
                    || p[name.len] == '\t'))
            {
                n++;
            }

            while (p < last && *p != ';' && *p != ',') {
                p++;
            }

            p++;
        }
    }

    return n > 1 ? NGX_ABORT : NGX_OK;
}


static ngx_int_t
ngx_http_weir_jwt_find_cookie(ngx_http_request_t *r,
    ngx_http_weir_jwt_loc_conf_t *conf, weir_str_t *text)
{
    ngx_int_t                   rc;
    ngx_uint_t                  key;
    ngx_http_variable_value_t  *v;

    rc = ngx_http_weir_jwt_find_count_cookies(r, conf);
    if (rc != NGX_OK) {
        return rc;
    }

    key = ngx_hash_key(conf->name.data, conf->name.len);
    v = ngx_http_get_variable(r, &conf->name, key);

    if (v == NULL) {
        return NGX_ERROR;
    }

    if (v->not_found || v->len == 0) {
        return NGX_DECLINED;
    }

    text->data = (char *) v->data;
    text->len = v->len;

    return NGX_OK;
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

    n = ngx_http_weir_jwt_find_lines(r, name, text);

    if (n != 1) {
        return n ? NGX_ABORT : NGX_DECLINED;
    }

    if (conf->bound >= NGX_HTTP_WEIR_JWT_BOUND_DPOP
        && ngx_http_weir_jwt_find_skip_scheme(text, "dpop", 4))
    {
        *scheme = NGX_HTTP_WEIR_JWT_DPOP;
        return NGX_OK;
    }

    bearer = ngx_http_weir_jwt_find_skip_scheme(text, "bearer", 6);

    if (conf->source == NGX_HTTP_WEIR_JWT_AUTHORIZATION) {
        return bearer ? NGX_OK : NGX_DECLINED;
    }

    return text->len || bearer ? NGX_OK : NGX_DECLINED;
}


ngx_uint_t
ngx_http_weir_jwt_find_lines(ngx_http_request_t *r, ngx_str_t *name,
    weir_str_t *value)
{
    ngx_uint_t        i, n;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    n = 0;

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].key.len != name->len || h[i].hash == 0) {
                continue;
            }

            /* a line that a module has added may have its name only */

            if (h[i].lowcase_key
                ? ngx_memcmp(h[i].lowcase_key, name->data, name->len) == 0
                : ngx_strncasecmp(h[i].key.data, name->data, name->len) == 0)
            {
                value->data = (char *) h[i].value.data;
                value->len = h[i].value.len;
                n++;
            }
        }
    }

    return n;
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
