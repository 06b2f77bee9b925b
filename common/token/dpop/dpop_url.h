/*
 * URLs of requests, written in one way, so that two of them are the same if their texts are: RFC
 * 3986 sections 6.2.2 and 6.2.3, RFC 9110 section 4.2.3; and without query and fragment, as RFC
 * 9449 section 4.3 compares them.
 *
 *   scheme, host   in lower case; only http and https; the host without a dot at its end
 *   port           left out if it is that of the scheme, without zeros before it
 *   path           "/" if it is empty, without "." and "..", with %XX for what needs it only
 */
#ifndef WEIR_DPOP_URL_H
#define WEIR_DPOP_URL_H

#include "common/text/str.h"

#include <stdbool.h>

/* Bytes that a URL of n bytes becomes, at most. */
#define WEIR_DPOP_URL_MAX(n) ((n) + 1)

/*
 * Writes the URL to out, which has room for WEIR_DPOP_URL_MAX(url.len), without a NUL, and sets
 * *len. False, with out undefined, if it is no absolute URL of http or https, or has user
 * information, a percent sign that begins no escape, a control character or a space. *origin
 * becomes the length of scheme, host and port.
 */
bool weir_dpop_url(weir_str_t url, char *out, size_t *len, size_t *origin);

#endif
