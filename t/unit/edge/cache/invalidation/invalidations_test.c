// needs: ngx_module/cache/invalidation/invalidations.c ngx_module/redis/follow/position.c
// needs: ngx_module/cache/invalidation/invalidations_apply.c ngx_module/cache/policy/tags.c
// needs: ngx_module/cache/invalidation/invalidations_make.c
// needs: ngx_module/cache/invalidation/invalidations_client.c common/hash/blake2b.c
/* The table of invalidations, case by case. */
#include "invalidations_fixture.h"

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

#define NOTHING "nothing to invalidate: no tags, keys, prefix or \"all\" 1"

static void malformed_messages_are_named(void **unused)
{
    weir_invalidations_t *inv = make_table(1 << 16);
    weir_stamp_t before = stamp_of(inv);

    (void)unused;
    assert_string_equal(apply_strings(inv, 1, NULL, 0), NOTHING);
    assert_string_equal(apply(inv, 2, "tag", "a"), NOTHING);
    assert_string_equal(apply(inv, 3, "tags", " , "), NOTHING);
    assert_string_equal(apply(inv, 4, "all", "yes"), "\"all\" that is not 1");
    assert_string_equal(apply(inv, 5, "prefix", ""), "an empty prefix; everything is \"all\" 1");
    assert_string_equal(apply(inv, 6, "hashes", "1234"),
                        "hashes that are not 16 hexadecimal digits");
    assert_string_equal(apply(inv, 7, "hashes", "0000000000000000"),
                        "hashes that are not 16 hexadecimal digits");
    assert_int_equal(check(inv, before, "k", "a"), WEIR_VALID);
    assert_int_equal(inv->position.ms, 7);
    assert_string_equal(apply(inv, 8, "soft", "yes", "prefix", "x"),
                        "\"soft\" that is neither 0 nor 1");
    assert_int_equal(check(inv, before, "xy", ""), WEIR_INVALID);

    /* what is right in it counts */
    assert_string_equal(apply(inv, 9, "edge", "me", "tags", "a", "all", "0"),
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

/* What the edge has no memory to name: its own entries and those of others. */
static void everything_at_once(void **unused)
{
    weir_invalidations_t *inv = make_table(1 << 16);
    weir_position_t later = {30, 0};
    weir_stamp_t old, new;

    (void)unused;
    assert_null(apply(inv, 10, "tags", "a"));
    old = stamp_of(inv);
    weir_invalidations_make_all(inv, NULL, true);
    new = stamp_of(inv);
    assert_int_equal(check(inv, old, "k", ""), WEIR_INVALID);
    assert_int_equal(weir_invalidations_check_held(inv, &old, str("k"), str("")), WEIR_INVALID);
    assert_int_equal(check(inv, new, "k", ""), WEIR_VALID);

    /* nothing of others until the message has come back */
    assert_int_equal(check(inv, foreign(20), "k", ""), WEIR_INVALID);
    assert_null(apply(inv, 20, "all", "1", "edge", edge(ORIGIN, inv->local)));
    assert_int_equal(check(inv, foreign(19), "k", ""), WEIR_INVALID);
    assert_int_equal(check(inv, foreign(20), "k", ""), WEIR_VALID);
    assert_int_equal(check(inv, new, "k", ""), WEIR_VALID);

    /* the upstream has written the message */
    weir_invalidations_make_all(inv, &later, true);
    assert_int_equal(check(inv, new, "k", ""), WEIR_INVALID);
    assert_int_equal(check(inv, foreign(29), "k", ""), WEIR_INVALID);
    assert_int_equal(check(inv, foreign(30), "k", ""), WEIR_VALID);
    assert_int_equal(inv->pending_all, 0);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_invalidate),
        cmocka_unit_test(soft_is_stale),
        cmocka_unit_test(malformed_messages_are_named),
        cmocka_unit_test(made_here_is_good_at_once),
        cmocka_unit_test(an_older_copy_confirms_no_newer_one),
        cmocka_unit_test(too_many_pending_are_all),
        cmocka_unit_test(everything_at_once),
        cmocka_unit_test(eras_part),
        cmocka_unit_test(a_broken_table_invalidates_everything),
        cmocka_unit_test(positions_are_read),
        cmocka_unit_test(records_fill_the_table),
        cmocka_unit_test(only_the_oldest_give_way),
        cmocka_unit_test(the_oldest_prefix_gives_way),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
