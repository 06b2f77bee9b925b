// needs: backend/events/cloudevent.c common/problem.c common/trace/traceparent.c
// needs: common/trace/context.c common/trace/ids.c
// needs: common/ids/random.c common/trace/tracestate.c backend/log/trace.c
// needs: backend/log/alloc.c backend/log/log.c common/trace/late/late.c
#include "events/cloudevent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const weir_cloudevent_t full = {
    .id = "0190b5a2-0000-7000-8000-000000000001",
    .source = "weir/test",
    .type = "UserCreated",
    .aggregate = "user:\"quoted\"\n",
    .time = "2026-01-01T00:00:00.000001Z",
    .traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    .tracestate = "a=1,b@c=2",
    .data = "{\"n\": 1}",
    .causation = "0190b5a2-0000-7000-8000-000000000002",
    .correlation = "0190b5a2-0000-7000-8000-000000000003",
    .schema_version = "7",
    .for_group = "billing",
};

static void what_is_written_can_be_read(void **state)
{
    size_t len;
    char *text = weir_cloudevent_json(&full, &len);
    weir_trace_t trace;
    weir_event_t e;
    json_t *root;

    (void)state;
    assert_int_equal(strlen(text), len);
    root = weir_cloudevent_parse(text, len, &e, &trace);
    assert_non_null(root);
    assert_string_equal(e.id, full.id);
    assert_string_equal(e.type, full.type);
    assert_string_equal(e.aggregate, full.aggregate);
    assert_string_equal(e.time, full.time);
    assert_string_equal(e.traceparent, full.traceparent);
    assert_string_equal(e.causation, full.causation);
    assert_string_equal(e.correlation, full.correlation);
    assert_int_equal(e.schema_version, 7);
    assert_string_equal(e.for_group, "billing");
    assert_ptr_equal(e.trace, &trace);
    assert_string_equal(trace.at.trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_string_equal(trace.at.parent_id, "00f067aa0ba902b7");
    assert_string_equal(e.tracestate, full.tracestate);
    assert_ptr_equal(trace.tracestate, e.tracestate);
    assert_int_equal(json_integer_value(json_object_get(e.data, "n")), 1);
    assert_string_equal(json_string_value(json_object_get(root, "specversion")), "1.0");
    assert_string_equal(json_string_value(json_object_get(root, "source")), full.source);
    assert_string_equal(json_string_value(json_object_get(root, "datacontenttype")),
                        "application/json");
    json_decref(root);
    free(text);
}

static void without_a_trace_there_is_none(void **state)
{
    weir_cloudevent_t plain = full;
    size_t len;
    char *text;
    weir_trace_t trace;
    weir_event_t e;
    json_t *root;

    (void)state;
    plain.traceparent = plain.causation = plain.for_group = NULL;
    text = weir_cloudevent_json(&plain, &len);
    assert_null(strstr(text, "traceparent"));
    assert_null(strstr(text, "tracestate")); /* of no use alone */
    assert_null(strstr(text, "causationid"));
    assert_null(strstr(text, "forgroup"));
    root = weir_cloudevent_parse(text, len, &e, &trace);
    assert_non_null(root);
    assert_null(e.traceparent);
    assert_null(e.trace);
    json_decref(root);
    free(text);
}

static void what_is_no_event_is_refused(void **state)
{
    static const char *const wrong[] = {
        "",
        "{",
        "[]",
        "{}",
        "{\"id\":1,\"type\":\"t\",\"subject\":\"s\",\"time\":\"t\",\"data\":{}}",
        "{\"id\":\"1\",\"type\":\"t\",\"subject\":\"s\",\"time\":\"t\"}",
        "{\"id\":\"1\",\"type\":\"t\",\"subject\":\"s\",\"time\":\"t\",\"data\":[]}",
        "{\"id\":\"1\",\"type\":\"t\",\"time\":\"t\",\"data\":{}}",
        "{\"id\":\"1\",\"type\":\"t\",\"subject\":\"s\",\"time\":\"t\",\"data\":{},\"traceparent\":"
        "1}",
        "{\"id\":\"1\",\"type\":\"t\",\"subject\":\"s\",\"time\":\"t\",\"data\":{}} more",
    };
    weir_trace_t trace;
    weir_event_t e;

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
        assert_null(weir_cloudevent_parse(wrong[i], strlen(wrong[i]), &e, &trace));
}

static char *event_with(const char *data)
{
    char *json;

    if (asprintf(
            &json,
            "{\"id\":\"i\",\"type\":\"T\",\"subject\":\"a:1\",\"time\":\"t\",\"schemaversion\":3,"
            "\"data\":%s}",
            data) < 0)
        abort();
    return json;
}

/* jsonb takes all of these. */
static void data_that_no_c_type_holds_is_read_as_far_as_it_goes(void **state)
{
    char *deep = calloc(1, 20100), *digits = calloc(1, 500), *data[4];

    (void)state;
    memset(digits, '9', 400);
    strcpy(deep, "{\"n\":7,\"x\":");
    memset(deep + strlen(deep), '[', 10000);
    memset(deep + strlen(deep), ']', 10000);
    strcat(deep, ",\"s\":\"]}\\\"[\"}");
    data[0] = strdup("{\"n\":7,\"x\":9223372036854775808,\"s\":\"]}\\\"[\"}");
    data[1] = strdup("{\"n\":7,\"x\":{\"y\":[-99999999999999999999.5e3,18446744073709551616]},"
                     "\"s\":\"]}\\\"[\"}");
    if (asprintf(&data[2], "{\"n\":7,\"x\":%s,\"s\":\"]}\\\"[\"}", digits) < 0)
        abort();
    data[3] = deep;
    for (int i = 0; i < 4; i++) {
        char *json = event_with(data[i]);
        weir_trace_t trace;
        weir_event_t event;
        json_t *root = weir_cloudevent_parse(json, strlen(json), &event, &trace);

        assert_non_null(root);
        assert_int_equal(event.schema_version, 3);
        assert_true(json_is_integer(json_object_get(event.data, "n")));
        assert_int_equal(json_integer_value(json_object_get(event.data, "n")), 7);
        assert_string_equal(json_string_value(json_object_get(event.data, "s")), "]}\"[");
        json_decref(root);
        free(json);
        free(data[i]);
    }
    free(digits);
}

static void a_trace_that_is_none_is_left_out(void **state)
{
    static const char *const wrong[] = {
        "00-abc",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\\r\\nX: y",
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-\\r\\nX: y",
        "00-\\r\\nX: 3577b34da6a3ce929d0e0e47-00f067aa0ba902b7-01",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char text[256];
        weir_trace_t trace;
        weir_event_t e;
        json_t *root;
        int n = snprintf(text, sizeof(text),
                         "{\"id\":\"1\",\"type\":\"t\",\"subject\":\"s\",\"time\":\"t\","
                         "\"data\":{},\"traceparent\":\"%s\"}",
                         wrong[i]);

        root = weir_cloudevent_parse(text, (size_t)n, &e, &trace);
        assert_non_null(root);
        assert_null(e.traceparent);
        assert_null(e.trace);
        json_decref(root);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_can_be_read),
        cmocka_unit_test(without_a_trace_there_is_none),
        cmocka_unit_test(what_is_no_event_is_refused),
        cmocka_unit_test(data_that_no_c_type_holds_is_read_as_far_as_it_goes),
        cmocka_unit_test(a_trace_that_is_none_is_left_out),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
