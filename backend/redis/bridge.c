#include "redis/bridge.h"

#include "log/alloc.h"

#include <assert.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPT_MS 100 /* for a server to accept our certificate or not, if it does not say so */
#define WAITING_MAX 1048576 /* bytes on the way to one side; then the other side is not read */

struct weir_bridge {
    struct bufferevent *server, *client; /* TLS; hiredis' side */
    struct event *open;                  /* a timer: from then on hiredis' bytes are sent */
    bool ended;                          /* the server has closed */
    void (*failed)(const char *why, void *arg);
    void *arg;
};

static size_t waiting(struct bufferevent *bev)
{
    return evbuffer_get_length(bufferevent_get_output(bev));
}

static struct bufferevent *other(const weir_bridge_t *b, const struct bufferevent *bev)
{
    return bev == b->server ? b->client : b->server;
}

static void close_client(weir_bridge_t *b)
{
    if (b->client != NULL)
        bufferevent_free(b->client);
    b->client = NULL;
}

static void on_read(struct bufferevent *from, void *arg)
{
    weir_bridge_t *b = arg;
    struct bufferevent *to = other(b, from);

    if (to == NULL)
        return;
    bufferevent_write_buffer(to, bufferevent_get_input(from));
    if (waiting(to) > WAITING_MAX)
        bufferevent_disable(from, EV_READ);
}

static bool is_open(const weir_bridge_t *b)
{
    return SSL_is_init_finished(bufferevent_openssl_get_ssl(b->server)) &&
           !evtimer_pending(b->open, NULL);
}

/* All that waited was sent. */
static void on_sent(struct bufferevent *to, void *arg)
{
    weir_bridge_t *b = arg;
    struct bufferevent *from = other(b, to);

    if (b->ended && to == b->client)
        close_client(b);
    else if (from != NULL && !b->ended && (from == b->server || is_open(b)))
        bufferevent_enable(from, EV_READ);
}

static void fail(weir_bridge_t *b, const char *why)
{
    void (*failed)(const char *, void *) = b->failed;

    b->failed = NULL;
    if (failed != NULL)
        failed(why, b->arg);
}

static void on_server_error(weir_bridge_t *b)
{
    int error = EVUTIL_SOCKET_ERROR();
    unsigned long code = bufferevent_get_openssl_error(b->server);
    long verified = SSL_get_verify_result(bufferevent_openssl_get_ssl(b->server));
    char why[256];

    if (verified != X509_V_OK)
        snprintf(why, sizeof(why), "TLS: the server's certificate is refused: %s",
                 X509_verify_cert_error_string(verified));
    else if (code != 0 && ERR_reason_error_string(code) != NULL)
        snprintf(why, sizeof(why), "TLS: %s", ERR_reason_error_string(code));
    else
        snprintf(why, sizeof(why), "%s", error != 0 ? strerror(error) : "closed");
    ERR_clear_error();
    fail(b, why);
}

static void on_open(evutil_socket_t fd, short what, void *arg)
{
    weir_bridge_t *b = arg;

    (void)fd;
    (void)what;
    if (b->client != NULL)
        bufferevent_enable(b->client, EV_READ);
}

/* A ticket shows that the server has accepted our certificate. */
static void on_message(int sent, int version, int type, const void *message, size_t len, SSL *ssl,
                       void *arg)
{
    weir_bridge_t *b = arg;

    (void)version;
    (void)ssl;
    if (!sent && type == SSL3_RT_HANDSHAKE && len > 0 &&
        *(const unsigned char *)message == SSL3_MT_NEWSESSION_TICKET)
        event_active(b->open, EV_TIMEOUT, 0);
}

/*
 * With TLS 1.3 the client's handshake ends before the server has seen its certificate. A server
 * that refuses it sends an alert and closes; what we had sent by then would make it reset the
 * connection, and the alert, which says why, be lost. So nothing is sent until the server has
 * spoken, or for a moment.
 */
static void on_connected(weir_bridge_t *b, const SSL *ssl)
{
    static const struct timeval moment = {0, ACCEPT_MS * 1000};

    if (SSL_version(ssl) < TLS1_3_VERSION)
        event_active(b->open, EV_TIMEOUT, 0);
    else
        evtimer_add(b->open, &moment);
}

static void on_server_event(struct bufferevent *bev, short what, void *arg)
{
    weir_bridge_t *b = arg;
    SSL *ssl = bufferevent_openssl_get_ssl(bev);

    if (what & BEV_EVENT_CONNECTED) {
        on_connected(b, ssl);
        return;
    }
    if (what & BEV_EVENT_ERROR || !SSL_is_init_finished(ssl)) {
        on_server_error(b);
        return;
    }
    b->ended = true;
    if (b->client != NULL && waiting(b->client) == 0)
        close_client(b);
}

/* hiredis has closed its end, and frees the bridge itself. */
static void on_client_event(struct bufferevent *bev, short what, void *arg)
{
    (void)what;
    (void)arg;
    bufferevent_disable(bev, EV_READ | EV_WRITE);
}

static const char *put_in_place(int pair, int fd, int *real)
{
    int flags = fcntl(fd, F_GETFD);

    *real = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (*real < 0 || dup3(pair, fd, flags & FD_CLOEXEC ? O_CLOEXEC : 0) < 0)
        return strerror(errno);

    return NULL;
}

weir_bridge_t *weir_bridge_new(struct event_base *base, weir_tls_t *tls, int fd, const char *host,
                               void (*failed)(const char *why, void *arg), void *arg,
                               const char **error)
{
    weir_bridge_t *b;
    int pair[2], real = -1;
    SSL *ssl;

    assert(fd >= 0 && failed != NULL);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0) {
        *error = strerror(errno);
        return NULL;
    }
    *error = put_in_place(pair[0], fd, &real);
    close(pair[0]);
    ssl = *error == NULL ? weir_tls_connect(tls, real, host) : NULL;
    if (ssl == NULL) {
        if (*error == NULL)
            *error = "no memory for TLS, or the host is no name";
        if (real >= 0)
            close(real);
        close(pair[1]);
        return NULL;
    }
    b = weir_alloc(sizeof(*b));
    b->failed = failed;
    b->arg = arg;
    b->open = weir_alloc_check(evtimer_new(base, on_open, b));
    b->server = weir_alloc_check(bufferevent_openssl_socket_new(
        base, real, ssl, BUFFEREVENT_SSL_CONNECTING, BEV_OPT_CLOSE_ON_FREE));
    b->client = weir_alloc_check(bufferevent_socket_new(base, pair[1], BEV_OPT_CLOSE_ON_FREE));
    bufferevent_setcb(b->server, on_read, on_sent, on_server_event, b);
    bufferevent_setcb(b->client, on_read, on_sent, on_client_event, b);
    bufferevent_enable(b->server, EV_READ | EV_WRITE);
    bufferevent_enable(b->client, EV_WRITE);
    SSL_set_msg_callback(ssl, on_message);
    SSL_set_msg_callback_arg(ssl, b);

    return b;
}

void weir_bridge_free(weir_bridge_t *b)
{
    if (b == NULL)
        return;

    event_free(b->open);
    SSL_set_msg_callback(bufferevent_openssl_get_ssl(b->server), NULL);
    bufferevent_free(b->server);
    close_client(b);
    free(b);
}
