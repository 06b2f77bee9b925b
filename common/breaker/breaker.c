#include "breaker.h"

#define ONE 65536 /* of weir_breaker_t.credit */

static uint64_t not_before(uint64_t now, uint64_t since)
{
    return now > since ? now : since;
}

/* The finalizer of MurmurHash3: each bit of the result depends on all of x. */
static uint64_t mix(uint64_t x)
{
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdULL;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53ULL;
    return x ^ x >> 33;
}

static void change(weir_breaker_t *b, weir_breaker_state_t state, uint64_t now, uint64_t next)
{
    b->state = state;
    b->since = now;
    b->open_for = 0;
    b->generation = next;
    b->forced = 0;
    b->probes_out = 0;
    b->probes_well = 0;
    b->probes_slow = 0;
    weir_tally_clear(&b->tally);
}

void weir_breaker_init(weir_breaker_t *b, uint64_t now, uint64_t generation)
{
    *b = (weir_breaker_t){.state = WEIR_BREAKER_CLOSED};
    change(b, WEIR_BREAKER_CLOSED, now, generation);
}

uint64_t weir_breaker_open_time(const weir_breaker_settings_t *settings, uint32_t n,
                                uint64_t random)
{
    uint64_t longest = settings->open;

    while (n-- > 0 && longest < settings->max_open)
        longest *= 2;

    if (longest > settings->max_open)
        longest = settings->max_open;

    return longest > settings->open ? settings->open + random % (longest - settings->open + 1)
                                    : settings->open;
}

static void slide(weir_breaker_t *b, const weir_breaker_settings_t *settings, uint64_t now)
{
    weir_tally_slide(&b->tally, now, settings->window / WEIR_BREAKER_BUCKETS);
}

static uint32_t half(uint32_t n)
{
    return n > 1 ? n / 2 : n;
}

static int is_share(uint32_t part, uint32_t whole, uint32_t ratio)
{
    return (uint64_t)part * 1000 >= (uint64_t)whole * ratio;
}

/* The rule by which a breaker with these counts opens. */
static weir_breaker_rule_t rule_of(const weir_breaker_t *b, const weir_breaker_settings_t *settings,
                                   const weir_breaker_counts_t *n, uint64_t now)
{
    uint32_t failures = settings->failures, min = settings->min;
    int enough;

    if (b->state == WEIR_BREAKER_RAMPING && min > failures)
        min = failures;

    if (now < b->hinted) {
        failures = half(failures);
        min = half(min);
    }

    enough = n->calls >= min;

    if (settings->counting == WEIR_BREAKER_COUNT_WINDOW) {
        if (n->failed >= failures && enough && is_share(n->failed, n->calls, settings->ratio))
            return WEIR_BREAKER_BY_WINDOW;
    } else {
        if (n->row >= failures)
            return WEIR_BREAKER_BY_ROW;
        if (settings->ratio != 0 && enough && is_share(n->failed, n->calls, settings->ratio))
            return WEIR_BREAKER_BY_RATIO;
    }

    return settings->slow_ratio != 0 && enough && n->slow > 0 &&
                   is_share(n->slow, n->calls, settings->slow_ratio)
               ? WEIR_BREAKER_BY_SLOW
               : WEIR_BREAKER_BY_NOTHING;
}

static void open_by(weir_breaker_t *b, const weir_breaker_settings_t *settings,
                    weir_breaker_rule_t rule, weir_breaker_counts_t counts, uint64_t now,
                    uint64_t next)
{
    if (b->state == WEIR_BREAKER_CLOSED)
        b->reopened = 0;
    else if (b->reopened < UINT32_MAX)
        b->reopened++;

    b->rule = rule;
    b->opened = counts;
    change(b, WEIR_BREAKER_OPEN, now, next);
    b->open_for = weir_breaker_open_time(settings, b->reopened, mix(next));
}

static void half_open(weir_breaker_t *b, const weir_breaker_settings_t *settings, uint64_t now,
                      uint64_t next)
{
    int again = b->state == WEIR_BREAKER_HALF_OPEN;
    uint32_t well = b->probes_well, slow = b->probes_slow;

    change(b, WEIR_BREAKER_HALF_OPEN, now, next);
    b->open_for = settings->open;

    if (again) {
        b->probes_well = well;
        b->probes_slow = slow;
    } else {
        b->first_probe = next;
    }
}

/* A result of a probe that was given up, in the half-open state that goes on. */
static int is_late(const weir_breaker_t *b, uint64_t generation)
{
    return b->state == WEIR_BREAKER_HALF_OPEN && generation >= b->first_probe &&
           generation < b->generation;
}

/* ago: ms since the probes have succeeded. */
static void close_again(weir_breaker_t *b, const weir_breaker_settings_t *settings, uint64_t now,
                        uint64_t next, uint64_t ago)
{
    if (ago > now)
        ago = now;

    if (ago >= settings->ramp) {
        change(b, WEIR_BREAKER_CLOSED, now, next);
        return;
    }

    change(b, WEIR_BREAKER_RAMPING, now - ago, next);

    /* the edges of a fleet begin with different parts of a call, half a call on average */
    b->credit = (uint32_t)(mix(next) % ONE);
}

/* A ramp whose time has passed has led to the closed state. */
static void end_ramp(weir_breaker_t *b, const weir_breaker_settings_t *settings, uint64_t now)
{
    if (b->state == WEIR_BREAKER_RAMPING && now - b->since >= settings->ramp) {
        b->state = WEIR_BREAKER_CLOSED;
        b->since += settings->ramp;
    }
}

/* Ramping: one call in as many as the share of the ramp's time that has passed. */
static int take_credit(weir_breaker_t *b, const weir_breaker_settings_t *settings, uint64_t now)
{
    b->credit += (uint32_t)((now - b->since) * ONE / settings->ramp);

    if (b->credit < ONE)
        return 0;

    b->credit -= ONE;
    return 1;
}

int weir_breaker_is_due(const weir_breaker_t *b, uint64_t now)
{
    return (b->state == WEIR_BREAKER_OPEN || b->state == WEIR_BREAKER_HALF_OPEN) &&
           not_before(now, b->since) - b->since >= b->open_for;
}

int weir_breaker_admit(weir_breaker_t *b, const weir_breaker_settings_t *settings, uint64_t now,
                       uint64_t next, uint64_t *generation)
{
    now = not_before(now, b->since);

    if (weir_breaker_is_due(b, now))
        half_open(b, settings, now, next);

    end_ramp(b, settings, now);

    *generation = b->generation;

    switch (b->state) {
    case WEIR_BREAKER_CLOSED:
        return 1;
    case WEIR_BREAKER_OPEN:
        return 0;
    case WEIR_BREAKER_RAMPING:
        return take_credit(b, settings, now);
    default:
        if (b->probes_out + b->probes_well >= settings->probes)
            return 0;
        b->probes_out++;
        return 1;
    }
}

void weir_breaker_wait(weir_breaker_t *b, uint64_t now, uint64_t next, uint64_t ms,
                       uint32_t reopened)
{
    now = not_before(now, b->since);

    if (!weir_breaker_is_due(b, now))
        return;

    change(b, WEIR_BREAKER_OPEN, now, next);
    b->open_for = ms > 0 ? ms : 1;
    b->reopened = reopened > b->reopened ? reopened : b->reopened;
}

void weir_breaker_recover(weir_breaker_t *b, const weir_breaker_settings_t *settings, uint64_t now,
                          uint64_t next, uint64_t ago)
{
    now = not_before(now, b->since);

    if (weir_breaker_is_due(b, now))
        close_again(b, settings, now, next, ago);
}

void weir_breaker_hurry(weir_breaker_t *b, uint64_t now)
{
    now = not_before(now, b->since);

    if (b->state == WEIR_BREAKER_OPEN && now >= b->forced && b->open_for > now - b->since)
        b->open_for = now - b->since;
}

/* Opens a closed or ramping breaker to which a rule applies. */
static int judge(weir_breaker_t *b, const weir_breaker_settings_t *settings, uint64_t now,
                 uint64_t next)
{
    weir_breaker_counts_t counts;
    weir_breaker_rule_t rule;

    if (now < b->forced)
        return 0;

    counts = weir_tally_sum(&b->tally);
    rule = rule_of(b, settings, &counts, now);

    if (rule == WEIR_BREAKER_BY_NOTHING)
        return 0;

    open_by(b, settings, rule, counts, now, next);
    return 1;
}

static int is_failure(weir_breaker_outcome_t outcome)
{
    return outcome == WEIR_BREAKER_FAILURE || outcome == WEIR_BREAKER_TIMEOUT;
}

static int count(weir_breaker_t *b, const weir_breaker_settings_t *settings, uint64_t now,
                 uint64_t next, weir_breaker_outcome_t outcome)
{
    weir_tally_counts_t *bucket;

    if (outcome == WEIR_BREAKER_ABANDONED)
        return 0;

    slide(b, settings, now);
    bucket = weir_tally_now(&b->tally);
    bucket->calls++;
    bucket->slow += outcome == WEIR_BREAKER_SLOW || outcome == WEIR_BREAKER_TIMEOUT;
    bucket->timeouts += outcome == WEIR_BREAKER_TIMEOUT;

    if (is_failure(outcome)) {
        bucket->failed++;
        bucket->row++;
        b->tally.has_rows = 1;
        return judge(b, settings, now, next);
    }

    b->row_before = weir_tally_end_row(&b->tally);
    return outcome == WEIR_BREAKER_SLOW ? judge(b, settings, now, next) : 0;
}

static int probe_failed(weir_breaker_t *b, const weir_breaker_settings_t *settings, uint64_t now,
                        uint64_t next, weir_breaker_outcome_t outcome)
{
    weir_breaker_counts_t counts = {.calls = b->probes_well + 1, .failed = 1, .row = 1};

    counts.timeouts = outcome == WEIR_BREAKER_TIMEOUT;
    counts.slow = b->probes_slow + counts.timeouts;
    open_by(b, settings, WEIR_BREAKER_BY_PROBE, counts, now, next);
    return 1;
}

static int probe_succeeded(weir_breaker_t *b, const weir_breaker_settings_t *settings, uint64_t now,
                           uint64_t next, weir_breaker_outcome_t outcome)
{
    b->probes_slow += outcome == WEIR_BREAKER_SLOW;

    if (++b->probes_well < settings->probes)
        return 0;

    if (settings->slow_ratio != 0 && b->probes_slow > 0 &&
        is_share(b->probes_slow, b->probes_well, settings->slow_ratio)) {
        weir_breaker_counts_t counts = {.calls = b->probes_well, .slow = b->probes_slow};

        open_by(b, settings, WEIR_BREAKER_BY_PROBE, counts, now, next);
    } else {
        close_again(b, settings, now, next, 0);
    }

    return 1;
}

int weir_breaker_report(weir_breaker_t *b, const weir_breaker_settings_t *settings, uint64_t now,
                        uint64_t next, uint64_t generation, weir_breaker_outcome_t outcome)
{
    int late = is_late(b, generation);

    if (generation != b->generation && !late)
        return 0;

    now = not_before(now, b->since);
    end_ramp(b, settings, now);
    b->successes += outcome == WEIR_BREAKER_SUCCESS || outcome == WEIR_BREAKER_SLOW;

    if (b->state == WEIR_BREAKER_CLOSED || b->state == WEIR_BREAKER_RAMPING)
        return count(b, settings, now, next, outcome);

    if (b->state != WEIR_BREAKER_HALF_OPEN)
        return 0;

    if (b->probes_out > 0 && !late)
        b->probes_out--;

    if (outcome == WEIR_BREAKER_ABANDONED)
        return 0;

    return is_failure(outcome) ? probe_failed(b, settings, now, next, outcome)
                               : probe_succeeded(b, settings, now, next, outcome);
}

int weir_breaker_tried(weir_breaker_t *b, const weir_breaker_settings_t *settings, uint64_t now,
                       uint64_t next, uint64_t generation, weir_breaker_outcome_t outcome)
{
    if (generation != b->generation)
        return 0;

    now = not_before(now, b->since);
    end_ramp(b, settings, now);

    return b->state == WEIR_BREAKER_CLOSED || b->state == WEIR_BREAKER_RAMPING
               ? count(b, settings, now, next, outcome)
               : 0;
}

int weir_breaker_take_back(weir_breaker_t *b, const weir_breaker_settings_t *settings, uint64_t now,
                           uint64_t next, uint64_t generation, uint64_t success)
{
    weir_tally_counts_t *bucket, sum;

    if (generation != b->generation)
        return 0;

    now = not_before(now, b->since);
    end_ramp(b, settings, now);

    if (b->state == WEIR_BREAKER_HALF_OPEN)
        return probe_failed(b, settings, now, next, WEIR_BREAKER_FAILURE);

    if (b->state == WEIR_BREAKER_OPEN)
        return 0;

    slide(b, settings, now);
    bucket = weir_tally_now(&b->tally);
    bucket->failed++;
    sum = weir_tally_sum(&b->tally);
    if (sum.failed > sum.calls)
        bucket->calls++; /* the success has left the window */

    bucket->row++;
    b->tally.has_rows = 1;
    if (success == b->successes) {
        bucket->row += b->row_before;
        b->row_before = 0;
    }

    return judge(b, settings, now, next);
}

void weir_breaker_hint(weir_breaker_t *b, const weir_breaker_settings_t *settings, uint64_t now)
{
    if (settings->hint)
        b->hinted = not_before(now, b->since) + settings->window;
}

void weir_breaker_force_open(weir_breaker_t *b, uint64_t now, uint64_t next, uint64_t ms)
{
    now = not_before(now, b->since);
    b->rule = WEIR_BREAKER_BY_OPERATOR;
    b->opened = (weir_breaker_counts_t){0};
    b->reopened = 0;
    change(b, WEIR_BREAKER_OPEN, now, next);
    b->open_for = ms;
    b->forced = now + ms;
}

void weir_breaker_force_closed(weir_breaker_t *b, uint64_t now, uint64_t next, uint64_t ms)
{
    now = not_before(now, b->since);
    change(b, WEIR_BREAKER_CLOSED, now, next);
    b->forced = now + ms;
}

void weir_breaker_unforce(weir_breaker_t *b, uint64_t now)
{
    now = not_before(now, b->since);

    if (now < b->forced && b->state == WEIR_BREAKER_OPEN)
        b->open_for = now - b->since;

    b->forced = 0;
}

int weir_breaker_is_forced(const weir_breaker_t *b, uint64_t now)
{
    return not_before(now, b->since) < b->forced;
}

weir_breaker_state_t weir_breaker_state(const weir_breaker_t *b,
                                        const weir_breaker_settings_t *settings, uint64_t now)
{
    now = not_before(now, b->since);

    if (b->state == WEIR_BREAKER_OPEN && weir_breaker_is_due(b, now))
        return WEIR_BREAKER_HALF_OPEN;

    if (b->state == WEIR_BREAKER_RAMPING && now - b->since >= settings->ramp)
        return WEIR_BREAKER_CLOSED;

    return b->state;
}

weir_breaker_counts_t weir_breaker_counts(const weir_breaker_t *b,
                                          const weir_breaker_settings_t *settings, uint64_t now)
{
    weir_breaker_t copy = *b;

    slide(&copy, settings, not_before(now, b->since));
    return weir_tally_sum(&copy.tally);
}

/* Refused while ramping: the share that passes is larger in a second. */
uint64_t weir_breaker_retry_after(const weir_breaker_t *b, uint64_t now)
{
    uint64_t passed = not_before(now, b->since) - b->since;

    return passed < b->open_for ? b->open_for - passed : 1;
}
