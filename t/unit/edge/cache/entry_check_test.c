// needs: ngx_module/cache/entry_check.c ngx_module/cache/entry.c ngx_module/cache/checksum.c
// needs: ngx_module/cache/checksum_avx2.c ngx_module/cache/policy/range.c
// needs: ngx_module/cache/policy/vary.c
/* Entries that Redis may hold and that no edge has stored. */
#include "cache/entry_check.h"

#include "cache/policy/cache_control.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static const int64_t now = 1700000000000;
static char headers[4096];

static weir_entry_t response(void)
{
    char *p = weir_entry_put_header(headers, WEIR_STR("Content-Type"), WEIR_STR("text/plain"));

    p = weir_entry_put_header(p, WEIR_STR("X-Utf8"), WEIR_STR("\xc3\xa4\tb"));
    return (weir_entry_t){.status = 200,
                          .stored = now - 5000,
                          .lifetime = 600,
                          .key = WEIR_STR("a"),
                          .headers = {headers, (size_t)(p - headers)},
                          .body = WEIR_STR("hello")};
}

static weir_entry_t pointer(void)
{
    return (weir_entry_t){.flags = WEIR_ENTRY_VARY_POINTER,
                          .stored = now,
                          .key = WEIR_STR("a"),
                          .vary = WEIR_STR("accept,cookie")};
}

/* The response with one more field. */
static weir_entry_t with(weir_str_t name, weir_str_t value)
{
    weir_entry_t e = response();
    char *end = weir_entry_put_header(headers + e.headers.len, name, value);

    e.headers.len = (size_t)(end - headers);
    return e;
}

#define refused(entry)                                                                             \
    do {                                                                                           \
        weir_entry_t e_ = (entry);                                                                 \
        assert_non_null(weir_entry_check(&e_, now));                                               \
    } while (0)
#define taken(entry)                                                                               \
    do {                                                                                           \
        weir_entry_t e_ = (entry);                                                                 \
        assert_null(weir_entry_check(&e_, now));                                                   \
    } while (0)

static void what_an_edge_stores_is_taken(void **state)
{
    weir_entry_t e = response();

    (void)state;
    taken(e);
    e.flags = WEIR_ENTRY_VARIANT | WEIR_ENTRY_MUST_REVALIDATE | WEIR_ENTRY_NO_CACHE;
    taken(e);
    e.stored = now + WEIR_ENTRY_CLOCK_SKEW;
    taken(e);
    taken(pointer());
    e = with(WEIR_STR("Content-Range"), WEIR_STR("bytes 0-4/10"));
    e.status = 206;
    taken(e);
}

static void fields_that_split_or_frame_are_refused(void **state)
{
    static const char *barred[] = {"Transfer-Encoding",
                                   "transfer-encoding",
                                   "Content-Length",
                                   "Connection",
                                   "Keep-Alive",
                                   "Upgrade",
                                   "TE",
                                   "Trailer",
                                   "Set-Cookie",
                                   "Age",
                                   "Proxy-Connection",
                                   "Weir-Invalidate"};

    (void)state;
    for (int c = 0; c < 256; c++) {
        char text[3] = {'a', (char)c, 'b'};
        weir_str_t s = {text, 3};
        bool control = (c < 0x20 && c != '\t') || c == 0x7f;

        assert_int_equal(weir_entry_field_is_sound(WEIR_STR("X"), s), !control);
        if (control) {
            refused(with(WEIR_STR("X"), s));
            refused(with(s, WEIR_STR("x")));
        }
    }
    refused(with(WEIR_STR("X: y"), WEIR_STR("z")));
    refused(with(WEIR_STR("X "), WEIR_STR("z")));
    for (size_t i = 0; i < sizeof(barred) / sizeof(barred[0]); i++)
        refused(with(weir_str(barred[i]), WEIR_STR("x")));
    refused(with(WEIR_STR("content-type"), WEIR_STR("text/html")));
    refused(with(WEIR_STR("Content-Range"), WEIR_STR("bytes 0-4/10")));
    taken(with(WEIR_STR("Content-Range"), WEIR_STR("odd")));
}

static void statuses_are_checked(void **state)
{
    static const uint32_t wrong[] = {0, 1, 100, 101, 199, 206, 304, 600, 999, UINT32_MAX};
    weir_entry_t e = response();

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        e.status = wrong[i];
        refused(e);
    }
    e.status = 204;
    refused(e);
    e.body.len = 0;
    taken(e);
    e = with(WEIR_STR("Content-Range"), WEIR_STR("bytes 0-3/10"));
    e.status = 206;
    refused(e); /* five bytes in a range of four */
}

static void times_and_lifetimes_are_checked(void **state)
{
    static const int64_t wrong[] = {INT64_MIN, -1, now + WEIR_ENTRY_CLOCK_SKEW + 1, INT64_MAX};
    weir_entry_t e = response();

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        e.stored = wrong[i];
        refused(e);
    }
    e = response();
    e.lifetime = WEIR_CACHE_SECONDS_MAX + 1;
    refused(e);
    e = response();
    e.initial_age = UINT32_MAX;
    refused(e);
    e = response();
    e.stale_if_error = UINT32_MAX;
    refused(e);
    e = response();
    e.stale_while_revalidate = UINT32_MAX;
    refused(e);
}

static void pointers_lead_to_responses_only(void **state)
{
    static const char *names[] = {"",  "*",   "Accept",    "b,a",  "a,a", "a,",
                                  ",", "a b", "a\r\nb: c", "a,,b", " a",  "a,*"};
    weir_entry_t e;

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        e = pointer();
        e.vary = weir_str(names[i]);
        refused(e);
    }
    /* a pointer that says that it is a variant leads to itself */
    e = pointer();
    e.flags |= WEIR_ENTRY_VARIANT;
    refused(e);
    e = pointer();
    e.body = WEIR_STR("x");
    refused(e);
    e = pointer();
    e.flags |= 64;
    refused(e);
}

static void flags_and_tags_are_checked(void **state)
{
    weir_entry_t e = response();

    (void)state;
    e.flags = 64;
    refused(e);
    e = response();
    e.tags = WEIR_STR("1234567");
    refused(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_an_edge_stores_is_taken),
        cmocka_unit_test(fields_that_split_or_frame_are_refused),
        cmocka_unit_test(statuses_are_checked),
        cmocka_unit_test(times_and_lifetimes_are_checked),
        cmocka_unit_test(pointers_lead_to_responses_only),
        cmocka_unit_test(flags_and_tags_are_checked),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
