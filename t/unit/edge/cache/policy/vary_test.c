// needs: ngx_module/cache/policy/vary.c
#include "cache/policy/vary.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define FIELDS_SIZE (WEIR_VARY_FIELDS_MAX * (WEIR_VARY_NAME_MAX + 1))

/* The lines are separated by "|"; want NULL: no request can match. */
static void assert_fields(const char *text, const char *want)
{
    weir_str_t lines[8];
    size_t n = 0, len = 12345;
    char buf[FIELDS_SIZE + 1];
    const char *p = text;
    bool ok;

    for (;;) {
        const char *bar = strchr(p, '|');

        assert_true(n < sizeof(lines) / sizeof(lines[0]));
        lines[n++] = (weir_str_t){p, bar ? (size_t)(bar - p) : strlen(p)};
        if (bar == NULL)
            break;
        p = bar + 1;
    }

    buf[FIELDS_SIZE] = '#';
    ok = weir_vary_fields(lines, n, buf, &len);
    assert_int_equal(buf[FIELDS_SIZE], '#');

    if (want == NULL ? ok : !ok || len != strlen(want) || memcmp(buf, want, len) != 0)
        fail_msg("%s: %s %.*s", text, ok ? "true" : "false", ok ? (int)len : 0, buf);
}

static void fields_are_a_sorted_set(void **state)
{
    (void)state;
    assert_fields("", "");
    assert_fields(" , ,\t", "");
    assert_fields("|", "");
    assert_fields("Accept", "accept");
    assert_fields("\t Accept \t", "accept");
    assert_fields("B, a, C", "a,b,c");
    assert_fields("b,A|c", "a,b,c");
    assert_fields("c|b|A", "a,b,c");
    assert_fields("a,A,a|A", "a");
    assert_fields("a,,b,", "a,b");
    assert_fields("ab, a, abc", "a,ab,abc");
    assert_fields("X-_, X--, !#$%&'*+.^`|~", "!#$%&'*+.^`,x--,x-_,~");
    assert_fields("**", "**"); /* a name, if an odd one */
}

static void what_cannot_match_is_refused(void **state)
{
    (void)state;
    assert_fields("*", NULL);
    assert_fields(" * ", NULL);
    assert_fields("a, *", NULL);
    assert_fields("a|*", NULL);
    assert_fields("a b", NULL);
    assert_fields("a; b", NULL);
    assert_fields("a=b", NULL);
    assert_fields("\"a\"", NULL);
    assert_fields("a,(b)", NULL);
    assert_fields("caf\xc3\xa9", NULL);
    assert_fields("a:", NULL);
}

static void limits_hold(void **state)
{
    char text[WEIR_VARY_FIELDS_MAX * (WEIR_VARY_NAME_MAX + 1) + 100], want[sizeof(text)];
    char *p = text;
    weir_str_t nul = {"a\0b", 3};
    char buf[FIELDS_SIZE];
    size_t len;

    (void)state;

    /* as many names as there may be, each as long as it may be */
    for (int i = 0; i < WEIR_VARY_FIELDS_MAX; i++) {
        memset(p, 'A' + i, WEIR_VARY_NAME_MAX);
        p += WEIR_VARY_NAME_MAX;
        *p++ = ',';
    }
    p[-1] = '\0';
    for (size_t i = 0; i <= strlen(text); i++)
        want[i] = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] | 0x20) : text[i];
    assert_fields(text, want);

    /* the same ones again are no more */
    strcpy(p - 1, ",aaaa");
    assert_fields(text, NULL);
    memset(p, 'a', WEIR_VARY_NAME_MAX);
    p[WEIR_VARY_NAME_MAX] = '\0';
    assert_fields(text, want);

    memset(text, 'n', WEIR_VARY_NAME_MAX + 1);
    text[WEIR_VARY_NAME_MAX + 1] = '\0';
    assert_fields(text, NULL);
    assert_fields(text + 1, text + 1);

    assert_false(weir_vary_fields(&nul, 1, buf, &len));
    assert_true(weir_vary_fields(NULL, 0, buf, &len));
    assert_int_equal(len, 0);
}

static void names_come_one_by_one(void **state)
{
    weir_str_t name, list = WEIR_STR("a,bc,d");
    size_t pos = 0;

    (void)state;
    assert_true(weir_vary_next(list, &pos, &name));
    assert_true(weir_str_eq(name, WEIR_STR("a")));
    assert_true(weir_vary_next(list, &pos, &name));
    assert_true(weir_str_eq(name, WEIR_STR("bc")));
    assert_true(weir_vary_next(list, &pos, &name));
    assert_true(weir_str_eq(name, WEIR_STR("d")));
    assert_false(weir_vary_next(list, &pos, &name));
    assert_false(weir_vary_next(list, &pos, &name));

    pos = 0;
    assert_false(weir_vary_next((weir_str_t){NULL, 0}, &pos, &name));
}

static void values_are_normalized(void **state)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"", ""},
        {" \t", ""},
        {",", ""},
        {" , ,", ""},
        {"gzip", "gzip"},
        {" gzip\t", "gzip"},
        {"gzip, br", "gzip,br"},
        {"gzip ,br", "gzip,br"},
        {",gzip,,\t,br,", "gzip,br"},
        {"de-AT,de;q=0.8", "de-AT,de;q=0.8"},
        {"de; q=0.8", "de; q=0.8"},
        {"a  b\tc", "a b c"},
        {"a \t, \t b", "a,b"},
        {"DE", "DE"},
        {"caf\xc3\xa9", "caf\xc3\xa9"},

        /* in a quoted-string they mean themselves, so nothing is touched */
        {"\"a ,  b\"", "\"a ,  b\""},
        {" x=\"a\" ,  b ", " x=\"a\" ,  b "},
        {"\"", "\""},
    };
    char out[64];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        weir_str_t in = {rows[i].in, strlen(rows[i].in)};
        size_t n;

        memset(out, '#', sizeof(out));
        n = weir_vary_normalize(in, out);

        if (n != strlen(rows[i].out) || memcmp(out, rows[i].out, n) != 0)
            fail_msg("\"%s\": \"%.*s\"", rows[i].in, (int)n, out);

        assert_int_equal(out[in.len], '#');
    }

    assert_int_equal(weir_vary_normalize((weir_str_t){NULL, 0}, out), 0);
}

/* Of fields whose members have no order (RFC 9110 section 12.5). */
static void known_fields_are_sorted(void **state)
{
    static const struct {
        const char *name, *in, *out;
    } rows[] = {
        {"accept-language", "", ""},
        {"accept-language", " , \t,", ""},
        {"accept-language", "en, de", "de,en"},
        {"accept-language", "De , eN;Q=0.5", "de,en;q=0.5"},
        {"accept-language", "en \t; q=0.5 ,de;q=0.8", "de;q=0.8,en;q=0.5"},
        {"accept-language", "en,de-AT,de", "de,de-at,en"},
        {"accept-language", "b  c, b\ta,bb", "b a,b c,bb"},
        {"accept-encoding", "gzip, BR,gzip", "br,gzip,gzip"},
        {"accept-charset", "utf-8, iso-8859-1", "iso-8859-1,utf-8"},
        {"accept", "text/html;Level=1, */*; q=0.1", "*/*;q=0.1,text/html;Level=1"},
        {"accept", "b/b, A/a", "A/a,b/b"},
        {"accept", "text/x;a=\"b, a\", a/b", "text/x;a=\"b, a\", a/b"},
        {"x-other", "b, A ,,c", "b, A ,,c"},
        {"cookie", "b=1; a=2", "b=1; a=2"},
    };
    char out[64], text[WEIR_VARY_MEMBERS_MAX * 2 + 2], sorted[sizeof(text)];
    char longer[WEIR_VARY_SORTED_MAX + 1], shown[sizeof(longer)];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        weir_str_t in = {rows[i].in, strlen(rows[i].in)};
        size_t n;

        memset(out, '#', sizeof(out));
        n = weir_vary_normalize_field((weir_str_t){rows[i].name, strlen(rows[i].name)}, in, out);

        if (n != strlen(rows[i].out) || memcmp(out, rows[i].out, n) != 0)
            fail_msg("%s \"%s\": \"%.*s\"", rows[i].name, rows[i].in, (int)n, out);

        assert_int_equal(out[in.len], '#');
    }

    /* as many as are sorted, and one more */
    for (size_t i = 0; i <= WEIR_VARY_MEMBERS_MAX; i++) {
        text[i * 2] = i == 0 ? 'z' : 'a';
        text[i * 2 + 1] = ',';
    }

    assert_int_equal(weir_vary_normalize_field(
                         WEIR_STR("accept"), (weir_str_t){text, WEIR_VARY_MEMBERS_MAX * 2}, sorted),
                     WEIR_VARY_MEMBERS_MAX * 2 - 1);
    assert_int_equal(sorted[0], 'a');
    assert_int_equal(sorted[WEIR_VARY_MEMBERS_MAX * 2 - 2], 'z');
    weir_vary_normalize_field(WEIR_STR("accept"), (weir_str_t){text, sizeof(text)}, sorted);
    assert_int_equal(sorted[0], 'z');

    /* as many bytes as are sorted, and one more */
    memset(longer, 'a', sizeof(longer));
    memcpy(longer, "z,", 2);
    weir_vary_normalize_field(WEIR_STR("accept"), (weir_str_t){longer, WEIR_VARY_SORTED_MAX},
                              shown);
    assert_int_equal(shown[0], 'a');
    weir_vary_normalize_field(WEIR_STR("accept"), (weir_str_t){longer, sizeof(longer)}, shown);
    assert_int_equal(shown[0], 'z');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_a_sorted_set),
        cmocka_unit_test(what_cannot_match_is_refused),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(names_come_one_by_one),
        cmocka_unit_test(values_are_normalized),
        cmocka_unit_test(known_fields_are_sorted),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
