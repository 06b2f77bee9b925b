// needs: backend/http/head.c backend/http/chunked.c
#include "http/chunked.h"
#include "http/head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define HOST "Host: a\r\n"
#define END "\r\n"

/* Parses a copy in pieces of that size; status 0 when the head is whole, -1 when it is partial. */
static int parse(const char *text, size_t len, size_t piece, weir_head_t *head, char *copy)
{
    weir_head_init(head);
    for (size_t have = 0; have < len;) {
        size_t n = len - have < piece ? len - have : piece;

        memcpy(copy + have, text + have, n);
        have += n;
        switch (weir_head_parse(head, copy, have)) {
        case WEIR_HEAD_WHOLE:
            return 0;
        case WEIR_HEAD_WRONG:
            assert_non_null(head->why);
            return head->status;
        case WEIR_HEAD_PARTIAL:
            break;
        }
    }

    return -1;
}

typedef struct {
    const char *text;
    int status;
    weir_framing_t framing;
    uint64_t length;
} row_t;

/* Versions 14 and 19 of clang-format disagree about the braces. */
/* clang-format off */
#define ROW(t, s, ...) {.text = (t), .status = (s), ##__VA_ARGS__}
/* clang-format on */
#define GET(fields) "GET /a HTTP/1.1\r\n" HOST fields END
#define POST(fields) "POST /a HTTP/1.1\r\n" HOST fields END

static const row_t rows[] = {
    /* request lines */
    ROW(GET(""), 0),
    ROW("GET /a HTTP/1.0\r\n\r\n", 0),
    ROW("GET /a HTTP/1.2\r\n" HOST END, 0),
    ROW("GET http://a/b HTTP/1.1\r\n" HOST END, 0),
    ROW("GET HTTPS://a:80?x HTTP/1.1\r\n" HOST END, 0),
    ROW("OPTIONS * HTTP/1.1\r\n" HOST END, 0),
    ROW("OPTIONS http://a HTTP/1.1\r\n" HOST END, 0),
    ROW("GET /\xc3\xa4 HTTP/1.1\r\n" HOST END, 0),
    ROW("F!#$%&'*+-.^_`|~O /a HTTP/1.1\r\n" HOST END, 0),
    ROW("GET * HTTP/1.1\r\n" HOST END, 400),
    ROW("GET a HTTP/1.1\r\n" HOST END, 400),
    ROW("GET ftp://a/ HTTP/1.1\r\n" HOST END, 400),
    ROW("GET http:///a HTTP/1.1\r\n" HOST END, 400),
    ROW("GET http://u@a/ HTTP/1.1\r\n" HOST END, 400),
    ROW("GET  /a HTTP/1.1\r\n" HOST END, 400),
    ROW("GET /a  HTTP/1.1\r\n" HOST END, 400),
    ROW("GET /a HTTP/1.1 \r\n" HOST END, 400),
    ROW("GET\t/a HTTP/1.1\r\n" HOST END, 400),
    ROW(" GET /a HTTP/1.1\r\n" HOST END, 400),
    ROW("GET /a\r\n" HOST END, 400),
    ROW("GET /a http/1.1\r\n" HOST END, 400),
    ROW("GET /a HTTP/1.10\r\n" HOST END, 400),
    ROW("GET /a HTTP/1.1\n" HOST END, 400),
    ROW("GET /a\rb HTTP/1.1\r\n" HOST END, 400),
    ROW("GET /a#b HTTP/1.1\r\n" HOST END, 400),
    ROW("G(T /a HTTP/1.1\r\n" HOST END, 400),
    ROW("\x16\x03\x01", 400),
    ROW("GET /a HTTP/2.0\r\n" HOST END, 505),
    ROW("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ROW("GET /a HTTP/0.9\r\n" HOST END, 505),
    ROW("CONNECT a:80 HTTP/1.1\r\n" HOST END, 501),
    ROW("TRACE /a HTTP/1.1\r\n" HOST END, 0),
    ROW("TRACE /a HTTP/1.1\r\n" HOST "Content-Length: 3\r\n" END, 400),
    /* fields */
    ROW(GET("X:\r\n"), 0),
    ROW(GET("X: \t a \xff\tb \r\n"), 0),
    ROW(GET("X : a\r\n"), 400),
    ROW(GET("X\t: a\r\n"), 400),
    ROW(GET(": a\r\n"), 400),
    ROW(GET("X\r\n"), 400),
    ROW(GET("X: a\r\n b\r\n"), 400),
    ROW(GET("X: a\r\n\tb: c\r\n"), 400),
    ROW(GET("X: a\n"), 400),
    ROW(GET("X: a\rb\r\n"), 400),
    ROW(GET("X: a\x01\r\n"), 400),
    ROW(GET("X: a\x7f\r\n"), 400),
    ROW(GET("X\xc3: a\r\n"), 400),
    ROW(GET("X(: a\r\n"), 400),
    ROW("GET /a HTTP/1.1\r\n" HOST "\n", 400),
    /* Host */
    ROW("GET /a HTTP/1.1\r\n\r\n", 400),
    ROW("GET /a HTTP/1.1\r\nHost:\r\n\r\n", 400),
    ROW(GET("Host: a\r\n"), 400),
    ROW("GET http://b/a HTTP/1.1\r\nX: a\r\n\r\n", 400),
    ROW("GET /a HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    ROW("GET /a HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    ROW("GET /a HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    ROW("GET /a HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
    ROW("GET /a HTTP/1.1\r\nHost: a@b\r\n\r\n", 400),
    ROW("GET /a HTTP/1.1\r\nHost: a:b\r\n\r\n", 400),
    ROW("GET /a HTTP/1.1\r\nHost: [::1\r\n\r\n", 400),
    ROW("GET /a HTTP/1.1\r\nHost: []\r\n\r\n", 400),
    ROW("GET /a HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 0),
    ROW("GET /a HTTP/1.1\r\nHost: a:\r\n\r\n", 0),
    /* Content-Length */
    ROW(POST("Content-Length: 5\r\n"), 0, .framing = WEIR_BODY_LENGTH, .length = 5),
    ROW(GET("content-length:\t005 \r\n"), 0, .framing = WEIR_BODY_LENGTH, .length = 5),
    ROW(POST("Content-Length: 5\r\nContent-Length: 6\r\n"), 400),
    ROW(POST("Content-Length: 5\r\nContent-Length: 5\r\n"), 400),
    ROW(POST("Content-Length: 5, 5\r\n"), 400),
    ROW(POST("Content-Length: 5,6\r\n"), 400),
    ROW(POST("Content-Length: +5\r\n"), 400),
    ROW(POST("Content-Length: -5\r\n"), 400),
    ROW(POST("Content-Length: 5 5\r\n"), 400),
    ROW(POST("Content-Length: 0x5\r\n"), 400),
    ROW(POST("Content-Length: 5;\r\n"), 400),
    ROW(POST("Content-Length:\r\n"), 400),
    ROW(POST("Content-Length : 5\r\n"), 400),
    ROW(POST("Content-Length: 99999999999999999999999\r\n"), 413),
    /* Transfer-Encoding */
    ROW(POST("Transfer-Encoding: Chunked\r\n"), 0, .framing = WEIR_BODY_CHUNKED),
    ROW(POST("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), 400),
    ROW(POST("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400),
    ROW(POST("Content-Length: 5\r\nTransfer-Encoding: identity\r\n"), 400),
    ROW(POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400),
    ROW(POST("Transfer-Encoding: chunked, chunked\r\n"), 400),
    ROW(POST("Transfer-Encoding: chunked,\r\n"), 400),
    ROW(POST("Transfer-Encoding: chunked;a=b\r\n"), 400),
    ROW(POST("Transfer-Encoding: chunked, gzip\r\n"), 400),
    ROW(POST("Transfer-Encoding: gzip\r\n"), 400),
    ROW(POST("Transfer-Encoding: identity\r\n"), 400),
    ROW(POST("Transfer-Encoding: xchunked\r\n"), 400),
    ROW(POST("Transfer-Encoding:\r\n"), 400),
    ROW(POST("Transfer-Encoding: gzip, chunked\r\n"), 501),
    ROW(POST("Transfer-Encoding : chunked\r\n"), 400),
    ROW(POST("Transfer-Encoding: \x0b"
             "chunked\r\n"),
        400),
    ROW("POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    /* fields of which there is one */
    ROW(POST("Idempotency-Key: a\r\nIdempotency-Key: b\r\n"), 400),
    ROW(POST("idempotency-key: a\r\nIdempotency-Key: a\r\n"), 400),
    ROW(POST("Authorization: a\r\nAuthorization: b\r\n"), 400),
    ROW(POST("Content-Type: a/b\r\nContent-Type: c/d\r\n"), 400),
    ROW(POST("API-Version: 1\r\nAPI-Version: 2\r\n"), 400),
    ROW(POST("webhook-id: 1\r\nWebhook-Id: 2\r\n"), 400),
    ROW(POST("Accept: a/b\r\nAccept: c/d\r\nContent-Type: a/b\r\n"), 0),
    /* Expect */
    ROW(POST("Expect: 100-Continue\r\n"), 0),
    ROW(POST("Expect: 200-ok\r\n"), 417),
    /* what is not whole */
    ROW("GET /a HTTP/1.1\r\n" HOST, -1),
    ROW("GET /a", -1),
};

static void the_table_of_heads(void **state)
{
    char copy[1024];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const row_t *row = &rows[i];

        for (size_t piece = 1; piece <= 1024; piece = piece * 3 + 1) {
            weir_head_t head;
            int status = parse(row->text, strlen(row->text), piece, &head, copy);

            if (status != row->status)
                print_error("%s", row->text);
            assert_int_equal(status, row->status);
            if (status == 0) {
                assert_int_equal(head.framing, row->framing);
                assert_int_equal(head.length, row->length);
                assert_int_equal(head.len, strlen(row->text));
            }
        }
    }
}

static void nul_is_refused_everywhere(void **state)
{
    static const char text[] = "POST /a?b HTTP/1.1\r\n" HOST "Content-Length: 5\r\nX: y\r\n\r\n";
    size_t len = sizeof(text) - 1;
    char changed[sizeof(text) + 4], copy[sizeof(text) + 4];

    (void)state;
    for (size_t i = 0; i < len; i++) {
        weir_head_t head;

        memcpy(changed, text, len);
        memcpy(changed + len, "\r\n", 2);
        changed[i] = '\0';
        assert_int_equal(parse(changed, len + 2, len + 2, &head, copy), 400);
    }
}

static void parts_of_a_head(void **state)
{
    static const char text[] = "POST http://a/b/c?d=e&f HTTP/1.1\r\n" HOST
                               "One:  first \r\none: second\r\nConnection: x , Close\r\n\r\nbody";
    char copy[sizeof(text)];
    weir_head_t head;

    (void)state;
    assert_int_equal(parse(text, sizeof(text) - 1, sizeof(text), &head, copy), 0);
    assert_string_equal(weir_head_method(&head), "POST");
    assert_string_equal(weir_head_path(&head), "/b/c");
    assert_string_equal(weir_head_query(&head), "d=e&f");
    assert_string_equal(weir_head_field(&head, "ONE"), "first");
    assert_int_equal(weir_head_count(&head, "one"), 2);
    assert_null(weir_head_field(&head, "Two"));
    assert_false(weir_head_keeps_connection(&head));
    assert_memory_equal(copy + head.len, "body", 4);

    assert_int_equal(parse("GET http://a HTTP/1.0\r\n\r\n", 25, 99, &head, copy), 0);
    assert_string_equal(weir_head_path(&head), "/");
    assert_null(weir_head_query(&head));
    assert_false(weir_head_keeps_connection(&head));
    assert_int_equal(
        parse("OPTIONS * HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 46, 99, &head, copy), 0);
    assert_string_equal(weir_head_path(&head), "*");
    assert_true(weir_head_keeps_connection(&head));
}

static void heads_have_limits(void **state)
{
    static char text[2 * WEIR_HEAD_MAX], copy[2 * WEIR_HEAD_MAX];
    weir_head_t head;
    size_t len;

    (void)state;
    memset(text, 'a', sizeof(text));
    memcpy(text, "GET /", 5);
    assert_int_equal(parse(text, WEIR_HEAD_LINE_MAX, 1000, &head, copy), -1);
    assert_int_equal(parse(text, WEIR_HEAD_LINE_MAX + 1, 1000, &head, copy), 414);
    memcpy(text + WEIR_HEAD_LINE_MAX, " HTTP/1.1\r\n", 11);
    assert_int_equal(parse(text, WEIR_HEAD_LINE_MAX + 11, sizeof(text), &head, copy), 414);

    len = (size_t)sprintf(text, "GET / HTTP/1.1\r\n" HOST "X: ");
    memset(text + len, 'a', sizeof(text) - len);
    assert_int_equal(parse(text, WEIR_HEAD_MAX - 1, 1000, &head, copy), -1);
    assert_int_equal(parse(text, WEIR_HEAD_MAX, 1000, &head, copy), 431);
    memcpy(text + WEIR_HEAD_MAX - 4, "\r\n\r\n", 4);
    assert_int_equal(parse(text, WEIR_HEAD_MAX, 1000, &head, copy), 0);
    memcpy(text + WEIR_HEAD_MAX - 4, "a\r\n\r\n", 5);
    assert_int_equal(parse(text, WEIR_HEAD_MAX + 1, sizeof(text), &head, copy), 431);

    len = (size_t)sprintf(text, "GET / HTTP/1.1\r\n" HOST);
    for (int i = 1; i < WEIR_HEAD_FIELDS_MAX; i++)
        len += (size_t)sprintf(text + len, "X: y\r\n");
    sprintf(text + len, "\r\n");
    assert_int_equal(parse(text, len + 2, 1000, &head, copy), 0);
    sprintf(text + len, "X: y\r\n\r\n");
    assert_int_equal(parse(text, len + 8, 1000, &head, copy), 431);
}

/* --- chunks ------------------------------------------------------------------------------- */

/* Status 0 when the body is whole, -1 when it is partial; used counts to its end. */
static int decode(const char *text, size_t len, size_t piece, char *body, size_t *used_all)
{
    weir_chunked_t chunked;
    size_t have = 0, n_body = 0;

    weir_chunked_init(&chunked, 20);
    while (have < len) {
        size_t n = len - have < piece ? len - have : piece, used, content;
        char copy[256];
        weir_chunked_result_t result;

        memcpy(copy, text + have, n);
        result = weir_chunked_decode(&chunked, copy, n, &used, &content);
        assert_true(used <= n && content <= used);
        memcpy(body + n_body, copy, content);
        n_body += content;
        body[n_body] = '\0';
        have += used;
        *used_all = have;
        if (result == WEIR_CHUNKED_WRONG)
            return chunked.status;
        if (result == WEIR_CHUNKED_WHOLE)
            return 0;
        assert_int_equal(used, n);
    }

    return -1;
}

static void the_table_of_chunks(void **state)
{
    static const struct {
        const char *text;
        int status;
        const char *body, *rest;
    } chunks[] = {
        {"0\r\n\r\n", 0, "", ""},
        {"5\r\nhello\r\n0\r\n\r\n", 0, "hello", ""},
        {"005\r\nhello\r\n00\r\n\r\nGET", 0, "hello", "GET"},
        {"a\r\n0123456789\r\nA\r\n9876543210\r\n0\r\n\r\n", 0, "01234567899876543210", ""},
        {"2;a\r\nhi\r\n0\r\n\r\n", 0, "hi", ""},
        {"2;a=b\r\nhi\r\n0;c\r\n\r\n", 0, "hi", ""},
        {"2 ; a = \"x\\\"\ty;z\" ;b\r\nhi\r\n0\r\n\r\n", 0, "hi", ""},
        {"2\r\nhi\r\n0\r\nX: y\r\nZ:\r\n\r\n\r\n", 0, "hi", "\r\n"},
        {"2\r\nhi\r\n0\r\n", -1, "hi", ""},
        {"15\r\n", 413, "", ""},
        {"a\r\n0123456789\r\nb\r\n", 413, "0123456789", ""},
        {"ffffffffffffffff\r\n", 413, "", ""},
        {"00000000000000005\r\n", 400, "", ""},
        {"\r\n", 400, "", ""},
        {"+5\r\n", 400, "", ""},
        {"-5\r\n", 400, "", ""},
        {"0x5\r\n", 400, "", ""},
        {" 5\r\n", 400, "", ""},
        {"5 \r\n", 400, "", ""},
        {"5\n", 400, "", ""},
        {"5\r\r\n", 400, "", ""},
        {"g\r\n", 400, "", ""},
        {"2;\r\n", 400, "", ""},
        {"2;a\n", 400, "", ""},
        {"2;a=\r\n", 400, "", ""},
        {"2;a=\"b\r\n", 400, "", ""},
        {"2;a=\"b\"c\r\n", 400, "", ""},
        {"2;a b\r\n", 400, "", ""},
        {"2;a \r\n", 400, "", ""},
        {"2\r\nhi!\r\n", 400, "hi", ""},
        {"2\r\nhi\n", 400, "hi", ""},
        {"2\r\nhi\r0", 400, "hi", ""},
        {"0\r\n\n", 400, "", ""},
        {"0\r\n\r0", 400, "", ""},
        {"0\r\nX : y\r\n\r\n", 400, "", ""},
        {"0\r\n X: y\r\n\r\n", 400, "", ""},
        {"0\r\nX: y\n\r\n", 400, "", ""},
        {"0\r\nX\r\n\r\n", 400, "", ""},
        {"0\r\nGET / HTTP/1.1\r\n\r\n", 400, "", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++) {
        size_t len = strlen(chunks[i].text), used = 0;

        for (size_t piece = 1; piece <= 128; piece = piece * 2 + 1) {
            char body[256] = "";
            int status = decode(chunks[i].text, len, piece, body, &used);

            if (status != chunks[i].status)
                print_error("%s", chunks[i].text);
            assert_int_equal(status, chunks[i].status);
            assert_string_equal(body, chunks[i].body);
            if (status == 0)
                assert_string_equal(chunks[i].text + used, chunks[i].rest);
        }
    }
}

static void extensions_and_trailers_have_a_limit(void **state)
{
    static const char *const begins[] = {"1;", "0\r\nX:"};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        weir_chunked_t chunked;
        char data[64];
        size_t used, content, sent = 0;
        weir_chunked_result_t result;

        weir_chunked_init(&chunked, 100);
        strcpy(data, begins[i]);
        result = weir_chunked_decode(&chunked, data, strlen(data), &used, &content);
        while (result == WEIR_CHUNKED_MORE) {
            memset(data, 'a', sizeof(data));
            result = weir_chunked_decode(&chunked, data, sizeof(data), &used, &content);
            sent += used;
            assert_true(sent <= WEIR_CHUNKED_EXTRA_MAX + sizeof(data));
        }
        assert_int_equal(result, WEIR_CHUNKED_WRONG);
        assert_int_equal(chunked.status, 431);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_of_heads),
        cmocka_unit_test(nul_is_refused_everywhere),
        cmocka_unit_test(parts_of_a_head),
        cmocka_unit_test(heads_have_limits),
        cmocka_unit_test(the_table_of_chunks),
        cmocka_unit_test(extensions_and_trailers_have_a_limit),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
