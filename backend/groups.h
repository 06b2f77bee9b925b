/*
 * The consumer groups of a domain that a worker runs: those that the configuration names.
 */
#ifndef WEIR_GROUPS_H
#define WEIR_GROUPS_H

#include "domain.h"

/*
 * Finds the first name of the list ("all" is none, where allowed) that is no group of the domain.
 * Returns false, with the message in why, when there is one.
 */
bool weir_groups_check(const weir_domain_t *domain, const char *names, char *why, size_t size);
/* The same for the groups of a list of limits. */
bool weir_groups_check_limits(const weir_domain_t *domain, const char *limits, char *why,
                              size_t size);

typedef struct weir_groups weir_groups_t;

/*
 * Opens the groups that names has; limits are their attempts.  NULL with a message in error.  The
 * runtime must live as long.
 */
weir_groups_t *weir_groups_open(const weir_domain_t *domain, const weir_runtime_t *runtime,
                                const char *names, const char *limits, char *error, size_t size);
/* For weir_worker_start(). */
const weir_consumer_t *weir_groups_consumers(const weir_groups_t *groups, size_t *count);
/* After the worker has stopped.  NULL is allowed. */
void weir_groups_close(weir_groups_t *groups);

#endif
