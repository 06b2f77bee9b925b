// needs: backend/api/input.c backend/api/formats.c common/ids/uuid7.c common/ids/random.c
// needs: backend/log/alloc.c backend/log/log.c common/problem.c
#include "api/input.h"

#include "log/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const sizes[] = {"S", "M", "L", NULL};
static const char *const one[] = {"only", NULL};

static const weir_field_t inner_fields[] = {
    {"at", WEIR_TIME, .since = 1},
    {"deep", WEIR_LIST, .since = 1, .optional = 1, .max = 2,
     .each = &(const weir_field_t){.type = WEIR_INTEGER, .min = 1, .max = 9}},
};
static const weir_resource_t inner = WEIR_RESOURCE("Inner", inner_fields);

static const weir_field_t fields[] = {
    {"text", WEIR_STRING, .since = 1, .optional = 1, .min = 2, .max = 3},
    {"line", WEIR_LINE, .since = 1, .optional = 1, .min = 1, .max = 3},
    {"free", WEIR_STRING, .since = 1, .optional = 1},
    {"size", WEIR_ENUM, .since = 1, .optional = 1, .choices = sizes},
    {"one", WEIR_ENUM, .since = 1, .optional = 1, .choices = one},
    {"whole", WEIR_INTEGER, .since = 1, .optional = 1, .min = -1, .max = 10},
    {"price", WEIR_INTEGER, .since = 1, .optional = 1, .min = 0, .max = 9, .unit = "in cents"},
    {"any", WEIR_INTEGER, .since = 1, .optional = 1},
    {"real", WEIR_NUMBER, .since = 1, .optional = 1, .min = 0, .max = 1},
    {"yes", WEIR_BOOLEAN, .since = 1, .optional = 1},
    {"day", WEIR_DATE, .since = 1, .optional = 1},
    {"inner", WEIR_OBJECT, .since = 1, .optional = 1, .of = &inner},
    {"list", WEIR_LIST, .since = 1, .optional = 1, .of = &inner, .min = 1, .max = 2},
    {"tags", WEIR_LIST, .since = 1, .optional = 1,
     .each = &(const weir_field_t){.type = WEIR_LINE, .min = 1, .max = 3}},
    {"old", WEIR_INTEGER, .since = 1, .removed = 2},
    {"new", WEIR_INTEGER, .since = 2},
};
static const weir_resource_t resource = WEIR_RESOURCE("Thing", fields);

static weir_input_error_t errors[WEIR_INPUT_ERRORS_MAX];

/* Of a version 2; "new" is there. */
static int read_member(const char *member)
{
    char body[512], why[512];
    json_t *object;
    int n;

    snprintf(body, sizeof(body), "{\"new\":1,\"more\":[]%s%s}", *member != '\0' ? "," : "", member);
    n = weir_input_read(weir_str(body), &resource, 2, &object, errors, why, sizeof(why));
    if (n == 0)
        json_decref(object);

    return n;
}

static void what_fits_is_taken(void **state)
{
    static const char *const right[] = {
        "",
        "\"text\":\"ab\"",
        "\"text\":\"\xc3\xa4\xc3\xb6\xc3\xbc\"",
        "\"line\":\"a\"",
        "\"free\":\"\"",
        "\"free\":\"a\\nb\"",
        "\"size\":\"L\"",
        "\"whole\":-1",
        "\"whole\":10",
        "\"any\":9007199254740993",
        "\"real\":0.5",
        "\"real\":1",
        "\"yes\":true",
        "\"yes\":false",
        "\"day\":\"2026-01-31\"",
        "\"inner\":{\"at\":\"2026-01-31T12:00:00Z\",\"x\":7}",
        "\"inner\":{\"at\":\"2026-01-31T12:00:00Z\",\"deep\":[1,9]}",
        "\"list\":[{\"at\":\"2026-01-31T12:00:00Z\"}]",
        "\"tags\":[]",
        "\"tags\":[\"a\",\"b\"]",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
        if (read_member(right[i]) != 0)
            fail_msg("%s: %s %s", right[i], errors[0].pointer, errors[0].detail);
    }
}

static void what_does_not_fit_is_named(void **state)
{
    static const struct {
        const char *member, *pointer, *detail;
    } wrong[] = {
        {"\"text\":7", "/text", "must be a string"},
        {"\"text\":null", "/text", "must be a string"},
        {"\"text\":\"\"", "/text", "must not be empty"},
        {"\"text\":\"a\"", "/text", "must have at least 2 characters"},
        {"\"text\":\"abcd\"", "/text", "must have at most 3 characters"},
        {"\"text\":\"a\\u0000\"", "/text", "must not contain U+0000"},
        {"\"free\":\"\\u0000\"", "/free", "must not contain U+0000"},
        {"\"line\":\"\\n\"", "/line", "must not contain control characters"},
        {"\"line\":\" \"", "/line", "must not be empty"},
        {"\"size\":\"XL\"", "/size", "must be S, M or L"},
        {"\"size\":\"S\\u0000\"", "/size", "must be S, M or L"},
        {"\"size\":1", "/size", "must be a string"},
        {"\"one\":\"\"", "/one", "must be only"},
        {"\"whole\":11", "/whole", "must be an integer from -1 to 10"},
        {"\"whole\":-2", "/whole", "must be an integer from -1 to 10"},
        {"\"whole\":1.0", "/whole", "must be an integer from -1 to 10"},
        {"\"price\":\"1\"", "/price", "must be an integer from 0 to 9, in cents"},
        {"\"any\":\"1\"", "/any", "must be an integer"},
        {"\"real\":1.01", "/real", "must be a number from 0 to 1"},
        {"\"real\":-1", "/real", "must be a number from 0 to 1"},
        {"\"real\":true", "/real", "must be a number from 0 to 1"},
        {"\"yes\":1", "/yes", "must be true or false"},
        {"\"yes\":\"true\"", "/yes", "must be true or false"},
        {"\"day\":\"2026-02-30\"", "/day", "must be a date of RFC 3339, such as 2026-01-31"},
        {"\"inner\":[]", "/inner", "must be an object"},
        {"\"inner\":{}", "/inner/at", "is required"},
        {"\"inner\":{\"at\":\"noon\"}", "/inner/at",
         "must be a time of RFC 3339, such as 2026-01-31T12:00:00Z"},
        {"\"list\":{}", "/list", "must be an array"},
        {"\"list\":[]", "/list", "must have 1 to 2 items"},
        {"\"list\":[7]", "/list/0", "must be an object"},
        {"\"list\":[{\"at\":\"2026-01-31T12:00:00Z\"},{}]", "/list/1/at", "is required"},
        {"\"list\":[{\"at\":\"2026-01-31T12:00:00Z\",\"deep\":[1,0]}]", "/list/0/deep/1",
         "must be an integer from 1 to 9"},
        {"\"inner\":{\"at\":\"2026-01-31T12:00:00Z\",\"deep\":[1,2,3]}", "/inner/deep",
         "must have 0 to 2 items"},
        {"\"tags\":[\"a\",\"abcd\"]", "/tags/1", "must have at most 3 characters"},
        {"\"tags\":[{}]", "/tags/0", "must be a string"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        if (read_member(wrong[i].member) != 1)
            fail_msg("%s was taken", wrong[i].member);
        assert_string_equal(errors[0].pointer, wrong[i].pointer);
        assert_string_equal(errors[0].detail, wrong[i].detail);
    }
}

static void a_version_has_its_fields(void **state)
{
    static const weir_str_t with_old = WEIR_STR("{\"old\":1}"),
                            with_both = WEIR_STR("{\"old\":[],\"new\":1}");
    char why[512];
    json_t *object;

    (void)state;
    assert_int_equal(weir_input_read(with_old, &resource, 1, &object, errors, why, sizeof(why)), 0);
    json_decref(object);
    assert_int_equal(weir_input_read(with_old, &resource, 2, &object, errors, why, sizeof(why)), 1);
    assert_string_equal(errors[0].pointer, "/new");
    /* What a version has not is left alone. */
    assert_int_equal(weir_input_read(with_both, &resource, 2, &object, errors, why, sizeof(why)),
                     0);
    json_decref(object);
}

static void no_more_errors_than_there_is_room(void **state)
{
    char member[256] = "\"tags\":[0";

    (void)state;
    for (int i = 1; i < 40; i++)
        strcat(member, ",0");
    strcat(member, "]");
    assert_int_equal(read_member(member), WEIR_INPUT_ERRORS_MAX);
    assert_string_equal(errors[WEIR_INPUT_ERRORS_MAX - 1].pointer, "/tags/15");
}

static void what_is_no_object_is_said(void **state)
{
    static const char *const wrong[] = {"", "[]", "7", "null", "{", "{\"new\":1,\"new\":1}"};
    char why[512];
    json_t *object;

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        *why = '\0';
        assert_int_equal(
            weir_input_read(weir_str(wrong[i]), &resource, 2, &object, errors, why, sizeof(why)),
            -1);
        assert_true(*why != '\0');
    }
}

static void what_is_not_in_the_table_is_dropped(void **state)
{
    char why[512], *text;
    json_t *object;

    const char *body = "{\"new\":1,\"old\":2,\"more\":[{}],"
                       "\"list\":[{\"at\":\"2026-01-01T00:00:00Z\",\"b\":1}]}";

    (void)state;
    assert_int_equal(
        weir_input_read(weir_str(body), &resource, 2, &object, errors, why, sizeof(why)), 0);
    text = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(text, "{\"list\":[{\"at\":\"2026-01-01T00:00:00Z\"}],\"new\":1}");
    free(text);
    json_decref(object);
}

/* jansson takes some 80 bytes for each of these; a process must not end for a client's body. */
static void a_body_that_takes_too_much_memory_is_refused(void **state)
{
    size_t len = 4 * 1024 * 1024;
    char *body = malloc(len + 32), why[512] = "";
    json_t *object;

    (void)state;
    assert_non_null(body);
    strcpy(body, "{\"new\":1,\"more\":[{}");
    for (size_t n = strlen(body); n < len; n += 3)
        memcpy(body + n, ",{}", 4);
    strcat(body, "]}");
    assert_int_equal(
        weir_input_read(weir_str(body), &resource, 2, &object, errors, why, sizeof(why)), -1);
    assert_non_null(strstr(why, "memory"));
    free(body);

    assert_int_equal(read_member("\"whole\":1"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_in_the_table_is_dropped),
        cmocka_unit_test(a_body_that_takes_too_much_memory_is_refused),
        cmocka_unit_test(what_fits_is_taken),
        cmocka_unit_test(what_does_not_fit_is_named),
        cmocka_unit_test(a_version_has_its_fields),
        cmocka_unit_test(no_more_errors_than_there_is_room),
        cmocka_unit_test(what_is_no_object_is_said),
    };

    weir_alloc_libraries();
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
