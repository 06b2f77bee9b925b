/*
 * The path to which a token is bound is the one that the upstream sees, so that
 * it can compare bytes.  proxy_pass, whose configuration is private to it, makes
 * it in one of three ways:
 *
 *   - without a path of its own, it sends the path that the client sent, if the
 *     request is still in the location that this path led to;
 *   - or else the present path (after rewrite, of a subrequest), escaped again;
 *   - with a path of its own, that, and the present path without the part that
 *     the location's name matches; which is in the query if that has one.
 *
 * With variables in its path nothing is known before it has evaluated them, and
 * path= is needed.  grpc_pass has no path of its own.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "auth/identity/ngx_http_weir_identity_private.h"
#include "http/ngx_http_weir.h"


static ngx_int_t ngx_http_weir_identity_path_sent(ngx_http_request_t *r,
    ngx_http_weir_identity_loc_conf_t *ilcf, weir_str_t *path);
static ngx_int_t ngx_http_weir_identity_path_made(ngx_http_request_t *r,
    ngx_http_weir_identity_loc_conf_t *ilcf, weir_str_t *path);
static void ngx_http_weir_identity_path_prefix(ngx_http_core_loc_conf_t *clcf,
    ngx_http_weir_identity_loc_conf_t *conf);


ngx_int_t
ngx_http_weir_identity_path(ngx_http_request_t *r,
    ngx_http_weir_identity_loc_conf_t *ilcf,
    ngx_http_weir_identity_statement_t *statement)
{
    ngx_str_t    value;
    weir_str_t  *path;

    path = &statement->path;

    if (ilcf->path) {
        if (ngx_http_complex_value(r, ilcf->path, &value) != NGX_OK) {
            return NGX_ERROR;
        }

        path->data = (char *) value.data;
        path->len = value.len;
        statement->prefix = (ilcf->bind == NGX_HTTP_WEIR_IDENTITY_LOCATION);

        return NGX_OK;
    }

    if (ngx_http_weir_identity_path_sent(r, ilcf, path) != NGX_OK) {
        return NGX_ERROR;
    }

    statement->prefix = 0;

    if (ilcf->bind == NGX_HTTP_WEIR_IDENTITY_LOCATION
        && ilcf->prefix.len && path->len >= ilcf->prefix.len
        && ngx_memcmp(path->data, ilcf->prefix.data, ilcf->prefix.len) == 0)
    {
        path->data = (char *) ilcf->prefix.data;
        path->len = ilcf->prefix.len;
        statement->prefix = 1;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_identity_path_sent(ngx_http_request_t *r,
    ngx_http_weir_identity_loc_conf_t *ilcf, weir_str_t *path)
{
    u_char  *end;

    if (ilcf->uri.len == 0 && r->valid_unparsed_uri) {
        end = ngx_strlchr(r->unparsed_uri.data,
                          r->unparsed_uri.data + r->unparsed_uri.len, '?');

        path->data = (char *) r->unparsed_uri.data;
        path->len = end ? (size_t) (end - r->unparsed_uri.data)
                        : r->unparsed_uri.len;

        return NGX_OK;
    }

    return ngx_http_weir_identity_path_made(r, ilcf, path);
}


static ngx_int_t
ngx_http_weir_identity_path_made(ngx_http_request_t *r,
    ngx_http_weir_identity_loc_conf_t *ilcf, weir_str_t *path)
{
    u_char     *p, *from, *query;
    size_t      len, skip;
    uintptr_t   escape;

    query = ngx_strlchr(ilcf->uri.data, ilcf->uri.data + ilcf->uri.len, '?');

    if (query) {
        path->data = (char *) ilcf->uri.data;
        path->len = query - ilcf->uri.data;
        return NGX_OK;
    }

    skip = (r->valid_location && ilcf->uri.len) ? ilcf->location.len : 0;
    skip = ngx_min(skip, r->uri.len);

    from = r->uri.data + skip;
    len = r->uri.len - skip;

    escape = 0;

    if (r->quoted_uri || r->internal) {
        escape = 2 * ngx_escape_uri(NULL, from, len, NGX_ESCAPE_URI);
    }

    p = ngx_pnalloc(r->pool, ilcf->uri.len + len + escape);
    if (p == NULL) {
        return NGX_ERROR;
    }

    path->data = (char *) p;
    path->len = ilcf->uri.len + len + escape;

    p = ngx_cpymem(p, ilcf->uri.data, ilcf->uri.len);

    if (escape) {
        (void) ngx_escape_uri(p, from, len, NGX_ESCAPE_URI);

    } else {
        ngx_memcpy(p, from, len);
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_weir_identity_path_merge(ngx_conf_t *cf,
    ngx_http_weir_identity_loc_conf_t *prev,
    ngx_http_weir_identity_loc_conf_t *conf)
{
    u_char                    *p, *last;
    ngx_str_t                  pass;
    ngx_http_core_loc_conf_t  *clcf;
    ngx_http_weir_loc_conf_t  *wlcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    wlcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_weir_module);

    /* `if` and limit_except have the location of the enclosing block */

    conf->location = clcf->noname ? prev->location : clcf->name;

    pass = wlcf->pass;
    p = pass.data;
    last = pass.data + pass.len;

    if (conf->path || pass.len == 0) {
        return NGX_OK;
    }

    if (pass.data[0] == '$') {
        return NGX_DECLINED;
    }

    if (pass.len > 7 && ngx_strncasecmp(p, (u_char *) "http://", 7) == 0) {
        p += 7;

    } else if (pass.len > 8
               && ngx_strncasecmp(p, (u_char *) "https://", 8) == 0)
    {
        p += 8;

    } else {
        ngx_http_weir_identity_path_prefix(clcf, conf);
        return NGX_OK;
    }

    if (last - p > 5 && ngx_strncasecmp(p, (u_char *) "unix:", 5) == 0) {
        p = ngx_strlchr(p + 5, last, ':');
        p = p ? p + 1 : last;

    } else {
        while (p < last && *p != '/' && *p != '?') {
            p++;
        }
    }

    if (p < last) {
        conf->uri.data = p;
        conf->uri.len = last - p;

        if (ngx_http_script_variables_count(&pass)) {
            return NGX_DECLINED;
        }
    }

    ngx_http_weir_identity_path_prefix(clcf, conf);

    return NGX_OK;
}


/* Locations that are named, or regular expressions, have no prefix. */

static void
ngx_http_weir_identity_path_prefix(ngx_http_core_loc_conf_t *clcf,
    ngx_http_weir_identity_loc_conf_t *conf)
{
    ngx_str_t  *name;

    name = conf->uri.len ? &conf->uri : &conf->location;

    if (name->len == 0 || name->data[0] != '/' || clcf->exact_match
#if (NGX_PCRE)
        || clcf->regex
#endif
       )
    {
        return;
    }

    conf->prefix = *name;
}
