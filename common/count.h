/*
 * Counts in shared memory that one process writes and others read at any time, without a lock: each
 * is stored whole.
 */
#ifndef WEIR_COUNT_H
#define WEIR_COUNT_H

#include <stdint.h>

static inline void weir_count_add(uint64_t *count, uint64_t n)
{
#if UINTPTR_MAX >= UINT64_MAX
    /* a word of the processor: one instruction, where atomic load and store are three */
    *count += n;
#else
    __atomic_store_n(count, __atomic_load_n(count, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
#endif
}

static inline void weir_count_add_double(double *sum, double value)
{
#if UINTPTR_MAX >= UINT64_MAX
    *sum += value;
#else
    double now = *sum + value;

    __atomic_store(sum, &now, __ATOMIC_RELAXED);
#endif
}

#endif
