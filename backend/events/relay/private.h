/*
 * Shared by the files of the relay.
 *
 *   relay.c   which process is the relay; rows of the outbox get positions
 *   outlet.c  one partition's way from there into its stream
 *   send.c    the spans of a batch
 *
 * relay.c explains the design. It calls outlet.c, and passes it functions to call back.
 */
#ifndef WEIR_RELAY_PRIVATE_H
#define WEIR_RELAY_PRIVATE_H

#include "db/db.h"
#include "events/events.h"
#include "events/cloudevent.h"
#include "events/log_stream.h"
#include "redis/redis.h"

#define WEIR_OUTLETS_MAX 64

typedef enum {
    WEIR_UNKNOWN,   /* the state of the stream is unknown; it is queried at the next tick */
    WEIR_FOLLOWING, /* all that has a position was sent; new rows may be taken */
    WEIR_BEHIND, /* the stream lacks events of the outbox (FLUSHALL, a lost tail, a pause): they are
                    read from the outbox and published, new rows wait */
    WEIR_FULL,   /* the stream has stream_limit entries because a group is slow; new rows wait */
    WEIR_HALTED  /* the stream's last ID is beyond the database's last position, because a standby
                    was promoted that lacks the last transactions, or a backup was restored; or
                    Redis has a later term.  No row is taken or published until an operator has run
                    "weirctl relay rebase", even if the positions agree again meanwhile: the mark is
                    in PostgreSQL.  If the stream is deleted, the partition continues */
} weir_outlet_state_t;

typedef struct {
    weir_relay_t *relay; /* NULL: the database has no such partition */
    int number;
    weir_outlet_state_t state;
    weir_outlet_state_t told; /* the state that was logged last; not WEIR_UNKNOWN */
    int64_t given;            /* last position in the database */
    int64_t handled;          /* last position that all groups have handled */
    char slowest[64]; /* the group that has handled fewest events; empty: there is no group */
    int64_t tail;     /* the stream's last ID after all appends in flight */
    int64_t trimmed;
    int64_t counted;    /* the last position that is counted as published */
    unsigned in_flight; /* scripts */
    bool reading;
    bool halted;          /* as the database has it, or will have it when `marking` is 0 */
    unsigned marking;     /* relay_halt() and relay_resume() under way */
    bool said;            /* it was logged that the partition is halted */
    bool refused;         /* Redis refused the last script */
    bool refused_entries; /* Redis refused an append with entries; a query without entries proves
                             nothing */
} weir_outlet_t;

struct weir_relay {
    /* Functions of relay.c that an outlet calls: after an operation of the outlet has ended (true
       when the relay is stopping), and when the outlet has room for rows again. */
    bool (*stopping)(weir_relay_t *relay);
    void (*take)(weir_relay_t *relay);

    struct event_base *base;
    weir_db_t *db;
    weir_redis_t *redis;
    const char *source; /* of events */
    int64_t stream_limit;
    unsigned keep_s; /* 0: events are never deleted */
    struct event *poll;
    struct event *tick;
    struct event *lock_retry;
    struct event *housekeeping;
    struct event *gone;
    bool locked;                    /* this session has the lock */
    bool beginning;                 /* relay_lead() is under way */
    char token[WEIR_TOKEN_LEN + 1]; /* of this term; empty: the term has not begun */
    char era[24];                   /* of the token */
    bool leads;                     /* the relay has a token, and the positions were read */
    bool waits;                     /* it was logged that another relay leads */
    bool asking;                    /* relay_state() is under way */
    bool expiring;                  /* outbox_expire() is under way */
    bool taking;                    /* relay_take() is under way */
    bool woken;                     /* while taking */
    bool congested;                 /* an outlet waits for Redis */
    /* See refusal.h: */
    bool lock_refused, lead_refused, state_refused, take_refused, read_refused, expire_refused,
        halt_refused;
    unsigned quiet; /* ms without an event */
    weir_outlet_t outlets[WEIR_OUTLETS_MAX];
    int count;
    uint64_t published, batches,
        refused; /* since the start, for metrics: events, batches, answers */
    weir_stopped_cb stopped;
    void *stopped_arg;
};

/* outlet.c: publishes rows [from, to) of relay_take(), which are all of this partition. */
void weir_outlet_publish(weir_outlet_t *outlet, PGresult *rows, int from, int to);
/* Trims the stream, and queries its state, which also raises the fence. */
void weir_outlet_check(weir_outlet_t *outlet);

/* send.c: the spans of events on their way; of none, if their traces are not recorded. */
typedef struct weir_send weir_send_t;

weir_send_t *weir_send_new(weir_outlet_t *outlet, const weir_cloudevent_t *events, size_t count);
weir_outlet_t *weir_send_outlet(const weir_send_t *send);
/* Redis has answered; error may be NULL. Frees it. */
void weir_send_end(weir_send_t *send, const char *error);

#endif
