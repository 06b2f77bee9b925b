/* Listening sockets by address. */
#ifndef WEIR_LISTEN_H
#define WEIR_LISTEN_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Listens on "ADDRESS:PORT", "[ADDRESS]:PORT" (numeric) or "unix:/PATH", without
 * blocking, with TCP_NODELAY for what it accepts (Linux lets accepted sockets
 * inherit it).  A socket file that nobody listens on is replaced.  Returns the
 * descriptor, or -1 with a message that names the address.
 */
int weir_listen(const char *address, char *error, size_t error_size);

/* Whether it could, as far as the address alone tells; false with the reason. */
bool weir_listen_check(const char *address, char *error, size_t error_size);

#endif
