// needs: ngx_module/auth/keys/schedule.c
#include "auth/keys/schedule.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MINUTE 60000u
#define HOUR (60 * MINUTE)

/* The least and the greatest time, whatever the random number. */
static void assert_refresh(int64_t freshness, uint64_t refresh, uint64_t lifetime)
{
    uint64_t least = lifetime - lifetime / 4, most = least + lifetime / 5;

    assert_int_equal(weir_keys_refresh_after(freshness, refresh, 0), least);
    assert_int_equal(weir_keys_refresh_after(freshness, refresh, lifetime / 5), most);
    for (uint64_t random = 1; random < UINT64_MAX / 3; random *= 3) {
        uint64_t after = weir_keys_refresh_after(freshness, refresh, random);

        assert_in_range(after, least, most);
        assert_true(after < lifetime);
    }
}

static void a_set_is_fetched_again_before_it_expires(void **state)
{
    (void)state;
    assert_refresh(-1, 5 * MINUTE, 5 * MINUTE); /* the issuer does not say */
    assert_refresh(-1, 1000, 1000);
    assert_refresh(3600, 5 * MINUTE, HOUR);
    assert_refresh(15, 5 * MINUTE, MINUTE); /* less than a minute */
    assert_refresh(0, 5 * MINUTE, MINUTE);  /* no-store */
    assert_refresh(0, 1000, 1000);          /* the configuration wants more */
    assert_refresh(31536000, 5 * MINUTE, 24 * HOUR);
    assert_refresh(INT64_MAX, 5 * MINUTE, 24 * HOUR);
}

static void failures_are_repeated_more_and_more_slowly(void **state)
{
    static const uint64_t delays[] = {1000, 2000, 4000, 8000, 16000, 30000, 30000};

    (void)state;
    for (uint64_t i = 0; i < sizeof(delays) / sizeof(delays[0]); i++) {
        assert_int_equal(weir_keys_retry_after(i + 1, -1, 0), delays[i] / 2);
        assert_int_equal(weir_keys_retry_after(i + 1, -1, delays[i] / 2), delays[i]);
    }
    assert_int_equal(weir_keys_retry_after(UINT64_MAX, -1, 0), 15000);
}

static void an_issuer_may_ask_for_more_time(void **state)
{
    (void)state;
    assert_int_equal(weir_keys_retry_after(1, 0, 0), 500);
    assert_int_equal(weir_keys_retry_after(1, 20, 0), 20000);
    assert_int_equal(weir_keys_retry_after(9, 20, 15000), 30000);
    assert_int_equal(weir_keys_retry_after(1, INT64_MAX, 0), 300000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_set_is_fetched_again_before_it_expires),
        cmocka_unit_test(failures_are_repeated_more_and_more_slowly),
        cmocka_unit_test(an_issuer_may_ask_for_more_time),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
