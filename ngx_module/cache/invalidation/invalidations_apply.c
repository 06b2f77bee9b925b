/*
 * Parser of invalidation messages, the entries of the invalidation stream;
 * their fields are listed in invalidations.h.
 *
 * A message that this edge made itself was applied when it was made.  When the
 * message comes back from the stream, it only gives its records their position,
 * and they are no longer pending.  A malformed field does not keep the rest of
 * a message from being applied.
 */

#include "cache/invalidation/invalidations_private.h"

#include "cache/policy/tags.h"

typedef struct {
    weir_invalidations_t *inv;
    weir_mark_t mark;
    bool soft;
    bool ours;  /* applied when it was made */
    bool named; /* the message names something to invalidate */
    bool client;
} message_t;

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

static bool is_one(weir_str_t value)
{
    return weir_str_eq(value, WEIR_STR("1"));
}

static void invalidate(message_t *m, uint64_t hash)
{
    m->named = true;

    if (m->client && !m->soft && weir_invalidations_record_client(m->inv, hash, m->mark, m->ours))
        return;

    weir_invalidations_record(m->inv, hash, m->soft, m->mark);

    if (m->ours)
        weir_invalidations_confirm(m->inv, hash, m->soft, m->mark.local);
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
        if (read_hex(text, &hash) && hash > WEIR_INVALIDATION_SOFT)
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
    weir_mark_raise(m->soft ? &inv->soft_floor : &inv->floor, m->mark);

    if (m->ours && inv->pending_all <= m->mark.local)
        inv->pending_all = 0;

    return NULL;
}

static const char *apply_prefix(message_t *m, weir_str_t value)
{
    if (value.len == 0)
        return "an empty prefix; everything is \"all\" 1";

    m->named = true;
    weir_invalidations_record_prefix(m->inv, value, m->soft, m->mark);

    return NULL;
}

static const struct {
    weir_str_t name;
    const char *(*apply)(message_t *m, weir_str_t value);
} kinds[] = {
    {{"tags", 4}, apply_tags}, {{"keys", 4}, apply_keys},     {{"prefix", 6}, apply_prefix},
    {{"all", 3}, apply_all},   {{"hashes", 6}, apply_hashes},
};

/* Reads origin-local; the message of another edge says nothing about this edge. */
static const char *read_edge(message_t *m, weir_str_t value)
{
    uint64_t origin, local;

    if (value.len < 18 || value.data[16] != '-' ||
        !read_hex((weir_str_t){value.data, 16}, &origin) ||
        !weir_position_number((weir_str_t){value.data + 17, value.len - 17}, &local))
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
    message_t m = {inv, {position, inv->local + 1}, false, false, false, false};
    const char *wrong = NULL, *w;

    if (weir_position_cmp(position, inv->position) <= 0)
        return NULL;

    weir_invalidations_change(inv, WEIR_CHANGE_OF_STREAM);

    for (size_t i = 0; i + 1 < n; i += 2) {
        w = NULL;

        if (weir_str_eq(fields[i], WEIR_STR("soft"))) {
            m.soft = is_one(fields[i + 1]);

            if (!m.soft && !weir_str_eq(fields[i + 1], WEIR_STR("0")))
                w = "\"soft\" that is neither 0 nor 1";
        } else if (weir_str_eq(fields[i], WEIR_STR("client"))) {
            m.client = is_one(fields[i + 1]);
        } else if (weir_str_eq(fields[i], WEIR_STR("edge"))) {
            w = read_edge(&m, fields[i + 1]);
        }

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
        wrong = "nothing to invalidate: no tags, keys, prefix or \"all\" 1";

    inv->position = position;
    inv->applied++;

    if (m.named && !m.ours)
        weir_invalidations_set_local(inv, m.mark.local);

    weir_invalidations_change(inv, WEIR_CHANGE_NONE);

    return wrong;
}
