/* What tests of the table of invalidations share: a table, messages and stamps in few words. */
#ifndef WEIR_INVALIDATIONS_FIXTURE_H
#define WEIR_INVALIDATIONS_FIXTURE_H

#include "cache/invalidation/invalidations.h"

#include "cache/policy/tags.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const uint64_t ORIGIN = 0x1122334455667788, ERA = 77;

static inline weir_str_t str(const char *s)
{
    return (weir_str_t){s, strlen(s)};
}

static inline weir_invalidations_t *make_table(size_t size)
{
    void *memory = calloc(1, size);
    weir_invalidations_t *inv = weir_invalidations_init(memory, size, ORIGIN);

    weir_invalidations_begin(inv, ERA, (weir_position_t){0, 0});
    return inv;
}

static inline const char *apply_strings(weir_invalidations_t *inv, uint64_t ms,
                                        const char *const *strings, size_t n)
{
    weir_str_t fields[16];

    for (size_t i = 0; i < n; i++)
        fields[i] = str(strings[i]);

    return weir_invalidations_apply(inv, (weir_position_t){ms, 0}, fields, n);
}

/* Applies a message of pairs of field and value. */
#define apply(inv, ms, ...)                                                                        \
    apply_strings(inv, ms, (const char *const[]){__VA_ARGS__},                                     \
                  sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static inline weir_stamp_t stamp_of(weir_invalidations_t *inv)
{
    weir_stamp_t stamp;

    weir_invalidations_stamp(inv, &stamp);
    return stamp;
}

/* The stamp of another edge that has read up to ms. */
static inline weir_stamp_t foreign(uint64_t ms)
{
    return (weir_stamp_t){ERA, {ms, 0}, 5, 1000000};
}

static inline weir_validity_t check(weir_invalidations_t *inv, weir_stamp_t stamp, const char *key,
                                    const char *tags)
{
    static char block[WEIR_TAGS_MAX * 8];
    size_t n = 0;

    assert_null(weir_tags_read(str(tags), block, &n));
    return weir_invalidations_check(inv, &stamp, str(key), (weir_str_t){block, n * 8});
}

static inline uint64_t make(weir_invalidations_t *inv, const char *tag, bool soft, uint64_t now)
{
    uint64_t hash = weir_tag_hash(str(tag));

    return weir_invalidations_make(inv, &hash, 1, soft, NULL, true, now);
}

static inline const char *edge(uint64_t origin, uint64_t local)
{
    static char text[64];

    snprintf(text, sizeof(text), "%016llx-%llu", (unsigned long long)origin,
             (unsigned long long)local);
    return text;
}

#endif
