// needs: common/breaker/breaker.c common/breaker/tally.c
/*
 * Each transition of the breaker, in each mode, as a row: what happens, a character each, and the
 * state after each of them.
 *
 *   calls     s succeeds, l succeeds late (slow), f fails, t times out, a is abandoned
 *   probes    p is admitted and has no result yet; S F A are the results of the oldest such call
 *   elsewhere e one try fails, of a call that succeeds at another server; h another edge has opened
 *   operator  O C U: keep it open, or closed, for 10 s; no longer
 *   fleet     w others probe, for 3 s; r others have recovered just now, m are said to have
 *   time      . is 1 s, / 100 ms
 *
 * States: C closed, O open, H half-open, R ramping; - is a call that is refused.
 */
#include "common/breaker/breaker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define BASE .min = 4, .probes = 1, .window = 10000, .open = 2000
#define ROW .counting = WEIR_BREAKER_COUNT_ROW, .failures = 3, BASE
#define WINDOW .counting = WEIR_BREAKER_COUNT_WINDOW, .failures = 3, BASE

static const struct {
    const char *name;
    weir_breaker_settings_t settings;
    const char *events, *states;
    weir_breaker_rule_t rule; /* of the last opening */
} rows[] = {
    {"three failures in a row open it", {ROW}, "ffsfff", "CCCCCO", WEIR_BREAKER_BY_ROW},
    {"a timeout is a failure", {ROW}, "fft", "CCO", WEIR_BREAKER_BY_ROW},
    {"an abandoned call ends no row", {ROW}, "ffaf", "CCCO", WEIR_BREAKER_BY_ROW},
    {"a row longer than the window", {ROW}, "f.....f.....f", "CCCCCCCCCCCCC", 0},
    {"without a ratio, only a row", {ROW}, "fsffsffsffs", "CCCCCCCCCCC", 0},
    {"half of four",
     {ROW, .ratio = 500},
     "sffs"
     "f",
     "CCCCO",
     WEIR_BREAKER_BY_RATIO},
    {"half of four, by the fourth", {ROW, .ratio = 500}, "sfsf", "CCCO", WEIR_BREAKER_BY_RATIO},
    {"less than half", {ROW, .ratio = 500}, "ssfssfssf", "CCCCCCCCC", 0},
    {"three in the window", {WINDOW}, "fsfsssf", "CCCCCCO", WEIR_BREAKER_BY_WINDOW},
    {"three in the window, too few calls", {WINDOW}, "fff", "CCC", 0},
    {"three in the window, too many calls", {WINDOW, .ratio = 500}, "ssssfff", "CCCCCCC", 0},
    {"they leave with the window", {WINDOW}, "sff..........f", "CCCCCCCCCCCCCC", 0},
    {"late answers are no failures", {ROW}, "llllllll", "CCCCCCCC", 0},
    {"late answers by their own ratio",
     {ROW, .slow_ratio = 500},
     "ssll",
     "CCCO",
     WEIR_BREAKER_BY_SLOW},
    {"few late answers", {ROW, .slow_ratio = 500}, "ssslssl", "CCCCCCC", 0},
    {"late answers beside the window",
     {WINDOW, .slow_ratio = 500},
     "slsl",
     "CCCO",
     WEIR_BREAKER_BY_SLOW},
    {"timeouts are late, too", {ROW, .slow_ratio = 500}, "stsl", "CCCO", WEIR_BREAKER_BY_SLOW},
    {"failures are not late", {ROW, .slow_ratio = 500}, "sfsl", "CCCC", 0},
    {"tries count where they fail", {ROW}, "fee", "CCC", 0},
    {"tries count for the ratio",
     {ROW, .ratio = 400},
     "sse"
     "e",
     "CCCO",
     WEIR_BREAKER_BY_RATIO},
    {"open, half-open, closed", {ROW}, "fffs..s", "CCO-OHC", WEIR_BREAKER_BY_ROW},
    {"open, half-open, open", {ROW}, "fff..fs..s", "CCOOHO-OHC", WEIR_BREAKER_BY_PROBE},
    {"a probe that times out", {ROW}, "fff..t", "CCOOHO", WEIR_BREAKER_BY_PROBE},
    {"a late probe, without a ratio", {ROW}, "fff..l", "CCOOHC", WEIR_BREAKER_BY_ROW},
    {"a late probe, with one", {ROW, .slow_ratio = 500}, "fff..l", "CCOOHO", WEIR_BREAKER_BY_PROBE},
    {"one call is a probe", {ROW}, "fff..ps", "CCOOHH-", WEIR_BREAKER_BY_ROW},
    {"an abandoned probe makes room", {ROW}, "fff..pAs", "CCOOHHHC", WEIR_BREAKER_BY_ROW},
    {"a lost probe makes room in time", {ROW}, "fff..p.s.s", "CCOOHHH-HC", WEIR_BREAKER_BY_ROW},
    {"its late success counts", {ROW}, "fff..p..pS", "CCOOHHHHHC", WEIR_BREAKER_BY_ROW},
    {"its late failure, too", {ROW}, "fff..p..pF", "CCOOHHHHHO", WEIR_BREAKER_BY_PROBE},
    {"not after another one has failed", {ROW}, "fff..p..fS", "CCOOHHHHOO", WEIR_BREAKER_BY_PROBE},
    {"a result from before it opened", {ROW}, "pfffS..", "CCCOOOH", WEIR_BREAKER_BY_ROW},
    {"a ramp lets a part through",
     {ROW, .ramp = 4000},
     "fff..s..sss..s",
     "CCOOHRRR???RCC",
     WEIR_BREAKER_BY_ROW},
    {"a ramp ends", {ROW, .ramp = 2000}, "fff..s..s", "CCOOHRRCC", WEIR_BREAKER_BY_ROW},
    {"results of a ramp open it",
     {ROW, .ramp = 1000},
     "fff..s/////////ppFFssssf",
     "CCOOHRRRRRRRRRR??RR?????",
     0},
    {"another edge's circuit: half", {ROW, .hint = 1}, "hf", "CO", WEIR_BREAKER_BY_ROW},
    {"another edge's circuit, not shared", {ROW}, "hff", "CCC", 0},
    {"others are said to be well", {ROW}, "fffms", "CCOHC", WEIR_BREAKER_BY_ROW},
    {"that is no matter while it is kept open", {ROW}, "Oms", "OO-", WEIR_BREAKER_BY_OPERATOR},
    {"another edge's circuit, long ago", {ROW, .hint = 1}, "h..........f", "CCCCCCCCCCCC", 0},
    {"kept open, probed then", {ROW}, "Os.........s.s", "O-OOOOOOOOO-HC", WEIR_BREAKER_BY_OPERATOR},
    {"kept open, until told", {ROW}, "O.Us", "OOHC", WEIR_BREAKER_BY_OPERATOR},
    {"kept closed", {ROW}, "Cffffff..........fff", "CCCCCCCCCCCCCCCCCCCO", WEIR_BREAKER_BY_ROW},
    {"kept closed, until told", {ROW}, "CffffUf", "CCCCCCO", WEIR_BREAKER_BY_ROW},
    {"closed by hand", {ROW}, "fffC", "CCOC", WEIR_BREAKER_BY_ROW},
    {"others probe", {ROW}, "fff..w..s.s", "CCOOHOOO-HC", WEIR_BREAKER_BY_ROW},
    {"others probe, but it is not due", {ROW}, "fff.w.s", "CCOOOHC", WEIR_BREAKER_BY_ROW},
    {"others have recovered", {ROW}, "fff..r", "CCOOHC", WEIR_BREAKER_BY_ROW},
    {"others have recovered, and ramp",
     {ROW, .ramp = 4000},
     "fff..r",
     "CCOOHR",
     WEIR_BREAKER_BY_ROW},
    {"others have recovered too early", {ROW}, "fffr", "CCOO", WEIR_BREAKER_BY_ROW},
};

static uint64_t generations, now;

/* Calls without a result yet. */
static uint64_t out[8];
static int first, last;

static char call(weir_breaker_t *b, const weir_breaker_settings_t *s, char event)
{
    static const char outcomes[] = "sfalt"; /* in the order of weir_breaker_outcome_t */
    uint64_t g;

    if (!weir_breaker_admit(b, s, now, ++generations, &g))
        return '-';
    if (event == 'e') {
        weir_breaker_tried(b, s, now, ++generations, g, WEIR_BREAKER_FAILURE);
        event = 's';
    }
    weir_breaker_report(b, s, now, ++generations, g,
                        (weir_breaker_outcome_t)(strchr(outcomes, event) - outcomes));
    return 0;
}

static char happen(weir_breaker_t *b, const weir_breaker_settings_t *s, char event)
{
    uint64_t g;

    switch (event) {
    case '.':
        now += 1000;
        break;
    case '/':
        now += 100;
        break;
    case 'p':
        if (!weir_breaker_admit(b, s, now, ++generations, &g))
            return '-';
        out[last++ % 8] = g;
        break;
    case 'S':
    case 'F':
    case 'A':
        weir_breaker_report(b, s, now, ++generations, first < last ? out[first++ % 8] : 0,
                            event == 'S'   ? WEIR_BREAKER_SUCCESS
                            : event == 'F' ? WEIR_BREAKER_FAILURE
                                           : WEIR_BREAKER_ABANDONED);
        break;
    case 'h':
        weir_breaker_hint(b, s, now);
        break;
    case 'O':
        weir_breaker_force_open(b, now, ++generations, 10000);
        break;
    case 'C':
        weir_breaker_force_closed(b, now, ++generations, 10000);
        break;
    case 'U':
        weir_breaker_unforce(b, now);
        break;
    case 'w':
        weir_breaker_wait(b, now, ++generations, 3000, 0);
        break;
    case 'm':
        weir_breaker_hurry(b, now);
        break;
    case 'r':
        weir_breaker_recover(b, s, now, ++generations, 0);
        break;
    default:
        if (call(b, s, event) == '-')
            return '-';
    }
    return "COHR"[weir_breaker_state(b, s, now)];
}

static void each_transition(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const weir_breaker_settings_t *s = &rows[i].settings;
        weir_breaker_t b;
        char seen[64];
        size_t n = 0;

        now = 100000;
        first = last = 0;
        weir_breaker_init(&b, now, ++generations);
        for (const char *event = rows[i].events; *event != '\0'; event++) {
            seen[n] = happen(&b, s, *event);
            if (rows[i].states[n] == '?') /* left to chance: the first part of a ramp's call */
                seen[n] = '?';
            n++;
        }
        seen[n] = '\0';
        if (strcmp(seen, rows[i].states) != 0)
            print_message("# %s: %s\n", rows[i].name, rows[i].events);
        assert_string_equal(seen, rows[i].states);
        if (rows[i].rule != WEIR_BREAKER_BY_NOTHING)
            assert_int_equal(b.rule, rows[i].rule);
    }
}

static void the_open_time_grows_to_its_limit_and_is_never_shorter_than_open(void **state)
{
    const weir_breaker_settings_t s = {ROW, .max_open = 30000};
    static const uint64_t longest[] = {2000, 4000, 8000, 16000, 30000, 30000};
    uint64_t random = 1, sum;

    (void)state;
    for (uint32_t n = 0; n < 6; n++) {
        sum = 0;
        for (int i = 0; i < 10000; i++) {
            uint64_t time;

            random = random * 6364136223846793005ULL + 1442695040888963407ULL;
            time = weir_breaker_open_time(&s, n, random >> 8);
            assert_in_range(time, 2000, longest[n]);
            sum += time;
        }
        /* full jitter: half of what is above `open`, on average */
        assert_in_range(sum / 10000, (2000 + longest[n]) / 2 - 300, (2000 + longest[n]) / 2 + 300);
    }
    assert_int_equal(weir_breaker_open_time(&s, UINT32_MAX, 0), 2000);
}

static void recovery_resets_the_open_time(void **state)
{
    const weir_breaker_settings_t s = {ROW, .max_open = 60000, .ramp = 1000};
    weir_breaker_t b;

    (void)state;
    now = 100000;
    weir_breaker_init(&b, now, ++generations);
    for (int i = 0; i < 3; i++)
        happen(&b, &s, 'f');
    assert_int_equal(b.open_for, 2000);
    for (int i = 0; i < 3; i++) {
        now += b.open_for;
        happen(&b, &s, 'f');
        assert_int_equal(b.reopened, i + 1);
    }
    /* the ramp is no recovery yet */
    now += b.open_for;
    happen(&b, &s, 's');
    assert_int_equal(b.state, WEIR_BREAKER_RAMPING);
    now += 900;
    for (int i = 0; i < 10; i++)
        happen(&b, &s, 'f');
    assert_int_equal(b.state, WEIR_BREAKER_OPEN);
    assert_int_equal(b.reopened, 4);
    now += b.open_for;
    happen(&b, &s, 's');
    now += 1000;
    for (int i = 0; i < 3; i++)
        happen(&b, &s, 'f');
    assert_int_equal(b.state, WEIR_BREAKER_OPEN);
    assert_int_equal(b.open_for, 2000);
}

/* Twenty edges with 50 calls a second each: what passes follows the ramp within a call a second. */
static void a_fleet_that_ramps_keeps_to_the_ramp(void **state)
{
    const weir_breaker_settings_t s = {ROW, .ramp = 10000};
    weir_breaker_t edges[20];
    double wanted = 0, passed = 0;

    (void)state;
    for (int i = 0; i < 20; i++) {
        weir_breaker_init(&edges[i], 100000, ++generations);
        weir_breaker_force_open(&edges[i], 100000, ++generations, 1);
        weir_breaker_recover(&edges[i], &s, 100001, ++generations, 0);
        assert_int_equal(edges[i].state, WEIR_BREAKER_RAMPING);
    }
    for (now = 100001; now < 110001; now += 20) {
        for (int i = 0; i < 20; i++) {
            uint64_t g;

            wanted += (double)(now - 100001) / 10000;
            passed += weir_breaker_admit(&edges[i], &s, now, ++generations, &g);
        }
        /* so many calls since the beginning: ten seconds later that is a call a second */
        assert_true(passed - wanted < 10 && wanted - passed < 10);
    }
    assert_true(wanted > 4900);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_transition),
        cmocka_unit_test(the_open_time_grows_to_its_limit_and_is_never_shorter_than_open),
        cmocka_unit_test(recovery_resets_the_open_time),
        cmocka_unit_test(a_fleet_that_ramps_keeps_to_the_ramp),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
