/*
 * A circuit breaker for one dependency (Nygard, Release It!, chapter 5).
 *
 *   closed     calls pass; failures open the breaker by the rules below
 *   open       calls are refused for `open`
 *   half-open  exactly `probes` calls pass; all succeed: closed, one fails: open
 *
 * counting=row (as Envoy's outlier detection) opens the breaker if
 *     - `failures` calls failed in a row, all of them within `window`, or
 *     - at least `min` calls ended within `window` and `ratio` of them failed.
 * A dependency that is down opens the breaker with the `failures`-th call, at any load; a
 * dependency with single failures among many successes does not.
 *
 * counting=window opens the breaker if `failures` calls failed within `window`, if they are `ratio`
 * of the window's calls, and if those are at least `min`.
 *
 * Each state has a generation.  A result carries the generation in which its call was admitted and
 * counts in that generation only, so a late result from before a change of state has no effect.
 * The caller provides the generations; they must be unique in the life of the breaker's memory.
 *
 * A breaker may be in shared memory; the caller holds its lock during each call.  Times are
 * milliseconds of one monotonic clock; a time before the previous one (another process's cached
 * time) counts as equal to it.
 */

#ifndef WEIR_BREAKER_H
#define WEIR_BREAKER_H

#include <stdint.h>

/* The window slides in steps of a tenth of its length. */
#define WEIR_BREAKER_BUCKETS 10

typedef enum { WEIR_BREAKER_COUNT_ROW, WEIR_BREAKER_COUNT_WINDOW } weir_breaker_counting_t;

typedef struct {
    weir_breaker_counting_t counting;
    uint32_t failures; /* number of failures that opens it, at least 1 */
    uint32_t ratio;    /* 1/1000 of the window's calls; 0: no rule (row), any ratio (window) */
    uint32_t min;      /* with fewer calls in the window, ratio opens nothing */
    uint32_t probes;   /* at least 1 */
    uint64_t window;   /* ms, at least WEIR_BREAKER_BUCKETS */
    uint64_t open;     /* ms, at least 1 */
} weir_breaker_settings_t;

typedef enum {
    WEIR_BREAKER_CLOSED,
    WEIR_BREAKER_OPEN,
    WEIR_BREAKER_HALF_OPEN
} weir_breaker_state_t;

typedef enum {
    WEIR_BREAKER_SUCCESS,
    WEIR_BREAKER_FAILURE,
    WEIR_BREAKER_ABANDONED /* no information about the dependency: the caller gave up */
} weir_breaker_outcome_t;

/* The rule that opened the breaker last. */
typedef enum {
    WEIR_BREAKER_BY_NOTHING, /* never opened */
    WEIR_BREAKER_BY_ROW,     /* `failures` in a row */
    WEIR_BREAKER_BY_RATIO,   /* `ratio` of at least `min` calls */
    WEIR_BREAKER_BY_WINDOW,  /* `failures` in the window, and `ratio` where it is set */
    WEIR_BREAKER_BY_PROBE    /* a probe failed */
} weir_breaker_rule_t;

/* Numbers of calls: those of the window, and those with which the breaker opened last. */
typedef struct {
    uint32_t calls;  /* succeeded or failed */
    uint32_t failed; /* of them, failed */
    uint32_t row;    /* failures since the last success */
} weir_breaker_counts_t;

typedef struct {
    weir_breaker_state_t state;
    weir_breaker_rule_t rule;
    weir_breaker_counts_t opened; /* of the window when the breaker opened last */
    uint32_t probes_out;          /* half-open: admitted, no result yet */
    uint32_t probes_well;         /* half-open: succeeded */
    uint64_t generation;
    uint64_t since; /* ms, start of the current state */
    uint64_t step;  /* number of the newest bucket: time / bucket width */
    uint32_t calls[WEIR_BREAKER_BUCKETS];
    uint32_t failed[WEIR_BREAKER_BUCKETS];
    uint32_t row[WEIR_BREAKER_BUCKETS]; /* failures since the last success */
    uint64_t successes;                 /* in all states; also the number of the last one */
    uint32_t row_before;                /* failures in a row that the last success ended */
} weir_breaker_t;

/* Initializes a closed breaker. */
void weir_breaker_init(weir_breaker_t *b, uint64_t now, uint64_t generation);

/*
 * Asks for admission of a call.  Returns 1 if the call is admitted; its result must then be passed
 * to weir_breaker_report() with *generation.  Returns 0 if it is refused.
 *
 * next is an unused generation; b->generation shows whether it was used.  Probes without a result
 * after `open` ms count as lost, and others are admitted in their place.
 */
int weir_breaker_admit(weir_breaker_t *b, const weir_breaker_settings_t *settings, uint64_t now,
                       uint64_t next, uint64_t *generation);

/* Reports a call's result.  Returns 1 if the state changed, with next used. */
int weir_breaker_report(weir_breaker_t *b, const weir_breaker_settings_t *settings, uint64_t now,
                        uint64_t next, uint64_t generation, weir_breaker_outcome_t outcome);

/*
 * Takes back a reported success, because the call failed after all: a body that broke off after a
 * good header.  success is b->successes directly after the report.  The row of failures that it
 * ended continues, unless another call has succeeded since.  Returns 1 if the state changed, with
 * next used.
 */
int weir_breaker_take_back(weir_breaker_t *b, const weir_breaker_settings_t *settings, uint64_t now,
                           uint64_t next, uint64_t generation, uint64_t success);

/* The current state: an open breaker whose `open` time has passed is half-open. */
weir_breaker_state_t weir_breaker_state(const weir_breaker_t *b,
                                        const weir_breaker_settings_t *settings, uint64_t now);

/* The current counts of the window; zero unless the breaker is closed. */
weir_breaker_counts_t weir_breaker_counts(const weir_breaker_t *b,
                                          const weir_breaker_settings_t *settings, uint64_t now);

/* ms until a refused call can be tried again, at least 1. */
uint64_t weir_breaker_retry_after(const weir_breaker_t *b, const weir_breaker_settings_t *settings,
                                  uint64_t now);

#endif
