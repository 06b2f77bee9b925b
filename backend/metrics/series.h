/*
 * The process's metrics: one number, or one distribution, for each family and list of label values.
 * Any part of the program adds to its series; the listener for operators (operate/) writes them
 * all.
 *
 * All of it belongs to the event loop's thread. A series lives until the process ends.
 */
#ifndef WEIR_SERIES_H
#define WEIR_SERIES_H

#include "metrics/families.h"

#include <stdint.h>

typedef struct weir_series weir_series_t;

/*
 * The series of a family with these values of its labels, in the order of the table; the same one
 * for each call with the same values. The values are copied; a value of NULL means that the series
 * does not have that label. values may be NULL for a family without labels.
 */
weir_series_t *weir_series(weir_family_id_t family, const char *const *values)
    __attribute__((returns_nonnull));

/* For a counter, and for a gauge that counts what exists. Seconds are counted in milliseconds. */
void weir_series_add(weir_series_t *series, uint64_t n);
void weir_series_subtract(weir_series_t *series, uint64_t n);
/* For a gauge, and for a counter that is counted elsewhere. */
void weir_series_set(weir_series_t *series, uint64_t value);
/* For amounts of money, and a gauge that may be negative; in seconds if the family is. */
void weir_series_set_amount(weir_series_t *series, double amount);
uint64_t weir_series_value(const weir_series_t *series);

/* Adds an observation to a histogram: microseconds if the family is in seconds. */
void weir_series_observe(weir_series_t *series, uint64_t value);

/*
 * Calls fn before the series are written, to set those that are counted elsewhere. Must not take
 * long: the event loop waits. weir_series_forget() ends that.
 */
void weir_series_collect(void (*fn)(void *arg), void *arg);
void weir_series_forget(void (*fn)(void *arg), void *arg);

/*
 * The text of all series, which the caller frees, and its length. The function keeps the memory of
 * no text.
 */
char *weir_series_text(bool openmetrics, size_t *len);

#endif
