// needs: common/breaker/breaker.c common/breaker/tally.c
/*
 * The breaker against a model of another kind.  The breaker keeps sums and changes them; the model
 * keeps what happened, as lists of times, and derives everything from them whenever it is asked.
 * Where the breaker has a choice (how long it is open, the first part of a call of a ramp), the
 * model checks that the choice is allowed, and goes on with it.
 */
#include "common/breaker/breaker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define STEPS 1000000
#define RUNS 200 /* with other settings each */
#define LIST 4096

/* Times at which something happened, in the order of happening. */
typedef struct {
    uint64_t at[LIST];
    int n;
} list_t;

typedef struct {
    weir_breaker_state_t state;
    uint64_t generation, oldest, began, lasts, hint_ends, forced_ends, clock, last_success;
    list_t calls, failed, slow, timeouts, row;
    uint32_t lost_row; /* the row that the last success ended */
    uint32_t out, well, late, in_a_row;
    uint64_t credits, passed;
} model_t;

static uint64_t seed = 88172645463325252ULL;

static uint64_t number(uint64_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % below;
}

static void note(list_t *list, uint64_t at)
{
    if (list->n == LIST) { /* the older half is long gone, or the steps are too quick for a test */
        for (int i = 0; i < LIST / 2; i++)
            list->at[i] = list->at[i + LIST / 2];
        list->n = LIST / 2;
    }
    list->at[list->n++] = at;
}

static uint32_t within(const list_t *list, const weir_breaker_settings_t *s, uint64_t now)
{
    uint64_t tenth = s->window / 10;
    uint32_t n = 0;

    for (int i = list->n - 1; i >= 0 && list->at[i] / tenth + 10 > now / tenth; i--)
        n++;
    return n;
}

static void enter(model_t *m, weir_breaker_state_t state, uint64_t now, uint64_t generation)
{
    m->state = state;
    m->began = now;
    m->generation = generation;
    m->calls.n = m->failed.n = m->slow.n = m->timeouts.n = m->row.n = 0;
    m->out = m->well = m->late = 0;
    m->forced_ends = 0;
}

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static int is_over(const model_t *m, uint64_t now)
{
    return (m->state == WEIR_BREAKER_OPEN || m->state == WEIR_BREAKER_HALF_OPEN) &&
           later(now, m->began) >= m->began + m->lasts;
}

static void finish_ramp(model_t *m, const weir_breaker_settings_t *s, uint64_t now)
{
    if (m->state == WEIR_BREAKER_RAMPING && now >= m->began + s->ramp) {
        m->state = WEIR_BREAKER_CLOSED;
        m->began += s->ramp;
    }
}

/* The breaker b has opened as the model says that it must: for a time that is allowed? */
static void opens(model_t *m, const weir_breaker_t *b, const weir_breaker_settings_t *s,
                  uint64_t now, uint64_t next)
{
    uint64_t most;

    m->in_a_row = m->state == WEIR_BREAKER_CLOSED ? 1 : m->in_a_row + 1;
    most = s->open;
    for (uint32_t i = 1; i < m->in_a_row && most < s->max_open; i++)
        most *= 2;
    if (most > s->max_open)
        most = later(s->max_open, s->open);
    enter(m, WEIR_BREAKER_OPEN, now, next);
    m->lasts = b->open_for;
    assert_in_range(m->lasts, s->open, most);
}

static int is_bad(const model_t *m, const weir_breaker_settings_t *s, uint64_t now)
{
    uint64_t n = within(&m->calls, s, m->clock), bad = within(&m->failed, s, m->clock);
    uint64_t slow = within(&m->slow, s, m->clock), row = within(&m->row, s, m->clock);
    uint64_t failures = s->failures, min = s->min;
    int hinted = now < m->hint_ends;

    if (now < m->forced_ends)
        return 0;
    if (m->state == WEIR_BREAKER_RAMPING && failures < min)
        min = failures;
    failures = hinted && failures > 1 ? failures / 2 : failures;
    min = hinted && min > 1 ? min / 2 : min;

    if (s->slow_ratio && slow && n >= min && slow * 1000 >= n * s->slow_ratio)
        return 1;
    if (s->counting == WEIR_BREAKER_COUNT_WINDOW)
        return bad >= failures && n >= min && bad * 1000 >= n * s->ratio;
    return row >= failures || (s->ratio && n >= min && bad * 1000 >= n * s->ratio);
}

static int fails(weir_breaker_outcome_t outcome)
{
    return outcome == WEIR_BREAKER_FAILURE || outcome == WEIR_BREAKER_TIMEOUT;
}

static void counted(model_t *m, const weir_breaker_t *b, const weir_breaker_settings_t *s,
                    uint64_t now, uint64_t next, weir_breaker_outcome_t outcome)
{
    if (outcome == WEIR_BREAKER_ABANDONED)
        return;
    m->clock = later(m->clock, now);
    note(&m->calls, m->clock);
    if (fails(outcome)) {
        note(&m->failed, m->clock);
        note(&m->row, m->clock);
    } else {
        m->lost_row = within(&m->row, s, m->clock);
        m->row.n = 0;
    }
    if (outcome == WEIR_BREAKER_TIMEOUT)
        note(&m->timeouts, m->clock);
    if (outcome == WEIR_BREAKER_TIMEOUT || outcome == WEIR_BREAKER_SLOW)
        note(&m->slow, m->clock);
    if (outcome != WEIR_BREAKER_SUCCESS && is_bad(m, s, now))
        opens(m, b, s, now, next);
}

static void closes(model_t *m, const weir_breaker_t *b, const weir_breaker_settings_t *s,
                   uint64_t now, uint64_t next, uint64_t ago)
{
    ago = ago < now ? ago : now;
    if (ago >= s->ramp) {
        enter(m, WEIR_BREAKER_CLOSED, now, next);
        return;
    }
    enter(m, WEIR_BREAKER_RAMPING, now - ago, next);
    m->credits = b->credit;
    m->passed = 0;
    assert_in_range(m->credits, 0, 65535);
}

static int admitted(model_t *m, const weir_breaker_settings_t *s, uint64_t now, uint64_t next)
{
    now = later(now, m->began);
    if (is_over(m, now)) {
        uint64_t oldest = m->state == WEIR_BREAKER_HALF_OPEN ? m->oldest : next;
        uint32_t well = m->well, late = m->late; /* 0 unless it was half-open */

        enter(m, WEIR_BREAKER_HALF_OPEN, now, next);
        m->lasts = s->open;
        m->oldest = oldest;
        m->well = well;
        m->late = late;
    }
    finish_ramp(m, s, now);
    switch (m->state) {
    case WEIR_BREAKER_CLOSED:
        return 1;
    case WEIR_BREAKER_HALF_OPEN:
        return m->out + m->well < s->probes ? (int)++m->out : 0;
    case WEIR_BREAKER_RAMPING:
        /* as many as whole calls are in the sum of all shares */
        m->credits += (now - m->began) * 65536 / s->ramp;
        return m->credits / 65536 > m->passed ? (int)++m->passed : 0;
    default:
        return 0;
    }
}

static void reported(model_t *m, const weir_breaker_t *b, const weir_breaker_settings_t *s,
                     uint64_t now, uint64_t next, uint64_t generation,
                     weir_breaker_outcome_t outcome)
{
    int given_up = 0;

    if (generation != m->generation) {
        given_up = m->state == WEIR_BREAKER_HALF_OPEN && m->oldest <= generation;
        if (!given_up)
            return;
    }
    now = later(now, m->began);
    finish_ramp(m, s, now);
    if (!fails(outcome) && outcome != WEIR_BREAKER_ABANDONED)
        m->last_success++;
    if (m->state == WEIR_BREAKER_OPEN)
        return;
    if (m->state != WEIR_BREAKER_HALF_OPEN) {
        counted(m, b, s, now, next, outcome);
        return;
    }
    m->out -= m->out > 0 && !given_up;
    if (fails(outcome)) {
        opens(m, b, s, now, next);
    } else if (outcome != WEIR_BREAKER_ABANDONED) {
        m->late += outcome == WEIR_BREAKER_SLOW;
        if (++m->well < s->probes)
            return;
        if (s->slow_ratio && m->late && m->late * 1000ULL >= (uint64_t)m->well * s->slow_ratio)
            opens(m, b, s, now, next);
        else
            closes(m, b, s, now, next, 0);
    }
}

static void taken_back(model_t *m, const weir_breaker_t *b, const weir_breaker_settings_t *s,
                       uint64_t now, uint64_t next, uint64_t generation, uint64_t success)
{
    if (generation != m->generation)
        return;
    now = later(now, m->began);
    finish_ramp(m, s, now);
    if (m->state == WEIR_BREAKER_OPEN)
        return;
    if (m->state == WEIR_BREAKER_HALF_OPEN) {
        opens(m, b, s, now, next);
        return;
    }
    m->clock = later(m->clock, now);
    note(&m->failed, m->clock);
    if (within(&m->failed, s, m->clock) > within(&m->calls, s, m->clock))
        note(&m->calls, m->clock);
    note(&m->row, m->clock);
    if (success == m->last_success) {
        while (m->lost_row > 0) {
            note(&m->row, m->clock);
            m->lost_row--;
        }
    }
    if (is_bad(m, s, now))
        opens(m, b, s, now, next);
}

static void agree(const model_t *m, const weir_breaker_t *b, const weir_breaker_settings_t *s,
                  uint64_t now)
{
    weir_breaker_counts_t n = weir_breaker_counts(b, s, now);
    uint64_t clock = later(m->clock, later(now, m->began));

    assert_int_equal(b->state, m->state);
    assert_int_equal(b->generation, m->generation);
    assert_int_equal(b->since, m->began);
    assert_int_equal(b->probes_out, m->out);
    assert_int_equal(b->probes_well, m->well);
    assert_int_equal(n.calls, within(&m->calls, s, clock));
    assert_int_equal(n.failed, within(&m->failed, s, clock));
    assert_int_equal(n.slow, within(&m->slow, s, clock));
    assert_int_equal(n.timeouts, within(&m->timeouts, s, clock));
    assert_int_equal(n.row, within(&m->row, s, clock));
    assert_int_equal(weir_breaker_is_due(b, now), is_over(m, now));
    assert_true(weir_breaker_retry_after(b, now) >= 1);
    assert_int_equal(weir_breaker_is_forced(b, now), later(now, m->began) < m->forced_ends);
}

static weir_breaker_settings_t any_settings(void)
{
    weir_breaker_settings_t s = {.counting = (weir_breaker_counting_t)number(2),
                                 .failures = 1 + (uint32_t)number(6),
                                 .ratio = number(3) ? (uint32_t)number(101) * 10 : 0,
                                 .slow_ratio = number(2) ? (uint32_t)number(101) * 10 : 0,
                                 .min = (uint32_t)number(12),
                                 .probes = 1 + (uint32_t)number(4),
                                 .hint = (uint32_t)number(2),
                                 .window = 100 + number(2000),
                                 .open = 1 + number(300)};

    s.max_open = number(2) ? s.open * number(20) : 0;
    s.ramp = number(2) ? number(1000) : 0;
    return s;
}

typedef struct {
    uint64_t generation, success;
} call_t;

/* Calls that were admitted and may still report, in a ring; some never do. */
static call_t calls[16];
static int begun;

static void step(weir_breaker_t *b, model_t *m, const weir_breaker_settings_t *s, uint64_t now,
                 uint64_t next, unsigned *seen)
{
    call_t *call = &calls[number(16)];
    weir_breaker_outcome_t outcome = (weir_breaker_outcome_t)number(5);
    uint64_t ms = number(500), generation;
    int changed;

    if (number(3)) /* mostly good, in part of the runs */
        outcome = (s->open & 1) ? WEIR_BREAKER_SUCCESS : outcome;

    switch (number(40)) {
    case 0:
        weir_breaker_hint(b, s, now);
        if (s->hint)
            m->hint_ends = later(now, m->began) + s->window;
        if (ms < 50) {
            weir_breaker_hurry(b, now);
            if (m->state == WEIR_BREAKER_OPEN && later(now, m->began) >= m->forced_ends &&
                m->lasts > later(now, m->began) - m->began)
                m->lasts = later(now, m->began) - m->began;
        }
        break;
    case 1:
        if (number(8))
            break;
        weir_breaker_force_open(b, now, next, 1 + ms);
        enter(m, WEIR_BREAKER_OPEN, later(now, m->began), next);
        m->in_a_row = 1;
        m->lasts = 1 + ms;
        m->forced_ends = m->began + 1 + ms;
        break;
    case 2:
        if (number(8))
            break;
        weir_breaker_force_closed(b, now, next, 1 + ms);
        enter(m, WEIR_BREAKER_CLOSED, later(now, m->began), next);
        m->forced_ends = m->began + 1 + ms;
        break;
    case 3:
        weir_breaker_unforce(b, now);
        if (later(now, m->began) < m->forced_ends && m->state == WEIR_BREAKER_OPEN)
            m->lasts = later(now, m->began) - m->began;
        m->forced_ends = 0;
        break;
    case 4:
        weir_breaker_wait(b, now, next, ms, (uint32_t)ms % 3);
        if (is_over(m, now)) {
            enter(m, WEIR_BREAKER_OPEN, later(now, m->began), next);
            m->lasts = later(ms, 1);
            m->in_a_row = (uint32_t)later(m->in_a_row, ms % 3 + 1);
        }
        break;
    case 5:
        weir_breaker_recover(b, s, now, next, ms);
        if (is_over(m, now))
            closes(m, b, s, later(now, m->began), next, ms);
        break;
    case 6:
    case 7:
        if (call->success) {
            changed = weir_breaker_take_back(b, s, now, next, call->generation, call->success);
            taken_back(m, b, s, now, next, call->generation, call->success);
            assert_int_equal(changed, b->generation == next);
            call->success = 0;
        }
        break;
    case 8:
    case 9:
        changed = weir_breaker_tried(b, s, now, next, call->generation, outcome);
        if (call->generation == m->generation) {
            finish_ramp(m, s, later(now, m->began));
            if (m->state == WEIR_BREAKER_CLOSED || m->state == WEIR_BREAKER_RAMPING)
                counted(m, b, s, later(now, m->began), next, outcome);
        }
        assert_int_equal(changed, b->generation == next);
        break;
    default:
        if (number(2)) {
            changed = weir_breaker_admit(b, s, now, next, &generation);
            assert_int_equal(changed, admitted(m, s, now, next) != 0);
            if (changed)
                calls[begun++ % 16] = (call_t){generation, 0};
            break;
        }
        weir_breaker_report(b, s, now, next, call->generation, outcome);
        reported(m, b, s, now, next, call->generation, outcome);
        call->success = fails(outcome) || outcome == WEIR_BREAKER_ABANDONED ? 0 : b->successes;
    }
    seen[b->state]++;
}

static void a_million_random_steps_agree_with_the_model(void **state)
{
    static model_t m;
    unsigned seen[WEIR_BREAKER_STATES] = {0};
    uint64_t generation = 0;

    (void)state;
    for (int run = 0; run < RUNS; run++) {
        weir_breaker_settings_t s = any_settings();
        uint64_t now = number(100000), pace = 1 + number(60), lag;
        weir_breaker_t b;

        weir_breaker_init(&b, now, ++generation);
        m = (model_t){.generation = generation, .began = now};
        for (int i = 0; i < 16; i++)
            calls[i] = (call_t){0, 0};

        for (int i = 0; i < STEPS / RUNS; i++) {
            now += number(pace);
            if (number(500) == 0)
                now += number(3 * s.window);
            /* another process's time may be a little older */
            lag = number(10) ? 0 : number(s.window / 10);
            lag = lag < now ? lag : now;
            step(&b, &m, &s, now - lag, ++generation, seen);
            agree(&m, &b, &s, now - lag);
        }
    }
    /* the steps have been in every state often */
    for (int i = 0; i < WEIR_BREAKER_STATES; i++)
        assert_true(seen[i] > STEPS / 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_million_random_steps_agree_with_the_model),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
