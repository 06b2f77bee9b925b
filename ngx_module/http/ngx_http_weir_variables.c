/*
 * Variables: those of a module are added to nginx's, texts with variables are
 * compiled, and those are found that have a value only after a request's
 * upstream was chosen, asked or has answered.  Directives that are evaluated
 * before the content phase refuse the last: their empty value would make
 * different requests alike, without any message.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "http/ngx_http_weir.h"


static ngx_uint_t ngx_http_weir_next_variable(ngx_str_t *text, u_char **pos,
    ngx_str_t *name);
static ngx_uint_t ngx_http_weir_is_late(ngx_str_t *name);
static ngx_uint_t ngx_http_weir_name_char(u_char c);


ngx_int_t
ngx_http_weir_add_variables(ngx_conf_t *cf, ngx_http_variable_t *vars)
{
    ngx_http_variable_t  *var, *v;

    for (v = vars; v->name.len; v++) {

        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


ngx_http_complex_value_t *
ngx_http_weir_compile(ngx_conf_t *cf, ngx_str_t *text)
{
    ngx_http_complex_value_t          *value;
    ngx_http_compile_complex_value_t   ccv;

    value = ngx_pcalloc(cf->pool, sizeof(ngx_http_complex_value_t));
    if (value == NULL) {
        return NULL;
    }

    ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));
    ccv.cf = cf;
    ccv.value = text;
    ccv.complex_value = value;

    return ngx_http_compile_complex_value(&ccv) == NGX_OK ? value : NULL;
}


ngx_uint_t
ngx_http_weir_late_variable(ngx_str_t *text, ngx_str_t *name)
{
    u_char  *p;

    for (p = text->data; ngx_http_weir_next_variable(text, &p, name); ) {
        if (ngx_http_weir_is_late(name)) {
            return 1;
        }
    }

    return 0;
}


ngx_uint_t
ngx_http_weir_has_variable(ngx_str_t *text, ngx_str_t *wanted)
{
    u_char     *p;
    ngx_str_t   name;

    for (p = text->data; ngx_http_weir_next_variable(text, &p, &name); ) {
        if (name.len == wanted->len
            && ngx_strncasecmp(name.data, wanted->data, name.len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


/* The next "$name" or "${name}" at or after *pos. */

static ngx_uint_t
ngx_http_weir_next_variable(ngx_str_t *text, u_char **pos, ngx_str_t *name)
{
    u_char  *p, *last;

    last = text->data + text->len;

    p = ngx_strlchr(*pos, last, '$');
    if (p == NULL) {
        return 0;
    }

    p++;

    if (p < last && *p == '{') {
        p++;
    }

    name->data = p;

    while (p < last && ngx_http_weir_name_char(*p)) {
        p++;
    }

    name->len = p - name->data;
    *pos = p;

    return 1;
}


static ngx_uint_t
ngx_http_weir_is_late(ngx_str_t *name)
{
    ngx_uint_t  i;

    static ngx_str_t  late[] = {
        ngx_string("proxy_host"),
        ngx_string("proxy_port"),
        ngx_string("proxy_internal_body_length"),
        ngx_string("proxy_internal_chunked"),
        ngx_string("proxy_internal_connection"),
        ngx_string("grpc_internal_trailers"),
        ngx_string("request_body"),
        ngx_string("request_body_file"),
        ngx_string("request_completion"),
        ngx_string("status"),
        ngx_string("bytes_sent"),
        ngx_string("body_bytes_sent"),
        ngx_string("gzip_ratio"),
        ngx_string("upstream_addr"),
        ngx_string("upstream_last_addr"),
        ngx_string("upstream_last_server_name"),
        ngx_string("upstream_status"),
        ngx_string("upstream_queue_time"),
        ngx_string("upstream_connect_time"),
        ngx_string("upstream_header_time"),
        ngx_string("upstream_response_time"),
        ngx_string("upstream_response_length"),
        ngx_string("upstream_bytes_received"),
        ngx_string("upstream_bytes_sent"),
        ngx_string("upstream_cache_status"),
        ngx_string("upstream_cache_key"),
        ngx_string("upstream_cache_age"),
        ngx_string("upstream_cache_last_modified"),
        ngx_string("upstream_cache_etag"),
        ngx_string("weir_cache_status")
    };

    /* not all of upstream_: configurations define variables with such names */

    static ngx_str_t  prefixes[] = {
        ngx_string("upstream_http_"),
        ngx_string("upstream_trailer_"),
        ngx_string("upstream_cookie_"),
        ngx_string("sent_http_"),
        ngx_string("sent_trailer_")
    };

    for (i = 0; i < sizeof(late) / sizeof(late[0]); i++) {
        if (name->len == late[i].len
            && ngx_strncasecmp(name->data, late[i].data, late[i].len) == 0)
        {
            return 1;
        }
    }

    for (i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        if (name->len > prefixes[i].len
            && ngx_strncasecmp(name->data, prefixes[i].data, prefixes[i].len)
               == 0)
        {
            return 1;
        }
    }

    return 0;
}


static ngx_uint_t
ngx_http_weir_name_char(u_char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
           || (c >= '0' && c <= '9') || c == '_';
}
