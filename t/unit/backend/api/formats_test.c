// needs: backend/api/formats.c common/ids/uuid7.c common/ids/random.c
#include "api/formats.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct {
    const char *name;
    const char *(*check)(weir_str_t);
    const char *right[8], *wrong[16];
} formats[] = {
    {"uuid",
     weir_format_uuid,
     {"01900000-0000-7000-8000-00000000000a", "01900000-0000-7000-8000-00000000000A"},
     {"", "x", "01900000-0000-7000-8000-00000000000", "01900000-0000-7000-8000-00000000000g"}},
    {"currency",
     weir_format_currency,
     {"AED", "EUR", "ZWG"},
     {"", "eur", "XXX", "ED ", "EURO", "EU"}},
    {"date",
     weir_format_date,
     {"2026-01-31", "2024-02-29", "2000-02-29", "0001-01-01", "9999-12-31"},
     {"", "2026-1-31", "2026-02-29", "1900-02-29", "2026-13-01", "2026-00-01", "2026-01-00",
      "2026-04-31", "0000-01-01", "2026-01-31T", "2026/01/31", " 2026-01-31", "20260131"}},
    {"time",
     weir_format_time,
     {"2026-01-31T12:00:00Z", "2026-01-31t23:59:59.123456z", "2026-01-31T00:00:00+02:00",
      "2026-01-31T00:00:00.1-15:59"},
     {"", "2026-01-31", "2026-01-31 12:00:00Z", "2026-01-31T12:00:00", "2026-01-31T24:00:00Z",
      "2026-01-31T12:60:00Z", "2026-01-31T12:00:60Z", "2026-01-31T12:00:00.Z",
      "2026-01-31T12:00:00.1234567890Z", "2026-01-31T12:00:00+16:00", "2026-01-31T12:00:00+2:00",
      "2026-02-30T12:00:00Z", "2026-01-31T12:00:00Zx", "2026-01-31T12:00Z"}},
    {"line",
     weir_format_line,
     {"a", " a ", "\xf0\x9f\x8c\x8a"},
     {"", " ", "\xc2\xa0", "a\nb", "\x7f", "\xc2\x85"}},
    {"email",
     weir_format_email,
     {"a@b.de", "a.b+c@ex-ample.com"},
     {"", "a", "a@b", "a@-b.de", "a b@c.de", "a..b@c.de", "\xc3\xa4@b.de", "a@b.de\n"}},
};

static void each_format_takes_what_it_is(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        for (size_t k = 0; k < 8 && formats[i].right[k] != NULL; k++) {
            if (formats[i].check(weir_str(formats[i].right[k])) != NULL)
                fail_msg("%s: \"%s\" is right", formats[i].name, formats[i].right[k]);
        }
        for (size_t k = 0; k < 16 && formats[i].wrong[k] != NULL; k++) {
            if (formats[i].check(weir_str(formats[i].wrong[k])) == NULL)
                fail_msg("%s: \"%s\" is wrong", formats[i].name, formats[i].wrong[k]);
        }
    }
}

/* Every prefix, from memory of exactly its size, so that a sanitizer sees one byte too far. */
static void prefixes_are_read_to_their_end(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        for (size_t k = 0; k < 8 && formats[i].right[k] != NULL; k++) {
            for (size_t n = 0; n <= strlen(formats[i].right[k]); n++) {
                char *exact = malloc(n > 0 ? n : 1);

                memcpy(exact, formats[i].right[k], n);
                for (size_t f = 0; f < sizeof(formats) / sizeof(formats[0]); f++)
                    (void)formats[f].check((weir_str_t){exact, n});
                assert_true(weir_format_characters((weir_str_t){exact, n}) <= n);
                free(exact);
            }
        }
    }
}

static void the_limit_of_an_address_is_exact(void **state)
{
    char email[WEIR_EMAIL_MAX + 2];

    (void)state;
    memset(email, 'a', sizeof(email));
    memcpy(email, "me@", 3);
    for (size_t i = 60; i < WEIR_EMAIL_MAX; i += 60)
        email[i] = '.';
    assert_null(weir_format_email((weir_str_t){email, WEIR_EMAIL_MAX}));
    assert_non_null(weir_format_email((weir_str_t){email, WEIR_EMAIL_MAX + 1}));
}

static void characters_are_counted_not_bytes(void **state)
{
    (void)state;
    assert_int_equal(weir_format_characters(WEIR_STR("")), 0);
    assert_int_equal(weir_format_characters(WEIR_STR("a\xc3\xa4\xe2\x82\xac\xf0\x9f\x8c\x8a")), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_format_takes_what_it_is),
        cmocka_unit_test(prefixes_are_read_to_their_end),
        cmocka_unit_test(the_limit_of_an_address_is_exact),
        cmocka_unit_test(characters_are_counted_not_bytes),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
