// needs: ngx_module/cache/entry_mac.c common/hash/blake2b.c
/* Signatures of what Redis holds, and the secrets behind them. */
#include "cache/entry_mac.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define ONE "first secret 0123"
#define TWO "second secret 012"

static weir_entry_mac_t secrets(const char *text)
{
    weir_entry_mac_t mac;

    assert_null(weir_entry_mac_read(&mac, weir_str(text)));
    return mac;
}

static bool verifies(const weir_entry_mac_t *mac, const char *name, const char *data, size_t len)
{
    weir_str_t value = {data, len};
    bool right = weir_entry_mac_verify(mac, weir_str(name), &value);

    assert_ptr_equal(value.data, data);
    assert_int_equal(value.len, right ? len - WEIR_ENTRY_MAC_LEN : len);
    return right;
}

static void only_the_same_value_under_the_same_name_verifies(void **state)
{
    weir_entry_mac_t mac = secrets(ONE), other = secrets(TWO);
    char value[600];
    size_t len = sizeof(value) - WEIR_ENTRY_MAC_LEN;

    (void)state;
    memset(value, 'v', sizeof(value));
    weir_entry_mac_sign(&mac, WEIR_STR("weir:cache:z:{1}"), (weir_str_t){value, len}, value + len);
    assert_true(verifies(&mac, "weir:cache:z:{1}", value, sizeof(value)));
    assert_false(verifies(&other, "weir:cache:z:{1}", value, sizeof(value)));
    assert_false(verifies(&mac, "weir:cache:z:{2}", value, sizeof(value)));
    assert_false(verifies(&mac, "weir:cache:y:{1}", value, sizeof(value)));
    assert_false(verifies(&mac, "weir:cache:z:{1}v", value, sizeof(value)));
    /* what ends the name does not begin the value */
    assert_false(verifies(&mac, "weir:cache:z:{1}v", value + 1, sizeof(value) - 1));

    for (size_t i = 0; i < sizeof(value); i++) {
        for (int bit = 1; bit < 256; bit <<= 1) {
            value[i] = (char)(value[i] ^ bit);
            assert_false(verifies(&mac, "weir:cache:z:{1}", value, sizeof(value)));
            value[i] = (char)(value[i] ^ bit);
        }

        assert_false(verifies(&mac, "weir:cache:z:{1}", value, i));
    }

    assert_true(verifies(&mac, "weir:cache:z:{1}", value, sizeof(value)));
}

static void the_first_secret_signs_and_all_verify(void **state)
{
    weir_entry_mac_t old = secrets(ONE "\n"), both = secrets(TWO "\r\n" ONE), new = secrets(TWO);
    char value[] = "entry ................";

    (void)state;
    weir_entry_mac_sign(&old, WEIR_STR("n"), (weir_str_t){value, 6}, value + 6);
    assert_true(verifies(&both, "n", value, 22));
    assert_false(verifies(&new, "n", value, 22));
    weir_entry_mac_sign(&both, WEIR_STR("n"), (weir_str_t){value, 6}, value + 6);
    assert_true(verifies(&new, "n", value, 22));
    assert_false(verifies(&old, "n", value, 22));
    assert_memory_equal(&both.id, &new.id, sizeof(both.id));
    assert_memory_not_equal(&both.id, &old.id, sizeof(both.id));
}

/* the key and the MAC as Python's hashlib.blake2b() has them */
static void the_mac_is_keyed_blake2b(void **state)
{
    static const uint8_t right[WEIR_ENTRY_MAC_LEN] = {
        0xc2, 0x35, 0xb4, 0x71, 0x5b, 0x99, 0xb3, 0x3e,
        0xfb, 0xe1, 0x88, 0x7e, 0x51, 0x78, 0xff, 0xb5,
    };
    weir_entry_mac_t mac = secrets(ONE);
    char out[WEIR_ENTRY_MAC_LEN];

    (void)state;
    weir_entry_mac_sign(&mac, WEIR_STR("weir:cache:z:{1}"), WEIR_STR("entry"), out);
    assert_memory_equal(out, right, sizeof(right));
}

static void a_digest_tells_secrets_keys_and_headers_apart(void **state)
{
    weir_entry_mac_t one = secrets(ONE), two = secrets(TWO);
    char a[WEIR_ENTRY_MAC_VARY_LEN], b[WEIR_ENTRY_MAC_VARY_LEN];

    (void)state;
    weir_entry_mac_vary(&one, WEIR_STR("key"), WEIR_STR("cookie: x\n"), a);
    weir_entry_mac_vary(&one, WEIR_STR("key"), WEIR_STR("cookie: x\n"), b);
    assert_memory_equal(a, b, sizeof(a));
    weir_entry_mac_vary(&one, WEIR_STR("key"), WEIR_STR("cookie: y\n"), b);
    assert_memory_not_equal(a, b, sizeof(a));
    weir_entry_mac_vary(&one, WEIR_STR("ke"), WEIR_STR("ycookie: x\n"), b);
    assert_memory_not_equal(a, b, sizeof(a));
    weir_entry_mac_vary(&two, WEIR_STR("key"), WEIR_STR("cookie: x\n"), b);
    assert_memory_not_equal(a, b, sizeof(a));
}

static void a_file_without_good_secrets_is_refused(void **state)
{
    static const struct {
        weir_str_t text;
        const char *wrong;
    } bad[] = {
        {{"", 0}, "it is empty"},
        {{"\n", 1}, "a secret must have at least 16 bytes"},
        {{"0123456789abcde\n", 16}, "a secret must have at least 16 bytes"},
        {{"0123456789abcde\r\n", 17}, "a secret must have at least 16 bytes"},
        {{"0123456789abcdef\n\n", 18}, "a secret must have at least 16 bytes"},
        {{"0123456789abcdef\nshort", 22}, "a secret must have at least 16 bytes"},
        {{"0123456789abcdef\0", 17}, "it must be text, one secret per line"},
        {{"0123456789\rabcdef", 17}, "it must be text, one secret per line"},
        {{ONE "\n" ONE "\n" ONE "\n" ONE "\n" ONE, 89}, "it has more than 4 secrets"},
    };
    static char large[WEIR_ENTRY_MAC_FILE_MAX + 1];
    weir_entry_mac_t mac;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_string_equal(weir_entry_mac_read(&mac, bad[i].text), bad[i].wrong);

    memset(large, 'x', sizeof(large));
    assert_string_equal(weir_entry_mac_read(&mac, (weir_str_t){large, sizeof(large)}),
                        "it has more than 4096 bytes");
    assert_null(weir_entry_mac_read(&mac, (weir_str_t){large, sizeof(large) - 1}));
    assert_null(weir_entry_mac_read(&mac, WEIR_STR("0123456789abcdef")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_same_value_under_the_same_name_verifies),
        cmocka_unit_test(the_first_secret_signs_and_all_verify),
        cmocka_unit_test(the_mac_is_keyed_blake2b),
        cmocka_unit_test(a_digest_tells_secrets_keys_and_headers_apart),
        cmocka_unit_test(a_file_without_good_secrets_is_refused),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
