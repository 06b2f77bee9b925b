/* Whether a client's certificate has an allowed name. For tls.c alone. */
#ifndef WEIR_TLS_PEER_H
#define WEIR_TLS_PEER_H

#include "tls/names.h"

#include <openssl/x509.h>

#define WEIR_TLS_SHOWN 256 /* bytes of a name for the log, with its NUL */

/*
 * True if one of the certificate's names is in the list. shown gets its first name, with ? for what
 * is not printable; "no name" if it has neither a URI nor a DNS name.
 */
bool weir_tls_peer_is_allowed(const X509 *certificate, const weir_tls_names_t *names,
                              char shown[WEIR_TLS_SHOWN]);

#endif
