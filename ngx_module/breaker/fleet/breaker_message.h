/*
 * An entry of the stream weir:breaker: pairs of names and values, in this order or another.
 *
 *     event STATE zone ZONE key KEY edge HOST id ID was STATE [reason TEXT]
 *     steer ORDER key KEY for MS [zone ZONE] [edge HOST] [by WHO]
 *
 * The first is what an edge tells of its breaker. id is that of the edge's zone. The second is an
 * operator's order: open, close or auto. Without zone it is for the breakers of that key in all
 * zones, without edge for all edges. Other names are ignored.
 */
#ifndef WEIR_BREAKER_MESSAGE_H
#define WEIR_BREAKER_MESSAGE_H

#include "common/text/str.h"

#include <stddef.h>
#include <stdint.h>

/* An order ends by itself after that time at most. */
#define WEIR_BREAKER_MESSAGE_FOR_MAX (7 * 24 * 3600 * 1000LL)

typedef enum {
    WEIR_BREAKER_MESSAGE_EVENT_OPEN,
    WEIR_BREAKER_MESSAGE_EVENT_WELL, /* its probes have succeeded: ramping or closed */
    WEIR_BREAKER_MESSAGE_EVENT_OTHER,
    WEIR_BREAKER_MESSAGE_STEER_OPEN,
    WEIR_BREAKER_MESSAGE_STEER_CLOSE,
    WEIR_BREAKER_MESSAGE_STEER_AUTO
} weir_breaker_message_kind_t;

typedef struct {
    weir_breaker_message_kind_t kind;
    weir_str_t zone; /* len 0: all */
    weir_str_t key;
    weir_str_t edge; /* len 0: all */
    weir_str_t id;   /* of an event */
    weir_str_t by;   /* of an order; len 0: not said */
    int64_t ms;      /* of an order; 0 with auto, which needs none */
} weir_breaker_message_t;

/*
 * Reads n texts, names and values in turn, which must live as long as the message. Returns NULL, or
 * a constant text that says what is wrong.
 */
const char *weir_breaker_message_read(const weir_str_t *texts, size_t n,
                                      weir_breaker_message_t *message);

/* How many ms of an order that was given at `given` remain at `now`; both in ms since the epoch. */
int64_t weir_breaker_message_rest(const weir_breaker_message_t *message, uint64_t given,
                                  uint64_t now);

#endif
