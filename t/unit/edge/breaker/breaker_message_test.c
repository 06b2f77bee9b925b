// needs: ngx_module/breaker/fleet/breaker_message.c
#include "breaker/fleet/breaker_message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Reads words with one blank between two. */
static const char *read_words(const char *words, weir_breaker_message_t *m)
{
    static char text[512];
    weir_str_t texts[32];
    size_t n = 0;

    snprintf(text, sizeof(text), "%s", words);
    for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " "))
        texts[n++] = (weir_str_t){word, strlen(word)};
    return weir_breaker_message_read(texts, n, m);
}

static void an_order_is_read(void **state)
{
    weir_breaker_message_t m;

    (void)state;
    assert_null(read_words("steer open key shop for 600000 edge a zone b by me more x", &m));
    assert_int_equal(m.kind, WEIR_BREAKER_MESSAGE_STEER_OPEN);
    assert_int_equal(m.ms, 600000);
    assert_memory_equal(m.key.data, "shop", 4);
    assert_memory_equal(m.edge.data, "a", 1);
    assert_memory_equal(m.zone.data, "b", 1);
    assert_memory_equal(m.by.data, "me", 2);

    assert_null(read_words("for 1 key x steer close", &m));
    assert_int_equal(m.kind, WEIR_BREAKER_MESSAGE_STEER_CLOSE);
    assert_int_equal(m.edge.len, 0);

    assert_null(read_words("steer auto key x", &m));
    assert_int_equal(m.kind, WEIR_BREAKER_MESSAGE_STEER_AUTO);
}

static void an_event_is_read(void **state)
{
    static const struct {
        const char *text;
        weir_breaker_message_kind_t kind;
    } rows[] = {{"open", WEIR_BREAKER_MESSAGE_EVENT_OPEN},
                {"closed", WEIR_BREAKER_MESSAGE_EVENT_WELL},
                {"ramping", WEIR_BREAKER_MESSAGE_EVENT_WELL},
                {"half-open", WEIR_BREAKER_MESSAGE_EVENT_OTHER}};
    weir_breaker_message_t m;
    char text[64];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        snprintf(text, sizeof(text), "event %s zone z key k id i", rows[i].text);
        assert_null(read_words(text, &m));
        assert_int_equal(m.kind, rows[i].kind);
        assert_int_equal(m.id.len, 1);
    }
}

static void what_is_no_message_is_refused(void **state)
{
    static const char *const wrong[] = {
        "",
        "steer open for 1",
        "key k",
        "steer open key k",
        "steer open key k for",
        "steer open key k for 0",
        "steer open key k for -1",
        "steer open key k for 1s",
        "steer open key k for 604800001",
        "steer open key k for 9999999999999999999999",
        "steer half-open key k for 1",
        "event open key k",
        "event burnt zone z key k",
        "event open steer open zone z key k for 1",
    };
    weir_breaker_message_t m;

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_non_null(read_words(wrong[i], &m));
    assert_null(read_words("steer open key k for 604800000", &m));
}

static void an_order_ends(void **state)
{
    weir_breaker_message_t m;

    (void)state;
    assert_null(read_words("steer open key k for 1000", &m));
    assert_int_equal(weir_breaker_message_rest(&m, 5000, 5000), 1000);
    assert_int_equal(weir_breaker_message_rest(&m, 5000, 5999), 1);
    assert_int_equal(weir_breaker_message_rest(&m, 5000, 6000), 0);
    assert_int_equal(weir_breaker_message_rest(&m, 5000, UINT64_MAX / 2), 0);
    /* the clock of Redis is ahead: the order is never longer */
    assert_int_equal(weir_breaker_message_rest(&m, 9000, 5000), 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_order_is_read),
        cmocka_unit_test(an_event_is_read),
        cmocka_unit_test(what_is_no_message_is_refused),
        cmocka_unit_test(an_order_ends),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
