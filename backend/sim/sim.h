/*
 * A payment gateway for tests and demos: real HTTP, an API as shop/payments/gateway.h has it,
 * signed webhooks, and switches for everything that goes wrong with gateways.
 *
 * - POST /charges, GET /charges?idempotency_key=KEY, POST /refunds: the gateway
 * - GET /charges?created_from=TIME&created_before=TIME&limit=N&after=ID: its list, by pages
 * - GET /ledger: {"charges":[…],"webhooks":{"waiting":N,"delivered":N,"refused":N}}
 * - GET, POST /admin/switches: the switches; members that are left out stay as they are
 * - POST /admin/charges {"idempotency_key","amount","currency","status","created"?}: a charge that
 *   nobody asked for over the API
 * - POST /admin/charges/ID {"status"}: the charge ends otherwise, after all
 * - POST /admin/webhooks {"charge","status"?,"id"?}: a message about the charge, true or not
 *
 * A charge in the ledger says in "requests" how often it was asked for.  With a ledger file the
 * ledger outlives the process: each line is a charge as it was then, the last one counts.
 *
 * One process, one event loop; everything is freed at its end by that.
 */
#ifndef WEIR_SIM_H
#define WEIR_SIM_H

#include "http/signature.h"

#include <event2/event.h>
#include <event2/http.h>
#include <jansson.h>
#include <stdio.h>

#define SIM_CHARGES_MAX 100000  /* more are refused with a 503 */
#define SIM_PAGE_MAX 100        /* of the list */
#define SIM_TIME_LEN 24         /* 2026-01-31T12:00:00.000Z */
#define SIM_WEBHOOKS_MAX 100000 /* that wait; more are dropped */

/* errors, lost_answers, declines and duplicates count down with each request that they were for; -1
 * never ends. */
typedef struct {
    int only_amount;  /* latency and errors are for charges of this amount only; 0: for all */
    int latency;      /* ms until an answer of the gateway leaves */
    int errors;       /* requests that get error_status, and nothing is done */
    int error_status; /* 503 at first */
    int retry_after; /* s, in Retry-After of these; 0: there is none, -1: one that makes no sense */
    int retry_date;  /* as a date */
    int lost_answers;  /* POSTs that are done, and whose connection is closed then */
    int declines;      /* new charges that fail */
    int duplicates;    /* times that each webhook is sent once more */
    int hold;          /* webhooks wait */
    int reverse;       /* the newest webhook goes first */
    int fold_keys;     /* questions by an idempotency key are answered in any case of its letters */
    int webhook_first; /* a new charge's answer waits until its webhook was answered */
} sim_switches_t;

typedef struct sim_webhooks sim_webhooks_t;

typedef struct {
    struct event_base *base;
    sim_switches_t switches;
    json_t *charges; /* an array, in the order in which they were made */
    FILE *ledger;    /* or NULL */
    sim_webhooks_t *webhooks;
} sim_t;

/* Called when a webhook was answered, or has failed, for the first time. */
typedef void (*sim_sent_cb)(void *arg);

/* --- charges.c ------------------------------------------------------------------------- */

/* Reads the ledger file, if there is one.  False with a message. */
bool sim_ledger_open(sim_t *sim, const char *file, char *error, size_t error_size);
json_t *sim_find(const sim_t *sim, const char *member, const char *value); /* borrowed or NULL */
/* A new charge; borrowed.  NULL when the ledger is full.  created is NULL for now. */
json_t *sim_charge(sim_t *sim, const char *key, json_int_t amount, const char *currency,
                   const char *status, const char *reason, const char *created);
/*
 * {"charges":[…],"next":ID}, to be json_decref()'d: charges that were made in that time, at most
 * limit (1 or more) of them, behind the one whose id is `after` (NULL: from the first one on).
 */
json_t *sim_list(const sim_t *sim, const char *from, const char *before, const char *after,
                 size_t limit);
void sim_set_status(sim_t *sim, json_t *charge, const char *status);
void sim_write(sim_t *sim, const json_t *charge);

/* --- api.c ------------------------------------------------------------------------------- */

void sim_on_request(struct evhttp_request *request, void *sim);

/* --- webhooks.c ---------------------------------------------------------------------------- */

/* url is http://HOST:PORT/PATH.  NULL with a message. */
sim_webhooks_t *sim_webhooks_new(sim_t *sim, const char *url, const weir_secret_t *secret,
                                 char *error, size_t error_size);
/* Sends the charge as it is now, with that status; id is NULL for a new one, cb may be NULL. */
void sim_webhook(sim_t *sim, const json_t *charge, const char *status, const char *id,
                 sim_sent_cb cb, void *arg);
/* After hold or reverse was switched. */
void sim_webhooks_go(sim_t *sim);
json_t *sim_webhooks_counts(const sim_t *sim);

#endif
