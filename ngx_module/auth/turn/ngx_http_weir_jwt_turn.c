/*
 * The turn of the event loop in which signatures are verified; see
 * ngx_http_weir_jwt_turn.h.
 *
 * Invariant: the event is posted while anything waits or was verified in this
 * turn of the loop.  After a turn in which it has verified, it is posted to the
 * next one, so it runs once in each turn, however many requests come meanwhile.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "auth/turn/ngx_http_weir_jwt_turn.h"
#include "http/ngx_http_weir_clock.h"
#include "record/ngx_http_weir_record.h"


/* Requests that have lost their place are still there until they are resumed. */
#define NGX_HTTP_WEIR_JWT_TURN_WAITS  (2 * WEIR_FAIR_MAX)


/* Of this process. */
typedef struct {
    weir_fair_t                    fair;
    ngx_http_weir_jwt_wait_list_t  list;
    ngx_event_t                    event;
    uint64_t                       now;    /* ticks of _turn_now(), since the
                                              event has run */
} ngx_http_weir_jwt_turns_t;


static void ngx_http_weir_jwt_turn_key(ngx_http_request_t *r,
    uint8_t key[WEIR_FAIR_KEY]);
static void ngx_http_weir_jwt_turn_handler(ngx_event_t *ev);
static void ngx_http_weir_jwt_turn_verify(ngx_http_weir_jwt_turn_t *turn);


static ngx_http_weir_jwt_turns_t  *ngx_http_weir_jwt_turns;


ngx_int_t
ngx_http_weir_jwt_turn_init_process(ngx_log_t *log)
{
    ngx_http_weir_jwt_turns_t  *turns;

    turns = ngx_calloc(sizeof(ngx_http_weir_jwt_turns_t), log);
    if (turns == NULL) {
        return NGX_ERROR;
    }

    weir_fair_init(&turns->fair, ngx_http_weir_random());

    ngx_http_weir_jwt_wait_init(&turns->list, NGX_HTTP_WEIR_JWT_TURN_WAITS,
                                NGX_HTTP_WEIR_JWT_TURN_TIMEOUT);

    turns->event.handler = ngx_http_weir_jwt_turn_handler;
    turns->event.data = turns;
    turns->event.log = log;

    ngx_http_weir_jwt_turns = turns;

    return NGX_OK;
}


void
ngx_http_weir_jwt_turn_exit_process(void)
{
    ngx_http_weir_jwt_turns_t  *turns;

    turns = ngx_http_weir_jwt_turns;

    if (turns == NULL) {
        return;
    }

    if (turns->event.posted) {
        ngx_delete_posted_event(&turns->event);
    }

    ngx_free(turns);
    ngx_http_weir_jwt_turns = NULL;
}


ngx_int_t
ngx_http_weir_jwt_turn_take(ngx_http_request_t *r,
    ngx_http_weir_jwt_turn_t *turn, ngx_http_weir_jwt_wait_t *wait)
{
    uint8_t                     key[WEIR_FAIR_KEY];
    ngx_int_t                   rc;
    weir_fair_item_t           *item;
    ngx_http_weir_jwt_turn_t   *other;
    ngx_http_weir_jwt_turns_t  *turns;

    turns = ngx_http_weir_jwt_turns;

    if (turns == NULL) {
        return NGX_ERROR;
    }

    ngx_http_weir_jwt_turn_leave(turn);
    ngx_http_weir_jwt_turn_key(r, key);

    turn->request = r;
    turn->wait = wait;
    turn->verified = 0;

    item = weir_fair_add(&turns->fair, &turn->item, key);

    if (item == &turn->item) {
        return NGX_BUSY;
    }

    if (item) {
        other = (ngx_http_weir_jwt_turn_t *) item;
        ngx_http_weir_jwt_wait_wake_one(other->wait);
    }

    rc = ngx_http_weir_jwt_wait(r, wait, &turns->list);

    if (rc != NGX_AGAIN) {
        ngx_http_weir_jwt_turn_leave(turn);
        return rc;
    }

    if (!turns->event.posted) {
        ngx_post_event(&turns->event, &ngx_posted_events);
    }

    return NGX_AGAIN;
}


/* An address of IPv4, or the network of an address of IPv6, as hosts have /64. */

static void
ngx_http_weir_jwt_turn_key(ngx_http_request_t *r, uint8_t key[WEIR_FAIR_KEY])
{
    struct sockaddr  *sa;

    ngx_memzero(key, WEIR_FAIR_KEY);

    sa = r->connection->sockaddr;
    key[0] = (uint8_t) sa->sa_family;

    switch (sa->sa_family) {

#if (NGX_HAVE_INET6)
    case AF_INET6:
        ngx_memcpy(&key[1], &((struct sockaddr_in6 *) sa)->sin6_addr, 8);
        break;
#endif

    case AF_INET:
        ngx_memcpy(&key[1], &((struct sockaddr_in *) sa)->sin_addr, 4);
        break;

    default:
        break;
    }
}


ngx_uint_t
ngx_http_weir_jwt_turn_is_lost(ngx_http_weir_jwt_turn_t *turn,
    ngx_http_weir_jwt_wait_t *wait)
{
    ngx_http_weir_jwt_turns_t       *turns;
    ngx_http_weir_jwt_wait_state_e   state;

    turns = ngx_http_weir_jwt_turns;

    if (turns == NULL || turn->verified) {
        return 0;
    }

    state = ngx_http_weir_jwt_wait_state(wait, &turns->list);

    return state == NGX_HTTP_WEIR_JWT_WAIT_WOKEN
           || state == NGX_HTTP_WEIR_JWT_WAIT_EXPIRED;
}


void
ngx_http_weir_jwt_turn_leave(ngx_http_weir_jwt_turn_t *turn)
{
    if (ngx_http_weir_jwt_turns) {
        weir_fair_remove(&ngx_http_weir_jwt_turns->fair, &turn->item);
    }
}


ngx_uint_t
ngx_http_weir_jwt_turn_now(ngx_http_weir_jwt_turn_t *turn)
{
    uint64_t                    start;
    ngx_http_weir_jwt_turns_t  *turns;

    turns = ngx_http_weir_jwt_turns;

    if (turns == NULL || turns->fair.n
        || ngx_http_weir_clock_ns(turns->now) >= NGX_HTTP_WEIR_JWT_TURN_NS)
    {
        return 0;
    }

    start = ngx_http_weir_ticks();

    turn->verify(turn);
    turn->verified = 1;

    turns->now += ngx_http_weir_ticks() - start;

    if (!turns->event.posted) {
        ngx_post_event(&turns->event, &ngx_posted_next_events);
    }

    return 1;
}


static void
ngx_http_weir_jwt_turn_handler(ngx_event_t *ev)
{
    uint64_t                    start;
    ngx_uint_t                  n;
    weir_fair_item_t           *item;
    ngx_http_weir_jwt_turn_t   *turn;
    ngx_http_weir_jwt_turns_t  *turns = ev->data;

    turns->now = 0;
    start = ngx_http_weir_ticks();
    n = 0;

    while ((item = weir_fair_next(&turns->fair)) != NULL) {

        turn = (ngx_http_weir_jwt_turn_t *) item;

        if (ngx_http_weir_jwt_wait_state(turn->wait, &turns->list)
            != NGX_HTTP_WEIR_JWT_WAIT_WAITING)
        {
            /* its time has passed, or it ends */
            continue;
        }

        ngx_http_weir_jwt_turn_verify(turn);
        n++;

        if (ngx_http_weir_clock_ns(ngx_http_weir_ticks() - start)
            >= NGX_HTTP_WEIR_JWT_TURN_NS)
        {
            break;
        }
    }

    if (n == 0) {
        return;
    }

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, ev->log, 0,
                   "weir_jwt: %ui verified in this turn, %uz wait",
                   n, turns->fair.n);

    ngx_post_event(ev, &ngx_posted_next_events);
}


static void
ngx_http_weir_jwt_turn_verify(ngx_http_weir_jwt_turn_t *turn)
{
    ngx_http_weir_record_t  *record;

    record = ngx_http_weir_record(turn->request);

    if (record) {
        ngx_http_weir_usage_run(&record->ran, ngx_http_weir_ticks());
    }

    turn->verify(turn);
    turn->verified = 1;

    ngx_http_weir_jwt_wait_wake_one(turn->wait);
}
