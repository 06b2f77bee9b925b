/*
 * The verdict on a request: its context (ctx), its identity (key, key_text,
 * port, uri, sent, redirect), the stored response (find, part, lookup), its
 * turn to ask the upstream (turn, lease), and the decision (decide).  Nothing
 * here sends a response or asks an upstream.
 */

#ifndef _NGX_HTTP_WEIR_CACHE_LOOKUP_H_INCLUDED_
#define _NGX_HTTP_WEIR_CACHE_LOOKUP_H_INCLUDED_


#include "cache/ngx_http_weir_cache.h"


/*
 * ctx: creates the context of a request in a cached location, in the state NEW;
 * NULL: no memory.  It lives as long as the request's pool.
 */
ngx_http_weir_cache_ctx_t *ngx_http_weir_cache_ctx_create(
    ngx_http_request_t *r, ngx_http_weir_cache_loc_conf_t *clcf,
    ngx_uint_t forbidden);

/*
 * ctx: creates a copy for a background refresh of ctx->stale, which has no
 * request yet; NULL: no memory.  hand_over gives it to the subrequest, with the
 * flight.
 */
ngx_http_weir_cache_ctx_t *ngx_http_weir_cache_ctx_copy(
    ngx_http_weir_cache_ctx_t *ctx);
void ngx_http_weir_cache_ctx_hand_over(ngx_http_weir_cache_ctx_t *ctx,
    ngx_http_weir_cache_ctx_t *refresh, ngx_http_request_t *sr);

/*
 * ctx: iterates over the contexts that a request has had, the last one first:
 * *cln begins with r->pool->cleanup.  NULL: there are no more.
 */
ngx_http_weir_cache_ctx_t *ngx_http_weir_cache_ctx_next(
    ngx_http_request_t *r, ngx_pool_cleanup_t **cln);

/* ctx: changes the state of the request. */
void ngx_http_weir_cache_ctx_enter(ngx_http_weir_cache_ctx_t *ctx,
    ngx_http_weir_cache_state_e state);

/* ctx: changes to FORWARDED and records the data of that time. */
void ngx_http_weir_cache_ctx_forward(ngx_http_weir_cache_ctx_t *ctx,
    ngx_http_weir_cache_status_e reason);


/* ctx: true if the event that the request waits for is still outstanding. */
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


/* ctx: after this call no event resumes the request. */
void ngx_http_weir_cache_ctx_stop_waiting(ngx_http_weir_cache_ctx_t *ctx);

/*
 * decide: the verdict on a request that is new, or that has waited.  Sets
 * ctx->entry, or ctx->reason.
 */
ngx_http_weir_cache_verdict_e ngx_http_weir_cache_decide(
    ngx_http_weir_cache_ctx_t *ctx);

/* decide: FORWARD, or REFUSE if the client accepts stored responses only. */
ngx_http_weir_cache_verdict_e ngx_http_weir_cache_decide_forward(
    ngx_http_weir_cache_ctx_t *ctx, ngx_http_weir_cache_status_e reason);

/*
 * find: the verdict on the entry in memory, on the reply in ctx->lookup, and on
 * that of the look-up after a lease, which leaves ctx unchanged if it finds
 * nothing.  SERVE, SERVE_STALE, NOTHING, or FAIL; in_redis also LOOK_AGAIN.
 */
ngx_http_weir_cache_verdict_e ngx_http_weir_cache_find_in_memory(
    ngx_http_weir_cache_ctx_t *ctx);
ngx_http_weir_cache_verdict_e ngx_http_weir_cache_find_in_redis(
    ngx_http_weir_cache_ctx_t *ctx);
ngx_http_weir_cache_verdict_e ngx_http_weir_cache_find_behind_lease(
    ngx_http_weir_cache_ctx_t *ctx);

/* find: makes ctx->stale the entry. */
void ngx_http_weir_cache_find_take_stale(ngx_http_weir_cache_ctx_t *ctx);

/*
 * key: the variant that the request selects among those that vary by the
 * fields, into ctx->variant and ctx->vary.  Returns NGX_OK or NGX_ERROR (no
 * memory).
 */
ngx_int_t ngx_http_weir_cache_key_variant(ngx_http_weir_cache_ctx_t *ctx,
    ngx_str_t *fields);

/*
 * sent: whether the location's configuration sends the upstream a request field
 * as negotiated that its version negotiation has read.  Responses then depend
 * on the negotiated value, not on the client's spelling.  configure is called
 * for a location that is merged.  field is in lower case; value is the value
 * sent.
 */
void ngx_http_weir_cache_sent_configure(ngx_conf_t *cf,
    ngx_http_weir_cache_loc_conf_t *clcf);
ngx_uint_t ngx_http_weir_cache_sent(ngx_http_weir_cache_ctx_t *ctx,
    weir_str_t *field, ngx_str_t *value);

/*
 * key: weir:<kind>:<zone>:{<digest>}, followed by the digest of the variant,
 * allocated from the pool.  All names of one key are in one cluster slot.  data
 * NULL: no memory.
 */
ngx_str_t ngx_http_weir_cache_key_in_redis(ngx_http_weir_cache_ctx_t *ctx,
    char *kind, ngx_uint_t variant);

/*
 * key: the hash of the key's text (tags.h) for an entry of the request; 0 for a
 * pointer.
 */
uint64_t ngx_http_weir_cache_key_hash(ngx_http_weir_cache_ctx_t *ctx,
    u_char *entry);

/*
 * lookup: asks Redis for the request's key or variant, after the commands sent
 * before, or joins a lookup in progress unless a new one is required.  NGX_OK:
 * the request waits in ctx->lookup and is resumed (ngx_http_weir_resume()) with
 * the reply or with its absence; NGX_DECLINED: Redis cannot be asked.  Releases
 * an earlier ctx->lookup.
 */
ngx_int_t ngx_http_weir_cache_lookup(ngx_http_weir_cache_ctx_t *ctx,
    ngx_uint_t anew);

/* lookup: removes a waiting request that ends. */
void ngx_http_weir_cache_lookup_leave(ngx_http_weir_cache_ctx_t *ctx);

/*
 * lookup: the result.  NGX_OK: ctx->entry is set, and remains in memory as long
 * as the request's reference; NGX_DECLINED: there is no entry; ctx->unavailable
 * is set if Redis gave no answer.
 */
ngx_int_t ngx_http_weir_cache_lookup_result(ngx_http_weir_cache_ctx_t *ctx);

/*
 * lookup: puts the entry into the first level, once for all waiting requests.
 */
void ngx_http_weir_cache_lookup_keep(ngx_http_weir_cache_ctx_t *ctx);

/*
 * lookup: hold takes another reference; release releases one, if *held is not
 * NULL.
 */
void ngx_http_weir_cache_lookup_hold(ngx_http_weir_cache_lookup_t *lookup);
void ngx_http_weir_cache_lookup_release(ngx_http_weir_cache_lookup_t **held);

/*
 * part: true if ctx->entry may be evaluated further: it is a whole response, or
 * a fresh part that contains the range that the request wants.  ctx->entry and
 * ctx->range are cut to that range.
 */
ngx_uint_t ngx_http_weir_cache_part_fits(ngx_http_weir_cache_ctx_t *ctx);

/*
 * turn: ends the request's flight and lease, if it has them; pass as for
 * ngx_http_weir_cache_flight_end(), ms.
 */
void ngx_http_weir_cache_turn_end(ngx_http_weir_cache_ctx_t *ctx,
    ngx_msec_t pass);

/*
 * turn: the upstream's response is not stored, so no request waits for it.  If
 * ctx->uncacheable says that it cannot be stored, requests with the same kinds
 * of credentials do not wait for weir_cache_uncacheable.
 */
void ngx_http_weir_cache_turn_not_stored(ngx_http_weir_cache_ctx_t *ctx);

/* turn: a response was stored: responses to such requests can be stored. */
void ngx_http_weir_cache_turn_storable(ngx_http_weir_cache_ctx_t *ctx);

/* turn: true if responses to such requests are known to be uncacheable. */
ngx_uint_t ngx_http_weir_cache_turn_uncacheable(
    ngx_http_weir_cache_ctx_t *ctx);

/*
 * key_text: the key text of the request, as invalidations name it, from its
 * pool; NGX_OK or NGX_ERROR (no memory).
 */
ngx_int_t ngx_http_weir_cache_key_text(ngx_http_request_t *r,
    ngx_http_weir_cache_loc_conf_t *clcf, ngx_str_t *text);

/* key_text: for the table of directives, and for a location that is merged. */
char *ngx_http_weir_cache_key_text_set_key(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_weir_cache_key_text_set_bypass(ngx_conf_t *cf,
    ngx_command_t *cmd,
    void *conf);
ngx_int_t ngx_http_weir_cache_key_text_read_upstream(ngx_conf_t *cf,
    ngx_str_t *name);

/*
 * port: the connection's port as the default key contains it, written to buf,
 * which must have room for NGX_HTTP_WEIR_CACHE_PORT_LEN bytes, or elsewhere;
 * NGX_OK or NGX_ERROR.
 */
#define NGX_HTTP_WEIR_CACHE_PORT_LEN  (NGX_INET6_ADDRSTRLEN + sizeof("[]:65535"))

ngx_int_t ngx_http_weir_cache_port(ngx_http_request_t *r, u_char *buf,
    ngx_str_t *port);

/*
 * port: finds the ports whose addresses do not all have the same servers, after
 * the whole configuration was read; NGX_OK or NGX_ERROR (no memory).
 */
ngx_int_t ngx_http_weir_cache_port_find_all(ngx_conf_t *cf);

/*
 * key: computes the request's key, into ctx; NGX_OK or NGX_ERROR (no memory).
 */
ngx_int_t ngx_http_weir_cache_key_make(ngx_http_weir_cache_ctx_t *ctx);

/* key: reads the request's Cache-Control, into ctx; NGX_OK or NGX_ERROR. */
ngx_int_t ngx_http_weir_cache_key_read_request(ngx_http_weir_cache_ctx_t *ctx);

/*
 * turn: as ngx_http_weir_cache_flight_begin(); ends the request's flight of
 * another key.
 */
ngx_int_t ngx_http_weir_cache_turn_begin(ngx_http_weir_cache_ctx_t *ctx);

/*
 * turn: NGX_OK: the request may wait for another's fetch; after it was parked,
 * sleep starts the timer, with a longer interval each time.  NGX_DECLINED: it
 * has waited for weir_cache_lock_timeout.
 */
ngx_int_t ngx_http_weir_cache_turn_wait(ngx_http_weir_cache_ctx_t *ctx);
void ngx_http_weir_cache_turn_sleep(ngx_http_weir_cache_ctx_t *ctx);

/*
 * key: which credentials the request has: 1 for Authorization, 2 for Cookie,
 * added up
 */
ngx_uint_t ngx_http_weir_cache_key_credentials(ngx_http_weir_cache_ctx_t *ctx);

/*
 * turn: as ngx_http_weir_cache_flight_note(), for requests with the same
 * credentials.
 */
void ngx_http_weir_cache_turn_note(ngx_http_weir_cache_ctx_t *ctx,
    ngx_msec_t uncacheable);

/*
 * lease: asks for the lease, and for the entry after it.  NGX_OK: the request
 * waits; NGX_DECLINED: no lease can be had; NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_weir_cache_lease_take(ngx_http_weir_cache_ctx_t *ctx);

/* lease: evaluates the reply; if it is OURS, the token is in ctx->lease. */
ngx_http_weir_cache_lease_e ngx_http_weir_cache_lease_read(
    ngx_http_weir_cache_ctx_t *ctx);

/*
 * lease: releases the lease if it is still the request's.  With pass, requests
 * of other edges with the same credentials (see above) do not wait during the
 * next second; with credentials 0, no requests do.
 */
void ngx_http_weir_cache_lease_end(ngx_http_weir_cache_ctx_t *ctx,
    ngx_uint_t pass, ngx_uint_t credentials);

/*
 * redirect: the place to which an internal redirect led, from the pool; it is
 * part of the key.  len 0: no redirect.  NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_http_weir_cache_redirect_place(ngx_http_request_t *r,
    ngx_str_t *place);

/*
 * redirect: 1 if the response of an upstream that led here by an internal
 * redirect forbids a shared cache to store the result, otherwise 0, or
 * NGX_ERROR.  left is the configuration of the location that it came from, or
 * NULL if the cache is off there.  Called before the content phase of each location, for each
 * response on the way.
 */
ngx_int_t ngx_http_weir_cache_redirect_forbidden(ngx_http_request_t *r,
    ngx_http_weir_cache_loc_conf_t *left);

/*
 * redirect: X-Accel-Expires of the upstream's response, in seconds from now; 0:
 * the response must not be stored.  NGX_OK, or NGX_DECLINED if the field is
 * absent or invalid.
 */
ngx_int_t ngx_http_weir_cache_redirect_accel_expires(ngx_http_request_t *r,
    int64_t *seconds);

/*
 * redirect: called before the upstream is asked: notes the header lines that
 * are not the upstream's.
 */
void ngx_http_weir_cache_redirect_note_lines(ngx_http_weir_cache_ctx_t *ctx);

/*
 * uri: the key that another URI, from a header, would have in that location:
 * own, the request's key, with that URI in place of its own.  nth: of several
 * occurrences of the request's URI in the key, which one is replaced, from 0.
 * Allocated from the request's pool.  NGX_OK, NGX_DECLINED (another origin, or
 * the key has fewer occurrences of the URI as requested), or NGX_ERROR (no
 * memory).
 */
ngx_int_t ngx_http_weir_cache_uri_key(ngx_http_request_t *r,
    ngx_http_weir_cache_loc_conf_t *clcf, ngx_str_t *own, ngx_str_t *reference,
    ngx_uint_t nth, ngx_str_t *key);


#endif /* _NGX_HTTP_WEIR_CACHE_LOOKUP_H_INCLUDED_ */
