/*
 * base64url without padding, as RFC 7515 section 2 uses it (RFC 4648 section 5), read strictly:
 * each sequence of bytes has exactly one text, so that two different tokens never mean the same.
 */
#ifndef WEIR_BASE64URL_H
#define WEIR_BASE64URL_H

#include "common/text/str.h"

#include <stdbool.h>
#include <stdint.h>

/* Bytes that a text of n characters becomes. */
#define WEIR_BASE64URL_BYTES(n) ((n) / 4 * 3 + (n) % 4 * 3 / 4)

/*
 * Decodes the text into out, which has room for WEIR_BASE64URL_BYTES(text.len), and sets *len.
 * False if the text has padding, white space or another character, a length that no bytes have, or
 * bits that are set behind the last byte (RFC 4648 section 3.5); out is then undefined.
 */
bool weir_base64url_decode(weir_str_t text, uint8_t *out, size_t *len);

/* Characters that n bytes become. */
#define WEIR_BASE64URL_CHARS(n) (((n)*4 + 2) / 3)

/* Writes the text of n bytes, WEIR_BASE64URL_CHARS(n) characters without a NUL; returns its end. */
char *weir_base64url_encode(char *out, const void *bytes, size_t n);

#endif
