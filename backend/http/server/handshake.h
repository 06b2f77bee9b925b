/* The TLS handshakes of new connections. */
#ifndef WEIR_HTTP_HANDSHAKE_H
#define WEIR_HTTP_HANDSHAKE_H

#include "http/server/private.h"

/* Makes the lists of a server. */
void weir_handshake_open(weir_http_t *http);
/* Ends the oldest handshake if there are too many for a new one. */
void weir_handshake_make_room(weir_http_t *http);
/* For connection_calls_t. */
void weir_handshake_ready(connection_t *c);
/* Ends one that took too long. */
void weir_handshake_expired(connection_t *c);

#endif
