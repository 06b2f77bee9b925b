#include "limit/slots/slots_private.h"

#include <assert.h>

bool weir_slots_ticket_fits(const weir_slots_key_t *key, uint32_t flow)
{
    uint32_t i = weir_slots_key_flow(key, flow);

    if (i != WEIR_SLOTS_NONE && key->flow_in_use[i] < key->settings.flows[i].reserve)
        return true;

    return key->in_use + key->unfilled < key->limit;
}

uint32_t weir_slots_ticket_new(weir_slots_t *slots, const weir_slots_request_t *request,
                               weir_slots_key_t *key, weir_slots_state_t state, uint64_t now)
{
    uint32_t i = slots->free_ticket;
    weir_slots_seat_t *seat = &slots->seats[request->seat];
    weir_slots_ticket_t *ticket;

    if (i == WEIR_SLOTS_NONE)
        return i;

    weir_slots_key_busy(slots, key);

    ticket = &slots->tickets[i];
    slots->free_ticket = ticket->next;
    slots->used_tickets++;

    ticket->generation++;
    ticket->urgency = request->urgency;
    ticket->seat = request->seat;
    ticket->key = weir_slots_key_index(slots, key);
    ticket->flow = request->flow;
    ticket->since = now;
    ticket->source_hash = request->source;
    ticket->owner = request->owner;
    ticket->next = ticket->prev = WEIR_SLOTS_NONE;
    ticket->source = weir_slots_source_of(slots, ticket->key, request->source);

    ticket->seat_prev = WEIR_SLOTS_NONE;
    ticket->seat_next = seat->tickets;
    if (seat->tickets != WEIR_SLOTS_NONE)
        slots->tickets[seat->tickets].seat_prev = i;
    seat->tickets = i;

    ticket->state = state;
    if (state == WEIR_SLOTS_HELD)
        weir_slots_ticket_hold(slots, i);

    return i;
}

void weir_slots_ticket_end(weir_slots_t *slots, uint32_t i)
{
    weir_slots_ticket_t *ticket = &slots->tickets[i];
    weir_slots_seat_t *seat = &slots->seats[ticket->seat];

    if (ticket->state == WEIR_SLOTS_HELD || ticket->state == WEIR_SLOTS_GRANTED)
        weir_slots_ticket_release(slots, i);

    if (ticket->state != WEIR_SLOTS_SHED)
        weir_slots_source_leave(slots, ticket->source);

    if (ticket->seat_prev != WEIR_SLOTS_NONE)
        slots->tickets[ticket->seat_prev].seat_next = ticket->seat_next;
    else
        seat->tickets = ticket->seat_next;
    if (ticket->seat_next != WEIR_SLOTS_NONE)
        slots->tickets[ticket->seat_next].seat_prev = ticket->seat_prev;

    if (ticket->state != WEIR_SLOTS_SHED)
        weir_slots_key_idle(slots, &slots->keys[ticket->key]);

    ticket->state = WEIR_SLOTS_FREE;
    ticket->next = slots->free_ticket;
    slots->free_ticket = i;
    slots->used_tickets--;
}

void weir_slots_ticket_hold(weir_slots_t *slots, uint32_t i)
{
    weir_slots_ticket_t *ticket = &slots->tickets[i];
    weir_slots_key_t *key = &slots->keys[ticket->key];
    uint32_t flow = weir_slots_key_flow(key, ticket->flow);

    key->in_use++;
    key->counts.admitted++;
    slots->sources[ticket->source].in_use++;

    if (flow != WEIR_SLOTS_NONE && key->flow_in_use[flow]++ < key->settings.flows[flow].reserve)
        key->unfilled--;
}

void weir_slots_ticket_release(weir_slots_t *slots, uint32_t i)
{
    weir_slots_ticket_t *ticket = &slots->tickets[i];
    weir_slots_key_t *key = &slots->keys[ticket->key];
    uint32_t flow = weir_slots_key_flow(key, ticket->flow);

    assert(key->in_use > 0);
    key->in_use--;
    slots->sources[ticket->source].in_use--;

    if (flow != WEIR_SLOTS_NONE && --key->flow_in_use[flow] < key->settings.flows[flow].reserve)
        key->unfilled++;
}

static void wake(weir_slots_wakes_t *wakes, uint16_t seat)
{
    for (uint32_t i = 0; i < wakes->n; i++)
        if (wakes->seats[i] == seat)
            return;

    if (wakes->n == WEIR_SLOTS_WAKES)
        wakes->all = true;
    else
        wakes->seats[wakes->n++] = seat;
}

void weir_slots_ticket_tell(weir_slots_t *slots, uint32_t i, weir_slots_state_t state,
                            weir_slots_wakes_t *wakes)
{
    weir_slots_ticket_t *ticket = &slots->tickets[i];
    weir_slots_seat_t *seat = &slots->seats[ticket->seat];

    ticket->state = (uint8_t)state;
    ticket->next = WEIR_SLOTS_NONE;
    ticket->prev = seat->news_last;

    if (seat->news_last != WEIR_SLOTS_NONE)
        slots->tickets[seat->news_last].next = i;
    else
        seat->news = i;
    seat->news_last = i;

    wake(wakes, ticket->seat);
}

void weir_slots_ticket_untell(weir_slots_t *slots, uint32_t i)
{
    weir_slots_ticket_t *ticket = &slots->tickets[i];
    weir_slots_seat_t *seat = &slots->seats[ticket->seat];

    if (ticket->prev != WEIR_SLOTS_NONE)
        slots->tickets[ticket->prev].next = ticket->next;
    else
        seat->news = ticket->next;

    if (ticket->next != WEIR_SLOTS_NONE)
        slots->tickets[ticket->next].prev = ticket->prev;
    else
        seat->news_last = ticket->prev;

    ticket->next = ticket->prev = WEIR_SLOTS_NONE;
}
