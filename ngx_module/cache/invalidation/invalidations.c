/* The table of invalidations; see invalidations.h for its invariant. */

#include "cache/invalidation/invalidations_private.h"

#include "cache/policy/tags.h"

weir_invalidations_t *weir_invalidations_init(void *memory, size_t size, uint64_t origin)
{
    weir_invalidations_t *inv = memory;
    char *p = (char *)memory + ((sizeof(*inv) + 63) & ~(size_t)63);
    size_t left = size - (size_t)(p - (char *)memory), n;

    n = left / 8 / sizeof(weir_invalidation_pending_t);
    inv->pending_max = (uint32_t)(n > 1024 ? 1024 : n);
    inv->pending = (weir_invalidation_pending_t *)p;
    p += inv->pending_max * sizeof(weir_invalidation_pending_t);

    n = left / 4 / sizeof(weir_invalidation_prefix_t);
    inv->prefix_max = (uint32_t)(n > 64 ? 64 : n);
    inv->prefixes = (weir_invalidation_prefix_t *)p;
    p += inv->prefix_max * sizeof(weir_invalidation_prefix_t);

    n = (size - (size_t)(p - (char *)memory)) / sizeof(weir_invalidation_set_t);

    inv->sets = (weir_invalidation_set_t *)p;
    inv->nsets = n - n / 2;
    inv->client_sets = inv->sets + inv->nsets;
    inv->client_nsets = n / 2;
    inv->client_cursor = inv->client_nsets;

    inv->origin = origin;

    return inv;
}

static void forget(weir_invalidations_t *inv)
{
    memset(inv->sets, 0, inv->nsets * sizeof(weir_invalidation_set_t));
    inv->nprefixes = 0;
    inv->position = (weir_position_t){0, 0};
    inv->soft_floor = (weir_mark_t){{0, 0}, 0};
    inv->client_floor = (weir_mark_t){{0, 0}, 0};
    weir_invalidations_forget_clients(inv, false);
}

void weir_invalidations_begin(weir_invalidations_t *inv, uint64_t era, weir_position_t floor)
{
    weir_invalidations_change(inv, WEIR_CHANGE_OF_STREAM);

    forget(inv);
    inv->floor = (weir_mark_t){floor, inv->local + 1};
    __atomic_store_n(&inv->era, era, __ATOMIC_RELEASE);
    weir_invalidations_set_local(inv, inv->local + 1);

    weir_invalidations_change(inv, WEIR_CHANGE_NONE);
}

void weir_invalidations_skip(weir_invalidations_t *inv, weir_position_t position)
{
    weir_invalidations_change(inv, WEIR_CHANGE_OF_STREAM);

    weir_mark_raise(&inv->floor, (weir_mark_t){position, inv->local + 1});
    inv->position = weir_position_later(inv->position, position);
    weir_invalidations_set_local(inv, inv->local + 1);

    weir_invalidations_change(inv, WEIR_CHANGE_NONE);
}

void weir_invalidations_distrust(weir_invalidations_t *inv)
{
    uint32_t kind = inv->changing;
    uint64_t local = inv->local + 1;

    __atomic_store_n(&inv->era, 0, __ATOMIC_RELEASE);
    forget(inv);
    inv->floor = (weir_mark_t){{0, 0}, local};

    /* messages for other edges may be lost */

    if (kind == WEIR_CHANGE_MADE_HERE || inv->npending != 0 || inv->pending_all != 0 ||
        inv->client_pending != 0)
        inv->pending_all = local;

    weir_invalidations_forget_clients(inv, true);
    inv->npending = 0;
    weir_invalidations_set_local(inv, local);

    weir_invalidations_change(inv, WEIR_CHANGE_NONE);
}

void weir_invalidations_doubt(weir_invalidations_t *inv)
{
    weir_invalidations_change(inv, WEIR_CHANGE_MADE_HERE);

    inv->pending_all = inv->local + 1;
    weir_invalidations_set_local(inv, inv->local + 1);

    weir_invalidations_change(inv, WEIR_CHANGE_NONE);
}

/* --- records ------------------------------------------------------------- */

/* True if the record says nothing beyond the floor. */
static bool is_sunk(const weir_invalidations_t *inv, bool soft, const weir_mark_t *mark)
{
    const weir_mark_t *floor = &inv->floor;

    if (soft && inv->soft_floor.local > floor->local)
        floor = &inv->soft_floor;

    return mark->local <= floor->local && weir_position_cmp(mark->position, floor->position) <= 0;
}

/*
 * A record is in one of the two sets that its hash selects, in the set with
 * more free places.  With a single choice, some set would be full when the
 * table is one third full, and the floor would rise long before the table is
 * full.  Without the secret, nobody can predict the sets of a hash.
 */
static weir_invalidation_set_t *set_of(const weir_invalidations_t *inv, uint64_t h, int which)
{
    return &inv->sets[weir_invalidations_place(inv, h, inv->nsets, which)];
}

/* Returns NULL if there is no record. */
static weir_mark_t *find(const weir_invalidations_t *inv, uint64_t h)
{
    for (int which = 0; which < 2; which++) {
        weir_invalidation_set_t *set = set_of(inv, h, which);

        for (int i = 0; i < WEIR_INVALIDATION_WAYS; i++) {
            if (set->hash[i] == h)
                return &set->mark[i];
        }
    }

    return NULL;
}

/* Evicts a record of the table and raises the floor to it. */
static void give_way(weir_invalidations_t *inv, bool soft, weir_mark_t mark)
{
    weir_mark_raise(soft ? &inv->soft_floor : &inv->floor, mark);
    inv->evicted++;
}

void weir_invalidations_record(weir_invalidations_t *inv, uint64_t hash, bool soft,
                               weir_mark_t mark)
{
    uint64_t h = weir_invalidations_word(hash, soft), *unused = NULL, *oldest = NULL;
    weir_mark_t *known = find(inv, h), *unused_mark = NULL, *oldest_mark = NULL;
    int most = 0;

    if (known) {
        weir_mark_raise(known, mark);
        return;
    }

    for (int which = 0; which < 2; which++) {
        weir_invalidation_set_t *set = set_of(inv, h, which);
        int n = 0, last = 0;

        for (int i = 0; i < WEIR_INVALIDATION_WAYS; i++) {
            if (set->hash[i] == 0 ||
                is_sunk(inv, set->hash[i] & WEIR_INVALIDATION_SOFT, &set->mark[i])) {
                last = i;
                n++;
            } else if (!oldest_mark || set->mark[i].local < oldest_mark->local) {
                oldest = &set->hash[i];
                oldest_mark = &set->mark[i];
            }
        }

        if (n > most) {
            most = n;
            unused = &set->hash[last];
            unused_mark = &set->mark[last];
        }
    }

    if (!unused) {
        give_way(inv, *oldest & WEIR_INVALIDATION_SOFT, *oldest_mark);
        unused = oldest;
        unused_mark = oldest_mark;
    }

    *unused = h;
    *unused_mark = mark;
}

/* Place for a new prefix: a free one, one that says nothing beyond the floor, or the oldest. */
static weir_invalidation_prefix_t *place_of_prefix(weir_invalidations_t *inv)
{
    weir_invalidation_prefix_t *prefix, *oldest = inv->prefixes;

    if (inv->nprefixes < inv->prefix_max)
        return &inv->prefixes[inv->nprefixes++];

    for (uint32_t i = 0; i < inv->nprefixes; i++) {
        prefix = &inv->prefixes[i];

        if (is_sunk(inv, prefix->soft, &prefix->mark))
            return prefix;

        if (prefix->mark.local < oldest->mark.local)
            oldest = prefix;
    }

    give_way(inv, oldest->soft, oldest->mark);

    return oldest;
}

void weir_invalidations_record_prefix(weir_invalidations_t *inv, weir_str_t text, bool soft,
                                      weir_mark_t mark)
{
    weir_invalidation_prefix_t *prefix;
    size_t len = text.len < WEIR_INVALIDATION_PREFIX_MAX ? text.len : WEIR_INVALIDATION_PREFIX_MAX;

    for (uint32_t i = 0; i < inv->nprefixes; i++) {
        prefix = &inv->prefixes[i];

        if (prefix->soft == soft && prefix->len == len &&
            memcmp(prefix->text, text.data, len) == 0) {
            weir_mark_raise(&prefix->mark, mark);
            return;
        }
    }

    prefix = place_of_prefix(inv);

    prefix->mark = mark;
    prefix->soft = soft;
    prefix->len = (uint16_t)len;
    memcpy(prefix->text, text.data, len);
}

/* --- checks -------------------------------------------------------------- */

typedef struct {
    const weir_invalidations_t *inv;
    const weir_stamp_t *stamp;
    bool ours;
} check_t;

static bool is_before(const check_t *c, const weir_mark_t *mark)
{
    return c->ours ? c->stamp->local < mark->local
                   : weir_position_cmp(c->stamp->position, mark->position) < 0;
}

/* True if a message about the hash came after the stamp. */
static bool is_touched(const check_t *c, uint64_t hash, bool soft)
{
    const weir_invalidations_t *inv = c->inv;
    uint64_t h = weir_invalidations_word(hash, soft);
    const weir_mark_t *mark = find(inv, h);

    if (mark && is_before(c, mark))
        return true;

    if (c->ours)
        return false;

    for (uint32_t i = 0; i < inv->npending; i++) {
        if (inv->pending[i].hash == h)
            return true;
    }

    return false;
}

/* True if a client invalidated the key after the stamp. */
static bool is_touched_by_client(const check_t *c, uint64_t hash)
{
    const weir_mark_t *mark = weir_invalidations_find_client(c->inv, hash);

    if (!mark)
        return false;

    return is_before(c, mark) || (!c->ours && weir_mark_is_pending(mark));
}

static bool is_any_touched(const check_t *c, weir_str_t key, weir_str_t tags, bool soft)
{
    const weir_invalidations_t *inv = c->inv;
    uint64_t hash = weir_key_hash(key);

    if (is_touched(c, hash, soft) || (!soft && is_touched_by_client(c, hash)))
        return true;

    for (size_t i = 0; i < tags.len / 8; i++) {
        if (is_touched(c, weir_tags_at(tags, i), soft))
            return true;
    }

    for (uint32_t i = 0; i < inv->nprefixes; i++) {
        const weir_invalidation_prefix_t *p = &inv->prefixes[i];

        if (p->soft == soft && is_before(c, &p->mark) && key.len >= p->len &&
            memcmp(key.data, p->text, p->len) == 0)
            return true;
    }

    return false;
}

void weir_invalidations_stamp(const weir_invalidations_t *inv, weir_stamp_t *stamp)
{
    stamp->era = inv->era;
    stamp->position = inv->position;
    stamp->origin = inv->origin;
    stamp->local = inv->local;
}

bool weir_invalidations_may_be_held(const weir_invalidations_t *inv, const weir_stamp_t *stamp)
{
    check_t c = {inv, stamp, stamp->origin == inv->origin};

    return !is_before(&c, &inv->client_floor);
}

static weir_validity_t check(const weir_invalidations_t *inv, const weir_stamp_t *stamp,
                             weir_str_t key, weir_str_t tags, bool held)
{
    check_t c = {inv, stamp, stamp->origin == inv->origin};

    if (stamp->era != inv->era || is_before(&c, &inv->floor))
        return WEIR_INVALID;

    /* the stamp of this edge has a local number that was not given out yet: it is wrong */
    if (c.ours && stamp->local > inv->local)
        return WEIR_INVALID;

    if (!held && !weir_invalidations_may_be_held(inv, stamp))
        return WEIR_INVALID;

    /* without a stream, nothing is known about the stamps of other edges */
    if (!c.ours && (inv->era == 0 || inv->pending_all != 0))
        return WEIR_INVALID;

    if (c.ours && stamp->local == inv->local)
        return WEIR_VALID;

    if (is_any_touched(&c, key, tags, false))
        return WEIR_INVALID;

    return is_before(&c, &inv->soft_floor) || is_any_touched(&c, key, tags, true)
               ? WEIR_INVALID_SOFT
               : WEIR_VALID;
}

weir_validity_t weir_invalidations_check(const weir_invalidations_t *inv, const weir_stamp_t *stamp,
                                         weir_str_t key, weir_str_t tags)
{
    return check(inv, stamp, key, tags, false);
}

weir_validity_t weir_invalidations_check_held(const weir_invalidations_t *inv,
                                              const weir_stamp_t *stamp, weir_str_t key,
                                              weir_str_t tags)
{
    return check(inv, stamp, key, tags, true);
}
