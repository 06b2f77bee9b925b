#include "common/hint.h"
#include "limit/slots/slots_private.h"

/* ms between two looks for dead processes */
#define INTERVAL 50

static void clear_lists(weir_slots_t *slots)
{
    weir_slots_key_t *key;

    for (uint32_t i = 0; i < WEIR_SLOTS_SEATS; i++)
        slots->seats[i].tickets = slots->seats[i].news = slots->seats[i].news_last =
            WEIR_SLOTS_NONE;

    for (uint32_t i = 0; i < slots->nkeys; i++) {
        key = &slots->keys[i];
        key->in_use = key->waiting = 0;
        key->oldest = key->newest = WEIR_SLOTS_NONE;
        for (uint32_t n = 0; n < WEIR_SLOTS_FLOWS; n++)
            key->flow_in_use[n] = 0;
        weir_slots_key_count_unfilled(key);
    }

    weir_slots_source_clear(slots);
    weir_slots_key_rebuild(slots);

    slots->free_ticket = WEIR_SLOTS_NONE;
    slots->used_tickets = 0;
}

/* Counts the ticket again, and puts it into its lists. */
static void restore(weir_slots_t *slots, uint32_t i, uint64_t now)
{
    weir_slots_wakes_t wakes = {0};
    weir_slots_ticket_t *ticket = &slots->tickets[i];
    weir_slots_seat_t *seat = &slots->seats[ticket->seat];
    weir_slots_key_t *key = &slots->keys[ticket->key];

    if (ticket->state != WEIR_SLOTS_SHED) {
        weir_slots_key_busy(slots, key);
        ticket->source = weir_slots_source_of(slots, ticket->key, ticket->source_hash);
    }

    ticket->next = ticket->prev = ticket->seat_prev = WEIR_SLOTS_NONE;
    ticket->seat_next = seat->tickets;
    if (seat->tickets != WEIR_SLOTS_NONE)
        slots->tickets[seat->tickets].seat_prev = i;
    seat->tickets = i;
    slots->used_tickets++;

    switch (ticket->state) {
    case WEIR_SLOTS_HELD:
        weir_slots_ticket_hold(slots, i);
        key->counts.admitted--;
        break;

    case WEIR_SLOTS_GRANTED:
        weir_slots_ticket_hold(slots, i);
        key->counts.admitted--;
        weir_slots_ticket_tell(slots, i, WEIR_SLOTS_GRANTED, &wakes);
        break;

    case WEIR_SLOTS_WAITING:
        weir_slots_queue_add(slots, key, i, now);
        key->counts.queued--;
        break;

    default:
        weir_slots_ticket_tell(slots, i, WEIR_SLOTS_SHED, &wakes);
    }
}

/*
 * A process died within a call. Its tickets are as good as those of others: they are reclaimed
 * later. A ticket whose key is free is none.
 */
static weir_apart void rebuild(weir_slots_t *slots, uint64_t now)
{
    weir_slots_ticket_t *ticket;

    clear_lists(slots);

    for (uint32_t i = 0; i < slots->ntickets; i++) {
        ticket = &slots->tickets[i];

        if (ticket->state != WEIR_SLOTS_FREE && ticket->key < slots->nkeys &&
            slots->keys[ticket->key].used && ticket->seat < WEIR_SLOTS_SEATS) {
            restore(slots, i, now);
            continue;
        }

        ticket->state = WEIR_SLOTS_FREE;
        ticket->next = slots->free_ticket;
        slots->free_ticket = i;
    }

    slots->repairs++;
}

void weir_slots_begin(weir_slots_t *slots, uint64_t now)
{
    if (slots->changing)
        rebuild(slots, now);

    slots->changing = true;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

void weir_slots_end(weir_slots_t *slots)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    slots->changing = false;
}

static void empty(weir_slots_t *slots, uint16_t seat, uint64_t now, weir_slots_wakes_t *wakes)
{
    uint32_t i;
    weir_slots_ticket_t *ticket;

    while ((i = slots->seats[seat].tickets) != WEIR_SLOTS_NONE) {
        ticket = &slots->tickets[i];
        slots->reclaimed += ticket->state == WEIR_SLOTS_HELD || ticket->state == WEIR_SLOTS_GRANTED;
        weir_slots_leave(slots, (weir_slots_handle_t){i, ticket->generation}, WEIR_SLOTS_LOST, 0,
                         now, wakes);
    }
}

void weir_slots_sit(weir_slots_t *slots, uint16_t seat, int32_t pid, uint64_t now,
                    weir_slots_wakes_t *wakes)
{
    empty(slots, seat, now, wakes);
    slots->seats[seat].pid = pid;
}

void weir_slots_reclaim(weir_slots_t *slots, bool (*gone)(int32_t pid), uint64_t now,
                        weir_slots_wakes_t *wakes)
{
    if (now < slots->checked + INTERVAL)
        return;

    slots->checked = now;

    for (uint16_t i = 0; i < WEIR_SLOTS_SEATS; i++) {
        if (slots->seats[i].pid != 0 && gone(slots->seats[i].pid)) {
            empty(slots, i, now, wakes);
            slots->seats[i].pid = 0;
        }
    }
}

static bool check_key(const weir_slots_t *slots, uint32_t n)
{
    const weir_slots_key_t *key = &slots->keys[n];
    const weir_slots_ticket_t *ticket;
    uint32_t in_use = 0, waiting = 0, listed = 0, unfilled = 0, flow_in_use[WEIR_SLOTS_FLOWS] = {0};

    for (uint32_t i = 0; i < slots->ntickets; i++) {
        ticket = &slots->tickets[i];
        if (ticket->state == WEIR_SLOTS_FREE || ticket->key != n)
            continue;

        waiting += ticket->state == WEIR_SLOTS_WAITING;
        if (ticket->state == WEIR_SLOTS_WAITING && weir_slots_ticket_fits(key, ticket->flow))
            return false;

        if (ticket->state == WEIR_SLOTS_HELD || ticket->state == WEIR_SLOTS_GRANTED) {
            uint32_t flow = weir_slots_key_flow(key, ticket->flow);

            in_use++;
            if (flow != WEIR_SLOTS_NONE)
                flow_in_use[flow]++;
        }
    }

    for (uint32_t i = key->oldest; i != WEIR_SLOTS_NONE; i = slots->tickets[i].next)
        listed++;

    for (uint32_t i = 0; i < key->settings.nflows; i++) {
        if (flow_in_use[i] != key->flow_in_use[i])
            return false;
        if (flow_in_use[i] < key->settings.flows[i].reserve)
            unfilled += key->settings.flows[i].reserve - flow_in_use[i];
    }

    return in_use == key->in_use && waiting == key->waiting && listed == waiting &&
           unfilled == key->unfilled;
}

bool weir_slots_check(weir_slots_t *slots)
{
    uint32_t tickets = 0, seated = 0, idle = 0, not_used = 0, told = 0, news = 0;

    for (uint32_t i = 0; i < slots->ntickets; i++) {
        tickets += slots->tickets[i].state != WEIR_SLOTS_FREE;
        told += slots->tickets[i].state == WEIR_SLOTS_GRANTED ||
                slots->tickets[i].state == WEIR_SLOTS_SHED;
    }

    for (uint32_t i = 0; i < WEIR_SLOTS_SEATS; i++) {
        for (uint32_t n = slots->seats[i].tickets; n != WEIR_SLOTS_NONE;
             n = slots->tickets[n].seat_next)
            seated++;
        for (uint32_t n = slots->seats[i].news; n != WEIR_SLOTS_NONE; n = slots->tickets[n].next)
            news++;
    }

    for (uint32_t i = 0; i < slots->nkeys; i++) {
        if (!slots->keys[i].used)
            continue;
        if (!check_key(slots, i))
            return false;
        not_used += slots->keys[i].in_use + slots->keys[i].waiting == 0;
    }

    for (uint32_t i = slots->idle; i != WEIR_SLOTS_NONE; i = slots->keys[i].idle_next)
        idle++;

    return tickets == seated && tickets == slots->used_tickets && told == news && idle == not_used;
}
