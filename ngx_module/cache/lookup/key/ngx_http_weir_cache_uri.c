/*
 * The key of another URI, from Location and Content-Location of a response (RFC
 * 9111 section 4.4), if it is of the request's own origin.
 *
 * The default key ends with the URI as requested.  A weir_cache_key can contain
 * anything: only a key that contains that URI can be converted to another
 * URI's, by replacing one of its occurrences.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/lookup/key/ngx_http_weir_cache_uri.h"


static ngx_int_t ngx_http_weir_cache_uri_path(ngx_http_request_t *r,
    ngx_str_t *path);
static ngx_int_t ngx_http_weir_cache_strip_origin(ngx_http_request_t *r,
    ngx_str_t *uri, u_char *p);
static ngx_int_t ngx_http_weir_cache_resolve(ngx_http_request_t *r,
    ngx_str_t *reference);
static u_char *ngx_http_weir_cache_put_segments(u_char *base, u_char *last,
    ngx_str_t *reference);
static void ngx_http_weir_cache_uri_trim_port(ngx_str_t *host, ngx_str_t *port);


ngx_int_t
ngx_http_weir_cache_uri_key(ngx_http_request_t *r,
    ngx_http_weir_cache_loc_conf_t *clcf, ngx_str_t *own, ngx_str_t *reference,
    ngx_uint_t nth, ngx_str_t *key)
{
    u_char     *p, *at, *last;
    ngx_int_t   rc;
    ngx_str_t   path;

    path = *reference;

    if (path.len && path.data[0] != '/') {
        rc = ngx_http_weir_cache_uri_path(r, &path);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    if (path.len == 0 || path.data[0] != '/'
        || (path.len > 1 && path.data[1] == '/'))
    {
        return NGX_DECLINED;
    }

    /* RFC 3986 section 3.5: the fragment is for the client only */

    p = ngx_strlchr(path.data, path.data + path.len, '#');
    if (p) {
        path.len = p - path.data;
    }

    if (r->unparsed_uri.len == 0 || own->len < r->unparsed_uri.len) {
        return NGX_DECLINED;
    }

    last = own->data + own->len - r->unparsed_uri.len;

    /*
     * the text before it may contain slashes, too: the path of a socket, or
     * "://" of a weir_cache_key
     */

    for (at = clcf->key ? own->data : last; at <= last; at++) {
        if (ngx_memcmp(at, r->unparsed_uri.data, r->unparsed_uri.len) == 0
            && nth-- == 0)
        {
            break;
        }
    }

    if (at > last) {
        return NGX_DECLINED;
    }

    key->len = own->len - r->unparsed_uri.len + path.len;

    key->data = ngx_pnalloc(r->pool, key->len);
    if (key->data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(key->data, own->data, at - own->data);
    p = ngx_cpymem(p, path.data, path.len);
    at += r->unparsed_uri.len;
    ngx_memcpy(p, at, own->data + own->len - at);

    return NGX_OK;
}


/*
 * The path with the query of a reference that does not begin with a path: an
 * absolute URI of the request's own origin, or a reference relative to the
 * target URI (RFC 3986 section 5.2).  NGX_DECLINED: another origin, or a
 * reference to the target itself.
 */

static ngx_int_t
ngx_http_weir_cache_uri_path(ngx_http_request_t *r, ngx_str_t *path)
{
    u_char  *p, *end;

    end = path->data + path->len;

    for (p = path->data; p < end && *p != ':' && *p != '/' && *p != '?'
                         && *p != '#'; p++) { /* void */ }

    if (p < end && *p == ':') {
        return ngx_http_weir_cache_strip_origin(r, path, p);
    }

    if (p == path->data && (p == end || *p != '/')) {
        return NGX_DECLINED;
    }

    return ngx_http_weir_cache_resolve(r, path);
}


/*
 * Removes the request's own origin from an absolute URI; p is after its scheme.
 */

static ngx_int_t
ngx_http_weir_cache_strip_origin(ngx_http_request_t *r, ngx_str_t *uri,
    u_char *p)
{
    u_char     *end;
    ngx_str_t   host, own, port;

    end = uri->data + uri->len;

    ngx_str_set(&own, "http");
    ngx_str_set(&port, ":80");

#if (NGX_HTTP_SSL)
    if (r->connection->ssl) {
        ngx_str_set(&own, "https");
        ngx_str_set(&port, ":443");
    }
#endif

    if ((size_t) (p - uri->data) != own.len
        || ngx_strncasecmp(uri->data, own.data, own.len) != 0
        || end - p < 3 || p[1] != '/' || p[2] != '/'
        || r->headers_in.host == NULL)
    {
        return NGX_DECLINED;
    }

    host.data = p + 3;

    for (p += 3; p < end && *p != '/' && *p != '?' && *p != '#'; p++) {
        /* void */
    }

    host.len = p - host.data;
    own = r->headers_in.host->value;

    ngx_http_weir_cache_uri_trim_port(&host, &port);
    ngx_http_weir_cache_uri_trim_port(&own, &port);

    if (host.len != own.len
        || ngx_strncasecmp(host.data, own.data, own.len) != 0)
    {
        return NGX_DECLINED;
    }

    uri->data = p;
    uri->len = end - p;

    return NGX_OK;
}


/*
 * The target's path up to its last slash, followed by the reference.
 * NGX_DECLINED: the target has no path; NGX_ERROR: no memory.
 */

static ngx_int_t
ngx_http_weir_cache_resolve(ngx_http_request_t *r, ngx_str_t *reference)
{
    u_char     *p, *last;
    ngx_str_t   base;

    base = r->unparsed_uri;

    p = ngx_strlchr(base.data, base.data + base.len, '?');
    if (p) {
        base.len = p - base.data;
    }

    while (base.len && base.data[base.len - 1] != '/') {
        base.len--;
    }

    if (base.len == 0 || base.data[0] != '/') {
        return NGX_DECLINED;
    }

    p = ngx_pnalloc(r->pool, base.len + reference->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    last = ngx_cpymem(p, base.data, base.len);
    last = ngx_http_weir_cache_put_segments(p, last, reference);

    reference->data = p;
    reference->len = last - p;

    return NGX_OK;
}


/*
 * Appends a reference to the path from base to last, which ends with a slash,
 * and removes the segments "."  and ".."  (RFC 3986 section 5.2.4).  Returns
 * the new end.
 */

static u_char *
ngx_http_weir_cache_put_segments(u_char *base, u_char *last,
    ngx_str_t *reference)
{
    u_char  *p, *end, *segment;
    size_t   len;

    end = reference->data + reference->len;

    for (p = reference->data; p < end; /* void */ ) {

        segment = p;

        if (*segment == '?' || *segment == '#') {
            return ngx_cpymem(last, segment, end - segment);
        }

        while (p < end && *p != '/' && *p != '?' && *p != '#') {
            p++;
        }

        len = p - segment;

        if (p < end && *p == '/') {
            p++;
        }

        if (len == 1 && segment[0] == '.') {
            continue;
        }

        if (len == 2 && segment[0] == '.' && segment[1] == '.') {

            if (last - base > 1) {
                do {
                    last--;
                } while (last[-1] != '/');
            }

            continue;
        }

        last = ngx_cpymem(last, segment, p - segment);
    }

    return last;
}


/*
 * Removes the default port of a scheme, which is no part of an origin's name.
 */

static void
ngx_http_weir_cache_uri_trim_port(ngx_str_t *host, ngx_str_t *port)
{
    if (host->len > port->len
        && ngx_memcmp(host->data + host->len - port->len, port->data,
                      port->len)
           == 0)
    {
        host->len -= port->len;
    }
}
