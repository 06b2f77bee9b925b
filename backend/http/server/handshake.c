/*
 * The TLS handshakes of new connections. A handshake costs as much time as many requests, and
 * anyone who reaches the port can begin one, so:
 *
 *   - in a turn of the event loop at most AT_ONCE steps are made, in the order in which their bytes
 *     have come; requests of other connections are answered between the turns;
 *   - a connection has WEIR_HTTP_HANDSHAKE_LIMIT_S for its handshake;
 *   - WEIR_HTTP_HANDSHAKES_MAX are under way at most, and half of all connections: one more ends
 *     the oldest, which has had the most time.
 */
#include "http/server/handshake.h"
#include "http/server/private.h"

#include "log/alloc.h"

#include <assert.h>
#include <event2/event.h>
#include <openssl/err.h>

#define AT_ONCE 4

static void take_turn(weir_http_t *http)
{
    static const struct timeval next_turn = {0, 0};

    if (!TAILQ_EMPTY(&http->ready) && !evtimer_pending(http->turn, NULL))
        evtimer_add(http->turn, &next_turn);
}

static void step(connection_t *c)
{
    assert(c->state == CONNECTION_HANDSHAKE && c->ssl != NULL);
    switch (weir_tls_handshake(c->http->tls, c->ssl)) {
    case WEIR_TLS_WANTS_READ:
        weir_connection_watch(c);
        break;
    case WEIR_TLS_WANTS_WRITE:
        if (event_add(c->writable, NULL) != 0)
            weir_connection_close(c);
        break;
    case WEIR_TLS_DONE:
        c->ends = weir_tls_client_ends(c->ssl);
        weir_connection_enter(c, CONNECTION_IDLE, WEIR_HTTP_IDLE_LIMIT_S);
        weir_connection_hold(c);
        c->may_have_more = true; /* the first request may have come with the handshake's end */
        weir_connection_watch(c);
        if (c->state == CONNECTION_IDLE)
            c->http->calls.shaken(c);
        weir_connection_let_go(c);
        break;
    case WEIR_TLS_FAILED:
        c->broken = true;
        weir_connection_linger(c); /* else the client could lose the alert that says why */
        break;
    }
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    weir_http_t *http = arg;
    connection_t *c;

    (void)fd;
    (void)what;
    for (int i = 0; i < AT_ONCE && (c = TAILQ_FIRST(&http->ready)) != NULL; i++) {
        weir_connection_unready(c);
        step(c);
    }
    take_turn(http);
}

void weir_handshake_ready(connection_t *c)
{
    assert(c->state == CONNECTION_HANDSHAKE);
    if (c->ready)
        return;
    c->ready = true;
    TAILQ_INSERT_TAIL(&c->http->ready, c, ready_link);
    take_turn(c->http);
}

/* At least one, and at most half of all connections. */
static unsigned handshakes_max(const weir_http_t *http)
{
    unsigned half = http->connections_max / 2;

    return half < WEIR_HTTP_HANDSHAKES_MAX ? half : WEIR_HTTP_HANDSHAKES_MAX;
}

void weir_handshake_make_room(weir_http_t *http)
{
    connection_t *c = TAILQ_FIRST(&http->handshaking);

    if (c == NULL || http->n_handshaking < handshakes_max(http))
        return;
    weir_tls_ended(http->tls, WEIR_TLS_CROWDED);
    weir_connection_close(c);
}

void weir_handshake_expired(connection_t *c)
{
    weir_tls_ended(c->http->tls, WEIR_TLS_TIMED_OUT);
    weir_connection_close(c);
}

void weir_handshake_open(weir_http_t *http)
{
    TAILQ_INIT(&http->handshaking);
    TAILQ_INIT(&http->ready);
    http->turn = weir_alloc_check(evtimer_new(http->base, on_turn, http));
}
