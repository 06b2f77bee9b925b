/*
 * Private to auth/: the configuration, and the result for a request.  Calls go
 * down in this order of files: module, share, variables, refuse, rules,
 * request, judge, find, cookie, bound, dpop/, audit/, revoked/, turn/,
 * verified/, wait; conf, issuer.
 */

#ifndef _NGX_HTTP_WEIR_JWT_PRIVATE_H_INCLUDED_
#define _NGX_HTTP_WEIR_JWT_PRIVATE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "auth/ngx_http_weir_jwt.h"
#include "auth/ngx_http_weir_jwt_wait.h"
#include "auth/dpop/ngx_http_weir_jwt_dpop.h"
#include "auth/keys/ngx_http_weir_jwt_keys.h"
#include "auth/revoked/ngx_http_weir_jwt_revocation.h"
#include "auth/turn/ngx_http_weir_jwt_turn.h"
#include "auth/verified/ngx_http_weir_jwt_known.h"
#include "auth/verified/ngx_http_weir_jwt_memory.h"
#include "common/token/claims.h"
#include "common/token/token.h"


extern ngx_module_t  ngx_http_weir_jwt_module;


/* A weir_jwt_issuer. */
typedef struct {
    ngx_str_t             name;
    weir_token_issuer_t   token;
    u_char                keys[WEIR_REMEMBERED_DIGEST];    /* digest of them */
    ngx_http_weir_jwt_keys_t  *source;                     /* of them */
    ngx_uint_t            used;       /* bool: a weir_jwt names it */
} ngx_http_weir_jwt_issuer_t;


/* One condition of weir_jwt_require. */
typedef struct {
    ngx_str_t             scope;      /* len 0: a claim */
    char                 *claim;      /* NUL-terminated */
    ngx_array_t          *values;     /* of ngx_str_t, any of them; NULL: the
                                         claim must be present */
} ngx_http_weir_jwt_rule_t;


typedef enum {
    NGX_HTTP_WEIR_JWT_AUTHORIZATION = 0,
    NGX_HTTP_WEIR_JWT_COOKIE,
    NGX_HTTP_WEIR_JWT_HEADER
} ngx_http_weir_jwt_source_e;


/* What is asked of a token that is bound to a key of its holder. */
typedef enum {
    NGX_HTTP_WEIR_JWT_BOUND_IGNORE = 0,
    NGX_HTTP_WEIR_JWT_BOUND_REFUSE,      /* it is refused */
    NGX_HTTP_WEIR_JWT_BOUND_CERTIFICATE, /* it is bound to the certificate of the
                                            client, RFC 8705; others are
                                            refused */
    NGX_HTTP_WEIR_JWT_BOUND_DPOP,        /* it is bound to the key of a proof, RFC
                                            9449; others are refused */
    NGX_HTTP_WEIR_JWT_BOUND_DPOP_OR_NONE /* the same, but one that is bound to
                                            nothing is good without a proof */
} ngx_http_weir_jwt_bound_e;


/* weir_cache_authorized */
typedef enum {
    NGX_HTTP_WEIR_JWT_SHARE_OFF = 0,
    NGX_HTTP_WEIR_JWT_SHARE_ALL,      /* all who meet the requirement */
    NGX_HTTP_WEIR_JWT_SHARE_CLAIMS    /* those with the same claims */
} ngx_http_weir_jwt_share_e;


#define NGX_HTTP_WEIR_JWT_REQUIREMENT  32   /* digits */


/* Values of WWW-Authenticate. */
typedef struct {
    ngx_str_t             realm;
    ngx_str_t             invalid_request;
    ngx_str_t             invalid_token;
    ngx_str_t             expired_token;
    ngx_str_t             insufficient_scope;
    ngx_str_t             invalid_proof;  /* these: of DPoP only */
    ngx_str_t             use_nonce;
} ngx_http_weir_jwt_challenges_t;


typedef struct {
    ngx_array_t           issuers;    /* of ngx_http_weir_jwt_issuer_t * */
    ngx_uint_t            used;       /* bool: a weir_jwt names one */
    ngx_uint_t            any;        /* bool: a location with one has "satisfy
                                         any" */
    size_t                size;       /* weir_jwt_zone; 0: none */
    ngx_http_weir_jwt_revocation_t  *revocation;    /* NULL: none */
    ngx_http_weir_jwt_memory_t  *memory;    /* if used */
    ngx_http_weir_redis_t  *audit;    /* weir_jwt_audit; NULL: off */
    size_t                proofs;     /* weir_jwt_dpop_zone; 0: none */
    ngx_uint_t            proved;     /* bool: a weir_jwt asks for proofs */
    time_t                window;     /* s: the longest of weir_jwt_dpop */
    ngx_http_weir_jwt_dpop_memory_t  *dpop; /* if proved */
    ngx_http_weir_jwt_known_table_t  *known;    /* of this worker; NULL: none
                                                   yet */
} ngx_http_weir_jwt_main_conf_t;


typedef struct {
    ngx_str_t             place;      /* "file:line" of the block */

    /* weir_jwt; NULL: off */
    ngx_array_t          *issuers;    /* of ngx_http_weir_jwt_issuer_t * */

    ngx_uint_t            off;        /* bool: by weir_jwt off */

    /* with issuers */
    ngx_uint_t            optional;   /* bool */
    ngx_http_weir_jwt_source_e  source;
    ngx_str_t             name;       /* of the header, in lower case; of the
                                         variable of the cookie */

    ngx_http_weir_jwt_bound_e  bound;
    ngx_http_weir_jwt_dpop_conf_t  *dpop;   /* with proofs */
    ngx_array_t          *names;      /* of ngx_str_t: of the server, the same */

    ngx_array_t          *rules;      /* of ngx_http_weir_jwt_rule_t, or NULL */

    /* weir_cache_authorized */
    ngx_uint_t            share;      /* ngx_http_weir_jwt_share_e */
    ngx_array_t          *share_claims; /* of ngx_str_t: names, with CLAIMS */
    u_char                requirement[NGX_HTTP_WEIR_JWT_REQUIREMENT];
                                      /* of the location, with issuers: digest
                                         in hexadecimal digits */

    /* of a request without a token, with Bearer, with DPoP */
    ngx_http_weir_jwt_challenges_t  challenges[3];
} ngx_http_weir_jwt_loc_conf_t;


/* The scheme of a token; also the index of what it is challenged with. */
typedef enum {
    NGX_HTTP_WEIR_JWT_NO_SCHEME = 0,
    NGX_HTTP_WEIR_JWT_BEARER,
    NGX_HTTP_WEIR_JWT_DPOP
} ngx_http_weir_jwt_scheme_e;


typedef enum {
    NGX_HTTP_WEIR_JWT_ABSENT = 0,     /* the request has no token */
    NGX_HTTP_WEIR_JWT_SEVERAL,        /* it has more than one */
    NGX_HTTP_WEIR_JWT_PENDING,        /* its signature waits for its turn, or
                                         that of its proof, see proof */
    NGX_HTTP_WEIR_JWT_REFUSED,        /* see reason */
    NGX_HTTP_WEIR_JWT_VERIFIED        /* see issuer and claims */
} ngx_http_weir_jwt_result_e;


/* The token of a request that this worker does not know. */
typedef struct {
    ngx_http_weir_jwt_ctx_t        *ctx;
    weir_token_t                    token;   /* owned; empty once it is known */
    int64_t                         expires; /* s since the epoch */
    uint8_t                         digest[WEIR_REMEMBERED_DIGEST];
    ngx_http_weir_jwt_turn_t        turn;
    ngx_http_weir_jwt_wait_t        wait;    /* for its turn */
    ngx_http_weir_jwt_keys_wait_t   keys_wait;
} ngx_http_weir_jwt_fresh_t;


typedef enum {
    NGX_HTTP_WEIR_JWT_PROOF_READ = 0, /* the proof was not verified */
    NGX_HTTP_WEIR_JWT_PROOF_GOOD,
    NGX_HTTP_WEIR_JWT_PROOF_REFUSED   /* see reason */
} ngx_http_weir_jwt_proof_e;


/*
 * The proof of a request.  It is used once, so the contexts of a request that
 * comes to several locations have one.
 */
typedef struct {
    ngx_http_weir_jwt_ctx_t        *ctx;     /* that it is verified for */
    ngx_http_weir_jwt_ctx_t        *owner;   /* the first one */
    weir_str_t                      text;    /* of the token */
    weir_dpop_t                     proof;   /* owned */
    ngx_http_weir_jwt_proof_e       state;
    weir_token_reason_t             reason;
    ngx_http_weir_jwt_turn_t        turn;
    ngx_http_weir_jwt_wait_t        wait;    /* for its turn */
} ngx_http_weir_jwt_proof_t;


/* The result for a request in a location; data of its cleanup of the pool. */
struct ngx_http_weir_jwt_ctx_s {
    ngx_pool_cleanup_t              cleanup;
    ngx_http_request_t             *request;
    ngx_http_weir_jwt_loc_conf_t   *conf;    /* that it is the result for */
    ngx_http_weir_jwt_main_conf_t  *main;
    ngx_http_weir_jwt_result_e      result;
    weir_token_reason_t             reason;
    ngx_http_weir_jwt_scheme_e      scheme;  /* of the token */
    weir_str_t                      text;    /* of the token; in the request */
    ngx_http_weir_jwt_proof_t      *proof;   /* NULL: none was needed yet */
    ngx_http_weir_jwt_proof_t      *earlier; /* that of another location, with
                                                the same token or another; or
                                                NULL */
    ngx_http_weir_jwt_issuer_t     *issuer;
    ngx_http_weir_jwt_known_t      *known;   /* a reference, or NULL */
    ngx_http_weir_jwt_fresh_t      *fresh;   /* NULL if it was known */
    json_t                         *claims;  /* if VERIFIED; in one of them */
    uint64_t                        generation;  /* of the keys that it was
                                                    compared with */
    int64_t                         expires; /* VERIFIED: s since the epoch */
    ngx_table_elt_t                *challenge; /* that was added; or NULL */
};


/* conf: the setters of weir_jwt and weir_jwt_require, and what follows from
   both. */
char *ngx_http_weir_jwt_conf_set(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_weir_jwt_conf_require(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_weir_jwt_conf_merge(ngx_conf_t *cf, void *parent, void *child);

/* issuer: the setter of weir_jwt_issuer; the one of that name, or NULL. */
char *ngx_http_weir_jwt_issuer_block(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
ngx_http_weir_jwt_issuer_t *ngx_http_weir_jwt_issuer_find(
    ngx_http_weir_jwt_main_conf_t *jmcf, ngx_str_t *name);

/*
 * find: the text of the request's token, which lives as long as the request, and
 * its scheme.  NGX_OK; NGX_DECLINED: there is none; NGX_ABORT: there are several; NGX_ERROR:
 * no memory.
 */
ngx_int_t ngx_http_weir_jwt_find(ngx_http_request_t *r,
    ngx_http_weir_jwt_loc_conf_t *conf, weir_str_t *text,
    ngx_http_weir_jwt_scheme_e *scheme);

/* cookie: the same for a token in a cookie. */
ngx_int_t ngx_http_weir_jwt_cookie(ngx_http_request_t *r,
    ngx_http_weir_jwt_loc_conf_t *conf, weir_str_t *text);

/*
 * find: the number of lines of that name, which is in lower case, and the value
 * of the last one.
 */
ngx_uint_t ngx_http_weir_jwt_find_lines(ngx_http_request_t *r, ngx_str_t *name,
    weir_str_t *value);

/*
 * request: the result for the main request in its current location, whose
 * weir_jwt is not off; computed once in each location.  It is PENDING if it
 * cannot be known without waiting.  NULL: no memory.
 */
ngx_http_weir_jwt_ctx_t *ngx_http_weir_jwt_request(ngx_http_request_t *r);

/*
 * request: the same, but only the text of the token was found, so the result may
 * be PENDING.
 */
ngx_http_weir_jwt_ctx_t *ngx_http_weir_jwt_request_ctx(ngx_http_request_t *r);

/*
 * request: computes that result for the handler of the access phase, which can
 * wait: NGX_OK with a result that is not PENDING; NGX_AGAIN: the request is
 * parked; NGX_ERROR.
 */
ngx_int_t ngx_http_weir_jwt_request_wait(ngx_http_request_t *r,
    ngx_http_weir_jwt_ctx_t *ctx);

/*
 * judge: NGX_OK: the result is not PENDING; NGX_DECLINED: the signature must be
 * verified, that of ctx->proof if there is one.
 */
ngx_int_t ngx_http_weir_jwt_judge(ngx_http_weir_jwt_ctx_t *ctx);

/*
 * judge: ends that with a reason, for a token that this worker does not know.
 * NGX_OK, or NGX_DECLINED if a good token needs a proof.
 */
ngx_int_t ngx_http_weir_jwt_judge_end(ngx_http_weir_jwt_ctx_t *ctx,
    weir_token_reason_t reason);

/*
 * judge: makes a verified token that has expired since, or was revoked, a
 * refused one.
 */
void ngx_http_weir_jwt_judge_recheck(ngx_http_weir_jwt_ctx_t *ctx);

/* rules: true if the claims of a verified token satisfy weir_jwt_require. */
ngx_uint_t ngx_http_weir_jwt_rules_permit(ngx_http_weir_jwt_ctx_t *ctx);

/*
 * bound: NGX_OK if a token that is good otherwise is that of the client, as far
 * as "bound" asks; NGX_AGAIN if the signature of ctx->proof must be verified
 * before, by its turn, which sets the result; NGX_ABORT: it is refused,
 * ctx->reason says why.
 */
ngx_int_t ngx_http_weir_jwt_bound(ngx_http_weir_jwt_ctx_t *ctx);

/*
 * bound: for the response to a request that is granted: a nonce for the next
 * one, if that of its proof becomes old.  NGX_OK, or NGX_ERROR without memory.
 */
ngx_int_t ngx_http_weir_jwt_bound_renew(ngx_http_weir_jwt_ctx_t *ctx);

/* bound: for the cleanup of a context. */
void ngx_http_weir_jwt_bound_release(ngx_http_weir_jwt_ctx_t *ctx);

/* request: the handler of the cleanup whose data is such a result. */
void ngx_http_weir_jwt_request_cleanup(void *data);

/*
 * judge: true if a token that was verified for the request, which has waited
 * since, is still good: not expired, and not revoked.
 */
ngx_uint_t ngx_http_weir_jwt_judge_holds(ngx_http_weir_jwt_ctx_t *ctx);

/*
 * refuse: answers 400, 401, 403 or 503, by the result; the value for the phase
 * handler.
 */
ngx_int_t ngx_http_weir_jwt_refuse(ngx_http_request_t *r,
    ngx_http_weir_jwt_ctx_t *ctx);

/*
 * variables: the verified claims of the main request, which its subrequests
 * share; NULL: there are none.  NGX_OK or NGX_ERROR (no memory).
 */
ngx_int_t ngx_http_weir_jwt_variables_claims(ngx_http_request_t *r,
    json_t **claims);

/* variables: preconfiguration. */
ngx_int_t ngx_http_weir_jwt_variables_add(ngx_conf_t *cf);

/* variables: the claim of that name, as $weir_jwt_claim_NAME; NULL: none. */
json_t *ngx_http_weir_jwt_variables_find(json_t *claims, weir_str_t name);

/* share: the setter of weir_cache_authorized; what locations inherit. */
char *ngx_http_weir_jwt_share_set(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
void ngx_http_weir_jwt_share_merge(ngx_conf_t *cf,
    ngx_http_weir_jwt_loc_conf_t *prev, ngx_http_weir_jwt_loc_conf_t *conf);


#endif /* _NGX_HTTP_WEIR_JWT_PRIVATE_H_INCLUDED_ */
