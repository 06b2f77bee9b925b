// needs: ngx_module/cache/policy/cache_control.c ngx_module/cache/policy/rules.c
/*
 * Cache-Control on any bytes, a line for each line of the input, and what the
 * rules make of it.
 */
#include "cache/policy/rules.h"
#include "cache_control_checks.h"
#include "budget.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const budget_t budget = {2000, 100, 0, 0};

static void check_use(const weir_cache_control_t *cc, bool validator)
{
    weir_cache_freshness_t f;
    weir_cache_response_t r = {.status = 200,
                               .cc = cc,
                               .expires = WEIR_DATE_ABSENT,
                               .date = 1000,
                               .age = 7,
                               .valid = 60,
                               .validator = validator,
                               .authorization = (cc->flags & WEIR_CC_IMMUTABLE) != 0,
                               .request_time = 1000,
                               .response_time = 1001};

    if (weir_cache_refuses_storing(&r, &f) != NULL)
        return;

    /* no field has forbidden to store it, and it is good for something */
    assert((cc->flags & WEIR_CC_PRIVATE) == 0);
    assert((cc->flags & WEIR_CC_NO_STORE) == 0 || (cc->flags & WEIR_CC_MUST_UNDERSTAND) != 0);
    assert(f.lifetime >= 0 && f.lifetime <= WEIR_CACHE_SECONDS_MAX && f.initial_age >= 7);
    assert(f.stale_while_revalidate >= 0 && f.stale_if_error >= 0);
    assert(f.no_cache == ((cc->flags & WEIR_CC_NO_CACHE) != 0));
    assert(validator || f.lifetime > f.initial_age ||
           weir_cache_may_be_stale(&f, f.initial_age, INT64_MAX));
    assert(validator || !f.no_cache);

    /* a request's directives only ever restrict, but for max-stale */
    assert(weir_cache_use(&f, f.lifetime, cc) != WEIR_CACHE_FRESH);
    if (weir_cache_use(&f, f.initial_age, cc) == WEIR_CACHE_FRESH) {
        assert(!f.no_cache && f.initial_age < f.lifetime);
        assert(cc->max_age == -1 || f.initial_age <= cc->max_age);
    }
    if (weir_cache_use(&f, f.lifetime, cc) == WEIR_CACHE_ALLOWED_STALE)
        assert(!f.must_revalidate && cc->max_stale >= 0);
    if (f.must_revalidate || f.no_cache)
        assert(!weir_cache_may_be_stale(&f, f.lifetime, INT64_MAX));
}

static void run(const uint8_t *data, size_t size)
{
    const char *p = (const char *)data, *start = p, *end = p + size;
    weir_cache_control_t cc;

    weir_cache_control_init(&cc);

    while (p < end) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        size_t len = (size_t)((newline ? newline : end) - p);

        assert(weir_cache_control_parse(&cc, (weir_str_t){p, len}) <= len);
        check_seconds(weir_cache_delta_seconds((weir_str_t){p, len}));
        check_seconds(weir_cache_first_delta_seconds((weir_str_t){p, len}));
        p += len + 1;
    }

    check_parsed(&cc, start, end);
    check_use(&cc, false);
    check_use(&cc, true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    budget_check(run, data, size, &budget);
    return 0;
}
