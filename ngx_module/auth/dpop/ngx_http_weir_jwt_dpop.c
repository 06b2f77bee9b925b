/* The request of a proof, and the proofs that were used. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "auth/dpop/ngx_http_weir_jwt_dpop.h"
#include "common/token/dpop/dpop_url.h"
#include "http/ngx_http_weir.h"


static void ngx_http_weir_jwt_dpop_method(ngx_http_request_t *r,
    weir_str_t *method);
static ngx_int_t ngx_http_weir_jwt_dpop_origin(ngx_http_request_t *r,
    ngx_array_t *names, weir_dpop_request_t *request);
static void ngx_http_weir_jwt_dpop_host(ngx_http_request_t *r,
    ngx_str_t *host);
static ngx_uint_t ngx_http_weir_jwt_dpop_is_ours(ngx_str_t *host,
    ngx_array_t *names);


ngx_int_t
ngx_http_weir_jwt_dpop_request(ngx_http_request_t *r,
    ngx_http_weir_jwt_dpop_conf_t *conf, ngx_array_t *names,
    weir_str_t token, weir_dpop_request_t *request)
{
    request->algorithms = conf->algorithms;
    request->window = conf->window;
    request->token = token;
    request->path.data = (char *) r->unparsed_uri.data;
    request->path.len = r->unparsed_uri.len;

    ngx_http_weir_jwt_dpop_method(r, &request->method);

    if (conf->origins) {
        request->origins = conf->origins->elts;
        request->n_origins = conf->origins->nelts;
        return NGX_OK;
    }

    return ngx_http_weir_jwt_dpop_origin(r, names, request);
}


/* After an error_page, r->method_name is another than that of the client. */

static void
ngx_http_weir_jwt_dpop_method(ngx_http_request_t *r, weir_str_t *method)
{
    u_char  *space;

    method->data = (char *) r->request_line.data;

    space = ngx_strlchr(r->request_line.data,
                        r->request_line.data + r->request_line.len, ' ');

    method->len = space ? (size_t) (space - r->request_line.data) : 0;
}


/*
 * Scheme, host and port by which the client called this server.  The host must
 * be a name of the server: any other could be that of somebody else's server,
 * which has got token and proof from the client, and sends them on.
 */

static ngx_int_t
ngx_http_weir_jwt_dpop_origin(ngx_http_request_t *r, ngx_array_t *names,
    weir_dpop_request_t *request)
{
    u_char      *p;
    char        *text;
    size_t       len;
    ngx_str_t    host;
    weir_str_t   url, *origin;
    ngx_uint_t   tls;

    request->origins = NULL;
    request->n_origins = 0;

    if (!ngx_http_weir_jwt_dpop_is_ours(&r->headers_in.server, names)) {
        return NGX_OK;
    }

    ngx_http_weir_jwt_dpop_host(r, &host);

#if (NGX_HTTP_SSL)
    tls = (r->connection->ssl != NULL);
#else
    tls = 0;
#endif

    len = sizeof("https://") - 1 + host.len;

    origin = ngx_palloc(r->pool, sizeof(weir_str_t));
    p = ngx_pnalloc(r->pool, len + WEIR_DPOP_URL_MAX(len));

    if (origin == NULL || p == NULL) {
        return NGX_ERROR;
    }

    url.data = (char *) p;
    url.len = ngx_sprintf(p, "%s://%V", tls ? "https" : "http", &host) - p;
    text = (char *) p + len;

    if (weir_dpop_url(url, text, &len, &origin->len)) {
        origin->data = text;
        request->origins = origin;
        request->n_origins = 1;
    }

    return NGX_OK;
}


/* As the client has sent it, with its port: of the target, or of Host. */

static void
ngx_http_weir_jwt_dpop_host(ngx_http_request_t *r, ngx_str_t *host)
{
    u_char  *end;

    if (r->host_start && r->host_end) {
        end = r->host_end;

        if (*end == ':') {
            do {
                end++;
            } while (*end >= '0' && *end <= '9');
        }

        host->data = r->host_start;
        host->len = end - r->host_start;
        return;
    }

    if (r->headers_in.host) {
        *host = r->headers_in.host->value;
        return;
    }

    ngx_str_null(host);
}


/* Names that are exact or begin with "*." or "."; nginx has removed the port. */

static ngx_uint_t
ngx_http_weir_jwt_dpop_is_ours(ngx_str_t *host, ngx_array_t *names)
{
    size_t       len;
    ngx_str_t   *name;
    ngx_uint_t   i;

    for (i = 0; i < names->nelts; i++) {
        name = (ngx_str_t *) names->elts + i;

        if (host->len == name->len
            && ngx_strncasecmp(host->data, name->data, name->len) == 0)
        {
            return 1;
        }

        if (name->data[0] == '.' && host->len == name->len - 1
            && ngx_strncasecmp(host->data, name->data + 1, host->len) == 0)
        {
            return 1;
        }

        /* what is behind "*" */

        len = name->data[0] == '.' ? name->len
              : name->data[0] == '*' ? name->len - 1 : 0;

        if (len && host->len > len
            && ngx_strncasecmp(host->data + host->len - len,
                               name->data + name->len - len, len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


ngx_uint_t
ngx_http_weir_jwt_dpop_is_used(ngx_http_weir_jwt_dpop_memory_t *memory,
    const weir_dpop_t *proof)
{
    ngx_uint_t  used;

    ngx_shmtx_lock(&memory->shpool->mutex);

    used = weir_dpop_seen_has(memory->seen, proof->key, proof->jti,
                              ngx_time());

    ngx_shmtx_unlock(&memory->shpool->mutex);

    return used;
}


weir_token_reason_t
ngx_http_weir_jwt_dpop_use(ngx_http_weir_jwt_dpop_memory_t *memory,
    const weir_dpop_t *proof, int64_t until)
{
    int64_t                  now;
    weir_dpop_seen_result_t  result;

    static weir_token_reason_t  reasons[] = {
        WEIR_TOKEN_OK, WEIR_TOKEN_PROOF_REPLAYED, WEIR_TOKEN_PROOF_NO_ROOM
    };

    now = ngx_time();

    ngx_shmtx_lock(&memory->shpool->mutex);

    result = weir_dpop_seen_add(memory->seen, proof->key, proof->jti, now,
                                ngx_max(until, now + 1));

    ngx_shmtx_unlock(&memory->shpool->mutex);

    return reasons[result];
}


ngx_int_t
ngx_http_weir_jwt_dpop_add_nonce(ngx_http_request_t *r,
    ngx_http_weir_jwt_dpop_memory_t *memory)
{
    ngx_str_t  value;

    static ngx_str_t  name = ngx_string("DPoP-Nonce");

    if (ngx_http_weir_find_header(&r->headers_out.headers, &name)) {
        return NGX_OK;
    }

    value.len = WEIR_DPOP_NONCE;
    value.data = ngx_pnalloc(r->pool, WEIR_DPOP_NONCE);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    weir_dpop_nonce_make(memory->secret, ngx_time(), (char *) value.data);

    return ngx_http_weir_add_header(r, &name, &value) ? NGX_OK : NGX_ERROR;
}
