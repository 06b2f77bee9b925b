/*
 * Shared by the files of weir_limit, in the order in which they call each
 * other:
 *
 *     module     directives, the phase handler, variables
 *     filter     the slot is given back when the upstream has answered
 *     hold       a request with a slot, or waiting for one
 *     conf       weir_limit, its defaults and inheritance
 *     parameter  the parameters of weir_limit
 *     key        the key of a location's requests
 *     zone       the slots in shared memory
 *     wake       processes tell each other that there is news
 *
 * and, without nginx: the folder slots, urgency.
 */

#ifndef _NGX_HTTP_WEIR_LIMIT_H_INCLUDED_
#define _NGX_HTTP_WEIR_LIMIT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "http/block/ngx_http_weir_block.h"
#include "limit/slots/slots.h"


/* Urgency of a request without a usable weir_priority (RFC 9218 section 4.1) */
#define NGX_HTTP_WEIR_LIMIT_URGENCY  3


typedef struct {
    ngx_shm_zone_t              *zone;
    ngx_http_complex_value_t    *key;      /* NULL: the upstream's name */
    ngx_str_t                    place;    /* "file:line" of the directive */
    weir_slots_settings_t        settings;
    ngx_str_t                    flows[WEIR_SLOTS_FLOWS];  /* names */
    ngx_uint_t                   adaptive; /* bool: concurrent=auto */
    ngx_uint_t                   used;     /* bit for each flow with a location */
} ngx_http_weir_limit_t;


typedef struct {
    ngx_http_weir_limit_t       *limit;    /* NULL: off */
    ngx_http_complex_value_t    *priority; /* NULL: none */
    ngx_str_t                    name;     /* key, unless key= has a value */
    uint64_t                     hash;     /* of name, in this process; 0: not
                                              known yet */
    uint32_t                     flow;     /* the location's route; 0: none */
    ngx_uint_t                   pass;     /* bool: the location has a *_pass */
} ngx_http_weir_limit_loc_conf_t;


typedef struct {
    ngx_array_t                  limits;   /* of ngx_http_weir_limit_t * */
    ngx_array_t                  zones;    /* of ngx_shm_zone_t * */
    ngx_array_t                  keys;     /* of ngx_http_weir_limit_use_t */
    ngx_uint_t                   unnamed;  /* locations without an upstream */
} ngx_http_weir_limit_main_conf_t;


/* The first weir_limit with a given key. */
typedef struct {
    ngx_http_weir_limit_t       *limit;
    ngx_str_t                    key;      /* with its variables, if any */
    ngx_uint_t                   variable; /* bool */
} ngx_http_weir_limit_use_t;


/* A reason as $weir_limit_status, metrics and weir_status name it. */
ngx_str_t *ngx_http_weir_limit_reason(weir_slots_reason_t reason);

/* What became of a request, for $weir_limit_status. */
typedef enum {
    NGX_HTTP_WEIR_LIMIT_PASSED = 0,        /* got a slot at once */
    NGX_HTTP_WEIR_LIMIT_WAITED,            /* waited for it */
    NGX_HTTP_WEIR_LIMIT_UNCOUNTED,         /* the zone had no room */
    NGX_HTTP_WEIR_LIMIT_QUEUED,            /* waits */
    NGX_HTTP_WEIR_LIMIT_FULL,              /* refused: no room in the queue */
    NGX_HTTP_WEIR_LIMIT_SHED,              /* refused: others took its place */
    NGX_HTTP_WEIR_LIMIT_EXPIRED            /* refused: it waited in vain */
} ngx_http_weir_limit_status_e;


/*
 * A request with a ticket, or with none any more; the data of a cleanup of the
 * request's pool, because an internal redirect clears module contexts.
 */
typedef struct {
    ngx_http_weir_block_t          block;     /* first member */
    ngx_http_request_t            *request;
    ngx_http_weir_limit_t         *limit;
    weir_slots_handle_t            ticket;
    ngx_http_weir_limit_status_e   status;
    ngx_str_t                      key;
    uint64_t                       hash;      /* of key */
    ngx_msec_t                     until;     /* QUEUED: ngx_current_msec */
    ngx_int_t                      handler;   /* QUEUED: r->phase_handler */
    uint64_t                       since;     /* ticks: it got its slot */
    ngx_http_upstream_t           *earlier;   /* of an earlier pass, or NULL */
    uint32_t                       us;        /* until the upstream's header; 0:
                                                 not known */
    uint32_t                       retry_after;  /* s, if it was refused */
    ngx_event_t                   *timer;     /* NULL: it did not wait */
    unsigned                       ticketed:1;   /* ticket is valid */
    unsigned                       ready:1;   /* has waited, and goes on */
} ngx_http_weir_limit_hold_t;


extern ngx_module_t  ngx_http_weir_limit_module;


/* conf: for the module's context and its table of directives. */
void *ngx_http_weir_limit_create_main_conf(ngx_conf_t *cf);
void *ngx_http_weir_limit_create_loc_conf(ngx_conf_t *cf);
char *ngx_http_weir_limit_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
char *ngx_http_weir_limit_set(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_weir_limit_priority(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/*
 * conf: checks, after all of the configuration was read, that each weir_limit has
 * a zone, with room for its slots, and each reserve= a location.
 */
ngx_int_t ngx_http_weir_limit_check(ngx_conf_t *cf);

/*
 * parameter: reads "name=value"; *given has a bit for each parameter read so
 * far.  NGX_OK, or NGX_ERROR after an error, which was logged.
 */
ngx_int_t ngx_http_weir_limit_parameter_read(ngx_conf_t *cf,
    ngx_http_weir_limit_t *limit, ngx_str_t *parameter, ngx_uint_t *given);

/*
 * key: determines the location's key as far as the configuration allows, and its
 * flow; conf has the location's weir_limit already.  NGX_CONF_ERROR after an
 * error, which was logged.
 */
char *ngx_http_weir_limit_key_merge(ngx_conf_t *cf,
    ngx_http_weir_limit_loc_conf_t *prev,
    ngx_http_weir_limit_loc_conf_t *conf);

/* key: a number for a flow's name, other than 0. */
uint32_t ngx_http_weir_limit_key_flow(ngx_str_t *name);

/*
 * key: the request's key and its hash.  NGX_DECLINED if no limit applies,
 * NGX_ERROR without memory.
 */
ngx_int_t ngx_http_weir_limit_key(ngx_http_request_t *r,
    ngx_http_weir_limit_loc_conf_t *llcf, ngx_str_t *key, uint64_t *hash);

/* key: a number for who asks: the client's address. */
uint64_t ngx_http_weir_limit_key_source(ngx_http_request_t *r,
    ngx_shm_zone_t *zone);

/* hold: a new one; NULL: no memory. */
ngx_http_weir_limit_hold_t *ngx_http_weir_limit_hold_new(ngx_http_request_t *r);

/*
 * hold: parks the request, which has a ticket that waits.  Returns the value for
 * its phase handler.
 */
ngx_int_t ngx_http_weir_limit_hold_wait(ngx_http_weir_limit_hold_t *hold);

/* hold: gives the ticket back, if there is one. */
void ngx_http_weir_limit_hold_leave(ngx_http_weir_limit_hold_t *hold);

/* hold: the same as below, for a request that was redirected. */
ngx_http_weir_limit_hold_t *ngx_http_weir_limit_hold_find(
    ngx_http_request_t *r);

/* hold: resumes requests of this process for which a zone has news. */
void ngx_http_weir_limit_hold_news(ngx_shm_zone_t *zone);

/* filter: installs the filters that see the upstream's response. */
void ngx_http_weir_limit_filter_init(void);


/*
 * That of the request's present pass, or of its last one; NULL: it asked no limit.
 */
static ngx_inline ngx_http_weir_limit_hold_t *
ngx_http_weir_limit_hold(ngx_http_request_t *r)
{
    ngx_http_weir_limit_hold_t  *hold;

    hold = ngx_http_get_module_ctx(r, ngx_http_weir_limit_module);

    if (hold || (!r->internal && !r->filter_finalize)) {
        return hold;
    }

    return ngx_http_weir_limit_hold_find(r);
}


#endif /* _NGX_HTTP_WEIR_LIMIT_H_INCLUDED_ */
