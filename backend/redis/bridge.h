/*
 * TLS for a connection of hiredis, which has no TLS (0.14), or only in a library of its own (1.x).
 * hiredis gets one end of a pair of sockets; the bridge has the other one, and the connection to
 * the server. Used by redis.c alone.
 */
#ifndef WEIR_REDIS_BRIDGE_H
#define WEIR_REDIS_BRIDGE_H

#include "tls/tls.h"

#include <event2/event.h>

typedef struct weir_bridge weir_bridge_t;

/*
 * Takes the descriptor of a TCP connection, which may still be connecting, and puts the end of a
 * pair in its place, so that the number stays the same. failed is called once at most, from the
 * event loop, and may free the bridge; its text is for the log. When the server closes the
 * connection without a fault, the pair is closed instead. NULL with a reason (a constant): nothing
 * was changed.
 */
weir_bridge_t *weir_bridge_new(struct event_base *base, weir_tls_t *tls, int fd, const char *host,
                               void (*failed)(const char *why, void *arg), void *arg,
                               const char **error);
/* Closes both sides. NULL is allowed. */
void weir_bridge_free(weir_bridge_t *bridge);

#endif
