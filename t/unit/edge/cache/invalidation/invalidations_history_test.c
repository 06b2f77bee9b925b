// needs: ngx_module/cache/invalidation/invalidations.c ngx_module/redis/follow/position.c
// needs: ngx_module/cache/invalidation/invalidations_apply.c ngx_module/cache/policy/tags.c
// needs: ngx_module/cache/invalidation/invalidations_make.c
// needs: ngx_module/cache/invalidation/invalidations_client.c common/hash/blake2b.c
/* The table of invalidations: random histories against a model that forgets nothing. */
#include "invalidations_fixture.h"

static uint64_t state = 88172645463325252ULL;

static uint64_t next_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

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
    for (uint64_t seed = 1; seed <= 3; seed++)
        histories(1 << 20, true, seed * 7919);
}

static void a_table_without_room_loses_nothing(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= 6; seed++)
        histories(WEIR_INVALIDATION_MEMORY_MIN + seed * 400, false, seed * 104729);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_with_room_is_exact),
        cmocka_unit_test(a_table_without_room_loses_nothing),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
