// needs: common/trace/span.c common/trace/encode/otlp.c common/trace/encode/otlp_json.c
// needs: common/trace/encode/zipkin.c common/trace/encode/out.c common/problem.c
/*
 * With an argument ("protobuf", "json", "zipkin"), prints a batch of two spans in that format, for
 * t/build/spans.t, which reads it with decoders that are not ours.
 */
#include "common/trace/span.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const weir_str_t names[] = {{"one", 3}, {"tw\xffo", 4}};

static const weir_attribute_t attributes[] = {
    {.name = "text", .type = WEIR_ATTRIBUTE_TEXT, .value.text = {"a\"b\\c\n\xc3\xa4\xff", 9}},
    {.name = "empty", .type = WEIR_ATTRIBUTE_TEXT, .value.text = {"", 0}},
    {.name = "number", .type = WEIR_ATTRIBUTE_NUMBER, .value.number = 9007199254740993},
    {.name = "negative", .type = WEIR_ATTRIBUTE_NUMBER, .value.number = -1},
    {.name = "real", .type = WEIR_ATTRIBUTE_DOUBLE, .value.real = 0.1},
    {.name = "yes", .type = WEIR_ATTRIBUTE_BOOL, .value.flag = true},
    {.name = "no", .type = WEIR_ATTRIBUTE_BOOL, .value.flag = false},
    {.name = "texts", .type = WEIR_ATTRIBUTE_TEXTS, .value.texts = {names, 2}},
    {.name = "server.address", .type = WEIR_ATTRIBUTE_TEXT, .value.text = {"api", 3}},
    {.name = "network.peer.address", .type = WEIR_ATTRIBUTE_TEXT, .value.text = {"::1", 3}},
    {.name = "network.peer.port", .type = WEIR_ATTRIBUTE_NUMBER, .value.number = 8080},
};

static const weir_attribute_t service[] = {
    {.name = "service.name", .type = WEIR_ATTRIBUTE_TEXT, .value.text = {"weir-edge", 9}},
    {.name = "process.pid", .type = WEIR_ATTRIBUTE_NUMBER, .value.number = 42},
};

static const weir_span_resource_t resource = {{service, 2}};

static const weir_span_event_t events[] = {
    {.time = UINT64_C(1700000000123456789), .name = "weir.cache.stale"},
    {.time = UINT64_C(1700000000123456790), .name = "other", .attributes = {attributes, 8}},
};

static const weir_span_link_t links[] = {
    {.trace_id = {9, 8, 7}, .span_id = {6}, .attributes = {attributes + 2, 1}},
};

/* All that a span can have. */
static weir_span_t whole(void)
{
    return (weir_span_t){
        .trace_id = {0x4b, 0xf9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14},
        .span_id = {1, 2, 3, 4, 5, 6, 7, 8},
        .parent_id = {8, 7, 6, 5, 4, 3, 2, 1},
        .remote_parent = true,
        .flags = 3,
        .tracestate = {"ot=th:8,a=1", 11},
        .name = {"GET /products", 13},
        .kind = WEIR_SPAN_CLIENT,
        .start = UINT64_C(1700000000123456789),
        .end = UINT64_C(1700000001123456789),
        .attributes = {attributes, sizeof(attributes) / sizeof(attributes[0])},
        .events = events,
        .event_count = 2,
        .links = links,
        .link_count = 1,
        .status = WEIR_SPAN_STATUS_ERROR,
        .status_message = {"no \xfe answer", 11},
    };
}

/* As little as it may have. */
static weir_span_t bare(void)
{
    return (weir_span_t){
        .trace_id = {1},
        .span_id = {2},
        .name = {"GET", 3},
        .kind = WEIR_SPAN_SERVER,
        .start = 1,
        .end = 1,
    };
}

static void put(const char *buf, size_t len)
{
    fwrite(buf, 1, len, stdout);
}

static void print_batch(weir_span_format_t format)
{
    static char one[16384], two[16384], head[16384];
    weir_span_t a = whole(), b = bare();
    weir_str_t separator = weir_span_separator(format), tail = weir_span_tail(format);
    size_t n = weir_span_encode(format, &a, &resource, one, sizeof(one)),
           m = weir_span_encode(format, &b, &resource, two, sizeof(two)),
           h = weir_span_head(format, &resource, n + separator.len + m, head, sizeof(head));

    put(head, h);
    put(one, n);
    put(separator.data, separator.len);
    put(two, m);
    put(tail.data, tail.len);
}

static const weir_span_format_t formats[] = {WEIR_SPAN_FORMAT_PROTOBUF, WEIR_SPAN_FORMAT_JSON,
                                             WEIR_SPAN_FORMAT_ZIPKIN};

/* With less room than the returned length the result is refused; with as much, it is the same. */
static void a_span_fits_into_the_room_that_it_asked_for(void **state)
{
    weir_span_t spans[] = {whole(), bare()};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        for (size_t k = 0; k < 2; k++) {
            char room[16384], *exact;
            size_t len = weir_span_encode(formats[i], &spans[k], &resource, room, sizeof(room)),
                   want = weir_span_encode(formats[i], &spans[k], &resource, NULL, 0);

            assert_true(len > 0 && want >= len && want <= len + 4);
            for (size_t cap = 0; cap <= want; cap++) {
                size_t n;

                exact = malloc(cap + 1);
                assert_non_null(exact);
                n = weir_span_encode(formats[i], &spans[k], &resource, exact, cap);
                if (n <= cap) {
                    assert_int_equal(n, len);
                    assert_memory_equal(exact, room, len);
                } else {
                    assert_true(cap < want);
                }
                free(exact);
            }
        }
    }
}

static void a_long_text_takes_a_longer_length(void **state)
{
    static char text[20000], room[40000];
    weir_attribute_t a = {.name = "long", .type = WEIR_ATTRIBUTE_TEXT, .value.text = {text, 20000}};
    weir_span_t span = bare();
    size_t n;

    (void)state;
    memset(text, 'x', sizeof(text));
    span.attributes = (weir_attributes_t){&a, 1};
    n = weir_span_encode(WEIR_SPAN_FORMAT_PROTOBUF, &span, NULL, room, sizeof(room));
    assert_in_range(n, 20000, 20200);
    assert_int_equal(room[0], 0x12);
    assert_int_equal((room[1] & 0x7f) | (room[2] & 0x7f) << 7 | (room[3] & 0x7f) << 14, n - 4);
}

static void media_types_are_those_of_the_protocols(void **state)
{
    (void)state;
    assert_string_equal(weir_span_media_type(WEIR_SPAN_FORMAT_PROTOBUF), "application/x-protobuf");
    assert_string_equal(weir_span_media_type(WEIR_SPAN_FORMAT_JSON), "application/json");
    assert_string_equal(weir_span_media_type(WEIR_SPAN_FORMAT_ZIPKIN), "application/json");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_span_fits_into_the_room_that_it_asked_for),
        cmocka_unit_test(a_long_text_takes_a_longer_length),
        cmocka_unit_test(media_types_are_those_of_the_protocols),
    };

    if (argc > 1) {
        print_batch(strcmp(argv[1], "protobuf") == 0 ? WEIR_SPAN_FORMAT_PROTOBUF
                    : strcmp(argv[1], "json") == 0   ? WEIR_SPAN_FORMAT_JSON
                                                     : WEIR_SPAN_FORMAT_ZIPKIN);
        return 0;
    }

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
