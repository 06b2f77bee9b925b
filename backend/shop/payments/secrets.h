/*
 * The secrets that the gateway's webhooks may be signed with: those of the configuration, and those
 * of a file, which is looked at each second. While a secret is changed, the file has the old one
 * and the new one.
 */
#ifndef WEIR_SHOP_SECRETS_H
#define WEIR_SHOP_SECRETS_H

#include "http/signature.h"

#include <event2/event.h>
#include <stddef.h>

#define WEIR_SHOP_SECRETS_MAX 8 /* of the file */

/* Reads the file's secrets, a line each. Returns how many; 0: it is no such file. */
size_t weir_shop_secrets_read(const char *file, weir_secret_t secrets[WEIR_SHOP_SECRETS_MAX]);

typedef struct weir_shop_secrets weir_shop_secrets_t;

/* first and second are secrets or empty, file is a name or empty; it must live as long. */
weir_shop_secrets_t *weir_shop_secrets_new(struct event_base *base, const char *first,
                                           const char *second, const char *file);
void weir_shop_secrets_free(weir_shop_secrets_t *secrets);

/* All that count now; *n becomes their number. They are valid until the event loop goes on. */
const weir_secret_t *weir_shop_secrets_all(const weir_shop_secrets_t *secrets, size_t *n);

#endif
