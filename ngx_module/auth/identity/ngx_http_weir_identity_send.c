/*
 * The header line with the token.  It is made when the upstream request is made,
 * so a request that the cache answers costs no signature.  Without a token the
 * upstream request is not made: what the upstream asks a proof for must not
 * depend on whether there was memory.
 *
 * nginx sends the request to another server from the same buffers, perhaps
 * after a long timeout.  Then a new token is written over the old one, which has
 * the same length; gRPC compresses the header, and the old one is sent there.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "auth/identity/ngx_http_weir_identity_private.h"
#include "http/ngx_http_weir.h"


/* Bytes of a path: the other claims have at least as much room as it leaves. */
#define NGX_HTTP_WEIR_IDENTITY_PATH_MAX  (WEIR_SIGN_CLAIMS_MAX / 4 * 3)


typedef struct {
    ngx_http_weir_forward_t             forward;
    ngx_http_weir_identity_loc_conf_t  *conf;
    ngx_http_weir_identity_statement_t  statement;
    ngx_str_t                           token;
    time_t                              second;  /* of the token */
} ngx_http_weir_identity_call_t;


static ngx_uint_t ngx_http_weir_identity_send_is_long(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_identity_send(ngx_http_request_t *r);
static void ngx_http_weir_identity_send_cloned(ngx_http_request_t *r,
    void *data);
static ngx_int_t ngx_http_weir_identity_send_nothing(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_identity_send_add(ngx_http_request_t *r,
    ngx_list_t *headers, void *data);
static ngx_int_t ngx_http_weir_identity_send_state(ngx_http_request_t *r,
    ngx_http_weir_identity_call_t *call);
static void ngx_http_weir_identity_send_again(ngx_http_request_t *r,
    void *data);
static void ngx_http_weir_identity_send_replace(ngx_http_request_t *r,
    ngx_str_t *old, ngx_str_t *token);


/* Before the content phase, in each location that asks an upstream. */

ngx_int_t
ngx_http_weir_identity_send_handler(ngx_http_request_t *r)
{
    weir_problem_t             problem;
    ngx_http_weir_loc_conf_t  *wlcf;

    wlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_module);

    if (r->internal) {
        ngx_http_weir_forward_release(r);
    }

    if (wlcf->pass.len == 0 || r->content_handler == NULL) {
        return NGX_DECLINED;
    }

    if (ngx_http_weir_identity_send_is_long(r)) {
        ngx_memzero(&problem, sizeof(weir_problem_t));

        problem.status = NGX_HTTP_REQUEST_URI_TOO_LARGE;
        problem.title = "Path too long";
        problem.detail = WEIR_STR("The path is longer than the upstream may be"
                                  " asked for.");

        return ngx_http_weir_send_problem(r, &problem);
    }

    return ngx_http_weir_identity_send(r) == NGX_OK
           ? NGX_DECLINED : NGX_HTTP_INTERNAL_SERVER_ERROR;
}


/*
 * A client may send any path, so one that has no room in a token is refused
 * before one is made.  The query is not part of it.
 */

static ngx_uint_t
ngx_http_weir_identity_send_is_long(ngx_http_request_t *r)
{
    u_char                             *p, *last;
    ngx_http_weir_identity_loc_conf_t  *ilcf;

    if (r->unparsed_uri.len <= NGX_HTTP_WEIR_IDENTITY_PATH_MAX || r->internal) {
        return 0;
    }

    ilcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_identity_module);

    if (!ilcf->on || ilcf->path
        || ilcf->bind == NGX_HTTP_WEIR_IDENTITY_LOCATION)
    {
        return 0;
    }

    last = r->unparsed_uri.data + r->unparsed_uri.len;
    p = ngx_strlchr(r->unparsed_uri.data, last, '?');

    return (p ? p : last) - r->unparsed_uri.data
           > NGX_HTTP_WEIR_IDENTITY_PATH_MAX;
}


/*
 * A location without weir_identity only leaves out what clients send: its
 * upstream may be one that believes the line.
 */

static ngx_int_t
ngx_http_weir_identity_send(ngx_http_request_t *r)
{
    ngx_http_weir_identity_call_t       *call;
    ngx_http_weir_identity_loc_conf_t   *ilcf;
    ngx_http_weir_identity_main_conf_t  *imcf;

    imcf = ngx_http_get_module_main_conf(r, ngx_http_weir_identity_module);
    ilcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_identity_module);

    call = ngx_pcalloc(r->pool, sizeof(ngx_http_weir_identity_call_t));
    if (call == NULL) {
        return NGX_ERROR;
    }

    call->conf = ilcf;

    call->forward.names = imcf->names.elts;
    call->forward.n = imcf->names.nelts;
    call->forward.cloned = ngx_http_weir_identity_send_cloned;
    call->forward.data = call;

    if (ilcf->on) {
        call->forward.add = ngx_http_weir_identity_send_add;
        call->forward.again = ngx_http_weir_identity_send_again;
    }

    return ngx_http_weir_forward(r, &call->forward);
}


static void
ngx_http_weir_identity_send_cloned(ngx_http_request_t *r, void *data)
{
    if (ngx_http_weir_identity_send(r) != NGX_OK) {
        r->content_handler = ngx_http_weir_identity_send_nothing;
    }
}


static ngx_int_t
ngx_http_weir_identity_send_nothing(ngx_http_request_t *r)
{
    return NGX_HTTP_INTERNAL_SERVER_ERROR;
}


static ngx_int_t
ngx_http_weir_identity_send_add(ngx_http_request_t *r, ngx_list_t *headers,
    void *data)
{
    ngx_http_weir_identity_call_t  *call = data;

    if (ngx_http_weir_identity_send_state(r, call) != NGX_OK
        || ngx_http_weir_identity_token(r, call->conf, &call->statement,
                                        &call->token)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    call->second = ngx_time();

    return ngx_http_weir_forward_push(headers, call->conf->name,
                                      call->token.data, call->token.len);
}


static ngx_int_t
ngx_http_weir_identity_send_state(ngx_http_request_t *r,
    ngx_http_weir_identity_call_t *call)
{
    ngx_str_t                           *method;
    ngx_http_variable_value_t           *v;
    ngx_http_weir_identity_statement_t  *statement;
    ngx_http_weir_identity_main_conf_t  *imcf;

    statement = &call->statement;

    if (ngx_http_weir_identity_caller(r, &statement->caller) != NGX_OK
        || ngx_http_weir_identity_path(r, call->conf, statement)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* nginx's own cache asks for the body that HEAD does not have */

    method = r->upstream->method.len ? &r->upstream->method : &r->method_name;

    statement->method.data = (char *) method->data;
    statement->method.len = method->len;

    if (call->conf->bind != NGX_HTTP_WEIR_IDENTITY_REQUEST) {
        return NGX_OK;
    }

    imcf = ngx_http_get_module_main_conf(r, ngx_http_weir_identity_module);

    v = ngx_http_get_indexed_variable(r, imcf->trace_id);

    if (v && !v->not_found) {
        statement->trace_id.data = (char *) v->data;
        statement->trace_id.len = v->len;
    }

    return NGX_OK;
}


static void
ngx_http_weir_identity_send_again(ngx_http_request_t *r, void *data)
{
    ngx_http_weir_identity_call_t  *call = data;

    ngx_str_t  token;

    if (call->second == ngx_time() || call->token.len == 0) {
        return;
    }

    if (ngx_http_weir_identity_token(r, call->conf, &call->statement, &token)
        != NGX_OK
        || token.len != call->token.len)
    {
        /* the upstream decides about the old one */
        return;
    }

    ngx_http_weir_identity_send_replace(r, &call->token, &token);

    call->token = token;
    call->second = ngx_time();
}


/* The header is in the first buffer. */

static void
ngx_http_weir_identity_send_replace(ngx_http_request_t *r, ngx_str_t *old,
    ngx_str_t *token)
{
    u_char     *p;
    ngx_buf_t  *b;

    if (r->upstream->request_bufs == NULL) {
        return;
    }

    b = r->upstream->request_bufs->buf;

    if (b->start == NULL || b->in_file) {
        return;
    }

    p = memmem(b->start, b->last - b->start, old->data, old->len);

    if (p) {
        ngx_memcpy(p, token->data, token->len);
    }
}
