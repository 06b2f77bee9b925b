// needs: ngx_module/cache/checksum.c ngx_module/cache/checksum_avx2.c
/* The checksum is the same whatever the processor has: entries travel. */

#include "cache/checksum.h"
#include "cache/checksum_avx2.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { SIZE = 150000 };

static char *data;

static int fill(void **state)
{
    (void)state;
    data = malloc(SIZE);
    for (int i = 0; i < SIZE; i++)
        data[i] = (char)(i * 31 + i / 251);
    return data == NULL;
}

static int empty(void **state)
{
    (void)state;
    free(data);
    return 0;
}

static void check(size_t from, size_t len)
{
    uint64_t expected = XXH3_64bits(data + from, len);

    assert_true(weir_checksum(data + from, len) == expected);
#ifdef WEIR_CHECKSUM_AVX2
    if (__builtin_cpu_supports("avx2"))
        assert_true(weir_checksum_avx2(data + from, len) == expected);
#endif
}

static void is_xxh3_for_every_length(void **state)
{
    (void)state;
    for (size_t len = 0; len <= 3000; len++)
        check(0, len);
    for (size_t len = 16383; len < SIZE - 64; len += 9973)
        check(0, len);
}

static void is_xxh3_at_every_alignment(void **state)
{
    (void)state;
    for (size_t from = 0; from < 64; from++)
        for (size_t len = 0; len < 2000; len += 97)
            check(from, len);
}

/* As xxHash's own documentation of the format has it. */
static void is_known_for_nothing(void **state)
{
    (void)state;
    assert_true(weir_checksum("", 0) == UINT64_C(0x2d06800538d394c2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_xxh3_for_every_length),
        cmocka_unit_test(is_xxh3_at_every_alignment),
        cmocka_unit_test(is_known_for_nothing),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, fill, empty);
}
