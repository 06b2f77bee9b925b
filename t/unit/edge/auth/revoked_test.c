// needs: ngx_module/auth/revoked/revoked.c ngx_module/auth/revoked/revoked_message.c
// needs: common/hash/blake2b.c common/ids/random.c
#include "auth/revoked/revoked.h"
#include "auth/revoked/revoked_message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MAX 50
#define KEEP 1000

static weir_revoked_t *table;

static const weir_str_t issuer = {"https://issuer.example", 22};

static int set_up(void **state)
{
    (void)state;
    table = malloc(weir_revoked_size(MAX));
    assert_non_null(table);
    weir_revoked_init(table, MAX);

    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(table);

    return 0;
}

static bool add(weir_revoked_kind_t kind, const char *name, int64_t before, int64_t until,
                int64_t now)
{
    uint8_t digest[WEIR_REVOKED_DIGEST];

    weir_revoked_digest(table, kind, issuer, weir_str(name), digest);

    return weir_revoked_add(table, digest, before, until, now, KEEP);
}

static bool has(weir_revoked_kind_t kind, const char *name, int64_t issued, int64_t now)
{
    uint8_t digest[WEIR_REVOKED_DIGEST];

    weir_revoked_digest(table, kind, issuer, weir_str(name), digest);

    return weir_revoked_has(table, digest, issued, now);
}

static void an_entry_holds_for_its_tokens_until_its_time(void **state)
{
    uint64_t revision = weir_revoked_revision(table);

    (void)state;
    assert_true(add(WEIR_REVOKED_SUBJECT, "a", 100, 500, 120));
    assert_true(weir_revoked_revision(table) > revision);
    assert_true(has(WEIR_REVOKED_SUBJECT, "a", 100, 120));
    assert_true(has(WEIR_REVOKED_SUBJECT, "a", 99, 500));
    assert_false(has(WEIR_REVOKED_SUBJECT, "a", 101, 120));
    assert_false(has(WEIR_REVOKED_SUBJECT, "a", 99, 501));
    assert_false(has(WEIR_REVOKED_SUBJECT, "b", 99, 120));
    assert_false(has(WEIR_REVOKED_ID, "a", 99, 120));
}

static void digests_are_of_issuer_kind_and_name(void **state)
{
    uint8_t a[WEIR_REVOKED_DIGEST], b[WEIR_REVOKED_DIGEST];

    (void)state;
    weir_revoked_digest(table, WEIR_REVOKED_ID, WEIR_STR("ab"), WEIR_STR("c"), a);
    weir_revoked_digest(table, WEIR_REVOKED_ID, WEIR_STR("a"), WEIR_STR("bc"), b);
    assert_memory_not_equal(a, b, sizeof(a));
    weir_revoked_digest(table, WEIR_REVOKED_SUBJECT, WEIR_STR("ab"), WEIR_STR("c"), b);
    assert_memory_not_equal(a, b, sizeof(a));
    weir_revoked_digest(table, WEIR_REVOKED_ID, WEIR_STR("ab"), WEIR_STR("c"), b);
    assert_memory_equal(a, b, sizeof(a));
}

/* The stream is read again with each connection: that changes nothing, and no revision. */
static void an_entry_that_comes_again_only_widens(void **state)
{
    uint64_t revision;

    (void)state;
    assert_true(add(WEIR_REVOKED_SUBJECT, "a", 100, 500, 120));
    revision = weir_revoked_revision(table);
    assert_true(add(WEIR_REVOKED_SUBJECT, "a", 100, 500, 130));
    assert_true(add(WEIR_REVOKED_SUBJECT, "a", 90, 400, 130));
    assert_int_equal(weir_revoked_revision(table), revision);
    assert_int_equal(table->n, 1);
    assert_true(has(WEIR_REVOKED_SUBJECT, "a", 100, 450));

    assert_true(add(WEIR_REVOKED_SUBJECT, "a", 110, 600, 130));
    assert_true(weir_revoked_revision(table) > revision);
    assert_true(has(WEIR_REVOKED_SUBJECT, "a", 110, 600));
    assert_int_equal(table->n, 1);
}

static void entries_that_are_not_needed_make_room(void **state)
{
    char name[16];

    (void)state;
    for (int i = 0; i < 20 * MAX; i++) {
        snprintf(name, sizeof(name), "%d", i);
        /* at most MAX are needed at a time */
        assert_true(add(WEIR_REVOKED_ID, name, INT64_MAX, 1000 + i + MAX - 1, 1000 + i));
        assert_true(has(WEIR_REVOKED_ID, name, 5, 1000 + i));
        if (i >= MAX / 2) {
            snprintf(name, sizeof(name), "%d", i - MAX / 2);
            assert_true(has(WEIR_REVOKED_ID, name, 5, 1000 + i));
        }
    }
    assert_int_equal(table->floors, 0);
}

/* What does not fit revokes everything that was issued: no revoked token comes back. */
static void a_full_table_raises_the_floor(void **state)
{
    char name[16];

    (void)state;
    for (int i = 0; i < MAX; i++) {
        snprintf(name, sizeof(name), "%d", i);
        assert_true(add(WEIR_REVOKED_ID, name, INT64_MAX, 5000, 1000));
    }
    assert_false(weir_revoked_is_below(table, 999, 1000));
    assert_false(add(WEIR_REVOKED_ID, "more", INT64_MAX, 5000, 1000));
    assert_true(weir_revoked_is_below(table, 1000 + WEIR_REVOKED_AHEAD, 1000));
    assert_true(weir_revoked_is_below(table, 5, 1000 + WEIR_REVOKED_AHEAD + KEEP));
    assert_false(weir_revoked_is_below(table, 1001 + WEIR_REVOKED_AHEAD, 1001));
    assert_false(weir_revoked_is_below(table, 5, 1001 + WEIR_REVOKED_AHEAD + KEEP));
    assert_true(weir_revoked_covers(table, 1000, 1001));
    assert_false(weir_revoked_covers(table, 1001, 1001));
    assert_int_equal(table->floors, 1);
    assert_int_equal(table->n, 0);

    /* and there is room for others */
    for (int i = 0; i < MAX; i++) {
        snprintf(name, sizeof(name), "new %d", i);
        assert_true(add(WEIR_REVOKED_ID, name, INT64_MAX, 5000, 1001));
        assert_true(has(WEIR_REVOKED_ID, name, 1001, 1001));
    }
    assert_int_equal(table->floors, 1);
}

static void the_floor_never_falls(void **state)
{
    (void)state;
    weir_revoked_raise(table, 100, KEEP);
    weir_revoked_raise(table, 50, KEEP);
    assert_true(weir_revoked_is_below(table, 100, 200));
    assert_int_equal(table->floors, 1);
}

static const char *read_texts(const char *line, weir_revoked_message_t *message)
{
    static char text[256];
    weir_str_t texts[16];
    size_t n = 0;

    snprintf(text, sizeof(text), "%s", line);
    for (char *p = strtok(text, " "); p != NULL; p = strtok(NULL, " "))
        texts[n++] = strcmp(p, "-") == 0 ? (weir_str_t){p, 0} : weir_str(p);

    return weir_revoked_message_read(texts, n, message);
}

static void messages_are_read(void **state)
{
    weir_revoked_message_t message;

    (void)state;
    assert_null(read_texts("iss I jti J", &message));
    assert_int_equal(message.kind, WEIR_REVOKED_ID);
    assert_true(weir_str_eq(message.issuer, WEIR_STR("I")));
    assert_true(weir_str_eq(message.name, WEIR_STR("J")));
    assert_int_equal(message.time, -1);
    assert_null(read_texts("by me exp 1700000000 jti J iss I reason x", &message));
    assert_int_equal(message.time, 1700000000);
    assert_null(read_texts("iss I sub S before 0", &message));
    assert_int_equal(message.kind, WEIR_REVOKED_SUBJECT);
    assert_int_equal(message.time, 0);
}

static void messages_that_are_not_clear_revoke_nothing(void **state)
{
    static const char *const lines[] = {
        "",
        "iss I",
        "jti J",
        "iss I jti J sub S",
        "iss - jti J",
        "iss I jti -",
        "iss I jti J jti K",
        "iss I iss K jti J",
        "iss I jti J before 5",
        "iss I sub S exp 5",
        "iss I sub S before -1",
        "iss I sub S before 1.5",
        "iss I sub S before 1e9",
        "iss I sub S before 1234567890123",
        "iss I sub S before -",
        "iss I jti",
    };
    weir_revoked_message_t message;

    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        if (read_texts(lines[i], &message) == NULL)
            fail_msg("%s", lines[i]);
    }
}

static void times_are_bounded(void **state)
{
    weir_revoked_message_t message;
    int64_t before, until;

    (void)state;
    assert_null(read_texts("iss I jti J", &message));
    weir_revoked_message_times(&message, 1000, 1005, 100, 10, &before, &until);
    assert_true(before == INT64_MAX && until == 1110);
    assert_null(read_texts("iss I jti J exp 1050", &message));
    weir_revoked_message_times(&message, 1000, 1005, 100, 10, &before, &until);
    assert_true(before == INT64_MAX && until == 1060);

    /* a token that is issued now, by a clock that is ahead, expires at 1115 at last */
    assert_null(read_texts("iss I jti J exp 999999999999", &message));
    weir_revoked_message_times(&message, 1000, 1005, 100, 10, &before, &until);
    assert_true(before == INT64_MAX && until == 1125);

    assert_null(read_texts("iss I sub S before 900", &message));
    weir_revoked_message_times(&message, 1000, 1005, 100, 10, &before, &until);
    assert_true(before == 900 && until == 1010);
    assert_null(read_texts("iss I sub S before 999999999999", &message));
    weir_revoked_message_times(&message, 1000, 1005, 100, 10, &before, &until);
    assert_true(before == 1010 && until == 1120);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_entry_holds_for_its_tokens_until_its_time, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(digests_are_of_issuer_kind_and_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_entry_that_comes_again_only_widens, set_up, tear_down),
        cmocka_unit_test_setup_teardown(entries_that_are_not_needed_make_room, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_table_raises_the_floor, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_floor_never_falls, set_up, tear_down),
        cmocka_unit_test(messages_are_read),
        cmocka_unit_test(messages_that_are_not_clear_revoke_nothing),
        cmocka_unit_test(times_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
