/*
 * A circuit breaker for one dependency (Nygard, Release It!, chapter 5).
 *
 *   closed     calls pass; bad results open the breaker by the rules below
 *   open       calls are refused for a time: see weir_breaker_open_time()
 *   half-open  exactly `probes` calls pass; all succeed: it closes, one fails: open
 *   ramping    closing: a share of the calls passes that grows from none to all within `ramp`
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
 * Beside both, `slow_ratio` of at least `min` calls that were slow open it.  A call that timed out
 * is slow, too.
 *
 * While the breaker is ramping the rules are the same, but a ratio needs only `failures` calls if
 * that is less than `min`: few calls pass, and a dependency that is not well yet must not wait for
 * its twentieth victim.
 *
 * Each state has a generation; ramping and the closed state after it have the same.  A result
 * carries the generation in which its call was admitted and counts in that generation only, so a
 * late result from before a change of state has no effect.  The caller provides the generations;
 * they must be unique in the life of the breaker's memory.
 *
 * A breaker may be in shared memory; the caller holds its lock during each call.  Times are
 * milliseconds of one monotonic clock; a time before the previous one (another process's cached
 * time) counts as equal to it.
 */

#ifndef WEIR_BREAKER_H
#define WEIR_BREAKER_H

#include "tally.h"

#include <stdint.h>

/* The window slides in steps of a tenth of its length. */
#define WEIR_BREAKER_BUCKETS WEIR_TALLY_BUCKETS

typedef enum { WEIR_BREAKER_COUNT_ROW, WEIR_BREAKER_COUNT_WINDOW } weir_breaker_counting_t;

typedef struct {
    weir_breaker_counting_t counting;
    uint32_t failures;   /* number of failures that opens it, at least 1 */
    uint32_t ratio;      /* 1/1000 of the window's calls; 0: no rule (row), any ratio (window) */
    uint32_t slow_ratio; /* 1/1000 of the window's calls; 0: no rule */
    uint32_t min;        /* with fewer calls in the window, a ratio opens nothing */
    uint32_t probes;     /* at least 1 */
    uint32_t hint;       /* bool: weir_breaker_hint() has an effect */
    uint64_t window;     /* ms, at least WEIR_BREAKER_BUCKETS */
    uint64_t open;       /* ms, at least 1 */
    uint64_t max_open;   /* ms; not more than `open`: the time does not grow */
    uint64_t ramp;       /* ms; 0: closes at once */
} weir_breaker_settings_t;

typedef enum {
    WEIR_BREAKER_CLOSED,
    WEIR_BREAKER_OPEN,
    WEIR_BREAKER_HALF_OPEN,
    WEIR_BREAKER_RAMPING,
    WEIR_BREAKER_STATES
} weir_breaker_state_t;

typedef enum {
    WEIR_BREAKER_SUCCESS,
    WEIR_BREAKER_FAILURE,
    WEIR_BREAKER_ABANDONED, /* no information about the dependency: the caller gave up */
    WEIR_BREAKER_SLOW,      /* succeeded late; see slow_ratio */
    WEIR_BREAKER_TIMEOUT    /* a failure for lack of an answer */
} weir_breaker_outcome_t;

/* The rule that opened the breaker last. */
typedef enum {
    WEIR_BREAKER_BY_NOTHING, /* never opened */
    WEIR_BREAKER_BY_ROW,     /* `failures` in a row */
    WEIR_BREAKER_BY_RATIO,   /* `ratio` of at least `min` calls */
    WEIR_BREAKER_BY_WINDOW,  /* `failures` in the window, and `ratio` where it is set */
    WEIR_BREAKER_BY_PROBE,   /* a probe failed, or too many were slow */
    WEIR_BREAKER_BY_SLOW,    /* `slow_ratio` of at least `min` calls */
    WEIR_BREAKER_BY_OPERATOR /* weir_breaker_force_open() */
} weir_breaker_rule_t;

/* Numbers of calls: those of the window, and those with which the breaker opened last. */
typedef weir_tally_counts_t weir_breaker_counts_t;

typedef struct {
    weir_breaker_state_t state;
    weir_breaker_rule_t rule;
    weir_breaker_counts_t opened; /* of the window when the breaker opened last */
    uint32_t probes_out;          /* half-open: admitted, no result yet */
    uint32_t probes_well;         /* half-open: succeeded */
    uint32_t probes_slow;         /* of them, late */
    uint32_t reopened;            /* openings since the last recovery, less one */
    uint32_t credit;              /* ramping: of the next call, in 1/65536 */
    uint32_t row_before;          /* failures in a row that the last success ended */
    uint64_t generation;
    uint64_t first_probe; /* half-open: the generation of its first probes */
    uint64_t since;       /* ms, start of the current state */
    uint64_t open_for;    /* ms, open: how long; half-open: until probes are lost */
    uint64_t hinted;      /* ms, end of the time in which thresholds are lower; 0: none */
    uint64_t forced;      /* ms, end of the time in which an operator keeps it open or closed;
                             0: none */
    uint64_t successes;   /* in all states; also the number of the last one */
    weir_tally_t tally;
} weir_breaker_t;

/* Initializes a closed breaker. */
void weir_breaker_init(weir_breaker_t *b, uint64_t now, uint64_t generation);

/*
 * Asks for admission of a call.  Returns 1 if the call is admitted; its result must then be passed
 * to weir_breaker_report() with *generation.  Returns 0 if it is refused.
 *
 * next is an unused generation; b->generation shows whether it was used.  Probes without a result
 * after `open` ms are given up, and others are admitted in their place.  If a result comes later,
 * and the breaker is half-open still, it counts: a dependency that takes longer than `open` for an
 * answer must be able to close its breaker.
 */
int weir_breaker_admit(weir_breaker_t *b, const weir_breaker_settings_t *settings, uint64_t now,
                       uint64_t next, uint64_t *generation);

/*
 * True if weir_breaker_admit() would begin to probe: the time of an open breaker is over, or the
 * probes of a half-open one are lost.  A fleet agrees first who does.
 */
int weir_breaker_is_due(const weir_breaker_t *b, uint64_t now);

/*
 * Others probe: the breaker is open for ms from now, at least 1.  Its open time does not grow by
 * that, but it is as long the next time as that of the others, which have opened reopened times
 * since the last recovery.  Nothing happens unless it is due.
 */
void weir_breaker_wait(weir_breaker_t *b, uint64_t now, uint64_t next, uint64_t ms,
                       uint32_t reopened);

/*
 * The probes of others have succeeded, so many ms ago: a breaker that is due begins to ramp, or
 * closes.  Nothing happens unless it is due.
 */
void weir_breaker_recover(weir_breaker_t *b, const weir_breaker_settings_t *settings, uint64_t now,
                          uint64_t next, uint64_t ago);

/*
 * Others are said to have recovered: an open breaker is due now, so that it can be found out.
 * Nothing happens if an operator keeps it open.
 */
void weir_breaker_hurry(weir_breaker_t *b, uint64_t now);

/* Reports a call's result.  Returns 1 if the state changed, with next used. */
int weir_breaker_report(weir_breaker_t *b, const weir_breaker_settings_t *settings, uint64_t now,
                        uint64_t next, uint64_t generation, weir_breaker_outcome_t outcome);

/*
 * Counts a failed try of a call that is tried again elsewhere, and whose own result is still to be
 * reported.  Returns 1 if the state changed, with next used.  The tries of a probe are not counted:
 * its own result decides.
 */
int weir_breaker_tried(weir_breaker_t *b, const weir_breaker_settings_t *settings, uint64_t now,
                       uint64_t next, uint64_t generation, weir_breaker_outcome_t outcome);

/*
 * Takes back a reported success, because the call failed after all: a body that broke off after a
 * good header.  success is b->successes directly after the report.  The row of failures that it
 * ended continues, unless another call has succeeded since.  Returns 1 if the state changed, with
 * next used.
 */
int weir_breaker_take_back(weir_breaker_t *b, const weir_breaker_settings_t *settings, uint64_t now,
                           uint64_t next, uint64_t generation, uint64_t success);

/*
 * Another edge's breaker for the same dependency has opened: for `window` ms, half of `failures`
 * and of `min` (at least 1 each) suffice, if `hint` is set.  Opens nothing by itself.
 */
void weir_breaker_hint(weir_breaker_t *b, const weir_breaker_settings_t *settings, uint64_t now);

/*
 * An operator's word, for so many ms (at least 1).  Opened: calls are refused for that time, and
 * probed afterwards.  Closed: calls pass, and results open nothing until the time is over.
 */
void weir_breaker_force_open(weir_breaker_t *b, uint64_t now, uint64_t next, uint64_t ms);
void weir_breaker_force_closed(weir_breaker_t *b, uint64_t now, uint64_t next, uint64_t ms);

/* Ends it: a breaker that was kept open is probed next. */
void weir_breaker_unforce(weir_breaker_t *b, uint64_t now);

/* True while an operator keeps the state. */
int weir_breaker_is_forced(const weir_breaker_t *b, uint64_t now);

/*
 * The current state: an open breaker whose time has passed is half-open, a ramping one whose ramp
 * has passed is closed.
 */
weir_breaker_state_t weir_breaker_state(const weir_breaker_t *b,
                                        const weir_breaker_settings_t *settings, uint64_t now);

/* The current counts of the window; zero while the breaker is open or half-open. */
weir_breaker_counts_t weir_breaker_counts(const weir_breaker_t *b,
                                          const weir_breaker_settings_t *settings, uint64_t now);

/* ms until a refused call can be tried again, at least 1. */
uint64_t weir_breaker_retry_after(const weir_breaker_t *b, uint64_t now);

/*
 * How long the (n+1)-th opening in a row lasts, ms: the first `open`; each further one a random
 * time from `open` to twice as much as was possible the time before, at most `max_open` ("full
 * jitter" on all that is above `open`).  So the edges of a fleet do not come again together.
 * random is any number; the breaker takes its generation, mixed.
 */
uint64_t weir_breaker_open_time(const weir_breaker_settings_t *settings, uint32_t n,
                                uint64_t random);

#endif
