/*
 * Lists in values of keys: names with commas between them ("a, b"), and limits of groups ("8,
 * a=20": the limit is 8, and 20 for group a).
 */
#ifndef WEIR_CONFIG_LIST_H
#define WEIR_CONFIG_LIST_H

#include <stddef.h>

/*
 * Finds the next name of a list ("a, b"), without the blanks around it. Returns the rest of the
 * list after the name, or NULL if there is no further name.
 */
const char *weir_config_next_name(const char *list, const char **name, size_t *len);

#define WEIR_CONFIG_LIMIT_MAX 100

/* An element of a list of limits ("8, a=20"): the limit of one group, or of all other groups. */
typedef struct {
    const char *group; /* in the list */
    size_t len;        /* of the group's name; 0: the limit of all other groups */
    unsigned count;    /* 0: not a number from 1 to WEIR_CONFIG_LIMIT_MAX */
} weir_config_limit_t;

/* Finds the next element. Returns the rest of the list, or NULL if there is no further element. */
const char *weir_config_next_limit(const char *list, weir_config_limit_t *limit);

/* The limit of the group. The list must have been checked. */
unsigned weir_config_limit(const char *list, const char *group);

#endif
