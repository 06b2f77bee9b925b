// needs: common/metrics/otlp/otlp.c common/metrics/otlp/protobuf.c common/metrics/otlp/json.c
// needs: common/metrics/histogram.c common/trace/encode/otlp.c common/trace/encode/otlp_json.c
// needs: common/trace/encode/out.c common/problem.c
/* With an argument, json or protobuf, it prints a request, which t/build/metrics.t reads. */
#include "common/metrics/otlp/otlp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SECOND ((uint64_t)1000000000)
#define START (1700000000 * SECOND)

static const weir_metric_t requests = {"weir_things_done", NULL, WEIR_METRIC_COUNTER, "Things."};
static const weir_metric_t waited = {"weir_phase_seconds", "seconds", WEIR_METRIC_COUNTER, "Time."};
static const weir_metric_t queued = {"weir_queued_bytes", "bytes", WEIR_METRIC_GAUGE, "Bytes."};
static const weir_metric_t duration = {"http_server_request_duration_seconds", "seconds",
                                       WEIR_METRIC_HISTOGRAM, "Durations."};

static const weir_attribute_t of_resource[] = {
    {.name = "service.name", .type = WEIR_ATTRIBUTE_TEXT, .value.text = {"edge", 4}},
};
static const weir_span_resource_t resource = {{of_resource, 1}};

static const weir_label_t labels[] = {
    {"http_route", {"/a\n\xff", 4}},
    {"http_response_status_code", {"503", 3}},
};

static void *zeroed(void *data, size_t size)
{
    (void)data;
    return calloc(1, size);
}

static const weir_histogram_memory_t memory = {zeroed, NULL};

static void record(weir_histogram_sum_t *sum, const double *values, size_t n)
{
    weir_histogram_t h = {0};

    for (size_t i = 0; i < n; i++)
        assert_true(weir_histogram_record(&h, values[i], &memory));
    weir_histogram_merge(sum, &h);
    for (size_t i = 0; i < WEIR_HISTOGRAM_OCTAVES; i++)
        free(h.page[i]);
}

static weir_histogram_sum_t narrow, wide, none;
static weir_exemplar_t exemplars[WEIR_EXEMPLARS_BUCKETS];

static void fill(void)
{
    static const double few[] = {0.0101, 0.0102, 0.0104, 0.02};
    static const double many[] = {0, 1e-7, 1e-6, 0.5, 0.5000001, 1, 4096, 5000, 1e9};

    memset(&narrow, 0, sizeof(narrow));
    memset(&wide, 0, sizeof(wide));
    record(&narrow, few, sizeof(few) / sizeof(few[0]));
    record(&wide, many, sizeof(many) / sizeof(many[0]));
    exemplars[1] = (weir_exemplar_t){{1, 2}, 0.0101, START + 100 * SECOND};
    exemplars[2] = (weir_exemplar_t){{3, 4}, 0.02, START + 200 * SECOND};
}

/* True if all of it has room. */
static bool write_all(weir_otlp_t *o, weir_span_format_t format)
{
    o->start = START;
    o->time = START + 300 * SECOND;
    o->since = START + 150 * SECOND;
    return weir_otlp_begin(o, format, &resource) &&
           weir_otlp_number(o, &requests, labels, 2, UINT64_C(1) << 60) &&
           weir_otlp_number(o, &requests, NULL, 0, 0) &&
           weir_otlp_real(o, &waited, labels, 1, 0.25) &&
           weir_otlp_number(o, &queued, NULL, 0, 7) &&
           weir_otlp_histogram(o, &duration, labels, 2, &narrow, exemplars) &&
           weir_otlp_histogram(o, &duration, labels, 1, &wide, NULL) &&
           weir_otlp_histogram(o, &duration, NULL, 0, &none, NULL);
}

static const weir_span_format_t formats[] = {WEIR_SPAN_FORMAT_PROTOBUF, WEIR_SPAN_FORMAT_JSON};

/* Whatever the room: what does not fit leaves no trace, and nothing is written beyond. */
static void any_room(void **state)
{
    static char whole[8192], buf[8192];

    (void)state;
    fill();
    for (size_t f = 0; f < 2; f++) {
        weir_otlp_t all = {.buf = whole, .cap = sizeof(whole)};
        size_t needed;
        uint32_t points = 0;

        assert_true(write_all(&all, formats[f]));
        assert_int_equal(all.points, 7);
        needed = weir_otlp_end(&all);

        for (size_t cap = WEIR_OTLP_END + 1; cap <= needed + WEIR_OTLP_END; cap++) {
            weir_otlp_t o = {.buf = buf, .cap = cap};
            bool fits;

            memset(buf, 'x', sizeof(buf));
            fits = write_all(&o, formats[f]);
            assert_true(buf[cap] == 'x');
            if (o.points > 0)
                assert_true(weir_otlp_end(&o) <= cap);
            assert_true(buf[cap] == 'x');
            assert_true(o.points >= points);
            points = o.points;
            if (fits) {
                assert_int_equal(o.out.len, needed);
                assert_memory_equal(buf, whole, needed);
            }
        }
        assert_int_equal(points, 7);
    }
}

static void print_request(weir_span_format_t format)
{
    static char buf[65536];
    weir_otlp_t o = {.buf = buf, .cap = sizeof(buf)};

    fill();
    if (!write_all(&o, format))
        abort();
    fwrite(buf, 1, weir_otlp_end(&o), stdout);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_room),
    };

    if (argc > 1) {
        print_request(strcmp(argv[1], "json") == 0 ? WEIR_SPAN_FORMAT_JSON
                                                   : WEIR_SPAN_FORMAT_PROTOBUF);
        return 0;
    }

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
