/*
 * What a handler depends on (an SMTP server, somebody's HTTP API), behind a circuit breaker that
 * tells a dependency that is down from events that it refuses.
 *
 * An event is fresh until the dependency has heard of it and left it without an answer.  ("Come
 * again later" is an answer.)  What is counted are failures since the dependency's last answer, to
 * whichever event:
 *
 *   closed    events are handled.  The fifth failure in a row, of any events, opens the breaker.
 *   resting   for 500 ms, twice as long after each probe that failed, at most 5 s.  Events that
 * have failed before wait.  Fresh ones wait only when the dependency itself seems down: five of the
 * failures were those of fresh events, which are five different events, or five did not reach it at
 * all. probing   up to three of the fresh events are tried; one that has failed before only while
 *             there is no fresh one.
 *
 * Any answer closes the breaker, also that of a call from before it opened.
 *
 * The invariant: as long as the dependency answers some events, those that it does not answer hold
 * up nobody but themselves, however many they are and however often they are tried.  A failure is
 * an attempt of its event only when neighbours do not share it: the breaker is closed, or another
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
    WEIR_DEPENDENCY_PROBING
} weir_dependency_state_t;

typedef struct {
    const char *name; /* for the log; borrowed */
    weir_dependency_state_t state;
    uint64_t generation; /* counts changes of the state */
    uint64_t answers;    /* counts them */
    uint64_t until;
    unsigned rest; /* ms, of the last one */
    /* since the last answer: */
    unsigned failed;      /* failures */
    unsigned fresh;       /* of them, of events that had not failed before */
    unsigned unreached;   /* of them, that did not reach the dependency */
    unsigned out[2];      /* probing: calls under way, [1] of fresh events */
    unsigned fresh_tried; /* probing: fresh events that failed */
} weir_dependency_t;

/* A call under way. */
typedef struct {
    uint64_t generation, answers; /* when it began */
    bool fresh;
} weir_call_t;

typedef enum {
    WEIR_CALL_ANSWERED,  /* also with a refusal of this very event */
    WEIR_CALL_FAILED,    /* for a reason that may be the event's or the dependency's */
    WEIR_CALL_UNREACHED, /* before the dependency heard of the event */
    WEIR_CALL_ABANDONED  /* by us: no word on the dependency */
} weir_call_result_t;

/* name is borrowed, NULL where there is no handler. */
void weir_dependency_init(weir_dependency_t *dependency, const char *name);

/* May an event, fresh or not, be handled now? */
bool weir_dependency_admits(weir_dependency_t *dependency, uint64_t now, bool fresh);
/* True when the few events that it admits are probes: the newest fresh ones should go first. */
bool weir_dependency_probes(const weir_dependency_t *dependency);
/* When a resting one admits again what it refuses now; UINT64_MAX when only a result tells. */
uint64_t weir_dependency_next(const weir_dependency_t *dependency);

/* Begins a call for an event that was admitted; its result is owed. */
weir_call_t weir_dependency_begin(weir_dependency_t *dependency, bool fresh);

/*
 * Takes a call's result; error is for the log.  Returns true when a failure counts against the
 * event itself: the dependency was reached, and the breaker is closed, or opens by this, or others
 * were answered meanwhile.
 */
bool weir_dependency_end(weir_dependency_t *dependency, uint64_t now, const weir_call_t *call,
                         weir_call_result_t result, const char *error);

#endif
