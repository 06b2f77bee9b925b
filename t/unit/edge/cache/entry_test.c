// needs: ngx_module/cache/entry.c ngx_module/cache/checksum.c ngx_module/cache/checksum_avx2.c
#include "cache/entry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static char headers[256];
static size_t headers_len;

/* An entry with something in every field. */
static weir_entry_t sample(void)
{
    char *p = headers;

    p = weir_entry_put_header(p, WEIR_STR("Content-Type"), WEIR_STR("text/plain"));
    p = weir_entry_put_header(p, WEIR_STR("X-Empty"), (weir_str_t){NULL, 0});
    p = weir_entry_put_header(p, WEIR_STR("X-Bytes"), WEIR_STR("\0\r\n\xff"));
    headers_len = (size_t)(p - headers);

    return (weir_entry_t){.flags = WEIR_ENTRY_MUST_REVALIDATE,
                          .status = 200,
                          .stored = 1700000000123,
                          .initial_age = 0x01020304,
                          .lifetime = 0x80000000,
                          .stale_while_revalidate = 5,
                          .stale_if_error = 0xffffffff,
                          .position_ms = 0x0102030405060708,
                          .position_seq = UINT64_MAX,
                          .key = WEIR_STR("httpexample.com/a\0b"),
                          .vary = WEIR_STR("accept: x\n"),
                          .tags = WEIR_STR("daily-orders product:7"),
                          .headers = {headers, headers_len}};
}

static char *encode(const weir_entry_t *entry, weir_str_t body, size_t *size)
{
    size_t head = weir_entry_head_size(entry);
    char *buf = malloc(head + body.len), *end;

    assert_non_null(buf);
    end = weir_entry_begin(buf, entry);
    assert_ptr_equal(end, buf + head);
    if (body.len != 0)
        memcpy(end, body.data, body.len);
    *size = head + body.len;
    weir_entry_finish(buf, *size);
    return buf;
}

static void assert_str(weir_str_t a, weir_str_t b)
{
    assert_int_equal(a.len, b.len);
    assert_true(weir_str_eq(a, b));
}

static void assert_round_trip(const weir_entry_t *in, weir_str_t body)
{
    size_t size;
    char *buf = encode(in, body, &size);
    weir_entry_t out;

    assert_null(weir_entry_decode((weir_str_t){buf, size}, &out));
    assert_int_equal(out.flags, in->flags);
    assert_int_equal(out.status, in->status);
    assert_int_equal(out.stored, in->stored);
    assert_int_equal(out.initial_age, in->initial_age);
    assert_int_equal(out.lifetime, in->lifetime);
    assert_int_equal(out.stale_while_revalidate, in->stale_while_revalidate);
    assert_int_equal(out.stale_if_error, in->stale_if_error);
    assert_true(out.position_ms == in->position_ms);
    assert_true(out.position_seq == in->position_seq);
    assert_str(out.key, in->key);
    assert_str(out.vary, in->vary);
    assert_str(out.tags, in->tags);
    assert_str(out.headers, in->headers);
    assert_str(out.body, body);
    free(buf);
}

static void what_goes_in_comes_out(void **state)
{
    weir_entry_t entry = sample();
    weir_entry_t least = {.status = 204};
    weir_entry_t pointer = {
        .flags = WEIR_ENTRY_VARY_POINTER, .key = WEIR_STR("k"), .vary = WEIR_STR("accept,x-a")};
    static char large[100000];

    (void)state;
    assert_round_trip(&entry, WEIR_STR("hello\0world"));
    assert_round_trip(&entry, (weir_str_t){NULL, 0});
    assert_round_trip(&entry, (weir_str_t){large, sizeof(large)});
    assert_round_trip(&least, (weir_str_t){NULL, 0});
    assert_round_trip(&pointer, (weir_str_t){NULL, 0});
}

/* The format is on other machines' Redis: these bytes don't change without a new version. */
static void the_format_stays(void **state)
{
    static const char start[] = "WEIRCE\0\3";
    weir_entry_t entry = sample();
    size_t size;
    char *buf = encode(&entry, WEIR_STR("body"), &size);

    (void)state;
    assert_int_equal(size, 112 + 19 + 10 + 22 + headers_len + 4);
    assert_memory_equal(buf, start, 8);
    assert_int_equal((unsigned char)buf[16], size & 0xff);
    assert_memory_equal(buf + 24, "\2\0\0\0\xc8\0\0\0", 8);
    assert_memory_equal(buf + 40, "\4\3\2\1\0\0\0\x80", 8);
    assert_memory_equal(buf + 96, "\x13\0\0\0\x0a\0\0\0\x16\0\0\0", 12);
    assert_memory_equal(buf + 112, "httpexample.com/a\0baccept: x\ndaily-orders product:7", 51);
    assert_memory_equal(buf + 163, "\x0c\0\x0a\0\0\0Content-Typetext/plain", 28);
    assert_memory_equal(buf + size - 4, "body", 4);
    free(buf);
}

static void local_can_be_changed(void **state)
{
    weir_entry_t in = sample(), out;
    weir_str_t body = WEIR_STR("body");
    size_t head = weir_entry_head_size(&in), size = head + body.len;
    char *buf = malloc(size);

    (void)state;
    assert_non_null(buf);
    memcpy(weir_entry_begin(buf, &in), body.data, body.len);
    weir_entry_set_local(buf, 0x0102030405060708);
    weir_entry_finish(buf, size);
    assert_null(weir_entry_decode((weir_str_t){buf, size}, &out));
    assert_true(out.local == 0x0102030405060708);
    assert_true(out.origin == in.origin);
    assert_str(out.key, in.key);
    assert_str(out.body, body);
    free(buf);
}

static void headers_come_in_order(void **state)
{
    weir_entry_t entry = sample();
    weir_str_t name, value;
    size_t pos = 0;

    (void)state;
    assert_int_equal(headers_len,
                     weir_entry_header_size(WEIR_STR("Content-Type"), WEIR_STR("text/plain")) + 13 +
                         17);
    assert_true(weir_entry_next_header(entry.headers, &pos, &name, &value));
    assert_str(name, WEIR_STR("Content-Type"));
    assert_str(value, WEIR_STR("text/plain"));
    assert_true(weir_entry_next_header(entry.headers, &pos, &name, &value));
    assert_str(name, WEIR_STR("X-Empty"));
    assert_int_equal(value.len, 0);
    assert_true(weir_entry_next_header(entry.headers, &pos, &name, &value));
    assert_str(value, WEIR_STR("\0\r\n\xff"));
    assert_false(weir_entry_next_header(entry.headers, &pos, &name, &value));
    assert_int_equal(pos, headers_len);
}

static void a_long_name_and_value_fit(void **state)
{
    static char name[65535], value[70000], block[6 + sizeof(name) + sizeof(value)];
    weir_entry_t entry = {.status = 200, .headers = {block, sizeof(block)}};
    weir_str_t n, v;
    size_t pos = 0;

    (void)state;
    memset(name, 'n', sizeof(name));
    weir_entry_put_header(block, (weir_str_t){name, sizeof(name)},
                          (weir_str_t){value, sizeof(value)});
    assert_true(weir_entry_next_header(entry.headers, &pos, &n, &v));
    assert_int_equal(n.len, sizeof(name));
    assert_int_equal(v.len, sizeof(value));
    assert_round_trip(&entry, WEIR_STR("x"));
}

/* Each copy is as long as its bytes, so that a read past them is seen by AddressSanitizer. */
static const char *decode_copy(const char *data, size_t len)
{
    char *copy = malloc(len ? len : 1);
    weir_entry_t entry;
    const char *wrong;

    assert_non_null(copy);
    memcpy(copy, data, len);
    wrong = weir_entry_decode((weir_str_t){copy, len}, &entry);
    free(copy);
    return wrong;
}

static void every_truncation_is_refused(void **state)
{
    weir_entry_t entry = sample();
    size_t size;
    char *buf = encode(&entry, WEIR_STR("hello"), &size);

    (void)state;
    for (size_t len = 0; len < size; len++) {
        if (decode_copy(buf, len) == NULL)
            fail_msg("the first %zu bytes of %zu", len, size);
    }
    assert_null(decode_copy(buf, size));
    free(buf);
}

static void more_bytes_are_refused(void **state)
{
    weir_entry_t entry = sample();
    size_t size;
    char *buf = encode(&entry, WEIR_STR("hello"), &size);
    char *longer = calloc(1, size + 16);

    (void)state;
    assert_non_null(longer);
    memcpy(longer, buf, size);
    for (size_t more = 1; more <= 16; more++)
        assert_string_equal(decode_copy(longer, size + more), "wrong size");
    free(longer);
    free(buf);
}

static void every_flipped_bit_and_byte_is_refused(void **state)
{
    weir_entry_t entry = sample();
    size_t size;
    char *buf = encode(&entry, WEIR_STR("hello"), &size);

    (void)state;
    for (size_t at = 0; at < size; at++) {
        for (int flip = 1; flip < 256; flip++) {
            buf[at] ^= (char)flip;
            if (decode_copy(buf, size) == NULL)
                fail_msg("byte %zu of %zu, flipped by %#x", at, size, (unsigned)flip);
            buf[at] ^= (char)flip;
        }
    }
    assert_null(decode_copy(buf, size));
    free(buf);
}

static void reasons_are_told(void **state)
{
    weir_entry_t entry = sample();
    size_t size;
    char *buf = encode(&entry, WEIR_STR("hello"), &size);
    char *foreign = calloc(1, 1000);

    (void)state;
    assert_string_equal(decode_copy("", 0), "too short");
    assert_string_equal(decode_copy(buf, 87), "too short");
    assert_non_null(foreign);
    assert_string_equal(decode_copy(foreign, 1000), "no cache entry");
    assert_string_equal(decode_copy(buf, size - 1), "wrong size");
    buf[size - 1] ^= 1;
    assert_string_equal(decode_copy(buf, size), "wrong checksum");
    buf[7]++;
    assert_string_equal(decode_copy(buf, size), "another version");
    free(foreign);
    free(buf);
}

static void put32(char *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (char)(v >> (8 * i));
}

/* Entries made by hand, with a right checksum. */
static void forged_lengths_are_refused(void **state)
{
    static const uint32_t values[] = {0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff, 100000, 500};
    weir_entry_t entry = sample();
    size_t size;

    (void)state;
    for (int field = 96; field <= 108; field += 4) {
        for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
            char *buf = encode(&entry, WEIR_STR("hello"), &size);

            put32(buf + field, values[i]);
            weir_entry_finish(buf, size);
            assert_string_equal(decode_copy(buf, size), "wrong lengths");
            free(buf);
        }
    }
}

static const char *decode_with_headers(weir_str_t block)
{
    weir_entry_t entry = {.status = 200, .headers = block};
    size_t size;
    char *buf = encode(&entry, WEIR_STR("hello"), &size);
    const char *wrong = decode_copy(buf, size);

    free(buf);
    return wrong;
}

static void malformed_headers_are_refused(void **state)
{
    static char many[(WEIR_ENTRY_HEADERS_MAX + 1) * 7];
    char *p = many;
    size_t one;

    (void)state;
    assert_null(decode_with_headers(WEIR_STR("\1\0\1\0\0\0ab")));
    assert_string_equal(decode_with_headers(WEIR_STR("\1")), "malformed headers");
    assert_string_equal(decode_with_headers(WEIR_STR("\1\0\0\0\0\0")), "malformed headers");
    assert_string_equal(decode_with_headers(WEIR_STR("\0\0\0\0\0\0")), "malformed headers");
    assert_string_equal(decode_with_headers(WEIR_STR("\0\0\1\0\0\0a")), "malformed headers");
    assert_string_equal(decode_with_headers(WEIR_STR("\1\0\2\0\0\0ab")), "malformed headers");
    assert_string_equal(decode_with_headers(WEIR_STR("\1\0\1\0\0\0abc")), "malformed headers");
    assert_string_equal(decode_with_headers(WEIR_STR("\xff\xff\1\0\0\0ab")), "malformed headers");
    assert_string_equal(decode_with_headers(WEIR_STR("\1\0\xff\xff\xff\xff"
                                                     "ab")),
                        "malformed headers");

    for (int i = 0; i < WEIR_ENTRY_HEADERS_MAX + 1; i++)
        p = weir_entry_put_header(p, WEIR_STR("a"), (weir_str_t){NULL, 0});
    one = weir_entry_header_size(WEIR_STR("a"), (weir_str_t){NULL, 0});
    assert_null(decode_with_headers((weir_str_t){many, sizeof(many) - one}));
    assert_string_equal(decode_with_headers((weir_str_t){many, sizeof(many)}), "malformed headers");
}

static void statuses_are_checked(void **state)
{
    static const struct {
        uint32_t flags, status;
        const char *wrong;
    } rows[] = {
        {0, 200, NULL},
        {0, 999, NULL},
        {0, 0, "wrong status"},
        {0, 199, "wrong status"},
        {0, 1000, "wrong status"},
        {0, 0xffffffff, "wrong status"},
        {WEIR_ENTRY_VARY_POINTER, 0, NULL},
        {WEIR_ENTRY_VARY_POINTER, 200, "wrong status"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        weir_entry_t entry = {.flags = rows[i].flags, .status = rows[i].status};
        size_t size;
        char *buf = encode(&entry, (weir_str_t){NULL, 0}, &size);
        const char *wrong = decode_copy(buf, size);

        if (rows[i].wrong == NULL)
            assert_null(wrong);
        else
            assert_string_equal(wrong, rows[i].wrong);
        free(buf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_goes_in_comes_out),
        cmocka_unit_test(the_format_stays),
        cmocka_unit_test(local_can_be_changed),
        cmocka_unit_test(headers_come_in_order),
        cmocka_unit_test(a_long_name_and_value_fit),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(more_bytes_are_refused),
        cmocka_unit_test(every_flipped_bit_and_byte_is_refused),
        cmocka_unit_test(reasons_are_told),
        cmocka_unit_test(forged_lengths_are_refused),
        cmocka_unit_test(malformed_headers_are_refused),
        cmocka_unit_test(statuses_are_checked),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
