/*
 * The signature of entries in Redis: BLAKE2b with a key (RFC 7693 section 2.9).
 * Only edges that share a secret have the key.
 *
 * A signed value is the entry, followed by WEIR_ENTRY_MAC_LEN bytes: the MAC of
 * the length of the Redis key, the Redis key, and the entry.  The Redis key
 * contains the zone, the cache key and the variant, so a value that was copied
 * to another key or another zone fails verification.
 *
 * The same secret is used for the digest that an entry contains in place of the
 * request headers of its Vary, so that no cookie can be read in Redis.
 * Signature and digest use separate keys, both derived from the secret.
 *
 * Plain C, no allocation.
 */

#ifndef WEIR_CACHE_ENTRY_MAC_H
#define WEIR_CACHE_ENTRY_MAC_H

#include "common/hash/blake2b.h"
#include "common/hash/siphash.h"
#include "common/text/str.h"

#include <stdbool.h>
#include <stdint.h>

#define WEIR_ENTRY_MAC_LEN 16        /* bytes after an entry */
#define WEIR_ENTRY_MAC_VARY_LEN 64   /* hexadecimal digits of a digest */
#define WEIR_ENTRY_MAC_SECRETS 4     /* secrets in one file */
#define WEIR_ENTRY_MAC_SECRET_MIN 16 /* bytes of one secret */
#define WEIR_ENTRY_MAC_FILE_MAX 4096 /* bytes of the file */

typedef struct {
    char sign[WEIR_BLAKE2B_MAX];
    char vary[WEIR_BLAKE2B_MAX];
} weir_entry_mac_keys_t;

typedef struct {
    size_t n;
    weir_entry_mac_keys_t keys[WEIR_ENTRY_MAC_SECRETS]; /* the first key signs, all verify */
    weir_siphash_key_t id; /* derived from the first secret: differs between secrets and does not
                              reveal them */
} weir_entry_mac_t;

/*
 * Reads the secrets from the text of a file, one per line; the first one signs,
 * all verify.  A line ends with LF or CR LF; the last line end may be missing.
 * Returns NULL on success.  Otherwise returns the fault as a constant string,
 * and *mac is unspecified.  *mac keeps no pointer into the text.
 */
const char *weir_entry_mac_read(weir_entry_mac_t *mac, weir_str_t text);

/*
 * Writes the WEIR_ENTRY_MAC_LEN bytes of signature of an entry that is stored
 * under name, a Redis key.
 */
void weir_entry_mac_sign(const weir_entry_mac_t *mac, weir_str_t name, weir_str_t entry, char *out);

/*
 * True if the value that Redis holds under name was signed with one of the
 * secrets; *value is then the entry without the signature.  The comparison
 * takes constant time.  Costs one pass over the value for each secret.
 */
bool weir_entry_mac_verify(const weir_entry_mac_t *mac, weir_str_t name, weir_str_t *value);

/*
 * Writes the WEIR_ENTRY_MAC_VARY_LEN hexadecimal digits that replace vary, the
 * text of request headers, in entries of that cache key.
 */
void weir_entry_mac_vary(const weir_entry_mac_t *mac, weir_str_t key, weir_str_t vary, char *out);

#endif
