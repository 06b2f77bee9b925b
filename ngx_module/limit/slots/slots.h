/*
 * Slots of upstreams, in memory that several processes share: how many requests of one key are at
 * work at the same time, and which of those that found no slot gets the next one.
 *
 * A request enters with its key and gets a ticket. The ticket holds a slot, or waits in the key's
 * queue; with neither there is none, and the request is refused. Leaving gives the slot to a
 * waiting ticket, perhaps of another process, whose seat has news then.
 *
 * A slot is reserved for a flow as long as the flow uses fewer than its number: other requests get
 * a slot only while in_use plus all such slots (unfilled) is below the limit.
 *
 * Of the waiting tickets that may have the slot, the most urgent are first, then those of the
 * source that uses fewest slots of the key, then the oldest; or the newest, if the queue has not
 * been empty for longer than a request may wait: the oldest would expire or be given up then,
 * whatever is done. A full queue gives up, in the reverse order, the least urgent, then one of the
 * source that has most tickets in it, then the newest (or, under such an overload, the oldest).
 *
 * Invariants, outside of a call:
 *   - a ticket that is not free is in the list of its seat, and in its key's queue if it waits;
 *   - in_use is the number of tickets HELD or GRANTED of the key, waiting that of WAITING ones, and
 *     the same numbers of each source and flow are kept;
 *   - no waiting ticket may have a slot that is free.
 * Tickets alone are the truth: all else can be made from them again. A process that dies within a
 * call leaves `changing` set, and the next call does that. The seat of a process that is gone is
 * emptied by any other.
 *
 * The caller holds one lock around each call. Times are milliseconds of a clock that all processes
 * share.
 */
#ifndef WEIR_SLOTS_H
#define WEIR_SLOTS_H

#include "common/text/str.h"
#include "limit/slots/adaptive.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEIR_SLOTS_NONE UINT32_MAX /* no index */
#define WEIR_SLOTS_FLOWS 8         /* reserved flows of a key */
#define WEIR_SLOTS_SEATS 1024      /* processes */
#define WEIR_SLOTS_KEY_MAX 128     /* bytes of a key */
#define WEIR_SLOTS_QUEUE_MAX 1000  /* waiting tickets of a key: each choice looks at all of them */
#define WEIR_SLOTS_WAKES 16

/* Clients cannot be told to come back later than that, seconds. */
#define WEIR_SLOTS_RETRY_MAX 60

typedef struct {
    uint32_t name;    /* a hash of it; not 0 */
    uint32_t reserve; /* slots */
} weir_slots_flow_t;

/* Slots are reserved for fewer requests than concurrent, or min. */
typedef struct {
    uint32_t concurrent; /* slots; 0: as many as the upstream can work on (adaptive.h) */
    uint32_t min, max;   /* bounds of an adaptive limit */
    uint32_t queue;      /* tickets that may wait, 0: none may */
    uint32_t wait;       /* ms that a ticket waits at most */
    uint32_t nflows;
    weir_slots_flow_t flows[WEIR_SLOTS_FLOWS];
} weir_slots_settings_t;

typedef enum {
    WEIR_SLOTS_FREE = 0, /* no ticket */
    WEIR_SLOTS_HELD,     /* has a slot */
    WEIR_SLOTS_WAITING,  /* in the key's queue; ends by a grant, by being shed, or by its owner */
    WEIR_SLOTS_GRANTED,  /* has a slot, and its owner has not read the news yet */
    WEIR_SLOTS_SHED      /* gave its place in the queue to another, which its owner does not know */
} weir_slots_state_t;

typedef enum {
    WEIR_SLOTS_BY_FULL = 0, /* the queue was full, or there is none */
    WEIR_SLOTS_BY_SHED,     /* the place in the queue went to another request */
    WEIR_SLOTS_BY_TIME,     /* it waited as long as it may */
    WEIR_SLOTS_REASONS
} weir_slots_reason_t;

typedef struct {
    uint8_t state; /* weir_slots_state_t */
    uint8_t urgency;
    uint16_t seat;
    uint32_t generation; /* counts the uses, so that an old handle fits none */
    uint32_t key;
    uint32_t source;
    uint32_t flow;                 /* hash of its name; 0: none */
    uint32_t next, prev;           /* queue of the key, news of the seat, or (next) free ones */
    uint32_t seat_next, seat_prev; /* tickets of a seat */
    uint64_t since;                /* ms: entered */
    uint64_t source_hash;
    void *owner; /* means something to the process with the seat only */
} weir_slots_ticket_t;

typedef struct {
    uint64_t hash;
    uint32_t key;
    uint32_t chain; /* of the same bucket, or of the free ones */
    uint32_t in_use;
    uint32_t waiting;
} weir_slots_source_t;

/* Completed requests in the present period and the one before, to tell the rate. */
typedef struct {
    uint64_t period; /* number of the present period */
    uint32_t now, before;
    uint64_t last; /* ms: of the last completion */
} weir_slots_drain_t;

typedef struct {
    uint64_t admitted; /* requests that got a slot */
    uint64_t queued;   /* of those and of the refused ones: waited */
    uint64_t refused[WEIR_SLOTS_REASONS];
} weir_slots_counts_t;

typedef struct {
    uint64_t hash;
    uint32_t chain;                /* of the same bucket, or of the free ones */
    uint32_t idle_next, idle_prev; /* keys without tickets, the last used first */
    bool used;                     /* not free */
    bool changed;                  /* has other settings than when slots were granted last */
    uint8_t len;
    char text[WEIR_SLOTS_KEY_MAX];
    uint64_t configuration; /* whose settings these are */
    weir_slots_settings_t settings;
    uint32_t limit;    /* slots now */
    uint32_t in_use;   /* may be above limit after that has fallen */
    uint32_t unfilled; /* reserved slots that are not in use */
    uint32_t waiting;
    uint32_t flow_in_use[WEIR_SLOTS_FLOWS];
    uint32_t oldest, newest; /* waiting tickets, as they entered */
    uint64_t busy_since;     /* ms: the queue was last empty */
    weir_slots_drain_t drain;
    weir_slots_counts_t counts;
    weir_adaptive_t adaptive; /* if settings.concurrent is 0 */
} weir_slots_key_t;

typedef struct {
    int32_t pid;      /* 0: free */
    uint32_t tickets; /* the first of its list */
    uint32_t news;    /* the oldest ticket GRANTED or SHED */
    uint32_t news_last;
} weir_slots_seat_t;

typedef struct {
    uint32_t nkeys, ntickets; /* and as many sources as tickets */
    uint32_t key_mask, source_mask;
    uint32_t *key_buckets, *source_buckets;
    weir_slots_key_t *keys;
    weir_slots_ticket_t *tickets;
    weir_slots_source_t *sources;
    uint32_t free_key, free_ticket, free_source;
    uint32_t idle, idle_last;
    uint32_t used_keys, used_tickets;
    bool changing;      /* a call is under way */
    uint64_t checked;   /* ms: dead processes were last looked for */
    uint64_t forgotten; /* idle keys that made room for others */
    uint64_t uncounted; /* requests that were admitted uncounted, as there was no room */
    uint64_t reclaimed; /* slots of processes that were gone */
    uint64_t repairs;   /* after a process died within a call */
    weir_slots_seat_t seats[WEIR_SLOTS_SEATS];
} weir_slots_t;

/* Of a ticket; valid until the request leaves. */
typedef struct {
    uint32_t index;
    uint32_t generation;
} weir_slots_handle_t;

typedef struct {
    weir_str_t key; /* at most WEIR_SLOTS_KEY_MAX bytes */
    uint64_t hash;  /* of the key, keyed with a secret if clients choose keys */
    const weir_slots_settings_t *settings;
    uint64_t configuration; /* the settings of the first request with another one are kept */
    uint32_t flow;          /* hash of the flow's name; 0: none */
    uint64_t source;        /* hash of who asks */
    uint8_t urgency;        /* RFC 9218: 0 to 7, 0 is the most urgent */
    bool may_wait;
    uint16_t seat;
    void *owner;
    bool (*gone)(int32_t pid); /* see weir_slots_reclaim() */
} weir_slots_request_t;

typedef enum {
    WEIR_SLOTS_ADMITTED,
    WEIR_SLOTS_QUEUED,
    WEIR_SLOTS_REFUSED,
    WEIR_SLOTS_UNCOUNTED /* admitted without a ticket: there is no room for one */
} weir_slots_result_t;

/* Seats that got news in a call, of other processes or of the caller's. */
typedef struct {
    uint32_t n;
    bool all; /* more than seats has room for */
    uint16_t seats[WEIR_SLOTS_WAKES];
} weir_slots_wakes_t;

/* Lays out the memory, all of it; NULL if it is too small for anything. */
weir_slots_t *weir_slots_init(void *memory, size_t size);

/* Tickets that memory of that size has room for. */
uint32_t weir_slots_room(size_t size);

/* The first call with the lock: repairs what a dead process has left. */
void weir_slots_begin(weir_slots_t *slots, uint64_t now);

/* The last one. */
void weir_slots_end(weir_slots_t *slots);

/*
 * Asks for a slot. The handle is set if the request is ADMITTED or QUEUED. Before it is not
 * admitted, slots of dead processes are reclaimed. Another ticket may be shed for it.
 */
weir_slots_result_t weir_slots_enter(weir_slots_t *slots, const weir_slots_request_t *request,
                                     uint64_t now, weir_slots_handle_t *handle,
                                     weir_slots_wakes_t *wakes);

/* What the request of a ticket that ends has done with its slot. */
typedef enum {
    WEIR_SLOTS_LOST,    /* nothing: its process is gone */
    WEIR_SLOTS_USED,    /* it counts for the drain rate */
    WEIR_SLOTS_ANSWERED /* ... and an adaptive limit learns from its duration */
} weir_slots_use_t;

/*
 * The ticket ends, in any state; a handle whose ticket was reclaimed does nothing. us is the
 * duration of a request that was ANSWERED, microseconds.
 */
void weir_slots_leave(weir_slots_t *slots, weir_slots_handle_t handle, weir_slots_use_t use,
                      uint32_t us, uint64_t now, weir_slots_wakes_t *wakes);

/*
 * The next news of a seat: the owner of the ticket, or NULL. *state is HELD, or SHED: that ticket
 * has ended.
 */
void *weir_slots_news(weir_slots_t *slots, uint16_t seat, weir_slots_state_t *state,
                      weir_slots_handle_t *handle);

/*
 * The time of a waiting ticket is over. HELD: it has got a slot meanwhile; SHED: it had lost its
 * place, FREE: it has waited in vain; the ticket has ended in both cases.
 */
weir_slots_state_t weir_slots_expire(weir_slots_t *slots, weir_slots_handle_t handle);

/* A process takes the seat, which must not be another living one's. */
void weir_slots_sit(weir_slots_t *slots, uint16_t seat, int32_t pid, uint64_t now,
                    weir_slots_wakes_t *wakes);

/*
 * Ends the tickets of processes that are gone, and frees their seats. Does nothing if the last call
 * that looked was less than 50 ms ago.
 */
void weir_slots_reclaim(weir_slots_t *slots, bool (*gone)(int32_t pid), uint64_t now,
                        weir_slots_wakes_t *wakes);

/* Seconds after which a request would find its turn, at the rate at which the key drains. */
uint32_t weir_slots_retry_after(weir_slots_t *slots, weir_str_t key, uint64_t hash, uint64_t now);

/* The key, or NULL. */
weir_slots_key_t *weir_slots_find(weir_slots_t *slots, weir_str_t key, uint64_t hash);

/* True if all invariants hold; for tests. */
bool weir_slots_check(weir_slots_t *slots);

#endif
