/*
 * What the files of the cache share: configuration, and what is known about a
 * request on its way through it.
 *
 *     module   directives, phases, variables
 *     conf     what the directives take, and what a location inherits
 *     check    whether they mean something together
 *     secret   the secret that signs what a zone has in Redis
 *     zone     the first level, in shared memory
 *     key      what a request is looked up by
 *     key_text the text of its key, by default or as weir_cache_key says
 *     port     what that says of the port
 *     ctx      what is known of a request, and its states
 *     request  its way through the precontent phase: acts on verdicts
 *     decide   the look-ups in their order, and the verdict
 *     body     GET and HEAD with a request body
 *     redirect what holds after an internal redirect
 *     find     what is stored for the request, and whether it may be served
 *     entry    what is asked of an entry while it is used
 *     lookup   what Redis has, for all who want the same at once
 *     turn     who asks the upstream, and who waits
 *     lease    the same between the boxes that share Redis
 *     answer   a stored response sent to the client, and Cache-Status
 *     restore  its header lines put back
 *     validate what a stale response is still good for
 *     condition  the conditions that the upstream gets
 *     filter   sees the upstream's response
 *     response what it says to a cache
 *     record   the entry as it grows
 *     store    the entry into both levels
 *
 *     invalidation  what was invalidated, and whether an entry outlived it
 *     invalidate    invalidations made here, and sent to all others
 *     purge         PURGE
 *     uri           the key of another URI
 *     first_read    who comes before the stream was read
 *     follow        those of all others, from the stream in Redis
 *     follow_log    what the stream says, and whether all of it was read
 *
 * Only the request that the client made is cached, and only what an upstream
 * answered it: not subrequests, not error pages, not static files.
 */

#ifndef _NGX_HTTP_WEIR_CACHE_H_INCLUDED_
#define _NGX_HTTP_WEIR_CACHE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/cache_control.h"
#include "cache/entry.h"
#include "cache/invalidations.h"
#include "cache/ngx_http_weir_cache_zone.h"
#include "cache/range.h"
#include "cache/rules.h"
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

/* As Cache-Status names them; the index is that of the zone's counters. */
extern ngx_str_t  ngx_http_weir_cache_reasons[NGX_HTTP_WEIR_CACHE_REASONS];

/* module: the zones of a configuration, ngx_http_weir_cache_zone_t pointers */
ngx_array_t *ngx_http_weir_cache_zones(ngx_http_request_t *r);


/* conf: for the module's context and its table of directives */
void *ngx_http_weir_cache_create_main_conf(ngx_conf_t *cf);
void *ngx_http_weir_cache_create_loc_conf(ngx_conf_t *cf);
char *ngx_http_weir_cache_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
char *ngx_http_weir_cache_set_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_weir_cache_set_cache(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_weir_cache_set_valid(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_weir_cache_set_heuristic(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_weir_cache_set_control_headers(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
char *ngx_http_weir_cache_set_uncacheable(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_weir_cache_set_request_control(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
char *ngx_http_weir_cache_set_staleness(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/*
 * secret: reads the file's secrets into zone->mac.  NGX_CONF_OK, or
 * NGX_CONF_ERROR after an error was logged.
 */
char *ngx_http_weir_cache_read_secret(ngx_conf_t *cf,
    ngx_http_weir_cache_zone_t *zone, ngx_str_t *file);


/* request: the precontent phase */
ngx_int_t ngx_http_weir_cache_handler(ngx_http_request_t *r);

/*
 * response: X-Accel-Redirect or an error_page has led to another location: what
 * the first one asked the upstream for will not be stored, so nobody shall wait
 * for it, the request itself least of all.  Returns what is known of the
 * location that it was led away from last; NULL: nothing.
 */
ngx_http_weir_cache_ctx_t *ngx_http_weir_cache_led_away(
    ngx_http_request_t *r);

/*
 * body: of a GET or HEAD.  NOTHING: it has no body, as far as the cache is
 * concerned; else READ_BODY (call it again when the body was read), FORWARD, or
 * REFUSE_BODY.
 */
ngx_http_weir_cache_verdict_e ngx_http_weir_cache_check_body(
    ngx_http_weir_cache_ctx_t *ctx);

/*
 * body: reads it, and then runs the phases again.  Returns what a phase handler
 * returns.
 */
ngx_int_t ngx_http_weir_cache_read_body(ngx_http_weir_cache_ctx_t *ctx);

/* body: answers 400; returns what a phase handler returns */
ngx_int_t ngx_http_weir_cache_refuse_body(ngx_http_weir_cache_ctx_t *ctx);

/*
 * ctx: that of a request in a location that is cached, in the state NEW; NULL: no
 * memory.  It ends with the request's pool.
 */
ngx_http_weir_cache_ctx_t *ngx_http_weir_cache_ctx_create(
    ngx_http_request_t *r, ngx_http_weir_cache_loc_conf_t *clcf);

/*
 * ctx: a copy for a background refresh of ctx->stale, which has no request yet;
 * NULL: no memory.  hand_over gives it to the subrequest, with the flight.
 */
ngx_http_weir_cache_ctx_t *ngx_http_weir_cache_ctx_copy(
    ngx_http_weir_cache_ctx_t *ctx);
void ngx_http_weir_cache_ctx_hand_over(ngx_http_weir_cache_ctx_t *ctx,
    ngx_http_weir_cache_ctx_t *refresh, ngx_http_request_t *sr);

/*
 * ctx: the contexts that a request has had, the last one first: *cln begins with
 * r->pool->cleanup.  NULL: there are no more.
 */
ngx_http_weir_cache_ctx_t *ngx_http_weir_cache_ctx_next(
    ngx_http_request_t *r, ngx_pool_cleanup_t **cln);

/* ctx: the request comes into another state */
void ngx_http_weir_cache_ctx_enter(ngx_http_weir_cache_ctx_t *ctx,
    ngx_http_weir_cache_state_e state);

/* ctx: into FORWARDED, with what must be known of that moment */
void ngx_http_weir_cache_ctx_forward(ngx_http_weir_cache_ctx_t *ctx,
    ngx_http_weir_cache_status_e reason);

/* ctx: whether what the request waits for is still to come */
ngx_uint_t ngx_http_weir_cache_ctx_waits(ngx_http_weir_cache_ctx_t *ctx);

/* ctx: nothing shall wake the request any more */
void ngx_http_weir_cache_ctx_stop_waiting(ngx_http_weir_cache_ctx_t *ctx);

/*
 * decide: what becomes of a request that is new, or that has waited.  Sets
 * ctx->entry, or ctx->reason.
 */
ngx_http_weir_cache_verdict_e ngx_http_weir_cache_decide(
    ngx_http_weir_cache_ctx_t *ctx);

/* decide: FORWARD, or REFUSE when the client takes only what is stored */
ngx_http_weir_cache_verdict_e ngx_http_weir_cache_decide_forward(
    ngx_http_weir_cache_ctx_t *ctx, ngx_http_weir_cache_status_e reason);

/*
 * find: what memory has, what Redis' answer in ctx->lookup means, and the same
 * of the look-up behind a lease, after which ctx is as it was before if that is
 * nothing.  SERVE, SERVE_STALE, NOTHING, or FAIL; in_redis also LOOK_AGAIN.
 */
ngx_http_weir_cache_verdict_e ngx_http_weir_cache_find_in_memory(
    ngx_http_weir_cache_ctx_t *ctx);
ngx_http_weir_cache_verdict_e ngx_http_weir_cache_find_in_redis(
    ngx_http_weir_cache_ctx_t *ctx);
ngx_http_weir_cache_verdict_e ngx_http_weir_cache_find_behind_lease(
    ngx_http_weir_cache_ctx_t *ctx);

/* find: what was kept as stale is the entry now */
void ngx_http_weir_cache_find_take_stale(ngx_http_weir_cache_ctx_t *ctx);

/*
 * key: the variant that the request selects among those that vary by the
 * fields, into ctx->variant and ctx->vary.  Returns NGX_OK or NGX_ERROR (no
 * memory).
 */
ngx_int_t ngx_http_weir_cache_variant(ngx_http_weir_cache_ctx_t *ctx,
    ngx_str_t *fields);

/*
 * sent: whether the location is configured to give the upstream a request field
 * that its version negotiation has read, as negotiated: then answers depend on
 * what is negotiated, not on how the client said it.  configure is for a
 * location that is merged.  field is in lower case; value is what is sent.
 */
void ngx_http_weir_cache_sent_configure(ngx_conf_t *cf,
    ngx_http_weir_cache_loc_conf_t *clcf);
ngx_uint_t ngx_http_weir_cache_sent(ngx_http_weir_cache_ctx_t *ctx,
    weir_str_t *field, ngx_str_t *value);

/*
 * key: weir:<kind>:<zone>:{<digest>}, with the digest of the variant behind it,
 * of the pool; all names of one key share a slot of a cluster.  data NULL: no
 * memory.
 */
ngx_str_t ngx_http_weir_cache_redis_key(ngx_http_weir_cache_ctx_t *ctx,
    char *kind, ngx_uint_t variant);

/*
 * key: the hash of the key's text (tags.h) for an entry of the request, 0 for a
 * pointer
 */
uint64_t ngx_http_weir_cache_key_hash(ngx_http_weir_cache_ctx_t *ctx,
    u_char *entry);

/*
 * lookup: asks Redis for the request's key, or variant, or joins who does unless
 * it is to be asked anew, after the commands that were sent before.  NGX_OK: the
 * request waits in ctx->lookup and is resumed (ngx_http_weir_resume()) when
 * the answer is there or none will come; NGX_DECLINED: Redis can't be asked.
 * Gives up an earlier ctx->lookup.
 */
ngx_int_t ngx_http_weir_cache_lookup(ngx_http_weir_cache_ctx_t *ctx,
    ngx_uint_t anew);

/* lookup: the request, which waits there, goes away */
void ngx_http_weir_cache_lookup_leave(ngx_http_weir_cache_ctx_t *ctx);

/*
 * lookup: the answer.  NGX_OK: ctx->entry is set, and stays in memory as long
 * as the request's reference; NGX_DECLINED: there is no entry, and if that is
 * for want of an answer ctx->unavailable is set.
 */
ngx_int_t ngx_http_weir_cache_lookup_result(ngx_http_weir_cache_ctx_t *ctx);

/* lookup: puts what came into the first level, once for all who wait */
void ngx_http_weir_cache_lookup_keep(ngx_http_weir_cache_ctx_t *ctx);

/* lookup: another reference; release takes one back, if *held is not NULL */
void ngx_http_weir_cache_lookup_hold(ngx_http_weir_cache_lookup_t *lookup);
void ngx_http_weir_cache_lookup_release(ngx_http_weir_cache_lookup_t **held);

/* entry: the age of an entry now, seconds (RFC 9111 section 4.2.3) */
time_t ngx_http_weir_cache_age(weir_entry_t *entry);

/*
 * answer: sends ctx->entry and finalizes the request.  Returns what a phase
 * handler returns: NGX_DONE, or a status when nothing has been sent.
 */
ngx_int_t ngx_http_weir_cache_answer(ngx_http_weir_cache_ctx_t *ctx);

/*
 * answer: adds the Cache-Status of a forwarded request (RFC 9211), with a
 * detail or NULL; NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_http_weir_cache_forwarded(ngx_http_weir_cache_ctx_t *ctx,
    char *detail);

/*
 * restore: whether ctx->entry may be looked at further: it is whole, or a part
 * that is fresh and holds the range that the request wants, to which ctx->entry
 * and ctx->range are cut then.
 */
ngx_uint_t ngx_http_weir_cache_part_fits(ngx_http_weir_cache_ctx_t *ctx);

/*
 * restore: puts the entry's header lines into the response; NGX_OK or NGX_ERROR
 */
ngx_int_t ngx_http_weir_cache_restore(ngx_http_weir_cache_ctx_t *ctx);

/*
 * restore: of a whole 200, before its header is sent: the client's conditions
 * and Range are decided at the edge, by the response's own ETag, Last-Modified
 * and Date; here where nginx's filters, which do the rest, would do wrong
 */
void ngx_http_weir_cache_conditions(ngx_http_request_t *r);

/* answer: the entry's body as a chain; NULL: no memory */
ngx_chain_t *ngx_http_weir_cache_body(ngx_http_weir_cache_ctx_t *ctx);

/* entry: the freshness that an entry was stored with */
void ngx_http_weir_cache_freshness(weir_entry_t *entry,
    weir_cache_freshness_t *freshness);

/*
 * turn: ends the request's flight and lease, if it has them; pass as for
 * ngx_http_weir_cache_flight_end(), ms
 */
void ngx_http_weir_cache_turn_end(ngx_http_weir_cache_ctx_t *ctx,
    ngx_msec_t pass);

/*
 * turn: the upstream's answer is not stored: nobody shall wait for it, and
 * when ctx->uncacheable tells that it can't be, nobody who sends the same kinds
 * of credentials for weir_cache_uncacheable
 */
void ngx_http_weir_cache_turn_not_stored(ngx_http_weir_cache_ctx_t *ctx);

/* turn: an answer was stored: those to such requests can be */
void ngx_http_weir_cache_turn_storable(ngx_http_weir_cache_ctx_t *ctx);

/* turn: whether responses to such requests are known to be uncacheable */
ngx_uint_t ngx_http_weir_cache_turn_uncacheable(
    ngx_http_weir_cache_ctx_t *ctx);

/* entry: the value of a header in an entry; data NULL when there is none */
weir_str_t ngx_http_weir_cache_entry_header(weir_entry_t *entry,
    const char *name);

/*
 * key_text: of the request, as invalidations name it, of its pool; NGX_OK or
 * NGX_ERROR (no memory)
 */
ngx_int_t ngx_http_weir_cache_key_text(ngx_http_request_t *r,
    ngx_http_weir_cache_loc_conf_t *clcf, ngx_str_t *text);

/* key_text: for the table of directives, and for a location that is merged */
char *ngx_http_weir_cache_set_key(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_weir_cache_set_bypass(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
ngx_int_t ngx_http_weir_cache_read_upstream(ngx_conf_t *cf, ngx_str_t *name);

/*
 * port: of the connection, as the default key has it, into buf, which must hold
 * NGX_HTTP_WEIR_CACHE_PORT_LEN bytes, or elsewhere; NGX_OK or NGX_ERROR.
 */
#define NGX_HTTP_WEIR_CACHE_PORT_LEN  (NGX_INET6_ADDRSTRLEN + sizeof("[]:65535"))

ngx_int_t ngx_http_weir_cache_port(ngx_http_request_t *r, u_char *buf,
    ngx_str_t *port);

/*
 * port: finds the ports on which not all addresses have the same servers, when
 * the whole configuration was read; NGX_OK or NGX_ERROR (no memory)
 */
ngx_int_t ngx_http_weir_cache_find_ports(ngx_conf_t *cf);

/*
 * check: the directive of the cache that the block itself has, before it is
 * merged, or NULL; weir_cache is not meant
 */
char *ngx_http_weir_cache_own_directive(ngx_http_weir_cache_loc_conf_t *conf);

/*
 * check: of a location that was merged; own is of ngx_http_weir_cache_own_..(),
 * and has_zone tells of weir_cache in the block itself.  NGX_CONF_OK, also after
 * a warning, or NGX_CONF_ERROR after an error was logged.
 */
char *ngx_http_weir_cache_check(ngx_conf_t *cf,
    ngx_http_weir_cache_loc_conf_t *conf, char *own, ngx_uint_t has_zone,
    ngx_uint_t has_stale);

/* check: of all locations together */
void ngx_http_weir_cache_check_all(ngx_conf_t *cf);

/* key: of the request, into ctx; NGX_OK or NGX_ERROR (no memory) */
ngx_int_t ngx_http_weir_cache_key(ngx_http_weir_cache_ctx_t *ctx);

/* key: the request's Cache-Control, into ctx; NGX_OK or NGX_ERROR */
ngx_int_t ngx_http_weir_cache_read_request(ngx_http_weir_cache_ctx_t *ctx);

/*
 * turn: as ngx_http_weir_cache_flight_begin(); a flight of another key, which
 * the request had, is ended.
 */
ngx_int_t ngx_http_weir_cache_turn_begin(ngx_http_weir_cache_ctx_t *ctx);

/*
 * turn: NGX_OK: the request may wait for another's fetch, and sleep starts the
 * timer once it is parked, each time for longer; NGX_DECLINED: it has waited for
 * weir_cache_lock_timeout.
 */
ngx_int_t ngx_http_weir_cache_turn_wait(ngx_http_weir_cache_ctx_t *ctx);
void ngx_http_weir_cache_turn_sleep(ngx_http_weir_cache_ctx_t *ctx);

/*
 * turn: which credentials the request has: 1 for Authorization, 2 for Cookie,
 * added up
 */
ngx_uint_t ngx_http_weir_cache_turn_credentials(ngx_http_weir_cache_ctx_t *ctx);

/* turn: as ngx_http_weir_cache_flight_note(), for requests with the same ones */
void ngx_http_weir_cache_turn_note(ngx_http_weir_cache_ctx_t *ctx,
    ngx_msec_t uncacheable);

/*
 * lease: asks for it, and for the entry behind it.  NGX_OK: the request waits;
 * NGX_DECLINED: there is none to be had; NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_weir_cache_lease_take(ngx_http_weir_cache_ctx_t *ctx);

/* lease: what the reply means; when it is OURS it is in ctx->lease */
ngx_http_weir_cache_lease_e ngx_http_weir_cache_lease_read(
    ngx_http_weir_cache_ctx_t *ctx);

/*
 * lease: lets it go, if it is still the request's.  pass: nobody on other boxes
 * shall wait for the next second, of those who send the same credentials (see
 * above), or nobody at all with 0.
 */
void ngx_http_weir_cache_lease_end(ngx_http_weir_cache_ctx_t *ctx,
    ngx_uint_t pass, ngx_uint_t credentials);

/*
 * condition: the upstream gets the conditions of ctx->stale, or none without
 * one, in the place of the client's conditions and Range.  For a request whose
 * body is known to be empty, before its content phase.
 */
void ngx_http_weir_cache_own_conditions(ngx_http_weir_cache_ctx_t *ctx);

/*
 * redirect: the place that an internal redirect has led to, of the pool; it is
 * part of the key.  len 0: the request is where its client sent it.  NGX_OK or
 * NGX_ERROR.
 */
ngx_int_t ngx_http_weir_cache_place(ngx_http_request_t *r, ngx_str_t *place);

/*
 * redirect: whether an upstream's answer that has led here by an internal
 * redirect forbids a shared cache to keep what comes: 1, 0 or NGX_ERROR.  Called
 * before the content phase of each location, for each answer on the way.
 */
ngx_int_t ngx_http_weir_cache_forbidden(ngx_http_request_t *r);

/*
 * response: the X-Accel-Expires of the upstream's response, as seconds from now;
 * 0: it must not be stored.  NGX_OK, or NGX_DECLINED: there is none that is valid.
 */
ngx_int_t ngx_http_weir_cache_accel_expires(ngx_http_request_t *r,
    int64_t *seconds);

/* redirect: before the upstream is asked: header lines that are not its own */
void ngx_http_weir_cache_note_lines(ngx_http_weir_cache_ctx_t *ctx);

/* validate: starts a refresh in the background; NGX_OK or NGX_ERROR */
ngx_int_t ngx_http_weir_cache_refresh(ngx_http_weir_cache_ctx_t *ctx);

/*
 * validate: whether ctx->stale may answer instead of an error, and why: a
 * constant string, or NULL.
 */
char *ngx_http_weir_cache_instead_of_error(ngx_http_weir_cache_ctx_t *ctx);

/* validate: whether the 304 that has come is about ctx->stale, and renews it */
ngx_uint_t ngx_http_weir_cache_is_about_stale(ngx_http_weir_cache_ctx_t *ctx);

/*
 * validate: a HEAD's 200 against ctx->stale (RFC 9111 section 4.3.5).  NGX_OK:
 * the same representation; NGX_ABORT: another one; NGX_DECLINED: it doesn't say.
 */
ngx_int_t ngx_http_weir_cache_compare_head(ngx_http_weir_cache_ctx_t *ctx);

/* invalidation: what is known now, into ctx->stamp: the request is forwarded */
void ngx_http_weir_cache_stamp(ngx_http_weir_cache_ctx_t *ctx);

/*
 * invalidation: whether ctx->entry may be used by what was invalidated since.
 * If not ctx->outdated tells why, for Cache-Status; if only as a stale one
 * ctx->soft is set.  pin is that of the entry, when it was found in memory; NULL
 * for one that is in memory no more, or was not.
 */
ngx_uint_t ngx_http_weir_cache_outlived(ngx_http_weir_cache_ctx_t *ctx,
    ngx_http_weir_cache_pin_t *pin);

/* invalidation: whether the response, with ctx->tags, would be valid now */
ngx_uint_t ngx_http_weir_cache_worth_storing(ngx_http_weir_cache_ctx_t *ctx);

/*
 * invalidation: the tags of the upstream's response, a block of hashes of the
 * pool.  NGX_OK, NGX_DECLINED (they can't be kept, and so can't the response),
 * or NGX_ERROR (no memory).
 */
ngx_int_t ngx_http_weir_cache_read_tags(ngx_http_weir_cache_ctx_t *ctx,
    weir_str_t *tags);

/* invalidate: the precontent phase, before ngx_http_weir_cache_handler() */
ngx_int_t ngx_http_weir_cache_invalidate_handler(ngx_http_request_t *r);

/* invalidate: installs the filter that sees Weir-Invalidate */
void ngx_http_weir_cache_init_invalidate_filter(void);

/*
 * invalidate: what is stored under a key (its text) is invalid, with soft stale:
 * here at once, and by the stream everywhere else.  position is that of the
 * message, when the upstream has written it; else NULL.
 */
void ngx_http_weir_cache_invalidate_key(ngx_http_request_t *r,
    ngx_http_weir_cache_zone_t *zone, ngx_str_t *key, ngx_uint_t soft,
    weir_position_t *position);

/*
 * invalidate: the same for the tags in the lines, of weir_str_t.  NGX_OK,
 * NGX_DECLINED (there is no tag), or NGX_ERROR (no memory).
 */
ngx_int_t ngx_http_weir_cache_invalidate_tags(ngx_http_request_t *r,
    ngx_http_weir_cache_zone_t *zone, ngx_array_t *lines, ngx_uint_t soft,
    weir_position_t *position);

/* purge: answers a PURGE; what a phase handler returns */
ngx_int_t ngx_http_weir_cache_purge(ngx_http_request_t *r,
    ngx_http_weir_cache_loc_conf_t *clcf);

/*
 * first_read: the request waits until the zone's stream was read; what a phase
 * handler returns, NGX_DECLINED when it has waited long enough.
 */
ngx_int_t ngx_http_weir_cache_first_read(ngx_http_request_t *r,
    ngx_http_weir_cache_zone_t *zone);

/*
 * uri: the key that another URI, as a header has it, would have: own, that of
 * the request, with the URI in the place of its own.  Of the request's pool.
 * NGX_OK, NGX_DECLINED (it is of another origin, or the key doesn't hold the URI
 * as it was requested), or NGX_ERROR (no memory).
 */
ngx_int_t ngx_http_weir_cache_key_of(ngx_http_request_t *r, ngx_str_t *own,
    ngx_str_t *reference, ngx_str_t *key);

/* follow: once in each worker, for each zone.  NGX_OK or NGX_ERROR. */
ngx_int_t ngx_http_weir_cache_follow_init_worker(
    ngx_http_weir_cache_zone_t *zone);

/* follow: when the worker leaves */
void ngx_http_weir_cache_follow_exit_worker(ngx_http_weir_cache_zone_t *zone);

/*
 * response: begins to store the upstream's response if it may be.  NGX_OK: the
 * body is collected; NGX_DECLINED: not; NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_weir_cache_prepare(ngx_http_weir_cache_ctx_t *ctx);

/* response: the same for a POST, whose response is stored for later GETs */
ngx_int_t ngx_http_weir_cache_prepare_post(ngx_http_weir_cache_ctx_t *ctx);

/*
 * response: the upstream's answer does not reach the client as it is: nginx
 * answers with a page in its place, or it leads to another location.  Where that
 * follows from the answer alone responses for the key are remembered to be
 * uncacheable.
 */
void ngx_http_weir_cache_not_passed_on(ngx_http_weir_cache_ctx_t *ctx);

/*
 * record: the entry from the response's header, into ctx->buf; as
 * ngx_http_weir_cache_prepare().
 */
ngx_int_t ngx_http_weir_cache_begin(ngx_http_weir_cache_ctx_t *ctx,
    weir_cache_freshness_t *freshness, weir_cache_control_t *cc);

/* record: a part of the body; NGX_OK or NGX_ERROR (no memory) */
ngx_int_t ngx_http_weir_cache_append(ngx_http_weir_cache_ctx_t *ctx,
    ngx_buf_t *b);

/* record: the response is not stored after all */
void ngx_http_weir_cache_abandon(ngx_http_weir_cache_ctx_t *ctx,
    char *reason);

/* record: gives ctx->buf back, unless the answer comes from it */
void ngx_http_weir_cache_free_buf(ngx_http_weir_cache_ctx_t *ctx);

/* store: the entry is complete */
void ngx_http_weir_cache_store(ngx_http_weir_cache_ctx_t *ctx);

/* store: what ctx->stale is a copy of, out of both levels */
void ngx_http_weir_cache_drop(ngx_http_weir_cache_ctx_t *ctx);

/* response: how long Redis keeps the entry, seconds */
time_t ngx_http_weir_cache_ttl(ngx_http_weir_cache_ctx_t *ctx,
    weir_cache_freshness_t *freshness);

/* filter: installs the filters */
void ngx_http_weir_cache_init_filters(void);


#endif /* _NGX_HTTP_WEIR_CACHE_H_INCLUDED_ */
