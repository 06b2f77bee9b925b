/*
 * Invalidations by clients: sets of records beside those of tags and messages,
 * with pending messages and a floor of their own.  That floor is checked only
 * for responses that are not in memory yet.  See invalidations.h.
 */

#include "cache/invalidation/invalidations_private.h"

static bool is_pending(const weir_invalidation_set_t *set, int i)
{
    return set->hash[i] != 0 && weir_mark_is_pending(&set->mark[i]);
}

static weir_mark_t *find(const weir_invalidations_t *inv, uint64_t hash)
{
    for (int which = 0; which < 2 && inv->client_nsets != 0; which++) {
        weir_invalidation_set_t *set =
            &inv->client_sets[weir_invalidations_place(inv, hash, inv->client_nsets, which)];

        for (int i = 0; i < WEIR_INVALIDATION_WAYS; i++) {
            if (set->hash[i] == hash)
                return &set->mark[i];
        }
    }

    return NULL;
}

const weir_mark_t *weir_invalidations_find_client(const weir_invalidations_t *inv, uint64_t hash)
{
    return find(inv, hash);
}

void weir_invalidations_forget_clients(weir_invalidations_t *inv, bool all)
{
    for (size_t s = 0; s < inv->client_nsets; s++) {
        weir_invalidation_set_t *set = &inv->client_sets[s];

        for (int i = 0; i < WEIR_INVALIDATION_WAYS; i++) {
            if (all || !is_pending(set, i))
                set->hash[i] = 0;
        }
    }

    if (all)
        inv->client_pending = 0;
}

/* True if the place is empty or its record says nothing beyond the floor. */
static bool is_free(const weir_invalidations_t *inv, const weir_invalidation_set_t *set, int i)
{
    const weir_mark_t *mark = &set->mark[i], *floor = &inv->floor;

    return set->hash[i] == 0 || (!weir_mark_is_pending(mark) && mark->local <= floor->local &&
                                 weir_position_cmp(mark->position, floor->position) <= 0);
}

/* Evicts the oldest record of two sets; the client floor rises to its mark. */
static void give_way(weir_invalidations_t *inv, uint64_t hash, weir_mark_t mark)
{
    if (weir_mark_is_pending(&mark)) {
        /* the message, if it arrives, comes after the whole stream read so far */
        mark.position = inv->position;
        inv->client_pending--;
        inv->client_unsent++;
    }

    weir_mark_raise(&inv->client_floor, mark);
    inv->client_evicted++;
    inv->forgotten[inv->nforgotten++] = (weir_invalidation_forgotten_t){hash, mark.local};
}

/* Places a new record in the set with more free places, or in place of the oldest record. */
static void insert(weir_invalidations_t *inv, uint64_t hash, weir_mark_t mark)
{
    weir_invalidation_set_t *chosen = NULL, *oldest = NULL;
    int place = 0, oldest_place = 0, most = 0;

    for (int which = 0; which < 2; which++) {
        weir_invalidation_set_t *set =
            &inv->client_sets[weir_invalidations_place(inv, hash, inv->client_nsets, which)];
        int n = 0, last = 0;

        for (int i = 0; i < WEIR_INVALIDATION_WAYS; i++) {
            if (is_free(inv, set, i)) {
                last = i;
                n++;
            } else if (!oldest || set->mark[i].local < oldest->mark[oldest_place].local) {
                oldest = set;
                oldest_place = i;
            }
        }

        if (n > most) {
            most = n;
            chosen = set;
            place = last;
        }
    }

    if (!chosen) {
        chosen = oldest;
        place = oldest_place;
        give_way(inv, chosen->hash[place], chosen->mark[place]);
    }

    chosen->hash[place] = hash;
    chosen->mark[place] = mark;
}

bool weir_invalidations_record_client(weir_invalidations_t *inv, uint64_t hash, weir_mark_t mark,
                                      bool confirms)
{
    weir_mark_t *known;

    if (inv->client_nsets == 0 || inv->nforgotten == WEIR_INVALIDATION_FORGOTTEN)
        return false;

    known = find(inv, hash);

    if (!known) {
        insert(inv, hash, mark);
        inv->client_pending += weir_mark_is_pending(&mark);
        return true;
    }

    if (weir_mark_is_pending(known)) {
        /* an older message: the key was invalidated again after it was written */
        if (!confirms || mark.local < known->local) {
            known->local = known->local < mark.local ? mark.local : known->local;
            return true;
        }

        inv->client_pending--;
    }

    if (weir_mark_is_pending(&mark)) {
        known->position = mark.position;
        inv->client_pending++;
    }

    weir_mark_raise(known, mark);

    return true;
}

size_t weir_invalidations_unsent_clients(weir_invalidations_t *inv, uint64_t now, uint64_t age,
                                         uint64_t *hashes, size_t max)
{
    size_t n = 0;

    if (inv->client_cursor == inv->client_nsets) {
        if (inv->client_pending == 0 || now - inv->client_swept < age)
            return 0;

        /* records since the start of the last sweep may still be on their way */
        inv->client_swept = now;
        inv->client_due = inv->client_due_later;
        inv->client_due_later = inv->local;
        inv->client_cursor = 0;
    }

    while (inv->client_cursor < inv->client_nsets && n + WEIR_INVALIDATION_WAYS <= max) {
        const weir_invalidation_set_t *set = &inv->client_sets[inv->client_cursor++];

        for (int i = 0; i < WEIR_INVALIDATION_WAYS; i++) {
            if (is_pending(set, i) && set->mark[i].local <= inv->client_due)
                hashes[n++] = set->hash[i];
        }
    }

    return n;
}

bool weir_invalidations_forgotten(weir_invalidations_t *inv, weir_invalidation_forgotten_t *record)
{
    if (inv->nforgotten == 0)
        return false;

    *record = inv->forgotten[--inv->nforgotten];

    return true;
}
