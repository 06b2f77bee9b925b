// The names that a peer's certificate may have: a list of the configuration, and its comparison
// with the subject alternative names of a certificate. No OpenSSL is in it.
//
//   spiffe://DOMAIN/PATH     this SPIFFE ID
//   spiffe://DOMAIN/PATH/*   every SPIFFE ID below it, by whole segments of the path; not itself
//   spiffe://DOMAIN/*        every SPIFFE ID of the trust domain that has a path
//   HOST.NAME                this DNS name, whatever the case of its letters
//
// Names of a certificate are chosen by whoever asked for it, so they are compared as bytes with a
// length: one with a NUL byte, a percent sign, a dot segment, an empty segment or a wildcard is no
// name, and matches nothing. A certificate for *.example.com names no single service, so it is not
// accepted for any. Internationalized names are compared in their ASCII form (RFC 9525 section
// 6.3): xn--….
#ifndef WEIR_TLS_NAMES_H
#define WEIR_TLS_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#define WEIR_TLS_NAMES_MAX 64   /* in the list of the configuration */
#define WEIR_TLS_NAME_MAX 2048  /* bytes of a SPIFFE ID (SPIFFE-ID section 2.3) */
#define WEIR_TLS_DOMAIN_MAX 255 /* bytes of its trust domain */
#define WEIR_TLS_HOST_MAX 253   /* bytes of a DNS name */

typedef struct {
    const char *text; /* into the list; without the star of a prefix, with the slash before it */
    size_t len;
    bool is_uri, is_prefix;
} weir_tls_name_t;

typedef struct {
    weir_tls_name_t of[WEIR_TLS_NAMES_MAX];
    size_t n;
} weir_tls_names_t;

/*
 * Reads a list with commas or blanks between its names. The text must live as long as the names.
 * Returns NULL, or what is wrong (a constant); then *wrong and *wrong_len are the name that is, or
 * the whole text.
 */
const char *weir_tls_names_read(weir_tls_names_t *names, const char *text, const char **wrong,
                                size_t *wrong_len) __attribute__((warn_unused_result));

/* True if a URI, or a DNS name, of a certificate is one of the list. */
bool weir_tls_names_have_uri(const weir_tls_names_t *names, const char *uri, size_t len);
bool weir_tls_names_have_dns(const weir_tls_names_t *names, const char *host, size_t len);

#endif
