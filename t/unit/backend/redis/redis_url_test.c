// needs: backend/redis/url.c backend/log/alloc.c backend/log/log.c common/problem.c
#include "redis/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void all_parts_are_read(void **state)
{
    weir_redis_url_t u;

    (void)state;
    assert_null(weir_redis_url_parse(&u, "redis://me:p%40ss%3a@[::1]:6390/3"));
    assert_string_equal(u.user, "me");
    assert_string_equal(u.password, "p@ss:");
    assert_string_equal(u.host, "::1");
    assert_int_equal(u.port, 6390);
    assert_int_equal(u.db, 3);
    weir_redis_url_clear(&u);
}

static void what_is_left_out_has_a_default(void **state)
{
    weir_redis_url_t u;

    (void)state;
    assert_null(weir_redis_url_parse(&u, "redis://:secret@cache"));
    assert_null(u.user);
    assert_string_equal(u.password, "secret");
    assert_string_equal(u.host, "cache");
    assert_int_equal(u.port, 6379);
    assert_int_equal(u.db, 0);
    weir_redis_url_clear(&u);

    assert_null(weir_redis_url_parse(&u, "unix:/run/redis.sock"));
    assert_string_equal(u.path, "/run/redis.sock");
    assert_null(u.password);
    weir_redis_url_clear(&u);

    assert_null(weir_redis_url_parse(&u, "unix://me:se%40cret@/run/r@dis.sock"));
    assert_string_equal(u.path, "/run/r@dis.sock");
    assert_string_equal(u.user, "me");
    assert_string_equal(u.password, "se@cret");
    weir_redis_url_clear(&u);
}

static void wrong_urls_are_refused(void **state)
{
    static const char *const wrong[] = {
        "",
        "localhost",
        "http://x",
        "unix:relative",
        "unix://me@/run/redis.sock",
        "unix://me:x@run/redis.sock",
        "unix://me:%@/run/redis.sock",
        "unix://me:x@",
        "redis://",
        "redis://:0",
        "redis://h:0",
        "redis://h:65536",
        "redis://h:",
        "redis://h:12a",
        "redis://h/x",
        "redis://u@h",
        "redis://u:%4@h",
        "redis://u:%zz@h",
        "redis://[::1",
        "redis://[::1]6379",
    };
    weir_redis_url_t u;

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        assert_non_null(weir_redis_url_parse(&u, wrong[i]));
        weir_redis_url_clear(&u);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_parts_are_read),
        cmocka_unit_test(what_is_left_out_has_a_default),
        cmocka_unit_test(wrong_urls_are_refused),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
