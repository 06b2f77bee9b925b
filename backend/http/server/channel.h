/* Bytes of a connection, in the clear or by TLS. */
#ifndef WEIR_HTTP_CHANNEL_H
#define WEIR_HTTP_CHANNEL_H

#include "http/server/private.h"

/* As recv(2): the number of bytes; 0 at their end; -1 with errno, EAGAIN if there are none now. */
ssize_t weir_channel_receive(connection_t *c, void *out, size_t size);
/* True if bytes are there that make the socket not readable. */
bool weir_channel_has_more(const connection_t *c);
/* As sendmsg(2); the second part may be empty. What is sent next must begin where this ended. */
ssize_t weir_channel_send(connection_t *c, const struct iovec parts[2]);
/* Drops bytes of a client that is not answered any more; returns as recv(2). */
ssize_t weir_channel_drop(const connection_t *c);
/* Says that nothing more is sent; false: the connection is lost. */
bool weir_channel_end(connection_t *c);
/* Closes the socket. */
void weir_channel_close(connection_t *c);

#endif
