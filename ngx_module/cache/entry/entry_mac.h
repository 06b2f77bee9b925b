/*
 * The signature of entries in Redis: BLAKE2b with a key (RFC 7693 section 2.9),
 * which only the edges have that share a secret.
 *
 * A signed value is the entry and, behind it, WEIR_ENTRY_MAC_LEN bytes: the MAC
 * of the length of the Redis key, the Redis key, and the entry.  The Redis key
 * names the zone, the cache key and the variant; so a value that was copied to
 * another key, or another zone, has no right MAC there.
 *
 * The same secret makes the digest that stands in an entry for the request
 * headers by which it varies, so that no cookie is to be read in Redis.  Both
 * have keys of their own, derived from the secret.
 *
 * Plain C, no allocation.
 */

#ifndef WEIR_CACHE_ENTRY_MAC_H
#define WEIR_CACHE_ENTRY_MAC_H

#include "common/blake2b.h"
#include "common/siphash.h"
#include "common/str.h"

#include <stdbool.h>
#include <stdint.h>

#define WEIR_ENTRY_MAC_LEN 16         /* bytes behind an entry */
#define WEIR_ENTRY_MAC_VARY_LEN 64    /* hexadecimal digits of a digest */
#define WEIR_ENTRY_MAC_SECRETS 4      /* in one file */
#define WEIR_ENTRY_MAC_SECRET_MIN 16  /* bytes of one */
#define WEIR_ENTRY_MAC_FILE_MAX 4096  /* bytes of the file */

typedef struct {
    char sign[WEIR_BLAKE2B_MAX];
    char vary[WEIR_BLAKE2B_MAX];
} weir_entry_mac_keys_t;

typedef struct {
    size_t n;
    weir_entry_mac_keys_t keys[WEIR_ENTRY_MAC_SECRETS]; /* the first one signs */
    weir_siphash_key_t id; /* of the first: tells secrets apart, and not what they are */
} weir_entry_mac_t;

/*
 * Takes the secrets from the text of a file: one in each line, the first one
 * signs, all verify.  A line end is LF or CR LF, and the last one may lack.
 * Returns NULL, or what is wrong with the text (a constant string), when *mac is
 * unspecified.  Nothing of the text is kept.
 */
const char *weir_entry_mac_read(weir_entry_mac_t *mac, weir_str_t text);

/* Writes the WEIR_ENTRY_MAC_LEN bytes of an entry that name, a Redis key, will hold. */
void weir_entry_mac_sign(const weir_entry_mac_t *mac, weir_str_t name, weir_str_t entry, char *out);

/*
 * Whether the value that Redis holds under name was signed with one of the
 * secrets; it is the entry alone then.  How long a comparison takes does not
 * depend on what is compared.  Costs a pass over the value for each secret.
 */
bool weir_entry_mac_verify(const weir_entry_mac_t *mac, weir_str_t name, weir_str_t *value);

/*
 * Writes the WEIR_ENTRY_MAC_VARY_LEN hexadecimal digits that stand for vary, the
 * text of request headers, in entries of that cache key.
 */
void weir_entry_mac_vary(const weir_entry_mac_t *mac, weir_str_t key, weir_str_t vary, char *out);

#endif
