/*
 * Revoked tokens: a table in memory that processes share. The caller holds a lock for every call
 * but those that say otherwise.
 *
 * An entry is about the tokens with an ID (jti), or with a subject, of an issuer. It holds for
 * those that were issued up to a time, and is kept until none of them can be accepted any more.
 *
 * No entry is evicted: its token would be accepted again. Into a full table another entry is taken
 * by raising the floor to the present: all tokens that were issued up to then are revoked, for as
 * long as any of them could be accepted, so no entry is needed any more and the table is empty. The
 * clock of an issuer may be ahead, so the floor is that much later.
 *
 * An entry is complete before it is linked, so a process that is killed while it has the lock
 * leaves a table that can be used.
 */
#ifndef WEIR_REVOKED_H
#define WEIR_REVOKED_H

#include "common/text/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEIR_REVOKED_DIGEST 16 /* bytes */
#define WEIR_REVOKED_AHEAD 30  /* s */

typedef enum { WEIR_REVOKED_ID, WEIR_REVOKED_SUBJECT } weir_revoked_kind_t;

typedef struct {
    uint8_t digest[WEIR_REVOKED_DIGEST]; /* of issuer, kind and name */
    int64_t before;                      /* s since the epoch; tokens issued up to then */
    int64_t until;                       /* s; not needed afterwards */
    uint32_t next;                       /* of the same bucket, or of the free ones; 0: none */
} weir_revoked_entry_t;

typedef struct {
    uint8_t secret[32];
    uint64_t revision;   /* grows with each change; read without the lock */
    int64_t floor;       /* s; tokens issued up to then are revoked; 0: none */
    int64_t floor_until; /* s */
    uint64_t floors;     /* times that the floor was raised */
    uint32_t max;        /* entries */
    uint32_t n;
    uint32_t buckets; /* a power of two */
    uint32_t free;    /* the first of them; 0: none */
    uint32_t swept;   /* bucket that is looked at next for entries that are not needed */
    weir_revoked_entry_t *entries; /* max + 1 of them; the first is not used */
    uint32_t *heads;
} weir_revoked_t;

/* The bytes of a table of that many entries, which is the number for _init(). */
size_t weir_revoked_size(uint32_t max);

/* Makes an empty table in memory of that size, which is aligned for it; max is at least 1. */
void weir_revoked_init(weir_revoked_t *revoked, uint32_t max);

/* The digest of a token's ID or subject. No lock. */
void weir_revoked_digest(const weir_revoked_t *revoked, weir_revoked_kind_t kind, weir_str_t issuer,
                         weir_str_t name, uint8_t digest[WEIR_REVOKED_DIGEST]);

/*
 * Adds an entry, or widens the one of that digest. now, before, until and keep are in seconds; keep
 * is the longest time for which a token can be accepted. Returns false if the floor was raised
 * instead.
 */
bool weir_revoked_add(weir_revoked_t *revoked, const uint8_t digest[WEIR_REVOKED_DIGEST],
                      int64_t before, int64_t until, int64_t now, int64_t keep);

/*
 * Raises the floor: tokens issued up to that time and WEIR_REVOKED_AHEAD are revoked, until keep
 * later.
 */
void weir_revoked_raise(weir_revoked_t *revoked, int64_t time, int64_t keep);

/* True if an entry for tokens issued up to that time is not needed, as they are below the floor. */
bool weir_revoked_covers(const weir_revoked_t *revoked, int64_t time, int64_t now);

/* True if a token that was issued at that time is revoked by the floor. */
bool weir_revoked_is_below(const weir_revoked_t *revoked, int64_t issued, int64_t now);

/* True if an entry of that digest holds for a token that was issued at that time. */
bool weir_revoked_has(const weir_revoked_t *revoked, const uint8_t digest[WEIR_REVOKED_DIGEST],
                      int64_t issued, int64_t now);

/* Changes with each change of the table. No lock. */
static inline uint64_t weir_revoked_revision(const weir_revoked_t *revoked)
{
    return __atomic_load_n(&revoked->revision, __ATOMIC_ACQUIRE);
}

#endif
