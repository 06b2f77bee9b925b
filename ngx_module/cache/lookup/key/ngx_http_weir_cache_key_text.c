/*
 * The text of a request's key: the value of weir_cache_key, or by default
 *
 *     scheme host port upstream uri
 *
 * No part except the last contains spaces, so two requests that differ in a
 * part have different texts.  The text contains everything that selects the
 * nginx server and the upstream that answer, and what the upstream is asked
 * for:
 *
 *     host      the target's host as nginx matches it with server_name, with
 *               the port of the Host field unless it is the scheme's default.
 *               A Host field that names another host than the target does
 *               (RFC 9112 section 3.2.2), or that is absent, follows after a
 *               slash, which no host contains: an upstream may receive it.
 *     port      on which the connection arrived; see port
 *     upstream  as *_pass has it; with variables "$", the length of the
 *               value of *_pass, ":", and the value
 *     uri       as requested
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/lookup/key/ngx_http_weir_cache_key_text.h"
#include "cache/lookup/key/ngx_http_weir_cache_port.h"
#include "http/ngx_http_weir.h"
#include "http/ngx_http_weir_assert.h"
#include "http/ngx_http_weir_pass.h"


static ngx_str_t ngx_http_weir_cache_key_text_scheme(ngx_http_request_t *r,
    ngx_str_t *port);
static ngx_int_t ngx_http_weir_cache_key_text_upstream(ngx_http_request_t *r,
    ngx_http_weir_cache_loc_conf_t *clcf, ngx_str_t *upstream);
static ngx_int_t ngx_http_weir_cache_key_text_host(ngx_http_request_t *r,
    ngx_str_t *default_port, ngx_str_t *host, ngx_str_t *field);


ngx_int_t
ngx_http_weir_cache_key_text(ngx_http_request_t *r,
    ngx_http_weir_cache_loc_conf_t *clcf, ngx_str_t *text)
{
    u_char     *p, buf[NGX_HTTP_WEIR_CACHE_PORT_LEN];
    size_t      len;
    ngx_str_t   scheme, default_port, host, field, port, upstream;

    if (clcf->key) {
        return ngx_http_complex_value(r, clcf->key, text);
    }

    scheme = ngx_http_weir_cache_key_text_scheme(r, &default_port);

    if (ngx_http_weir_cache_key_text_host(r, &default_port, &host, &field)
        != NGX_OK
        || ngx_http_weir_cache_port(r, buf, &port) != NGX_OK
        || ngx_http_weir_cache_key_text_upstream(r, clcf, &upstream) != NGX_OK)
    {
        return NGX_ERROR;
    }

    len = scheme.len + 1 + host.len + 1 + field.len + 1 + port.len + 1
          + upstream.len + 1 + r->unparsed_uri.len;

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    text->data = p;

    p = ngx_cpymem(p, scheme.data, scheme.len);
    *p++ = ' ';
    p = ngx_cpymem(p, host.data, host.len);
    p = ngx_cpymem(p, field.data, field.len);
    *p++ = ' ';
    p = ngx_cpymem(p, port.data, port.len);
    *p++ = ' ';
    p = ngx_cpymem(p, upstream.data, upstream.len);
    *p++ = ' ';
    p = ngx_cpymem(p, r->unparsed_uri.data, r->unparsed_uri.len);

    text->len = p - text->data;

    ngx_http_weir_assert(text->len <= len);

    return NGX_OK;
}


/* The same as $scheme; port is the scheme's default port, with its colon. */

static ngx_str_t
ngx_http_weir_cache_key_text_scheme(ngx_http_request_t *r, ngx_str_t *port)
{
    ngx_str_t  scheme;

#if (NGX_HTTP_SSL)
    if (r->connection->ssl) {
        ngx_str_set(&scheme, "https");
        ngx_str_set(port, ":443");
        return scheme;
    }
#endif

    ngx_str_set(&scheme, "http");
    ngx_str_set(port, ":80");

    return scheme;
}


/*
 * The host part in two pieces: the target's host, and the addition from the
 * Host field, which is empty in most requests.
 */

static ngx_int_t
ngx_http_weir_cache_key_text_host(ngx_http_request_t *r,
    ngx_str_t *default_port,
    ngx_str_t *host, ngx_str_t *field)
{
    u_char                    *p;
    ngx_str_t                  value, rest;
    ngx_http_core_srv_conf_t  *cscf;

    *host = r->headers_in.server;

    if (host->len == 0) {
        cscf = ngx_http_get_module_srv_conf(r, ngx_http_core_module);
        *host = cscf->server_name;
    }

    ngx_str_null(field);

    if (r->headers_in.host == NULL) {

        /* later versions of HTTP have :authority instead */

        if (r->http_version < NGX_HTTP_VERSION_20) {
            ngx_str_set(field, "/");
        }

        return NGX_OK;
    }

    value = r->headers_in.host->value;

    if (value.len >= host->len
        && (ngx_memcmp(value.data, host->data, host->len) == 0
            || ngx_strncasecmp(value.data, host->data, host->len) == 0))
    {
        rest.data = value.data + host->len;
        rest.len = value.len - host->len;

        if (rest.len == 0
            || (rest.len == 1 && rest.data[0] == ':')
            || (rest.len == default_port->len
                && ngx_memcmp(rest.data, default_port->data, rest.len) == 0))
        {
            return NGX_OK;
        }

        if (rest.data[0] == ':') {
            *field = rest;
            return NGX_OK;
        }
    }

    p = ngx_pnalloc(r->pool, 1 + value.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    field->data = p;
    field->len = 1 + value.len;

    *p++ = '/';
    ngx_strlow(p, value.data, value.len);

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_cache_key_text_upstream(ngx_http_request_t *r,
    ngx_http_weir_cache_loc_conf_t *clcf, ngx_str_t *upstream)
{
    ngx_str_t  value;

    *upstream = clcf->upstream;

    if (clcf->pass == NULL) {
        return NGX_OK;
    }

    if (ngx_http_complex_value(r, clcf->pass, &value) != NGX_OK) {
        return NGX_ERROR;
    }

    upstream->data = ngx_pnalloc(r->pool, sizeof("$:") - 1 + NGX_SIZE_T_LEN
                                          + value.len);
    if (upstream->data == NULL) {
        return NGX_ERROR;
    }

    upstream->len = ngx_sprintf(upstream->data, "$%uz:%V", value.len, &value)
                    - upstream->data;

    return NGX_OK;
}


/*
 * The upstream of a location as its *_pass directives name it, allocated from
 * the configuration's pool; an `if` has those of the enclosing location, too.
 */

ngx_int_t
ngx_http_weir_cache_key_text_read_upstream(ngx_conf_t *cf, ngx_str_t *name)
{
    u_char                *p;
    ngx_int_t              rc;
    ngx_str_t              next;
    ngx_http_weir_pass_t  *pass;

    pass = NULL;
    rc = ngx_http_weir_pass_upstream(cf, &pass, name);

    if (rc == NGX_DECLINED) {
        ngx_str_set(name, "-");
        return NGX_OK;
    }

    while (rc == NGX_OK) {
        rc = ngx_http_weir_pass_upstream(cf, &pass, &next);

        if (rc != NGX_OK) {
            break;
        }

        p = ngx_pnalloc(cf->pool, name->len + 1 + next.len);
        if (p == NULL) {
            return NGX_ERROR;
        }

        name->len = ngx_sprintf(p, "%V+%V", name, &next) - p;
        name->data = p;
    }

    return rc == NGX_DECLINED ? NGX_OK : NGX_ERROR;
}


/* weir_cache_key string */

char *
ngx_http_weir_cache_key_text_set_key(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_weir_cache_loc_conf_t  *clcf = conf;

    ngx_str_t  *value, name;

    static ngx_str_t  slice = ngx_string("slice_range");

    value = cf->args->elts;

    if (value[1].len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"\" in \"weir_cache_key\"; a key"
                           " must not be empty");
        return NGX_CONF_ERROR;
    }

    if (ngx_http_weir_late_variable(&value[1], &name)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "variable \"$%V\" in \"weir_cache_key\" has no value"
                           " yet when the key is made, before the upstream is"
                           " asked; without \"weir_cache_key\" the key names"
                           " the upstream", &name);
        return NGX_CONF_ERROR;
    }

    clcf->sliced = ngx_http_weir_has_variable(&value[1], &slice);

    return ngx_http_set_complex_value_slot(cf, cmd, conf);
}


/* weir_cache_bypass string ... */

char *
ngx_http_weir_cache_key_text_set_bypass(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_str_t   *value, name;
    ngx_uint_t   i;

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {
        if (ngx_http_weir_late_variable(&value[i], &name)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "variable \"$%V\" in \"weir_cache_bypass\" has"
                               " no value yet when the directive is evaluated,"
                               " before the upstream is asked;"
                               " \"weir_cache_no_store\" is evaluated later",
                               &name);
            return NGX_CONF_ERROR;
        }

        if (ngx_strlchr(value[i].data, value[i].data + value[i].len, '$')
            == NULL && value[i].len && ngx_strcmp(value[i].data, "0") != 0)
        {
            ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                               "\"%V\" in \"weir_cache_bypass\" has no"
                               " variable: it holds for every request, and"
                               " none is answered from the cache", &value[i]);
        }
    }

    return ngx_http_set_predicate_slot(cf, cmd, conf);
}
