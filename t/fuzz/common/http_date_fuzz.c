// needs: common/text/http_date.c ngx_module/cache/policy/range.c
/* Dates and ranges on any bytes. */
#include "common/text/http_date.h"
#include "cache/policy/range.h"
#include "budget.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const budget_t budget = {4000, 20, 16384, 4};

/* A date written from what was read is read as the same. */
static void check_date(weir_str_t value)
{
    int64_t seconds = weir_http_date(value, 1795564800);
    time_t t = (time_t)seconds;
    char text[64];
    struct tm tm;

    assert(seconds >= -1);
    if (seconds == -1)
        return;

    assert(gmtime_r(&t, &tm) != NULL);
    if (tm.tm_year + 1900 > 9999)
        return; /* a leap second at the end of time */
    strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm);
    assert(weir_http_date((weir_str_t){text, strlen(text)}, 0) == seconds);
}

static void check_ranges(weir_str_t value)
{
    weir_range_t r;

    if (weir_content_range_parse(value, &r))
        assert(r.first >= 0 && r.first <= r.last && r.last < r.total);

    for (int64_t total = 0; total < 300; total += 37) {
        if (weir_range_parse(value, total, &r))
            assert(r.first >= 0 && r.first <= r.last && r.last < total && r.total == total);
    }
}

static void run(const uint8_t *data, size_t size)
{
    char *exact = malloc(size ? size : 1);
    weir_str_t value = {exact, size};

    assert(exact != NULL);
    if (size)
        memcpy(exact, data, size);

    check_date(value);
    check_ranges(value);
    free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    budget_check(run, data, size, &budget);
    return 0;
}
