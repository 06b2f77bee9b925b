/* The table of invalidations; see invalidations.h for what it guarantees. */

#include "cache/invalidations.h"

#include "cache/tags.h"

#define SOFT 1u /* the lowest bit of a hash in the table */

enum { CHANGE_NONE, CHANGE_OF_STREAM, CHANGE_MADE_HERE };

static void change(weir_invalidations_t *inv, uint32_t kind)
{
    __atomic_store_n(&inv->changing, kind, __ATOMIC_SEQ_CST);
}

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

    inv->sets = (weir_invalidation_set_t *)p;
    inv->nsets = (size - (size_t)(p - (char *)memory)) / sizeof(weir_invalidation_set_t);

    inv->origin = origin;

    return inv;
}

static weir_position_t later(weir_position_t a, weir_position_t b)
{
    return weir_position_cmp(a, b) < 0 ? b : a;
}

static void raise(weir_mark_t *mark, weir_mark_t to)
{
    mark->position = later(mark->position, to.position);

    if (mark->local < to.local)
        mark->local = to.local;
}

static void set_local(weir_invalidations_t *inv, uint64_t local)
{
    __atomic_store_n(&inv->local, local, __ATOMIC_RELEASE);
}

static void forget(weir_invalidations_t *inv)
{
    memset(inv->sets, 0, inv->nsets * sizeof(weir_invalidation_set_t));
    inv->nprefixes = 0;
    inv->prefix_next = 0;
    inv->position = (weir_position_t){0, 0};
    inv->soft_floor = (weir_mark_t){{0, 0}, 0};
}

void weir_invalidations_begin(weir_invalidations_t *inv, uint64_t era, weir_position_t floor)
{
    change(inv, CHANGE_OF_STREAM);

    forget(inv);
    inv->floor = (weir_mark_t){floor, inv->local + 1};
    __atomic_store_n(&inv->era, era, __ATOMIC_RELEASE);
    set_local(inv, inv->local + 1);

    change(inv, CHANGE_NONE);
}

void weir_invalidations_skip(weir_invalidations_t *inv, weir_position_t position)
{
    change(inv, CHANGE_OF_STREAM);

    raise(&inv->floor, (weir_mark_t){position, inv->local + 1});
    inv->position = later(inv->position, position);
    set_local(inv, inv->local + 1);

    change(inv, CHANGE_NONE);
}

void weir_invalidations_distrust(weir_invalidations_t *inv)
{
    uint32_t kind = inv->changing;
    uint64_t local = inv->local + 1;

    __atomic_store_n(&inv->era, 0, __ATOMIC_RELEASE);
    forget(inv);
    inv->floor = (weir_mark_t){{0, 0}, local};

    /* what the other edges would have been told may be lost */

    if (kind == CHANGE_MADE_HERE || inv->npending != 0 || inv->pending_all != 0)
        inv->pending_all = local;

    inv->npending = 0;
    set_local(inv, local);

    change(inv, CHANGE_NONE);
}

/* --- records ------------------------------------------------------------- */

static uint64_t place(uint64_t hash, bool soft)
{
    return (hash & ~(uint64_t)SOFT) | (soft ? SOFT : 0);
}

/* Says nothing any more that the floor doesn't. */
static bool is_sunk(const weir_invalidations_t *inv, uint64_t hash, const weir_mark_t *mark)
{
    const weir_mark_t *floor = &inv->floor;

    if ((hash & SOFT) && inv->soft_floor.local > floor->local)
        floor = &inv->soft_floor;

    return mark->local <= floor->local && weir_position_cmp(mark->position, floor->position) <= 0;
}

static void record(weir_invalidations_t *inv, uint64_t hash, bool soft, weir_mark_t mark)
{
    uint64_t h = place(hash, soft);
    weir_invalidation_set_t *set = &inv->sets[(h >> 1) % inv->nsets];
    int unused = -1, oldest = 0;

    for (int i = 0; i < WEIR_INVALIDATION_WAYS; i++) {
        if (set->hash[i] == h) {
            raise(&set->mark[i], mark);
            return;
        }

        if (set->hash[i] == 0 || is_sunk(inv, set->hash[i], &set->mark[i]))
            unused = i;
        else if (set->mark[i].local < set->mark[oldest].local)
            oldest = i;
    }

    if (unused == -1) {
        raise(set->hash[oldest] & SOFT ? &inv->soft_floor : &inv->floor, set->mark[oldest]);
        inv->evicted++;
        unused = oldest;
    }

    set->hash[unused] = h;
    set->mark[unused] = mark;
}

static void record_prefix(weir_invalidations_t *inv, weir_str_t text, bool soft, weir_mark_t mark)
{
    weir_invalidation_prefix_t *prefix;
    size_t len = text.len < WEIR_INVALIDATION_PREFIX_MAX ? text.len : WEIR_INVALIDATION_PREFIX_MAX;

    for (uint32_t i = 0; i < inv->nprefixes; i++) {
        prefix = &inv->prefixes[i];

        if (prefix->soft == soft && prefix->len == len &&
            memcmp(prefix->text, text.data, len) == 0) {
            raise(&prefix->mark, mark);
            return;
        }
    }

    prefix = &inv->prefixes[inv->prefix_next];

    if (inv->nprefixes == inv->prefix_max) {
        raise(prefix->soft ? &inv->soft_floor : &inv->floor, prefix->mark);
        inv->evicted++;
    } else {
        inv->nprefixes++;
    }

    inv->prefix_next = (inv->prefix_next + 1) % inv->prefix_max;

    prefix->mark = mark;
    prefix->soft = soft;
    prefix->len = (uint16_t)len;
    memcpy(prefix->text, text.data, len);
}

/* --- pending ------------------------------------------------------------- */

static void await(weir_invalidations_t *inv, uint64_t hash, bool soft, uint64_t local, uint64_t now)
{
    uint64_t h = place(hash, soft);

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

/* The stream has it: this edge's message of that local number and what it covers. */
static void confirm(weir_invalidations_t *inv, uint64_t hash, bool soft, uint64_t local)
{
    uint64_t h = place(hash, soft);

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
            *soft = p->hash & SOFT;
        else if (*soft != (bool)(p->hash & SOFT))
            continue;

        p->sent = now;
        hashes[n++] = p->hash & ~(uint64_t)SOFT;
    }

    return n;
}

/* --- messages ------------------------------------------------------------ */

typedef struct {
    weir_invalidations_t *inv;
    weir_mark_t mark;
    bool soft;
    bool ours;  /* was applied when it was made */
    bool named; /* something to invalidate */
} message_t;

static bool read_number(weir_str_t s, uint64_t *n)
{
    *n = 0;

    if (s.len == 0)
        return false;

    for (size_t i = 0; i < s.len; i++) {
        unsigned digit = (unsigned)(unsigned char)s.data[i] - '0';

        if (digit > 9 || *n > (UINT64_MAX - digit) / 10)
            return false;

        *n = *n * 10 + digit;
    }

    return true;
}

static bool read_hex(weir_str_t s, uint64_t *n)
{
    *n = 0;

    if (s.len != 16)
        return false;

    for (size_t i = 0; i < 16; i++) {
        char c = s.data[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;

        if (digit == -1)
            return false;

        *n = *n << 4 | (uint64_t)digit;
    }

    return true;
}

bool weir_position_parse(weir_str_t s, weir_position_t *position)
{
    const char *dash = s.len != 0 ? memchr(s.data, '-', s.len) : NULL;
    size_t len = dash ? (size_t)(dash - s.data) : s.len;

    position->seq = 0;

    if (!read_number((weir_str_t){s.data, len}, &position->ms))
        return false;

    return !dash || read_number((weir_str_t){dash + 1, s.len - len - 1}, &position->seq);
}

static bool is_one(weir_str_t value)
{
    return weir_str_eq(value, WEIR_STR("1"));
}

static void invalidate(message_t *m, uint64_t hash)
{
    m->named = true;
    record(m->inv, hash, m->soft, m->mark);

    if (m->ours)
        confirm(m->inv, hash, m->soft, m->mark.local);
}

static const char *apply_tags(message_t *m, weir_str_t value)
{
    weir_str_t tag;
    size_t pos = 0;

    while (weir_tags_next(value, &pos, &tag))
        invalidate(m, weir_tag_hash(tag));

    return NULL;
}

static const char *apply_keys(message_t *m, weir_str_t value)
{
    const char *p = value.data, *end = p + value.len, *line;

    while (p < end) {
        line = memchr(p, '\n', (size_t)(end - p));

        if (!line)
            line = end;

        if (line != p)
            invalidate(m, weir_key_hash((weir_str_t){p, (size_t)(line - p)}));

        p = line + 1;
    }

    return NULL;
}

static const char *apply_hashes(message_t *m, weir_str_t value)
{
    const char *wrong = NULL;
    weir_str_t text;
    uint64_t hash;
    size_t pos = 0;

    while (weir_tags_next(value, &pos, &text)) {
        if (read_hex(text, &hash) && hash > SOFT)
            invalidate(m, hash);
        else
            wrong = "hashes that are not 16 hexadecimal digits";
    }

    return wrong;
}

static const char *apply_all(message_t *m, weir_str_t value)
{
    weir_invalidations_t *inv = m->inv;

    if (!is_one(value))
        return "\"all\" that is not 1";

    m->named = true;
    raise(m->soft ? &inv->soft_floor : &inv->floor, m->mark);

    if (m->ours && inv->pending_all <= m->mark.local)
        inv->pending_all = 0;

    return NULL;
}

static const char *apply_prefix(message_t *m, weir_str_t value)
{
    if (value.len == 0)
        return "an empty prefix; everything is \"all\" 1";

    m->named = true;
    record_prefix(m->inv, value, m->soft, m->mark);

    return NULL;
}

static const struct {
    weir_str_t name;
    const char *(*apply)(message_t *m, weir_str_t value);
} kinds[] = {
    {{"tags", 4}, apply_tags}, {{"keys", 4}, apply_keys},     {{"prefix", 6}, apply_prefix},
    {{"all", 3}, apply_all},   {{"hashes", 6}, apply_hashes},
};

/* origin-local; of another edge it says nothing to this one */
static const char *read_edge(message_t *m, weir_str_t value)
{
    uint64_t origin, local;

    if (value.len < 18 || value.data[16] != '-' ||
        !read_hex((weir_str_t){value.data, 16}, &origin) ||
        !read_number((weir_str_t){value.data + 17, value.len - 17}, &local))
        return "\"edge\" that is not origin-local";

    if (origin == m->inv->origin && local <= m->inv->local) {
        m->ours = true;
        m->mark.local = local;
    }

    return NULL;
}

const char *weir_invalidations_apply(weir_invalidations_t *inv, weir_position_t position,
                                     const weir_str_t *fields, size_t n)
{
    message_t m = {inv, {position, inv->local + 1}, false, false, false};
    const char *wrong = NULL, *w;

    if (weir_position_cmp(position, inv->position) <= 0)
        return NULL;

    change(inv, CHANGE_OF_STREAM);

    for (size_t i = 0; i + 1 < n; i += 2) {
        w = NULL;

        if (weir_str_eq(fields[i], WEIR_STR("soft")))
            m.soft = is_one(fields[i + 1]);
        else if (weir_str_eq(fields[i], WEIR_STR("edge")))
            w = read_edge(&m, fields[i + 1]);

        if (w)
            wrong = w;
    }

    for (size_t i = 0; i + 1 < n; i += 2) {
        for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
            if (!weir_str_eq(fields[i], kinds[k].name))
                continue;

            w = kinds[k].apply(&m, fields[i + 1]);

            if (w)
                wrong = w;
        }
    }

    if (!m.named && !wrong)
        wrong = "nothing to invalidate";

    inv->position = position;
    inv->applied++;

    if (m.named && !m.ours)
        set_local(inv, m.mark.local);

    change(inv, CHANGE_NONE);

    return wrong;
}

uint64_t weir_invalidations_make(weir_invalidations_t *inv, const uint64_t *hashes, size_t n,
                                 bool soft, const weir_position_t *position, bool pending,
                                 uint64_t now)
{
    weir_mark_t mark = {{0, 0}, inv->local + 1};

    change(inv, CHANGE_MADE_HERE);

    if (position)
        mark.position = *position;

    for (size_t i = 0; i < n; i++) {
        record(inv, hashes[i], soft, mark);

        if (!position && pending)
            await(inv, hashes[i], soft, mark.local, now);
    }

    inv->applied++;
    set_local(inv, mark.local);

    change(inv, CHANGE_NONE);

    return mark.local;
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

/* Whether a message about the hash came after the stamp. */
static bool is_touched(const check_t *c, uint64_t hash, bool soft)
{
    const weir_invalidations_t *inv = c->inv;
    uint64_t h = place(hash, soft);
    const weir_invalidation_set_t *set = &inv->sets[(h >> 1) % inv->nsets];

    for (int i = 0; i < WEIR_INVALIDATION_WAYS; i++) {
        if (set->hash[i] == h) {
            if (is_before(c, &set->mark[i]))
                return true;

            break;
        }
    }

    if (c->ours)
        return false;

    for (uint32_t i = 0; i < inv->npending; i++) {
        if (inv->pending[i].hash == h)
            return true;
    }

    return false;
}

static bool is_any_touched(const check_t *c, weir_str_t key, weir_str_t tags, bool soft)
{
    const weir_invalidations_t *inv = c->inv;

    if (is_touched(c, weir_key_hash(key), soft))
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

weir_validity_t weir_invalidations_check(const weir_invalidations_t *inv, const weir_stamp_t *stamp,
                                         weir_str_t key, weir_str_t tags)
{
    check_t c = {inv, stamp, stamp->origin == inv->origin};

    if (stamp->era != inv->era || is_before(&c, &inv->floor))
        return WEIR_INVALID;

    /* without a stream nothing is known of what others have stored */
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
