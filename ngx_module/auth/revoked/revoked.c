/*
 * Revoked tokens; see revoked.h.
 *
 * Invariant: an entry is in the chain of its digest's bucket, or in the list of free ones. An entry
 * that was being moved when its process was killed is in neither, and is lost until the table is
 * emptied.
 */

#include "auth/revoked/revoked.h"

#include "common/hash/blake2b.h"
#include "common/ids/random.h"

#include <assert.h>
#include <string.h>

/* Buckets that each addition looks at, for entries that are not needed any more. */
#define SWEEP 4

static uint32_t buckets_for(uint32_t max)
{
    uint32_t buckets = 1;

    while (buckets < max && buckets < (1u << 30))
        buckets *= 2;

    return buckets;
}

size_t weir_revoked_size(uint32_t max)
{
    return sizeof(weir_revoked_t) + ((size_t)max + 1) * sizeof(weir_revoked_entry_t) +
           buckets_for(max) * sizeof(uint32_t);
}

static void set_head(uint32_t *at, uint32_t entry)
{
    __atomic_store_n(at, entry, __ATOMIC_RELEASE);
}

static void empty(weir_revoked_t *revoked)
{
    memset(revoked->heads, 0, revoked->buckets * sizeof(uint32_t));
    for (uint32_t i = 1; i <= revoked->max; i++)
        revoked->entries[i].next = i < revoked->max ? i + 1 : 0;
    set_head(&revoked->free, 1);
    revoked->n = 0;
}

void weir_revoked_init(weir_revoked_t *revoked, uint32_t max)
{
    assert(max > 0);

    memset(revoked, 0, weir_revoked_size(max));
    weir_random(revoked->secret, sizeof(revoked->secret));
    revoked->max = max;
    revoked->buckets = buckets_for(max);
    revoked->entries = (weir_revoked_entry_t *)(revoked + 1);
    revoked->heads = (uint32_t *)(revoked->entries + max + 1);
    empty(revoked);
}

void weir_revoked_digest(const weir_revoked_t *revoked, weir_revoked_kind_t kind, weir_str_t issuer,
                         weir_str_t name, uint8_t digest[WEIR_REVOKED_DIGEST])
{
    weir_str_t secret = {(const char *)revoked->secret, sizeof(revoked->secret)};
    uint64_t len = issuer.len;
    weir_blake2b_t b;

    weir_blake2b_begin(&b, WEIR_REVOKED_DIGEST, secret,
                       kind == WEIR_REVOKED_ID ? WEIR_STR("weir jti") : WEIR_STR("weir sub"));
    weir_blake2b_add(&b, (weir_str_t){(const char *)&len, sizeof(len)});
    weir_blake2b_add(&b, issuer);
    weir_blake2b_add(&b, name);
    weir_blake2b_end(&b, digest);
}

static uint32_t bucket_of(const weir_revoked_t *revoked, const uint8_t *digest)
{
    uint32_t word;

    memcpy(&word, digest, sizeof(word));

    return word & (revoked->buckets - 1);
}

static weir_revoked_entry_t *find(const weir_revoked_t *revoked, const uint8_t *digest)
{
    uint32_t i = revoked->heads[bucket_of(revoked, digest)];

    while (i != 0 && memcmp(revoked->entries[i].digest, digest, WEIR_REVOKED_DIGEST) != 0)
        i = revoked->entries[i].next;

    return i != 0 ? &revoked->entries[i] : NULL;
}

/* Frees the entries of a bucket that are not needed any more. */
static void sweep(weir_revoked_t *revoked, uint32_t bucket, int64_t now)
{
    uint32_t *at = &revoked->heads[bucket];

    while (*at != 0) {
        uint32_t i = *at;
        weir_revoked_entry_t *entry = &revoked->entries[i];

        if (entry->until >= now) {
            at = &entry->next;
            continue;
        }

        set_head(at, entry->next);
        entry->next = revoked->free;
        set_head(&revoked->free, i);
        revoked->n--;
    }
}

static void changed(weir_revoked_t *revoked)
{
    __atomic_fetch_add(&revoked->revision, 1, __ATOMIC_RELEASE);
}

void weir_revoked_raise(weir_revoked_t *revoked, int64_t time, int64_t keep)
{
    int64_t floor = time + WEIR_REVOKED_AHEAD;

    if (floor <= revoked->floor)
        return;

    revoked->floor = floor;
    revoked->floor_until = floor + keep;
    revoked->floors++;
    changed(revoked);
}

bool weir_revoked_add(weir_revoked_t *revoked, const uint8_t digest[WEIR_REVOKED_DIGEST],
                      int64_t before, int64_t until, int64_t now, int64_t keep)
{
    weir_revoked_entry_t *entry = find(revoked, digest);
    uint32_t i, *head = &revoked->heads[bucket_of(revoked, digest)];

    if (entry != NULL) {
        if (before <= entry->before && until <= entry->until)
            return true;
        entry->before = before > entry->before ? before : entry->before;
        entry->until = until > entry->until ? until : entry->until;
        changed(revoked);

        return true;
    }

    for (i = 0; i < SWEEP; i++)
        sweep(revoked, revoked->swept++ & (revoked->buckets - 1), now);
    if (revoked->free == 0) {
        for (i = 0; i < revoked->buckets; i++)
            sweep(revoked, i, now);
    }
    if (revoked->free == 0) {
        weir_revoked_raise(revoked, now, keep);
        empty(revoked);

        return false;
    }

    i = revoked->free;
    entry = &revoked->entries[i];
    set_head(&revoked->free, entry->next);

    memcpy(entry->digest, digest, WEIR_REVOKED_DIGEST);
    entry->before = before;
    entry->until = until;
    entry->next = *head;
    set_head(head, i);
    revoked->n++;
    changed(revoked);

    return true;
}

bool weir_revoked_covers(const weir_revoked_t *revoked, int64_t time, int64_t now)
{
    return weir_revoked_is_below(revoked, time + WEIR_REVOKED_AHEAD, now);
}

bool weir_revoked_is_below(const weir_revoked_t *revoked, int64_t issued, int64_t now)
{
    return revoked->floor != 0 && issued <= revoked->floor && now <= revoked->floor_until;
}

bool weir_revoked_has(const weir_revoked_t *revoked, const uint8_t digest[WEIR_REVOKED_DIGEST],
                      int64_t issued, int64_t now)
{
    const weir_revoked_entry_t *entry = find(revoked, digest);

    return entry != NULL && issued <= entry->before && now <= entry->until;
}
