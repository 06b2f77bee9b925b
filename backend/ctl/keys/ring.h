/*
 * Keys that follow each other. A ring has one current key, which signs; at most one next one, which
 * is published and does not sign yet; and old ones, which are accepted until a time. A rotation is
 * two changes: a next key is added (publish), then it becomes the current one (advance). In between
 * all who verify must have read the ring. What was interrupted is continued by the same steps.
 *
 *   ring       a key is                          files of the folder, beside ring.json
 *   ca         an authority (authority.h)        ca.crt: all authorities, the current one first
 *   identity   the edge's, Ed25519               key.pem; next.pem, old.pem: public keys, the
 *                                                current one's if there is none; jwks.json; kid
 *   issuer     that of clients' tokens, Ed25519  the same
 *   webhook    a secret (http/signature.h)       secret: the current one; secrets: all, a line each
 *
 * ring.json has no key: those are in files of their own, ID.key and ID.pub.
 */
#ifndef WEIR_CTL_KEYS_RING_H
#define WEIR_CTL_KEYS_RING_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEIR_KEYS_MEMBERS_MAX 8 /* the oldest old key is dropped for one more */
#define WEIR_KEYS_ID 44         /* characters of an id, with its NUL */

typedef enum { WEIR_KEYS_CURRENT, WEIR_KEYS_NEXT, WEIR_KEYS_OLD } weir_keys_state_t;

typedef struct {
    char id[WEIR_KEYS_ID];
    weir_keys_state_t state;
    int64_t since;   /* s since 1970: when it came into this state */
    int64_t until;   /* old keys: until when it is accepted; an authority's: its end */
    char *secret;    /* PEM, or a secret; NULL for old keys, which do not sign */
    char *published; /* PEM of the public part; NULL for webhook */
} weir_keys_member_t;

typedef struct weir_keys_kind weir_keys_kind_t;

typedef struct {
    const weir_keys_kind_t *kind;
    const char *dir;
    weir_keys_member_t members[WEIR_KEYS_MEMBERS_MAX];
    size_t n; /* 0: the ring does not exist yet */
} weir_keys_ring_t;

/* The kind of ring of that name; NULL: there is none. The names, for a loop until NULL. */
const weir_keys_kind_t *weir_keys_ring_kind(const char *name);
const char *weir_keys_ring_name(size_t i);
const char *weir_keys_state_name(weir_keys_state_t state);

/* Reads DIR/NAME. False with a message; a ring that does not exist has no members. */
bool weir_keys_ring_read(weir_keys_ring_t *ring, const char *dir, const char *name, char *error,
                         size_t size);
/* Replaces its folder. */
bool weir_keys_ring_write(const weir_keys_ring_t *ring, char *error, size_t size);
void weir_keys_ring_free(weir_keys_ring_t *ring);

/* The key in that state, of old ones the newest; NULL: none. */
const weir_keys_member_t *weir_keys_ring_find(const weir_keys_ring_t *ring,
                                              weir_keys_state_t state);

/*
 * Adds a new key in that state: the current one of an empty ring, or a next one. given (may be
 * NULL) is a secret of the user's own, for webhook. days: an authority's life.
 */
bool weir_keys_ring_add(weir_keys_ring_t *ring, weir_keys_state_t state, const char *given,
                        int days, char *error, size_t size);
/* The next key becomes the current one, and the current one an old one for overlap seconds. */
void weir_keys_ring_advance(weir_keys_ring_t *ring, int64_t overlap);
/* Drops old keys whose time has passed; returns how many. */
size_t weir_keys_ring_expire(weir_keys_ring_t *ring);
/* Drops the key with that id, in whatever state. False: there is none. */
bool weir_keys_ring_drop(weir_keys_ring_t *ring, const char *id);

#endif
