// uses: libevent libpq libcurl jansson hiredis
// needs: backend/api/input.c backend/api/formats.c backend/events/cloudevent.c common/ids/uuid7.c
// needs: common/problem.c common/trace/traceparent.c common/trace/context.c common/trace/ids.c
// needs: common/ids/random.c backend/log/alloc.c
// needs: backend/log/log.c
/*
 * JSON that the backend reads, on any bytes: bodies of requests and events; text that was taken is
 * what the database takes, too.
 */
#include "api/input.h"
#include "events/cloudevent.h"

#include "budget.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* jansson is not compiled here: its memory counts, its steps don't. */
static const budget_t budget = {5000, 60, 60000, 1500};

static void check_errors(const weir_input_error_t *errors, int n, const char *why)
{
    assert(n >= -1 && n <= WEIR_INPUT_ERRORS_MAX);
    assert(n != -1 || *why != '\0');
    for (int i = 0; i < n; i++)
        assert(errors[i].pointer[0] == '/' && errors[i].detail[0] != '\0');
}

/* A field of each type, as the corpus has them. */
static const char *const sizes[] = {"S", "M", NULL};
static const weir_field_t inner_fields[] = {
    {"productId", WEIR_UUID, .since = 1},
    {"quantity", WEIR_INTEGER, .since = 1, .min = 1, .max = 1000},
};
static const weir_resource_t inner = WEIR_RESOURCE("Inner", inner_fields);
static const weir_field_t fields[] = {
    {"email", WEIR_EMAIL, .since = 1, .optional = 1},
    {"displayName", WEIR_LINE, .since = 1, .optional = 1, .min = 1, .max = 100},
    {"name", WEIR_STRING, .since = 1, .optional = 1, .min = 1, .max = 100},
    {"currency", WEIR_CURRENCY, .since = 1, .optional = 1},
    {"price", WEIR_INTEGER, .since = 1, .optional = 1, .min = 0, .max = 1000000000},
    {"amount", WEIR_NUMBER, .since = 1, .optional = 1, .min = -1, .max = 1},
    {"size", WEIR_ENUM, .since = 1, .optional = 1, .choices = sizes},
    {"yes", WEIR_BOOLEAN, .since = 1, .optional = 1},
    {"day", WEIR_DATE, .since = 1, .optional = 1},
    {"time", WEIR_TIME, .since = 1, .optional = 1},
    {"item", WEIR_OBJECT, .since = 1, .optional = 1, .of = &inner},
    {"items", WEIR_LIST, .since = 1, .optional = 1, .of = &inner, .max = 100},
    {"tags", WEIR_LIST, .since = 1, .optional = 1,
     .each = &(const weir_field_t){.type = WEIR_LINE, .max = 10}},
};
static const weir_resource_t resource = WEIR_RESOURCE("Thing", fields);

static void check_inputs(weir_str_t body)
{
    weir_input_error_t errors[WEIR_INPUT_ERRORS_MAX];
    char why[512] = "";
    json_t *object;
    int n = weir_input_read(body, &resource, 1, &object, errors, why, sizeof(why));
    check_errors(errors, n, why);
    if (n == 0) {
        const char *name = json_string_value(json_object_get(object, "displayName"));
        const json_t *price = json_object_get(object, "price");

        for (const char *p = name; p != NULL && *p != '\0'; p++)
            assert((unsigned char)*p >= ' ' && *p != 0x7f);
        assert(price == NULL ||
               (json_integer_value(price) >= 0 && json_integer_value(price) <= 1000000000));
        json_decref(object);
    }
}

static void check_event(weir_str_t body)
{
    weir_event_t event;
    weir_trace_t trace;
    json_t *root = weir_cloudevent_parse(body.data, body.len, &event, &trace);

    if (root == NULL)
        return;
    assert(event.id != NULL && event.type != NULL && event.aggregate != NULL);
    assert(json_is_object(event.data));
    assert((event.trace != NULL) == (event.traceparent != NULL));
    assert(event.tracestate == NULL || event.traceparent != NULL);
    if (event.traceparent != NULL)
        assert(strlen(event.traceparent) == 55 && strlen(event.trace->at.trace_id) == 32);
    json_decref(root);
}

static void run(const uint8_t *data, size_t size)
{
    weir_str_t body = {(const char *)data, size};

    check_inputs(body);
    check_event(body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    budget_check(run, data, size, &budget);
    return 0;
}
