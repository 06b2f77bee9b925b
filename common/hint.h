/* Hints for the compiler, for what runs for each request. */
#ifndef WEIR_HINT_H
#define WEIR_HINT_H

/*
 * A function that is seldom called, and is not made a part of its caller, which would save
 * registers for it at each call.
 */
#define weir_apart __attribute__((noinline))

/*
 * A variable that this program or shared object alone uses: its address is known, and is not read
 * from a table.
 */
#define weir_local __attribute__((visibility("hidden")))

#endif
