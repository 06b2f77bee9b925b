/* The simulator's listener, with mutual TLS if a folder of certificates is given. */
#include "http/listen.h"

#include "log/alloc.h"
#include "sim/sim.h"
#include "tls/tls.h"

#include <event2/bufferevent_ssl.h>
#include <event2/listener.h>

/*
 * Without free descriptors the listener stays readable: retrying at once would be a busy loop. The
 * argument is libevent's evhttp, which has bound the listener.
 */
static void on_accept_again(evutil_socket_t fd, short what, void *listener)
{
    (void)fd;
    (void)what;
    evconnlistener_enable(listener);
}

static void on_accept_error(struct evconnlistener *listener, void *of_evhttp)
{
    static const struct timeval pause = {0, 100000};

    (void)of_evhttp;
    if (event_base_once(evconnlistener_get_base(listener), -1, EV_TIMEOUT, on_accept_again,
                        listener, &pause) == 0)
        evconnlistener_disable(listener);
}

/*
 * The server's side of a connection; libevent frees it. Without a handshake no request is seen, and
 * the handshake is refused as by the backend's listeners.
 */
static struct bufferevent *make_tls(struct event_base *base, void *arg)
{
    SSL *ssl = weir_tls_accept_later(arg);
    struct bufferevent *made =
        ssl != NULL ? bufferevent_openssl_socket_new(base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING,
                                                     BEV_OPT_CLOSE_ON_FREE)
                    : NULL;

    if (made == NULL)
        SSL_free(ssl);
    else
        bufferevent_openssl_set_allow_dirty_shutdown(made, 1);
    return made;
}

static bool use_tls(sim_t *sim, struct evhttp *http, const char *folder, const char *names,
                    char *error, size_t error_size)
{
    /* They live as long as the process. */
    const weir_tls_settings_t settings = {
        .use = "payments",
        .is_server = true,
        .certificate = weir_alloc_format("%s/tls.crt", folder),
        .key = weir_alloc_format("%s/tls.key", folder),
        .ca = weir_alloc_format("%s/ca.crt", folder),
        .names = names,
    };
    weir_tls_t *tls = weir_tls_new(sim->base, &settings, error, error_size);

    if (tls == NULL)
        return false;
    evhttp_set_bevcb(http, make_tls, tls);
    return true;
}

bool sim_listen(sim_t *sim, const char *address, const char *folder, const char *names, char *error,
                size_t error_size)
{
    struct evhttp *http = evhttp_new(sim->base);
    struct evconnlistener *listener;
    int fd = weir_listen(address, error, error_size);

    if (fd < 0)
        return false;
    listener = evconnlistener_new(sim->base, NULL, NULL,
                                  LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    if (http == NULL || listener == NULL || evhttp_bind_listener(http, listener) == NULL) {
        snprintf(error, error_size, "cannot listen on %s: out of memory", address);
        return false;
    }
    evconnlistener_set_error_cb(listener, on_accept_error);
    evhttp_set_max_headers_size(http, 16384);
    evhttp_set_max_body_size(http, 65536);
    if (folder != NULL && !use_tls(sim, http, folder, names, error, error_size))
        return false;
    evhttp_set_gencb(http, sim_on_request, sim);
    return true;
}
