// needs: backend/trace/late.c backend/metrics/series.c backend/metrics/families.c
// needs: common/metrics/exposition.c common/metrics/histogram.c common/ids/random.c
// needs: backend/log/alloc.c backend/log/log.c backend/log/clock.c common/problem.c
#include "log/alloc.h"
#include "metrics/series.h"
#include "trace/late.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BYTES 65536 /* of the store */
#define TRACES 256  /* that it remembers of each kind: BYTES / 256 */
#define COST(len) (sizeof(weir_finished_t) + (len))

static unsigned sent[3]; /* spans of the traces of this test */
static weir_late_missing_t missing;

static void id_of(uint64_t n, uint8_t id[WEIR_TRACE_ID_LEN])
{
    memset(id, 0, WEIR_TRACE_ID_LEN);
    memcpy(id, &n, sizeof(n));
    id[15] = 1;
}

static void on_keep(weir_finished_t *span)
{
    if (span->trace_id[0] < 3)
        sent[span->trace_id[0]]++;
    free(span);
}

static void on_missing(const weir_late_missing_t *m)
{
    missing = *m;
}

static void add(uint64_t trace, size_t len, uint64_t start)
{
    weir_finished_t *span = weir_alloc(COST(len));

    id_of(trace, span->trace_id);
    span->parent_id[0] = (uint8_t)start;
    span->start = start;
    span->end = start + 10;
    span->len = len;
    weir_late_add(span);
}

static void keep(uint64_t trace)
{
    uint8_t id[WEIR_TRACE_ID_LEN];

    id_of(trace, id);
    weir_late_keep(id);
}

static uint64_t held(void)
{
    return weir_series_value(weir_series(WEIR_LATE_SPANS_HELD, NULL));
}

static uint64_t bytes(void)
{
    return weir_series_value(weir_series(WEIR_LATE_BYTES_HELD, NULL));
}

static uint64_t forgotten(void)
{
    return weir_series_value(weir_series(WEIR_LATE_IDS_FORGOTTEN, NULL));
}

static void a_flood_of_ids_forgets_the_oldest_ids_only(void **state)
{
    (void)state;
    add(1, 100, 1);
    keep(2);
    for (uint64_t n = 1000; n < 1000 + 100 * TRACES; n++)
        keep(n);
    assert_int_equal(forgotten(), 99 * TRACES + 1);
    assert_int_equal(held(), 1);
    add(2, 100, 1);
    assert_int_equal(sent[2], 0);
    assert_int_equal(held(), 2);
    keep(1);
    keep(2);
    assert_int_equal(sent[1], 1);
    assert_int_equal(sent[2], 1);
    assert_int_equal(held(), 0);
    assert_int_equal(bytes(), 0);
    keep(1);
    add(1, 100, 1);
    assert_int_equal(sent[1], 2);
    assert_int_equal(missing.spans, 0);
}

static void a_flood_of_traces_keeps_to_the_limits(void **state)
{
    (void)state;
    for (uint64_t n = 50000; n < 50000 + 100 * TRACES; n++) {
        add(n, n % 700, 1);
        assert_true(bytes() <= BYTES);
        assert_true(held() <= TRACES);
    }
    for (uint64_t n = 50000; n < 50000 + 100 * TRACES; n++)
        keep(n);
    assert_int_equal(held(), 0);
    assert_int_equal(bytes(), 0);
}

static void a_trace_says_what_it_has_lost(void **state)
{
    const size_t half = BYTES / 2 - sizeof(weir_finished_t);

    (void)state;
    add(0, half, 30);
    add(0, 100, 20);
    add(0, half, 40);  /* the first one leaves */
    add(0, BYTES, 10); /* never has room, and takes that of no other */
    assert_int_equal(held(), 2);
    add(0, 100, 50);
    memset(&missing, 0, sizeof(missing));
    keep(0);
    assert_int_equal(sent[0], 3);
    assert_int_equal(missing.spans, 2);
    assert_int_equal(missing.start, 10);
    assert_int_equal(missing.end, 40);
    assert_int_equal(missing.parent_id[0], 30);
    assert_int_equal(weir_series_value(weir_series(WEIR_LATE_SPANS_MISSING, NULL)), 2);
}

int main(void)
{
    const weir_late_settings_t settings = {
        .bytes = BYTES,
        .hold_ms = 600000,
        .remember_ms = 600000,
        .keep = on_keep,
        .missing = on_missing,
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flood_of_ids_forgets_the_oldest_ids_only),
        cmocka_unit_test(a_trace_says_what_it_has_lost),
        cmocka_unit_test(a_flood_of_traces_keeps_to_the_limits),
    };

    weir_late_start(&settings);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
