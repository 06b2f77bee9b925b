/*
 * When a worker verifies signatures; see ngx_http_weir_jwt_turn.h.
 *
 * Invariant: while requests wait, the event is posted, or its timer is set.
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

/* ms, from the beginning of this turn of the event loop, after which there is
   time again */
#define NGX_HTTP_WEIR_JWT_TURN_PAUSE  2


/* Of this process. */
typedef struct {
    weir_fair_t                    fair;
    ngx_http_weir_jwt_wait_list_t  list;
    ngx_event_t                    event;
    int64_t                        left;   /* ns for verifying */
    uint64_t                       last;   /* ns: left is that of then */
} ngx_http_weir_jwt_turns_t;


static void ngx_http_weir_jwt_turn_key(ngx_http_request_t *r,
    uint8_t key[WEIR_FAIR_KEY]);
static void ngx_http_weir_jwt_turn_handler(ngx_event_t *ev);
static ngx_uint_t ngx_http_weir_jwt_turn_has_time(
    ngx_http_weir_jwt_turns_t *turns);
static void ngx_http_weir_jwt_turn_verify(ngx_http_weir_jwt_turns_t *turns,
    ngx_http_weir_jwt_turn_t *turn);


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
    turns->last = ngx_http_weir_ns();

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

    if (turns->event.timer_set) {
        ngx_del_timer(&turns->event);
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

    if (!turns->event.posted && !turns->event.timer_set) {
        ngx_post_event(&turns->event, &ngx_posted_events);
    }

    return NGX_AGAIN;
}


/*
 * An address of IPv4, or the network of an address of IPv6, as hosts have /64.
 * A socket with ipv6only=off shows the former within the latter, where all of
 * them are one network.
 */

static void
ngx_http_weir_jwt_turn_key(ngx_http_request_t *r, uint8_t key[WEIR_FAIR_KEY])
{
    struct sockaddr  *sa;
#if (NGX_HAVE_INET6)
    struct in6_addr  *in6;
#endif

    ngx_memzero(key, WEIR_FAIR_KEY);

    sa = r->connection->sockaddr;
    key[0] = (uint8_t) sa->sa_family;

    switch (sa->sa_family) {

#if (NGX_HAVE_INET6)
    case AF_INET6:
        in6 = &((struct sockaddr_in6 *) sa)->sin6_addr;

        if (IN6_IS_ADDR_V4MAPPED(in6)) {
            key[0] = AF_INET;
            ngx_memcpy(&key[1], &in6->s6_addr[12], 4);
            break;
        }

        ngx_memcpy(&key[1], in6, 8);
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
    ngx_http_weir_jwt_turns_t  *turns;

    turns = ngx_http_weir_jwt_turns;

    if (turns == NULL || turns->fair.n
        || !ngx_http_weir_jwt_turn_has_time(turns))
    {
        return 0;
    }

    ngx_http_weir_jwt_turn_verify(turns, turn);

    return 1;
}


static void
ngx_http_weir_jwt_turn_handler(ngx_event_t *ev)
{
    ngx_uint_t                  n;
    weir_fair_item_t           *item;
    ngx_http_weir_record_t     *record;
    ngx_http_weir_jwt_turn_t   *turn;
    ngx_http_weir_jwt_turns_t  *turns = ev->data;

    n = 0;

    while (turns->fair.n && ngx_http_weir_jwt_turn_has_time(turns)) {

        item = weir_fair_next(&turns->fair);
        turn = (ngx_http_weir_jwt_turn_t *) item;

        if (ngx_http_weir_jwt_wait_state(turn->wait, &turns->list)
            != NGX_HTTP_WEIR_JWT_WAIT_WAITING)
        {
            /* its time has passed, or it ends */
            continue;
        }

        record = ngx_http_weir_record(turn->request);

        if (record) {
            ngx_http_weir_usage_run(&record->ran, ngx_http_weir_ticks());
        }

        ngx_http_weir_jwt_turn_verify(turns, turn);
        ngx_http_weir_jwt_wait_wake_one(turn->wait);
        n++;
    }

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, ev->log, 0,
                   "weir_jwt: %ui verified in turn, %uz wait",
                   n, turns->fair.n);

    if (turns->fair.n) {
        ngx_add_timer(ev, NGX_HTTP_WEIR_JWT_TURN_PAUSE);
    }
}


/* Half of the time that has passed is for verifying. */

static ngx_uint_t
ngx_http_weir_jwt_turn_has_time(ngx_http_weir_jwt_turns_t *turns)
{
    uint64_t  now;

    now = ngx_http_weir_ns();

    if (now > turns->last) {
        turns->left += ngx_min((now - turns->last) / 2,
                               NGX_HTTP_WEIR_JWT_TURN_NS);
        turns->left = ngx_min(turns->left, NGX_HTTP_WEIR_JWT_TURN_NS);
        turns->last = now;
    }

    return turns->left > 0;
}


static void
ngx_http_weir_jwt_turn_verify(ngx_http_weir_jwt_turns_t *turns,
    ngx_http_weir_jwt_turn_t *turn)
{
    uint64_t  start;

    start = ngx_http_weir_ns();

    turn->verify(turn);
    turn->verified = 1;

    turns->left -= ngx_http_weir_ns() - start;
}
