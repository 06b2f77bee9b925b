/*
 * Tokens of weir_identity.
 *
 * A signature costs some 20 microseconds of the event loop, so a token is signed
 * once for all requests of a second that it can say the same of: the same caller
 * with the same scopes, method, and path (or location, by bind=).  A worker
 * keeps such tokens in a table of fixed size, in which a newer one takes the
 * place of an older one.
 *
 * A place is found by a keyed hash of all that the token says, so that nobody
 * can find a request that takes the place of a certain other one; and what it
 * says is compared, byte by byte.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "auth/identity/ngx_http_weir_identity_private.h"
#include "common/hash/siphash.h"
#include "common/ids/random.h"
#include "common/problem.h"


#define NGX_HTTP_WEIR_IDENTITY_PLACES  1024  /* a power of two */
#define NGX_HTTP_WEIR_IDENTITY_SAID    1536  /* bytes that a token says; one that
                                                says more is longer than KEPT */
#define NGX_HTTP_WEIR_IDENTITY_KEPT    2048  /* bytes of a token; longer ones are
                                                not kept */
#define NGX_HTTP_WEIR_IDENTITY_ID      16    /* bytes of a jti */


/* What a token says, in a form of which no two statements have the same. */
typedef struct {
    size_t                         len;      /* 0: too long to be kept */
    u_char                         data[NGX_HTTP_WEIR_IDENTITY_SAID];
} ngx_http_weir_identity_said_t;


typedef struct {
    time_t                         second;   /* in which it was signed */
    size_t                         said_len;
    size_t                         len;
    size_t                         room;     /* of kept */
    u_char                        *kept;     /* what it says, and the token; or
                                                NULL */
} ngx_http_weir_identity_place_t;


struct ngx_http_weir_identity_kept_s {
    weir_siphash_key_t             secret;
    ngx_http_weir_identity_place_t places[NGX_HTTP_WEIR_IDENTITY_PLACES];
};


static void ngx_http_weir_identity_token_say(
    ngx_http_weir_identity_loc_conf_t *ilcf,
    ngx_http_weir_identity_statement_t *statement,
    ngx_http_weir_identity_said_t *said);
static ngx_http_weir_identity_place_t *ngx_http_weir_identity_token_place(
    ngx_http_weir_identity_kept_t *kept, ngx_http_weir_identity_said_t *said);
static ngx_int_t ngx_http_weir_identity_token_sign(ngx_http_request_t *r,
    ngx_http_weir_identity_loc_conf_t *ilcf,
    ngx_http_weir_identity_statement_t *statement, ngx_str_t *token);
static size_t ngx_http_weir_identity_token_claims(char *buf, size_t size,
    ngx_http_weir_identity_loc_conf_t *ilcf,
    ngx_http_weir_identity_statement_t *statement);
static size_t ngx_http_weir_identity_token_member(char *buf, size_t size,
    size_t at, const char *name, weir_str_t value);
static void ngx_http_weir_identity_token_keep(
    ngx_http_weir_identity_place_t *place, ngx_http_weir_identity_said_t *said,
    ngx_str_t *token, ngx_log_t *log);


ngx_int_t
ngx_http_weir_identity_token(ngx_http_request_t *r,
    ngx_http_weir_identity_loc_conf_t *ilcf,
    ngx_http_weir_identity_statement_t *statement, ngx_str_t *token)
{
    ngx_http_weir_identity_said_t        said;
    ngx_http_weir_identity_place_t      *place;
    ngx_http_weir_identity_main_conf_t  *imcf;

    imcf = ngx_http_get_module_main_conf(r, ngx_http_weir_identity_module);

    if (imcf->kept == NULL || ilcf->bind == NGX_HTTP_WEIR_IDENTITY_REQUEST) {
        return ngx_http_weir_identity_token_sign(r, ilcf, statement, token);
    }

    ngx_http_weir_identity_token_say(ilcf, statement, &said);

    if (said.len == 0) {
        return ngx_http_weir_identity_token_sign(r, ilcf, statement, token);
    }

    place = ngx_http_weir_identity_token_place(imcf->kept, &said);

    if (place->kept && place->second == ngx_time()
        && place->said_len == said.len
        && ngx_memcmp(place->kept, said.data, said.len) == 0)
    {
        token->data = ngx_pnalloc(r->pool, place->len);
        if (token->data == NULL) {
            return NGX_ERROR;
        }

        token->len = place->len;
        ngx_memcpy(token->data, place->kept + place->said_len, place->len);

        return NGX_OK;
    }

    if (ngx_http_weir_identity_token_sign(r, ilcf, statement, token)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_weir_identity_token_keep(place, &said, token,
                                      r->connection->log);

    return NGX_OK;
}


static void
ngx_http_weir_identity_token_say(ngx_http_weir_identity_loc_conf_t *ilcf,
    ngx_http_weir_identity_statement_t *statement,
    ngx_http_weir_identity_said_t *said)
{
    u_char      *p;
    size_t       len;
    ngx_uint_t   i;
    weir_str_t   texts[5];

    /* key, issuer, audience and ttl are the location's */

    struct {
        uintptr_t  location;
        uint64_t   lengths[5];
        uint64_t   prefix;
    } head;

    texts[0] = statement->caller.subject;
    texts[1] = statement->caller.issuer;
    texts[2] = statement->caller.scope;
    texts[3] = statement->method;
    texts[4] = statement->path;

    ngx_memzero(&head, sizeof(head));
    head.location = (uintptr_t) ilcf;
    head.prefix = statement->prefix;

    len = sizeof(head);

    for (i = 0; i < 5; i++) {
        head.lengths[i] = texts[i].len;
        len += texts[i].len;
    }

    said->len = 0;

    if (len > sizeof(said->data)) {
        return;
    }

    said->len = len;
    p = ngx_cpymem(said->data, &head, sizeof(head));

    for (i = 0; i < 5; i++) {
        if (texts[i].len) {
            p = ngx_cpymem(p, texts[i].data, texts[i].len);
        }
    }
}


static ngx_http_weir_identity_place_t *
ngx_http_weir_identity_token_place(ngx_http_weir_identity_kept_t *kept,
    ngx_http_weir_identity_said_t *said)
{
    uint64_t  hash[2];

    weir_siphash128(kept->secret,
                    (weir_str_t) { (char *) said->data, said->len }, hash);

    return &kept->places[hash[0] % NGX_HTTP_WEIR_IDENTITY_PLACES];
}


static ngx_int_t
ngx_http_weir_identity_token_sign(ngx_http_request_t *r,
    ngx_http_weir_identity_loc_conf_t *ilcf,
    ngx_http_weir_identity_statement_t *statement, ngx_str_t *token)
{
    char    claims[WEIR_SIGN_CLAIMS_MAX];
    size_t  len;

    len = ngx_http_weir_identity_token_claims(claims, sizeof(claims), ilcf,
                                              statement);

    if (len > sizeof(claims)) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "no identity for the upstream: its claims have %uz bytes,"
                      " and may have %uz", len, sizeof(claims));
        return NGX_ERROR;
    }

    token->data = ngx_pnalloc(r->pool, WEIR_SIGN_TOKEN_MAX(len));
    if (token->data == NULL) {
        return NGX_ERROR;
    }

    token->len = weir_signer_token(&ilcf->key->signer,
                                   NGX_HTTP_WEIR_IDENTITY_TYPE,
                                   (weir_str_t) { claims, len },
                                   (char *) token->data);

    if (token->len == 0) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "no identity for the upstream: OpenSSL could not sign with"
                      " key \"%V\"", &ilcf->key->file);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* The length of the claims; above size: there is no room. */

static size_t
ngx_http_weir_identity_token_claims(char *buf, size_t size,
    ngx_http_weir_identity_loc_conf_t *ilcf,
    ngx_http_weir_identity_statement_t *statement)
{
    u_char       *p;
    char          jti[WEIR_BASE64URL_CHARS(NGX_HTTP_WEIR_IDENTITY_ID)];
    u_char        tail[3 * NGX_TIME_T_LEN + sizeof(jti) + 64];
    size_t        at;
    uint8_t       id[NGX_HTTP_WEIR_IDENTITY_ID];
    weir_str_t    issuer, audience, subject;

    issuer = (weir_str_t) { (char *) ilcf->issuer.data, ilcf->issuer.len };
    audience = (weir_str_t) { (char *) ilcf->audience.data,
                              ilcf->audience.len };
    subject = statement->caller.subject.len
              ? statement->caller.subject
              : WEIR_STR(NGX_HTTP_WEIR_IDENTITY_ANONYMOUS);

    at = ngx_http_weir_identity_token_member(buf, size, 0, "{\"iss\":", issuer);
    at = ngx_http_weir_identity_token_member(buf, size, at, ",\"aud\":",
                                             audience);
    at = ngx_http_weir_identity_token_member(buf, size, at, ",\"sub\":",
                                             subject);

    if (statement->caller.subject.len) {
        at = ngx_http_weir_identity_token_member(buf, size, at,
                                                 ",\"sub_iss\":",
                                                 statement->caller.issuer);
        at = ngx_http_weir_identity_token_member(buf, size, at, ",\"scope\":",
                                                 statement->caller.scope);
    }

    at = ngx_http_weir_identity_token_member(buf, size, at,
                                             ",\"act\":{\"sub\":", issuer);
    at = ngx_http_weir_identity_token_member(buf, size, at, "},\"htm\":",
                                             statement->method);
    at = ngx_http_weir_identity_token_member(buf, size, at,
                                             statement->prefix
                                             ? ",\"prefix\":" : ",\"path\":",
                                             statement->path);

    if (statement->trace_id.len) {
        at = ngx_http_weir_identity_token_member(buf, size, at,
                                                 ",\"trace_id\":",
                                                 statement->trace_id);
    }

    weir_random(id, sizeof(id));
    (void) weir_base64url_encode(jti, id, sizeof(id));

    p = ngx_sprintf(tail, ",\"iat\":%T,\"exp\":%T,\"jti\":\"%*s\"}",
                    ngx_time(), ngx_time() + ilcf->ttl, sizeof(jti), jti);

    if (at + (p - tail) <= size) {
        ngx_memcpy(buf + at, tail, p - tail);
    }

    return at + (p - tail);
}


/* Appends at that place, as far as there is room; returns the next place. */

static size_t
ngx_http_weir_identity_token_member(char *buf, size_t size, size_t at,
    const char *name, weir_str_t value)
{
    size_t  len;

    len = ngx_strlen(name);

    if (at + len <= size) {
        ngx_memcpy(buf + at, name, len);
    }

    at += len;

    return at + (at < size ? weir_json_string(buf + at, size - at, value)
                           : weir_json_string(NULL, 0, value));
}


static void
ngx_http_weir_identity_token_keep(ngx_http_weir_identity_place_t *place,
    ngx_http_weir_identity_said_t *said, ngx_str_t *token, ngx_log_t *log)
{
    u_char  *kept;
    size_t   size;

    if (token->len > NGX_HTTP_WEIR_IDENTITY_KEPT) {
        return;
    }

    size = said->len + token->len;

    if (place->room < size) {
        kept = ngx_alloc(size, log);

        if (kept == NULL) {
            return;
        }

        if (place->kept) {
            ngx_free(place->kept);
        }

        place->kept = kept;
        place->room = size;
    }

    ngx_memcpy(place->kept, said->data, said->len);
    ngx_memcpy(place->kept + said->len, token->data, token->len);
    place->said_len = said->len;
    place->len = token->len;
    place->second = ngx_time();
}


/* Without memory, each token is signed for one request. */

void
ngx_http_weir_identity_token_begin(ngx_cycle_t *cycle,
    ngx_http_weir_identity_main_conf_t *imcf)
{
    imcf->kept = ngx_calloc(sizeof(ngx_http_weir_identity_kept_t), cycle->log);

    if (imcf->kept) {
        weir_random(&imcf->kept->secret, sizeof(imcf->kept->secret));
    }
}


void
ngx_http_weir_identity_token_end(ngx_http_weir_identity_main_conf_t *imcf)
{
    ngx_uint_t  i;

    if (imcf->kept == NULL) {
        return;
    }

    for (i = 0; i < NGX_HTTP_WEIR_IDENTITY_PLACES; i++) {
        if (imcf->kept->places[i].kept) {
            ngx_free(imcf->kept->places[i].kept);
        }
    }

    ngx_free(imcf->kept);
    imcf->kept = NULL;
}
