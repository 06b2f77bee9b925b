/*
 * Counts the steps that a parser takes, so that tests can hold it to a budget per
 * byte of its input, on any machine alike.
 *
 * A parser says WEIR_WORK(n) in its inner loops.  Without WEIR_COUNT_WORK, which
 * tests define, that is nothing.
 */
#ifndef WEIR_WORK_H
#define WEIR_WORK_H

#ifdef WEIR_COUNT_WORK
extern unsigned long weir_work;
#define WEIR_WORK(n) (weir_work += (n))
#else
#define WEIR_WORK(n) ((void)0)
#endif

#endif
