// needs: backend/redis/reader.c
#include "redis/reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* How many replies are read of the text while so many are expected; -1: the reader gave up. */
static int read_all(const char *text, unsigned expected)
{
    redisReader *reader = redisReaderCreate();
    void *reply = NULL;
    int n = 0;

    weir_redis_reader_limit(reader, &expected);
    redisReaderFeed(reader, text, strlen(text));
    while (redisReaderGetReply(reader, &reply) == REDIS_OK && reply != NULL) {
        freeReplyObject(reply);
        n++;
        expected--;
    }
    if (reader->err != 0)
        n = -1;
    redisReaderFree(reader);
    return n;
}

static void replies_are_read_as_long_as_one_is_expected(void **state)
{
    static const char *const replies[] = {"+OK\r\n", "-ERR\r\n", "$1\r\na\r\n",
                                          ":1\r\n",  "$-1\r\n",  "*1\r\n*2\r\n:1\r\n$-1\r\n",
                                          "*-1\r\n"};

    (void)state;
    for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
        char two[64] = "";

        strcat(strcat(two, replies[i]), replies[i]);
        assert_int_equal(read_all(replies[i], 1), 1);
        assert_int_equal(read_all(two, 2), 2);
        assert_int_equal(read_all(two, 1), -1);
        assert_int_equal(read_all(replies[i], 0), -1);
    }
}

static void an_array_is_believed_up_to_its_limit(void **state)
{
    (void)state;
    assert_int_equal(read_all("*65536\r\n:1\r\n", 1), 0);
    assert_int_equal(read_all("*65537\r\n:1\r\n", 1), -1);
    assert_int_equal(read_all("*1\r\n*2147483647\r\n", 1), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_are_read_as_long_as_one_is_expected),
        cmocka_unit_test(an_array_is_believed_up_to_its_limit),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
