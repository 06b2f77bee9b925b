/*
 * A circuit breaker for one dependency (Nygard, Release It!, chapter 5).
 *
 *   closed     calls pass; see below for the failures that open it
 *   open       calls are refused for `open`
 *   half-open  exactly `probes` calls pass; all succeed: closed, one fails: open
 *
 * Counting in a row (as Envoy's outlier detection does) opens it when
 *     - `failures` calls failed in a row, all of them within `window`, or
 *     - at least `min` calls ended within `window` and `ratio` of them failed.
 * A dependency that is down opens it with its `failures`-th call, at any load; a
 * dependency that fails now and then among many successes does not.
 *
 * Counting in the window opens it when `failures` calls failed within `window`,
 * if they are `ratio` of the window's calls and those are at least `min`.
 *
 * Each state has a generation.  A result carries the generation in which its
 * call was admitted and counts in that one only, so that an overdue answer
 * from before a change decides nothing.  Generations are handed in by the
 * caller and must never come twice in the life of the breaker's memory.
 *
 * A breaker may live in shared memory; the caller holds its lock during each
 * call.  Times are milliseconds of one monotonic clock; a clock reading that
 * lies before the last one (another process's cached time) is taken as equal.
 */

#ifndef WEIR_BREAKER_H
#define WEIR_BREAKER_H

#include <stdint.h>

/* The window slides in steps of a tenth. */
#define WEIR_BREAKER_BUCKETS 10

typedef enum { WEIR_BREAKER_COUNT_ROW, WEIR_BREAKER_COUNT_WINDOW } weir_breaker_counting_t;

typedef struct {
    weir_breaker_counting_t counting;
    uint32_t failures; /* that open it, at least 1 */
    uint32_t ratio;    /* 1/1000 of the window's calls; 0: in a row never, in the window any */
    uint32_t min;      /* calls of the window below which ratio opens nothing */
    uint32_t probes;   /* at least 1 */
    uint64_t window;   /* ms, at least WEIR_BREAKER_BUCKETS */
    uint64_t open;     /* ms, at least 1 */
} weir_breaker_settings_t;

typedef enum { WEIR_BREAKER_CLOSED, WEIR_BREAKER_OPEN, WEIR_BREAKER_HALF_OPEN } weir_breaker_state_t;

typedef enum {
    WEIR_BREAKER_SUCCESS,
    WEIR_BREAKER_FAILURE,
    WEIR_BREAKER_ABANDONED /* no word on the dependency: the caller gave up */
} weir_breaker_outcome_t;

/* The rule that opened it last. */
typedef enum {
    WEIR_BREAKER_BY_NOTHING, /* it never opened */
    WEIR_BREAKER_BY_ROW,     /* `failures` in a row */
    WEIR_BREAKER_BY_RATIO,   /* `ratio` of at least `min` calls */
    WEIR_BREAKER_BY_WINDOW,  /* `failures` in the window, and `ratio` where it is set */
    WEIR_BREAKER_BY_PROBE    /* a probe failed */
} weir_breaker_rule_t;

/* Numbers of calls; a breaker keeps those of its window and those that opened it last. */
typedef struct {
    uint32_t calls;  /* that succeeded or failed */
    uint32_t failed; /* of them */
    uint32_t row;    /* failures since the last success */
} weir_breaker_counts_t;

typedef struct {
    weir_breaker_state_t state;
    weir_breaker_rule_t rule;
    weir_breaker_counts_t opened; /* of the window when it opened last */
    uint32_t probes_out;          /* half-open: admitted, no result yet */
    uint32_t probes_well;         /* half-open: succeeded */
    uint64_t generation;
    uint64_t since; /* ms, start of the state */
    uint64_t step;  /* number of the newest bucket: time / bucket width */
    uint32_t calls[WEIR_BREAKER_BUCKETS];
    uint32_t failed[WEIR_BREAKER_BUCKETS];
    uint32_t row[WEIR_BREAKER_BUCKETS]; /* failures since the last success */
    uint64_t successes;                 /* in all states; the last one's number */
    uint32_t row_before;                /* failures in a row that the last one ended */
} weir_breaker_t;

/* Makes a closed breaker. */
void weir_breaker_init(weir_breaker_t *b, uint64_t now, uint64_t generation);

/*
 * Asks to make a call.  Returns 1 when it may be made; its result is then owed
 * to weir_breaker_report() with *generation.  Returns 0 when it is refused.
 *
 * next is a fresh generation; whether it was used is seen from b->generation.
 * Probes whose results don't come within `open` are given up for lost and
 * others are let through in their place.
 */
int weir_breaker_admit(weir_breaker_t *b, const weir_breaker_settings_t *settings, uint64_t now,
                       uint64_t next, uint64_t *generation);

/* Takes a call's result.  Returns 1 when it changed the state, with next used. */
int weir_breaker_report(weir_breaker_t *b, const weir_breaker_settings_t *settings, uint64_t now,
                        uint64_t next, uint64_t generation, weir_breaker_outcome_t outcome);

/*
 * Takes back a success that was reported, because the call failed after all: a
 * body that breaks off behind a good header.  success is b->successes right
 * after it was reported; the row that it ended goes on, unless another call has
 * succeeded since.  Returns 1 when it changed the state, with next used.
 */
int weir_breaker_take_back(weir_breaker_t *b, const weir_breaker_settings_t *settings, uint64_t now,
                           uint64_t next, uint64_t generation, uint64_t success);

/* The state as of now: an open breaker whose time is over is half-open. */
weir_breaker_state_t weir_breaker_state(const weir_breaker_t *b,
                                        const weir_breaker_settings_t *settings, uint64_t now);

/* The numbers of the window as of now; zero unless it is closed. */
weir_breaker_counts_t weir_breaker_counts(const weir_breaker_t *b,
                                          const weir_breaker_settings_t *settings, uint64_t now);

/* ms until a refused call is worth trying again, at least 1. */
uint64_t weir_breaker_retry_after(const weir_breaker_t *b, const weir_breaker_settings_t *settings,
                                  uint64_t now);

#endif
