/*
 * Invalidations made here, and those of them that are pending: not yet read back from the stream.
 * See invalidations.h.
 */

#include "cache/invalidation/invalidations_private.h"

/* The position of records without a stream: they are never pending. */
static const weir_position_t no_stream = {0, 1};

/* --- pending ------------------------------------------------------------- */

static void await(weir_invalidations_t *inv, uint64_t hash, bool soft, uint64_t local, uint64_t now)
{
    uint64_t h = weir_invalidations_word(hash, soft);

    for (uint32_t i = 0; i < inv->npending; i++) {
        if (inv->pending[i].hash == h) {
            inv->pending[i].local = local;
            inv->pending[i].sent = now;
            return;
        }
    }

    if (inv->npending == inv->pending_max) {
        inv->pending_all = local;
        return;
    }

    inv->pending[inv->npending++] = (weir_invalidation_pending_t){h, local, now};
}

void weir_invalidations_confirm(weir_invalidations_t *inv, uint64_t hash, bool soft, uint64_t local)
{
    uint64_t h = weir_invalidations_word(hash, soft);

    for (uint32_t i = 0; i < inv->npending; i++) {
        if (inv->pending[i].hash == h && inv->pending[i].local <= local) {
            inv->pending[i] = inv->pending[--inv->npending];
            return;
        }
    }
}

size_t weir_invalidations_unsent(weir_invalidations_t *inv, uint64_t now, uint64_t age,
                                 uint64_t *hashes, size_t max, bool *soft, bool *all)
{
    size_t n = 0;

    *all = false;
    *soft = false;

    if (inv->pending_all != 0 && now - inv->pending_all_sent >= age) {
        inv->pending_all_sent = now;
        *all = true;
        return 0;
    }

    for (uint32_t i = 0; i < inv->npending && n < max; i++) {
        weir_invalidation_pending_t *p = &inv->pending[i];

        if (now - p->sent < age)
            continue;

        if (n == 0)
            *soft = p->hash & WEIR_INVALIDATION_SOFT;
        else if (*soft != (bool)(p->hash & WEIR_INVALIDATION_SOFT))
            continue;

        p->sent = now;
        hashes[n++] = p->hash & ~(uint64_t)WEIR_INVALIDATION_SOFT;
    }

    return n;
}

/* --- made here ----------------------------------------------------------- */

uint64_t weir_invalidations_make(weir_invalidations_t *inv, const uint64_t *hashes, size_t n,
                                 bool soft, const weir_position_t *position, bool pending,
                                 uint64_t now)
{
    weir_mark_t mark = {{0, 0}, inv->local + 1};

    weir_invalidations_change(inv, WEIR_CHANGE_MADE_HERE);

    if (position)
        mark.position = *position;

    for (size_t i = 0; i < n; i++) {
        weir_invalidations_record(inv, hashes[i], soft, mark);

        if (!position && pending)
            await(inv, hashes[i], soft, mark.local, now);
    }

    inv->applied++;
    weir_invalidations_set_local(inv, mark.local);

    weir_invalidations_change(inv, WEIR_CHANGE_NONE);

    return mark.local;
}

uint64_t weir_invalidations_make_client(weir_invalidations_t *inv, const uint64_t *hashes, size_t n,
                                        const weir_position_t *position, bool pending)
{
    weir_mark_t mark = {{0, 0}, inv->local + 1};

    weir_invalidations_change(inv, WEIR_CHANGE_MADE_HERE);

    if (position)
        mark.position = *position;
    else if (!pending)
        mark.position = no_stream;

    for (size_t i = 0; i < n; i++) {
        if (!weir_invalidations_record_client(inv, hashes[i], mark, !weir_mark_is_pending(&mark)))
            weir_invalidations_record(inv, hashes[i], false, mark);
    }

    inv->applied++;
    weir_invalidations_set_local(inv, mark.local);

    weir_invalidations_change(inv, WEIR_CHANGE_NONE);

    return mark.local;
}

void weir_invalidations_make_all(weir_invalidations_t *inv, const weir_position_t *position,
                                 bool pending)
{
    weir_mark_t mark = {{0, 0}, inv->local + 1};

    weir_invalidations_change(inv, WEIR_CHANGE_MADE_HERE);

    if (position)
        mark.position = *position;
    else if (pending)
        inv->pending_all = mark.local;

    weir_mark_raise(&inv->floor, mark);
    inv->applied++;
    weir_invalidations_set_local(inv, mark.local);

    weir_invalidations_change(inv, WEIR_CHANGE_NONE);
}
