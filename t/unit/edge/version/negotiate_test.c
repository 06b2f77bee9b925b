// needs: ngx_module/version/rfc3339.c
#define WEIR_COUNT_WORK
#include "version/negotiate.c"
#include "version/negotiate.h"
#include "version/rfc3339.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define OK WEIR_NEGOTIATE_OK
#define MALFORMED WEIR_NEGOTIATE_MALFORMED_ACCEPT
#define CONFLICT WEIR_NEGOTIATE_CONFLICT
#define UNKNOWN WEIR_NEGOTIATE_UNKNOWN_VERSION
#define REFUSED WEIR_NEGOTIATE_NOT_ACCEPTABLE
#define BODY WEIR_NEGOTIATE_UNSUPPORTED_BODY
#define V(n) "application/vnd.shop.v" #n "+json"

static const weir_str_t versions[] = {{"1", 1}, {"2", 1}, {"3", 1}};
static const weir_negotiate_api_t api = {{"application/vnd.shop", 20}, versions, 3, 1};

typedef struct {
    const char *accept;
    const char *header;
    const char *content_type;
    weir_negotiate_result_t result;
    int version; /* as clients see it */
    int form;    /* weir_negotiated_form_t */
} row_t;

static const row_t rows[] = {
    /* nothing named: the default */
    {NULL, NULL, NULL, OK, 2, 0},
    {"", NULL, NULL, OK, 2, 0},
    {" , ,", NULL, NULL, OK, 2, 0},
    {"*/*", NULL, NULL, OK, 2, 0},
    {"application/*", NULL, NULL, OK, 2, 0},
    {"application/json", NULL, NULL, OK, 2, 2},
    {"application/json; charset=utf-8", NULL, NULL, OK, 2, 2},
    {"application/vnd.shop+json", NULL, NULL, OK, 2, 1},
    /* a version by name */
    {V(1), NULL, NULL, OK, 1, 0},
    {"APPLICATION/VND.SHOP.V3+JSON", NULL, NULL, OK, 3, 0},
    {V(3) ";foo=\"a,b\\\"c\"", NULL, NULL, OK, 3, 0},
    {"text/html, " V(1), NULL, NULL, OK, 1, 0},
    {V(3) ", */*", NULL, NULL, OK, 3, 0},
    {V(9) ", " V(1) ";q=0.1", NULL, NULL, OK, 1, 0},
    /* qualities */
    {V(1) ";q=0.5, " V(3) ";q=0.7", NULL, NULL, OK, 3, 0},
    {V(1) ";q=0.5, */*;q=0.6", NULL, NULL, OK, 2, 0},
    {V(1) ", " V(3), NULL, NULL, OK, 1, 0},
    {V(3) ", " V(1), NULL, NULL, OK, 3, 0},
    {V(3) ", " V(2), NULL, NULL, OK, 2, 0},
    {V(2) ";q=0, */*", NULL, NULL, OK, 2, 1}, /* the other forms of version 2 still fit */
    {V(2) ";q=0, application/vnd.shop+json;q=0, */*", NULL, NULL, OK, 2, 2},
    {V(2) ";q=0, application/vnd.shop+json;q=0, application/json;q=0, */*", NULL, NULL, OK, 1, 0},
    {"application/json;q=0, */*", NULL, NULL, OK, 2, 0},
    /* what Java's HttpURLConnection sends by itself */
    {"text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", NULL, NULL, OK, 2, 0},
    {"*", NULL, NULL, OK, 2, 0},
    {"*;q=.25", NULL, NULL, OK, 2, 0},
    {V(1) ";q=.5, " V(3) ";q=.75", NULL, NULL, OK, 3, 0},
    {"*;q=.0", NULL, NULL, REFUSED, 0, 0},
    {"*/*;q=.", NULL, NULL, MALFORMED, 0, 0},
    {"*/*;q=.1234", NULL, NULL, MALFORMED, 0, 0},
    {"x", NULL, NULL, MALFORMED, 0, 0},
    {"application/vnd.shop.v1+json;Q=1.000", NULL, NULL, OK, 1, 0},
    {"*/*;q=0", NULL, NULL, REFUSED, 0, 0},
    {"application/json;q=0, text/html", NULL, NULL, REFUSED, 0, 0},
    {"text/html", NULL, NULL, REFUSED, 0, 0},
    {V(9), NULL, NULL, REFUSED, 0, 0},
    {"application/vnd.shop.v2+xml", NULL, NULL, REFUSED, 0, 0},
    {"application/vnd.shopping.v2+json", NULL, NULL, REFUSED, 0, 0},
    /* malformed elements are skipped, malformed headers refused */
    {"nonsense, " V(3), NULL, NULL, OK, 3, 0},
    {V(1) ";q=2, " V(3), NULL, NULL, OK, 3, 0},
    {V(1) ";q=0.1234, " V(3), NULL, NULL, OK, 3, 0},
    {V(1) ";a=\"x, " V(3), NULL, NULL, OK, 3, 0},
    {"nonsense", NULL, NULL, MALFORMED, 0, 0},
    {"/json", NULL, NULL, MALFORMED, 0, 0},
    {"application/", NULL, NULL, MALFORMED, 0, 0},
    {"\xff\xfe/\x01", NULL, NULL, MALFORMED, 0, 0},
    {"*/*;q=", NULL, NULL, MALFORMED, 0, 0},
    /* the header pins the version */
    {NULL, "3", NULL, OK, 3, 0},
    {NULL, "v1", NULL, OK, 1, 0},
    {"*/*", "3", NULL, OK, 3, 0},
    {"application/json", "3", NULL, OK, 3, 2},
    {V(3), "3", NULL, OK, 3, 0},
    {V(1) ", application/json", "3", NULL, OK, 3, 2},
    {V(1), "3", NULL, CONFLICT, 0, 0},
    {V(1) ", */*;q=0.1", "3", NULL, CONFLICT, 0, 0},
    {"text/html", "3", NULL, REFUSED, 0, 0},
    {NULL, "9", NULL, UNKNOWN, 0, 0},
    {NULL, "", NULL, UNKNOWN, 0, 0},
    {NULL, "v", NULL, UNKNOWN, 0, 0},
    {NULL, "1,2", NULL, UNKNOWN, 0, 0},
    /* so does the body's type */
    {NULL, NULL, "application/json", OK, 2, 0},
    {NULL, NULL, "multipart/form-data; boundary=x", OK, 2, 0},
    {NULL, NULL, "application/vnd.shop+json", OK, 2, 0},
    {NULL, NULL, V(3) "; charset=utf-8", OK, 3, 0},
    {V(3), NULL, V(3), OK, 3, 0},
    {V(1), NULL, V(3), CONFLICT, 0, 0},
    {NULL, "1", V(3), CONFLICT, 0, 0},
    {NULL, NULL, V(9), BODY, 0, 0},
    {NULL, NULL, "application/vnd.shop.v2+xml", BODY, 0, 0},
    {NULL, NULL, "application/vnd.shop", BODY, 0, 0},
};

static weir_str_t str(const char *s)
{
    return (weir_str_t){s, s != NULL ? strlen(s) : 0};
}

static void the_table_of_negotiation(void **state)
{
    (void)state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const row_t *row = &rows[i];
        weir_negotiate_request_t request = {str(row->accept), str(row->header),
                                            str(row->content_type)};
        weir_negotiated_t out = {0, 0};
        weir_negotiate_result_t result = weir_negotiate(&api, &request, &out);

        if (result != row->result ||
            (result == OK && ((int)out.version + 1 != row->version || (int)out.form != row->form)))
            fail_msg("Accept: %s, header: %s, Content-Type: %s: result %d version %d form %d",
                     row->accept, row->header, row->content_type, (int)result, (int)out.version + 1,
                     (int)out.form);
    }
}

static void ranges_past_the_limit_are_not_looked_at(void **state)
{
    char accept[16384] = "";
    weir_negotiated_t out;

    (void)state;
    for (int i = 0; i < WEIR_NEGOTIATE_RANGES_MAX; i++)
        strcat(accept, "text/plain, ");
    strcat(accept, V(1));

    weir_negotiate_request_t request = {str(accept), {NULL, 0}, {NULL, 0}};

    assert_int_equal(weir_negotiate(&api, &request, &out), REFUSED);

    /* one fewer, and it is seen */
    request.accept = str(accept + strlen("text/plain, "));
    assert_int_equal(weir_negotiate(&api, &request, &out), OK);
    assert_int_equal(out.version, 0);
}

unsigned long weir_work;

/* Headers that look the longest for the end of something, in steps per byte. */
static void the_work_is_linear_in_the_header(void **state)
{
    static const char *const units[] = {
        "\\\"",
        "\"",
        "a/b;c=\"\\\",",
        "a/b;c=\"x,",
        ",",
        " ",
        "a",
        "a/b,",
        "a/b;q=1;",
        "*;q=.2,",
        "\"\\\"\x01,",
        "\\\"\x01\"",
        V(1) ",",
        "\\",
        "a/b;c=\"\\\\\",",
        "x\"\\\"\x7f\"",
        "a/b;c=\"\x01,",
        "x\",\"",
        ";\"\t,",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        char accept[32768];
        size_t len = 0, n = strlen(units[i]);
        weir_negotiate_request_t request = {{accept, 0}, {NULL, 0}, {NULL, 0}};
        weir_negotiated_t out;

        while (len + n <= sizeof(accept)) {
            memcpy(accept + len, units[i], n);
            len += n;
        }
        request.accept.len = len;
        weir_work = 0;
        weir_negotiate(&api, &request, &out);
        /* ranges times versions once, and a few looks at each byte */
        if (weir_work > 64 * 8 + 6 * len)
            fail_msg("%zu bytes of %s: %lu steps", len, units[i], weir_work);
    }
}

/* Every prefix, from memory of exactly its size, so that a sanitizer sees one byte too far. */
static void nothing_past_the_end_is_read(void **state)
{
    const char *accept = V(3) ";q=0.5;a=\"\\x\", application/json;q=0.1, */*;q=0";
    size_t len = strlen(accept);

    (void)state;
    for (size_t n = 1; n <= len; n++) {
        char *exact = malloc(n);
        weir_negotiated_t out;

        memcpy(exact, accept, n);
        weir_negotiate_request_t request = {{exact, n}, {NULL, 0}, {exact, n}};

        assert_true(weir_negotiate(&api, &request, &out) <= BODY);
        request.content_type.data = NULL;
        assert_true(weir_negotiate(&api, &request, &out) <= BODY);
        free(exact);
    }
}

static void dates_and_times_are_read(void **state)
{
    time_t t;

    (void)state;
    assert_int_equal(weir_rfc3339_parse(WEIR_STR("2026-01-01"), &t), 0);
    assert_int_equal(t, 1767225600);
    assert_int_equal(weir_rfc3339_parse(WEIR_STR("2026-01-01T02:00:00+02:00"), &t), 0);
    assert_int_equal(t, 1767225600);
    assert_int_equal(weir_rfc3339_parse(WEIR_STR("2025-12-31T22:30:00-01:30"), &t), 0);
    assert_int_equal(t, 1767225600);
    assert_int_equal(weir_rfc3339_parse(WEIR_STR("2024-02-29"), &t), 0);
}

static void what_is_no_date_is_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "2026",
                                      "2026-13-01",
                                      "2026-00-01",
                                      "2026-02-29",
                                      "2026-1-1",
                                      "2026-01-32",
                                      "20260101",
                                      "2026-01-01T25:00:00Z",
                                      "2026-01-01T00:00:00",
                                      "2026-01-01T00:00:00.5Z",
                                      "2026-01-01 "};
    time_t t;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (weir_rfc3339_parse(str(bad[i]), &t) != -1)
            fail_msg("\"%s\" was taken for a date", bad[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_of_negotiation),
        cmocka_unit_test(the_work_is_linear_in_the_header),
        cmocka_unit_test(ranges_past_the_limit_are_not_looked_at),
        cmocka_unit_test(nothing_past_the_end_is_read),
        cmocka_unit_test(dates_and_times_are_read),
        cmocka_unit_test(what_is_no_date_is_refused),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
