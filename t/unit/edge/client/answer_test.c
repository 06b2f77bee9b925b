// needs: ngx_module/client/answer.c common/text/http_date.c
#include "client/answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define NOW 1795564800 /* Wed, 25 Nov 2026 00:00:00 GMT */

#define MAX 65536

static weir_answer_t answer;
static char room[MAX];

/* Feeds the text in pieces of n bytes each; bytes behind the answer are left. */
static weir_answer_result_t feed(const char *text, size_t len, size_t n)
{
    weir_answer_result_t result = WEIR_ANSWER_MORE;
    size_t used, taken = 0;

    weir_answer_init(&answer, room, MAX);
    while (taken < len && result == WEIR_ANSWER_MORE) {
        size_t piece = len - taken < n ? len - taken : n;
        char *exact = malloc(piece);

        memcpy(exact, text + taken, piece);
        result = weir_answer_feed(&answer, exact, piece, &used);
        assert_true(used <= piece);
        assert_true(result != WEIR_ANSWER_MORE || used == piece);
        taken += used;
        free(exact);
    }

    return result;
}

static void assert_done(const char *text, unsigned status, const char *body, bool keep_alive)
{
    for (size_t n = 1; n <= 3; n++) {
        weir_answer_result_t result = feed(text, strlen(text), n == 3 ? 4096 : n);

        if (result == WEIR_ANSWER_MORE)
            result = weir_answer_finish(&answer);
        assert_int_equal(result, WEIR_ANSWER_DONE);
        assert_int_equal(answer.status, status);
        assert_int_equal(answer.body_len, strlen(body));
        assert_memory_equal(answer.body, body, strlen(body));
        assert_int_equal(answer.keep_alive, keep_alive);
    }
}

static void assert_bad(const char *text)
{
    for (size_t n = 1; n <= 2; n++) {
        weir_answer_result_t result = feed(text, strlen(text), n == 2 ? 4096 : n);

        if (result == WEIR_ANSWER_MORE)
            result = weir_answer_finish(&answer);
        assert_int_equal(result, WEIR_ANSWER_BAD);
        assert_non_null(answer.fault);
    }
}

static void answers_are_read(void **state)
{
    (void)state;
    assert_done("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", 200, "abc", true);
    assert_done("HTTP/1.1 202\r\nContent-Length: 0\r\n\r\n", 202, "", true);
    assert_done("HTTP/1.1 200 \r\ncontent-LENGTH:\t3 \r\nX:\r\n\r\nabc", 200, "abc", true);
    assert_done("HTTP/1.1 204 No Content\r\n\r\n", 204, "", true);
    assert_done("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, "", true);
    assert_done("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"
                "3\r\nabc\r\n00A;x=\"y\"\r\n0123456789\r\n0\r\nTrailer: 1\r\n\r\n",
                200, "abc0123456789", true);
    assert_done("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na", 200, "a",
                true);
    assert_done("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n"
                "HTTP/1.1 503 Away\r\nContent-Length: 1\r\n\r\na",
                503, "a", true);
}

static void the_end_of_the_connection_may_end_a_body(void **state)
{
    (void)state;
    assert_done("HTTP/1.1 200 OK\r\n\r\nrest", 200, "rest", false);
    assert_done("HTTP/1.1 200 OK\r\n\r\n", 200, "", false);
    assert_done("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", 200, "abc", false);
    assert_done("HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 0\r\n\r\n", 200, "",
                false);
    assert_bad("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab");
    assert_bad("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    assert_bad("HTTP/1.1 200 OK\r\nContent-Le");
    assert_bad("");
}

static void what_is_not_asked_for_is_left(void **state)
{
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabHTTP/1.1 500 X\r\n";
    size_t used;

    (void)state;
    weir_answer_init(&answer, room, MAX);
    assert_int_equal(weir_answer_feed(&answer, text, sizeof(text) - 1, &used), WEIR_ANSWER_DONE);
    assert_string_equal(text + used, "HTTP/1.1 500 X\r\n");
}

static void malformed_answers_are_refused(void **state)
{
    static const char *const texts[] = {
        "HTTP/2 200 OK\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 600 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.x 200 OK\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        "HTTP/1.1 200 OK\r\n: b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: \x01\r\n\r\n",
        "HTTP/1.1 101 Switching\r\n\r\n",
        "HTTP/1.1 100 Continue\r\nContent-Length: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\na",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 65537\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10001\r\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_bad(texts[i]);
    assert_int_equal(feed("HTTP/1.1 200 O\0\r\n", 17, 4096), WEIR_ANSWER_BAD);
}

static void answers_are_bounded(void **state)
{
    char *text = malloc(3 * MAX);
    size_t len, head = (size_t)sprintf(text, "HTTP/1.1 200 OK\r\n\r\n");

    (void)state;
    memset(text + head, 'x', 2 * MAX);
    assert_int_equal(feed(text, MAX, 4096), WEIR_ANSWER_MORE);
    assert_int_equal(feed(text, MAX + 1, 4096), WEIR_ANSWER_BAD);

    head = (size_t)sprintf(text, "HTTP/1.1 200 OK\r\nA: ");
    memset(text + head, 'x', 2 * MAX);
    assert_int_equal(feed(text, 2 * MAX, 4096), WEIR_ANSWER_BAD);

    for (len = 0; len < 2 * MAX;)
        len += (size_t)sprintf(text + len, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_int_equal(feed(text, len, 4096), WEIR_ANSWER_BAD);

    len = (size_t)sprintf(text, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    while (len < 2 * MAX)
        len += (size_t)sprintf(text + len, "1\r\nx\r\n");
    assert_int_equal(feed(text, len, 4096), WEIR_ANSWER_BAD);
    free(text);
}

#define FEED(literal) feed(literal, sizeof(literal) - 1, 4096)

static void what_a_body_is_is_known(void **state)
{
    (void)state;
    FEED("HTTP/1.1 200 OK\r\nContent-Type: Application/JSON; charset=x\r\n\r\n");
    assert_int_equal(answer.type, WEIR_ANSWER_JSON);
    FEED("HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\n\r\n");
    assert_int_equal(answer.type, WEIR_ANSWER_PROTOBUF);
    assert_false(answer.encoded);
    FEED("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\n\r\n");
    assert_int_equal(answer.type, WEIR_ANSWER_HTML);
    assert_true(answer.encoded);
}

static int64_t retry_after(const char *value)
{
    char text[200];

    sprintf(text, "HTTP/1.1 503 Away\r\nRetry-After: %s\r\nRetry-After: 77\r\n\r\n", value);
    feed(text, strlen(text), 4096);

    return weir_answer_retry_after(&answer, NOW);
}

static void retry_after_is_seconds_or_a_date(void **state)
{
    (void)state;
    assert_int_equal(retry_after("0"), 0);
    assert_int_equal(retry_after(" 120 "), 120);
    assert_int_equal(retry_after("Wed, 25 Nov 2026 00:01:00 GMT"), 60);
    assert_int_equal(retry_after("Wed, 25 Nov 2020 00:01:00 GMT"), 0);
    assert_int_equal(retry_after("soon"), -1);
    assert_int_equal(retry_after("-1"), -1);
    assert_int_equal(retry_after("1.5"), -1);
    assert_int_equal(retry_after("99999999999"), -1);
    weir_answer_init(&answer, room, MAX);
    assert_int_equal(weir_answer_retry_after(&answer, NOW), -1);
}

static int64_t freshness(const char *fields)
{
    char text[512];

    snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\n%s\r\nContent-Length: 0\r\n\r\n", fields);
    assert_int_equal(feed(text, strlen(text), 7), WEIR_ANSWER_DONE);

    return weir_answer_freshness(&answer);
}

static void freshness_is_that_of_cache_control(void **state)
{
    (void)state;
    assert_int_equal(freshness("X: max-age=1"), -1);
    assert_int_equal(freshness("Cache-Control: public"), -1);
    assert_int_equal(freshness("Cache-Control: max-age=300"), 300);
    assert_int_equal(freshness("Cache-Control: public , Max-Age=300,must-revalidate"), 300);
    assert_int_equal(freshness("Cache-Control: max-age=\"300\""), 300);
    assert_int_equal(freshness("Cache-Control: max-age=300\r\nAge: 100"), 200);
    assert_int_equal(freshness("Age: 400\r\nCache-Control: max-age=300"), 0);
    assert_int_equal(freshness("Cache-Control: max-age=300\r\nAge: old"), 300);
    assert_int_equal(freshness("Cache-Control: max-age=300, no-store"), 0);
    assert_int_equal(freshness("Cache-Control: no-cache\r\nCache-Control: max-age=300"), 0);
    assert_int_equal(freshness("Cache-Control: max-age=300\r\nCache-Control: max-age=7"), 7);
    assert_int_equal(freshness("Cache-Control: max-age=-1"), 0);
    assert_int_equal(freshness("Cache-Control: max-age=1.5"), 0);
    assert_int_equal(freshness("Cache-Control: max-age="), 0);
    assert_int_equal(freshness("Cache-Control: max-age=99999999999999999999"), 0);
    assert_int_equal(freshness("Cache-Control: s-maxage=300"), -1);
    assert_int_equal(freshness("Cache-Control:"), -1);
    assert_int_equal(freshness("Cache-Control: ,,,"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_read),
        cmocka_unit_test(the_end_of_the_connection_may_end_a_body),
        cmocka_unit_test(what_is_not_asked_for_is_left),
        cmocka_unit_test(malformed_answers_are_refused),
        cmocka_unit_test(answers_are_bounded),
        cmocka_unit_test(what_a_body_is_is_known),
        cmocka_unit_test(retry_after_is_seconds_or_a_date),
        cmocka_unit_test(freshness_is_that_of_cache_control),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
