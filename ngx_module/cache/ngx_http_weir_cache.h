/*
 * What the files of the cache share: configuration, and what is known about a
 * request on its way through it.
 *
 *     request/       directives, configuration, the phase: acts on the verdict
 *     store/         the upstream's response, on its way into both levels
 *     purge/         what is made invalid here
 *     serve/         a stored response on its way out, validation
 *     lookup/        key, look-ups, turn: the verdict
 *     invalidation/  what is invalid: the table, the stream of messages
 *     memory/        the first level: entries in shared memory, flights
 *     entry/         the format of an entry
 *     policy/        plain C: Cache-Control, rules, Vary, ranges, dates, tags
 *
 * Calls go down in this list, never up.
 *
 * Only the request that the client made is cached, and only what an upstream
 * answered it: not subrequests, not error pages, not static files.
 */

#ifndef _NGX_HTTP_WEIR_CACHE_H_INCLUDED_
#define _NGX_HTTP_WEIR_CACHE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/entry/entry.h"
#include "cache/entry/stamp.h"
#include "cache/memory/ngx_http_weir_cache_zone.h"
#include "cache/policy/cache_control.h"
#include "cache/policy/range.h"
#include "cache/policy/rules.h"
#include "redis/ngx_http_weir_redis.h"


#define NGX_HTTP_WEIR_CACHE_IGNORE_CACHE_CONTROL  0x0002
#define NGX_HTTP_WEIR_CACHE_IGNORE_EXPIRES        0x0004
#define NGX_HTTP_WEIR_CACHE_IGNORE_SET_COOKIE     0x0008
#define NGX_HTTP_WEIR_CACHE_IGNORE_VARY           0x0010
#define NGX_HTTP_WEIR_CACHE_IGNORE_X_ACCEL_EXPIRES  0x0020

/* weir_cache_request_control; else milliseconds */
#define NGX_HTTP_WEIR_CACHE_CONTROL_OBEY          0
#define NGX_HTTP_WEIR_CACHE_CONTROL_IGNORE        NGX_MAX_INT_T_VALUE

/* weir_cache_max_size by default, bytes */
#define NGX_HTTP_WEIR_CACHE_MAX_SIZE              (1024 * 1024)

#define NGX_HTTP_WEIR_CACHE_BODY_REFUSE           0
#define NGX_HTTP_WEIR_CACHE_BODY_BYPASS           1

#define NGX_HTTP_WEIR_CACHE_STALE_ERROR           0x0002
#define NGX_HTTP_WEIR_CACHE_STALE_TIMEOUT         0x0004
#define NGX_HTTP_WEIR_CACHE_STALE_UPDATING        0x0008
#define NGX_HTTP_WEIR_CACHE_STALE_500             0x0010
#define NGX_HTTP_WEIR_CACHE_STALE_502             0x0020
#define NGX_HTTP_WEIR_CACHE_STALE_503             0x0040
#define NGX_HTTP_WEIR_CACHE_STALE_504             0x0080
#define NGX_HTTP_WEIR_CACHE_STALE_BREAKER         0x0100


typedef struct {
    ngx_array_t                      zones;  /* ngx_http_weir_cache_zone_t * */
    ngx_array_t                     *ports;  /* in_port_t; see port */
    ngx_str_t                        stale_breaker; /* where a location has
                                                weir_cache_use_stale breaker;
                                                len 0: nowhere */
    ngx_uint_t                       breaker; /* bool: so has weir_breaker */
} ngx_http_weir_cache_main_conf_t;


typedef struct {
    ngx_str_t                        place;       /* "file:line" of its block */
    ngx_http_weir_cache_zone_t      *zone;        /* NULL: off */
    ngx_flag_t                       l1;          /* use the first level */
    ngx_uint_t                       min_uses;    /* before it is stored */
    ngx_http_complex_value_t        *key;         /* NULL: the default */
    ngx_str_t                        upstream;    /* that the default names */
    ngx_http_complex_value_t        *pass;        /* the same, of variables */
    ngx_str_t                        sent_version; /* field, set to $weir_version */
    ngx_uint_t                       sent_type;   /* Accept is $weir_media_type */
    ngx_flag_t                       sliced;      /* the key has $slice_range */
    ngx_array_t                     *valid;       /* ngx_http_cache_valid_t */
    ngx_array_t                     *bypass;      /* predicates */
    ngx_array_t                     *no_store;
    size_t                           max_size;    /* of a body, bytes */
    ngx_uint_t                       ignore;      /* ..._IGNORE_... */
    ngx_uint_t                       use_stale;   /* ..._STALE_... */
    time_t                           keep;        /* after its lifetime, s */
    ngx_uint_t                       heuristic;   /* percent; 0: off */
    ngx_msec_t                       lock_timeout;
    ngx_msec_t                       uncacheable; /* remembered */
    ngx_array_t                     *targeted;    /* ngx_str_t, RFC 9213 */
    ngx_http_complex_value_t        *tags;        /* NULL: Cache-Tag */
    ngx_msec_t                       staleness;
    ngx_flag_t                       invalidate;  /* obey Weir-Invalidate */
    ngx_flag_t                       purge;
    ngx_uint_t                       get_body;    /* ..._BODY_... */
    ngx_flag_t                       expose_tags;
    ngx_msec_t                       request_control; /* obeyed when what is
                                                     stored is older, ms */
} ngx_http_weir_cache_loc_conf_t;


typedef enum {
    NGX_HTTP_WEIR_CACHE_NONE = 0,    /* not looked up yet */
    NGX_HTTP_WEIR_CACHE_HIT,
    NGX_HTTP_WEIR_CACHE_MISS,        /* nothing stored under the key */
    NGX_HTTP_WEIR_CACHE_VARY_MISS,   /* something, for other request headers */
    NGX_HTTP_WEIR_CACHE_EXPIRED,
    NGX_HTTP_WEIR_CACHE_REQUEST,     /* the request's Cache-Control */
    NGX_HTTP_WEIR_CACHE_BYPASS,      /* weir_cache_bypass, a GET with a body */
    NGX_HTTP_WEIR_CACHE_METHOD,
    NGX_HTTP_WEIR_CACHE_STALE,       /* served stale */
    NGX_HTTP_WEIR_CACHE_REVALIDATED  /* the upstream said 304 */
} ngx_http_weir_cache_status_e;


/*
 * What is found out about a request, for the one place that acts on it
 * (ngx_http_weir_cache_act()).
 */
typedef enum {
    NGX_HTTP_WEIR_CACHE_NOTHING = 0, /* not decided: the next step is taken */
    NGX_HTTP_WEIR_CACHE_LOOK_AGAIN,  /* the same, for the variant now known */
    NGX_HTTP_WEIR_CACHE_SERVE,       /* ctx->entry is the answer, and fresh */
    NGX_HTTP_WEIR_CACHE_SERVE_STALE,
    NGX_HTTP_WEIR_CACHE_SERVE_STALE_AND_REFRESH,
    NGX_HTTP_WEIR_CACHE_FORWARD,     /* the upstream is asked, for ctx->reason */
    NGX_HTTP_WEIR_CACHE_REFUSE,      /* ... if the client had allowed it */
    NGX_HTTP_WEIR_CACHE_READ_BODY,   /* whether there is one must be known */
    NGX_HTTP_WEIR_CACHE_REFUSE_BODY,
    NGX_HTTP_WEIR_CACHE_WAIT_REDIS,  /* for ctx->lookup */
    NGX_HTTP_WEIR_CACHE_WAIT_LEASE,  /* for the lease, and ctx->lookup */
    NGX_HTTP_WEIR_CACHE_WAIT_TURN,   /* for what another request fetches */
    NGX_HTTP_WEIR_CACHE_FAIL         /* no memory: 500 */
} ngx_http_weir_cache_verdict_e;


/*
 * Where a request is on its way.  Changed by ngx_http_weir_cache_ctx_enter()
 * alone, which has the table of transitions.
 */
typedef enum {
    /* made; ends when it is known whether it is looked up at all */
    NGX_HTTP_WEIR_CACHE_STATE_NEW = 0,

    /* waits for its body, whose handler runs the phases again: then NEW */
    NGX_HTTP_WEIR_CACHE_STATE_BODY,

    /* is being looked up; ends within the call that entered it */
    NGX_HTTP_WEIR_CACHE_STATE_LOOKUP,

    /* waits in ctx->lookup (ctx->looking) */
    NGX_HTTP_WEIR_CACHE_STATE_REDIS,

    /* has asked for the lease (ctx->lease_asked), and waits in ctx->lookup */
    NGX_HTTP_WEIR_CACHE_STATE_LEASE,

    /* waits for ctx->wait; then LOOKUP */
    NGX_HTTP_WEIR_CACHE_STATE_TURN,

    /* its upstream is asked; a stale response may take the answer's place */
    NGX_HTTP_WEIR_CACHE_STATE_FORWARDED,

    /* ctx->entry is its answer */
    NGX_HTTP_WEIR_CACHE_STATE_SERVED,

    /* a problem document is */
    NGX_HTTP_WEIR_CACHE_STATE_REFUSED
} ngx_http_weir_cache_state_e;


/* What Redis says to the wish for a lease. */
typedef enum {
    NGX_HTTP_WEIR_CACHE_LEASE_NONE,   /* go without: it was no answer */
    NGX_HTTP_WEIR_CACHE_LEASE_OURS,
    NGX_HTTP_WEIR_CACHE_LEASE_TAKEN,  /* by another box, which fetches */
    NGX_HTTP_WEIR_CACHE_LEASE_PASSED, /* another box's response was not stored,
                                         by chance: nobody waits for a second */
    NGX_HTTP_WEIR_CACHE_LEASE_UNCACHEABLE /* ... can't be, for credentials like
                                             this request's */
} ngx_http_weir_cache_lease_e;


/* A question to Redis and its answer, shared by requests; see lookup. */
typedef struct ngx_http_weir_cache_lookup_s  ngx_http_weir_cache_lookup_t;


typedef struct {
    ngx_http_request_t              *request;
    ngx_http_upstream_t             *earlier;    /* of what led to this location;
                                                   NULL: none was asked */
    ngx_http_weir_cache_loc_conf_t  *conf;
    ngx_http_weir_cache_state_e      state;
    ngx_http_weir_cache_status_e     status;      /* as it is reported */
    ngx_http_weir_cache_status_e     reason;      /* why it is forwarded */

    /* what is looked up, and what was found */

    ngx_str_t                        key;         /* len 0: not cached */
    ngx_str_t                        key_text;    /* what invalidations name */
    ngx_str_t                        vary;        /* normalized values */
    u_char                           digest[NGX_HTTP_WEIR_CACHE_DIGEST_LEN];
                                                  /* of the key */
    u_char                           variant[NGX_HTTP_WEIR_CACHE_DIGEST_LEN];
                                                  /* of key and vary */
    weir_cache_control_t             request_cc;
    ngx_http_weir_cache_lookup_t    *lookup;
    ngx_queue_t                      lookup_queue; /* while it waits there */
    ngx_http_weir_cache_pin_t        pin;
    weir_entry_t                     entry;       /* in pin or lookup */
    char                            *outdated;    /* why one wasn't used */
    ngx_http_weir_cache_pin_t        stale_pin;
    ngx_http_weir_cache_lookup_t    *stale_lookup;
    weir_entry_t                     stale;       /* what may be validated */

    /* what the request had before; see condition */
    ngx_http_handler_pt              content_handler;
    ngx_int_t                      (*create_request)(ngx_http_request_t *r);

    weir_range_t                     range;       /* of a part: what is sent, or
                                                     said to be stored */

    /* single flight */

    uint64_t                         arrived;     /* ngx_http_weir_ms() */
    ngx_event_t                      wait;
    ngx_msec_t                       wait_since;
    ngx_msec_t                       wait_next;
    ngx_http_weir_redis_command_t    lease_command;
    ngx_http_weir_redis_reply_t     *lease_reply; /* NULL: none came */
    u_char                           flight[NGX_HTTP_WEIR_CACHE_DIGEST_LEN];
    uint64_t                         flight_token;
    ngx_str_t                        lease_key;
    ngx_str_t                        lease_wanted;
    ngx_str_t                        lease;       /* token; len 0: none */

    /* store */

    time_t                           request_time;
    uint64_t                         began;       /* ngx_http_weir_ms():
                                                     the same moment */
    ngx_uint_t                       lines;       /* that were in headers_out
                                                     before the upstream's */
    u_char                          *content_type; /* that was there before */
    weir_stamp_t                     stamp;       /* of that moment */
    weir_str_t                       tags;        /* hashes; see tags.h */
    u_char                          *buf;         /* the entry as it grows */
    size_t                           head_len;
    size_t                           len;
    size_t                           size;
    time_t                           ttl;         /* in Redis, seconds */
    ngx_str_t                        vary_fields;

    unsigned                         body_read:1;
    unsigned                         looking:1;     /* in ctx->lookup's queue */
    unsigned                         lease_asked:1; /* reply is still to come */
    unsigned                         in_flight:1;
    unsigned                         varies:1;      /* variant is known */
    unsigned                         refused:1;     /* by its Cache-Control */
    unsigned                         have_stale:1;
    unsigned                         stale_soft:1;  /* only by order */
    unsigned                         conditional:1; /* validates ctx->stale */
    unsigned                         by_request:1; /* ... as it was wanted */
    unsigned                         collapsed:1;   /* has waited for another */
    unsigned                         background:1;  /* refreshes the cache */
    unsigned                         replacing:1;   /* body comes from entry */
    unsigned                         swallowing:1;  /* it is only stored */
    unsigned                         edge_conditions:1; /* are decided here */
    unsigned                         holding:1;     /* r->aio is set by condition */
    unsigned                         from_redis:1;  /* entry is of ctx->lookup,
                                                       or ctx->stale_lookup */
    unsigned                         unavailable:1; /* no answer from Redis */
    unsigned                         storing:1;   /* the body is collected */
    unsigned                         stored:1;    /* it was begun */
    unsigned                         uncacheable:1; /* by the upstream's word */
    unsigned                         part:1;      /* ... a 206 */
    unsigned                         validator:1; /* the response has one */
    unsigned                         forbidden:1; /* an earlier answer of this
                                                     request is not for all */
    unsigned                         soft:1;      /* entry is stale by order */
} ngx_http_weir_cache_ctx_t;


extern ngx_module_t  ngx_http_weir_cache_module;


#endif /* _NGX_HTTP_WEIR_CACHE_H_INCLUDED_ */
