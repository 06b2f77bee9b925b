/*
 * Shared by the files of weir_breaker.
 *
 *     module     directives, the phase handler, variables
 *     conf       weir_breaker, its defaults and inheritance
 *     parameter  the parameters of weir_breaker
 *     key        the breaker of a location's requests
 *     debt       the result that an admitted request must report
 *     outcome    what a response, a try or a missing one says of the upstream
 *     tries      tells debt when a request is tried at another server
 *     changed    what follows from a change of state
 *     fallback   weir_breaker_fallback: what refused requests get
 *     zone/      the breakers in shared memory
 *     fleet/     what the edges of a Redis agree on
 */

#ifndef _NGX_HTTP_WEIR_BREAKER_H_INCLUDED_
#define _NGX_HTTP_WEIR_BREAKER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "breaker/zone/ngx_http_weir_breaker_zone.h"
#include "http/block/ngx_http_weir_block.h"


#define NGX_HTTP_WEIR_BREAKER_ON_ERROR    0x0001
#define NGX_HTTP_WEIR_BREAKER_ON_TIMEOUT  0x0002
#define NGX_HTTP_WEIR_BREAKER_ON_500      0x0004
#define NGX_HTTP_WEIR_BREAKER_ON_502      0x0008
#define NGX_HTTP_WEIR_BREAKER_ON_503      0x0010
#define NGX_HTTP_WEIR_BREAKER_ON_504      0x0020
#define NGX_HTTP_WEIR_BREAKER_ON_429      0x0040
#define NGX_HTTP_WEIR_BREAKER_ON_5XX      0x0080    /* any other 5xx */

/* A status of gRPC, from 0 to 15. */
#define NGX_HTTP_WEIR_BREAKER_ON_GRPC(status)                                 \
    ((ngx_uint_t) 0x10000 << (status))


typedef struct {
    ngx_shm_zone_t              *zone;
    ngx_http_complex_value_t    *key;      /* NULL: the upstream's name */
    ngx_str_t                    place;    /* "file:line" of the directive */
    weir_breaker_settings_t      settings;
    ngx_msec_t                   slow;     /* 0: none */
    ngx_uint_t                   on;
} ngx_http_weir_breaker_t;


/* What a refused request gets. */
typedef enum {
    NGX_HTTP_WEIR_BREAKER_FALLBACK_503 = 0,
    NGX_HTTP_WEIR_BREAKER_FALLBACK_STALE,  /* by the cache, in the place of a
                                              503 */
    NGX_HTTP_WEIR_BREAKER_FALLBACK_LOCATION
} ngx_http_weir_breaker_fallback_e;


typedef struct {
    ngx_http_weir_breaker_fallback_e  how;
    ngx_str_t                    location; /* with its "@" */
    ngx_str_t                    place;    /* "file:line" of the directive */
} ngx_http_weir_breaker_fallback_t;


typedef struct {
    ngx_http_weir_breaker_t     *breaker;  /* NULL: off */
    ngx_http_weir_breaker_fallback_t  *fallback;  /* NULL: 503 */
    ngx_http_weir_breaker_key_t  name;     /* key, unless key= has a value */
    ngx_uint_t                   pass;     /* bool: the location has a *_pass */
} ngx_http_weir_breaker_loc_conf_t;


typedef struct {
    ngx_array_t                  breakers; /* of ngx_http_weir_breaker_t * */
    ngx_array_t                  zones;    /* of ngx_shm_zone_t *, all */
    ngx_array_t                  keys;     /* of ngx_http_weir_breaker_use_t */
    ngx_uint_t                   unnamed;  /* locations without an upstream */
    ngx_array_t                  named;    /* of ngx_http_weir_breaker_named_t */
    ngx_array_t                  inits;    /* of ngx_http_weir_breaker_init_t */
} ngx_http_weir_breaker_main_conf_t;


/* A named location to which refused requests go. */
typedef struct {
    ngx_http_weir_breaker_fallback_t  *fallback;
    ngx_http_core_srv_conf_t          *server;
} ngx_http_weir_breaker_named_t;


/* The function of an upstream that is called through one of tries. */
typedef struct {
    ngx_http_upstream_srv_conf_t    *upstream;
    ngx_http_upstream_init_peer_pt   init;
} ngx_http_weir_breaker_init_t;


/* The first weir_breaker with a given key. */
typedef struct {
    ngx_http_weir_breaker_t     *breaker;
    ngx_str_t                    key;      /* with its variables, if any */
    ngx_uint_t                   variable; /* bool */
} ngx_http_weir_breaker_use_t;


/*
 * A result that must be reported; the data of a cleanup of the request's pool.
 */
typedef struct {
    ngx_http_weir_block_t        block;    /* first member */
    ngx_http_request_t          *request;
    ngx_http_weir_breaker_t     *breaker;
    ngx_http_weir_breaker_ticket_t  ticket;
    ngx_http_upstream_t         *earlier;  /* of an earlier pass; NULL: none */
    ngx_http_upstream_t         *upstream; /* its header was counted */
    ngx_event_get_peer_pt        get;      /* of the upstream's balancer */
    ngx_uint_t                   tries;    /* of r->upstream_states, that were
                                              counted, or precede this pass */
    off_t                        body;     /* bytes of the body received */
    uint64_t                     success;  /* number of the reported success; 0:
                                              none */
    unsigned                     counted:1; /* the body is counted here */
    unsigned                     reported:1;
    unsigned                     failed:1;
} ngx_http_weir_breaker_debt_t;


extern ngx_module_t  ngx_http_weir_breaker_module;


/* conf: for the module's context and its table of directives. */
void *ngx_http_weir_breaker_create_loc_conf(ngx_conf_t *cf);
char *ngx_http_weir_breaker_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
char *ngx_http_weir_breaker_set(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
void *ngx_http_weir_breaker_create_main_conf(ngx_conf_t *cf);

/*
 * parameter: reads "name=value"; *given has a bit for each parameter read so
 * far.  NGX_OK, or NGX_ERROR after an error, which was logged.
 */
ngx_int_t ngx_http_weir_breaker_parameter_read(ngx_conf_t *cf,
    ngx_http_weir_breaker_t *breaker, ngx_str_t *parameter, ngx_uint_t *given);

/* conf: checks that each weir_breaker has a zone, after all zones are known. */
ngx_int_t ngx_http_weir_breaker_check_zones(ngx_conf_t *cf);

/*
 * key: determines the location's key as far as the configuration allows; conf
 * has the location's weir_breaker already.  NGX_CONF_ERROR after an error,
 * which was logged.
 */
char *ngx_http_weir_breaker_merge_key(ngx_conf_t *cf,
    ngx_http_weir_breaker_loc_conf_t *prev,
    ngx_http_weir_breaker_loc_conf_t *conf);

/*
 * key: the request's key.  NGX_DECLINED if no breaker applies, NGX_ERROR
 * without memory.
 */
ngx_int_t ngx_http_weir_breaker_key(ngx_http_request_t *r,
    ngx_http_weir_breaker_loc_conf_t *blcf, ngx_http_weir_breaker_key_t *key);

/*
 * outcome: the outcome of the request's last try; *cause is that of a failure.
 */
weir_breaker_outcome_t ngx_http_weir_breaker_outcome(ngx_http_request_t *r,
    ngx_http_weir_breaker_t *breaker, ngx_uint_t *cause);

/* outcome: the same for an earlier try, which was given up. */
weir_breaker_outcome_t ngx_http_weir_breaker_outcome_of_try(
    ngx_http_upstream_state_t *state, ngx_http_weir_breaker_t *breaker,
    ngx_uint_t *cause);

/*
 * outcome: NGX_OK if on= has the gRPC status of the response, which is in *cause
 * then; NGX_DECLINED otherwise, and without such a status.  It may be in the
 * header or, as soon as these have arrived, in the trailers.
 */
ngx_int_t ngx_http_weir_breaker_outcome_grpc(ngx_http_request_t *r,
    ngx_http_weir_breaker_t *breaker, ngx_uint_t *cause);

/*
 * outcome: that of a client that left after waiting longer than slow=;
 * WEIR_BREAKER_ABANDONED if it did not.
 */
weir_breaker_outcome_t ngx_http_weir_breaker_outcome_left(
    ngx_http_request_t *r, ngx_http_weir_breaker_t *breaker);

/*
 * tries: lets all upstreams tell when they choose a server.  For
 * postconfiguration; NGX_OK or NGX_ERROR (no memory).
 */
ngx_int_t ngx_http_weir_breaker_tries_init(ngx_conf_t *cf);

/*
 * debt: counts the tries that were given up; reused: the last one does not
 * count.
 */
void ngx_http_weir_breaker_debt_tries(ngx_http_weir_breaker_debt_t *debt,
    ngx_uint_t reused);

/*
 * changed: logs a change of state that r has caused, and records it as an event
 * of r's span.  Nothing happens if there was none.
 */
void ngx_http_weir_breaker_changed(ngx_http_request_t *r,
    ngx_http_weir_breaker_t *breaker, ngx_http_weir_breaker_change_t *change);

/* fallback: the directive, and what it is in a location. */
char *ngx_http_weir_breaker_fallback_set(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_weir_breaker_fallback_merge(ngx_conf_t *cf,
    ngx_http_weir_breaker_loc_conf_t *prev,
    ngx_http_weir_breaker_loc_conf_t *conf);

/*
 * fallback: checks that each named location exists, after all are known; NGX_OK,
 * or NGX_ERROR after an error, which was logged.
 */
ngx_int_t ngx_http_weir_breaker_fallback_check(ngx_conf_t *cf);

/*
 * fallback: answers a request that was refused, for which the breaker is open
 * for so many ms.  Returns the value for the phase handler; NGX_DONE: the request
 * may be freed.
 */
ngx_int_t ngx_http_weir_breaker_fallback(ngx_http_request_t *r,
    ngx_http_weir_breaker_loc_conf_t *blcf, ngx_msec_t retry_after);

/* debt: installs the filter that sees the upstream's response. */
void ngx_http_weir_breaker_init_filter(void);

/*
 * debt: one that is not owed yet; NULL: no memory.  From owe on, its result is
 * reported at the latest when the request ends.
 */
ngx_http_weir_breaker_debt_t *ngx_http_weir_breaker_debt_new(
    ngx_http_request_t *r);
void ngx_http_weir_breaker_debt_owe(ngx_http_weir_breaker_debt_t *debt,
    ngx_http_request_t *r, ngx_http_weir_breaker_t *breaker,
    ngx_http_weir_breaker_ticket_t *ticket);

/* debt: reports the final result if the request still owes one. */
void ngx_http_weir_breaker_cleanup(void *data);

/* debt: the cleanup of one that is owed. */
void ngx_http_weir_breaker_debt_end(void *data);


/* True if there are tries to count; most requests have a single one. */
static ngx_inline ngx_uint_t
ngx_http_weir_breaker_has_tries(ngx_http_weir_breaker_debt_t *debt)
{
    ngx_array_t  *states;

    states = debt->request->upstream_states;

    return states && debt->tries + 1 < states->nelts;
}


/* The debt of the request's last pass, or NULL; older ones are settled. */
static ngx_inline ngx_http_weir_breaker_debt_t *
ngx_http_weir_breaker_debt(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t  *cln;

    for (cln = r->pool->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_http_weir_breaker_debt_end) {
            return cln->data;
        }
    }

    return NULL;
}


#endif /* _NGX_HTTP_WEIR_BREAKER_H_INCLUDED_ */
