// needs: common/text/http_date.c
#include "common/text/http_date.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#define NOW 1795564800 /* in November 2026 */

static int64_t date(const char *text)
{
    return weir_http_date((weir_str_t){text, strlen(text)}, NOW);
}

static void all_formats_are_read(void **state)
{
    static const struct {
        const char *text;
        int64_t seconds;
    } rows[] = {
        {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
        {"Sunday, 06-Nov-94 08:49:37 GMT", 784111777},
        {"Sun Nov  6 08:49:37 1994", 784111777},
        {"Sun Nov 16 08:49:37 1994", 784975777},
        {"sUN, 06 nOV 1994 08:49:37 gmt", 784111777},
        {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
        {"Thu, 01 Jan 1970 00:00:01 GMT", 1},
        {"Wed, 31 Dec 1969 23:59:59 GMT", 0},
        {"Mon, 01 Jan 0001 00:00:00 GMT", 0},
        {"Tue, 29 Feb 2000 23:59:60 GMT", 951868800},
        {"Sat, 20 Nov 2286 17:46:40 GMT", 10000000000},
        {"Fri, 31 Dec 9999 23:59:59 GMT", 253402300799},
        {"Thursday, 17-Nov-44 09:10:11 GMT", 2362986611},  /* 18 years ahead */
        {"Wednesday, 18-Aug-76 09:10:11 GMT", 3364967411}, /* 50 */
        {"Thursday, 18-Aug-77 09:10:11 GMT", 240743411},   /* 51 would be too many */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t seconds = date(rows[i].text);

        if (seconds != rows[i].seconds)
            fail_msg("%s: %lld, not %lld", rows[i].text, (long long)seconds,
                     (long long)rows[i].seconds);
    }
}

static void every_day_of_some_centuries_is_right(void **state)
{
    (void)state;
    for (int64_t day = 0; day < 400 * 366; day++) {
        time_t t = day * 86400 + 3723;
        struct tm tm;
        char text[64];

        gmtime_r(&t, &tm);
        strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm);
        assert_int_equal(date(text), t);
        strftime(text, sizeof(text), "%a %b %e %H:%M:%S %Y", &tm);
        assert_int_equal(date(text), t);
    }
}

static void anything_else_is_no_date(void **state)
{
    static const char *rows[] = {
        "",
        "0",
        "-1",
        "never",
        "2147483647",
        "2044-11-17T09:10:11Z",
        "Thu, 17 Nov 2044 09:10:11 UTC",
        "Thu, 17 Nov 2044 09:10:11 AEST",
        "Thu, 17 Nov 2044 09:10:11 +0000",
        "Thu, 17 Nov 2044 09:10:11",
        "Thu, 17 Nov 44 09:10:11 GMT",
        "Thu 17 Nov 2044 09:10:11 GMT",
        "Thu, 17  Nov  2044 09:10:11 GMT",
        "Thu, 17-Nov-2044 09:10:11 GMT",
        "Thu, 17 Nov 2044 09.10.11 GMT",
        "Thu, 17 Nov 2044 9:10:11 GMT",
        "Thu, 7 Nov 2044 09:10:11 GMT",
        "Thu, 17 Foo 2044 09:10:11 GMT",
        "Xyz, 17 Nov 2044 09:10:11 GMT",
        "Thu, 17 Nov 2044 24:10:11 GMT",
        "Thu, 17 Nov 2044 09:60:11 GMT",
        "Thu, 17 Nov 2044 09:10:61 GMT",
        "Thu, 31 Nov 2044 09:10:11 GMT",
        "Thu, 00 Nov 2044 09:10:11 GMT",
        "Thu, 29 Feb 2045 09:10:11 GMT",
        "Thu, 29 Feb 2100 09:10:11 GMT",
        "Thu, 17 Nov 2044 09:10:11 GMT ",
        "Thu, 17 Nov 2044 09:10:11 GMT x",
        "\"Thu, 17 Nov 2044 09:10:11 GMT\"",
        "Thursday, 17-Nov-2044 09:10:11 GMT",
        "Thu, 17-Nov-44 09:10:11 GMT",
        "Thu Nov 7 09:10:11 2044",
        "Thu Nov  7 09:10:11 2044 GMT",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (date(rows[i]) != -1)
            fail_msg("\"%s\" was taken for a date", rows[i]);
    }
}

static void no_prefix_of_a_date_is_one(void **state)
{
    const char *text = "Sunday, 06-Nov-94 08:49:37 GMT";

    (void)state;
    for (size_t n = 0; n < strlen(text); n++) {
        char *exact = strndup(text, n); /* so that a sanitizer sees a read past its end */

        assert_int_equal(weir_http_date((weir_str_t){exact, n}, NOW), -1);
        free(exact);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_formats_are_read),
        cmocka_unit_test(every_day_of_some_centuries_is_right),
        cmocka_unit_test(anything_else_is_no_date),
        cmocka_unit_test(no_prefix_of_a_date_is_one),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
