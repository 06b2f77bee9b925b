/* Queries without credentials (conventions of url.query). */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "trace/ngx_http_weir_trace_private.h"


static ngx_uint_t ngx_http_weir_trace_is_credential(u_char *name, size_t len);


size_t
ngx_http_weir_trace_redact(u_char *buf, ngx_str_t *text)
{
    u_char  *p, *src, *last, *end, *name, *next, *equals;

    static u_char  redacted[] = "REDACTED";

    p = buf;
    end = buf + NGX_HTTP_WEIR_TRACE_URL_MAX;
    last = text->data + text->len;

    /* one parameter at a time, with what is before its name */

    for (src = text->data; src < last && p < end; src = next) {

        for (next = src; next < last && *next != '&' && *next != '?'; next++) {
            /* void */
        }

        name = src;
        equals = ngx_strlchr(name, next, '=');

        if (equals && ngx_http_weir_trace_is_credential(name, equals - name)) {
            p = ngx_cpymem(p, name, ngx_min(end - p, equals + 1 - name));
            p = ngx_cpymem(p, redacted,
                           ngx_min(end - p, (ssize_t) sizeof(redacted) - 1));

            /* a question mark in the value is a part of it */
            while (next < last && *next != '&') {
                next++;
            }

        } else {
            p = ngx_cpymem(p, src, ngx_min(end - p, next - src));
        }

        if (next < last && p < end) {
            *p++ = *next++;
        }
    }

    return p - buf;
}


static ngx_uint_t
ngx_http_weir_trace_is_credential(u_char *name, size_t len)
{
    ngx_str_t  *credential;

    static ngx_str_t  credentials[] = {
        ngx_string("sig"),
        ngx_string("signature"),
        ngx_string("awsaccesskeyid"),
        ngx_string("x-amz-signature"),
        ngx_string("x-amz-credential"),
        ngx_string("x-amz-security-token"),
        ngx_string("x-goog-signature"),
        ngx_null_string
    };

    for (credential = credentials; credential->len; credential++) {
        if (credential->len == len
            && ngx_strncasecmp(credential->data, name, len) == 0)
        {
            return 1;
        }
    }

    return 0;
}
