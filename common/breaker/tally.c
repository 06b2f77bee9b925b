#include "tally.h"

#include <string.h>

void weir_tally_slide(weir_tally_t *tally, uint64_t now, uint64_t width)
{
    uint64_t step = now / width;
    uint64_t gone = step > tally->step ? step - tally->step : 0;

    if (step + WEIR_TALLY_BUCKETS <= tally->step)
        gone = WEIR_TALLY_BUCKETS;

    if (gone > WEIR_TALLY_BUCKETS)
        gone = WEIR_TALLY_BUCKETS;

    for (uint64_t i = 0; i < gone; i++)
        tally->bucket[(step - i) % WEIR_TALLY_BUCKETS] = (weir_tally_counts_t){0};

    if (gone > 0)
        tally->step = step;
}

uint32_t weir_tally_end_row(weir_tally_t *tally)
{
    uint32_t row = 0;

    if (!tally->has_rows)
        return 0;

    tally->has_rows = 0;

    for (int i = 0; i < WEIR_TALLY_BUCKETS; i++) {
        row += tally->bucket[i].row;
        tally->bucket[i].row = 0;
    }

    return row;
}

weir_tally_counts_t weir_tally_sum(const weir_tally_t *tally)
{
    weir_tally_counts_t sum = {0};

    for (int i = 0; i < WEIR_TALLY_BUCKETS; i++) {
        const weir_tally_counts_t *b = &tally->bucket[i];

        sum.calls += b->calls;
        sum.failed += b->failed;
        sum.slow += b->slow;
        sum.timeouts += b->timeouts;
        sum.row += b->row;
    }

    return sum;
}

void weir_tally_clear(weir_tally_t *tally)
{
    tally->has_rows = 0;
    memset(tally->bucket, 0, sizeof(tally->bucket));
}
