/*
 * What the relay's files share.
 *
 *   relay.c   which process is the relay; rows of the outbox get positions
 *   outlet.c  one partition's way from there into its stream
 *
 * relay.c explains the whole, and calls outlet.c, which tells it by the functions that it hands in.
 */
#ifndef WEIR_RELAY_PRIVATE_H
#define WEIR_RELAY_PRIVATE_H

#include "db/db.h"
#include "events/events.h"
#include "events/log_stream.h"
#include "redis/redis.h"

#define WEIR_OUTLETS_MAX 64

typedef enum {
    WEIR_UNKNOWN,   /* what Redis has is not known; it is asked at the next tick */
    WEIR_FOLLOWING, /* all that has a position was sent; new rows may be taken */
    WEIR_BEHIND, /* the stream lacks what the outbox has (FLUSHALL, a lost tail, a pause): that is
                    read from the outbox and published, new rows wait */
    WEIR_FULL,   /* it has stream_limit entries because some group does not follow; new rows wait */
    WEIR_HALTED  /* its last ID is beyond the database's last position, because a standby was
                    promoted that lacks the last transactions, or a backup was restored; or Redis
                    knows a later term.  Nothing is taken or published until an operator has run
                    "weirctl relay rebase", also when the positions would agree again meanwhile:
                    the mark is in PostgreSQL.  A stream that is gone has nothing strange in it:
                    it goes on */
} weir_outlet_state_t;

typedef struct {
    weir_relay_t *relay;
    int number;
    weir_outlet_state_t state;
    weir_outlet_state_t told; /* the last state that the log knows of; not WEIR_UNKNOWN */
    int64_t given;            /* last position in the database */
    int64_t handled;          /* by all groups */
    char slowest[64];         /* the group that has handled least; empty: there is no group */
    int64_t tail;             /* the stream's last ID when all that was sent is in */
    int64_t trimmed;
    unsigned in_flight; /* scripts */
    bool reading;
    bool halted;          /* as the database has it, or will have it when `marking` is 0 */
    unsigned marking;     /* relay_halt() and relay_resume() under way */
    bool said;            /* the log knows that it is halted */
    bool refused;         /* Redis refused the last script */
    bool refused_entries; /* it did so when there were some: a mere look proves nothing */
} weir_outlet_t;

struct weir_relay {
    /* What relay.c does when an outlet says so: something of it has ended, true when the relay is
       to stop; and, it has room for rows again. */
    bool (*stopping)(weir_relay_t *relay);
    void (*take)(weir_relay_t *relay);

    struct event_base *base;
    weir_db_t *db;
    weir_redis_t *redis;
    const char *source; /* of events */
    int64_t stream_limit;
    unsigned keep_s; /* 0: for ever */
    struct event *poll;
    struct event *tick;
    struct event *lock_retry;
    struct event *housekeeping;
    struct event *gone;
    bool locked;                    /* this session has the lock */
    bool beginning;                 /* relay_lead() is under way */
    char token[WEIR_TOKEN_LEN + 1]; /* of this term; empty: it has not begun */
    char era[24];                   /* of the token */
    bool leads;                     /* it has a token, and knows the positions */
    bool waits;                     /* the log knows that another one leads */
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
    weir_stopped_cb stopped;
    void *stopped_arg;
};

/* outlet.c: publishes rows [from, to) of relay_take(), all of this partition. */
void weir_outlet_publish(weir_outlet_t *outlet, PGresult *rows, int from, int to);
/* Asks Redis for its stream, which raises the fence, and trims it. */
void weir_outlet_check(weir_outlet_t *outlet);

#endif
