/*
 * A payment gateway for tests and demos: real HTTP, the API of shop/payments/gateway.h, signed
 * webhooks, and switches for the failures of gateways.
 *
 * - POST /charges, GET /charges?idempotency_key=KEY, POST /refunds: the gateway
 * - GET /charges?created_from=TIME&created_before=TIME&limit=N&after=ID: the list of charges, in
 *   pages
 * - GET /ledger: {"charges":[…],"webhooks":{"waiting":N,"delivered":N,"refused":N}}
 * - GET, POST /admin/switches: the switches; omitted members do not change
 * - POST /admin/charges {"idempotency_key","amount","currency","status","created"?}: adds a charge
 *   that was not requested over the API
 * - POST /admin/charges/ID {"status"}: changes the status of the charge
 * - POST /admin/webhooks {"charge","status"?,"id"?}: sends a message about the charge, true or not
 *
 * "requests" of a charge in the ledger is the number of its requests. With a ledger file the ledger
 * survives the process: each line is a state of a charge, and the last line of a charge counts.
 *
 * One process, one event loop; memory is freed when the process ends.
 */
#ifndef WEIR_SIM_H
#define WEIR_SIM_H

#include "http/signature.h"

#include <event2/event.h>
#include <event2/http.h>
#include <jansson.h>
#include <stdio.h>

#define SIM_CHARGES_MAX 100000  /* further charges get a 503 */
#define SIM_PAGE_MAX 100        /* of the list */
#define SIM_WEBHOOKS_MAX 100000 /* waiting webhooks; further ones are dropped */

/*
 * errors, lost_answers, declines and duplicates count down with each request that they affect; -1
 * means without end.
 */
typedef struct {
    int only_amount;  /* latency and errors affect charges of this amount only; 0: all */
    int latency;      /* ms until an answer is sent */
    int errors;       /* requests that get error_status and have no effect */
    int error_status; /* 200 to 599; 503 by default */
    int retry_after; /* s, in Retry-After of these; 0: there is none, -1: one that makes no sense */
    int retry_date;  /* as a date */
    int lost_answers;  /* POSTs that are executed, and whose connection is closed without an answer
                        */
    int declines;      /* new charges that fail */
    int duplicates;    /* number of repetitions of each webhook */
    int hold;          /* webhooks wait */
    int reverse;       /* the newest webhook goes first */
    int fold_keys;     /* queries by an idempotency key ignore the case of its letters */
    int webhook_first; /* the answer to a new charge is sent after its webhook was answered */
} sim_switches_t;

typedef struct sim_webhooks sim_webhooks_t;

typedef struct {
    struct event_base *base;
    sim_switches_t switches;
    json_t *charges;         /* an array, in the order of creation */
    FILE *ledger;            /* or NULL */
    const char *secret_file; /* read for each webhook; NULL: the secret is given */
    sim_webhooks_t *webhooks;
} sim_t;

/* Called once, when a webhook was answered or has failed for the first time. */
typedef void (*sim_sent_cb)(void *arg);

/* --- charges.c ------------------------------------------------------------------------- */

/* Reads the ledger file, if there is one. Returns false with a message on failure. */
bool sim_ledger_open(sim_t *sim, const char *file, char *error, size_t error_size);
json_t *sim_find(const sim_t *sim, const char *member, const char *value); /* borrowed or NULL */
/*
 * Adds a charge; the result is borrowed. Returns NULL when the ledger is full. created is NULL for
 * the current time.
 */
json_t *sim_charge(sim_t *sim, const char *key, json_int_t amount, const char *currency,
                   const char *status, const char *reason, const char *created);
/*
 * {"charges":[…],"next":ID}, which the caller must json_decref(): the charges of that time, at most
 * limit (1 or more) of them, after the one with the id `after` (NULL: from the first one on).
 */
json_t *sim_list(const sim_t *sim, const char *from, const char *before, const char *after,
                 size_t limit);
void sim_set_status(sim_t *sim, json_t *charge, const char *status);
void sim_write(sim_t *sim, const json_t *charge);

/* --- api.c ------------------------------------------------------------------------------- */

void sim_on_request(struct evhttp_request *request, void *sim);

/* --- listen.c ------------------------------------------------------------------------------ */

/* folder: of certificates (ctl/keys/certificates.h), or NULL; names: clients' (tls/names.h). */
bool sim_listen(sim_t *sim, const char *address, const char *folder, const char *names, char *error,
                size_t error_size);

/* --- webhooks.c ---------------------------------------------------------------------------- */

/* The secret in the first line of the file; false: there is none. */
bool sim_secret_read(const char *file, weir_secret_t *secret);
/* url is http://HOST:PORT/PATH. Returns NULL with a message on failure. */
sim_webhooks_t *sim_webhooks_new(sim_t *sim, const char *url, const weir_secret_t *secret,
                                 char *error, size_t error_size);
/* Sends the present charge with that status; id is NULL for a new message, cb may be NULL. */
void sim_webhook(sim_t *sim, const json_t *charge, const char *status, const char *id,
                 sim_sent_cb cb, void *arg);
/* To be called after hold or reverse was changed. */
void sim_webhooks_go(sim_t *sim);
json_t *sim_webhooks_counts(const sim_t *sim);

#endif
