// needs: ngx_module/cache/policy/tags.c common/hash/blake2b.c
/* Lists of tags and their hashes. */

#include "cache/policy/tags.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static weir_str_t str(const char *s)
{
    return (weir_str_t){s, strlen(s)};
}

/* The tags of a list, joined by "|". */
static const char *split(const char *list)
{
    static char out[256];
    weir_str_t tag;
    size_t pos = 0, len = 0;

    while (weir_tags_next(str(list), &pos, &tag))
        len += (size_t)snprintf(out + len, sizeof(out) - len, "%s%.*s", len ? "|" : "",
                                (int)tag.len, tag.data);

    out[len] = '\0';
    return out;
}

static void lists_are_split(void **unused)
{
    (void)unused;
    assert_string_equal(split("a"), "a");
    assert_string_equal(split("a,b c\td"), "a|b|c|d");
    assert_string_equal(split(" , a ,,\t b, "), "a|b");
    assert_string_equal(split(""), "");
    assert_string_equal(split(" ,\t,"), "");
    assert_string_equal(split("product:7,Product:7"), "product:7|Product:7");
    assert_string_equal(split("\"a b\""), "\"a|b\"");
}

static void hashes_differ(void **unused)
{
    (void)unused;
    assert_true(weir_tag_hash(str("a")) == weir_tag_hash(str("a")));
    assert_true(weir_tag_hash(str("a")) != weir_tag_hash(str("A")));
    assert_true(weir_tag_hash(str("/a")) != weir_key_hash(str("/a")));
    assert_true(weir_tag_hash(str("")) > 1);
    assert_true(weir_key_hash(str("")) > 1);
}

static void blocks_hold_hashes(void **unused)
{
    char block[WEIR_TAGS_MAX * 8];
    size_t n = 0;

    (void)unused;
    assert_null(weir_tags_read(str("a, b"), block, &n));
    assert_null(weir_tags_read(str("c"), block, &n));
    assert_int_equal(n, 3);
    assert_true(weir_tags_at((weir_str_t){block, n * 8}, 0) == weir_tag_hash(str("a")));
    assert_true(weir_tags_at((weir_str_t){block, n * 8}, 1) == weir_tag_hash(str("b")));
    assert_true(weir_tags_at((weir_str_t){block, n * 8}, 2) == weir_tag_hash(str("c")));

    /* little endian, whatever the machine */
    assert_int_equal((unsigned char)block[0], weir_tag_hash(str("a")) & 0xff);
    assert_int_equal((unsigned char)block[7], weir_tag_hash(str("a")) >> 56);
}

static void limits_are_kept(void **unused)
{
    char block[WEIR_TAGS_MAX * 8], list[1024], *p = list;
    size_t n = 0;

    (void)unused;
    for (int i = 0; i < WEIR_TAGS_MAX; i++)
        p += sprintf(p, "t%d,", i);

    assert_null(weir_tags_read(str(list), block, &n));
    assert_int_equal(n, WEIR_TAGS_MAX);
    assert_string_equal(weir_tags_read(str("x"), block, &n), "more than 64 tags");
    assert_null(weir_tags_read(str(" , "), block, &n));

    memset(list, 'x', WEIR_TAG_MAX + 1);
    n = 0;
    assert_null(weir_tags_read((weir_str_t){list, WEIR_TAG_MAX}, block, &n));
    assert_string_equal(weir_tags_read((weir_str_t){list, WEIR_TAG_MAX + 1}, block, &n),
                        "a tag of more than 128 bytes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_are_split),
        cmocka_unit_test(hashes_differ),
        cmocka_unit_test(blocks_hold_hashes),
        cmocka_unit_test(limits_are_kept),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
