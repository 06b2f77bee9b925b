/*
 * When a document is fetched, and its result.  Each worker has a timer.  If a
 * fetch is due, or a request of the worker needs one, the first worker that
 * takes the claim fetches; the others see that its fetch has ended.
 *
 * A document replaces the set only if it is complete, of status 200, at most
 * WEIR_JWKS_MAX bytes, and a JWK Set with a key that the issuer may use.  The
 * checks of its keys take some ms each, so each of them is a turn of the event
 * loop.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "auth/keys/ngx_http_weir_jwt_keys_private.h"
#include "auth/keys/schedule.h"
#include "http/ngx_http_weir_assert.h"
#include "http/ngx_http_weir_clock.h"


/* Room for the head and the framing of an answer. */
#define NGX_HTTP_WEIR_JWT_KEYS_ANSWER  (WEIR_JWKS_MAX + 65536)


static void ngx_http_weir_jwt_keys_tick_handler(ngx_event_t *ev);
static void ngx_http_weir_jwt_keys_look(ngx_http_weir_jwt_keys_t *keys);
static void ngx_http_weir_jwt_keys_fetch(ngx_http_weir_jwt_keys_t *keys);
static void ngx_http_weir_jwt_keys_arm(ngx_http_weir_jwt_keys_t *keys);
static ngx_uint_t ngx_http_weir_jwt_keys_needs(ngx_http_weir_jwt_keys_t *keys);
static void ngx_http_weir_jwt_keys_reread(ngx_http_weir_jwt_keys_t *keys);
static void ngx_http_weir_jwt_keys_request(ngx_http_weir_jwt_keys_t *keys);
static void ngx_http_weir_jwt_keys_answered(ngx_http_weir_client_t *client,
    ngx_http_weir_client_outcome_t *outcome);
static const char *ngx_http_weir_jwt_keys_fault(weir_answer_t *answer,
    char why[WEIR_JWKS_WHY_MAX]);
static void ngx_http_weir_jwt_keys_offer(ngx_http_weir_jwt_keys_t *keys,
    weir_str_t document);
static void ngx_http_weir_jwt_keys_check_handler(ngx_event_t *ev);
static void ngx_http_weir_jwt_keys_good(ngx_http_weir_jwt_keys_t *keys,
    ngx_http_weir_jwt_fetch_e result);
static void ngx_http_weir_jwt_keys_bad(ngx_http_weir_jwt_keys_t *keys,
    ngx_http_weir_jwt_fetch_e result, const char *fault, const char *detail,
    ngx_err_t err);
static void ngx_http_weir_jwt_keys_end(ngx_http_weir_jwt_keys_t *keys,
    ngx_uint_t abandoned);


void
ngx_http_weir_jwt_keys_start(ngx_http_weir_jwt_keys_t *keys)
{
    ngx_http_weir_assert(keys->sh != NULL && !keys->stopped);

    keys->started = 1;

    ngx_http_weir_jwt_wait_init(&keys->waits, NGX_HTTP_WEIR_JWT_KEYS_WAITS,
                                NGX_HTTP_WEIR_JWT_KEYS_WAIT);

    keys->client.server = &keys->server;
    keys->client.data = keys;
    keys->client.answer_max = NGX_HTTP_WEIR_JWT_KEYS_ANSWER;

    keys->tick.handler = ngx_http_weir_jwt_keys_tick_handler;
    keys->tick.data = keys;
    keys->tick.log = ngx_cycle->log;
    keys->tick.cancelable = 1;

    keys->check.handler = ngx_http_weir_jwt_keys_check_handler;
    keys->check.data = keys;
    keys->check.log = ngx_cycle->log;

    ngx_add_timer(&keys->tick, 1);
}


void
ngx_http_weir_jwt_keys_stop(void *data)
{
    ngx_http_weir_jwt_keys_t *keys = data;

    if (!keys->started || keys->stopped) {
        return;
    }

    keys->stopped = 1;

    if (keys->number) {
        ngx_http_weir_jwt_keys_end(keys, 1);
    }

    if (keys->tick.timer_set) {
        ngx_del_timer(&keys->tick);
    }
}


static void
ngx_http_weir_jwt_keys_tick_handler(ngx_event_t *ev)
{
    ngx_http_weir_jwt_keys_t *keys = ev->data;

    ngx_http_weir_jwt_keys_look(keys);
    ngx_http_weir_jwt_keys_fetch(keys);
    ngx_http_weir_jwt_keys_arm(keys);
}


/* What other processes have done. */

static void
ngx_http_weir_jwt_keys_look(ngx_http_weir_jwt_keys_t *keys)
{
    uint64_t  ended, generation;

    ended = ngx_http_weir_jwt_keys_get(&keys->sh->ended);
    generation = ngx_http_weir_jwt_keys_get(&keys->sh->generation);

    if (generation != keys->generation) {
        ngx_http_weir_jwt_keys_take(keys);
    }

    if (ended != keys->seen_ended || generation != keys->seen_generation) {
        keys->seen_ended = ended;
        keys->seen_generation = generation;

        ngx_http_weir_jwt_wait_wake(&keys->waits);
    }
}


/* Begins a fetch, if one is due or needed, and no other process does it. */

static void
ngx_http_weir_jwt_keys_fetch(ngx_http_weir_jwt_keys_t *keys)
{
    if (keys->number || keys->stopped) {
        return;
    }

    /* what is due is a matter of the workers that stay */

    if ((ngx_exiting
         || ngx_http_weir_ms() < ngx_http_weir_jwt_keys_get(&keys->sh->due))
        && !ngx_http_weir_jwt_keys_needs(keys))
    {
        return;
    }

    if (!ngx_http_weir_jwt_keys_zone_claim(keys)) {
        return;
    }

    if (keys->remote) {
        ngx_http_weir_jwt_keys_request(keys);

    } else {
        ngx_http_weir_jwt_keys_reread(keys);
    }
}


/* True if a request waits for a fetch that has not ended yet. */

static ngx_uint_t
ngx_http_weir_jwt_keys_needs(ngx_http_weir_jwt_keys_t *keys)
{
    return keys->waits.n
           && ngx_http_weir_jwt_keys_get(&keys->sh->ended) < keys->wanted;
}


static void
ngx_http_weir_jwt_keys_arm(ngx_http_weir_jwt_keys_t *keys)
{
    uint64_t    now, due;
    ngx_msec_t  delay;

    if (keys->stopped) {
        return;
    }

    delay = NGX_HTTP_WEIR_JWT_KEYS_TICK;

    if (keys->waits.n) {
        delay = NGX_HTTP_WEIR_JWT_KEYS_POLL;

    } else if (keys->number == 0) {
        now = ngx_http_weir_ms();
        due = ngx_http_weir_jwt_keys_get(&keys->sh->due);

        if (due > now && due - now < delay) {
            delay = due - now;
        }
    }

    ngx_add_timer(&keys->tick, delay);
}


void
ngx_http_weir_jwt_keys_want(ngx_http_weir_jwt_keys_t *keys)
{
    if (keys->waits.n == 1) {

        if (keys->tick.timer_set) {
            ngx_del_timer(&keys->tick);
        }

        /* not from here: a fetch may end at once, and wake the request */

        ngx_add_timer(&keys->tick, 1);
    }
}


/* The file. */

static void
ngx_http_weir_jwt_keys_reread(ngx_http_weir_jwt_keys_t *keys)
{
    size_t                          len;
    u_char                         *buf;
    ngx_int_t                       rc;
    ngx_err_t                       err;
    weir_str_t                      document;
    const char                     *fault;
    ngx_http_weir_jwt_keys_stat_t   seen;

    buf = ngx_alloc(WEIR_JWKS_MAX + 1, ngx_cycle->log);
    if (buf == NULL) {
        ngx_http_weir_jwt_keys_bad(keys, NGX_HTTP_WEIR_JWT_FETCH_FAILED,
                                   "no memory", NULL, 0);
        return;
    }

    ngx_http_weir_jwt_keys_zone_stat(keys, &seen, 0);

    rc = ngx_http_weir_jwt_keys_file(keys, buf, &len, &seen, &fault, &err);

    if (rc == NGX_ERROR) {
        ngx_free(buf);
        ngx_http_weir_jwt_keys_bad(keys, NGX_HTTP_WEIR_JWT_FETCH_FAILED, fault,
                                   NULL, err);
        return;
    }

    if (rc == NGX_DECLINED) {
        /* as before, be it good or not */
        ngx_free(buf);
        ngx_http_weir_jwt_keys_set(&keys->sh->due,
                                   ngx_http_weir_ms() + keys->refresh);
        ngx_http_weir_jwt_keys_end(keys, 0);
        return;
    }

    ngx_http_weir_jwt_keys_zone_stat(keys, &seen, 1);

    document.data = (char *) buf;
    document.len = len;
    keys->buf = buf;

    ngx_http_weir_jwt_keys_offer(keys, document);
}


/* The URL. */

static void
ngx_http_weir_jwt_keys_request(ngx_http_weir_jwt_keys_t *keys)
{
    ngx_http_weir_client_request_t  request;

    ngx_memzero(&request, sizeof(ngx_http_weir_client_request_t));
    request.head = &keys->head;

    keys->client.quiet = ngx_http_weir_jwt_keys_get(&keys->sh->state)
                         == NGX_HTTP_WEIR_JWT_KEYS_FAILING;

    ngx_http_weir_client_send(&keys->client, &request,
                              ngx_http_weir_jwt_keys_answered);
}


static void
ngx_http_weir_jwt_keys_answered(ngx_http_weir_client_t *client,
    ngx_http_weir_client_outcome_t *outcome)
{
    char                       why[WEIR_JWKS_WHY_MAX];
    weir_str_t                 document;
    const char                *fault;
    ngx_http_weir_jwt_keys_t  *keys;

    keys = client->data;

    if (outcome->how != NGX_HTTP_WEIR_CLIENT_ANSWERED) {
        ngx_http_weir_jwt_keys_bad(keys, NGX_HTTP_WEIR_JWT_FETCH_FAILED,
                                   outcome->fault, outcome->detail,
                                   outcome->err);
        return;
    }

    fault = ngx_http_weir_jwt_keys_fault(client->answer, why);

    if (fault) {
        ngx_http_weir_jwt_keys_bad(keys, NGX_HTTP_WEIR_JWT_FETCH_REFUSED, fault,
                                   NULL, 0);
        return;
    }

    document.data = client->answer->body;
    document.len = client->answer->body_len;

    ngx_http_weir_jwt_keys_offer(keys, document);
}


/* Of an answer whose body is not looked at; NULL: none. */

static const char *
ngx_http_weir_jwt_keys_fault(weir_answer_t *answer,
    char why[WEIR_JWKS_WHY_MAX])
{
    if (answer->status != NGX_HTTP_OK) {
        (void) ngx_snprintf((u_char *) why, WEIR_JWKS_WHY_MAX,
                            "its status is %ui%s%Z",
                            (ngx_uint_t) answer->status,
                            answer->status / 100 == 3
                            ? ", and redirects are not followed: use the URL"
                              " that it leads to"
                            : "");
        return why;
    }

    if (answer->encoded) {
        return "it has a Content-Encoding that was not asked for";
    }

    return NULL;
}


/* A document is there: keys->document and what follows, or its end. */

static void
ngx_http_weir_jwt_keys_offer(ngx_http_weir_jwt_keys_t *keys,
    weir_str_t document)
{
    char  why[WEIR_JWKS_WHY_MAX];

    ngx_http_weir_jwt_keys_digest(document, keys->candidate_digest);

    if (ngx_http_weir_jwt_keys_zone_has(keys, keys->candidate_digest)) {
        ngx_http_weir_jwt_keys_good(keys, NGX_HTTP_WEIR_JWT_FETCH_UNCHANGED);
        return;
    }

    if (!weir_jwks_read(document, &keys->candidate, why)
        || !ngx_http_weir_jwt_keys_fit(keys, &keys->candidate, why))
    {
        ngx_http_weir_jwt_keys_bad(keys, NGX_HTTP_WEIR_JWT_FETCH_REFUSED, why,
                                   NULL, 0);
        return;
    }

    keys->document = document;
    keys->checked = 0;

    ngx_post_event(&keys->check, &ngx_posted_next_events);
}


/* One key. */

static void
ngx_http_weir_jwt_keys_check_handler(ngx_event_t *ev)
{
    char                       why[WEIR_JWKS_WHY_MAX];
    ngx_http_weir_jwt_keys_t  *keys;

    keys = ev->data;

    ngx_http_weir_assert(keys->number && keys->candidate.n);

    if (!weir_jwks_check(&keys->candidate, keys->checked, why)) {
        ngx_http_weir_jwt_keys_bad(keys, NGX_HTTP_WEIR_JWT_FETCH_REFUSED, why,
                                   NULL, 0);
        return;
    }

    if (++keys->checked < keys->candidate.n) {
        ngx_post_event(&keys->check, &ngx_posted_next_events);
        return;
    }

    ngx_http_weir_jwt_keys_good(keys, NGX_HTTP_WEIR_JWT_FETCH_CHANGED);
}


static void
ngx_http_weir_jwt_keys_good(ngx_http_weir_jwt_keys_t *keys,
    ngx_http_weir_jwt_fetch_e result)
{
    int64_t                       freshness;
    uint64_t                      now, generation;
    ngx_http_weir_jwt_keys_sh_t  *sh;

    sh = keys->sh;

    if (!ngx_http_weir_jwt_keys_zone_owns(keys)) {
        /* it took too long, and another process fetches */
        ngx_http_weir_jwt_keys_end(keys, 1);
        return;
    }

    if (result == NGX_HTTP_WEIR_JWT_FETCH_CHANGED) {
        generation = ngx_http_weir_jwt_keys_zone_put(keys, keys->document,
                                                     keys->candidate_digest,
                                                     keys->candidate.n);
        ngx_http_weir_jwt_keys_adopt(keys, &keys->candidate,
                                     keys->candidate_digest, generation);
    }

    now = ngx_http_weir_ms();
    freshness = keys->remote ? weir_answer_freshness(keys->client.answer) : -1;

    ngx_http_weir_jwt_keys_set(&sh->confirmed, now);
    ngx_http_weir_jwt_keys_set(&sh->failures, 0);
    ngx_http_weir_jwt_keys_set(&sh->due,
                               now + weir_keys_refresh_after(freshness,
                                                             keys->refresh,
                                                             ngx_random()));
    ngx_http_weir_jwt_keys_add(&sh->fetches[result]);

    ngx_http_weir_jwt_keys_log(keys, result, NULL, NULL, 0);
    ngx_http_weir_jwt_keys_end(keys, 0);
}


static void
ngx_http_weir_jwt_keys_bad(ngx_http_weir_jwt_keys_t *keys,
    ngx_http_weir_jwt_fetch_e result, const char *fault, const char *detail,
    ngx_err_t err)
{
    int64_t                       after;
    uint64_t                      failures;
    ngx_http_weir_jwt_keys_sh_t  *sh;

    sh = keys->sh;

    if (!ngx_http_weir_jwt_keys_zone_owns(keys)) {
        ngx_http_weir_jwt_keys_end(keys, 1);
        return;
    }

    failures = ngx_http_weir_jwt_keys_get(&sh->failures) + 1;
    after = -1;

    if (keys->remote && result == NGX_HTTP_WEIR_JWT_FETCH_REFUSED) {
        after = weir_answer_retry_after(keys->client.answer, ngx_time());
    }

    ngx_http_weir_jwt_keys_set(&sh->failures, failures);
    ngx_http_weir_jwt_keys_set(&sh->due,
                               ngx_http_weir_ms()
                               + weir_keys_retry_after(failures, after,
                                                       ngx_random()));
    ngx_http_weir_jwt_keys_add(&sh->fetches[result]);

    ngx_http_weir_jwt_keys_log(keys, result, fault, detail, err);
    ngx_http_weir_jwt_keys_end(keys, 0);
}


/* The fetch of this process is over. */

static void
ngx_http_weir_jwt_keys_end(ngx_http_weir_jwt_keys_t *keys, ngx_uint_t abandoned)
{
    if (keys->check.posted) {
        ngx_delete_posted_event(&keys->check);
    }

    weir_jwks_release(&keys->candidate);

    ngx_http_weir_client_close(&keys->client);
    ngx_http_weir_client_free(&keys->client);

    if (keys->buf) {
        ngx_free(keys->buf);
        keys->buf = NULL;
    }

    ngx_http_weir_jwt_keys_zone_release(keys, abandoned);

    if (!keys->stopped) {
        ngx_http_weir_jwt_keys_look(keys);

        if (!keys->tick.timer_set) {
            /* within the tick's handler, which sets it */
            return;
        }

        ngx_del_timer(&keys->tick);
        ngx_http_weir_jwt_keys_arm(keys);
    }
}
