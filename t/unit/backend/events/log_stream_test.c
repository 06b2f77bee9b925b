// needs: backend/events/log_stream.c backend/log/alloc.c backend/log/log.c common/problem.c
#include "events/log_stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define TOKEN                                                                                      \
    "0000000001"                                                                                   \
    "0000000001"                                                                                   \
    "00000000000000000001"                                                                         \
    "0badcafe"

/* --- instead of redis.c: keeps the last script's callback and expected ID --------------------- */

static weir_redis_cb script_cb;
static void *script_arg;
static char script_expected[32];

bool weir_redis_script(weir_redis_t *redis, const char *script, int nkeys, int argc,
                       const char *const *argv, const size_t *argvlen, weir_redis_cb cb, void *arg)
{
    (void)redis, (void)script, (void)argvlen;
    assert_true(nkeys == 2 && argc == 4);
    snprintf(script_expected, sizeof(script_expected), "%s", argv[3]);
    script_cb = cb;
    script_arg = arg;
    return true;
}

bool weir_redis_command(weir_redis_t *redis, int argc, const char *const *argv,
                        const size_t *argvlen, weir_redis_cb cb, void *arg)
{
    (void)redis, (void)argc, (void)argv, (void)argvlen, (void)cb, (void)arg;
    return true;
}

/* --- replies -----------------------------------------------------------------------------------
 */

typedef struct {
    weir_log_verdict_t verdict;
    int64_t last;
} seen_t;

static void on_answer(const weir_log_answer_t *answer, void *arg)
{
    *(seen_t *)arg = (seen_t){answer->verdict, answer->last};
}

/* What becomes of the reply {verdict, last, 1, fence} to a query of the stream's state. */
static seen_t ask(int verdict_type, long long verdict, const char *last, const char *fence)
{
    redisReply of[] = {
        {.type = verdict_type, .integer = verdict, .str = "0", .len = 1},
        {.type = REDIS_REPLY_STRING, .str = (char *)(uintptr_t)last, .len = strlen(last)},
        {.type = REDIS_REPLY_INTEGER, .integer = 1},
        {.type = REDIS_REPLY_STRING, .str = (char *)(uintptr_t)fence, .len = strlen(fence)},
    };
    redisReply *elements[] = {&of[0], &of[1], &of[2], &of[3]};
    redisReply reply = {.type = REDIS_REPLY_ARRAY, .elements = 4, .element = elements};
    seen_t seen = {0};

    assert_true(weir_log_stream_append(NULL, 0, TOKEN, 7, NULL, 0, on_answer, &seen));
    script_cb(&reply, script_arg);
    return seen;
}

static void a_reply_of_the_script_is_taken(void **state)
{
    seen_t seen = ask(REDIS_REPLY_INTEGER, 1, "7-0", TOKEN);

    (void)state;
    assert_int_equal(seen.verdict, WEIR_LOG_APPENDED);
    assert_int_equal(seen.last, 7);
    assert_string_equal(script_expected, "7-0");
}

static void ids_that_no_relay_gives_count_as_ahead(void **state)
{
    static const char *const ids[] = {"-5-0", "5-1", "5", "", "-", "18446744073709551615-0"};

    (void)state;
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        assert_true(weir_log_stream_position(ids[i]) == INT64_MAX);
        assert_true(ask(REDIS_REPLY_INTEGER, 0, ids[i], TOKEN).last == INT64_MAX);
    }
    assert_int_equal(weir_log_stream_position("0-0"), 0);
}

static void other_replies_are_failures(void **state)
{
    (void)state;
    assert_int_equal(ask(REDIS_REPLY_INTEGER, 3, "7-0", TOKEN).verdict, WEIR_LOG_FAILED);
    assert_int_equal(ask(REDIS_REPLY_INTEGER, -1, "7-0", TOKEN).verdict, WEIR_LOG_FAILED);
    assert_int_equal(ask(REDIS_REPLY_STRING, 0, "7-0", TOKEN).verdict, WEIR_LOG_FAILED);
    assert_int_equal(ask(REDIS_REPLY_INTEGER, 2, "7-0", "9").verdict, WEIR_LOG_FAILED);
    assert_int_equal(ask(REDIS_REPLY_INTEGER, 2, "7-0", TOKEN "0").verdict, WEIR_LOG_FAILED);
}

/* A position comes from PostgreSQL or Redis: it is sent as it is, and Redis refuses it. */
static void any_position_may_be_expected(void **state)
{
    seen_t seen = {0};

    (void)state;
    assert_true(weir_log_stream_append(NULL, 0, TOKEN, -5, NULL, 0, on_answer, &seen));
    assert_string_equal(script_expected, "-5-0");
    script_cb(NULL, script_arg);
    assert_int_equal(seen.verdict, WEIR_LOG_FAILED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reply_of_the_script_is_taken),
        cmocka_unit_test(ids_that_no_relay_gives_count_as_ahead),
        cmocka_unit_test(other_replies_are_failures),
        cmocka_unit_test(any_position_may_be_expected),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
