/*
 * What a handler depends on (an SMTP server, a payment gateway), behind a circuit breaker: five
 * failures within ten seconds give it a rest of five, then one call probes it.
 */
#ifndef WEIR_DEPENDENCY_H
#define WEIR_DEPENDENCY_H

#include "common/breaker.h"

#include <stdbool.h>

typedef struct {
    const char *name; /* for the log; borrowed */
    weir_breaker_t breaker;
    uint64_t generations;
} weir_dependency_t;

void weir_dependency_init(weir_dependency_t *dependency, const char *name, uint64_t now);

/* May it be called?  Then its result is owed with *call; otherwise *wait says for how many ms not.
 */
bool weir_dependency_admit(weir_dependency_t *dependency, uint64_t now, uint64_t *call,
                           uint64_t *wait);

/*
 * Takes a call's result.  Returns true when a failure speaks against what was asked for, too, and
 * not only of the dependency: it was closed, and still is or opens by this.
 */
bool weir_dependency_report(weir_dependency_t *dependency, uint64_t now, uint64_t call,
                            weir_breaker_outcome_t outcome, const char *error);

#endif
