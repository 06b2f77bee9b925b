/*
 * What a parser may spend on its input: steps and bytes of memory, both of them counted and so the
 * same on every machine, and processor time as the last resort for what is not compiled here.
 *
 * A step is an edge of the control flow graph of the code that the target names in its "needs"
 * lines, or eight bytes for a function of the C library (memchr, memcpy, strlen …).  Memory is all
 * that was allocated, whether it was freed or not.
 *
 * scripts/fuzz.sh compiles and links what counts (budget.c).
 */
#ifndef WEIR_FUZZ_BUDGET_H
#define WEIR_FUZZ_BUDGET_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    unsigned long steps_once, steps_per_byte;
    unsigned long memory_once, memory_per_byte; /* bytes */
} budget_t;

/* The longest input for which a budget is tried: about what the edge takes as one field line. */
#define BUDGET_INPUT_MAX 32768

/*
 * Calls parse with the input, and with the input repeated up to BUDGET_INPUT_MAX, which shows what
 * grows faster than the input does.  Aborts when a call spends more than its budget.  At the end
 * of the process the greatest shares of the budget that were seen are printed.
 */
void budget_check(void (*parse)(const uint8_t *data, size_t size), const uint8_t *data, size_t size,
                  const budget_t *budget);

/* The same for one call that the target makes itself, of an input of that size. */
void budget_begin(void);
void budget_end(size_t size, const budget_t *budget);

#endif
