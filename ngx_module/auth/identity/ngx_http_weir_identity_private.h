/*
 * Private to auth/identity/.  Calls go down in this order of files: module,
 * conf, key; keys; send, token, path, caller.
 */

#ifndef _NGX_HTTP_WEIR_IDENTITY_PRIVATE_H_INCLUDED_
#define _NGX_HTTP_WEIR_IDENTITY_PRIVATE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "common/text/str.h"
#include "common/token/sign.h"
#include "http/forward/ngx_http_weir_forward.h"


#define NGX_HTTP_WEIR_IDENTITY_TYPE       "weir-identity+jwt"
#define NGX_HTTP_WEIR_IDENTITY_ANONYMOUS  "anonymous"
#define NGX_HTTP_WEIR_IDENTITY_KEYS_AGE   60    /* s: Cache-Control of the keys */


extern ngx_module_t  ngx_http_weir_identity_module;


/* A key of the configuration, one for each file. */
typedef struct {
    ngx_str_t                       file;      /* full name */
    weir_signer_t                   signer;
} ngx_http_weir_identity_key_t;


/* To what a token is bound, beside the method. */
typedef enum {
    NGX_HTTP_WEIR_IDENTITY_PATH = 0,
    NGX_HTTP_WEIR_IDENTITY_LOCATION,   /* to all paths of the location */
    NGX_HTTP_WEIR_IDENTITY_REQUEST     /* to the path and the trace */
} ngx_http_weir_identity_bind_e;


/* Kept tokens of a worker; see token. */
typedef struct ngx_http_weir_identity_kept_s  ngx_http_weir_identity_kept_t;


typedef struct {
    ngx_array_t                     keys;      /* of ..._key_t * */
    ngx_array_t                     names;     /* of ngx_str_t: header lines of
                                                  clients that never pass */
    ngx_str_t                       document;  /* JWK Set; len 0: no keys */
    ngx_int_t                       trace_id;  /* index of $weir_trace_id */
    ngx_uint_t                      used;      /* bool: a location signs */
    ngx_uint_t                      published; /* bool: a location shows the
                                                  keys */
    ngx_str_t                       published_at; /* "file:line" */
    ngx_http_weir_identity_kept_t  *kept;      /* of this worker, or NULL */
} ngx_http_weir_identity_main_conf_t;


typedef struct {
    ngx_flag_t                      on;
    ngx_http_weir_identity_key_t   *key;       /* that signs */
    ngx_str_t                       issuer;
    ngx_str_t                       audience;
    time_t                          ttl;       /* s */
    ngx_uint_t                      bind;      /* ..._bind_e */
    ngx_http_complex_value_t       *path;      /* path=; or NULL */
    ngx_http_weir_forward_name_t   *name;      /* of the header line */

    /* set when the locations are merged */
    ngx_str_t                       location;  /* that *_pass has replaced by
                                                  uri; see path */
    ngx_str_t                       uri;       /* of *_pass; len 0: none */
    ngx_str_t                       prefix;    /* of the location's paths at the
                                                  upstream; len 0: not known */
} ngx_http_weir_identity_loc_conf_t;


/* Who calls; texts are in the request's pool, or in the token's claims. */
typedef struct {
    weir_str_t                      subject;   /* len 0: anonymous */
    weir_str_t                      issuer;
    weir_str_t                      scope;
} ngx_http_weir_identity_caller_t;


/* What a token says. */
typedef struct {
    ngx_http_weir_identity_caller_t  caller;
    weir_str_t                      method;
    weir_str_t                      path;
    ngx_uint_t                      prefix;    /* bool: all paths that begin so */
    weir_str_t                      trace_id;  /* len 0: none */
} ngx_http_weir_identity_statement_t;


/* conf: the setter of weir_identity; what locations inherit. */
char *ngx_http_weir_identity_conf_set(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_weir_identity_conf_merge(ngx_conf_t *cf, void *parent,
    void *child);

/*
 * key: the key in that file of the parameter ("key="), which is read once for a
 * configuration.  NULL: an error was logged.
 */
ngx_http_weir_identity_key_t *ngx_http_weir_identity_key_read(ngx_conf_t *cf,
    char *parameter, ngx_str_t *file);

/* keys: makes the JWK Set; NGX_OK or NGX_ERROR (no memory). */
ngx_int_t ngx_http_weir_identity_keys_make(ngx_conf_t *cf,
    ngx_http_weir_identity_main_conf_t *imcf);

/* keys: the setter of weir_identity_keys. */
char *ngx_http_weir_identity_keys_set(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* send: handler of the precontent phase. */
ngx_int_t ngx_http_weir_identity_send_handler(ngx_http_request_t *r);

/*
 * token: a token of this second that says so, in the request's pool.  NGX_OK,
 * or NGX_ERROR: there is none, and an error was logged.
 */
ngx_int_t ngx_http_weir_identity_token(ngx_http_request_t *r,
    ngx_http_weir_identity_loc_conf_t *ilcf,
    ngx_http_weir_identity_statement_t *statement, ngx_str_t *token);

/* token: begins and ends the memory of a worker. */
void ngx_http_weir_identity_token_begin(ngx_cycle_t *cycle,
    ngx_http_weir_identity_main_conf_t *imcf);
void ngx_http_weir_identity_token_end(ngx_http_weir_identity_main_conf_t *imcf);

/*
 * path: the path that the upstream will see, or the beginning of all paths of
 * the location; NGX_OK or NGX_ERROR (no memory).
 */
ngx_int_t ngx_http_weir_identity_path(ngx_http_request_t *r,
    ngx_http_weir_identity_loc_conf_t *ilcf,
    ngx_http_weir_identity_statement_t *statement);

/*
 * path: finds out what *_pass of the location does with paths.  NGX_OK,
 * NGX_DECLINED: it cannot be known, path= is needed; NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_weir_identity_path_merge(ngx_conf_t *cf,
    ngx_http_weir_identity_loc_conf_t *prev,
    ngx_http_weir_identity_loc_conf_t *conf);

/*
 * caller: who calls, by the token that weir_jwt has verified in the current
 * location of the main request; NGX_OK or NGX_ERROR (no memory).
 */
ngx_int_t ngx_http_weir_identity_caller(ngx_http_request_t *r,
    ngx_http_weir_identity_caller_t *caller);


#endif /* _NGX_HTTP_WEIR_IDENTITY_PRIVATE_H_INCLUDED_ */
