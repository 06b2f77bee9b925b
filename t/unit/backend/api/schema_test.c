// needs: backend/api/schema/schema.c backend/api/schema/compare.c
#include "api/schema/schema.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char *output;

static void write_file(char *path, const char *text)
{
    int fd;

    strcpy(path, "/tmp/weir-schema.XXXXXX");
    fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

/* Compares two texts; what it says is in output. */
static int check(const char *old, const char *new)
{
    char old_path[32], new_path[32];
    size_t len;
    FILE *out;
    int result;

    free(output);
    out = open_memstream(&output, &len);
    write_file(old_path, old);
    write_file(new_path, new);
    result = weir_schema_check(old_path, new_path, out);
    fclose(out);
    unlink(old_path);
    unlink(new_path);

    return result;
}

/* A document with POST /users, whose body has the first schema and whose answer the second. */
static char *document(const char *body, const char *answer)
{
    static char texts[2][2048];
    static int n;
    char *text = texts[n++ % 2];

    snprintf(
        text, sizeof(texts[0]),
        "{\"openapi\":\"3.1.0\",\"paths\":{\"/users\":{\"post\":{\"requestBody\":{\"content\":{"
        "\"application/json\":{\"schema\":{\"$ref\":\"#/components/schemas/Body\"}}}},"
        "\"responses\":{\"201\":{\"content\":{\"application/json\":{\"schema\":"
        "{\"$ref\":\"#/components/schemas/User\"}}}}}}}},"
        "\"components\":{\"schemas\":{\"Body\":%s,\"User\":%s}}}",
        body, answer);

    return text;
}

#define BODY                                                                                       \
    "{\"type\":\"object\",\"properties\":{\"email\":{\"type\":\"string\",\"maxLength\":254}},"     \
    "\"required\":[\"email\"]}"
#define ANSWER                                                                                     \
    "{\"type\":\"object\",\"properties\":{\"id\":{\"type\":\"string\",\"format\":\"uuid\"},"       \
    "\"name\":{\"type\":\"string\"},\"tags\":{\"type\":\"array\",\"items\":{\"$ref\":"             \
    "\"#/components/schemas/User\"}}},\"required\":[\"id\",\"name\"]}"

static void assert_answer(const char *new, int result, const char *line)
{
    assert_int_equal(check(document(BODY, ANSWER), document(BODY, new)), result);
    if (strstr(output, line) == NULL)
        fail_msg("\"%s\" is not in:\n%s", line, output);
}

static void assert_body(const char *new, int result, const char *line)
{
    assert_int_equal(check(document(BODY, ANSWER), document(new, ANSWER)), result);
    if (strstr(output, line) == NULL)
        fail_msg("\"%s\" is not in:\n%s", line, output);
}

static void nothing_changed(void **state)
{
    (void)state;
    assert_answer(ANSWER, WEIR_SCHEMA_COMPATIBLE, "compatible, 0 additions\n");
}

static void additions_pass(void **state)
{
    (void)state;
    assert_answer(
        "{\"type\":\"object\",\"properties\":{\"id\":{\"type\":\"string\",\"format\":\"uuid\"},"
        "\"name\":{\"type\":\"string\",\"deprecated\":true,\"description\":\"Old.\"},"
        "\"tags\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/components/schemas/User\"}},"
        "\"displayName\":{\"type\":\"string\"}},"
        "\"required\":[\"id\",\"name\",\"tags\",\"displayName\"]}",
        WEIR_SCHEMA_COMPATIBLE, "added: User: the field displayName\ncompatible, 1 additions\n");
    assert_body("{\"type\":\"object\",\"properties\":{\"email\":{\"type\":\"string\"},"
                "\"age\":{\"type\":\"integer\",\"minimum\":0}}}",
                WEIR_SCHEMA_COMPATIBLE, "added: Body: the field age\n");
}

static void a_field_may_not_go(void **state)
{
    (void)state;
    assert_answer(
        "{\"type\":\"object\",\"properties\":{\"id\":{\"type\":\"string\",\"format\":\"uuid\"},"
        "\"tags\":{\"type\":\"array\",\"items\":{\"type\":\"object\"}}},\"required\":[\"id\"]}",
        WEIR_SCHEMA_REFUSED, "refused: User.name: the field is gone\n");
    /* a request's, too: what clients send would be ignored */
    assert_body("{\"type\":\"object\",\"properties\":{\"mail\":{\"type\":\"string\"}}}",
                WEIR_SCHEMA_REFUSED,
                "refused: Body.email: the field is gone (or renamed to mail?)\n");
}

static void a_field_may_not_be_renamed(void **state)
{
    (void)state;
    assert_answer(
        "{\"type\":\"object\",\"properties\":{\"id\":{\"type\":\"string\",\"format\":\"uuid\"},"
        "\"displayName\":{\"type\":\"string\"},"
        "\"tags\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/components/schemas/User\"}}},"
        "\"required\":[\"id\",\"displayName\"]}",
        WEIR_SCHEMA_REFUSED,
        "refused: User.name: the field is gone (or renamed to displayName?)\n");
}

static void a_field_may_not_be_retyped(void **state)
{
#define WITH(id, name, tags)                                                                       \
    "{\"type\":\"object\",\"properties\":{\"id\":" id ",\"name\":" name ",\"tags\":" tags "},"     \
    "\"required\":[\"id\",\"name\"]}"
#define ID "{\"type\":\"string\",\"format\":\"uuid\"}"
#define NAME "{\"type\":\"string\"}"
#define TAGS "{\"type\":\"array\",\"items\":{\"$ref\":\"#/components/schemas/User\"}}"
    (void)state;
    assert_answer(WITH(ID, NAME, TAGS), WEIR_SCHEMA_COMPATIBLE, "compatible");
    assert_answer(WITH(ID, "{\"type\":\"integer\"}", TAGS), WEIR_SCHEMA_REFUSED,
                  "refused: User.name: its type was \"string\" and is \"integer\"\n");
    assert_answer(WITH(ID, "{\"type\":[\"string\",\"null\"]}", TAGS), WEIR_SCHEMA_REFUSED,
                  "refused: User.name: its type was \"string\" and is [\"string\",\"null\"]\n");
    assert_answer(WITH(ID, "{}", TAGS), WEIR_SCHEMA_REFUSED,
                  "its type was \"string\" and is none\n");
    assert_answer(WITH("{\"type\":\"string\"}", NAME, TAGS), WEIR_SCHEMA_REFUSED,
                  "refused: User.id: its format was \"uuid\" and is none\n");
    assert_answer(WITH(ID, NAME, "{\"type\":\"array\",\"items\":{\"type\":\"string\"}}"),
                  WEIR_SCHEMA_REFUSED,
                  "refused: User: its type was \"object\" and is \"string\"\n");
    assert_answer(WITH(ID, NAME, "{\"type\":\"array\"}"), WEIR_SCHEMA_REFUSED,
                  "refused: User.tags[]: the schema of its elements is gone\n");
    assert_answer(WITH(ID, NAME, "{\"type\":\"array\",\"items\":{\"$ref\":\"#/nowhere\"}}"),
                  WEIR_SCHEMA_REFUSED, "refused: User: the schema is gone\n");
    assert_answer(WITH(ID, "{\"type\":\"string\",\"oneOf\":[{}]}", TAGS), WEIR_SCHEMA_REFUSED,
                  "its oneOf was none and is [{}]\n");
}

static void an_answer_may_not_lose_what_it_had(void **state)
{
    (void)state;
    assert_answer(
        "{\"type\":\"object\",\"properties\":{\"id\":{\"type\":\"string\",\"format\":\"uuid\"},"
        "\"name\":{\"type\":\"string\"},\"tags\":{\"type\":\"array\",\"items\":"
        "{\"$ref\":\"#/components/schemas/User\"}}},\"required\":[\"id\"]}",
        WEIR_SCHEMA_REFUSED, "refused: User.name: the field may be missing now\n");
}

static void a_request_may_not_need_more(void **state)
{
    (void)state;
    assert_body(
        "{\"type\":\"object\",\"properties\":{\"email\":{\"type\":\"string\",\"maxLength\":254},"
        "\"age\":{\"type\":\"integer\"}},\"required\":[\"email\",\"age\"]}",
        WEIR_SCHEMA_REFUSED, "refused: Body: a request must have the field age now\n");
    assert_body(
        "{\"type\":\"object\",\"properties\":{\"email\":{\"type\":\"string\",\"maxLength\":253}}}",
        WEIR_SCHEMA_REFUSED, "refused: Body.email: its maxLength was 254 and is 253\n");
    assert_body(
        "{\"type\":\"object\",\"properties\":{\"email\":{\"type\":\"string\",\"minLength\":1}}}",
        WEIR_SCHEMA_REFUSED, "refused: Body.email: its minLength was none and is 1\n");
    assert_body(
        "{\"type\":\"object\",\"properties\":{\"email\":{\"type\":\"string\",\"pattern\":\"^a\"}}}",
        WEIR_SCHEMA_REFUSED, "refused: Body.email: its pattern has changed\n");
    assert_body(
        "{\"type\":\"object\",\"properties\":{\"email\":{\"type\":\"string\",\"enum\":[\"a\"]}}}",
        WEIR_SCHEMA_REFUSED, "refused: Body.email: its values are limited now\n");
    /* but it may take more */
    assert_body("{\"type\":\"object\",\"properties\":{\"email\":{\"type\":[\"null\",\"string\"]}}}",
                WEIR_SCHEMA_COMPATIBLE, "compatible, 0 additions\n");
}

#define OPERATION(parameters, answers)                                                             \
    "{\"paths\":{\"/a/{id}\":{\"summary\":\"x\",\"get\":{\"parameters\":[" parameters              \
    "],\"responses\":{" answers "}}}}}"

static void operations_may_not_go(void **state)
{
    const char *old =
        OPERATION("{\"name\":\"q\",\"in\":\"query\",\"schema\":{\"type\":\"integer\"}}",
                  "\"200\":{},\"404\":{}");

    (void)state;
    assert_int_equal(check(old, "{\"paths\":{}}"), WEIR_SCHEMA_REFUSED);
    assert_non_null(strstr(output, "refused: /a/{id}: the path is gone\n"));
    assert_int_equal(check(old, "{\"paths\":{\"/a/{id}\":{\"put\":{}}}}"), WEIR_SCHEMA_REFUSED);
    assert_non_null(strstr(output, "refused: get /a/{id}: the method is gone\n"));
    assert_non_null(strstr(output, "added: /a/{id}: the method put\n"));
    assert_int_equal(check(old, OPERATION("", "\"200\":{}")), WEIR_SCHEMA_REFUSED);
    assert_non_null(strstr(output, "refused: get /a/{id}: the parameter q is gone\n"));
    assert_int_equal(check(old, OPERATION("{\"name\":\"q\",\"in\":\"query\",\"required\":true,"
                                          "\"schema\":{\"type\":\"integer\"}}",
                                          "\"200\":{}")),
                     WEIR_SCHEMA_REFUSED);
    assert_non_null(strstr(output, "a request must have the parameter q now\n"));
    assert_int_equal(check(old, OPERATION("{\"name\":\"q\",\"in\":\"query\",\"schema\":{\"type\":"
                                          "\"string\"}}",
                                          "\"200\":{}")),
                     WEIR_SCHEMA_REFUSED);
    assert_non_null(strstr(output, "parameter q: its type was \"integer\" and is \"string\"\n"));
    assert_int_equal(check(old, OPERATION("{\"name\":\"q\",\"in\":\"query\",\"schema\":{\"type\":"
                                          "\"number\"}},{\"name\":\"r\",\"in\":\"query\"}",
                                          "\"204\":{}")),
                     WEIR_SCHEMA_REFUSED);
    assert_non_null(strstr(output, "refused: get /a/{id}, answer 200: it is gone\n"));
    assert_non_null(strstr(output, "added: get /a/{id}: the parameter r\n"));
    assert_non_null(strstr(output, "1 incompatible changes\n"));
}

static void bodies_may_not_come_or_go(void **state)
{
#define POST(body) "{\"paths\":{\"/a\":{\"post\":{" body "}}}}"
#define BODY_IS(required)                                                                          \
    "\"requestBody\":{\"required\":" required ",\"content\":{\"text/plain\":{}}}"
    (void)state;
    assert_int_equal(check(POST(BODY_IS("true")), POST("")), WEIR_SCHEMA_REFUSED);
    assert_non_null(strstr(output, "refused: post /a: the request's body is gone\n"));
    assert_int_equal(check(POST(""), POST(BODY_IS("true"))), WEIR_SCHEMA_REFUSED);
    assert_non_null(strstr(output, "refused: post /a: a request must have a body now\n"));
    assert_int_equal(check(POST(""), POST(BODY_IS("false"))), WEIR_SCHEMA_COMPATIBLE);
    assert_int_equal(
        check(POST(BODY_IS("true")), POST("\"requestBody\":{\"content\":{\"text/html\":{}}}")),
        WEIR_SCHEMA_REFUSED);
    assert_non_null(strstr(output, "refused: post /a, body: the media type text/plain is gone\n"));
}

static void a_version_in_a_media_type_is_none_of_its_name(void **state)
{
#define TYPED(type) POST("\"requestBody\":{\"content\":{\"" type "\":{}}}")
    (void)state;
    assert_int_equal(check(TYPED("application/vnd.a.v1+json"), TYPED("application/vnd.a.v12+json")),
                     WEIR_SCHEMA_COMPATIBLE);
    assert_int_equal(check(TYPED("application/vnd.a.v1+json"), TYPED("application/vnd.b.v1+json")),
                     WEIR_SCHEMA_REFUSED);
    assert_int_equal(check(TYPED("application/vnd.a.v1+json"), TYPED("application/vnd.a.v1+xml")),
                     WEIR_SCHEMA_REFUSED);
    assert_int_equal(check(TYPED("v1"), TYPED("v2")), WEIR_SCHEMA_REFUSED);
    assert_int_equal(check(TYPED("a.v1"), TYPED("a.v1x")), WEIR_SCHEMA_REFUSED);
}

static void schemas_without_an_operation_count(void **state)
{
    (void)state;
    assert_int_equal(check("{\"components\":{\"schemas\":{\"A\":{},\"B\":{\"type\":\"object\","
                           "\"properties\":{\"x\":{\"type\":\"string\"}}}}}}",
                           "{\"components\":{\"schemas\":{\"B\":{\"type\":\"object\"},\"C\":{}}}}"),
                     WEIR_SCHEMA_REFUSED);
    assert_string_equal(output, "refused: A: the schema is gone\nrefused: B.x: the field is gone\n"
                                "added: C: the schema\n2 incompatible changes\n");
}

/* Two schemas that hold each other twice: they are compared once. */
static void schemas_may_hold_each_other(void **state)
{
#define TWICE(name) "{\"$ref\":\"#/components/schemas/" name "\"}"
#define HOLDER(name)                                                                               \
    "{\"properties\":{\"a\":" TWICE(name) ",\"b\":" TWICE(name) ",\"c\":" TWICE(name) "}}"
#define HOLDERS "{\"components\":{\"schemas\":{\"A\":" HOLDER("B") ",\"B\":" HOLDER("A") "}}}"
    (void)state;
    assert_int_equal(check(HOLDERS, HOLDERS), WEIR_SCHEMA_COMPATIBLE);
}

static void what_cannot_be_compared(void **state)
{
    char *long_name = malloc(3000);

    (void)state;
    assert_int_equal(check("{", "{\"paths\":{}}"), WEIR_SCHEMA_UNREADABLE);
    assert_non_null(strstr(output, ": not JSON (line 1, column 1)"));
    assert_int_equal(check("{\"paths\":{}}", "[]"), WEIR_SCHEMA_UNREADABLE);
    assert_non_null(strstr(output, ": not an OpenAPI document"));
    assert_int_equal(check("{\"paths\":{}}", "{\"paths\":[]}"), WEIR_SCHEMA_UNREADABLE);
    assert_int_equal(weir_schema_check("/nowhere/a", "/nowhere/b", stderr), WEIR_SCHEMA_UNREADABLE);

    /* odd documents are compared as far as they make sense */
    assert_int_equal(
        check("{\"paths\":{\"/a\":7,\"/b\":{\"get\":[]}},\"components\":{\"schemas\":[]}}",
              "{\"paths\":{\"/a\":[],\"/b\":{\"get\":{\"parameters\":[1,{}]}}}}"),
        WEIR_SCHEMA_COMPATIBLE);
    assert_int_equal(
        check("{\"components\":{\"schemas\":{\"A\":{\"$ref\":\"#/components/schemas/A\"},"
              "\"B\":{\"$ref\":\"http://elsewhere\"},\"C\":{\"$ref\":\"#a//~\"}}}}",
              "{\"components\":{\"schemas\":{\"A\":{},\"B\":{},\"C\":{}}}}"),
        WEIR_SCHEMA_COMPATIBLE);

    memset(long_name, 'x', 2999);
    long_name[2999] = '\0';
    memcpy(long_name, "{\"paths\":{\"", 11);
    memcpy(long_name + 2990, "\":{}}}", 7);
    assert_int_equal(check(long_name, "{\"paths\":{}}"), WEIR_SCHEMA_REFUSED);
    free(long_name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_changed),
        cmocka_unit_test(additions_pass),
        cmocka_unit_test(a_field_may_not_go),
        cmocka_unit_test(a_field_may_not_be_renamed),
        cmocka_unit_test(a_field_may_not_be_retyped),
        cmocka_unit_test(an_answer_may_not_lose_what_it_had),
        cmocka_unit_test(a_request_may_not_need_more),
        cmocka_unit_test(operations_may_not_go),
        cmocka_unit_test(bodies_may_not_come_or_go),
        cmocka_unit_test(a_version_in_a_media_type_is_none_of_its_name),
        cmocka_unit_test(schemas_without_an_operation_count),
        cmocka_unit_test(schemas_may_hold_each_other),
        cmocka_unit_test(what_cannot_be_compared),
    };
    int failed;

    cmocka_set_message_output(CM_OUTPUT_TAP);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(output);

    return failed;
}
