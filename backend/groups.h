/*
 * The consumer groups that a worker runs: those of the domain's groups that the configuration
 * names.
 */
#ifndef WEIR_GROUPS_H
#define WEIR_GROUPS_H

#include "domain.h"

/*
 * Checks that each name of the list is a group of the domain, or "all". Otherwise returns false,
 * with a message about the first unknown name in why.
 */
bool weir_groups_check(const weir_domain_t *domain, const char *names, char *why, size_t size);
/* The same check for the groups of a list of limits, where "all" is not allowed. */
bool weir_groups_check_limits(const weir_domain_t *domain, const char *limits, char *why,
                              size_t size);

typedef struct weir_groups weir_groups_t;

/*
 * Opens the groups of the list names; limits has the attempts of each. Returns NULL with a message
 * in error on failure. The runtime must outlive the result.
 */
weir_groups_t *weir_groups_open(const weir_domain_t *domain, const weir_runtime_t *runtime,
                                const char *names, const char *limits, char *error, size_t size);
/* For weir_worker_start(). */
const weir_consumer_t *weir_groups_consumers(const weir_groups_t *groups, size_t *count);
/* Call this after the worker has stopped. NULL is allowed. */
void weir_groups_close(weir_groups_t *groups);

#endif
