/*
 * Shared by the files of weir_slots_..., in the order in which they call each other:
 *
 *     slots.c           entering
 *     slots_repair.c    seats, dead processes, invariants
 *     slots_leave.c     leaving, and what the owner of a ticket is told
 *     slots_queue.c     waiting tickets: who is next, and who is given up
 *     slots_ticket.c    tickets, and what is counted of them
 *     slots_key.c       keys, their settings, their drain rate
 *     slots_source.c    who asks
 */
#ifndef WEIR_SLOTS_PRIVATE_H
#define WEIR_SLOTS_PRIVATE_H

#include "limit/slots/slots.h"

/* queue */
void weir_slots_queue_add(weir_slots_t *slots, weir_slots_key_t *key, uint32_t ticket,
                          uint64_t now);
void weir_slots_queue_remove(weir_slots_t *slots, weir_slots_key_t *key, uint32_t ticket);

/* Gives free slots of the key to waiting tickets, as long as one may have one. */
void weir_slots_queue_grant(weir_slots_t *slots, weir_slots_key_t *key, uint64_t now,
                            weir_slots_wakes_t *wakes);

/*
 * Makes room in a full queue for a request of that urgency and source. False: the request itself
 * would be given up.
 */
bool weir_slots_queue_make_room(weir_slots_t *slots, weir_slots_key_t *key, uint8_t urgency,
                                uint64_t source, uint64_t now, weir_slots_wakes_t *wakes);

/* ticket */

/* True if a request of that flow may have a slot now. */
bool weir_slots_ticket_fits(const weir_slots_key_t *key, uint32_t flow);

/* A new ticket in the state HELD or WAITING, but in no queue; NONE: there is no room. */
uint32_t weir_slots_ticket_new(weir_slots_t *slots, const weir_slots_request_t *request,
                               weir_slots_key_t *key, weir_slots_state_t state, uint64_t now);

/* Ends the ticket: it has no slot, or gives it up, and is in no queue and no news any more. */
void weir_slots_ticket_end(weir_slots_t *slots, uint32_t ticket);

/* Counts it as one with a slot, or as one without. */
void weir_slots_ticket_hold(weir_slots_t *slots, uint32_t ticket);
void weir_slots_ticket_release(weir_slots_t *slots, uint32_t ticket);

/* Its owner is to know that the ticket is GRANTED or SHED now. */
void weir_slots_ticket_tell(weir_slots_t *slots, uint32_t ticket, weir_slots_state_t state,
                            weir_slots_wakes_t *wakes);
void weir_slots_ticket_untell(weir_slots_t *slots, uint32_t ticket);

/* key */

/* The request's key with the settings of its configuration; NULL: there is no room. */
weir_slots_key_t *weir_slots_key_of(weir_slots_t *slots, const weir_slots_request_t *request,
                                    uint64_t now);

/* Notes that the key has got its first ticket, or has lost its last one. */
void weir_slots_key_busy(weir_slots_t *slots, weir_slots_key_t *key);
void weir_slots_key_idle(weir_slots_t *slots, weir_slots_key_t *key);

/* Number of the flow among those of the key; NONE: none of them. */
uint32_t weir_slots_key_flow(const weir_slots_key_t *key, uint32_t name);

/* unfilled, from the numbers in use. */
void weir_slots_key_count_unfilled(weir_slots_key_t *key);

void weir_slots_key_drained(weir_slots_key_t *key, uint64_t now);

/* Makes the lists of free and idle keys, and the buckets, from the keys alone. */
void weir_slots_key_rebuild(weir_slots_t *slots);

static inline uint32_t weir_slots_key_index(const weir_slots_t *slots, const weir_slots_key_t *key)
{
    return (uint32_t)(key - slots->keys);
}

/* source */

/* The source of that key, which is made if there is none: as many sources as tickets exist. */
uint32_t weir_slots_source_of(weir_slots_t *slots, uint32_t key, uint64_t hash);
uint32_t weir_slots_source_find(weir_slots_t *slots, uint32_t key, uint64_t hash);

/* Frees the source if it has no tickets. */
void weir_slots_source_leave(weir_slots_t *slots, uint32_t source);

/* Frees all. */
void weir_slots_source_clear(weir_slots_t *slots);

#endif
