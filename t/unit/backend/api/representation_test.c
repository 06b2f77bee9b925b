// needs: backend/api/representation.c common/problem.c backend/log/alloc.c backend/log/log.c
#include "api/representation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static const weir_field_t item_fields[] = {
    {"n", WEIR_INTEGER, 1, .since = 1, .deprecated = 2, .removed = 3, .replaced_by = "count"},
    {"count", WEIR_INTEGER, 1, .since = 2},
    {"text", WEIR_STRING, 0, .since = 1},
};
static const weir_resource_t item = WEIR_RESOURCE("Item", item_fields);

static const weir_field_t fields[] = {
    {"id", WEIR_INTEGER, 0, .since = 1},
    {"old", WEIR_STRING, 1, .since = 1, .deprecated = 2, .removed = 3, .replaced_by = "new"},
    {"new", WEIR_STRING, 1, .since = 2},
    {"maybe", WEIR_STRING, 2, .since = 1, .optional = 1},
    {"items", WEIR_LIST, 3, .since = 1, .of = &item},
};
static const weir_resource_t resource = WEIR_RESOURCE("Thing", fields);

static const weir_field_t optional_fields[] = {{"maybe", WEIR_STRING, 2, .since = 1}};
static const weir_resource_t optional = WEIR_RESOURCE("Optional", optional_fields);

static void assert_shown(const weir_resource_t *what, const weir_str_t *values, int version,
                         const char *want)
{
    size_t want_len = strlen(want);

    /* at every size of the buffer: never past it, and always the whole length */
    for (size_t cap = 0; cap <= want_len; cap++) {
        char *buf = malloc(cap > 0 ? cap : 1);

        assert_int_equal(weir_represent(buf, cap, what, values, version), want_len);
        assert_memory_equal(buf, want, cap);
        free(buf);
    }
}

static void versions_have_their_fields(void **state)
{
    const weir_str_t values[] = {WEIR_STR("7"),
                                 WEIR_STR("a\"b"),
                                 {NULL, 0},
                                 WEIR_STR("[[\"x\\u0000\\n\",-3],[\"\",9007199254740993]]")};

    (void)state;
    assert_shown(&resource, values, 1,
                 "{\"id\":7,\"old\":\"a\\\"b\",\"items\":[{\"n\":-3,\"text\":\"x\\u0000\\u000a\"},"
                 "{\"n\":9007199254740993,\"text\":\"\"}]}\n");
    assert_shown(
        &resource, values, 2,
        "{\"id\":7,\"old\":\"a\\\"b\",\"new\":\"a\\\"b\",\"items\":[{\"n\":-3,\"count\":-3,"
        "\"text\":\"x\\u0000\\u000a\"},{\"n\":9007199254740993,\"count\":9007199254740993,"
        "\"text\":\"\"}]}\n");
    assert_shown(
        &resource, values, 3,
        "{\"id\":7,\"new\":\"a\\\"b\",\"items\":[{\"count\":-3,\"text\":\"x\\u0000\\u000a\"},"
        "{\"count\":9007199254740993,\"text\":\"\"}]}\n");
}

static void what_is_not_there_is_left_out(void **state)
{
    weir_str_t values[] = {WEIR_STR("7"), WEIR_STR(""), WEIR_STR("here"), WEIR_STR("[]")};

    (void)state;
    assert_shown(&resource, values, 3, "{\"id\":7,\"new\":\"\",\"maybe\":\"here\",\"items\":[]}\n");
    /* an element without a value at a field's place */
    values[3] = WEIR_STR("[[\"x\"],[null,1]]");
    assert_shown(
        &resource, values, 3,
        "{\"id\":7,\"new\":\"\",\"maybe\":\"here\",\"items\":[{\"text\":\"x\"},{\"count\":1}]}\n");
    values[2] = (weir_str_t){NULL, 0};
    assert_shown(&optional, values, 1, "{}\n");
}

static void deprecated_fields_are_named(void **state)
{
    char names[64];

    (void)state;
    weir_deprecated_fields(names, sizeof(names), &resource, 1);
    assert_string_equal(names, "");
    weir_deprecated_fields(names, sizeof(names), &resource, 2);
    assert_string_equal(names, "old, items.n");
    weir_deprecated_fields(names, sizeof(names), &resource, 3);
    assert_string_equal(names, "");

    /* whole names only, within the room */
    for (size_t cap = 1; cap <= 16; cap++) {
        char *exact = malloc(cap);

        weir_deprecated_fields(exact, cap, &resource, 2);
        assert_true(strcmp(exact, "") == 0 || strcmp(exact, "old") == 0 ||
                    strcmp(exact, "items.n") == 0 || strcmp(exact, "old, items.n") == 0);
        free(exact);
    }
}

static const weir_field_t label = {.type = WEIR_STRING}, number = {.type = WEIR_NUMBER};
static const weir_field_t other_fields[] = {
    {"yes", WEIR_BOOLEAN, 0, .since = 1},
    {"no", WEIR_BOOLEAN, 1, .since = 1},
    {"ratio", WEIR_NUMBER, 2, .since = 1},
    {"size", WEIR_ENUM, 3, .since = 1},
    {"item", WEIR_OBJECT, 4, .since = 1, .of = &item},
    {"labels", WEIR_LIST, 5, .since = 1, .each = &label},
    {"numbers", WEIR_LIST, 6, .since = 1, .each = &number},
};
static const weir_resource_t other = WEIR_RESOURCE("Other", other_fields);

static void each_type_is_written_as_json_has_it(void **state)
{
    weir_str_t values[] = {WEIR_STR("t"),       WEIR_STR("f"),         WEIR_STR("0.50"),
                           WEIR_STR("S\"M"),    WEIR_STR("[\"x\",5]"), WEIR_STR("[\"a\",\"b\\n\"]"),
                           WEIR_STR("[1,-2.5]")};

    (void)state;
    assert_shown(&other, values, 2,
                 "{\"yes\":true,\"no\":false,\"ratio\":0.50,\"size\":\"S\\\"M\","
                 "\"item\":{\"n\":5,\"count\":5,\"text\":\"x\"},\"labels\":[\"a\",\"b\\u000a\"],"
                 "\"numbers\":[1,-2.5]}\n");
    values[5] = values[6] = WEIR_STR("[]");
    values[4] = (weir_str_t){NULL, 0};
    assert_shown(&other, values, 2,
                 "{\"yes\":true,\"no\":false,\"ratio\":0.50,\"size\":\"S\\\"M\",\"labels\":[],"
                 "\"numbers\":[]}\n");
}

static void a_null_in_a_list_is_null(void **state)
{
    static const weir_field_t flag = {.type = WEIR_BOOLEAN};
    static const weir_field_t integer = {.type = WEIR_INTEGER};
    static const weir_field_t string = {.type = WEIR_STRING};
    static const weir_field_t flags[] = {
        {"on", WEIR_LIST, 0, .since = 1, .each = &flag},
        {"n", WEIR_LIST, 1, .since = 1, .each = &integer},
        {"text", WEIR_LIST, 2, .since = 1, .each = &string},
    };
    static const weir_resource_t what = WEIR_RESOURCE("Flags", flags);
    const weir_str_t values[] = {WEIR_STR("[true,null]"), WEIR_STR("[null,2]"),
                                 WEIR_STR("[\"\",null]")};

    (void)state;
    assert_shown(&what, values, 1, "{\"on\":[true,null],\"n\":[null,2],\"text\":[\"\",null]}\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(versions_have_their_fields),
        cmocka_unit_test(what_is_not_there_is_left_out),
        cmocka_unit_test(deprecated_fields_are_named),
        cmocka_unit_test(each_type_is_written_as_json_has_it),
        cmocka_unit_test(a_null_in_a_list_is_null),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
