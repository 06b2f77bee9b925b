/*
 * Tells the log when the machine's clock was set.  Nothing that this process waits for depends on
 * it (all waits are of CLOCK_MONOTONIC); times that are written down, and the age that a webhook
 * may have, do.
 */
#ifndef WEIR_CLOCK_H
#define WEIR_CLOCK_H

#include <event2/event.h>

/* Looks every second; for event_free(). */
struct event *weir_clock_watch(struct event_base *base);

#endif
