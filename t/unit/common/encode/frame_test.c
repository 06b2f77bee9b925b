// needs: common/trace/encode/frame.c common/trace/span.c common/trace/encode/otlp.c
// needs: common/trace/encode/otlp_json.c common/trace/encode/zipkin.c common/trace/encode/out.c
// needs: common/problem.c
#include "common/trace/encode/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TEXT_MAX 300

/* --- fields of a span, in any order ---------------------------------------------------------- */

typedef struct {
    const char *p;
    size_t len;
} field_t;

static uint64_t varint(const char **p)
{
    uint64_t n = 0;

    for (int shift = 0;; shift += 7) {
        uint8_t byte = (uint8_t) * (*p)++;

        n |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return n;
    }
}

static int compare(const void *a, const void *b)
{
    const field_t *x = a, *y = b;
    int order = memcmp(x->p, y->p, x->len < y->len ? x->len : y->len);

    return order != 0 ? order : (x->len > y->len) - (x->len < y->len);
}

/* The span's fields, sorted; the span has just len bytes. */
static size_t fields(const char *span, size_t len, field_t *field)
{
    const char *p = span, *end = span + len;
    size_t n = 0, rest;

    assert_int_equal(varint(&p), WEIR_PB_TAG(2, WEIR_PB_BYTES));
    rest = varint(&p);
    assert_int_equal(rest, end - p);
    while (p < end) {
        const char *start = p;
        unsigned type = varint(&p) & 7;

        if (type == WEIR_PB_VARINT) {
            (void)varint(&p);
        } else if (type == WEIR_PB_BYTES) {
            size_t bytes = varint(&p);
            p += bytes;
        } else {
            assert_true(type == WEIR_PB_FIXED64 || type == WEIR_PB_FIXED32);
            p += type == WEIR_PB_FIXED64 ? 8 : 4;
        }
        assert_in_range(n, 0, 31);
        field[n++] = (field_t){start, (size_t)(p - start)};
    }
    assert_ptr_equal(p, end);
    qsort(field, n, sizeof(*field), compare);

    return n;
}

static void assert_same(const char *got, size_t got_len, const char *want, size_t want_len)
{
    field_t a[32], b[32];
    size_t n = fields(got, got_len, a);

    assert_int_equal(n, fields(want, want_len, b));
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(a[i].len, b[i].len);
        assert_memory_equal(a[i].p, b[i].p, a[i].len);
    }
}

/* --- tests ----------------------------------------------------------------------------------- */

static const weir_attribute_t shared[] = {
    {.name = "http.request.method", .type = WEIR_ATTRIBUTE_TEXT, .value.text = {"GET", 3}},
    {.name = "server.address", .type = WEIR_ATTRIBUTE_TEXT, .value.text = {"api", 3}},
    {.name = "server.port", .type = WEIR_ATTRIBUTE_NUMBER, .value.number = 8080},
    {.name = "error.type", .type = WEIR_ATTRIBUTE_TEXT, .value.text = {"502", 3}},
};

static weir_span_t first(bool root)
{
    weir_span_t span = {
        .trace_id = {1, 2, 3},
        .span_id = {4, 5},
        .remote_parent = true,
        .flags = 3,
        .tracestate = {"ot=th:8", 7},
        .name = {"GET /products", 13},
        .kind = WEIR_SPAN_SERVER,
        .start = 1,
        .end = 2,
        .attributes = {shared, 4},
        .status = WEIR_SPAN_STATUS_ERROR,
    };

    if (!root)
        span.parent_id[7] = 9;

    return span;
}

/* A span of the frame and one of its own have the same fields. */
static void check(bool root, const char *text, size_t len, uint64_t number)
{
    static const uint8_t parent[WEIR_SPAN_ID_LEN] = {8, 7, 6, 5, 4, 3, 2, 1};
    weir_attribute_t all[6] = {shared[0], shared[1], shared[2], shared[3]};
    weir_span_t span = first(root);
    weir_frame_t frame;
    weir_frame_own_t own;
    weir_frame_place_t place;
    char got[2048], want[2048];
    size_t n;

    weir_frame_make(&frame, &span);
    assert_in_range(frame.len, 128, WEIR_FRAME_ROOM);

    for (size_t i = 0; i < WEIR_TRACE_ID_LEN; i++)
        span.trace_id[i] = (uint8_t)(0x40 + i);
    memcpy(span.span_id, "12345678", WEIR_SPAN_ID_LEN);
    if (!root)
        memcpy(span.parent_id, parent, sizeof(parent));
    span.start = UINT64_C(1700000000123456789);
    span.end = UINT64_C(1700000001123456789);
    all[4] = (weir_attribute_t){
        .name = "url.path", .type = WEIR_ATTRIBUTE_TEXT, .value.text = {text, len}};
    all[5] = (weir_attribute_t){.name = "http.response.body.size",
                                .type = WEIR_ATTRIBUTE_NUMBER,
                                .value.number = (int64_t)number};
    span.attributes = (weir_attributes_t){all, 6};
    n = weir_span_encode(WEIR_SPAN_FORMAT_PROTOBUF, &span, NULL, want, sizeof(want));
    assert_in_range(n, 1, sizeof(want));

    own = (weir_frame_own_t){span.trace_id, span.span_id, root ? NULL : span.parent_id, span.start,
                             span.end};
    place = (weir_frame_place_t){weir_frame_begin(got, &frame, &own), got + sizeof(got)};
    weir_frame_text(&place, "url.path", ((weir_str_t){text, len}), TEXT_MAX);
    weir_frame_number(&place, "http.response.body.size", number);
    assert_non_null(place.p);
    weir_frame_end(got, place.p);
    assert_same(got, (size_t)(place.p - got), want, n);
}

static void a_copy_of_a_frame_is_the_span(void **state)
{
    char *text;

    (void)state;
    for (int root = 0; root < 2; root++) {
        for (size_t len = 0; len <= TEXT_MAX; len++) {
            text = malloc(len + 1); /* nothing behind it may be read */
            assert_non_null(text);
            memset(text, 'x', len);
            check(root, text, len, len);
            free(text);
        }
        for (int bits = 0; bits < 64; bits++)
            check(root, "/", 1, UINT64_C(1) << bits);
    }
}

static void a_text_is_cut(void **state)
{
    char text[TEXT_MAX], cut[512], whole[512];
    weir_frame_place_t a = {cut, cut + sizeof(cut)}, b = {whole, whole + sizeof(whole)};

    (void)state;
    memset(text, 'x', sizeof(text));
    weir_frame_text(&a, "url.path", ((weir_str_t){text, TEXT_MAX}), 150);
    weir_frame_text(&b, "url.path", ((weir_str_t){text, 150}), 150);
    assert_int_equal(a.p - cut, b.p - whole);
    assert_memory_equal(cut, whole, (size_t)(b.p - whole));
}

static void a_byte_that_is_no_utf8_is_replaced(void **state)
{
    char text[40];

    (void)state;
    for (size_t len = 1; len <= sizeof(text); len++) {
        for (size_t other = 0; other < len; other++) {
            memset(text, 'x', len);
            text[other] = (char)0xff;
            check(true, text, len, 0);
        }
    }
}

/* Whatever the room is, nothing is written behind it, and what fits is complete. */
static void without_room_there_is_no_place(void **state)
{
    weir_span_t span = first(true);
    weir_frame_t frame;
    weir_frame_own_t own = {span.trace_id, span.span_id, NULL, 1, 2};
    weir_str_t text = {"/a/path/of/some/length", 22};
    char whole[1024], *room;
    weir_frame_place_t place;
    size_t want;

    (void)state;
    weir_frame_make(&frame, &span);
    place = (weir_frame_place_t){weir_frame_begin(whole, &frame, &own), whole + sizeof(whole)};
    weir_frame_text(&place, "url.path", text, TEXT_MAX);
    weir_frame_number(&place, "size", 1);
    want = (size_t)(place.p - whole);

    for (size_t cap = frame.len; cap < want + 20; cap++) {
        room = malloc(cap);
        assert_non_null(room);
        place = (weir_frame_place_t){weir_frame_begin(room, &frame, &own), room + cap};
        weir_frame_text(&place, "url.path", text, TEXT_MAX);
        weir_frame_number(&place, "size", 1);
        if (place.p != NULL)
            assert_int_equal(place.p - room, want);
        else
            assert_in_range(cap, 0, want + 10);
        free(room);
    }
}

static void a_span_that_is_too_long_or_too_short_has_no_frame(void **state)
{
    static char text[WEIR_FRAME_ROOM];
    weir_attribute_t a = {
        .name = "long", .type = WEIR_ATTRIBUTE_TEXT, .value.text = {text, sizeof(text)}};
    weir_span_t span = first(true);
    weir_frame_t frame;

    (void)state;
    memset(text, 'x', sizeof(text));
    span.attributes = (weir_attributes_t){&a, 1};
    weir_frame_make(&frame, &span);
    assert_int_equal(frame.len, 0);

    span.attributes.n = 0;
    span.tracestate.len = 0;
    span.status = WEIR_SPAN_STATUS_UNSET;
    weir_frame_make(&frame, &span);
    assert_int_equal(frame.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_of_a_frame_is_the_span),
        cmocka_unit_test(a_text_is_cut),
        cmocka_unit_test(a_byte_that_is_no_utf8_is_replaced),
        cmocka_unit_test(without_room_there_is_no_place),
        cmocka_unit_test(a_span_that_is_too_long_or_too_short_has_no_frame),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
