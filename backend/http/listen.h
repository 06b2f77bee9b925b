/* Listening sockets by address. */
#ifndef WEIR_LISTEN_H
#define WEIR_LISTEN_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Listens on "ADDRESS:PORT", "[ADDRESS]:PORT" (numeric) or "unix:/PATH", non-blocking, with
 * TCP_NODELAY for accepted sockets (which inherit it on Linux). A socket file without a listener is
 * replaced. Returns the descriptor, or -1 with a message that names the address.
 */
int weir_listen(const char *address, char *error, size_t error_size);

/* Checks the address without listening. Returns false with the reason. */
bool weir_listen_check(const char *address, char *error, size_t error_size);

/* True for a socket file, and an address of this machine alone (127.0.0.0/8, ::1). */
bool weir_listen_is_local(const char *address);

#endif
