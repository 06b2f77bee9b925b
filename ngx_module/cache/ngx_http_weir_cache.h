/*
 * Shared by the files of the cache: its configuration, and the context of a
 * request.
 *
 *     request/       directives, configuration, phase: acts on the verdict
 *     store/         the upstream's response, written into both levels
 *     purge/         invalidations made on this edge
 *     serve/         sending a stored response, validation
 *     lookup/        key, look-ups, turn: the verdict
 *     invalidation/  validity: the table, the stream of messages
 *     memory/        the first level: entries in shared memory, flights
 *     entry, stamp, checksum  (here)  the format of an entry
 *     policy/        plain C: Cache-Control, rules, Vary, ranges, dates, tags
 *
 * Calls go down in this list, never up.
 *
 * Only requests of clients are cached, and only responses of an upstream to
 * them: no subrequests, no error pages, no static files.
 */

#ifndef _NGX_HTTP_WEIR_CACHE_H_INCLUDED_
#define _NGX_HTTP_WEIR_CACHE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "auth/ngx_http_weir_jwt.h"
#include "cache/entry.h"
#include "cache/memory/ngx_http_weir_cache_zone.h"
#include "cache/policy/cache_control.h"
#include "cache/policy/range.h"
#include "cache/policy/rules.h"
#include "cache/stamp.h"
#include "http/forward/ngx_http_weir_forward.h"
#include "redis/ngx_http_weir_redis.h"


#define NGX_HTTP_WEIR_CACHE_IGNORE_CACHE_CONTROL  0x0002
#define NGX_HTTP_WEIR_CACHE_IGNORE_EXPIRES        0x0004
#define NGX_HTTP_WEIR_CACHE_IGNORE_SET_COOKIE     0x0008
#define NGX_HTTP_WEIR_CACHE_IGNORE_VARY           0x0010
#define NGX_HTTP_WEIR_CACHE_IGNORE_X_ACCEL_EXPIRES  0x0020

/* weir_cache_request_control; other values are milliseconds */
#define NGX_HTTP_WEIR_CACHE_CONTROL_OBEY          0
#define NGX_HTTP_WEIR_CACHE_CONTROL_IGNORE        NGX_MAX_INT_T_VALUE

/* default of weir_cache_max_size, bytes */
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
    ngx_str_t                        stale_breaker; /* a location with
                                                       weir_cache_use_stale
                                                       breaker; len 0: none */
    ngx_uint_t                       breaker; /* bool: one has weir_breaker */
} ngx_http_weir_cache_main_conf_t;


typedef struct ngx_http_weir_cache_loc_conf_s  ngx_http_weir_cache_loc_conf_t;

struct ngx_http_weir_cache_loc_conf_s {
    ngx_str_t                        place;       /* "file:line" of the block */
    ngx_http_weir_cache_zone_t      *zone;        /* NULL: off */
    ngx_flag_t                       l1;          /* use the first level */
    ngx_uint_t                       min_uses;    /* misses before storing */
    ngx_http_complex_value_t        *key;         /* NULL: the default */
    ngx_str_t                        upstream;    /* in the default key */
    ngx_http_complex_value_t        *pass;        /* the same, with variables */
    ngx_http_weir_cache_loc_conf_t  *enclosing;   /* of an `if` or limit_except:
                                                     whose default key names
                                                     another upstream, or NULL */
    ngx_str_t                        sent_version; /* field, set to $weir_version */
    ngx_uint_t                       sent_type;   /* Accept is $weir_media_type */
    ngx_flag_t                       sliced;      /* the key has $slice_range */
    ngx_array_t                     *valid;       /* ngx_http_cache_valid_t */
    ngx_array_t                     *bypass;      /* predicates */
    ngx_array_t                     *no_store;
    size_t                           max_size;    /* of the body, bytes */
    ngx_uint_t                       ignore;      /* ..._IGNORE_... */
    ngx_uint_t                       use_stale;   /* ..._STALE_... */
    ngx_uint_t                       fallback;    /* bool: weir_breaker_fallback
                                                     stale */
    time_t                           keep;        /* s after the lifetime */
    ngx_uint_t                       heuristic;   /* percent; 0: off */
    ngx_msec_t                       lock_timeout;
    ngx_msec_t                       uncacheable; /* ms, remembered */
    ngx_array_t                     *targeted;    /* ngx_str_t, RFC 9213 */
    ngx_http_complex_value_t        *tags;        /* NULL: Cache-Tag */
    ngx_msec_t                       staleness;
    ngx_flag_t                       invalidate;  /* obey Weir-Invalidate */
    ngx_flag_t                       purge;
    ngx_uint_t                       get_body;    /* ..._BODY_... */
    ngx_flag_t                       expose_tags;
    ngx_msec_t                       request_control; /* ms; obeyed for older
                                                         entries */
};


typedef enum {
    NGX_HTTP_WEIR_CACHE_NONE = 0,    /* not looked up yet */
    NGX_HTTP_WEIR_CACHE_HIT,
    NGX_HTTP_WEIR_CACHE_MISS,        /* nothing stored under the key */
    NGX_HTTP_WEIR_CACHE_VARY_MISS,   /* something, for other request headers */
    NGX_HTTP_WEIR_CACHE_EXPIRED,
    NGX_HTTP_WEIR_CACHE_REQUEST,     /* refused by Cache-Control of the request */
    NGX_HTTP_WEIR_CACHE_BYPASS,      /* weir_cache_bypass, a GET with a body */
    NGX_HTTP_WEIR_CACHE_METHOD,
    NGX_HTTP_WEIR_CACHE_STALE,       /* served stale */
    NGX_HTTP_WEIR_CACHE_REVALIDATED  /* the upstream answered 304 */
} ngx_http_weir_cache_status_e;


/*
 * The verdict on a request, for the one place that acts on it
 * (ngx_http_weir_cache_request_act()).
 */
typedef enum {
    NGX_HTTP_WEIR_CACHE_NOTHING = 0, /* not decided yet: take the next step */
    NGX_HTTP_WEIR_CACHE_LOOK_AGAIN,  /* the same, with the variant now known */
    NGX_HTTP_WEIR_CACHE_SERVE,       /* send ctx->entry, which is fresh */
    NGX_HTTP_WEIR_CACHE_SERVE_STALE,
    NGX_HTTP_WEIR_CACHE_SERVE_STALE_AND_REFRESH,
    NGX_HTTP_WEIR_CACHE_FORWARD,     /* ask the upstream, for ctx->reason */
    NGX_HTTP_WEIR_CACHE_REFUSE,      /* the same, but the client forbids it */
    NGX_HTTP_WEIR_CACHE_READ_BODY,   /* read the body to know if there is one */
    NGX_HTTP_WEIR_CACHE_REFUSE_BODY,
    NGX_HTTP_WEIR_CACHE_WAIT_REDIS,  /* wait for ctx->lookup */
    NGX_HTTP_WEIR_CACHE_WAIT_LEASE,  /* wait for the lease and ctx->lookup */
    NGX_HTTP_WEIR_CACHE_WAIT_TURN,   /* wait for another request's fetch */
    NGX_HTTP_WEIR_CACHE_FAIL         /* no memory: 500 */
} ngx_http_weir_cache_verdict_e;


/*
 * The state of a request.  Only ngx_http_weir_cache_ctx_enter() changes it; it
 * has the table of transitions.
 */
typedef enum {
    /* created; ends when it is known whether the request is looked up at all */
    NGX_HTTP_WEIR_CACHE_STATE_NEW = 0,

    /* waits for its body; the body's handler runs the phases again: then NEW */
    NGX_HTTP_WEIR_CACHE_STATE_BODY,

    /* is looked up; ends within the call that entered it */
    NGX_HTTP_WEIR_CACHE_STATE_LOOKUP,

    /* waits in ctx->lookup (ctx->looking) */
    NGX_HTTP_WEIR_CACHE_STATE_REDIS,

    /* has asked for the lease (ctx->lease_asked), and waits in ctx->lookup */
    NGX_HTTP_WEIR_CACHE_STATE_LEASE,

    /* waits for ctx->wait; then LOOKUP */
    NGX_HTTP_WEIR_CACHE_STATE_TURN,

    /* the upstream is asked; a stale response may replace its response */
    NGX_HTTP_WEIR_CACHE_STATE_FORWARDED,

    /* ctx->entry is the response */
    NGX_HTTP_WEIR_CACHE_STATE_SERVED,

    /* the response is a problem document */
    NGX_HTTP_WEIR_CACHE_STATE_REFUSED
} ngx_http_weir_cache_state_e;


/* Redis' reply to the request for a lease. */
typedef enum {
    NGX_HTTP_WEIR_CACHE_LEASE_NONE,   /* no answer: go without a lease */
    NGX_HTTP_WEIR_CACHE_LEASE_OURS,
    NGX_HTTP_WEIR_CACHE_LEASE_TAKEN,  /* another edge has it and fetches */
    NGX_HTTP_WEIR_CACHE_LEASE_PASSED, /* by chance, another edge's response was
                                         not stored: requests do not wait for 1
                                         s */
    NGX_HTTP_WEIR_CACHE_LEASE_UNCACHEABLE /* it cannot be stored, for
                                             credentials like this request's */
} ngx_http_weir_cache_lease_e;


/* A command to Redis and its reply, shared by requests; see lookup. */
typedef struct ngx_http_weir_cache_lookup_s  ngx_http_weir_cache_lookup_t;


typedef struct {
    ngx_http_request_t              *request;
    ngx_http_upstream_t             *earlier;    /* of the location that led
                                                    here; NULL: none */
    ngx_http_upstream_t             *heeded;     /* whose invalidations were
                                                    applied after a redirect */
    ngx_uint_t                       method;     /* of the request, here */
    ngx_http_weir_cache_loc_conf_t  *conf;
    ngx_http_weir_cache_state_e      state;
    ngx_http_weir_cache_status_e     status;      /* as reported */
    ngx_http_weir_cache_status_e     reason;      /* for forwarding */

    /* the identity in the cache, and the entry found */

    ngx_http_weir_jwt_share_t        share;
    ngx_str_t                        key;         /* len 0: not cached */
    ngx_str_t                        key_text;    /* named by invalidations */
    ngx_str_t                        vary;        /* normalized values */
    ngx_str_t                        flags;       /* fields by which a response
                                                     was looked up that stand
                                                     for flags */
    u_char                           digest[NGX_HTTP_WEIR_CACHE_DIGEST_LEN];
                                                  /* digest of the key */
    u_char                           variant[NGX_HTTP_WEIR_CACHE_DIGEST_LEN];
                                                  /* digest of key and vary */
    weir_cache_control_t             request_cc;
    ngx_http_weir_cache_lookup_t    *lookup;
    ngx_queue_t                      lookup_queue; /* in lookup's queue of
                                                      requests */
    ngx_http_weir_cache_pin_t        pin;
    weir_entry_t                     entry;       /* in pin or lookup */
    char                            *outdated;    /* reason for refusing an
                                                     entry */
    ngx_http_weir_cache_pin_t        stale_pin;
    ngx_http_weir_cache_lookup_t    *stale_lookup;
    weir_entry_t                     stale;       /* for validation */

    ngx_http_weir_forward_t          forward;     /* see condition */

    weir_range_t                     range;       /* of a part: sent, or stored */

    /* single flight */

    uint64_t                         arrived;     /* ngx_http_weir_ms() */
    ngx_event_t                      wait;
    ngx_msec_t                       wait_since;
    ngx_msec_t                       wait_next;
    ngx_http_weir_redis_command_t    lease_command;
    ngx_http_weir_redis_reply_t     *lease_reply; /* NULL: no reply */
    u_char                           flight[NGX_HTTP_WEIR_CACHE_DIGEST_LEN];
    uint64_t                         flight_token;
    ngx_str_t                        lease_key;
    ngx_str_t                        lease_wanted;
    ngx_str_t                        lease;       /* token; len 0: none */

    /* store */

    time_t                           request_time;
    uint64_t                         began;       /* ngx_http_weir_ms(), the
                                                     same time */
    ngx_uint_t                       lines;       /* in headers_out before the
                                                     upstream's lines */
    u_char                          *content_type; /* value before the
                                                      upstream's */
    weir_stamp_t                     stamp;       /* at the same time */
    weir_str_t                       tags;        /* hashes; see tags.h */
    u_char                          *buf;         /* the entry being built */
    size_t                           head_len;
    size_t                           len;
    size_t                           size;
    time_t                           ttl;         /* s, in Redis */
    ngx_str_t                        vary_fields;

    unsigned                         body_read:1;
    unsigned                         looking:1;     /* is in the queue of lookup */
    unsigned                         lease_asked:1; /* reply is outstanding */
    unsigned                         in_flight:1;
    unsigned                         varies:1;      /* variant is known */
    unsigned                         refused:1;     /* by the request's
                                                       Cache-Control */
    unsigned                         have_stale:1;
    unsigned                         stale_soft:1;  /* by invalidation only */
    unsigned                         conditional:1; /* validates ctx->stale */
    unsigned                         by_request:1; /* refused by the request */
    unsigned                         collapsed:1;   /* waited for another
                                                       request */
    unsigned                         background:1;  /* is a background refresh */
    unsigned                         replacing:1;   /* the body is that of entry */
    unsigned                         swallowing:1;  /* output is discarded */
    unsigned                         edge_conditions:1; /* evaluated on the edge */
    unsigned                         from_redis:1;  /* entry is of ctx->lookup
                                                       or ctx->stale_lookup */
    unsigned                         unavailable:1; /* Redis gave no answer */
    unsigned                         storing:1;   /* the body is collected */
    unsigned                         stored:1;    /* storing was begun */
    unsigned                         uncacheable:1; /* by the upstream's
                                                       response */
    unsigned                         part:1;      /* the response is a 206 */
    unsigned                         validator:1; /* the response has one */
    unsigned                         forbidden:1; /* an earlier response, or the
                                                     token, forbids storing */
    unsigned                         private:1;   /* of the request's token */
    unsigned                         soft:1;      /* entry is soft-invalidated */
    unsigned                         left:1;      /* for another location */
    unsigned                         may_store:1; /* weir_cache_no_store refuses
                                                     nothing of the request */
} ngx_http_weir_cache_ctx_t;


extern ngx_module_t  ngx_http_weir_cache_module;


#endif /* _NGX_HTTP_WEIR_CACHE_H_INCLUDED_ */
