// needs: common/metrics/exposition.c
#include "common/metrics/exposition.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static const weir_metric_t counter = {"weir_calls", NULL, WEIR_METRIC_COUNTER, "Calls."};
static const weir_metric_t lag = {"weir_lag_seconds", "seconds", WEIR_METRIC_GAUGE, "The lag."};
static const weir_metric_t build = {"weir_build", NULL, WEIR_METRIC_INFO, "The version."};

static void write_all(weir_exposition_t *e)
{
    weir_label_t labels[] = {{"zone", WEIR_STR("a")}, {"level", WEIR_STR("redis")}};
    weir_label_t version = {"version", WEIR_STR("1.2")};

    weir_exposition_family(e, &counter);
    weir_exposition_sample(e, &counter, labels, 2, UINT64_MAX);
    weir_exposition_sample(e, &counter, NULL, 0, 0);
    weir_exposition_family(e, &lag);
    weir_exposition_sample_ms(e, &lag, labels, 1, 2005);
    weir_exposition_family(e, &build);
    weir_exposition_sample(e, &build, &version, 1, 1);
    weir_exposition_end(e);
}

static void assert_document(bool openmetrics, const char *want)
{
    char buf[1024];
    weir_exposition_t e = {buf, sizeof(buf), 0, openmetrics, NULL};

    write_all(&e);
    assert_true(e.len < sizeof(buf));
    buf[e.len] = '\0';
    assert_string_equal(buf, want);
}

static void the_text_format(void **state)
{
    (void)state;
    assert_document(false, "# TYPE weir_calls_total counter\n"
                           "# HELP weir_calls_total Calls.\n"
                           "weir_calls_total{zone=\"a\",level=\"redis\"} 18446744073709551615\n"
                           "weir_calls_total 0\n"
                           "# TYPE weir_lag_seconds gauge\n"
                           "# HELP weir_lag_seconds The lag.\n"
                           "weir_lag_seconds{zone=\"a\"} 2.005\n"
                           "# TYPE weir_build_info gauge\n"
                           "# HELP weir_build_info The version.\n"
                           "weir_build_info{version=\"1.2\"} 1\n");
}

static void openmetrics(void **state)
{
    (void)state;
    assert_document(true, "# TYPE weir_calls counter\n"
                          "# HELP weir_calls Calls.\n"
                          "weir_calls_total{zone=\"a\",level=\"redis\"} 18446744073709551615\n"
                          "weir_calls_total 0\n"
                          "# TYPE weir_lag_seconds gauge\n"
                          "# UNIT weir_lag_seconds seconds\n"
                          "# HELP weir_lag_seconds The lag.\n"
                          "weir_lag_seconds{zone=\"a\"} 2.005\n"
                          "# TYPE weir_build info\n"
                          "# HELP weir_build The version.\n"
                          "weir_build_info{version=\"1.2\"} 1\n"
                          "# EOF\n");
}

static void assert_label(weir_str_t value, const char *want)
{
    char buf[128];
    weir_exposition_t e = {buf, sizeof(buf), 0, false, NULL};
    weir_label_t label = {"l", value};
    char line[128];

    weir_exposition_sample(&e, &lag, &label, 1, 7);
    buf[e.len] = '\0';
    snprintf(line, sizeof(line), "weir_lag_seconds{l=\"%s\"} 7\n", want);
    assert_string_equal(buf, line);
}

static void values_of_labels_may_be_any_bytes(void **state)
{
    (void)state;
    assert_label(WEIR_STR(""), "");
    assert_label(WEIR_STR("a \"b\" \\ c\nd"), "a \\\"b\\\" \\\\ c\\nd");
    assert_label(WEIR_STR("\xc3\xa9"), "\xc3\xa9");
    assert_label(WEIR_STR("\xff\xc3"), "\xef\xbf\xbd\xef\xbf\xbd");
}

static void nothing_is_written_past_the_capacity(void **state)
{
    char whole[1024], part[1024];
    weir_exposition_t e = {whole, sizeof(whole), 0, true, NULL};

    (void)state;
    write_all(&e);
    for (size_t cap = 0; cap <= e.len; cap++) {
        weir_exposition_t f = {part, cap, 0, true, NULL};

        memset(part, '#', sizeof(part));
        write_all(&f);
        assert_int_equal(f.len, e.len);
        assert_memory_equal(part, whole, cap);
        assert_int_equal(part[cap], '#');
    }
}

static void assert_accepts(const char *accept, bool want)
{
    weir_str_t line = weir_str(accept);

    if (weir_exposition_accepts_openmetrics(&line, 1) != want)
        fail_msg("Accept: %s", accept);
}

static void openmetrics_is_sent_to_those_that_prefer_it(void **state)
{
    static const weir_str_t lines[] = {WEIR_STR("text/plain;q=0.2"),
                                       WEIR_STR("application/openmetrics-text;q=0.3")};

    (void)state;
    assert_false(weir_exposition_accepts_openmetrics(NULL, 0));
    assert_true(weir_exposition_accepts_openmetrics(lines, 2));
    assert_false(weir_exposition_accepts_openmetrics(lines, 1));

    /* Prometheus 2.42 and 3 */
    assert_accepts("application/openmetrics-text;version=1.0.0,"
                   "application/openmetrics-text;version=0.0.1;q=0.75,"
                   "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                   true);
    assert_accepts("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
                   "application/openmetrics-text;version=0.0.1;q=0.5,"
                   "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
                   "text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                   true);

    assert_accepts("*/*", false);
    assert_accepts("text/html,application/xhtml+xml,*/*;q=0.8", false);
    assert_accepts("APPLICATION/OpenMetrics-Text", true);
    assert_accepts("application/openmetrics-text;q=0", false);
    assert_accepts("application/openmetrics-text;q=0.000, text/plain", false);
    assert_accepts("application/openmetrics-text ; version=1.0.0 ; q=0.4 , text/plain;q=0.5",
                   false);
    assert_accepts("application/openmetrics-text;q=0.5, text/plain;q=0.499", true);
    assert_accepts("application/openmetrics-textual", false);
}

static void what_is_no_media_range_is_skipped(void **state)
{
    (void)state;
    assert_accepts("", false);
    assert_accepts(",,;;q=,=\"", false);
    assert_accepts("a/b;c=\"application/openmetrics-text,\\\",\", text/plain", false);
    assert_accepts("a/b;c=\"x\\\",\";q=1,application/openmetrics-text", true);
    assert_accepts("\xff, application/openmetrics-text", true);
    assert_accepts("application/openmetrics-text;q=9", true);
    assert_accepts("application/openmetrics-text;q=0.x", true);
    assert_accepts("application/openmetrics-text;q", true);
}

static const weir_metric_t duration = {"http_duration_seconds", "seconds", WEIR_METRIC_HISTOGRAM,
                                       "Duration."};

static void assert_histogram(bool openmetrics, const char *want)
{
    static const double bounds[] = {0.005, 0.25, 1, 10};
    static const uint64_t counts[] = {0, 3, 4, 4};
    weir_buckets_t buckets = {bounds, counts, 4, 5, 1234.5625, NULL};
    weir_label_t label = {"http_route", WEIR_STR("/a\n\"")};
    char buf[1024];
    weir_exposition_t e = {buf, sizeof(buf), 0, openmetrics, NULL};

    weir_exposition_family(&e, &duration);
    weir_exposition_histogram(&e, &duration, &label, 1, &buckets);
    weir_exposition_histogram(&e, &duration, NULL, 0, &buckets);
    assert_true(e.len < sizeof(buf));
    buf[e.len] = '\0';
    assert_string_equal(buf, want);
}

static void histograms(void **state)
{
    (void)state;
    assert_histogram(false,
                     "# TYPE http_duration_seconds histogram\n"
                     "# HELP http_duration_seconds Duration.\n"
                     "http_duration_seconds_bucket{http_route=\"/a\\n\\\"\",le=\"0.005\"} 0\n"
                     "http_duration_seconds_bucket{http_route=\"/a\\n\\\"\",le=\"0.25\"} 3\n"
                     "http_duration_seconds_bucket{http_route=\"/a\\n\\\"\",le=\"1\"} 4\n"
                     "http_duration_seconds_bucket{http_route=\"/a\\n\\\"\",le=\"10\"} 4\n"
                     "http_duration_seconds_bucket{http_route=\"/a\\n\\\"\",le=\"+Inf\"} 5\n"
                     "http_duration_seconds_count{http_route=\"/a\\n\\\"\"} 5\n"
                     "http_duration_seconds_sum{http_route=\"/a\\n\\\"\"} 1234.5625\n"
                     "http_duration_seconds_bucket{le=\"0.005\"} 0\n"
                     "http_duration_seconds_bucket{le=\"0.25\"} 3\n"
                     "http_duration_seconds_bucket{le=\"1\"} 4\n"
                     "http_duration_seconds_bucket{le=\"10\"} 4\n"
                     "http_duration_seconds_bucket{le=\"+Inf\"} 5\n"
                     "http_duration_seconds_count 5\n"
                     "http_duration_seconds_sum 1234.5625\n");
}

static void openmetrics_bounds_have_a_point(void **state)
{
    static const double bounds[] = {0.005, 1, 1e30};
    static const uint64_t counts[] = {1, 2, 3};
    weir_buckets_t buckets = {bounds, counts, 3, 3, 0.0, NULL};
    char buf[512];
    weir_exposition_t e = {buf, sizeof(buf), 0, true, NULL};

    (void)state;
    weir_exposition_histogram(&e, &duration, NULL, 0, &buckets);
    buf[e.len] = '\0';
    assert_string_equal(buf, "http_duration_seconds_bucket{le=\"0.005\"} 1\n"
                             "http_duration_seconds_bucket{le=\"1.0\"} 2\n"
                             "http_duration_seconds_bucket{le=\"1e+30\"} 3\n"
                             "http_duration_seconds_bucket{le=\"+Inf\"} 3\n"
                             "http_duration_seconds_count 3\n"
                             "http_duration_seconds_sum 0\n");
}

static void assert_exemplars(bool openmetrics, const char *want)
{
    static const double bounds[] = {0.005, 0.25};
    static const uint64_t counts[] = {1, 1};
    static const weir_exemplar_t exemplars[] = {
        {{0x0a, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xff}, 0.001, 1700000000012345678},
        {{0}, 0, 0},
        {{1}, 11.5, 1700000001999999999},
    };
    weir_buckets_t buckets = {bounds, counts, 2, 2, 11.501, exemplars};
    char buf[1024];
    weir_exposition_t e = {buf, sizeof(buf), 0, openmetrics, NULL};

    weir_exposition_histogram(&e, &duration, NULL, 0, &buckets);
    buf[e.len] = '\0';
    assert_string_equal(buf, want);
}

static void exemplars(void **state)
{
    (void)state;
    assert_exemplars(true, "http_duration_seconds_bucket{le=\"0.005\"} 1 # "
                           "{trace_id=\"0a0102030405060708090a0b0c0d0eff\"} 0.001 1700000000.012\n"
                           "http_duration_seconds_bucket{le=\"0.25\"} 1\n"
                           "http_duration_seconds_bucket{le=\"+Inf\"} 2 # "
                           "{trace_id=\"01000000000000000000000000000000\"} 11.5 1700000001.999\n"
                           "http_duration_seconds_count 2\n"
                           "http_duration_seconds_sum 11.501\n");
    assert_exemplars(false, "http_duration_seconds_bucket{le=\"0.005\"} 1\n"
                            "http_duration_seconds_bucket{le=\"0.25\"} 1\n"
                            "http_duration_seconds_bucket{le=\"+Inf\"} 2\n"
                            "http_duration_seconds_count 2\n"
                            "http_duration_seconds_sum 11.501\n");
}

static void seconds(void **state)
{
    char buf[256];
    weir_exposition_t e = {buf, sizeof(buf), 0, false, NULL};

    (void)state;
    weir_exposition_sample_seconds(&e, &lag, NULL, 0, 0.1);
    weir_exposition_sample_seconds(&e, &lag, NULL, 0, 123456789.123);
    buf[e.len] = '\0';
    assert_string_equal(buf, "weir_lag_seconds 0.1\nweir_lag_seconds 123456789.123\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(histograms),
        cmocka_unit_test(exemplars),
        cmocka_unit_test(openmetrics_bounds_have_a_point),
        cmocka_unit_test(seconds),
        cmocka_unit_test(the_text_format),
        cmocka_unit_test(openmetrics),
        cmocka_unit_test(values_of_labels_may_be_any_bytes),
        cmocka_unit_test(nothing_is_written_past_the_capacity),
        cmocka_unit_test(openmetrics_is_sent_to_those_that_prefer_it),
        cmocka_unit_test(what_is_no_media_range_is_skipped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
