// needs: backend/metrics/series.c backend/metrics/families.c common/metrics/exposition.c
// needs: common/metrics/histogram.c
// needs: backend/log/alloc.c backend/log/log.c common/problem.c
#include "metrics/series.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int collected;

static void collect(void *arg)
{
    collected++;
    weir_series_set(weir_series(WEIR_RELAY_TERM, NULL), *(uint64_t *)arg);
}

static char *text(bool openmetrics)
{
    size_t len;
    char *all = weir_series_text(openmetrics, &len), *copy = malloc(len + 1);

    memcpy(copy, all, len);
    copy[len] = '\0';
    free(all);

    return copy;
}

static void the_same_values_are_the_same_series(void **state)
{
    char name[] = "email";
    weir_series_t *s = weir_series(WEIR_GROUP_LAG, (const char *[]){name});

    (void)state;
    name[0] = 'E'; /* the value was copied */
    assert_ptr_equal(s, weir_series(WEIR_GROUP_LAG, (const char *[]){"email"}));
    assert_ptr_not_equal(s, weir_series(WEIR_GROUP_LAG, (const char *[]){"flags"}));
    assert_ptr_not_equal(s, weir_series(WEIR_GROUP_AGE, (const char *[]){"email"}));
}

static void a_value_of_null_is_another_series_than_an_empty_one(void **state)
{
    (void)state;
    assert_ptr_not_equal(weir_series(WEIR_HTTP_DURATION, (const char *[]){"GET", "200", NULL}),
                         weir_series(WEIR_HTTP_DURATION, (const char *[]){"GET", "200", ""}));
}

static void all_kinds_are_written(void **state)
{
    static uint64_t term = 7;
    weir_series_t *s = weir_series(WEIR_HTTP_DURATION, (const char *[]){"PUT", "201", "/a/{b}"});
    char *all;

    (void)state;
    weir_series_observe(s, 1500000);
    weir_series_observe(s, 250);
    weir_series_set(weir_series(WEIR_OUTBOX_AGE, NULL), 1234);
    weir_series_add(weir_series(WEIR_RELAY_PUBLISHED, NULL), 5);
    weir_series_add(weir_series(WEIR_RELAY_PUBLISHED, NULL), 1);
    weir_series_collect(collect, &term);
    all = text(false);
    assert_non_null(strstr(all, "# TYPE weir_relay_published_events_total counter\n"));
    assert_non_null(strstr(all, "\nweir_relay_published_events_total 6\n"));
    assert_non_null(strstr(all, "\nweir_outbox_oldest_age_seconds 1.234\n"));
    assert_non_null(strstr(all, "\nweir_relay_term 7\n"));
    assert_non_null(strstr(all, "http_server_request_duration_seconds_sum{"
                                "http_request_method=\"PUT\",http_response_status_code=\"201\","
                                "http_route=\"/a/{b}\"} 1.50025\n"));
    assert_null(strstr(all, "weir_relay_active")); /* no such series */
    free(all);

    assert_int_equal(collected, 1);
    weir_series_forget(collect, &term);
    all = text(true);
    assert_int_equal(collected, 1);
    assert_string_equal(all + strlen(all) - 6, "# EOF\n");
    free(all);
}

static void a_long_text_is_whole(void **state)
{
    char name[8], *all;

    (void)state;
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof(name), "g%d", i);
        weir_series_set(weir_series(WEIR_GROUP_DEAD, (const char *[]){name}), 1);
    }
    all = text(false);
    assert_non_null(strstr(all, "weir_group_dead_letters{group=\"g0\"} 1\n"));
    assert_non_null(strstr(all, "weir_group_dead_letters{group=\"g2999\"} 1\n"));
    free(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_values_are_the_same_series),
        cmocka_unit_test(a_value_of_null_is_another_series_than_an_empty_one),
        cmocka_unit_test(all_kinds_are_written),
        cmocka_unit_test(a_long_text_is_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
