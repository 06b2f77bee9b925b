/*
 * What holds for a Cache-Control that was parsed from any bytes, of one field or of several: the
 * numbers are in their range, and the lists of fields are within the input.
 */
#ifndef WEIR_FUZZ_CACHE_CONTROL_CHECKS_H
#define WEIR_FUZZ_CACHE_CONTROL_CHECKS_H

#include "cache/policy/cache_control.h"

#include <assert.h>

static inline void check_seconds(int64_t seconds)
{
    assert(seconds >= -1 && seconds <= WEIR_CACHE_SECONDS_MAX);
}

static inline void check_fields(weir_str_t fields, const char *start, const char *end)
{
    assert(fields.len == 0 || (fields.data >= start && fields.data + fields.len <= end));
    weir_cache_lists_field(fields, WEIR_STR("Set-Cookie"));
}

static inline void check_parsed(const weir_cache_control_t *cc, const char *start, const char *end)
{
    check_seconds(cc->max_age);
    check_seconds(cc->s_maxage);
    check_seconds(cc->min_fresh);
    check_seconds(cc->max_stale);
    check_seconds(cc->stale_while_revalidate);
    check_seconds(cc->stale_if_error);
    check_fields(cc->no_cache_fields, start, end);
    check_fields(cc->private_fields, start, end);
}

#endif
