/*
 * weir_flags_ofrep: the OpenFeature Remote Evaluation Protocol (OFREP) over the
 * flags of the edge, for OpenFeature's SDKs.
 *
 *     POST …/v1/evaluate/flags/{key}   {"context": {"targetingKey": …}}
 *     POST …/v1/evaluate/flags         all flags; ETag, 304
 *
 * The context is that of the request's body alone.  A body that does not fit in
 * client_body_buffer_size is refused.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "common/hash/blake2b.h"
#include "flag/ngx_http_weir_flag.h"
#include "http/ngx_http_weir.h"


#define NGX_HTTP_WEIR_FLAG_OFREP_PATH  "/v1/evaluate/flags"


static ngx_int_t ngx_http_weir_flag_ofrep_key(ngx_http_request_t *r,
    ngx_str_t *key);
static void ngx_http_weir_flag_ofrep_body(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_flag_ofrep_answer(ngx_http_request_t *r);
static json_t *ngx_http_weir_flag_ofrep_read(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_flag_ofrep_context(json_t *body,
    weir_flag_context_t *context);
static bool ngx_http_weir_flag_ofrep_lookup(void *data, weir_str_t name,
    weir_flag_value_t *value);
static json_t *ngx_http_weir_flag_ofrep_one(const weir_flag_t *flag,
    weir_flag_context_t *context);
static json_t *ngx_http_weir_flag_ofrep_all(
    ngx_http_weir_flag_main_conf_t *fmcf, weir_flag_context_t *context);
static ngx_int_t ngx_http_weir_flag_ofrep_fail(ngx_http_request_t *r,
    ngx_uint_t status, ngx_str_t *key, const char *code, const char *details);
static ngx_int_t ngx_http_weir_flag_ofrep_send(ngx_http_request_t *r,
    ngx_uint_t status, json_t *answer, ngx_uint_t tagged);
static ngx_int_t ngx_http_weir_flag_ofrep_tag(ngx_http_request_t *r,
    ngx_str_t *text);


ngx_int_t
ngx_http_weir_flag_ofrep_handler(ngx_http_request_t *r)
{
    ngx_int_t         rc;
    ngx_str_t         key, allow, post;
    ngx_table_elt_t  *h;

    if (ngx_http_weir_flag_ofrep_key(r, &key) != NGX_OK) {
        return NGX_HTTP_NOT_FOUND;
    }

    if (r->method != NGX_HTTP_POST) {
        ngx_str_set(&allow, "Allow");
        ngx_str_set(&post, "POST");

        h = ngx_http_weir_add_header(r, &allow, &post);

        return h ? NGX_HTTP_NOT_ALLOWED : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->request_body_in_single_buf = 1;

    rc = ngx_http_read_client_request_body(r, ngx_http_weir_flag_ofrep_body);

    return rc >= NGX_HTTP_SPECIAL_RESPONSE ? rc : NGX_DONE;
}


/* The name of the flag in the path; empty: all. */

static ngx_int_t
ngx_http_weir_flag_ofrep_key(ngx_http_request_t *r, ngx_str_t *key)
{
    u_char  *p, *last;
    size_t   len;

    len = sizeof(NGX_HTTP_WEIR_FLAG_OFREP_PATH) - 1;
    last = r->uri.data + r->uri.len;
    p = ngx_strnstr(r->uri.data, NGX_HTTP_WEIR_FLAG_OFREP_PATH, r->uri.len);

    if (p == NULL) {
        return NGX_DECLINED;
    }

    p += len;

    if (p == last) {
        ngx_str_null(key);
        return NGX_OK;
    }

    if (*p != '/' || p + 1 == last) {
        return NGX_DECLINED;
    }

    key->data = p + 1;
    key->len = last - key->data;

    return NGX_OK;
}


static void
ngx_http_weir_flag_ofrep_body(ngx_http_request_t *r)
{
    ngx_http_finalize_request(r, ngx_http_weir_flag_ofrep_answer(r));
}


static ngx_int_t
ngx_http_weir_flag_ofrep_answer(ngx_http_request_t *r)
{
    json_t                          *body, *answer;
    ngx_int_t                        rc;
    ngx_str_t                        key;
    ngx_uint_t                       slot;
    weir_flag_t                     *flag;
    weir_flag_context_t              context;
    ngx_http_weir_flag_main_conf_t  *fmcf;

    if (r->request_body && r->request_body->temp_file) {
        return NGX_HTTP_REQUEST_ENTITY_TOO_LARGE;
    }

    if (ngx_http_weir_flag_ofrep_key(r, &key) != NGX_OK) {
        return NGX_HTTP_NOT_FOUND;
    }

    body = ngx_http_weir_flag_ofrep_read(r);
    if (body == NULL) {
        return ngx_http_weir_flag_ofrep_fail(r, NGX_HTTP_BAD_REQUEST, &key,
                                 "PARSE_ERROR", "the body is no JSON object");
    }

    if (ngx_http_weir_flag_ofrep_context(body, &context) != NGX_OK) {
        json_decref(body);
        return ngx_http_weir_flag_ofrep_fail(r, NGX_HTTP_BAD_REQUEST, &key,
                               "INVALID_CONTEXT", "the context is no object");
    }

    fmcf = ngx_http_get_module_main_conf(r, ngx_http_weir_flag_module);

    if (key.len == 0) {
        rc = ngx_http_weir_flag_ofrep_send(r, NGX_HTTP_OK,
                            ngx_http_weir_flag_ofrep_all(fmcf, &context), 1);
        json_decref(body);
        return rc;
    }

    slot = 0;
    flag = ngx_http_weir_flag_zone_find(fmcf, &key, &slot);

    if (flag == NULL) {
        rc = ngx_http_weir_flag_ofrep_fail(r, NGX_HTTP_NOT_FOUND, &key,
                                    "FLAG_NOT_FOUND", "there is no such flag");

    } else {
        answer = ngx_http_weir_flag_ofrep_one(flag, &context);
        rc = ngx_http_weir_flag_ofrep_send(r,
                 answer && json_object_get(answer, "errorCode")
                 ? NGX_HTTP_BAD_REQUEST : NGX_HTTP_OK, answer, 0);
    }

    json_decref(body);

    return rc;
}


/*
 * An empty body is an empty context.  A body in chunks, or in frames of HTTP/2, is
 * in several buffers.  NULL: it is no JSON object, or there is no memory.
 */

static json_t *
ngx_http_weir_flag_ofrep_read(ngx_http_request_t *r)
{
    u_char       *p;
    json_t       *json;
    ngx_str_t     text;
    ngx_chain_t  *cl;
    json_error_t  why;

    /* no body at all: it was discarded before an internal redirect */

    if (r->request_body == NULL) {
        return json_object();
    }

    text.len = 0;

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        text.len += ngx_buf_in_memory(cl->buf) ? ngx_buf_size(cl->buf) : 0;
    }

    if (text.len == 0) {
        return json_object();
    }

    text.data = ngx_pnalloc(r->pool, text.len);
    if (text.data == NULL) {
        return NULL;
    }

    p = text.data;

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        if (ngx_buf_in_memory(cl->buf)) {
            p = ngx_cpymem(p, cl->buf->pos, ngx_buf_size(cl->buf));
        }
    }

    json = json_loadb((char *) text.data, text.len, JSON_REJECT_DUPLICATES,
                      &why);

    if (json && !json_is_object(json)) {
        json_decref(json);
        return NULL;
    }

    return json;
}


/* The context of the body, whose texts it shares; NGX_ERROR: it is no object. */

static ngx_int_t
ngx_http_weir_flag_ofrep_context(json_t *body, weir_flag_context_t *context)
{
    json_t  *json, *key;

    json = json_object_get(body, "context");

    if (json && !json_is_object(json)) {
        return NGX_ERROR;
    }

    key = json_object_get(json, "targetingKey");

    context->key.data = json_string_value(key);
    context->key.len = json_string_length(key);
    context->time = ngx_time();
    context->lookup = ngx_http_weir_flag_ofrep_lookup;
    context->data = json;

    return NGX_OK;
}


/* A name with dots is that of a member of a member, unless there is such one. */

static bool
ngx_http_weir_flag_ofrep_lookup(void *data, weir_str_t name,
    weir_flag_value_t *value)
{
    char     text[WEIR_FLAG_NAME_MAX * 4], *part, *dot;
    json_t  *json;

    if (name.len >= sizeof(text) || memchr(name.data, 0, name.len)) {
        return false;
    }

    ngx_memcpy(text, name.data, name.len);
    text[name.len] = '\0';

    json = json_object_get(data, text);

    for (part = text, dot = strchr(text, '.');
         json == NULL && dot && json_is_object((json_t *) data);
         part = dot + 1, dot = strchr(part, '.'))
    {
        *dot = '\0';
        data = json_object_get(data, part);
        json = json_object_get(data, dot + 1);
    }

    if (json_is_string(json)) {
        value->type = WEIR_FLAG_STRING;
        value->text.data = json_string_value(json);
        value->text.len = json_string_length(json);

    } else if (json_is_number(json)) {
        value->type = WEIR_FLAG_NUMBER;
        value->number = json_number_value(json);

    } else if (json_is_boolean(json)) {
        value->type = WEIR_FLAG_BOOL;
        value->truth = json_is_true(json);

    } else {
        return false;
    }

    return true;
}


/* NULL: no memory. */

static json_t *
ngx_http_weir_flag_ofrep_one(const weir_flag_t *flag,
    weir_flag_context_t *context)
{
    weir_str_t                  name;
    weir_flag_reason_t          reason;
    const weir_flag_variant_t  *variant;

    name = weir_flag_name(flag);
    variant = weir_flag_evaluate(flag, context, &reason);

    if (variant) {
        return json_pack("{s:s%, s:s, s:s%, s:O}", "key", name.data, name.len,
                         "reason", weir_flag_reason_name(reason), "variant",
                         variant->name.data, variant->name.len, "value",
                         variant->json);
    }

    if (reason == WEIR_FLAG_FAILED) {
        return json_pack("{s:s%, s:s, s:s}", "key", name.data, name.len,
                         "errorCode", "GENERAL", "errorDetails",
                         "targeting has chosen a variant that there is not");
    }

    /* without a value the SDK takes the default of its caller */

    return json_pack("{s:s%, s:s}", "key", name.data, name.len, "reason",
                     weir_flag_reason_name(reason));
}


static json_t *
ngx_http_weir_flag_ofrep_all(ngx_http_weir_flag_main_conf_t *fmcf,
    weir_flag_context_t *context)
{
    json_t       *list;
    ngx_uint_t    i;
    weir_flag_t  *flag;

    list = json_array();

    for (i = 0; list && i < WEIR_FLAGS_MAX; i++) {
        flag = ngx_http_weir_flag_zone_at(fmcf, i);

        if (flag
            && json_array_append_new(list,
                                  ngx_http_weir_flag_ofrep_one(flag, context))
               != 0)
        {
            json_decref(list);
            return NULL;
        }
    }

    return list ? json_pack("{s:o}", "flags", list) : NULL;
}


static ngx_int_t
ngx_http_weir_flag_ofrep_fail(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *key, const char *code, const char *details)
{
    json_t  *answer, *name;

    answer = json_pack("{s:s, s:s}", "errorCode", code, "errorDetails",
                       details);

    if (answer && key->len) {
        /* what is no UTF-8 is not repeated */
        name = json_stringn((char *) key->data, key->len);

        if (name && json_object_set_new(answer, "key", name) != 0) {
            json_decref(answer);
            answer = NULL;
        }
    }

    return ngx_http_weir_flag_ofrep_send(r, status, answer, 0);
}


/* Takes the answer, which may be NULL without memory. */

static ngx_int_t
ngx_http_weir_flag_ofrep_send(ngx_http_request_t *r, ngx_uint_t status,
    json_t *answer, ngx_uint_t tagged)
{
    char         *text;
    ngx_buf_t    *b;
    ngx_str_t     body, name, value;
    ngx_chain_t  *out;

    text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
    json_decref(answer);

    if (text == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    body.len = ngx_strlen(text);
    b = ngx_create_temp_buf(r->pool, body.len);
    out = ngx_alloc_chain_link(r->pool);

    if (b == NULL || out == NULL) {
        free(text);
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b->last = ngx_cpymem(b->last, text, body.len);
    b->last_buf = (r == r->main);
    b->last_in_chain = 1;
    free(text);

    body.data = b->pos;
    out->buf = b;
    out->next = NULL;

    r->headers_out.status = status;
    r->headers_out.content_length_n = body.len;
    ngx_str_set(&r->headers_out.content_type, "application/json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;

    ngx_str_set(&name, "Cache-Control");
    ngx_str_set(&value, "no-store");

    if (!tagged) {
        return ngx_http_weir_add_header(r, &name, &value)
               ? ngx_http_weir_send_response(r, out)
               : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    /* nginx compares it with If-None-Match */

    return ngx_http_weir_flag_ofrep_tag(r, &body) == NGX_OK
           ? ngx_http_weir_send_response(r, out)
           : NGX_HTTP_INTERNAL_SERVER_ERROR;
}


/* Adds the ETag. */

static ngx_int_t
ngx_http_weir_flag_ofrep_tag(ngx_http_request_t *r, ngx_str_t *text)
{
    u_char            digest[16], *p;
    ngx_str_t         value;
    weir_blake2b_t    hash;
    ngx_table_elt_t  *h;

    weir_blake2b_begin(&hash, sizeof(digest), WEIR_STR(""),
                       WEIR_STR("weir ofrep"));
    weir_blake2b_add(&hash, (weir_str_t) { (char *) text->data, text->len });
    weir_blake2b_end(&hash, digest);

    value.len = sizeof(digest) * 2 + 2;
    value.data = ngx_pnalloc(r->pool, value.len);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    p = value.data;
    *p++ = '"';
    p = ngx_hex_dump(p, digest, sizeof(digest));
    *p = '"';

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(h, sizeof(ngx_table_elt_t));
    h->hash = 1;
    ngx_str_set(&h->key, "ETag");
    h->value = value;
    r->headers_out.etag = h;

    return NGX_OK;
}
