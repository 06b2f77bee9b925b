/*
 * A dependency of a handler (an SMTP server, an HTTP API), behind a circuit breaker. The breaker
 * distinguishes a dependency that is down from events that the dependency refuses.
 *
 * An event is fresh until the dependency has received it and sent no answer. ("Come again later" is
 * an answer.) The breaker counts failures since the dependency's last answer to any event:
 *
 *   closed    events are handled.  The fifth failure in a row, of any events, opens the breaker.
 *   resting   for 500 ms, twice as long after each failed probe, at most 5 s.  Events that have
 *             failed before wait.  Fresh events wait only when the dependency itself seems down:
 *             five failures were of fresh events, so of five different events, or five did not
 *             reach the dependency.
 *   probing   up to three fresh events are tried; an event that has failed before is tried only
 *             while there is no fresh one.
 *
 * Any answer closes the breaker, also the answer to a call that began before the breaker opened.
 *
 * Invariant: as long as the dependency answers some events, events that it does not answer delay no
 * other events, however many they are and however often they are tried. A failure counts as an
 * attempt of its event only if other events do not fail too: the breaker is closed, or another
 * event was answered since the call began.
 *
 * Plain C without I/O.  Times are milliseconds of one monotonic clock.
 */
#ifndef WEIR_DEPENDENCY_H
#define WEIR_DEPENDENCY_H

#include <stdbool.h>
#include <stdint.h>

typedef enum {
    WEIR_DEPENDENCY_CLOSED,
    WEIR_DEPENDENCY_RESTING, /* until `until` */
    WEIR_DEPENDENCY_PROBING,
    WEIR_DEPENDENCY_STATES
} weir_dependency_state_t;

typedef enum {
    WEIR_CALL_ANSWERED,  /* also with a refusal of this event */
    WEIR_CALL_FAILED,    /* the cause may be the event or the dependency */
    WEIR_CALL_UNREACHED, /* before the dependency received the event */
    WEIR_CALL_ABANDONED, /* ended by us: says nothing about the dependency */
    WEIR_CALL_RESULTS
} weir_call_result_t;

typedef struct {
    const char *name; /* for the log; borrowed */
    weir_dependency_state_t state;
    uint64_t generation; /* counts changes of the state */
    uint64_t answers;    /* counts answers */
    uint64_t until;
    unsigned rest; /* ms: the duration of the last rest */
    /* since the last answer: */
    unsigned failed;      /* failures */
    unsigned fresh;       /* failures of events that had not failed before */
    unsigned unreached;   /* failures that did not reach the dependency */
    unsigned out[2];      /* probing: calls under way, [1] of fresh events */
    unsigned fresh_tried; /* probing: fresh events that failed */
    /* for metrics, since the start: */
    uint64_t entered[WEIR_DEPENDENCY_STATES]; /* changes to each state */
    uint64_t ended[WEIR_CALL_RESULTS];        /* calls by their result */
} weir_dependency_t;

/* A call under way. */
typedef struct {
    uint64_t generation, answers; /* when it began */
    bool fresh;
} weir_call_t;

/* name must outlive the dependency; NULL if there is no handler. */
void weir_dependency_init(weir_dependency_t *dependency, const char *name);

/* True when an event, fresh or not, may be handled now. */
bool weir_dependency_admits(weir_dependency_t *dependency, uint64_t now, bool fresh);
/* True when the admitted events are probes: the newest fresh events should go first. */
bool weir_dependency_probes(const weir_dependency_t *dependency);
/*
 * The time from which a resting dependency admits events again; UINT64_MAX when that depends on a
 * result.
 */
uint64_t weir_dependency_next(const weir_dependency_t *dependency);

/* Begins a call for an admitted event. weir_dependency_end() must follow. */
weir_call_t weir_dependency_begin(weir_dependency_t *dependency, bool fresh);

/*
 * Ends a call; error is for the log. Returns true when a failure counts as an attempt of the event:
 * the dependency was reached, and the breaker is closed, or opens now, or another event was
 * answered meanwhile.
 */
bool weir_dependency_end(weir_dependency_t *dependency, uint64_t now, const weir_call_t *call,
                         weir_call_result_t result, const char *error);

#endif
