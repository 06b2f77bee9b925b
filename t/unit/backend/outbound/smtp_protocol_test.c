// needs: backend/outbound/smtp/protocol.c backend/log/alloc.c backend/log/log.c common/problem.c
#include "outbound/smtp/protocol.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Reads the text in pieces of that size; *used is how much of it was read. */
static weir_smtp_reply_result_t read_in(weir_smtp_reply_t *reply, const char *text, size_t piece,
                                        size_t *used)
{
    weir_smtp_reply_result_t result = WEIR_SMTP_REPLY_PARTIAL;
    size_t len = strlen(text), n;

    for (*used = 0; *used < len && result == WEIR_SMTP_REPLY_PARTIAL; *used += n) {
        size_t left = len - *used;

        result = weir_smtp_reply_read(reply, text + *used, left < piece ? left : piece, &n);
        assert_true(n > 0);
    }
    return result;
}

static void whole_replies(void **state)
{
    static const struct {
        const char *text;
        int code;
        const char *line;
        size_t used;
    } cases[] = {
        {"250 ok\r\n", 250, "250 ok", 8},
        {"250 ok\n", 250, "250 ok", 7},
        {"250\r\n", 250, "250", 5},
        {"354 \r\n", 354, "354 ", 6},
        {"250-a\r\n250-b\r\n250 c\r\n", 250, "250 c", 21},
        {"250-\r\n250\r\n", 250, "250", 11},
        {"550 5.1.1 no such user\r\n221 bye\r\n", 550, "550 5.1.1 no such user", 24},
        {"421 \t\x1b[2J\x7f\r\n", 421, "421   [2J ", 12},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t piece = 1; piece < 40; piece++) {
            weir_smtp_reply_t reply = {0};
            size_t used;

            assert_int_equal(read_in(&reply, cases[i].text, piece, &used), WEIR_SMTP_REPLY_WHOLE);
            assert_int_equal(reply.code, cases[i].code);
            assert_string_equal(reply.line, cases[i].line);
            assert_int_equal(used, cases[i].used);
        }
    }
}

static void malformed_replies(void **state)
{
    static const char *const cases[] = {
        "\r\n",           "ok\r\n",
        "25\r\n",         "2500\r\n",
        "250_ok\r\n",     "150 ok\r\n",
        "650 ok\r\n",     "2x0 ok\r\n",
        " 250 ok\r\n",    "250-a\r\n\r\n",
        "250-a\r\nb\r\n", "250-a\r\n251 b\r\n",
        "HTTP/1.1 200\n", "250-a\r\n550-b\r\n",
        "-250 ok\r\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t piece = 1; piece < 20; piece++) {
            weir_smtp_reply_t reply = {0};
            size_t used;

            assert_int_equal(read_in(&reply, cases[i], piece, &used), WEIR_SMTP_REPLY_MALFORMED);
            assert_int_equal(reply.code, 0);
        }
    }
}

static void replies_have_a_limit(void **state)
{
    static const char *const endless[] = {"250-x\r\n", "x", "2"};

    (void)state;
    for (size_t i = 0; i < sizeof(endless) / sizeof(endless[0]); i++) {
        weir_smtp_reply_t reply = {0};
        weir_smtp_reply_result_t result = WEIR_SMTP_REPLY_PARTIAL;
        size_t total = 0, used;

        for (; result == WEIR_SMTP_REPLY_PARTIAL; total += used)
            result = weir_smtp_reply_read(&reply, endless[i], strlen(endless[i]), &used);
        assert_int_equal(result, WEIR_SMTP_REPLY_MALFORMED);
        assert_int_equal(total, WEIR_SMTP_REPLY_MAX + 1);
        assert_true(strlen(reply.line) < sizeof(reply.line));
    }
}

/* The limit is for each reply, and nothing of one is left for the next. */
static void replies_follow_each_other(void **state)
{
    weir_smtp_reply_t reply = {0};
    size_t used;

    (void)state;
    for (int i = 0; i < 20000; i++) {
        const char *text = i % 2 ? "250-a\r\n250 odd\r\n" : "354 even\r\n";

        assert_int_equal(read_in(&reply, text, 3, &used), WEIR_SMTP_REPLY_WHOLE);
        assert_string_equal(reply.line, i % 2 ? "250 odd" : "354 even");
    }
    assert_int_equal(read_in(&reply, "250-be", 10, &used), WEIR_SMTP_REPLY_PARTIAL);
    assert_string_equal(reply.line, "250-be");
    assert_int_equal(reply.code, 250);
    weir_smtp_reply_next(&reply);
    assert_int_equal(read_in(&reply, "550 no\r\n", 10, &used), WEIR_SMTP_REPLY_WHOLE);
    assert_int_equal(reply.code, 550);
}

static void dots(void **state)
{
    static const struct {
        const char *text, *dotted;
    } cases[] = {
        {"\r\n", "\r\n"},
        {"a\r\n", "a\r\n"},
        {".\r\n", "..\r\n"},
        {"..\r\n", "...\r\n"},
        {"a.\r\n.b\r\n", "a.\r\n..b\r\n"},
        {"a\r\n.\r\nRCPT TO:<b@example.org>\r\n", "a\r\n..\r\nRCPT TO:<b@example.org>\r\n"},
        {"\r\n.\r\n.\r\n", "\r\n..\r\n..\r\n"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t len;
        char *text = weir_smtp_dotted(cases[i].text, strlen(cases[i].text), &len);

        assert_int_equal(len, strlen(cases[i].dotted));
        assert_memory_equal(text, cases[i].dotted, len);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_replies),
        cmocka_unit_test(malformed_replies),
        cmocka_unit_test(replies_have_a_limit),
        cmocka_unit_test(replies_follow_each_other),
        cmocka_unit_test(dots),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
