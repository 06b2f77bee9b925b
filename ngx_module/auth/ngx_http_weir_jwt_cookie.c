/* The token of a request in a cookie. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "auth/ngx_http_weir_jwt_private.h"
#include "http/ngx_http_weir.h"


static ngx_int_t ngx_http_weir_jwt_cookie_count(ngx_http_request_t *r,
    ngx_http_weir_jwt_loc_conf_t *conf);


/*
 * NGX_ABORT: there are several cookies of that name, of which the upstream
 * could read another one.  Names are compared as nginx does, without regard to
 * case; so are the ends of cookies, ";" and ",".
 */

static ngx_int_t
ngx_http_weir_jwt_cookie_count(ngx_http_request_t *r,
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


ngx_int_t
ngx_http_weir_jwt_cookie(ngx_http_request_t *r,
    ngx_http_weir_jwt_loc_conf_t *conf, weir_str_t *text)
{
    ngx_int_t                   rc;
    ngx_uint_t                  key;
    ngx_http_variable_value_t  *v;

    rc = ngx_http_weir_jwt_cookie_count(r, conf);
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
