/*
 * Counts the steps of a parser, so that tests can check a budget per byte of input, on any machine
 * alike.
 *
 * A parser calls WEIR_WORK(n) in its inner loops.  Without WEIR_COUNT_WORK, which tests define, the
 * macro expands to nothing.
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
