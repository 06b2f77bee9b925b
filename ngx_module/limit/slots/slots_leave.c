#include "limit/slots/slots_private.h"

/* The ticket, or NULL if it has ended. */
static weir_slots_ticket_t *ticket_of(weir_slots_t *slots, weir_slots_handle_t handle)
{
    weir_slots_ticket_t *ticket = &slots->tickets[handle.index];

    return ticket->state != WEIR_SLOTS_FREE && ticket->generation == handle.generation ? ticket
                                                                                       : NULL;
}

static void learn(weir_slots_key_t *key, uint32_t us, uint64_t now)
{
    weir_adaptive_sample(&key->adaptive, us, key->in_use, now);
    key->limit = weir_adaptive_limit(&key->adaptive);
}

void weir_slots_leave(weir_slots_t *slots, weir_slots_handle_t handle, weir_slots_use_t use,
                      uint32_t us, uint64_t now, weir_slots_wakes_t *wakes)
{
    weir_slots_ticket_t *ticket = ticket_of(slots, handle);
    weir_slots_key_t *key;

    if (ticket == NULL)
        return;

    key = &slots->keys[ticket->key];

    switch (ticket->state) {
    case WEIR_SLOTS_HELD:
        if (use != WEIR_SLOTS_LOST)
            weir_slots_key_drained(key, now);
        if (use == WEIR_SLOTS_ANSWERED && key->settings.concurrent == 0)
            learn(key, us, now);
        break;

    case WEIR_SLOTS_WAITING:
        weir_slots_queue_remove(slots, key, handle.index);
        break;

    default:
        weir_slots_ticket_untell(slots, handle.index);
    }

    weir_slots_ticket_end(slots, handle.index);
    weir_slots_queue_grant(slots, key, now, wakes);
}

void *weir_slots_news(weir_slots_t *slots, uint16_t seat, weir_slots_state_t *state,
                      weir_slots_handle_t *handle)
{
    uint32_t i = slots->seats[seat].news;
    weir_slots_ticket_t *ticket;

    if (i == WEIR_SLOTS_NONE)
        return NULL;

    ticket = &slots->tickets[i];
    *handle = (weir_slots_handle_t){i, ticket->generation};
    *state = weir_slots_expire(slots, *handle);

    return ticket->owner;
}

weir_slots_state_t weir_slots_expire(weir_slots_t *slots, weir_slots_handle_t handle)
{
    weir_slots_ticket_t *ticket = ticket_of(slots, handle);
    weir_slots_key_t *key;

    if (ticket == NULL)
        return WEIR_SLOTS_FREE;

    switch (ticket->state) {
    case WEIR_SLOTS_HELD:
        return WEIR_SLOTS_HELD;

    case WEIR_SLOTS_GRANTED:
        weir_slots_ticket_untell(slots, handle.index);
        ticket->state = WEIR_SLOTS_HELD;
        return WEIR_SLOTS_HELD;

    case WEIR_SLOTS_SHED:
        weir_slots_ticket_untell(slots, handle.index);
        weir_slots_ticket_end(slots, handle.index);
        return WEIR_SLOTS_SHED;

    default:
        key = &slots->keys[ticket->key];
        weir_slots_queue_remove(slots, key, handle.index);
        weir_slots_ticket_end(slots, handle.index);
        key->counts.refused[WEIR_SLOTS_BY_TIME]++;
        return WEIR_SLOTS_FREE;
    }
}
