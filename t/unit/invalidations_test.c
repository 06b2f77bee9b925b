// needs: ngx_module/cache/invalidations.c ngx_module/cache/invalidation_message.c
// needs: ngx_module/cache/tags.c
/*
 * The table of invalidations: cases, and random histories against a model that
 * forgets nothing.
 */

#include "cache/invalidations.h"

#include "cache/tags.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const uint64_t ORIGIN = 0x1122334455667788, ERA = 77;

static uint64_t state = 88172645463325252ULL;

static uint64_t next_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static weir_str_t str(const char *s)
{
    return (weir_str_t){s, strlen(s)};
}

static weir_invalidations_t *make_table(size_t size)
{
    void *memory = calloc(1, size);
    weir_invalidations_t *inv = weir_invalidations_init(memory, size, ORIGIN);

    weir_invalidations_begin(inv, ERA, (weir_position_t){0, 0});
    return inv;
}

static const char *apply_strings(weir_invalidations_t *inv, uint64_t ms, const char *const *strings,
                                 size_t n)
{
    weir_str_t fields[16];

    for (size_t i = 0; i < n; i++)
        fields[i] = str(strings[i]);

    return weir_invalidations_apply(inv, (weir_position_t){ms, 0}, fields, n);
}

/* Applies a message of pairs of field and value. */
#define apply(inv, ms, ...)                                                                        \
    apply_strings(inv, ms, (const char *const[]){__VA_ARGS__},                                     \
                  sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static weir_stamp_t stamp_of(weir_invalidations_t *inv)
{
    weir_stamp_t stamp;

    weir_invalidations_stamp(inv, &stamp);
    return stamp;
}

/* The stamp of another edge that has read up to ms. */
static weir_stamp_t foreign(uint64_t ms)
{
    return (weir_stamp_t){ERA, {ms, 0}, 5, 1000000};
}

static weir_validity_t check(weir_invalidations_t *inv, weir_stamp_t stamp, const char *key,
                             const char *tags)
{
    static char block[WEIR_TAGS_MAX * 8];
    size_t n = 0;

    assert_null(weir_tags_read(str(tags), block, &n));
    return weir_invalidations_check(inv, &stamp, str(key), (weir_str_t){block, n * 8});
}

static uint64_t make(weir_invalidations_t *inv, const char *tag, bool soft, uint64_t now)
{
    uint64_t hash = weir_tag_hash(str(tag));

    return weir_invalidations_make(inv, &hash, 1, soft, NULL, true, now);
}

static const char *edge(uint64_t origin, uint64_t local)
{
    static char text[64];

    snprintf(text, sizeof(text), "%016llx-%llu", (unsigned long long)origin,
             (unsigned long long)local);
    return text;
}

static void messages_invalidate(void **unused)
{
    weir_invalidations_t *inv = make_table(1 << 16);
    weir_stamp_t before = stamp_of(inv), after;

    (void)unused;
    assert_true(weir_invalidations_untouched(inv, &before));
    assert_null(apply(inv, 10, "tags", "a, b c"));
    after = stamp_of(inv);
    assert_false(weir_invalidations_untouched(inv, &before));
    assert_true(weir_invalidations_untouched(inv, &after));

    for (const char *tag = "abc"; *tag; tag++) {
        char text[2] = {*tag, '\0'};

        assert_int_equal(check(inv, before, "k", text), WEIR_INVALID);
        assert_int_equal(check(inv, after, "k", text), WEIR_VALID);
        assert_int_equal(check(inv, foreign(9), "k", text), WEIR_INVALID);
        assert_int_equal(check(inv, foreign(10), "k", text), WEIR_VALID);
    }

    assert_int_equal(check(inv, before, "k", "x"), WEIR_VALID);
    assert_int_equal(check(inv, before, "a", "x"), WEIR_VALID);
    assert_int_equal(check(inv, before, "k", "x, y, b"), WEIR_INVALID);

    assert_null(apply(inv, 11, "keys", "k1\nk2\n", "keys", "k3"));
    assert_int_equal(check(inv, after, "k1", ""), WEIR_INVALID);
    assert_int_equal(check(inv, after, "k2", ""), WEIR_INVALID);
    assert_int_equal(check(inv, after, "k3", ""), WEIR_INVALID);
    assert_int_equal(check(inv, after, "k", "k1"), WEIR_VALID);

    assert_null(apply(inv, 12, "prefix", "p/"));
    assert_int_equal(check(inv, after, "p/x", ""), WEIR_INVALID);
    assert_int_equal(check(inv, after, "p/", ""), WEIR_INVALID);
    assert_int_equal(check(inv, after, "p", ""), WEIR_VALID);
    assert_int_equal(check(inv, foreign(12), "p/x", ""), WEIR_VALID);

    assert_null(apply(inv, 13, "all", "1"));
    assert_int_equal(check(inv, foreign(12), "q", ""), WEIR_INVALID);
    assert_int_equal(check(inv, foreign(13), "q", ""), WEIR_VALID);
    assert_int_equal(check(inv, after, "q", ""), WEIR_INVALID);
    assert_int_equal(check(inv, stamp_of(inv), "q", ""), WEIR_VALID);

    /* an older message, or the same again, changes nothing */
    after = stamp_of(inv);
    assert_null(apply(inv, 13, "all", "1"));
    assert_null(apply(inv, 1, "all", "1"));
    assert_int_equal(check(inv, after, "q", ""), WEIR_VALID);
    free(inv);
}

static void soft_is_stale(void **unused)
{
    weir_invalidations_t *inv = make_table(1 << 16);
    weir_stamp_t before = stamp_of(inv);

    (void)unused;
    assert_null(apply(inv, 10, "tags", "a", "soft", "1"));
    assert_int_equal(check(inv, before, "k", "a"), WEIR_INVALID_SOFT);
    assert_int_equal(check(inv, foreign(9), "k", "a"), WEIR_INVALID_SOFT);
    assert_int_equal(check(inv, foreign(10), "k", "a"), WEIR_VALID);

    assert_null(apply(inv, 11, "soft", "1", "prefix", "p"));
    assert_int_equal(check(inv, before, "pp", ""), WEIR_INVALID_SOFT);
    assert_null(apply(inv, 12, "all", "1", "soft", "1"));
    assert_int_equal(check(inv, before, "q", ""), WEIR_INVALID_SOFT);
    assert_int_equal(check(inv, foreign(11), "q", ""), WEIR_INVALID_SOFT);

    assert_null(apply(inv, 13, "tags", "a", "soft", "0"));
    assert_int_equal(check(inv, before, "k", "a"), WEIR_INVALID);
    free(inv);
}

static void malformed_messages_are_named(void **unused)
{
    weir_invalidations_t *inv = make_table(1 << 16);
    weir_stamp_t before = stamp_of(inv);

    (void)unused;
    assert_string_equal(apply_strings(inv, 1, NULL, 0), "nothing to invalidate");
    assert_string_equal(apply(inv, 2, "tag", "a"), "nothing to invalidate");
    assert_string_equal(apply(inv, 3, "tags", " , "), "nothing to invalidate");
    assert_string_equal(apply(inv, 4, "all", "yes"), "\"all\" that is not 1");
    assert_string_equal(apply(inv, 5, "prefix", ""), "an empty prefix; everything is \"all\" 1");
    assert_string_equal(apply(inv, 6, "hashes", "1234"),
                        "hashes that are not 16 hexadecimal digits");
    assert_string_equal(apply(inv, 7, "hashes", "0000000000000000"),
                        "hashes that are not 16 hexadecimal digits");
    assert_int_equal(check(inv, before, "k", "a"), WEIR_VALID);
    assert_int_equal(inv->position.ms, 7);

    /* what is right in it counts */
    assert_string_equal(apply(inv, 8, "edge", "me", "tags", "a", "all", "0"),
                        "\"all\" that is not 1");
    assert_int_equal(check(inv, before, "k", "a"), WEIR_INVALID);
    free(inv);
}

static void made_here_is_good_at_once(void **unused)
{
    weir_invalidations_t *inv = make_table(1 << 16);
    weir_stamp_t before, after;
    uint64_t local, hashes[4];
    bool soft, all;

    (void)unused;
    assert_null(apply(inv, 10, "tags", "z"));
    before = stamp_of(inv);
    local = make(inv, "a", false, 100);
    after = stamp_of(inv);

    assert_int_equal(check(inv, before, "k", "a"), WEIR_INVALID);
    assert_int_equal(check(inv, after, "k", "a"), WEIR_VALID);
    assert_int_equal(check(inv, foreign(10), "k", "a"), WEIR_INVALID);
    assert_int_equal(check(inv, foreign(50), "k", "a"), WEIR_INVALID);
    assert_int_equal(check(inv, foreign(10), "k", "b"), WEIR_VALID);

    /* another's message doesn't confirm it */
    assert_null(apply(inv, 11, "tags", "a", "edge", edge(ORIGIN + 1, local)));
    assert_int_equal(check(inv, foreign(11), "k", "a"), WEIR_INVALID);
    assert_int_equal(check(inv, after, "k", "a"), WEIR_INVALID);
    after = stamp_of(inv);

    /* it is due for sending again after a while */
    assert_int_equal(weir_invalidations_unsent(inv, 150, 100, hashes, 4, &soft, &all), 0);
    assert_int_equal(weir_invalidations_unsent(inv, 200, 100, hashes, 4, &soft, &all), 1);
    assert_false(soft || all);
    assert_int_equal(weir_invalidations_unsent(inv, 200, 100, hashes, 4, &soft, &all), 0);

    /* its own does, and leaves what was fetched here meanwhile */
    assert_null(apply(inv, 12, "tags", "a", "edge", edge(ORIGIN, local)));
    assert_int_equal(check(inv, foreign(11), "k", "a"), WEIR_INVALID);
    assert_int_equal(check(inv, foreign(12), "k", "a"), WEIR_VALID);
    assert_int_equal(check(inv, after, "k", "a"), WEIR_VALID);
    assert_int_equal(inv->npending, 0);

    /* the stream's position may be known already */
    hashes[0] = weir_tag_hash(str("b"));
    weir_invalidations_make(inv, hashes, 1, false, &(weir_position_t){20, 0}, true, 0);
    assert_int_equal(inv->npending, 0);
    assert_int_equal(check(inv, foreign(19), "k", "b"), WEIR_INVALID);
    assert_int_equal(check(inv, foreign(20), "k", "b"), WEIR_VALID);
    free(inv);
}

static void an_older_copy_confirms_no_newer_one(void **unused)
{
    weir_invalidations_t *inv = make_table(1 << 16);
    uint64_t first = make(inv, "a", false, 0), second = make(inv, "a", false, 0);

    (void)unused;
    assert_null(apply(inv, 5, "tags", "a", "edge", edge(ORIGIN, first)));
    assert_int_equal(check(inv, foreign(5), "k", "a"), WEIR_INVALID);
    assert_null(apply(inv, 6, "tags", "a", "edge", edge(ORIGIN, second)));
    assert_int_equal(check(inv, foreign(5), "k", "a"), WEIR_INVALID);
    assert_int_equal(check(inv, foreign(6), "k", "a"), WEIR_VALID);

    /* nor a soft one a hard one */
    first = make(inv, "a", false, 0);
    assert_null(apply(inv, 7, "tags", "a", "soft", "1", "edge", edge(ORIGIN, first)));
    assert_int_equal(check(inv, foreign(7), "k", "a"), WEIR_INVALID);
    free(inv);
}

static void too_many_pending_are_all(void **unused)
{
    weir_invalidations_t *inv = make_table(WEIR_INVALIDATION_MEMORY_MIN);
    uint64_t hashes[4], local = 0;
    bool soft, all;
    char tag[16];

    (void)unused;
    for (uint32_t i = 0; i <= inv->pending_max; i++) {
        snprintf(tag, sizeof(tag), "t%u", i);
        local = make(inv, tag, false, 0);
    }

    assert_int_equal(check(inv, foreign(99), "k", "other"), WEIR_INVALID);
    assert_int_equal(weir_invalidations_unsent(inv, 1000, 100, hashes, 4, &soft, &all), 0);
    assert_true(all);
    assert_null(apply(inv, 100, "all", "1", "edge", edge(ORIGIN, local)));
    assert_int_equal(check(inv, foreign(100), "k", "other"), WEIR_VALID);
    assert_int_equal(check(inv, foreign(99), "k", "other"), WEIR_INVALID);
    free(inv);
}

static void eras_part(void **unused)
{
    weir_invalidations_t *inv = make_table(1 << 16);
    weir_stamp_t old = stamp_of(inv), new;

    (void)unused;
    make(inv, "mine", false, 0);
    weir_invalidations_begin(inv, ERA + 1, (weir_position_t){50, 0});
    assert_int_equal(check(inv, old, "k", ""), WEIR_INVALID);
    assert_int_equal(check(inv, foreign(99), "k", ""), WEIR_INVALID);
    assert_int_equal(inv->position.ms, 0);

    new = foreign(49);
    new.era = ERA + 1;
    assert_int_equal(check(inv, new, "k", ""), WEIR_INVALID);
    new.position.ms = 50;
    assert_int_equal(check(inv, new, "k", ""), WEIR_VALID);
    assert_int_equal(check(inv, new, "k", "mine"), WEIR_INVALID);
    assert_int_equal(check(inv, stamp_of(inv), "k", ""), WEIR_VALID);

    /* a gap */
    old = stamp_of(inv);
    weir_invalidations_skip(inv, (weir_position_t){60, 0});
    assert_int_equal(check(inv, old, "k", ""), WEIR_INVALID);
    assert_int_equal(check(inv, new, "k", ""), WEIR_INVALID);
    new.position.ms = 60;
    assert_int_equal(check(inv, new, "k", ""), WEIR_VALID);
    free(inv);
}

static void a_broken_table_invalidates_everything(void **unused)
{
    for (uint32_t kind = 1; kind <= 2; kind++) {
        weir_invalidations_t *inv = make_table(1 << 16);
        weir_stamp_t old;

        assert_null(apply(inv, 10, "tags", "a"));
        old = stamp_of(inv);
        memset(inv->sets, 0x5a, inv->nsets * sizeof(weir_invalidation_set_t));
        inv->changing = kind;
        weir_invalidations_distrust(inv);
        assert_int_equal(inv->changing, 0);
        assert_int_equal(check(inv, old, "k", ""), WEIR_INVALID);
        assert_int_equal(check(inv, foreign(10), "k", ""), WEIR_INVALID);
        assert_int_equal(check(inv, stamp_of(inv), "k", ""), WEIR_VALID);

        /* the same era again, read from its beginning */
        weir_invalidations_begin(inv, ERA, (weir_position_t){0, 0});
        assert_int_equal(check(inv, old, "k", ""), WEIR_INVALID);
        assert_null(apply(inv, 10, "tags", "a"));
        assert_int_equal(check(inv, foreign(9), "k", "a"), WEIR_INVALID);

        /* one that was made here may have been lost for all others */
        assert_int_equal(check(inv, foreign(10), "k", "a"), kind == 1 ? WEIR_VALID : WEIR_INVALID);
        free(inv);
    }
    (void)unused;
}

static void positions_are_read(void **unused)
{
    static const char *const wrong[] = {"",
                                        "-",
                                        "1-",
                                        "-1",
                                        "a",
                                        "1-a",
                                        "1-2-3",
                                        "+1",
                                        " 1",
                                        "1 ",
                                        "18446744073709551616",
                                        "1-18446744073709551616"};
    weir_position_t p;

    (void)unused;
    assert_true(weir_position_parse(str("12-34"), &p) && p.ms == 12 && p.seq == 34);
    assert_true(weir_position_parse(str("12"), &p) && p.ms == 12 && p.seq == 0);
    assert_true(weir_position_parse(str("18446744073709551615-18446744073709551615"), &p) &&
                p.ms == UINT64_MAX && p.seq == UINT64_MAX);

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_false(weir_position_parse(str(wrong[i]), &p));

    assert_int_equal(weir_position_cmp((weir_position_t){1, 2}, (weir_position_t){1, 3}), -1);
    assert_int_equal(weir_position_cmp((weir_position_t){2, 0}, (weir_position_t){1, 3}), 1);
    assert_int_equal(weir_position_cmp((weir_position_t){1, 3}, (weir_position_t){1, 3}), 0);
}

/* --- room ---------------------------------------------------------------- */

/* Message n invalidates a tag that no other does. */
static void apply_nth(weir_invalidations_t *inv, uint64_t seed, uint64_t n)
{
    char tag[64];

    snprintf(tag, sizeof(tag), "%llu-%llu", (unsigned long long)seed, (unsigned long long)n);
    assert_null(apply(inv, n, "tags", tag));
}

/* Tags that were chosen by nobody: none gives way before most places are taken. */
static void records_fill_the_table(void **unused)
{
    static const size_t sizes[] = {1 << 14, 1 << 16, 1 << 20};

    (void)unused;
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        for (uint64_t seed = 1; seed <= 20; seed++) {
            weir_invalidations_t *inv = make_table(sizes[s]);
            size_t places = inv->nsets * WEIR_INVALIDATION_WAYS;
            weir_stamp_t before = stamp_of(inv);

            for (uint64_t n = 1; n <= places * 3 / 4; n++)
                apply_nth(inv, seed, n);

            assert_int_equal(inv->evicted, 0);
            assert_int_equal(check(inv, before, "k", "other"), WEIR_VALID);
            free(inv);
        }
    }
}

/* However long it goes on, the floor stays well behind the newest message. */
static void only_the_oldest_give_way(void **unused)
{
    static const size_t sizes[] = {1 << 14, 1 << 16, 1 << 20};

    (void)unused;
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        weir_invalidations_t *inv = make_table(sizes[s]);
        size_t places = inv->nsets * WEIR_INVALIDATION_WAYS;

        for (uint64_t n = 1; n <= places * 10; n++) {
            apply_nth(inv, 0, n);
            assert_true(inv->floor.position.ms + places / 2 <= n || n <= places / 2);
        }

        assert_true(inv->evicted > 0);
        free(inv);
    }
}

/* A prefix that is invalidated again and again is none of the oldest. */
static void the_oldest_prefix_gives_way(void **unused)
{
    weir_invalidations_t *inv = make_table(1 << 16);
    uint64_t ms = 0;
    weir_stamp_t before;
    char prefix[16];

    (void)unused;
    for (uint32_t i = 0; i < inv->prefix_max; i++) {
        snprintf(prefix, sizeof(prefix), "p%u.", i);
        assert_null(apply(inv, ++ms, "prefix", prefix));
    }

    before = stamp_of(inv);
    assert_null(apply(inv, ++ms, "prefix", "p0."));
    assert_null(apply(inv, ++ms, "prefix", "new"));
    assert_int_equal(check(inv, before, "other", ""), WEIR_VALID);
    assert_int_equal(check(inv, before, "p0.x", ""), WEIR_INVALID);
    assert_int_equal(check(inv, before, "newer", ""), WEIR_INVALID);
    assert_int_equal(inv->evicted, 1);

    /* what everything was invalidated after needs no place */
    assert_null(apply(inv, ++ms, "all", "1"));
    before = stamp_of(inv);
    for (uint32_t i = 0; i < inv->prefix_max; i++) {
        snprintf(prefix, sizeof(prefix), "q%u.", i);
        assert_null(apply(inv, ++ms, "prefix", prefix));
    }
    assert_int_equal(inv->evicted, 1);
    assert_int_equal(check(inv, before, "other", ""), WEIR_VALID);
    assert_int_equal(check(inv, before, "q0.x", ""), WEIR_INVALID);
    free(inv);
}

/* --- random histories ---------------------------------------------------- */

/* One invalidation as the model remembers it. */
typedef struct {
    int tag; /* of TAGS; or -1: the prefix "k<key>"; -2: all; -3: the key */
    int key;
    bool soft;
    uint64_t local;
    uint64_t ms; /* UINT64_MAX: not in the stream yet */
} event_t;

typedef struct {
    weir_stamp_t stamp;
    int tag, key;
} response_t;

enum { TAGS = 300, KEYS = 40, EVENTS = 4000, RESPONSES = 400 };

static bool concerns(const event_t *e, const response_t *r)
{
    return e->tag == -2 || (e->tag < 0 ? e->key == r->key : e->tag == r->tag);
}

static weir_validity_t expected(const event_t *events, size_t n, const response_t *r)
{
    weir_validity_t worst = WEIR_VALID;

    for (size_t i = 0; i < n; i++) {
        const event_t *e = &events[i];

        if (!concerns(e, r) || (r->stamp.origin == ORIGIN ? r->stamp.local >= e->local
                                                          : r->stamp.position.ms >= e->ms))
            continue;

        if (!e->soft)
            return WEIR_INVALID;

        worst = WEIR_INVALID_SOFT;
    }

    return worst;
}

/* Nothing is ever less valid than the table says; exact: nor more. */
static void histories(size_t size, bool exact, uint64_t seed)
{
    weir_invalidations_t *inv = make_table(size);
    event_t *events = calloc(EVENTS, sizeof(event_t));
    response_t *responses = calloc(RESPONSES, sizeof(response_t));
    size_t n = 0, over = 0;
    uint64_t ms = 0, era = ERA;
    char key[16], tag[16], prefix[16], own[64];

    state = seed;

    for (size_t i = 0; i < RESPONSES; i++) {
        responses[i].stamp = stamp_of(inv);
        responses[i].tag = (int)(next_random() % TAGS);
        responses[i].key = (int)(next_random() % KEYS);
    }

    while (n < EVENTS) {
        event_t *e = &events[n];
        unsigned what = next_random() % 100;
        response_t *r = &responses[next_random() % RESPONSES];

        /* a response is fetched, here or by another edge that may lag behind */
        r->stamp = stamp_of(inv);
        if (next_random() % 2) {
            uint64_t lag = next_random() % 5;

            r->stamp.origin = 5;
            r->stamp.local = next_random() % 100000;
            r->stamp.position.ms -= lag < r->stamp.position.ms ? lag : 0;
        }

        e->tag = (int)(next_random() % TAGS);
        e->key = (int)(next_random() % KEYS);
        e->soft = next_random() % 4 == 0;
        e->ms = UINT64_MAX;
        snprintf(tag, sizeof(tag), "t%d", e->tag);
        snprintf(key, sizeof(key), "k%d.", e->key);
        snprintf(prefix, sizeof(prefix), "k%d", e->key);

        if (what < 20) {
            e->local = make(inv, tag, e->soft, 0);
            n++;
        } else if (what < 45) {
            /* one of those made here arrives in the stream */
            for (size_t i = 0; i < n; i++) {
                event_t *p = &events[i];

                if (p->ms != UINT64_MAX || next_random() % 4 != 0)
                    continue;

                ++ms;

                /* who knows this one started after all earlier ones were made */
                for (size_t k = 0; k < n; k++) {
                    if (events[k].ms == UINT64_MAX && events[k].tag == p->tag &&
                        events[k].soft == p->soft && events[k].local <= p->local)
                        events[k].ms = ms;
                }

                snprintf(tag, sizeof(tag), "t%d", p->tag);
                snprintf(own, sizeof(own), "%s", edge(ORIGIN, p->local));
                assert_null(p->soft ? apply(inv, ms, "tags", tag, "soft", "1", "edge", own)
                                    : apply(inv, ms, "tags", tag, "edge", own));
                break;
            }
        } else if (what < 97 || exact) {
            const char *field = "tags", *value = tag;

            if (what < 55) {
                e->tag = -3;
                field = "keys";
                value = key;
            } else if (what == 95 && !exact) {
                e->tag = -1;
                e->key = (int)(next_random() % 10); /* else "k1" is a prefix of "k10." */
                snprintf(prefix, sizeof(prefix), "k%d.", e->key);
                field = "prefix";
                value = prefix;
            } else if (what == 96) {
                e->tag = -2;
                field = "all";
                value = "1";
            }

            e->ms = ++ms;
            assert_null(e->soft ? apply(inv, ms, field, value, "soft", "1")
                                : apply(inv, ms, field, value));
            e->local = inv->local;
            n++;
        } else if (what == 97) {
            /* some were missed */
            ms += 3;
            *e = (event_t){-2, 0, false, 0, ms};
            weir_invalidations_skip(inv, (weir_position_t){ms, 0});
            e->local = inv->local;
            n++;
        } else if (what == 98 && next_random() % 20 == 0) {
            weir_invalidations_begin(inv, ++era, (weir_position_t){0, 0});
            ms = 0;
            for (size_t i = 0; i < n; i++) {
                if (events[i].ms != UINT64_MAX)
                    events[i].ms = 0;
            }
            for (size_t i = 0; i < RESPONSES; i++)
                assert_int_equal(
                    weir_invalidations_check(inv, &responses[i].stamp, str("k"), str("")),
                    WEIR_INVALID);
            for (size_t i = 0; i < RESPONSES; i++)
                responses[i].stamp = stamp_of(inv);
        }

        for (size_t i = 0; i < RESPONSES; i += 1 + next_random() % 7) {
            weir_validity_t is, should = expected(events, n, &responses[i]);

            snprintf(key, sizeof(key), "k%d.", responses[i].key);
            snprintf(tag, sizeof(tag), "t%d", responses[i].tag);
            is = check(inv, responses[i].stamp, key, tag);

            assert_true(is >= should);
            over += is != should;

            if (weir_invalidations_untouched(inv, &responses[i].stamp))
                assert_int_equal(should, WEIR_VALID);
        }
    }

    if (exact) {
        assert_int_equal(inv->evicted, 0);
        assert_int_equal(over, 0);
    }

    free(events);
    free(responses);
    free(inv);
}

static void a_table_with_room_is_exact(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= 10; seed++)
        histories(1 << 20, true, seed * 7919);
}

static void a_table_without_room_loses_nothing(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= 20; seed++)
        histories(WEIR_INVALIDATION_MEMORY_MIN + seed * 400, false, seed * 104729);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_invalidate),
        cmocka_unit_test(soft_is_stale),
        cmocka_unit_test(malformed_messages_are_named),
        cmocka_unit_test(made_here_is_good_at_once),
        cmocka_unit_test(an_older_copy_confirms_no_newer_one),
        cmocka_unit_test(too_many_pending_are_all),
        cmocka_unit_test(eras_part),
        cmocka_unit_test(a_broken_table_invalidates_everything),
        cmocka_unit_test(positions_are_read),
        cmocka_unit_test(records_fill_the_table),
        cmocka_unit_test(only_the_oldest_give_way),
        cmocka_unit_test(the_oldest_prefix_gives_way),
        cmocka_unit_test(a_table_with_room_is_exact),
        cmocka_unit_test(a_table_without_room_loses_nothing),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
