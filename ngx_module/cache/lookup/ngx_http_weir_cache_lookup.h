/*
 * What becomes of a request: what is known of it (ctx), what it is looked up by
 * (key, key_text, port, uri, sent, redirect), what is stored for it (find, part,
 * lookup), whose turn it is to ask the upstream (turn, lease), and the verdict
 * (decide).  Nothing here sends a response or asks an upstream.
 */

#ifndef _NGX_HTTP_WEIR_CACHE_LOOKUP_H_INCLUDED_
#define _NGX_HTTP_WEIR_CACHE_LOOKUP_H_INCLUDED_


#include "cache/ngx_http_weir_cache.h"


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
static ngx_inline ngx_uint_t
ngx_http_weir_cache_ctx_waits(ngx_http_weir_cache_ctx_t *ctx)
{
    switch (ctx->state) {

    case NGX_HTTP_WEIR_CACHE_STATE_BODY:
        return !ctx->body_read;

    case NGX_HTTP_WEIR_CACHE_STATE_REDIS:
        return ctx->looking;

    case NGX_HTTP_WEIR_CACHE_STATE_LEASE:
        return ctx->looking || ctx->lease_asked;

    case NGX_HTTP_WEIR_CACHE_STATE_TURN:
        return ctx->wait.timer_set;

    default:
        return 0;
    }
}


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

/*
 * part: whether ctx->entry may be looked at further: it is whole, or a part
 * that is fresh and holds the range that the request wants, to which ctx->entry
 * and ctx->range are cut then.
 */
ngx_uint_t ngx_http_weir_cache_part_fits(ngx_http_weir_cache_ctx_t *ctx);

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
 * key: which credentials the request has: 1 for Authorization, 2 for Cookie,
 * added up
 */
ngx_uint_t ngx_http_weir_cache_key_credentials(ngx_http_weir_cache_ctx_t *ctx);

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
 * redirect: the X-Accel-Expires of the upstream's response, as seconds from now;
 * 0: it must not be stored.  NGX_OK, or NGX_DECLINED: there is none that is valid.
 */
ngx_int_t ngx_http_weir_cache_accel_expires(ngx_http_request_t *r,
    int64_t *seconds);

/* redirect: before the upstream is asked: header lines that are not its own */
void ngx_http_weir_cache_note_lines(ngx_http_weir_cache_ctx_t *ctx);

/*
 * uri: the key that another URI, as a header has it, would have: own, that of
 * the request, with the URI in the place of its own.  Of the request's pool.
 * NGX_OK, NGX_DECLINED (it is of another origin, or the key doesn't hold the URI
 * as it was requested), or NGX_ERROR (no memory).
 */
ngx_int_t ngx_http_weir_cache_key_of(ngx_http_request_t *r, ngx_str_t *own,
    ngx_str_t *reference, ngx_str_t *key);


#endif /* _NGX_HTTP_WEIR_CACHE_LOOKUP_H_INCLUDED_ */
