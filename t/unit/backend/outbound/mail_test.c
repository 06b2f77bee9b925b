// needs: backend/outbound/mail.c backend/log/alloc.c backend/log/log.c common/problem.c
#include "outbound/mail.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *text_of(const char *name, const char *subject, const char *body)
{
    weir_mail_t mail = {
        .from_name = "Weir Shop",
        .from = "shop@weir.example",
        .to_name = name,
        .to = "ann@example.org",
        .subject = subject,
        .message_id = "1.email@weir.example",
        .time = "2026-11-01T09:05:07.123456Z",
        .body = body,
    };
    size_t len;
    char *text = weir_mail_text(&mail, &len);

    assert_int_equal(strlen(text), len);
    return text;
}

/* The header lines: none longer than 78 characters, each a field or a continuation, all CRLF. */
static void assert_header(const char *text, int fields)
{
    const char *end = strstr(text, "\r\n\r\n"), *line = text;
    int n = 0;

    assert_non_null(end);
    while (line < end + 2) {
        const char *eol = strstr(line, "\r\n");

        assert_true(eol - line <= 78);
        for (const char *c = line; c < eol; c++)
            assert_true(*c >= ' ' && *c <= '~');
        if (*line != ' ')
            n++;
        line = eol + 2;
    }
    assert_int_equal(n, fields);
}

#define FIELDS 9

static void the_plain_case_reads_as_written(void **state)
{
    char *text = text_of("Ann", "Welcome", "Hello Ann,\n\nhello.\n");

    (void)state;
    assert_string_equal(text, "Date: Sun, 01 Nov 2026 09:05:07 +0000\r\n"
                              "From: \"Weir Shop\" <shop@weir.example>\r\n"
                              "To: \"Ann\" <ann@example.org>\r\n"
                              "Subject: Welcome\r\n"
                              "Message-ID: <1.email@weir.example>\r\n"
                              "Auto-Submitted: auto-generated\r\n"
                              "MIME-Version: 1.0\r\n"
                              "Content-Type: text/plain; charset=utf-8\r\n"
                              "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
                              "Hello Ann,\r\n\r\nhello.\r\n");
    free(text);
}

static void no_name_starts_a_header(void **state)
{
    static const char *const names[] = {
        "Ann\r\nBcc: all@example.org",
        "Ann\nBcc: all@example.org",
        "\"Ann\" <x@y>, \\",
        "=?UTF-8?Q?x?=",
        "\x01\x7f",
        "Ann\r\n\r\nbody",
        "\xff\xfe\xc3",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        char *text = text_of(names[i], names[i], "x\n");

        assert_header(text, FIELDS);
        assert_null(strstr(text, "\nBcc"));
        free(text);
    }
}

static void what_is_not_ascii_is_encoded_by_whole_characters(void **state)
{
    char name[400] = "", *text, *word;

    (void)state;
    for (int i = 0; i < 60; i++)
        strcat(name, "\xe2\x82\xac"); /* the euro sign */
    text = text_of(name,
                   "Gr\xc3\xbc\xc3\x9f"
                   "e",
                   "x\n");
    assert_header(text, FIELDS);
    assert_non_null(strstr(text, "Subject: =?UTF-8?B?R3LDvMOfZQ==?=\r\n"));
    /* 15 signs of 3 bytes fill a word of 45 bytes: 60 digits without padding */
    word = strstr(text, "=?UTF-8?B?");
    assert_int_equal(strcspn(word + 10, "?"), 60);
    assert_null(memchr(word + 10, '=', 60));
    free(text);
}

static void long_words_and_subjects_are_folded(void **state)
{
    char long_word[200], *text;

    (void)state;
    memset(long_word, 'x', sizeof(long_word) - 1);
    long_word[sizeof(long_word) - 1] = '\0';
    text = text_of(long_word, long_word, "x\n");
    assert_header(text, FIELDS);
    free(text);
    text = text_of("A",
                   "one two three four five six seven eight nine ten eleven twelve thirteen "
                   "fourteen fifteen",
                   "x\n");
    assert_header(text, FIELDS);
    free(text);
}

static void bodies_are_quoted_printable(void **state)
{
    char body[300], *text, *line;

    (void)state;
    text = text_of("A", "S", "a=b \nGr\xc3\xbc\n\t.\n.\n");
    assert_non_null(strstr(text, "\r\n\r\na=3Db=20\r\nGr=C3=BC\r\n=09.\r\n.\r\n"));
    free(text);

    memset(body, 'y', sizeof(body) - 2);
    strcpy(body + sizeof(body) - 2, "\n");
    text = text_of("A", "S", body);
    for (line = strstr(text, "\r\n\r\n") + 4; *line != '\0'; line = strstr(line, "\r\n") + 2)
        assert_true(strcspn(line, "\r") <= 76);
    free(text);
}

static void addresses_that_could_break_out_are_refused(void **state)
{
    static const char *const wrong[] = {
        "",        "a",       "@",
        "a@",      "@b",      "a@b@c",
        "a b@c",   "a@b>",    "a@b\r\nRCPT TO:<c@d>",
        "a,b@c",   "\"a\"@b", "a@\xc3\xbc.example",
        "a\x7f@b",
    };
    char name[300];

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
        assert_false(weir_mail_is_address(wrong[i]));
    assert_true(weir_mail_is_address("a.b+c'd@sub.example.org"));
    memset(name, 'a', sizeof(name));
    strcpy(name + sizeof(name) - 3, "@b");
    assert_false(weir_mail_is_address(name));
}

static void mailboxes_are_split(void **state)
{
    static const struct {
        const char *mailbox, *name, *address;
    } cases[] = {
        {"shop@weir.example", NULL, "shop@weir.example"},
        {"<shop@weir.example>", NULL, "shop@weir.example"},
        {"Weir Shop <shop@weir.example>", "Weir Shop", "shop@weir.example"},
        {" \"Weir, Shop\" <shop@weir.example>", "Weir, Shop", "shop@weir.example"},
    };
    static const char *const wrong[] = {"", "Weir Shop", "Weir <shop@weir.example", "Weir <shop>",
                                        "<>"};
    char *name, *address;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        assert_true(weir_mail_split(cases[i].mailbox, &name, &address));
        assert_string_equal(address, cases[i].address);
        assert_int_equal(name == NULL, cases[i].name == NULL);
        if (name != NULL)
            assert_string_equal(name, cases[i].name);
        free(name);
        free(address);
    }
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
        assert_false(weir_mail_split(wrong[i], &name, &address));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_plain_case_reads_as_written),
        cmocka_unit_test(no_name_starts_a_header),
        cmocka_unit_test(what_is_not_ascii_is_encoded_by_whole_characters),
        cmocka_unit_test(long_words_and_subjects_are_folded),
        cmocka_unit_test(bodies_are_quoted_printable),
        cmocka_unit_test(addresses_that_could_break_out_are_refused),
        cmocka_unit_test(mailboxes_are_split),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
