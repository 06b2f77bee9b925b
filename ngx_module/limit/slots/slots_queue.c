#include "limit/slots/slots_private.h"

/* ms after which a process has not ended a wait that is over: it is stopped, or blocked. */
#define GRACE 250

void weir_slots_queue_add(weir_slots_t *slots, weir_slots_key_t *key, uint32_t i, uint64_t now)
{
    weir_slots_ticket_t *ticket = &slots->tickets[i];

    if (key->waiting == 0)
        key->busy_since = now;

    key->waiting++;
    key->counts.queued++;
    slots->sources[ticket->source].waiting++;

    ticket->next = WEIR_SLOTS_NONE;
    ticket->prev = key->newest;
    if (key->newest != WEIR_SLOTS_NONE)
        slots->tickets[key->newest].next = i;
    else
        key->oldest = i;
    key->newest = i;
}

void weir_slots_queue_remove(weir_slots_t *slots, weir_slots_key_t *key, uint32_t i)
{
    weir_slots_ticket_t *ticket = &slots->tickets[i];

    key->waiting--;
    slots->sources[ticket->source].waiting--;

    if (ticket->prev != WEIR_SLOTS_NONE)
        slots->tickets[ticket->prev].next = ticket->next;
    else
        key->oldest = ticket->next;

    if (ticket->next != WEIR_SLOTS_NONE)
        slots->tickets[ticket->next].prev = ticket->prev;
    else
        key->newest = ticket->prev;

    ticket->next = ticket->prev = WEIR_SLOTS_NONE;
}

/* The queue was not empty for longer than a request may wait. */
static bool overloaded(const weir_slots_key_t *key, uint64_t now)
{
    return key->waiting > 0 && now > key->busy_since && now - key->busy_since > key->settings.wait;
}

/*
 * The waiting ticket that gets the next slot, or NONE. It goes from the oldest to the newest, or
 * the other way round, and keeps the first of equals.
 */
static uint32_t next(weir_slots_t *slots, const weir_slots_key_t *key, uint64_t now)
{
    bool newest_first = overloaded(key, now);
    uint32_t i, best = WEIR_SLOTS_NONE, best_in_use = 0;
    uint8_t best_urgency = 0;
    const weir_slots_ticket_t *ticket;

    i = newest_first ? key->newest : key->oldest;

    for (; i != WEIR_SLOTS_NONE; i = newest_first ? ticket->prev : ticket->next) {
        ticket = &slots->tickets[i];

        uint32_t in_use = slots->sources[ticket->source].in_use;

        if (best != WEIR_SLOTS_NONE && (ticket->urgency > best_urgency ||
                                        (ticket->urgency == best_urgency && in_use >= best_in_use)))
            continue;

        if (!weir_slots_ticket_fits(key, ticket->flow))
            continue;

        best = i;
        best_urgency = ticket->urgency;
        best_in_use = in_use;
    }

    return best;
}

static void give_up(weir_slots_t *slots, weir_slots_key_t *key, uint32_t i,
                    weir_slots_wakes_t *wakes)
{
    weir_slots_queue_remove(slots, key, i);
    weir_slots_source_leave(slots, slots->tickets[i].source);
    weir_slots_key_idle(slots, key);
    key->counts.refused[WEIR_SLOTS_BY_SHED]++;
    weir_slots_ticket_tell(slots, i, WEIR_SLOTS_SHED, wakes);
}

/* A process that does not run must neither get slots nor keep the queue full. */
static void give_up_overdue(weir_slots_t *slots, weir_slots_key_t *key, uint64_t now,
                            weir_slots_wakes_t *wakes)
{
    while (key->oldest != WEIR_SLOTS_NONE &&
           now > slots->tickets[key->oldest].since + key->settings.wait + GRACE)
        give_up(slots, key, key->oldest, wakes);
}

void weir_slots_queue_grant(weir_slots_t *slots, weir_slots_key_t *key, uint64_t now,
                            weir_slots_wakes_t *wakes)
{
    uint32_t i;

    give_up_overdue(slots, key, now, wakes);

    while (key->waiting > 0) {
        i = next(slots, key, now);
        if (i == WEIR_SLOTS_NONE)
            break;

        weir_slots_queue_remove(slots, key, i);
        weir_slots_ticket_hold(slots, i);
        weir_slots_ticket_tell(slots, i, WEIR_SLOTS_GRANTED, wakes);
    }
}

bool weir_slots_queue_make_room(weir_slots_t *slots, weir_slots_key_t *key, uint8_t urgency,
                                uint64_t source, uint64_t now, weir_slots_wakes_t *wakes)
{
    bool oldest_first = overloaded(key, now);
    uint32_t i, own, worst = WEIR_SLOTS_NONE, worst_waiting;
    const weir_slots_ticket_t *ticket;

    give_up_overdue(slots, key, now, wakes);
    if (key->waiting < key->settings.queue)
        return true;

    own = weir_slots_source_find(slots, weir_slots_key_index(slots, key), source);
    worst_waiting = own == WEIR_SLOTS_NONE ? 1 : slots->sources[own].waiting + 1;

    /* the request itself is the newest of all; the first of equals is given up */
    if (!oldest_first)
        i = key->newest;
    else
        i = key->oldest;

    uint8_t worst_urgency = urgency;
    bool found = false;

    for (; i != WEIR_SLOTS_NONE; i = oldest_first ? ticket->next : ticket->prev) {
        ticket = &slots->tickets[i];

        uint32_t waiting = slots->sources[ticket->source].waiting + (ticket->source == own);

        if (ticket->urgency > worst_urgency ||
            (ticket->urgency == worst_urgency &&
             (waiting > worst_waiting || (waiting == worst_waiting && oldest_first && !found)))) {
            worst = i;
            worst_urgency = ticket->urgency;
            worst_waiting = waiting;
            found = true;
        }
    }

    if (worst == WEIR_SLOTS_NONE)
        return false;

    give_up(slots, key, worst, wakes);

    return true;
}
