/*
 * The two clocks of the machine.  All waits use the monotonic clock, which nobody can set.  Times
 * that are stored or sent, and the age that a webhook may have, use the real-time clock; when that
 * one is set, the process logs a warning.
 */
#ifndef WEIR_CLOCK_H
#define WEIR_CLOCK_H

#include <event2/event.h>
#include <stdint.h>
#include <time.h>

/* The monotonic clock in microseconds, and in milliseconds. */
static inline uint64_t weir_clock_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static inline uint64_t weir_clock_ms(void)
{
    return weir_clock_us() / 1000;
}

/* Checks the real-time clock every second, and logs when it was set.  For event_free(). */
struct event *weir_clock_watch(struct event_base *base);

#endif
