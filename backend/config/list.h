/*
 * Lists that are values of keys: names with commas between them ("a, b"), and limits, which are
 * numbers of groups ("8, a=20": 8, and of group a 20).
 */
#ifndef WEIR_CONFIG_LIST_H
#define WEIR_CONFIG_LIST_H

#include <stddef.h>

/*
 * Finds the next name of a list with commas ("a, b"), without the blanks around
 * it.  Returns what comes after it, NULL when there was none.
 */
const char *weir_config_next_name(const char *list, const char **name, size_t *len);

#define WEIR_CONFIG_LIMIT_MAX 100

/* An element of a list of limits ("8, a=20"): the number of one group, or of all others. */
typedef struct {
    const char *group; /* in the list */
    size_t len;        /* of the group's name; 0: all others */
    unsigned count;    /* 0: this is no number up to WEIR_CONFIG_LIMIT_MAX */
} weir_config_limit_t;

/* Finds the next element.  Returns what comes after it, NULL when there was none. */
const char *weir_config_next_limit(const char *list, weir_config_limit_t *limit);

/* The limit of the group, by a list that was checked. */
unsigned weir_config_limit(const char *list, const char *group);

#endif
