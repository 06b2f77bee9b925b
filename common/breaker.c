#include "breaker.h"

#include <string.h>

static uint64_t not_before(uint64_t now, uint64_t since)
{
    return now > since ? now : since;
}

static void change(weir_breaker_t *b, weir_breaker_state_t state, uint64_t now, uint64_t next)
{
    b->state = state;
    b->since = now;
    b->generation = next;
    b->probes_out = 0;
    b->probes_well = 0;
    memset(b->calls, 0, sizeof(b->calls));
    memset(b->failed, 0, sizeof(b->failed));
    memset(b->row, 0, sizeof(b->row));
}

void weir_breaker_init(weir_breaker_t *b, uint64_t now, uint64_t generation)
{
    memset(b, 0, sizeof(*b));
    change(b, WEIR_BREAKER_CLOSED, now, generation);
}

/* Clears the buckets that have left the window since the last call. */
static void slide(weir_breaker_t *b, const weir_breaker_settings_t *settings, uint64_t now)
{
    uint64_t step = now / (settings->window / WEIR_BREAKER_BUCKETS);
    uint64_t gone = step > b->step ? step - b->step : 0;

    /*
     * After a reload with a longer window the same time has a lower number: the buckets start
     * again.
     */
    if (step + WEIR_BREAKER_BUCKETS <= b->step)
        gone = WEIR_BREAKER_BUCKETS;

    if (gone > WEIR_BREAKER_BUCKETS)
        gone = WEIR_BREAKER_BUCKETS;

    for (uint64_t i = 0; i < gone; i++) {
        b->calls[(step - i) % WEIR_BREAKER_BUCKETS] = 0;
        b->failed[(step - i) % WEIR_BREAKER_BUCKETS] = 0;
        b->row[(step - i) % WEIR_BREAKER_BUCKETS] = 0;
    }

    if (gone > 0)
        b->step = step;
}

static uint32_t sum(const uint32_t *buckets)
{
    uint64_t total = 0;

    for (int i = 0; i < WEIR_BREAKER_BUCKETS; i++)
        total += buckets[i];

    return total < UINT32_MAX ? (uint32_t)total : UINT32_MAX;
}

static weir_breaker_counts_t counts_of(const weir_breaker_t *b)
{
    return (weir_breaker_counts_t){sum(b->calls), sum(b->failed), sum(b->row)};
}

/* The rule by which a closed breaker with these counts opens. */
static weir_breaker_rule_t rule_of(const weir_breaker_settings_t *settings,
                                   const weir_breaker_counts_t *n)
{
    int ratio = n->calls >= settings->min &&
                (uint64_t)n->failed * 1000 >= (uint64_t)n->calls * settings->ratio;

    if (settings->counting == WEIR_BREAKER_COUNT_WINDOW)
        return n->failed >= settings->failures && ratio ? WEIR_BREAKER_BY_WINDOW
                                                        : WEIR_BREAKER_BY_NOTHING;

    if (n->row >= settings->failures)
        return WEIR_BREAKER_BY_ROW;

    return settings->ratio != 0 && ratio ? WEIR_BREAKER_BY_RATIO : WEIR_BREAKER_BY_NOTHING;
}

static void open_by(weir_breaker_t *b, weir_breaker_rule_t rule, weir_breaker_counts_t counts,
                    uint64_t now, uint64_t next)
{
    b->rule = rule;
    b->opened = counts;
    change(b, WEIR_BREAKER_OPEN, now, next);
}

int weir_breaker_admit(weir_breaker_t *b, const weir_breaker_settings_t *settings, uint64_t now,
                       uint64_t next, uint64_t *generation)
{
    now = not_before(now, b->since);

    /* Half-open for `open` ms without a decision: the probes are lost. */
    if (b->state != WEIR_BREAKER_CLOSED && now - b->since >= settings->open)
        change(b, WEIR_BREAKER_HALF_OPEN, now, next);

    *generation = b->generation;

    switch (b->state) {
    case WEIR_BREAKER_CLOSED:
        return 1;
    case WEIR_BREAKER_OPEN:
        return 0;
    default:
        if (b->probes_out + b->probes_well >= settings->probes)
            return 0;
        b->probes_out++;
        return 1;
    }
}

/* Opens a closed breaker to which a rule applies. */
static int judge(weir_breaker_t *b, const weir_breaker_settings_t *settings, uint64_t now,
                 uint64_t next)
{
    weir_breaker_counts_t counts = counts_of(b);
    weir_breaker_rule_t rule = rule_of(settings, &counts);

    if (rule == WEIR_BREAKER_BY_NOTHING)
        return 0;

    open_by(b, rule, counts, now, next);
    return 1;
}

static int report_closed(weir_breaker_t *b, const weir_breaker_settings_t *settings, uint64_t now,
                         uint64_t next, weir_breaker_outcome_t outcome)
{
    if (outcome == WEIR_BREAKER_ABANDONED)
        return 0;

    slide(b, settings, now);
    b->calls[b->step % WEIR_BREAKER_BUCKETS]++;
    if (outcome == WEIR_BREAKER_SUCCESS) {
        b->row_before = sum(b->row);
        memset(b->row, 0, sizeof(b->row));
        return 0;
    }

    b->failed[b->step % WEIR_BREAKER_BUCKETS]++;
    b->row[b->step % WEIR_BREAKER_BUCKETS]++;
    return judge(b, settings, now, next);
}

static int probe_failed(weir_breaker_t *b, uint64_t now, uint64_t next)
{
    open_by(b, WEIR_BREAKER_BY_PROBE, (weir_breaker_counts_t){b->probes_well + 1, 1, 1}, now, next);
    return 1;
}

int weir_breaker_report(weir_breaker_t *b, const weir_breaker_settings_t *settings, uint64_t now,
                        uint64_t next, uint64_t generation, weir_breaker_outcome_t outcome)
{
    if (generation != b->generation)
        return 0;

    now = not_before(now, b->since);
    b->successes += outcome == WEIR_BREAKER_SUCCESS;

    if (b->state == WEIR_BREAKER_CLOSED)
        return report_closed(b, settings, now, next, outcome);

    if (b->state != WEIR_BREAKER_HALF_OPEN)
        return 0;

    if (b->probes_out > 0)
        b->probes_out--;

    if (outcome == WEIR_BREAKER_FAILURE)
        return probe_failed(b, now, next);

    if (outcome == WEIR_BREAKER_SUCCESS && ++b->probes_well >= settings->probes) {
        change(b, WEIR_BREAKER_CLOSED, now, next);
        return 1;
    }

    return 0;
}

int weir_breaker_take_back(weir_breaker_t *b, const weir_breaker_settings_t *settings, uint64_t now,
                           uint64_t next, uint64_t generation, uint64_t success)
{
    uint32_t *calls, *failed, *row;

    if (generation != b->generation)
        return 0;

    now = not_before(now, b->since);

    if (b->state == WEIR_BREAKER_HALF_OPEN)
        return probe_failed(b, now, next);

    if (b->state != WEIR_BREAKER_CLOSED)
        return 0;

    slide(b, settings, now);
    calls = &b->calls[b->step % WEIR_BREAKER_BUCKETS];
    failed = &b->failed[b->step % WEIR_BREAKER_BUCKETS];
    row = &b->row[b->step % WEIR_BREAKER_BUCKETS];

    ++*failed;
    if (sum(b->failed) > sum(b->calls))
        ++*calls; /* the success has left the window */

    ++*row;
    if (success == b->successes) {
        *row += b->row_before;
        b->row_before = 0;
    }

    return judge(b, settings, now, next);
}

weir_breaker_state_t weir_breaker_state(const weir_breaker_t *b,
                                        const weir_breaker_settings_t *settings, uint64_t now)
{
    if (b->state == WEIR_BREAKER_OPEN && not_before(now, b->since) - b->since >= settings->open)
        return WEIR_BREAKER_HALF_OPEN;

    return b->state;
}

weir_breaker_counts_t weir_breaker_counts(const weir_breaker_t *b,
                                          const weir_breaker_settings_t *settings, uint64_t now)
{
    weir_breaker_t copy = *b;

    slide(&copy, settings, not_before(now, b->since));
    return counts_of(&copy);
}

uint64_t weir_breaker_retry_after(const weir_breaker_t *b, const weir_breaker_settings_t *settings,
                                  uint64_t now)
{
    uint64_t passed = not_before(now, b->since) - b->since;

    return passed < settings->open ? settings->open - passed : 1;
}
