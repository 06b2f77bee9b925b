/* Header lines of requests and responses. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "compat/ngx_http_weir_compat_nginx.h"
#include "http/ngx_http_weir_headers.h"


static ngx_uint_t ngx_http_weir_lists_token(ngx_str_t *value,
    ngx_str_t *token);


static ngx_str_t  ngx_http_weir_vary = ngx_string("Vary");


ngx_table_elt_t *
ngx_http_weir_add_header(ngx_http_request_t *r, ngx_str_t *name,
    ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NULL;
    }

    h->hash = 1;
    h->key = *name;
    h->value = *value;
    h->lowcase_key = NULL;
    ngx_http_weir_header_init(h);

    return h;
}


ngx_table_elt_t *
ngx_http_weir_find_header(ngx_list_t *headers, ngx_str_t *name)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    for (part = &headers->part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (h[i].hash != 0
                && h[i].key.len == name->len
                && ngx_strncasecmp(h[i].key.data, name->data, name->len) == 0)
            {
                return &h[i];
            }
        }
    }

    return NULL;
}


ngx_array_t *
ngx_http_weir_header_lines(ngx_http_request_t *r, ngx_list_t *headers,
    ngx_str_t *name)
{
    weir_str_t       *line;
    ngx_uint_t        i;
    ngx_array_t      *lines;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    lines = ngx_array_create(r->pool, 2, sizeof(weir_str_t));
    if (lines == NULL) {
        return NULL;
    }

    for (part = &headers->part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (h[i].hash == 0 || h[i].key.len != name->len
                || ngx_strncasecmp(h[i].key.data, name->data, name->len) != 0)
            {
                continue;
            }

            line = ngx_array_push(lines);
            if (line == NULL) {
                return NULL;
            }

            line->data = (char *) h[i].value.data;
            line->len = h[i].value.len;
        }
    }

    return lines;
}


ngx_int_t
ngx_http_weir_add_vary(ngx_http_request_t *r, ngx_str_t *field)
{
    u_char           *p;
    ngx_str_t         value;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h, *last;

    static ngx_str_t  any = ngx_string("*");

    last = NULL;

    for (part = &r->headers_out.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (h[i].hash == 0
                || h[i].key.len != ngx_http_weir_vary.len
                || ngx_strncasecmp(h[i].key.data, ngx_http_weir_vary.data,
                                   ngx_http_weir_vary.len)
                   != 0)
            {
                continue;
            }

            if (ngx_http_weir_lists_token(&h[i].value, field)
                || ngx_http_weir_lists_token(&h[i].value, &any))
            {
                return NGX_OK;
            }

            last = &h[i];
        }
    }

    if (last == NULL) {
        return ngx_http_weir_add_header(r, &ngx_http_weir_vary, field)
               ? NGX_OK : NGX_ERROR;
    }

    if (last->value.len == 0) {
        last->value = *field;
        return NGX_OK;
    }

    value.len = last->value.len + 2 + field->len;
    value.data = ngx_pnalloc(r->pool, value.len);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(value.data, last->value.data, last->value.len);
    *p++ = ',';
    *p++ = ' ';
    ngx_memcpy(p, field->data, field->len);

    last->value = value;

    return NGX_OK;
}


/*
 * True if a comma separated list (RFC 9110 section 5.6.1) contains the token.
 */

static ngx_uint_t
ngx_http_weir_lists_token(ngx_str_t *value, ngx_str_t *token)
{
    u_char  *p, *last, *start, *end;

    p = value->data;
    last = value->data + value->len;

    while (p < last) {

        while (p < last && (*p == ' ' || *p == '\t' || *p == ',')) {
            p++;
        }

        start = p;

        while (p < last && *p != ',') {
            p++;
        }

        end = p;

        while (end > start && (end[-1] == ' ' || end[-1] == '\t')) {
            end--;
        }

        if ((size_t) (end - start) == token->len
            && ngx_strncasecmp(start, token->data, token->len) == 0)
        {
            return 1;
        }
    }

    return 0;
}
